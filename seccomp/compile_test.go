package seccomp_test

import (
	"testing"
	"time"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/seccomp"
)

// docker returns Docker's profile for a container with its usual capabilities.
func docker(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
		"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
		"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	p, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compile(t testing.TB, p *specs.LinuxSeccomp) *seccomp.Filter {
	t.Helper()
	f, err := seccomp.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDocker(t *testing.T) {
	start := time.Now()
	f := compile(t, docker(t))
	t.Logf("%v: %d instructions, flags %#x, warnings %q", time.Since(start), len(f.Instructions), f.Flags, f.Warnings)
}
func BenchmarkDocker(b *testing.B) {
	p := docker(b)
	for b.Loop() {
		compile(b, p)
	}
}
func BenchmarkGet(b *testing.B) {
	p := docker(b)
	c, err := seccomp.OpenCache(b.TempDir() + "/x")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Put(seccomp.Key(p), compile(b, p)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := c.Get(seccomp.Key(p)); !ok {
			b.Fatal("miss")
		}
	}
}
