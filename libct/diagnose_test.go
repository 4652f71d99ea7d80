package libct

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/plan"
	"husk/specconv"
)

// TestHintsHaveSteps: a hint is found by the words of a step, which another package writes.
func TestHintsHaveSteps(t *testing.T) {
	spec := specconv.Example()
	score := 5
	spec.Process.OOMScoreAdj = &score
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Repeat("/long:", 50) + "/last"}},
		specs.Mount{Destination: "/file", Type: "bind", Source: "/file", Options: []string{"bind", "ro"}},
		specs.Mount{Destination: "/dir", Type: "bind", Source: "/dir", Options: []string{"rbind"}})
	host := &specconv.Host{
		ID: "c", Bundle: "/b", Rootfs: "/b/rootfs", StartGate: true, Env: spec.Process.Env, Filter: make([]byte, 8),
		Sources: make([]specconv.Source, len(spec.Mounts)), Cgroup: specconv.Cgroup{V2: true},
	}
	host.Sources[len(spec.Mounts)-2].Path = "/file"
	host.Sources[len(spec.Mounts)-1] = specconv.Source{Path: "/dir", Dir: true}
	var steps []string
	add := func(p *plan.Plan, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Ops {
			steps = append(steps, p.Ops[i].Origin.Step)
		}
	}
	add(specconv.Compile(spec, host))
	for _, policy := range []specs.LinuxSchedulerPolicy{specs.SchedFIFO, specs.SchedRR, specs.SchedDeadline, specs.SchedISO} {
		spec.Process.Scheduler = &specs.Scheduler{Policy: policy}
		add(specconv.Compile(spec, host))
	}
	for _, mode := range []specs.MemoryPolicyModeType{specs.MpolPreferredMany, specs.MpolWeightedInterleave, specs.MpolBind} {
		spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: mode, Nodes: "0"}
		add(specconv.Compile(spec, host))
	}
	spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT}
	spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "0"}
	spec.Process.Terminal = false
	spec.Process.ApparmorProfile, spec.Process.SelinuxLabel = "profile", "label"
	add(specconv.CompileExec(spec, spec.Process, host))
	add(specconv.CompileUnmounts(spec, []specconv.AddedMount{{Destination: "/m"}}, host))
	for _, h := range hints {
		if !slices.ContainsFunc(steps, func(s string) bool { return strings.HasPrefix(s, h.step) }) {
			t.Errorf("no step begins with %q", h.step)
		}
	}
}
