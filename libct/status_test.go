package libct

import (
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

func TestStatus(t *testing.T) {
	r := newRuntime(t)
	running := spawn(t)
	interpreter := spawnInterpreter(t)
	named := spawnNamed(t)
	numbered := spawnNumbered(t)
	zombie := spawn(t)
	zombie.Process.Kill()
	pidfd, err := linux.PidfdOpen(zombie.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	linux.PollIn(pidfd, -1)
	unix.Close(pidfd)
	reaped := spawn(t)
	reaped.Process.Kill()
	reaped.Wait()

	boot, err := linux.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*record)
		gate   bool // the start gate's socket is there
		want   Status
	}{
		{"runs", running.own, false, Running},
		{"runs, same boot", func(rec *record) { running.own(rec); rec.BootID = boot }, false, Running},
		{"another boot", func(rec *record) { running.own(rec); rec.BootID = "00000000-0000-4000-8000-000000000000" }, false, Stopped},
		{"runs, gate left by a killed start", running.own, true, Running},
		{"at the gate", interpreter.own, true, Created},
		{"gate gone", func(rec *record) { interpreter.own(rec); rec.StartOps = map[string]string{"1": "\nexecve"} }, false, Running},
		{"made by run, before its program", named.own, false, Created},
		{"made by run, before its first system call", interpreter.own, false, Created},
		{"made by run, program named by a number", numbered.own, false, Running},
		{"pid of another", func(rec *record) { running.own(rec); rec.StartTime-- }, false, Stopped},
		{"zombie", zombie.own, false, Stopped},
		{"zombie at the gate", zombie.own, true, Stopped},
		{"gone", reaped.own, true, Stopped},
		{"no pid", nil, false, Stopped},
		{"noted as stopped", func(rec *record) { running.own(rec); rec.Phase = phaseStopped }, false, Stopped},
		{"killed create", func(rec *record) { rec.Phase = phaseCreating }, false, Stopped},
		{"killed create with a process", func(rec *record) { running.own(rec); rec.Phase = phaseCreating }, false, Stopped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.put(t, "c", tc.change)
			if tc.gate {
				if err := os.WriteFile(r.file("c", gateSocket), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := r.State("c")
			if err != nil || s.Status != tc.want {
				t.Fatalf("%+v, %v, want %s", s, err, tc.want)
			}
			if (s.Pid == 0) != (tc.want == Stopped) {
				t.Errorf("pid %d in status %s", s.Pid, s.Status)
			}
			if s.ID != "c" || s.OCIVersion != "1.3.0" || s.Bundle != "/bundle" || s.Rootfs != "/bundle/rootfs" || s.Created.IsZero() || s.Owner != "" {
				t.Errorf("state %+v", s)
			}
			c, err := r.open("c", unix.LOCK_EX)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			if err := c.remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStatusWhileCreating(t *testing.T) {
	r := newRuntime(t)
	c, err := r.reserve("c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.State("c"); !errors.Is(err, ErrNotExist) {
		t.Errorf("before there is a record: %v, want ErrNotExist", err)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if s, err := r.State("c"); err != nil || s.Status != Creating {
		t.Errorf("creator at work: %+v, %v", s, err)
	}
	c.close() // as the kernel does when the creator is killed
	if s, err := r.State("c"); err != nil || s.Status != Stopped {
		t.Errorf("creator gone: %+v, %v", s, err)
	}
	// The look must not leave a lock.
	c, err = r.open("c", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	c.close()
}

func TestPids(t *testing.T) {
	r := newRuntime(t)
	p := spawn(t)
	r.put(t, "c", p.own)
	if pids, err := r.Pids("c"); err != nil || !slices.Equal(pids, []int{p.Process.Pid}) {
		t.Errorf("without a cgroup: %v, %v", pids, err)
	}
	r.put(t, "stopped", nil)
	if pids, err := r.Pids("stopped"); err != nil || len(pids) != 0 {
		t.Errorf("stopped: %v, %v", pids, err)
	}
}

// A look at the lock of a creator that finishes at that moment must not take
// the container for one whose create was killed.
func TestStatusAtTheEndOfCreate(t *testing.T) {
	r := newRuntime(t)
	p := spawn(t)
	var done atomic.Bool
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for !done.Load() {
				s, err := r.State("c")
				if err != nil && !errors.Is(err, ErrNotExist) || err == nil && s.Status != Creating && s.Status != Running {
					t.Errorf("%+v, %v", s, err)
					return
				}
			}
		})
	}
	for range 200 {
		c, err := r.reserve("c")
		if err != nil {
			t.Fatal(err)
		}
		p.own(&c.rec)
		err = c.save()
		c.rec.Phase = phaseCreated
		if err = errors.Join(err, c.save()); err != nil {
			t.Fatal(err)
		}
		c.close()
		if c, err = r.open("c", unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if err := c.remove(); err != nil {
			t.Fatal(err)
		}
		c.close()
	}
	done.Store(true)
	all.Wait()
}
