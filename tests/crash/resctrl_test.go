package crash

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"husk/internal/resctrltest"
)

// resctrl has the commands of a test use a stand-in for the resctrl file system. At its end the groups that stay must be there,
// and no others.
func resctrl(t *testing.T, stay ...string) (root string) {
	t.Helper()
	root = resctrltest.Mount(t, 3)
	t.Setenv("HUSK_RESCTRL", root)
	t.Cleanup(func() {
		for _, dir := range []string{root, root + "/mon_groups", root + "/gold/mon_groups"} {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if e.IsDir() && e.Name() != "info" && e.Name() != "mon_groups" && !strings.Contains(strings.Join(stay, " "), e.Name()) {
					t.Errorf("group is left: %s/%s", dir, e.Name())
				}
			}
		}
		for _, name := range stay {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("group is gone: %v", err)
			}
		}
	})
	return root
}

// groups is the part of everything that needs resctrl, if there can be any.
func groups(t *testing.T, point string) string {
	t.Helper()
	if why := resctrltest.Missing(); why != "" {
		if strings.HasPrefix(point, "resctrl-") {
			t.Skip(why)
		}
		return ""
	}
	resctrl(t)
	return `/linux/intelRdt {"memBwSchema": "MB:0=50", "enableMonitoring": true}`
}

// members are the processes in a group.
func members(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(dir + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

func TestResctrl(t *testing.T) {
	for _, c := range []struct {
		name, rdt, group string
		stay             []string
		schemata         string
	}{
		{"own group", `{"l3CacheSchema": "L3:0=f", "enableMonitoring": true}`, "/c", nil, "MB:0=100;1=100 L3:0=f;1=7ff"},
		{"named group", `{"closID": "gold", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:1=35", "schemata": ["L3:1=ff"], "enableMonitoring": true}`, "/gold", []string{"gold"}, "MB:0=100;1=40 L3:0=f;1=ff"},
		{"default group", `{"closID": "/", "enableMonitoring": true}`, "", nil, "MB:0=100;1=100 L3:0=7ff;1=7ff"},
		{"older members", `{"enableCMT": false, "enableMBM": true}`, "/c", nil, "MB:0=100;1=100 L3:0=7ff;1=7ff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			root := resctrl(t, c.stay...)
			bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`, "/linux/intelRdt "+c.rdt)
			b.Must("create", "--bundle", bundle, "c")
			init := strconv.Itoa(b.Pid("c"))
			for _, dir := range []string{root + c.group, root + c.group + "/mon_groups/c"} {
				if got := members(t, dir); len(got) != 1 || got[0] != init {
					t.Errorf("processes in %s before the start: %q, want %s", dir, got, init)
				}
			}
			data, err := os.ReadFile(root + c.group + "/schemata")
			if got := strings.Join(strings.Fields(string(data)), " "); err != nil || got != c.schemata {
				t.Errorf("schemata %q %v, want %q", got, err, c.schemata)
			}
			b.Must("start", "c")
			b.Must("delete", "--force", "c")
		})
	}
}

// TestResctrlUpdate: the schemata change with an update, and not if it is refused for another reason.
func TestResctrlUpdate(t *testing.T) {
	b := newBox(t)
	root := resctrl(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`, `/linux/intelRdt {"memBwSchema": "MB:0=50"}`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	expect := func(want string) {
		t.Helper()
		data, err := os.ReadFile(root + "/c/schemata")
		if got := strings.Join(strings.Fields(string(data)), " "); err != nil || got != want {
			t.Errorf("schemata %q %v, want %q", got, err, want)
		}
	}
	b.Must("update", "--l3-cache-schema", "L3:0=3", "--mem-bw-schema", "MB:1=20", "c")
	expect("MB:0=50;1=20 L3:0=3;1=7ff")
	for words, args := range map[string][]string{
		"/linux/resources/cpu/cpus":    {"--l3-cache-schema", "L3:0=f", "--cpuset-cpus", "4000"},
		"/linux/intelRdt/memBwSchema":  {"--mem-bw-schema", "20"},
		"(Value fff out of range)":     {"--mem-bw-schema", "MB:0=10", "--l3-cache-schema", "L3:1=fff"},
		"/linux/intelRdt/memBwSchema:": {"--l3-cache-schema", "L3:1=f", "--mem-bw-schema", "MB:9=10"},
	} {
		if res := b.Husk(append(append([]string{"update"}, args...), "c")...); res.Code != 1 || !strings.Contains(res.Err, words) {
			t.Errorf("%q: %d %s, want %q", args, res.Code, res.Err, words)
		}
		expect("MB:0=50;1=20 L3:0=3;1=7ff")
	}
	b.Must("delete", "--force", "c")
}

// TestResctrlExec: a process that is added enters the groups as well. There is no pid namespace: into one it would come by a
// fork, and the stand-in knows nothing of what a child inherits.
func TestResctrlExec(t *testing.T) {
	b := newBox(t)
	root := resctrl(t, "gold")
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`, "/linux/namespaces/0", `/linux/intelRdt {"closID": "gold", "schemata": ["MB:0=10"], "enableMonitoring": true}`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	pidfile := filepath.Join(b.Dir, "pid")
	b.Must("exec", "--detach", "--pid-file", pidfile, "c", "/bin/sleep", "1000")
	pid, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root + "/gold", root + "/gold/mon_groups/c"} {
		if got := members(t, dir); len(got) != 2 || !slices.Contains(got, string(pid)) {
			t.Errorf("processes in %s: %q, want %s and the first", dir, got, pid)
		}
	}
	// Somebody removes the groups: exec goes on without.
	if err := errors.Join(os.Remove(root+"/gold/mon_groups/c"), os.Remove(root+"/gold")); err != nil {
		t.Fatal(err)
	}
	b.Must("exec", "c", "/bin/true")
	b.Must("delete", "--force", "c")
	if err := os.Mkdir(root+"/gold", 0o755); err != nil {
		t.Error(err)
	}
}

func TestResctrlRefused(t *testing.T) {
	for _, c := range []struct{ name, changes, words string }{
		{"missing group", `/linux/intelRdt {"closID": "gold"}`, `/linux/intelRdt/closID: look for group "gold", which must be there if no schema is given: no such file or directory`},
		{"bad schema", `/linux/intelRdt {"closID": "gold", "l3CacheSchema": "L3:0=f0000"}`, "invalid argument (Value f0000 out of range)"},
		{"other schema", `/linux/intelRdt {"closID": "/", "l3CacheSchema": "L3:0=f"}`, `it has "L3:0=7ff;1=7ff", not "L3:0=f"`},
		{"missing program", "/process/args [\"/nowhere\"]\n/linux/intelRdt {\"closID\": \"gold\", \"memBwSchema\": \"MB:0=50\", \"enableMonitoring\": true}", "/nowhere"},
		{"missing program, own group", "/process/args [\"/nowhere\"]\n/linux/intelRdt {\"enableMonitoring\": true}", "/nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			resctrl(t)
			bundle := b.Bundle(c.changes)
			res := b.Husk("create", "--bundle", bundle, "c")
			if res.Code != 1 || !strings.Contains(res.Err, c.words) || strings.Count(res.Err, "\n") != 1 {
				t.Errorf("create: %d %s, want %q", res.Code, res.Err, c.words)
			}
		})
	}
}

// A damaged record does not keep delete --force from removing the groups that have the container's name.
func TestResctrlDamagedRecord(t *testing.T) {
	b := newBox(t)
	resctrl(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`, `/linux/intelRdt {"enableMonitoring": true}`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	if err := os.WriteFile(filepath.Join(b.Root, "c", "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Must("delete", "--force", "c")
}
