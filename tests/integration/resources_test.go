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
