package specconv

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/plan"
)

var update = flag.Bool("update", false, "write the golden plans anew")

// goldenBase is the smallest configuration: each golden plan is about what a few changes to it do.
const goldenBase = `{
  "ociVersion": "1.3.0",
  "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
  "root": {"path": "rootfs"},
  "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]}
}`

const (
	goldenProc = `/mounts/- {"destination": "/proc", "type": "proc", "source": "proc"}` + "\n"
	goldenDev  = `/mounts/- {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}` + "\n"
	goldenPts  = `/mounts/- {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}` + "\n"
	goldenSys  = `/mounts/- {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid"]}` + "\n"
)

// golden plans: name, changes to goldenBase, what the host is like.
type goldenPlan struct {
	name   string
	change string
	host   func(*Host)
}

// TestGolden compares plans with files that people have reviewed. base.plan is a whole plan; the others show what is in
// them and not in it, and the steps that it has and they have not. Run with -update to write them, then read the diff.
func TestGolden(t *testing.T) {
	base := compileGolden(t, goldenPlan{})
	compareGolden(t, "base", base.String())
	seen := map[string]bool{"base": true}
	for _, g := range goldenPlans {
		t.Run(g.name, func(t *testing.T) {
			if seen[g.name] {
				t.Fatal("twice")
			}
			seen[g.name] = true
			p := compileGolden(t, g)
			compareGolden(t, g.name, g.change+"\n"+difference(base.String(), p.String()))
		})
	}
	for _, g := range goldenExecs {
		t.Run(g.name, func(t *testing.T) {
			seen[g.name] = true
			p := compileGoldenExec(t, g)
			compareGolden(t, g.name, g.change+"\n"+difference(base.String(), p.String()))
		})
	}
	for _, g := range goldenErrands {
		t.Run(g.name, func(t *testing.T) {
			seen[g.name] = true
			compareGolden(t, g.name, g.change+"\n"+compileGoldenErrand(t, g).String())
		})
	}
	files, err := filepath.Glob("testdata/golden/*")
	check(t, err)
	for _, f := range files {
		if !seen[strings.TrimSuffix(filepath.Base(f), ".plan")] {
			t.Errorf("%s belongs to no test", f)
		}
	}
}

func goldenSpec(t *testing.T, change string) *specs.Spec {
	t.Helper()
	spec, err := ParseSpec(patch(t, []byte(goldenBase), change))
	check(t, err)
	if err := Validate(spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// compileGolden compiles twice: the same spec and host give the same bytes, and what people write into annotations gives
// the same bytes too.
func compileGolden(t *testing.T, g goldenPlan) *plan.Plan {
	t.Helper()
	spec := goldenSpec(t, g.change)
	host := hostFor(spec)
	if g.host != nil {
		g.host(host)
	}
	first, err := Compile(spec, host)
	check(t, err)
	if len(spec.Annotations) > 0 {
		return first
	}
	spec.Annotations = map[string]string{"org.example.anything": "at all", "run.oci.anything": "1", "com.example.husk": "x"}
	again, err := Compile(spec, host)
	check(t, err)
	if !bytes.Equal(encoded(t, first), encoded(t, again)) {
		t.Error("the same configuration gives two plans")
	}
	return first
}

func compileGoldenExec(t *testing.T, g goldenPlan) *plan.Plan {
	t.Helper()
	spec := goldenSpec(t, g.change)
	process := *spec.Process
	spec.Process = &specs.Process{Args: []string{"of", "the", "container"}}
	host := hostFor(spec)
	host.StartGate, host.Env = false, process.Env
	if g.host != nil {
		g.host(host)
	}
	first, err := CompileExec(spec, &process, host)
	check(t, err)
	again, err := CompileExec(spec, &process, host)
	check(t, err)
	if !bytes.Equal(encoded(t, first), encoded(t, again)) {
		t.Error("the same process gives two plans")
	}
	return first
}

// compileGoldenErrand adds the mounts of the changed goldenBase to a container of its other parts, or removes them.
func compileGoldenErrand(t *testing.T, g goldenPlan) *plan.Plan {
	t.Helper()
	spec := goldenSpec(t, g.change)
	mounts := spec.Mounts
	host := hostFor(spec)
	if g.host != nil {
		g.host(host)
	}
	spec.Mounts = nil
	check(t, ValidateMounts(spec, mounts))
	if !strings.HasPrefix(g.name, "unmount") {
		p, err := CompileMounts(spec, mounts, host)
		check(t, err)
		return p
	}
	if strings.HasPrefix(g.name, "unmount-back") {
		p, err := CompileTakeBack(spec, AddedMount{Destination: mounts[0].Destination, ID: 1000}, host)
		check(t, err)
		return p
	}
	var added []AddedMount
	for i, m := range mounts {
		added = append(added, AddedMount{Destination: m.Destination, ID: uint64(1000 + i)})
	}
	p, err := CompileUnmounts(spec, added, host)
	check(t, err)
	return p
}

func encoded(t testing.TB, p *plan.Plan) []byte {
	t.Helper()
	b, err := p.Encode()
	check(t, err)
	return b
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata/golden", name+".plan")
	if *update {
		check(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: write it with go test ./specconv -run TestGolden -update", err)
	}
	if got != string(want) {
		t.Errorf("%s: the plan has changed; look at the difference and write it with -update:\n%s", file, difference(string(want), got))
	}
}

var (
	opLine   = regexp.MustCompile(`^ *(\d+)  (.*)$`)
	jumpTo   = regexp.MustCompile(`-> (\d+)\]$`)
	register = regexp.MustCompile(`%\d+`)
	anyData  = regexp.MustCompile(`data\+\d{3,}`)
)

// sections splits a printed plan into its steps, with what differs between two plans by numbering alone taken out: jumps
// are relative, registers without a name are numbered within a step.
func sections(text string) (list []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, " ") || len(list) == 0 {
			list = append(list, line)
			continue
		}
		if m := opLine.FindStringSubmatch(line); m != nil {
			at, _ := strconv.Atoi(m[1])
			line = "    " + jumpTo.ReplaceAllStringFunc(m[2], func(s string) string {
				to, _ := strconv.Atoi(s[3 : len(s)-1])
				return "-> +" + strconv.Itoa(to-at-1) + "]"
			})
		}
		list[len(list)-1] += "\n" + anyData.ReplaceAllString(line, "data+...")
	}
	for i, s := range list {
		names := map[string]string{}
		list[i] = register.ReplaceAllStringFunc(s, func(r string) string {
			if names[r] == "" {
				names[r] = "%" + string(rune('a'+len(names)))
			}
			return names[r]
		})
	}
	return list
}

// difference prints the steps that only b has, in their order, and the names of those that only a has.
func difference(a, b string) string {
	count := map[string]int{}
	for _, s := range sections(a) {
		count[s]++
	}
	var out strings.Builder
	for _, s := range sections(b) {
		if count[s] > 0 {
			count[s]--
			continue
		}
		out.WriteString(s + "\n")
	}
	for _, s := range sections(a) {
		if count[s] > 0 {
			count[s]--
			name, _, _ := strings.Cut(s, "\n")
			out.WriteString("without " + name + "\n")
		}
	}
	return out.String()
}
