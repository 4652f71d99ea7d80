package specconv

import (
	"os"
	"path"
	"path/filepath"
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

// TestCompileEngines compiles what engines have really sent: HUSK_ENGINE_CALLS names a directory with recorded config.json files.
func TestCompileEngines(t *testing.T) {
	dir := os.Getenv("HUSK_ENGINE_CALLS")
	if dir == "" {
		t.Skip("HUSK_ENGINE_CALLS names no directory with recorded configurations (*/config-*.json, */process-*.json)")
	}
	configs, err := filepath.Glob(filepath.Join(dir, "*", "config-*.json"))
	check(t, err)
	processes, err := filepath.Glob(filepath.Join(dir, "*", "process-*.json"))
	check(t, err)
	if len(configs) == 0 || len(processes) == 0 {
		t.Fatal("nothing in ", dir)
	}
	var container *specs.Spec
	refused := 0
	for _, name := range configs {
		data, err := os.ReadFile(name)
		check(t, err)
		spec, err := ParseSpec(data)
		check(t, err)
		if err := Validate(spec); err != nil {
			t.Logf("%s is refused: %.200v", name, err)
			refused++
			continue
		}
		if _, err := Compile(spec, hostFor(spec)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		container = spec
	}
	for _, name := range processes {
		data, err := os.ReadFile(name)
		check(t, err)
		process, err := ParseProcess(data)
		check(t, err)
		check(t, ValidateProcess(process))
		if _, err := CompileExec(container, process, hostFor(container)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d configurations, %d of them refused, %d processes", len(configs), refused, len(processes))
}

// TestProgramWithoutPath: neither an absent PATH nor an empty entry means the working directory, which the image controls.
func TestProgramWithoutPath(t *testing.T) {
	for _, env := range [][]string{nil, {"PATH="}, {"PATH=:"}} {
		spec := Example()
		host := hostFor(spec)
		host.Env = env
		_, err := Compile(spec, host)
		if err == nil || err.Error() != `/process/args/0: exec: "sh": executable file not found in $PATH` {
			t.Errorf("%q: got %v", env, err)
		}
	}
}
