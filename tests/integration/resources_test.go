package integration

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The limits hold.
func TestLimitsHold(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsController(t, "pids")
		b := newBundle(t, v)
		b.Linux.Resources.Pids = &specs.LinuxPids{Limit: value[int64](10)}
		b.Process.Args = []string{"/inside", "storm", "50"}
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stdout, "EAGAIN") {
			t.Errorf("50 processes with a limit of 10: %v", r)
		}
	})
}

// Where the container may have no more processes an exec says so.
func TestExecAtLimit(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsController(t, "pids")
		b := newBundle(t, v)
		b.Linux.Resources.Pids = &specs.LinuxPids{Limit: value[int64](3)}
		b.detached("children", "2")
		b.fails(255, "a limit on the number of processes is reached", "exec", b.id, "/inside", "exit", "0")
		b.must("delete", "--force", b.id)
	})
}

// What a start has used up and the kernel has yet to free does not count: with 160 KiB, which is hardly more than the kernel objects of
// the default configuration and the program itself, every start works. It was one of ten while nothing waited for the kernel.
func TestLowMemory(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "a user namespace is charged, too")
		v.needsController(t, "memory")
		if !v.v2 || olderThan(6, 1) || !olderThan(6, 2) {
			t.Skip("the limit was measured on cgroup v2 of Linux 6.1")
		}
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: value[int64](160 << 10)}
		b.Process.Args = []string{"/inside", "exit", "0"}
		for range 10 {
			if r := b.run(); r.status != 0 {
				t.Error(r)
			}
		}
	})
}

// A limit that can't be set is an error with its place in config.json, and nothing is left.
func TestWrongResources(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"}
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "cpu") {
			t.Error(r)
		}
		b = newBundle(t, v)
		b.Linux.Resources.Unified = map[string]string{"nothing.max": "1"}
		r = b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "unified") {
			t.Error(r)
		}
	})
}
