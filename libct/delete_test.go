package libct

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDelete(t *testing.T) {
	for _, tc := range []struct {
		name  string
		init  func(testing.TB) *process // nil: stopped
		gate  bool
		phase phase
		force bool
		want  string
	}{
		{"stopped", nil, false, phaseCreated, false, ""},
		{"stopped by force", nil, false, phaseCreated, true, ""},
		{"half-made", nil, false, phaseCreating, false, ""},
		{"half-made with a process", spawn, false, phaseCreating, false, ""},
		{"created", spawnInterpreter, true, phaseCreated, false, "cannot delete container c that is not stopped: created"},
		{"created by force", spawnInterpreter, true, phaseCreated, true, ""},
		{"running", spawn, false, phaseCreated, false, "cannot delete container c that is not stopped: running"},
		{"running by force", spawn, false, phaseCreated, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(t)
			var p *process
			r.put(t, "c", func(rec *record) {
				rec.Phase = tc.phase
				if tc.init != nil {
					p = tc.init(t)
					p.own(rec)
				}
			})
			if tc.gate {
				if err := os.WriteFile(r.file("c", gateSocket), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := r.Delete("c", tc.force)
			if tc.want != "" {
				if err == nil || err.Error() != tc.want || !r.exists("c") || !p.alive() {
					t.Fatalf("got %v, want %q and nothing done", err, tc.want)
				}
				return
			}
			if err != nil || r.exists("c") {
				t.Fatalf("%v, still there %v", err, r.exists("c"))
			}
			if p != nil && p.alive() {
				t.Error("the process is left")
			}
			if err := r.Delete("c", false); !errors.Is(err, ErrNotExist) {
				t.Errorf("again: %v, want ErrNotExist", err)
			}
			if err := r.Delete("c", true); err != nil {
				t.Errorf("again by force: %v", err)
			}
		})
	}
}

func TestDeleteLeftOver(t *testing.T) {
	for _, force := range []bool{false, true} {
		r := newRuntime(t)
		c, err := r.reserve("c")
		if err != nil {
			t.Fatal(err)
		}
		c.close() // killed before the first save
		err = r.Delete("c", force)
		if force && err != nil || !force && !errors.Is(err, ErrNotExist) {
			t.Errorf("force %v: %v", force, err)
		}
		if r.exists("c") {
			t.Error("the directory is left")
		}
	}
}

func TestDeleteRemovesWhatIsThere(t *testing.T) {
	r := newRuntime(t)
	r.put(t, "c", nil)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/keep", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(r.file("c", "notify/deep/er"), 0o700),
		os.WriteFile(r.file("c", "notify/deep/file"), nil, 0o600),
		os.Symlink(outside, r.file("c", "notify/link")),
		os.Symlink(outside, r.file("c", "link")),
		unix.Mkfifo(r.file("c", "fifo"), 0o600),
		os.WriteFile(r.file("c", recordTemp), []byte("half"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Delete("c", false); err != nil || r.exists("c") {
		t.Errorf("%v, still there %v", err, r.exists("c"))
	}
	if _, err := os.Stat(outside + "/keep"); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

func TestDeleteCgroup(t *testing.T) {
	for _, tc := range []struct {
		name     string
		ownPidns bool
		initGone bool
		frozen   bool
		force    bool
	}{
		{"force", true, false, false, true},
		{"force-shared", false, false, false, true},
		{"force-paused", true, false, true, true},
		{"shared-init-gone", false, true, false, false},
		{"own-init-gone-force", true, true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(t)
			init, other := spawn(t), spawn(t)
			m := cgroup(t, init, other)
			r.put(t, "c", in(m, init, tc.ownPidns))
			if tc.initGone {
				init.Process.Kill()
				init.Wait()
			}
			if tc.frozen {
				if err := m.Freeze(true); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Delete("c", tc.force); err != nil {
				t.Fatal(err)
			}
			for _, dir := range m.State().Paths {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("cgroup %s is left: %v", dir, err)
				}
			}
			if sig := other.ended(); sig != unix.SIGKILL {
				t.Errorf("the other process ended by %d", sig)
			}
		})
	}
}

// Names of cgroups and pids in a record of another boot are somebody else's.
func TestDeleteAfterReboot(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	m := cgroup(t, init)
	r.put(t, "c", func(rec *record) {
		in(m, init, false)(rec)
		rec.BootID = "00000000-0000-4000-8000-000000000000"
	})
	if err := r.Delete("c", true); err != nil || r.exists("c") {
		t.Errorf("%v, still there %v", err, r.exists("c"))
	}
	if !init.alive() {
		t.Error("a process of this boot was killed")
	}
	if pids, err := m.Pids(true); err != nil || len(pids) != 1 {
		t.Errorf("the cgroup of this boot: %v %v", pids, err)
	}
}

func TestDeleteForceEndsWhoHangs(t *testing.T) {
	for _, ph := range []phase{phaseCreating, phaseCreated} {
		r := newRuntime(t)
		init := spawn(t)
		r.put(t, "c", func(rec *record) { init.own(rec); rec.Phase = ph })
		hanging, err := r.open("c", unix.LOCK_EX)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() {
			init.Wait() // as a create or start would that waits for init
			hanging.close()
			close(gone)
		}()
		if err := r.Delete("c", true); err != nil || r.exists("c") {
			t.Errorf("%s: %v, still there %v", ph, err, r.exists("c"))
		}
		<-gone
	}
}

func TestDeleteDeadline(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", init.own)
	r.wait = 0 // no process ends that fast
	err := r.Delete("c", true)
	if err == nil {
		t.Skip("the process ended in no time")
	}
	if !strings.HasPrefix(err.Error(), "container init still running: pid ") || !r.exists("c") {
		t.Errorf("%v, still there %v", err, r.exists("c"))
	}
	init.ended()
	r.wait = 10 * time.Second
	if err := r.Delete("c", false); err != nil {
		t.Error(err)
	}
}

func TestDeleteTwiceAtOnce(t *testing.T) {
	r := newRuntime(t)
	for range 50 {
		r.put(t, "c", nil)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := r.Delete("c", true); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if r.exists("c") {
			t.Fatal("still there")
		}
	}
}

func TestReadOnlyRoot(t *testing.T) {
	needRoot(t)
	r := newRuntime(t)
	p := spawn(t)
	r.put(t, "run", p.own)
	r.put(t, "stop", nil)
	done := make(chan struct{})
	go func() { // in a mount namespace that ends with the thread
		defer close(done)
		runtime.LockOSThread()
		if err := errors.Join(
			unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(r.path, r.path, "", unix.MS_BIND, ""),
			unix.Mount("", r.path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
		); err != nil {
			t.Errorf("make a read-only view: %v", err)
			return
		}
		if s, err := r.State("run"); err != nil || s.Status != Running {
			t.Errorf("state: %+v, %v", s, err)
		}
		if list, warnings, err := r.List(); err != nil || len(list) != 2 || len(warnings) != 0 {
			t.Errorf("list: %v %v %v", list, warnings, err)
		}
		if _, err := r.reserve("new"); !errors.Is(err, unix.EROFS) {
			t.Errorf("reserve: %v, want EROFS", err)
		}
		if err := r.Delete("run", true); !errors.Is(err, unix.EROFS) || p.alive() {
			t.Errorf("delete: %v, process lives %v: want EROFS and the process gone", err, p.alive())
		}
	}()
	<-done
	if err := r.Delete("run", false); err != nil {
		t.Errorf("delete when writable again: %v", err)
	}
}

func BenchmarkDeleteStopped(b *testing.B) {
	r := newRuntime(b)
	for b.Loop() {
		b.StopTimer()
		r.put(b, "c", nil)
		b.StartTimer()
		if err := r.Delete("c", false); err != nil {
			b.Fatal(err)
		}
	}
}
