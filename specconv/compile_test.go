package specconv

import (
	"path"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/plan"
)

// hostFor is a host that has everything that the spec asks for. Sources of bind mounts are directories unless their name
// has a dot in it.
func hostFor(spec *specs.Spec) *Host {
	h := &Host{
		ID: "golden", Bundle: "/bundle", Rootfs: "/bundle/rootfs", StartGate: true, Env: spec.Process.Env,
		Capabilities: 1<<41 - 1, Sources: make([]Source, len(spec.Mounts)), Cgroup: Cgroup{V2: true},
	}
	if spec.Linux.Seccomp != nil {
		h.Filter = []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f} // return allow
	}
	for i, m := range spec.Mounts {
		source := m.Source
		if !path.IsAbs(source) {
			source = path.Join(h.Bundle, source)
		}
		h.Sources[i] = Source{Path: path.Clean(source), Dir: path.Ext(source) == ""}
	}
	return h
}

func examplePlan(tb testing.TB) *plan.Plan {
	tb.Helper()
	spec := Example()
	p, err := Compile(spec, hostFor(spec))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func BenchmarkCompile(b *testing.B) {
	spec := Example()
	host := hostFor(spec)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(spec, host); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify measures the proof that every start pays for.
func BenchmarkVerify(b *testing.B) {
	p := examplePlan(b)
	b.ReportMetric(float64(len(p.Ops)), "ops")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}
