package libct

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
)

// cgroup makes a cgroup of this test's own with the processes in it.
func cgroup(t *testing.T, members ...*process) cgroups.Manager {
	t.Helper()
	needRoot(t)
	cfg := &cgroups.Config{ID: "husk-test-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(t.Name())}
	m, err := cgroups.New(cfg)
	if err == nil {
		err = m.Create(cfg)
	}
	if err != nil {
		t.Skipf("no cgroups here: %v", err)
	}
	t.Cleanup(func() {
		m.Kill()
		for _, p := range members {
			p.Wait()
		}
		if err := m.Delete(10 * time.Second); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range m.State().Paths {
		for _, p := range members {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p.Process.Pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// in is own, with a cgroup.
func in(m cgroups.Manager, init *process, ownPidns bool) func(*record) {
	return func(rec *record) {
		init.own(rec)
		rec.Cgroup = m.State()
		rec.OwnPidns = ownPidns
	}
}

func TestKill(t *testing.T) {
	r := newRuntime(t)
	p := spawn(t)
	r.put(t, "c", p.own)
	for _, all := range []bool{false, true} {
		if err := r.Kill("c", 0, all); err != nil || !p.alive() {
			t.Errorf("signal 0: %v", err)
		}
	}
	if err := r.Kill("c", 999, false); !errors.Is(err, unix.EINVAL) {
		t.Errorf("signal 999: %v, want EINVAL", err)
	}
	if err := r.Kill("c", unix.SIGTERM, false); err != nil {
		t.Error(err)
	}
	if sig := p.ended(); sig != unix.SIGTERM {
		t.Errorf("ended by signal %d", sig)
	}
}

func TestKillStopped(t *testing.T) {
	r := newRuntime(t)
	other := spawn(t)
	r.put(t, "own", nil)
	r.put(t, "shared", func(rec *record) { rec.OwnPidns = false })
	r.put(t, "reused", func(rec *record) { other.own(rec); rec.StartTime++ })
	r.put(t, "reused-shared", func(rec *record) { other.own(rec); rec.StartTime++; rec.OwnPidns = false })
	r.put(t, "rebooted", func(rec *record) { other.own(rec); rec.BootID = "00000000-0000-4000-8000-000000000000" })
	for _, id := range []string{"own", "shared", "reused", "reused-shared", "rebooted"} {
		for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, 0} {
			if err := r.Kill(id, sig, false); err == nil || err.Error() != "container not running" {
				t.Errorf("kill %s %d: %v", id, sig, err)
			}
			if err := r.Kill(id, sig, true); err != nil {
				t.Errorf("kill --all %s %d: %v", id, sig, err)
			}
		}
	}
	if !other.alive() {
		t.Error("a process that is none of the container's was killed")
	}
}

func TestKillCgroup(t *testing.T) {
	const term, kill = unix.SIGTERM, unix.SIGKILL
	for _, tc := range []struct {
		name        string
		ownPidns    bool
		initGone    bool
		sig         unix.Signal
		all         bool
		init, other unix.Signal // by which each ends; 0: lives
	}{
		{"TERM", false, false, term, false, term, 0},
		{"TERM-all", false, false, term, true, term, term},
		{"KILL-shared", false, false, kill, false, kill, kill},
		{"KILL-shared-init-gone", false, true, kill, false, kill, kill},
		{"TERM-all-init-gone", false, true, term, true, kill, term},
		{"KILL-own", true, false, kill, false, kill, 0}, // the test's processes share no pid namespace that ends with init
		{"KILL-own-all", true, false, kill, true, kill, kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(t)
			init, other := spawn(t), spawn(t)
			m := cgroup(t, init, other)
			r.put(t, "c", in(m, init, tc.ownPidns))
			pids, err := r.Pids("c")
			slices.Sort(pids)
			want := []int{init.Process.Pid, other.Process.Pid}
			slices.Sort(want)
			if err != nil || !slices.Equal(pids, want) {
				t.Errorf("processes %v, %v, want %v", pids, err, want)
			}
			if tc.initGone {
				init.Process.Kill()
				init.Wait()
			}
			if err := r.Kill("c", tc.sig, tc.all); err != nil {
				t.Fatal(err)
			}
			if sig := init.ended(); sig != tc.init {
				t.Errorf("init ended by %d, want %d", sig, tc.init)
			}
			if tc.other == 0 {
				if !other.alive() {
					t.Error("the other process was killed")
				}
			} else if sig := other.ended(); sig != tc.other {
				t.Errorf("the other process ended by %d, want %d", sig, tc.other)
			}
			if tc.other != 0 {
				if err := r.Kill("c", tc.sig, false); !errors.Is(err, ErrNotRunning) {
					t.Errorf("once more: %v, want ErrNotRunning", err)
				}
			}
		})
	}
}

func TestKillPaused(t *testing.T) {
	for _, ownPidns := range []bool{true, false} {
		t.Run(strconv.FormatBool(ownPidns), func(t *testing.T) {
			r := newRuntime(t)
			init := spawn(t)
			m := cgroup(t, init)
			r.put(t, "c", in(m, init, ownPidns))
			if err := m.Freeze(true); err != nil {
				t.Fatal(err)
			}
			if s, err := r.State("c"); err != nil || s.Status != Paused || s.Pid == 0 {
				t.Errorf("state %+v, %v", s, err)
			}
			if err := r.Delete("c", false); err == nil || err.Error() != "cannot delete container c that is not stopped: paused" {
				t.Errorf("delete: %v", err)
			}
			if err := r.Kill("c", unix.SIGTERM, false); err != nil {
				t.Error(err)
			}
			if s, err := r.State("c"); err != nil || s.Status != Paused {
				t.Errorf("SIGTERM ended the pause: %+v, %v", s, err)
			}
			if err := r.Kill("c", unix.SIGKILL, false); err != nil {
				t.Fatal(err)
			}
			init.ended()
		})
	}
}

// A kill must come through although a start or create hangs with the lock.
func TestKillDoesNotWait(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", init.own)
	c, err := r.open("c", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := r.Kill("c", unix.SIGKILL, false); err != nil {
		t.Error(err)
	}
	init.ended()
}

// A record of another boot may name a cgroup that is somebody else's today,
// even with the same inode number.
func TestKillAfterReboot(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	m := cgroup(t, init)
	r.put(t, "c", func(rec *record) {
		in(m, init, false)(rec)
		rec.BootID = "00000000-0000-4000-8000-000000000000"
	})
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := r.Kill("c", sig, true); err != nil {
			t.Error(err)
		}
		if err := r.Kill("c", sig, false); !errors.Is(err, ErrNotRunning) {
			t.Errorf("signal %d: %v, want ErrNotRunning", sig, err)
		}
	}
	if pids, err := r.Pids("c"); err != nil || len(pids) > 0 {
		t.Errorf("processes %v, %v", pids, err)
	}
	if !init.alive() {
		t.Error("a process of this boot was killed")
	}
}
