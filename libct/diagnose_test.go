package libct

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/specconv"
)

// TestHintsHaveSteps: a hint is found by the words of a step, which another package writes.
func TestHintsHaveSteps(t *testing.T) {
	spec := specconv.Example()
	score := 5
	spec.Process.OOMScoreAdj = &score
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/file", Type: "bind", Source: "/file", Options: []string{"bind", "ro"}},
		specs.Mount{Destination: "/dir", Type: "bind", Source: "/dir", Options: []string{"rbind"}})
	host := &specconv.Host{
		ID: "c", Bundle: "/b", Rootfs: "/b/rootfs", StartGate: true, Env: spec.Process.Env, Filter: make([]byte, 8),
		Sources: make([]specconv.Source, len(spec.Mounts)), Cgroup: specconv.Cgroup{V2: true},
	}
	host.Sources[len(spec.Mounts)-2].Path = "/file"
	host.Sources[len(spec.Mounts)-1] = specconv.Source{Path: "/dir", Dir: true}
	p, err := specconv.Compile(spec, host)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for i := range p.Ops {
		steps = append(steps, p.Ops[i].Origin.Step)
	}
	for _, h := range hints {
		if !slices.ContainsFunc(steps, func(s string) bool { return strings.HasPrefix(s, h.step) }) {
			t.Errorf("no step begins with %q", h.step)
		}
	}
}
