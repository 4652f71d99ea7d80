package cgroups

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// verdict is the model: for each kind of access the last rule that names the device decides, and nothing is allowed at first.
func verdict(in []specs.LinuxDeviceCgroup, kind byte, major, minor int64, want access) bool {
	for _, bit := range []struct {
		access access
		name   string
	}{{mknod, "m"}, {read, "r"}, {write, "w"}} {
		if want&bit.access == 0 {
			continue
		}
		allow := false
		for _, d := range in {
			fits := func(n *int64, v int64) bool { return n == nil || *n == -1 || *n == v }
			if (d.Type == "" || d.Type == "a" || d.Type == string(kind) || d.Type == "u" && kind == 'c') &&
				fits(d.Major, major) && fits(d.Minor, minor) && strings.Contains(d.Access, bit.name) {
				allow = d.Allow
			}
		}
		if !allow {
			return false
		}
	}
	return true
}

// run interprets the filter; ok is false when the program does something that the verifier would refuse.
func run(prog []insn, kind byte, major, minor int64, want access) (allowed, ok bool) {
	var ctxMem [12]byte
	code := uint32(devChar)
	if kind == 'b' {
		code = devBlock
	}
	binary.NativeEndian.PutUint32(ctxMem[0:], uint32(want)<<16|code)
	binary.NativeEndian.PutUint32(ctxMem[4:], uint32(major))
	binary.NativeEndian.PutUint32(ctxMem[8:], uint32(minor))
	var reg [6]uint64
	for pc := 0; pc >= 0 && pc < len(prog); pc++ {
		i := prog[pc]
		jump := false
		switch i.code {
		case ldxW:
			if i.src != ctx || i.offset < 0 || i.offset > 8 {
				return false, false
			}
			reg[i.dst] = uint64(binary.NativeEndian.Uint32(ctxMem[i.offset:]))
		case rshImm:
			reg[i.dst] >>= uint(i.imm)
		case andImm:
			reg[i.dst] &= uint64(int64(i.imm))
		case movReg:
			reg[i.dst] = reg[i.src]
		case movImm:
			reg[i.dst] = uint64(int64(i.imm))
		case jmpNE:
			jump = uint32(reg[i.dst]) != uint32(i.imm)
		case jmpSet:
			jump = uint32(reg[i.dst])&uint32(i.imm) != 0
		case ret:
			return reg[r0] == 1, reg[r0] <= 1
		default:
			return false, false
		}
		if jump {
			if i.offset < 0 {
				return false, false
			}
			pc += int(i.offset)
		}
	}
	return false, false
}

// matches is the v1 kernel's view of a whitelist (security/device_cgroup.c).
func (w *whitelist) matches(kind byte, major, minor int64, want access) bool {
	dev := rule{kind: kind, major: major, minor: minor}
	for _, e := range w.exceptions {
		switch {
		case !e.covers(&dev):
		case w.allow && e.access&want != 0:
			return false
		case !w.allow && want&^e.access == 0:
			return true
		}
	}
	return w.allow
}

func number(n int64) *int64 { return &n }

// randomRules are about few numbers, so that they meet.
func randomRules(r *rand.Rand, majors, minors []int64) []specs.LinuxDeviceCgroup {
	pick := func(numbers []int64) *int64 {
		switch r.IntN(6) {
		case 0:
			return nil
		case 1:
			return number(-1)
		}
		return number(numbers[r.IntN(len(numbers))])
	}
	var list []specs.LinuxDeviceCgroup
	for range r.IntN(9) {
		acc := ""
		for acc == "" {
			for _, c := range "rwm" {
				if r.IntN(2) == 0 {
					acc += string(c)
				}
			}
		}
		list = append(list, specs.LinuxDeviceCgroup{
			Allow: r.IntN(2) == 0, Type: []string{"", "a", "b", "c", "c", "u"}[r.IntN(6)],
			Major: pick(majors), Minor: pick(minors), Access: acc,
		})
	}
	return list
}

// compare checks the minimal rules, the program and, where v1 can express them, the whitelist against the model.
func compare(t *testing.T, in []specs.LinuxDeviceCgroup, majors, minors []int64) (onV1 bool) {
	t.Helper()
	rules, err := deviceRules(in)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := assemble(rules)
	if err != nil {
		t.Fatal(err)
	}
	list, v1err := listOf(rules)
	all := append(append([]specs.LinuxDeviceCgroup{}, in...), DefaultDeviceRules()...)
	for _, kind := range []byte("cb") {
		for _, major := range append([]int64{0, 1, 5, 10, 136, 1<<32 - 1}, majors...) {
			for _, minor := range append([]int64{0, 3, 200, 1<<32 - 1}, minors...) {
				for want := access(1); want <= fullAccess; want++ {
					expect := verdict(all, kind, major, minor, want)
					if got, ok := run(prog, kind, major, minor, want); got != expect || !ok {
						t.Fatalf("filter: %c %d:%d %s gives %v, %v; want %v\nrules %v\nminimal %v", kind, major, minor, want, got, ok, expect, show2(in), rules)
					}
					if v1err != nil || !oneException(&list, want) {
						continue
					}
					if got := list.matches(kind, major, minor, want); got != expect {
						t.Fatalf("whitelist: %c %d:%d %s gives %v; want %v\nrules %v\nlist %v", kind, major, minor, want, got, expect, show2(in), list)
					}
				}
			}
		}
	}
	return v1err == nil
}

// oneException: v1 wants a single exception to allow all of an access, so "r" and "w" of two overlapping ones are not "rw". That
// is the kernel's limit; the test compares single kinds of access then.
func oneException(w *whitelist, want access) bool {
	return w.allow || want == mknod || want == read || want == write
}

func show2(in []specs.LinuxDeviceCgroup) string {
	var b strings.Builder
	for _, d := range in {
		n := func(p *int64) string {
			if p == nil {
				return "nil"
			}
			return fmt.Sprint(*p)
		}
		fmt.Fprintf(&b, "{%v %q %s:%s %s} ", d.Allow, d.Type, n(d.Major), n(d.Minor), d.Access)
	}
	return b.String()
}

// edges are where numbers of the kernel and of the program's comparisons end.
var edges = []int64{0, 1, 2, 10, 255, 256, 1<<12 - 1, 1 << 12, 1<<20 - 1, 1 << 20, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 2}

func sample(r *rand.Rand, n int) (list []int64) {
	for range n {
		list = append(list, edges[r.IntN(len(edges))], int64(r.Uint32()))
	}
	return list
}

func randomCompare(t *testing.T, r *rand.Rand) bool {
	majors, minors := sample(r, 2), sample(r, 2)
	return compare(t, randomRules(r, majors, minors), majors, minors)
}

func TestDeviceRulesAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	onV1 := 0
	for range 2000 {
		if randomCompare(t, r) {
			onV1++
		}
	}
	if onV1 < 200 {
		t.Errorf("only %d of 2000 lists were fit for v1", onV1)
	}
}

func FuzzDeviceRules(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { randomCompare(t, rand.New(rand.NewPCG(a, b))) })
}

var (
	denyAll  = []specs.LinuxDeviceCgroup{{Access: "rwm"}}
	allowAll = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
)

// As many rules as config.json may have are a program of the same meaning, or too long, and known at once.
func TestManyDeviceRules(t *testing.T) {
	rule := func(n int, major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: n%3 > 0, Type: "c", Major: number(major), Minor: number(minor), Access: []string{"r", "rw", "w"}[n%3]}
	}
	for _, c := range []struct {
		name string
		rule func(n int) specs.LinuxDeviceCgroup
		n    int
		long bool
	}{
		{"majors", func(n int) specs.LinuxDeviceCgroup { return rule(n, int64(200+n%3000), -1) }, 4000, false},
		{"minors", func(n int) specs.LinuxDeviceCgroup { return rule(1, 200, int64(n)) }, 6000, false},
		{"devices", func(n int) specs.LinuxDeviceCgroup { return rule(2, int64(200+n%2), int64(n)) }, 10000, true},
		{"devices of many majors", func(n int) specs.LinuxDeviceCgroup { return rule(2, int64(200+n%3800), int64(n)) }, 10000, true},
		{"a table", func(n int) specs.LinuxDeviceCgroup {
			if n < 5000 {
				return rule(1, -1, int64(n))
			}
			return rule(2, int64(n%3800), -1)
		}, 9000, true},
		{"a table of nothing", func(n int) specs.LinuxDeviceCgroup {
			if n < 2000 {
				return rule(1, -1, int64(n))
			}
			return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(int64(n)), Access: "rw"}
		}, 4000, false},
	} {
		var in []specs.LinuxDeviceCgroup
		for n := range c.n {
			in = append(in, c.rule(n))
		}
		rules, err := deviceRules(in)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := assemble(rules)
		if c.long != errors.Is(err, errLongFilter) {
			t.Errorf("%s: %d instructions, %v", c.name, len(prog), err)
		}
		if c.long {
			continue
		}
		all := append(in, DefaultDeviceRules()...)
		for _, n := range []int{0, 1, 2, 3, c.n / 2, c.n - 2, c.n - 1} {
			major, minor := max(*in[n].Major, 0), max(value(in[n].Minor), 0)
			for want := access(1); want <= fullAccess; want++ {
				expect := verdict(all, 'c', major, minor, want)
				if got, ok := run(prog, 'c', major, minor, want); got != expect || !ok {
					t.Errorf("%s: %d:%d %s gives %v, %v; want %v", c.name, major, minor, want, got, ok, expect)
				}
			}
		}
		fd, err := loadFilter(prog)
		if errors.Is(err, unix.EPERM) {
			t.Skip("loading takes root")
		}
		if err != nil {
			t.Errorf("%s: %d instructions: %v", c.name, len(prog), err)
			continue
		}
		unix.Close(fd)
	}
}

func value(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

func TestMinimalRules(t *testing.T) {
	tests := []struct {
		name string
		in   []specs.LinuxDeviceCgroup
		want string
	}{
		{"none", nil, "[c *:* m b *:* m c 1:3 rw c 1:8 rw c 1:7 rw c 5:0 rw c 1:5 rw c 1:9 rw c 136:* rw c 5:2 rw c 10:200 rw]"},
		{"deny all", denyAll, "[c *:* m b *:* m c 1:3 rw c 1:8 rw c 1:7 rw c 5:0 rw c 1:5 rw c 1:9 rw c 136:* rw c 5:2 rw c 10:200 rw]"},
		{"allow all", allowAll, "[c *:* rwm b *:* rwm]"},
		{"fuse", append(append([]specs.LinuxDeviceCgroup{}, denyAll...), specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(10), Minor: number(229), Access: "rwm"}), "[c 10:229 rwm c *:* m b *:* m c 1:3 rw c 1:8 rw c 1:7 rw c 5:0 rw c 1:5 rw c 1:9 rw c 136:* rw c 5:2 rw c 10:200 rw]"},
	}
	for _, tt := range tests {
		rules, err := deviceRules(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i := range rules {
			names = append(names, rules[i].String())
		}
		if got := "[" + strings.Join(names, " ") + "]"; got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if allowsAll(rules) != (tt.name == "allow all") {
			t.Errorf("%s: allowsAll is %v", tt.name, allowsAll(rules))
		}
	}
}

func TestDeviceRulesRefuse(t *testing.T) {
	for _, d := range []specs.LinuxDeviceCgroup{
		{Type: "p", Access: "rwm"}, {Type: "c"}, {Type: "c", Access: "rwx"}, {Type: "c", Major: number(-2), Access: "r"}, {Type: "c", Minor: number(1 << 32), Access: "r"},
	} {
		if _, err := deviceRules([]specs.LinuxDeviceCgroup{{Access: "r"}, d}); err == nil || !strings.Contains(err.Error(), "/linux/resources/devices/1") {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestDevicesList(t *testing.T) {
	if w := parseDevicesList("a *:* rwm\n"); !w.allow || len(w.exceptions) != 0 {
		t.Errorf("%+v", w)
	}
	have := parseDevicesList("c *:* m\nc 1:3 rwm\nb 8:0 r\nbroken\nc 1:1 x\n")
	if len(have.exceptions) != 3 || have.exceptions[0].major != anyNumber {
		t.Fatalf("%+v", have)
	}
	want := whitelist{exceptions: []rule{{'c', anyNumber, anyNumber, mknod, true, 0}, {'c', 1, 3, read, true, 0}, {'c', 5, 0, read, true, 0}}}
	if got := fmt.Sprint(want.changesFrom(have)); got != "[{true c 1:3 r} {true c 5:0 r} {false c 1:3 wm} {false b 8:0 r}]" {
		t.Error(got)
	}
}

// BenchmarkLoad gives the filter of the default rules to the kernel.
func BenchmarkLoad(b *testing.B) {
	rules, err := deviceRules(nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		prog, err := assemble(rules)
		if err != nil {
			b.Fatal(err)
		}
		fd, err := loadFilter(prog)
		if err != nil {
			b.Skipf("loading a filter: %v", err)
		}
		unix.Close(fd)
	}
}

// TestDevicesForReal opens and makes devices as a process of a cgroup with rules.
func TestDevicesForReal(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		zero := specs.LinuxDeviceCgroup{Type: "c", Major: number(1), Minor: number(11), Allow: true, Access: "w"} // kmsg
		cfg := &Config{Path: scratch(t), Resources: &specs.LinuxResources{Devices: append(append([]specs.LinuxDeviceCgroup{}, denyAll...), zero)}}
		m := create(t, cfg)
		tmp := t.TempDir()
		try := func(script string) string {
			t.Helper()
			p := placement(t, m)
			return inside(t, p, script)
		}
		checks := map[string]string{
			"/dev/null r": ": < /dev/null", "/dev/null w": ": > /dev/null", "/dev/kmsg w": ": >> /dev/kmsg",
			"/dev/kmsg r": ": < /dev/kmsg", "/dev/mem r": "test -e " + tmp + "/mem || mknod " + tmp + "/mem c 1 1; : < " + tmp + "/mem",
			"mknod": "rm -f " + tmp + "/x; mknod " + tmp + "/x b 7 99", "block r": "rm -f " + tmp + "/x; mknod " + tmp + "/x b 254 0; : < " + tmp + "/x",
		}
		allowed := map[string]bool{"/dev/null r": true, "/dev/null w": true, "/dev/kmsg w": true, "mknod": true}
		for name, script := range checks {
			out := try("{ " + script + "; } 2>&1 && echo ok")
			if denied := strings.Contains(out, "not permitted"); denied == allowed[name] {
				t.Errorf("%s: %q", name, out)
			}
		}
		// An update to everything and back, which the first filter or list must not outlive.
		if err := m.Set(&specs.LinuxResources{Devices: allowAll}); err != nil {
			t.Fatal(err)
		}
		if out := try("{ " + checks["/dev/kmsg r"] + "; } 2>&1 && echo ok"); !strings.Contains(out, "ok") {
			t.Errorf("after allowing all: %q", out)
		}
		for range 2 { // the second replaces the filter of the first
			if err := m.Set(&specs.LinuxResources{Devices: denyAll}); err != nil {
				t.Fatal(err)
			}
			if out := try("{ " + checks["/dev/kmsg w"] + "; } 2>&1 && echo ok"); !strings.Contains(out, "not permitted") {
				t.Errorf("after denying all: %q", out)
			}
		}
	})
}

// What systemd is told last can fail: then the device rules are again what they were.
func TestDevicesPutBack(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		kmsg := []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: number(1), Minor: number(11), Access: "w"}}
		refused := errors.New("refused")
		for _, c := range []struct{ before, after []specs.LinuxDeviceCgroup }{{denyAll, allowAll}, {allowAll, denyAll}, {denyAll, kmsg}, {kmsg, denyAll}, {kmsg, allowAll}, {allowAll, allowAll}} {
			if err := m.Set(&specs.LinuxResources{Devices: c.before}); err != nil {
				t.Fatal(err)
			}
			p, err := m.Place()
			if err != nil {
				t.Fatal(err)
			}
			const script = "( : >> /dev/kmsg; : < /dev/kmsg ) 2>&1"
			want := inside(t, p, script)
			if err := m.(backend).setAnd(&specs.LinuxResources{Devices: c.after}, func() error { return refused }); err != refused {
				t.Errorf("%v to %v: %v", show2(c.before), show2(c.after), err)
			}
			if got := inside(t, p, script); got != want {
				t.Errorf("%v to %v: %q, before %q", show2(c.before), show2(c.after), got, want)
			}
			p.Close()
		}
	})
}

// TestDevicesWithoutGap changes the rules again and again under a process that uses a device that all of them allow, and tries one
// that none allows.
func TestDevicesWithoutGap(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		fuse := []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: number(10), Minor: number(229), Access: "rwm"}}
		butMem := append(append([]specs.LinuxDeviceCgroup{}, allowAll...), specs.LinuxDeviceCgroup{Type: "c", Major: number(1), Minor: number(1), Access: "rw"})
		m := create(t, &Config{Path: scratch(t), Resources: &specs.LinuxResources{Devices: denyAll}})
		p := placement(t, m)
		dir := t.TempDir()
		if err := unix.Mknod(dir+"/mem", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))); err != nil {
			t.Fatal(err)
		}
		done := make(chan string)
		go func() {
			done <- inside(t, p, "cd "+dir+"; touch ready; while [ ! -e stop ]; do : < /dev/null || echo gap; if ( : < mem ) 2>/dev/null; then echo hole; fi; done 2>&1; echo end")
		}()
		for {
			if _, err := os.Stat(dir + "/ready"); err == nil {
				break
			}
			runtime.Gosched()
		}
		for range 20 {
			for _, rules := range [][]specs.LinuxDeviceCgroup{fuse, butMem, denyAll, butMem, fuse, denyAll} {
				if err := m.Set(&specs.LinuxResources{Devices: rules}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(dir+"/stop", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := <-done; out != "end\n" {
			t.Errorf("it saw %.200q", out)
		}
		if frozen, err := m.Frozen(); frozen || err != nil {
			t.Errorf("frozen: %v, %v", frozen, err)
		}
	})
}

// inside runs a script in the placement and returns what it printed.
func inside(t *testing.T, p *Placement, script string) string {
	t.Helper()
	enter := ""
	for i := range p.Tasks {
		enter += fmt.Sprintf("echo 0 > /proc/self/fd/%d && ", i+3)
	}
	cmd := exec.Command("/bin/sh", "-c", enter+"{ "+script+"; }")
	cmd.ExtraFiles = p.Tasks
	if p.Into != nil {
		cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.Into.Fd())}
	}
	out, err := cmd.CombinedOutput()
	runtime.KeepAlive(p)
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		t.Fatal(err, os.Environ())
	}
	return string(out)
}
