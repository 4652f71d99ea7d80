package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exists counts the directories of the manager's cgroup.
func exists(m Manager) int {
	n := 0
	for _, p := range m.State().Paths {
		if _, err := os.Stat(p); err == nil {
			n++
		}
	}
	return n
}

func TestLife(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		cfg := &Config{Path: scratch(t), ID: "x"}
		m := create(t, cfg)
		if n := exists(m); n == 0 || n != len(m.State().Paths) {
			t.Fatalf("%d directories of %v", n, m.State().Paths)
		}
		cmd := place(t, m)
		for range 2 { // the second time as another command would do it
			if pids, err := m.Pids(false); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
				t.Fatalf("pids %v, %v; want %d", pids, err, cmd.Process.Pid)
			}
			var err error
			if m, err = Load(m.State()); err != nil {
				t.Fatal(err)
			}
		}
		checkEntered(t, m, cmd.Process.Pid)

		again, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Create(cfg); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup is not empty: 1 process(es) found") {
			t.Errorf("create over a live container: %v", err)
		}
		if n := exists(m); n != len(m.State().Paths) {
			t.Error("the refused create removed directories")
		}

		if err := m.Freeze(true); err != nil {
			t.Fatal(err)
		}
		if frozen, err := m.Frozen(); !frozen || err != nil {
			t.Errorf("frozen: %v, %v", frozen, err)
		}
		if err := m.Freeze(false); err != nil {
			t.Fatal(err)
		}
		if frozen, err := m.Frozen(); frozen || err != nil {
			t.Errorf("thawed: %v, %v", frozen, err)
		}

		start := time.Now()
		var busy *BusyError
		if err := m.Delete(30 * time.Millisecond); !errors.As(err, &busy) || !errors.Is(err, unix.EBUSY) || !slices.Equal(busy.Pids, []int{cmd.Process.Pid}) {
			t.Errorf("delete of a live container: %v", err)
		}
		if took := time.Since(start); took < 30*time.Millisecond || took > 3*time.Second {
			t.Errorf("delete waited %v", took)
		}
		if err := m.Freeze(true); err != nil { // Kill has to reach frozen processes
			t.Fatal(err)
		}
		if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if n := exists(m); n != 0 {
			t.Errorf("%d directories left", n)
		}
		if err := m.Kill(); err != nil {
			t.Errorf("kill of what is gone: %v", err)
		}
		if frozen, err := m.Frozen(); frozen || err != nil {
			t.Errorf("frozen state of what is gone: %v, %v", frozen, err)
		}
	})
}

// checkEntered looks whether the process is in every hierarchy.
func checkEntered(t *testing.T, m Manager, pid int) {
	t.Helper()
	in, err := cgroupsOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range m.State().Paths {
		if own := in.find(name); own == "" || !strings.HasSuffix(p, own) {
			t.Errorf("hierarchy %q: process in %q, cgroup %q", name, own, p)
		}
	}
}

func TestSubCgroups(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		s := m.State()
		for _, p := range s.Paths {
			if err := os.MkdirAll(p+"/sub/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				if data, err := os.ReadFile(p + "/" + f); err == nil && s.Version != V2 {
					if err := errors.Join(os.WriteFile(p+"/sub/"+f, data, 0), os.WriteFile(p+"/sub/sub/"+f, data, 0)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		p, err := m.PlaceSub([]string{"sub/sub"})
		if err != nil {
			t.Fatal(err)
		}
		cmd := sleeper(t, p)
		p.Close()
		if pids, err := m.Pids(true); err != nil || !slices.Contains(pids, cmd.Process.Pid) {
			t.Errorf("recursive pids %v, %v", pids, err)
		}
		if s.Version == V2 {
			if pids, err := m.Pids(false); err != nil || len(pids) != 0 {
				t.Errorf("own pids %v, %v", pids, err)
			}
		}
		if _, err := m.PlaceSub([]string{"../x"}); err == nil || !strings.Contains(err.Error(), "bad sub cgroup path") {
			t.Errorf("a way out: %v", err)
		}
		if _, err := m.PlaceSub([]string{"nothing"}); err == nil {
			t.Error("placed in a sub-cgroup that does not exist")
		}
		beside, err := m.PlaceBeside(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		second := sleeper(t, beside)
		beside.Close()
		first, _ := cgroupsOf(cmd.Process.Pid)
		if other, _ := cgroupsOf(second.Process.Pid); !slices.Equal(first, other) {
			t.Errorf("beside: %v and %v", first, other)
		}
		if _, err := m.PlaceBeside(os.Getpid()); err == nil {
			t.Error("placed beside a stranger")
		}
		freezeSub(t, m)
		if err := m.Kill(); err != nil { // has to thaw: SIGKILL alone stays pending in a v1 freezer
			t.Fatal(err)
		}
	})
}

// freezeSub freezes what a container may freeze itself: a cgroup below its own.
func freezeSub(t *testing.T, m Manager) {
	t.Helper()
	s, name, value := m.State(), "cgroup.freeze", "1"
	dir := s.Paths[""]
	if s.Version != V2 {
		dir, name, value = s.Paths["freezer"], "freezer.state", "FROZEN"
	}
	if err := os.WriteFile(dir+"/sub/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func TestRefuseFrozen(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		cfg := &Config{Path: scratch(t)}
		m := create(t, cfg)
		if err := m.Freeze(true); err != nil {
			t.Fatal(err)
		}
		again, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Create(cfg); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup unexpectedly frozen") {
			t.Errorf("create in a frozen cgroup: %v", err)
		}
		if err := m.Freeze(false); err != nil {
			t.Fatal(err)
		}
		if err := again.Create(cfg); err != nil { // empty and thawed: fine
			t.Errorf("create in an empty cgroup: %v", err)
		}
	})
}

// TestUndo lets Create fail after it made directories, parents included.
func TestUndo(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		base := scratch(t)
		cfg := &Config{Path: base + "/a/b/c", Resources: resources(t, `{"hugepageLimits":[{"pageSize":"7MB","limit":1}]}`)}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Create(cfg); err == nil || !strings.Contains(err.Error(), "/linux/resources/hugepageLimits/0") {
			t.Fatalf("create with a page size that no machine has: %v", err)
		}
		lay, err := DetectLayout()
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range lay.Hierarchies {
			if _, err := os.Stat(h.Mountpoint + path.Dir(base)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s%s is left: %v", h.Mountpoint, path.Dir(base), err)
			}
		}
	})
}

// TestLimits sets what the host's v1 controllers can do and reads it back.
func TestLimits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids"} {
		if usualMount(c) == "" {
			t.Skipf("the controller %s is not mounted as v1", c)
		}
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":67108864,"reservation":33554432,"swappiness":30},
		"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":33},"blockIO":{"weight":0}}`)})
	check := func(want map[string]string) {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(want)) {
			controller, _, _ := strings.Cut(name, ".")
			if got := file(t, m, controller, name); got != want[name] {
				t.Errorf("%s is %q, want %q", name, got, want[name])
			}
		}
	}
	check(map[string]string{
		"memory.limit_in_bytes": "67108864", "memory.soft_limit_in_bytes": "33554432", "memory.swappiness": "30", "cpu.shares": "512",
		"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "33",
	})
	if n, err := m.OOMKills(); n != 0 || err != nil {
		t.Errorf("oom kills: %d, %v", n, err)
	}
	steps := []struct {
		doc  string
		want map[string]string
	}{
		{`{"cpu":{"quota":-1,"period":50000},"pids":{"limit":-1}}`, map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "50000", "pids.max": "max", "cpu.shares": "512"}},
		{`{"pids":{"limit":0},"memory":{"limit":-1}}`, map[string]string{"pids.max": "1", "memory.limit_in_bytes": "9223372036854771712"}},
	}
	if _, err := os.Stat(m.State().Paths["memory"] + "/memory.memsw.limit_in_bytes"); err == nil {
		// up, down and up again: each order of the two writes is wrong for one of them
		for _, mb := range []int{64, 256, 32, 512} {
			steps = append(steps, struct {
				doc  string
				want map[string]string
			}{
				fmt.Sprintf(`{"memory":{"limit":%d,"swap":%d}}`, mb<<20, mb<<21),
				map[string]string{"memory.limit_in_bytes": strconv.Itoa(mb << 20), "memory.memsw.limit_in_bytes": strconv.Itoa(mb << 21)},
			})
		}
	}
	for _, s := range steps {
		if err := m.Set(resources(t, s.doc)); err != nil {
			t.Errorf("%s: %v", s.doc, err)
		}
		check(s.want)
	}
	for doc, text := range map[string]string{
		`{"network":{"classID":1}}`:            `controller "net_cls" is not mounted (/linux/resources/network/classID)`,
		`{"cpu":{"cpus":"4095"}}`:              "(/linux/resources/cpu/cpus)",
		`{"unified":{"memory.max":"1"}}`:       "invalid configuration",
		`{"memory":{"limit":4096,"swap":1}}`:   "(/linux/resources/memory/",
		`{"cpu":{"quota":1,"period":1000000}}`: "(/linux/resources/cpu/quota)",
	} {
		if err := m.Set(resources(t, doc)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestOOM lets a process run into its memory limit.
func TestOOM(t *testing.T) {
	if os.Geteuid() != 0 || usualMount("memory") == "" {
		t.Skip("needs root and the v1 memory controller")
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":8388608,"swap":8388608}}`)})
	p, err := m.Place()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_ = inside(t, p, "exec head -c 100000000 /dev/zero | tail")
	if n, err := m.OOMKills(); n == 0 || err != nil {
		t.Errorf("oom kills: %d, %v", n, err)
	}
}

// TestUnified covers what only cgroup2 can do or refuse. It runs where there is no v1 file system in sight.
func TestUnified(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		base := scratch(t)
		all, err := os.ReadFile(root + "/cgroup.controllers")
		if err != nil {
			t.Fatal(err)
		}
		m := create(t, &Config{Path: base, Owner: &Owner{UID: 1000, GID: 1001}, Resources: resources(t, `{"cpu":{"shares":1024},"pids":{"limit":-1},"memory":{"disableOOMKiller":false}}`)})
		if got := file(t, m, "", "cgroup.controllers"); got != strings.TrimSpace(string(all)) {
			t.Errorf("controllers %q of %q", got, all)
		}
		dir := m.State().Paths[""]
		for name, want := range map[string]uint32{"": 1000, "/cgroup.procs": 1000, "/cgroup.subtree_control": 1000, "/cgroup.threads": 1000, "/cgroup.max.depth": 0} {
			var st unix.Stat_t
			if err := unix.Stat(dir+name, &st); err != nil || st.Uid != want {
				t.Errorf("owner of %s%s is %d, %v; want %d", dir, name, st.Uid, err, want)
			}
		}
		if err := m.Set(resources(t, `{"unified":{"cgroup.max.depth":"3"}}`)); err != nil || file(t, m, "", "cgroup.max.depth") != "3" {
			t.Errorf("unified: %v", err)
		}
		if strings.Contains(string(all), "hugetlb") {
			if err := m.Set(resources(t, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)); err != nil {
				t.Error(err)
			}
			if a, b := file(t, m, "", "hugetlb.2MB.max"), file(t, m, "", "hugetlb.2MB.rsvd.max"); a != "4194304" || b != a {
				t.Errorf("hugetlb limits %q and %q", a, b)
			}
		}
		if !strings.Contains(string(all), "memory") {
			err := m.Set(resources(t, `{"memory":{"limit":67108864}}`))
			if err == nil || !strings.Contains(err.Error(), `controller "memory" not available`) || !strings.Contains(err.Error(), "/linux/resources/memory/limit") {
				t.Errorf("limit without controller: %v", err)
			}
		}
		cfg := &Config{Path: base + "/threaded/c"}
		if err := os.MkdirAll(root+base+"/threaded", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+base+"/threaded/cgroup.type", []byte("threaded"), 0); err != nil {
			t.Logf("no threaded cgroup here: %v", err)
		} else if tm, err := New(cfg); err != nil {
			t.Error(err)
		} else if err := tm.Create(cfg); err == nil || !strings.Contains(err.Error(), "threaded") {
			t.Errorf("create below a threaded cgroup: %v", err)
		}
	})
}

// TestInternalProcesses asks for a limit below a cgroup that has processes.
func TestInternalProcesses(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		if all, err := os.ReadFile(root + "/cgroup.controllers"); err != nil || !strings.Contains(string(all), "hugetlb") {
			t.Skipf("needs the hugetlb controller in cgroup2, there is %q, %v", all, err)
		}
		base := scratch(t)
		parent := create(t, &Config{Path: base})
		place(t, parent)
		cfg := &Config{Path: base + "/c", Resources: resources(t, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Create(cfg); err == nil || !strings.Contains(err.Error(), base+" has processes of its own") {
			t.Errorf("limit below a cgroup with processes: %v", err)
		}
		if _, err := os.Stat(root + base + "/c"); err == nil {
			t.Error("the cgroup is left")
		}
		cfg.Resources = nil // nothing is asked of the controller: fine
		create(t, cfg)
	})
}

// TestAnotherOfThatName deletes and kills by a record whose cgroup was replaced.
func TestAnotherOfThatName(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		cfg := &Config{Path: scratch(t)}
		old := create(t, cfg)
		if err := old.Delete(0); err != nil {
			t.Fatal(err)
		}
		m := create(t, cfg)
		cmd := place(t, m)
		if err := errors.Join(old.Kill(), old.Delete(time.Second)); err != nil {
			t.Error(err)
		}
		if pids, err := m.Pids(false); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("the other's processes: %v, %v", pids, err)
		}
	})
}

// TestDeleteWaits removes a cgroup whose process is about to end.
func TestDeleteWaits(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		cmd := place(t, m)
		go func() {
			time.Sleep(20 * time.Millisecond)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		if err := m.Delete(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestPureV1 hides the twin, as on a host without cgroup2.
func TestPureV1(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	lay, err := DetectLayout()
	if err != nil || lay.Version == V2 {
		t.Skipf("no v1 hierarchies here (%v)", err)
	}
	lay.Version = V1
	lay.Hierarchies = slices.DeleteFunc(lay.Hierarchies, func(h Hierarchy) bool { return h.Name == "" })
	m, err := newV1(lay, strings.TrimPrefix(scratch(t), "/"), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Kill(), m.Delete(5*time.Second)); err != nil {
			t.Error(err)
		}
	})
	if err := m.Create(&Config{}); err != nil {
		t.Fatal(err)
	}
	if m.State().Version != V1 {
		t.Errorf("version %s", m.State().Version)
	}
	cmds := []*exec.Cmd{place(t, m), place(t, m), place(t, m)}
	if err := m.Delete(20 * time.Millisecond); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "3 process(es) still inside") {
		t.Errorf("delete of a live container: %v", err)
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("process ended with %v", err)
		}
	}
	if err := m.Delete(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestKillForks kills what forks without end, on v1 by the freezer.
func TestKillForks(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"pids":{"limit":-1}}`)})
		p, err := m.Place()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_ = inside(t, p, "for i in 1 2 3 4; do (while :; do sleep 0.01 & wait; done) >/dev/null 2>&1 </dev/null & done")
		if v, ok := m.(*v1); ok { // without the twin's cgroup.kill
			if err := killFrozenV1(v.list(), v.of("freezer")); err != nil {
				t.Fatal(err)
			}
		} else if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	for _, s := range []State{{}, {Version: "v3"}, {Version: V2, Paths: map[string]string{"": "a"}}, {Version: V1, Paths: map[string]string{"cpu": "/a/../b"}}} {
		if _, err := Load(s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	if _, err := New(&Config{ID: "x", Systemd: true}); err == nil || !strings.Contains(err.Error(), "systemd") {
		t.Errorf("systemd: %v", err)
	}
}

// TestRelative puts a cgroup below (v1) or beside (v2) the caller's own.
func TestRelative(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		base := scratch(t)
		m := create(t, &Config{Path: strings.TrimPrefix(base, "/")})
		lay, err := DetectLayout()
		if err != nil {
			t.Fatal(err)
		}
		state := m.State()
		if err := m.Delete(0); err != nil {
			t.Fatal(err)
		}
		for _, h := range lay.Hierarchies {
			own := h.OwnPath
			if lay.Version == V2 {
				own = path.Dir(own)
			}
			name, _, _ := strings.Cut(h.Name, ",")
			got, want := state.Paths[name], h.Mountpoint+path.Join(own, base)
			if got != want {
				t.Errorf("%q: %s, want %s", h.Name, got, want)
			}
			if err := os.Remove(path.Dir(got)); err != nil {
				t.Error(err)
			}
		}
	})
}
