package resctrl

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/fdtest"
	"husk/internal/resctrltest"
)

func TestMain(m *testing.M) { fdtest.Main(m) }

// makeGroup makes the groups of a configuration.
func makeGroup(t *testing.T, root string, rdt *specs.LinuxIntelRdt, id string) (Group, error) {
	t.Helper()
	g, err := prepare(root, rdt, id)
	if err == nil {
		err = g.Make(rdt)
	}
	if err != nil {
		t.Log(err)
		if strings.ContainsAny(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "/linux/intelRdt") {
			t.Errorf("not one line with a place: %q", err)
		}
	}
	return g, err
}

// enter puts this process into the groups. The process of a container has one thread, and writes "0".
func enter(t *testing.T, g Group) {
	t.Helper()
	files, err := g.Tasks()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := file.WriteString(strconv.Itoa(os.Getpid())); err != nil {
			t.Error(err)
		}
		file.Close()
	}
}

func schemata(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(dir + "/schemata")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

func isMember(t *testing.T, dir string) bool {
	t.Helper()
	data, err := os.ReadFile(dir + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(data), strconv.Itoa(os.Getpid())+"\n")
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// TestRules goes through the rules of config-linux.md#intelrdt.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name     string
		there    string // schemata of the group "gold", if that exists before
		rdt      specs.LinuxIntelRdt
		group    string // below the root
		schemata string
		stays    bool // after the container
		monitor  bool
	}{
		{"own group", "", specs.LinuxIntelRdt{}, "/c", "MB:0=100;1=100 L3:0=7ff;1=7ff", false, false},
		{"own group with schemas", "", specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:1=20"}, "/c", "MB:0=100;1=20 L3:0=f;1=7ff", false, false},
		{"default group", "", specs.LinuxIntelRdt{ClosID: "/"}, "", "MB:0=100;1=100 L3:0=7ff;1=7ff", true, false},
		{"default group monitored", "", specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, "", "MB:0=100;1=100 L3:0=7ff;1=7ff", true, true},
		{"new named group", "", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=ff;1=0f"}, "/gold", "MB:0=100;1=100 L3:0=ff;1=f", true, false},
		{"new named group by schemata", "", specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"MB:0=30", "L3:1=3"}}, "/gold", "MB:0=30;1=100 L3:0=7ff;1=3", true, false},
		{"named group", "L3:0=1", specs.LinuxIntelRdt{ClosID: "gold"}, "/gold", "MB:0=100;1=100 L3:0=1;1=7ff", true, false},
		{"named group agrees", "MB:0=20", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:1=0x7FF;0=7ff", MemBwSchema: "MB:0=15"}, "/gold", "MB:0=20;1=100 L3:0=7ff;1=7ff", true, false},
		{"named group gets schemata", "L3:0=1", specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=2"}}, "/gold", "MB:0=100;1=100 L3:0=2;1=7ff", true, false},
		{"schemata are last", "", specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f;1=f", MemBwSchema: "MB:0=10", Schemata: []string{"L3:0=1", "MB:0=50"}}, "/c", "MB:0=50;1=100 L3:0=1;1=f", false, false},
		{"schemata of one resource twice", "", specs.LinuxIntelRdt{Schemata: []string{"L3:0=1", "L3:0=3"}}, "/c", "MB:0=100;1=100 L3:0=3;1=7ff", false, false},
		{"several lines", "", specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f\nL3:1=f\n"}, "/c", "MB:0=100;1=100 L3:0=f;1=f", false, false},
		{"monitored", "", specs.LinuxIntelRdt{EnableMonitoring: true}, "/c", "MB:0=100;1=100 L3:0=7ff;1=7ff", false, true},
		{"named group monitored", "L3:0=1", specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, "/gold", "MB:0=100;1=100 L3:0=1;1=7ff", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := resctrltest.Mount(t, 7)
			if c.there != "" {
				if _, err := makeGroup(t, root, &specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{c.there}}, "other"); err != nil {
					t.Fatal(err)
				}
			}
			g, err := makeGroup(t, root, &c.rdt, "c")
			if err != nil {
				t.Fatal(err)
			}
			dir := root + c.group
			if got := schemata(t, dir); got != c.schemata {
				t.Errorf("schemata %q, want %q", got, c.schemata)
			}
			enter(t, g)
			if !isMember(t, dir) {
				t.Error("the process is not in the group")
			}
			if mon := dir + "/mon_groups/c"; exists(mon) != c.monitor || c.monitor && !isMember(t, mon) {
				t.Errorf("monitoring group: %v, want %v", exists(mon), c.monitor)
			}
			for range 2 {
				if err := g.Remove(); err != nil {
					t.Error(err)
				}
			}
			if exists(dir) != c.stays || exists(dir+"/mon_groups/c") {
				t.Errorf("the group is there: %v, want %v; monitoring group: %v", exists(dir), c.stays, exists(dir+"/mon_groups/c"))
			}
		})
	}
}

// TestRefusals: an error that says where and why, and nothing new is left.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int
		rdt   specs.LinuxIntelRdt
		errno error
		words string
	}{
		{"named group is missing", 7, specs.LinuxIntelRdt{ClosID: "gold"}, unix.ENOENT, `closID: look for group "gold"`},
		{"named group is none", 7, specs.LinuxIntelRdt{ClosID: "info"}, unix.ENOENT, `closID: look for group "info"`},
		{"named group can't be one", 7, specs.LinuxIntelRdt{ClosID: "info", L3CacheSchema: "L3:0=1"}, unix.EEXIST, "closID: make group"},
		{"other L3", 7, specs.LinuxIntelRdt{ClosID: "there", L3CacheSchema: "L3:0=f"}, nil, `it has "L3:0=7ff;1=7ff", not "L3:0=f"`},
		{"other bandwidth", 7, specs.LinuxIntelRdt{ClosID: "there", MemBwSchema: "MB:0=40;1=30"}, nil, `it has "MB:0=40;1=100", not "MB:0=40;1=30"`},
		{"default group is another", 7, specs.LinuxIntelRdt{ClosID: "/", MemBwSchema: "MB:0=40"}, nil, `it has "MB:0=100;1=100"`},
		{"comparison with nonsense", 7, specs.LinuxIntelRdt{ClosID: "there", L3CacheSchema: "L3:0=7ff;x"}, nil, "it has"},
		{"unknown domain", 7, specs.LinuxIntelRdt{ClosID: "there", L3CacheSchema: "L3:2=7ff"}, nil, "it has"},
		{"bad mask", 7, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=fff"}, unix.EINVAL, "(Value fff out of range)"},
		{"bad resource", 7, specs.LinuxIntelRdt{ClosID: "new", Schemata: []string{"MB:0=10", "L9:0=1"}}, unix.EINVAL, "schemata/1: write to "},
		{"too many groups", 1, specs.LinuxIntelRdt{}, unix.ENOSPC, "(Out of CLOSIDs)"},
		{"too many monitoring groups", 1, specs.LinuxIntelRdt{ClosID: "there", EnableMonitoring: true}, unix.ENOSPC, "(Out of RMIDs)"},
		{"monitoring group is there", 7, specs.LinuxIntelRdt{ClosID: "there", EnableMonitoring: true}, unix.EEXIST, "enableMonitoring: make group"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := resctrltest.Mount(t, c.limit)
			if _, err := makeGroup(t, root, &specs.LinuxIntelRdt{ClosID: "there", Schemata: []string{"MB:0=40"}}, "x"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(root+"/there/mon_groups/c", 0o755); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadDir(root)
			id := "c"
			if c.limit == 1 {
				id = "d"
			}
			_, err := makeGroup(t, root, &c.rdt, id)
			if err == nil || c.errno != nil && !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %v and %q", err, c.errno, c.words)
			}
			if after, _ := os.ReadDir(root); len(after) != len(before) {
				t.Errorf("groups before: %v, after: %v", before, after)
			}
		})
	}
}

// A group that somebody has made, and that has the container's id as its name, is no different from one that is named.
func TestOwnNameIsThere(t *testing.T) {
	root := resctrltest.Mount(t, 7)
	if _, err := makeGroup(t, root, &specs.LinuxIntelRdt{ClosID: "c", L3CacheSchema: "L3:0=f"}, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := makeGroup(t, root, &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1"}, "c"); err == nil {
		t.Error("the group's schemata are another's")
	}
	g, err := makeGroup(t, root, &specs.LinuxIntelRdt{EnableMonitoring: true}, "c")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil || !exists(root+"/c") || exists(g.Monitor) {
		t.Errorf("after the container: %v", err)
	}
}

func TestMissingHardware(t *testing.T) {
	root := resctrltest.Mount(t, 7, "L2")
	for pointer, rdt := range map[string]specs.LinuxIntelRdt{
		"l3CacheSchema":    {L3CacheSchema: "L3:0=f"},
		"memBwSchema":      {MemBwSchema: "MB:0=10"},
		"enableMonitoring": {ClosID: "/", EnableMonitoring: true},
	} {
		if _, err := makeGroup(t, root, &rdt, "c"); err == nil || !strings.HasPrefix(err.Error(), "/linux/intelRdt/"+pointer+": look for ") {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	if _, err := makeGroup(t, root, &specs.LinuxIntelRdt{ClosID: "/"}, "c"); err != nil {
		t.Error(err)
	}
}

// TestUndo: a create that fails after all removes even a group with a name of its own, unless somebody is in it.
func TestUndo(t *testing.T) {
	root := resctrltest.Mount(t, 7)
	gold := &specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f", EnableMonitoring: true}
	g, err := makeGroup(t, root, gold, "c")
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeGroup(t, root, gold, "d")
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Undo(); err != nil || !exists(root+"/gold") || exists(second.Monitor) {
		t.Errorf("undo in a group that was there: %v", err)
	}
	enter(t, g)
	if err := g.Undo(); err != nil || !exists(root+"/gold") {
		t.Errorf("undo with a process in the group: %v", err)
	}
	enter(t, Group{Path: root})
	if err := g.Undo(); err != nil || exists(root+"/gold") {
		t.Errorf("undo: %v", err)
	}
}

// A group that somebody has removed meanwhile takes no process in.
func TestTasksOfRemovedGroup(t *testing.T) {
	g := Group{Path: t.TempDir() + "/gone", Monitor: "/nowhere"}
	if files, err := g.Tasks(); len(files) > 0 || err != nil {
		t.Errorf("%v, %v", files, err)
	}
	if files, err := (&Group{}).Tasks(); len(files) > 0 || err != nil {
		t.Errorf("%v, %v", files, err)
	}
}

func TestNotMounted(t *testing.T) {
	if isResctrl("/sys/fs/resctrl") {
		t.Skip("this machine has resctrl")
	}
	if _, err := Prepare(&specs.LinuxIntelRdt{}, "c"); !errors.Is(err, ErrNotMounted) {
		t.Errorf("got %v", err)
	}
}

func TestChange(t *testing.T) {
	root := resctrltest.Mount(t, 7)
	made, err := makeGroup(t, root, &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20"}, "c")
	if err != nil {
		t.Fatal(err)
	}
	g := Group{Path: made.Path, Own: made.Own} // as it comes from a record
	expect := func(want string) {
		t.Helper()
		if got := schemata(t, g.Path); got != want {
			t.Errorf("schemata %q, want %q", got, want)
		}
	}
	undo, err := g.Change(&specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1;1=3", MemBwSchema: "MB:1=50"})
	if err != nil {
		t.Fatal(err)
	}
	expect("MB:0=20;1=50 L3:0=1;1=3")
	if err := undo(); err != nil {
		t.Error(err)
	}
	expect("MB:0=20;1=100 L3:0=f;1=7ff")
	for words, rdt := range map[string]specs.LinuxIntelRdt{
		"/linux/intelRdt/memBwSchema: write to ": {L3CacheSchema: "L3:0=1", MemBwSchema: "MB:7=50"},
		"(Value fff out of range)":               {L3CacheSchema: "L3:0=fff"},
	} {
		if _, err := g.Change(&rdt); err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "put back") {
			t.Errorf("%+v: %v", rdt, err)
		}
		expect("MB:0=20;1=100 L3:0=f;1=7ff")
	}
	everybody := Group{Path: root}
	if _, err := everybody.Change(&specs.LinuxIntelRdt{MemBwSchema: "MB:0=10"}); !errors.Is(err, unix.EPERM) {
		t.Errorf("the default group: %v", err)
	}
}
