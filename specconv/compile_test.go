package specconv

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
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

// What the fuzzer puts where.
var (
	fuzzPlaces = []string{
		"/process/cwd", "/process/args", "/process/env", "/process/user", "/process/rlimits", "/process/capabilities", "/process/terminal",
		"/root/readonly", "/mounts/-", "/mounts/0/destination", "/mounts/0/options", "/mounts/0/type", "/mounts/0/source", "/mounts/1/destination",
		"/linux/namespaces", "/linux/devices/-", "/linux/maskedPaths/-", "/linux/readonlyPaths/-", "/linux/sysctl", "/linux/rootfsPropagation",
		"/linux/seccomp", "/linux/mountLabel", "/hostname", "/hooks", "/process/oomScoreAdj", "/process/noNewPrivileges", "/process/consoleSize",
		"/process/scheduler", "/process/ioPriority", "/process/execCPUAffinity", "/linux/memoryPolicy", "/linux/personality",
	}
	fuzzPaths = []string{
		"/", "/dev", "/dev/pts", "/dev/null", "/dev/console", "/dev/ptmx", "/proc", "/proc/sys", "/proc/self/attr", "/sys", "/sys/fs/cgroup", "/run",
		"/run/a/b", "/a/../b", "//x//y/", "/../..", "relative", "", ".", "/tmp/a.b", "/a\x00b", "/\xff", "/tmp",
	}
	fuzzTypes   = []string{"tmpfs", "proc", "sysfs", "bind", "devpts", "mqueue", "cgroup", "cgroup2", "none", "", "overlay"}
	fuzzOptions = []string{
		"ro", "rw", "rbind", "bind", "remount", "tmpcopyup", "rro", "rprivate", "shared", "noatime", "mode=755", "size=1%", "nosuid", "rnodev", "iversion",
		"a=b=c", "=", "context=x,y",
	}
)

// mutate changes a valid document at a few places, all taken from the bytes of the fuzzer.
func mutate(document []byte, choice []byte) []byte {
	next := func(n int) int {
		if len(choice) == 0 {
			return 0
		}
		b := int(choice[0])
		choice = choice[1:]
		return b % n
	}
	pick := func(list []string) string { return list[next(len(list))] }
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	mount := func() string {
		options := []string{}
		for range next(4) {
			options = append(options, pick(fuzzOptions))
		}
		b, _ := json.Marshal(map[string]any{"destination": pick(fuzzPaths), "type": pick(fuzzTypes), "source": pick(fuzzPaths), "options": options})
		return string(b)
	}
	for range 1 + next(4) {
		place := pick(fuzzPlaces)
		values := []string{
			quote(pick(fuzzPaths)), mount(), "[" + quote(pick(fuzzPaths)) + "," + quote(pick(fuzzOptions)) + "]", strconv.Itoa(next(256) * next(256)),
			`{"path": ` + quote(pick(fuzzPaths)) + `, "type": "c", "major": 1, "minor": ` + strconv.Itoa(next(9)) + `, "uid": ` + strconv.Itoa(next(3)) + `}`,
			"true", `{"uid": ` + strconv.Itoa(next(200)) + `, "gid": 0}`, `[{"type": "mount"}, {"type": "pid", "path": "/proc/1/ns/pid"}]`, `[{"type": "pid"}]`, "",
			`{"height": 1, "width": 2}`, `{"defaultAction": "SCMP_ACT_ERRNO"}`, `{"net.core.somaxconn": "1"}`, quote(pick(fuzzTypes)), `{"startContainer": [{"path": "/x"}], "prestart": [{"path": "/y"}]}`,
			`{"policy": "SCHED_FIFO", "priority": ` + strconv.Itoa(1+next(99)) + `, "flags": ["SCHED_FLAG_RECLAIM"]}`, `{"class": "IOPRIO_CLASS_BE", "priority": ` + strconv.Itoa(next(8)) + `}`,
			`{"initial": "` + strconv.Itoa(next(256)*next(256)) + `", "final": "0-9,` + strconv.Itoa(next(256)) + `"}`,
			`{"mode": "MPOL_BIND", "nodes": "0,` + strconv.Itoa(next(256)*next(256)) + `"}`, `{"domain": "LINUX32"}`,
		}
		if out, err := tryPatch(document, place+" "+values[next(len(values))]); err == nil {
			document = out
		}
	}
	return document
}

// FuzzCompile: whatever Validate lets pass compiles without a panic to a plan that Verify accepts, or is refused in words
// that are not Verify's: those would mean that the compiler has written something that it must not write.
func FuzzCompile(f *testing.F) {
	for i := range 2000 {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		choice := make([]byte, 40)
		for j := range choice {
			choice[j] = byte(r.Uint32())
		}
		f.Add(uint8(i), choice)
	}
	documents := [][]byte{[]byte(goldenBase), EncodeExample(Example()), plainConfig(f)}
	f.Fuzz(func(t *testing.T, which uint8, choice []byte) {
		document := mutate(documents[int(which)%len(documents)], choice)
		spec, err := ParseSpec(document)
		if err != nil || Validate(spec) != nil {
			return
		}
		host := hostFor(spec)
		host.NoPivot, host.StartGate = which&4 != 0, which&8 == 0
		if which&16 != 0 {
			cgroupV1(host)
		}
		p, err := Compile(spec, host)
		checkFuzzed(t, document, p, err)
		process := *spec.Process
		p, err = CompileExec(spec, &process, host)
		checkFuzzed(t, document, p, err)
	})
}

func checkFuzzed(t *testing.T, document []byte, p *plan.Plan, err error) {
	t.Helper()
	if err != nil {
		if strings.Contains(err.Error(), "verify plan") {
			t.Errorf("%v\n%s", err, document)
		}
		return
	}
	if err := p.Verify(); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	_ = p.String()
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
