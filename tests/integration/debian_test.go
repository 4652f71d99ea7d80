package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// dockerCapabilities are those that Docker gives a container by default.
var dockerCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// debian makes a tree of a small Debian, from an archive that is kept for the next time.
func debian(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = "/var/cache"
	}
	archive := filepath.Join(cache, "husk-tests", "debian-apt-"+runtime.GOARCH+".tar")
	if _, err := os.Stat(archive); err != nil {
		makeDebian(t, archive)
	}
	dir, err := os.MkdirTemp(env.dir, "debian")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", dir, "-xf", archive).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", archive, err, out)
	}
	return dir
}

func makeDebian(t *testing.T, archive string) {
	t.Helper()
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		t.Skip("no Debian tree: mmdebstrap is not installed")
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Skip("no place for a Debian tree: ", err)
	}
	temp := archive + "." + itoa(os.Getpid())
	defer os.Remove(temp)
	out, err := exec.Command(program, "--quiet", "--variant=essential", "--include=apt", "--format=tar",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"bookworm", temp).CombinedOutput()
	if err != nil {
		t.Skipf("no Debian tree: mmdebstrap: %v: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(temp, archive); err != nil {
		t.Fatal(err)
	}
}

// A distribution's programs under Docker's default filter and capabilities.
func TestDebian(t *testing.T) {
	if env.skip != "" {
		t.Skip(env.skip)
	}
	tree := debian(t)
	if err := os.Link(env.inside, filepath.Join(tree, "inside")); err != nil {
		t.Fatal(err)
	}
	newDebian := func(t *testing.T, v *view, args ...string) *bundle {
		b := newBundle(t, v)
		b.Root = &specs.Root{Path: tree, Readonly: true}
		b.Process.Args = args
		b.Process.NoNewPrivileges = false
		b.Process.Env = append(b.Process.Env, "PS1=prompt> ")
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: dockerCapabilities, Permitted: dockerCapabilities, Effective: dockerCapabilities}
		profile, err := moby.GetDefaultProfile(b.Spec)
		if err != nil {
			t.Fatal(err)
		}
		b.Linux.Seccomp = profile
		return b
	}
	eachView(t, func(t *testing.T, v *view) {
		t.Run("apt-get", func(t *testing.T) {
			r := newDebian(t, v, "apt-get", "--version").run()
			if r.status != 0 || !strings.HasPrefix(r.stdout, "apt ") {
				t.Error(r)
			}
		})
		t.Run("a hundred children", func(t *testing.T) {
			r := newDebian(t, v, "/inside", "storm", "100").run()
			if r.status != 0 || r.stdout != "100 ended, 50 odd\n" {
				t.Error(r)
			}
			r = newDebian(t, v, "bash", "-c", "for i in {1..100}; do (exit 3) & done; wait; echo waited; exit 3").run()
			if r.status != 3 || r.stdout != "waited\n" {
				t.Error(r)
			}
		})
		t.Run("job control", func(t *testing.T) {
			b := newDebian(t, v, "bash", "--norc", "--noprofile", "-i")
			b.Process.Terminal = true
			b.save()
			p := newTerminal(t)
			resize(t, p.master, 40, 120)
			status := b.underTerminal(p, "run", "--bundle", b.dir, b.id)
			for _, step := range []struct{ send, expect string }{
				{"", "prompt> "},
				{"sleep 100 &\r", "[1] "},
				{"jobs\r", "Running"},
				{"fg\r", "sleep 100\r\n"},
				{"\x1a", "Stopped"},
				{"jobs\r", "Stopped"},
				{"bg\r", "[1]+ sleep 100 &"},
				{"fg\r", "sleep 100\r\n"},
				{"\x03", "prompt> "},
				{"echo status=$?\r", "status=130\r\n"},
				{"jobs; echo none\"\"left\r", "noneleft\r\n"},
				{"stty size\r", "40 120\r\n"},
				{"tty\r", "/dev/pts/0\r\n"},
				{"exit 5\r", "exit\r\n"},
			} {
				if step.send == "\x1a" || step.send == "\x03" {
					awaitForeground(t, b, "sleep") // fg says what it does before it does it
				}
				p.send(step.send)
				p.expect(step.expect)
			}
			equal(t, "status", status(), 5)
		})
	})
}

// awaitForeground waits until a program of the container is in the foreground of its terminal: nothing tells that, so it
// looks again and again.
func awaitForeground(t *testing.T, b *bundle, program string) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, pid := range pids(b) {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			name, rest, _ := strings.Cut(string(data), ") ")
			f := strings.Fields(rest) // state, parent, group, session, terminal, foreground group (proc_pid_stat(5))
			if err == nil && strings.HasSuffix(name, "("+program) && f[2] == f[5] {
				return
			}
		}
	}
	t.Fatalf("%s did not come to the foreground", program)
}
