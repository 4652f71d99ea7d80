package cgroups

import (
	"errors"
	"os"
	"os/exec"
	"path"
	"slices"
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

		checkEnd(t, m, cmd.Process.Pid)
	})
}

// checkEnd deletes in vain, kills while frozen and deletes.
func checkEnd(t *testing.T, m Manager, pid int) {
	t.Helper()
	start := time.Now()
	var busy *BusyError
	if err := m.Delete(30 * time.Millisecond); !errors.As(err, &busy) || !errors.Is(err, unix.EBUSY) || !slices.Equal(busy.Pids, []int{pid}) {
		t.Errorf("delete of a live container: %v", err)
	}
	if took := time.Since(start); took < 30*time.Millisecond || took > 3*time.Second {
		t.Errorf("delete waited %v", took)
	}
	if err := m.Freeze(true); err != nil {
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

// A container that may make cgroups can nest them deeper than a path can be long.
func TestDeepCgroups(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		p, err := m.Place()
		if err != nil {
			t.Fatal(err)
		}
		cmd := sleeper(t, p)
		p.Close()
		for name, top := range m.State().Paths {
			at, err := os.OpenRoot(top)
			if err != nil {
				t.Fatal(err)
			}
			for range unix.PathMax/200 + 1 {
				sub := strings.Repeat("d", 200)
				below, err := at, at.Mkdir(sub, 0o755)
				if err == nil {
					below, err = at.OpenRoot(sub)
				}
				at.Close()
				if at = below; err != nil {
					t.Fatal(err)
				}
			}
			if name == "" {
				if err := at.WriteFile("cgroup.procs", []byte(itoa(int64(cmd.Process.Pid))), 0); err != nil {
					t.Fatal(err)
				}
			}
			at.Close()
		}
		if pids, err := m.Pids(true); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("pids: %v, %v", pids, err)
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

// TestAnotherOfThatName does everything by a record whose cgroup was replaced.
func TestAnotherOfThatName(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		cfg := &Config{Path: scratch(t)}
		old := create(t, cfg)
		if err := old.Delete(0); err != nil {
			t.Fatal(err)
		}
		m := create(t, cfg)
		cmd := place(t, m)
		again, err := Load(old.State())
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []Manager{old, again} {
			checkReplaced(t, old, m)
			if pids, err := m.Pids(false); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
				t.Errorf("the other's processes: %v, %v", pids, err)
			}
		}
	})
}

// checkReplaced: nothing is done to m, which has the name of the old one.
func checkReplaced(t *testing.T, old, m Manager) {
	t.Helper()
	if err := errors.Join(old.Kill(), old.Delete(time.Second)); err != nil {
		t.Error(err)
	}
	sub := func(paths []string) func() (*Placement, error) {
		return func() (*Placement, error) { return old.PlaceSub(paths) }
	}
	for what, f := range map[string]func() (*Placement, error){"place": old.Place, "place in a sub-cgroup": sub([]string{"/"}), "place without one": sub(nil)} {
		if p, err := f(); !isGone(err) || !strings.Contains(err.Error(), "another has its name") {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				p.Close()
			}
		}
	}
	for what, f := range map[string]func() error{
		"set": func() error { return old.Set(resources(t, `{"memory":{"swap":-1}}`)) }, "freeze": func() error { return old.Freeze(true) },
		"statistics": func() error { _, err := old.Stats(); return err },
	} {
		if err := f(); !isGone(err) || !strings.Contains(err.Error(), "another has its name") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := m.Freeze(true); err != nil {
		t.Fatal(err)
	}
	if frozen, err := old.Frozen(); frozen || err != nil {
		t.Errorf("it is taken for frozen: %v, %v", frozen, err)
	}
	if err := m.Freeze(false); err != nil {
		t.Fatal(err)
	}
	if pids, err := old.Pids(true); len(pids) > 0 || err != nil && !isGone(err) {
		t.Errorf("it is taken for the place of %v, %v", pids, err)
	}
	if w, err := old.WatchOOM(); w != nil || err != nil {
		t.Errorf("it is watched: %v", err)
	}
	if n, err := old.OOMKills(); n != 0 || err != nil {
		t.Errorf("processes killed: %d, %v", n, err)
	}
}

// TestDeleteWaits removes a cgroup whose process is about to end.
func TestDeleteWaits(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		cmd := place(t, m)
		killed := make(chan error)
		go func() {
			time.Sleep(20 * time.Millisecond)
			killed <- cmd.Process.Kill()
		}()
		if err := m.Delete(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := <-killed; err != nil {
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
		p := placement(t, m)
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

// TestKillMany kills more processes than a process may have descriptors.
func TestKillMany(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		p := placement(t, m)
		_ = inside(t, p, "i=0; while [ $i -lt 200 ]; do sleep 1000 >/dev/null 2>&1 </dev/null & i=$((i+1)); done")
		d := newDir(m.State().Paths[""]) // where all are, in both layouts
		defer d.close()
		var before unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 170, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		err := d.killEach()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Error(err)
		}
		if err := m.Delete(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

// Who leaves the v2 tree of a hybrid host alone, as root in a container with all cgroups can, is still in the v1 hierarchies.
func TestKillStrays(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		if m.State().Version != Hybrid {
			t.Skip("there is no second tree")
		}
		cmd := place(t, m)
		elsewhere := path.Dir(m.State().Paths[""]) + "/cgroup.procs"
		if err := os.WriteFile(elsewhere, []byte(itoa(int64(cmd.Process.Pid))), 0); err != nil {
			t.Fatal(err)
		}
		if err := m.Kill(); err != nil {
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
