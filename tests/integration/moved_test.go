package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// move puts processes into the cgroup of that name in each hierarchy that has the container's, and makes it where it is not.
func (v *view) move(b *bundle, name string, list ...int) error {
	return v.do(func() error {
		for _, top := range v.hierarchies {
			if _, err := os.Stat(top + v.cgroup(b.id)); err != nil {
				continue
			}
			dir := top + name
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // on v1 a new one takes nobody
				if data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil && !v.v2 {
					os.WriteFile(filepath.Join(dir, file), data, 0)
				}
			}
			for _, pid := range list {
				if err := os.WriteFile(dir+"/cgroup.procs", []byte(itoa(pid)), 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// remove removes the cgroup of that name from all hierarchies.
func (v *view) remove(name string) error {
	return v.do(func() (err error) {
		for _, top := range v.hierarchies {
			if gone := unix.Rmdir(top + name); gone != nil && gone != unix.ENOENT {
				err = errors.Join(err, gone)
			}
		}
		return err
	})
}

// A container that somebody has put elsewhere, whose own cgroup is empty or gone, is still found, and ends with its pid namespace.
func TestMovedAway(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, removed := range []bool{false, true} {
			if v.systemd && !removed {
				continue // systemd removes what is empty
			}
			b := newBundle(t, v)
			pid := b.detached("children", "3")
			list := pids(b)
			elsewhere := v.cgroup(b.id) + "-elsewhere"
			if err := v.move(b, elsewhere, list...); err != nil {
				t.Fatal(err)
			}
			if removed {
				if err := v.remove(v.cgroup(b.id)); err != nil {
					t.Fatal(err)
				}
			}
			b.status("running")
			equal(t, "processes", len(pids(b)), 0)
			follows := !removed || v.v2 && v.user == nil // v1 has more than one place, and a user may not go there
			if r := b.husk("exec", b.id, "/inside", "exit", "3"); follows {
				equal(t, "exec", r.status, 3)
			} else if r.status != 255 || !strings.Contains(r.stderr, elsewhere) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exec: %v", r)
			}
			if removed {
				for _, args := range [][]string{{"pause", b.id}, {"update", "--pids-limit", "10", b.id}, {"events", "--stats", b.id}} {
					b.fails(1, "no such file or directory", args...)
				}
			}
			b.must("kill", b.id, "KILL")
			for _, pid := range list {
				b.gone(pid)
			}
			b.status("stopped")
			b.must("delete", b.id)
			b.gone(pid)
			if err := v.remove(elsewhere); err != nil {
				t.Error(err)
			}
		}
	})
}

// awaitNoUnit waits until systemd, if it has made the cgroup, has seen that nobody is in it.
func (b *bundle) awaitNoUnit() {
	b.t.Helper()
	for end := time.Now().Add(limit); b.v.systemd && b.unit("ActiveState") != "inactive"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the unit without processes is %s", b.unit("ActiveState"))
		}
	}
}

// A container whose cgroup is gone has nothing to do with the one that has got its name since, and that with the unit of the name.
func TestNameGivenAway(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the processes are moved by root")
		a, b := newBundle(t, v), newBundle(t, v)
		a.detached("wait")
		elsewhere := v.cgroup(a.id) + "-elsewhere"
		if err := v.move(a, elsewhere, pids(a)...); err != nil {
			t.Fatal(err)
		}
		a.awaitNoUnit()
		if err := v.remove(v.cgroup(a.id)); err != nil {
			t.Fatal(err)
		}
		b.Linux.CgroupsPath = a.Linux.CgroupsPath
		b.detached("children", "3")
		equal(t, "processes", len(pids(a)), 0)
		for _, args := range [][]string{{"pause", a.id}, {"update", "--pids-limit", "10", a.id}, {"events", "--stats", a.id}} {
			a.fails(1, "another has its name", args...)
		}
		if r := a.husk("exec", a.id, "/inside", "exit", "3"); v.v2 {
			equal(t, "exec", r.status, 3)
		} else if r.status != 255 || !strings.Contains(r.stderr, "another has its name") {
			t.Errorf("exec: %v", r)
		}
		a.must("kill", "--all", a.id, "TERM")
		b.must("pause", b.id)
		a.status("running")
		b.status("paused")
		a.must("delete", "--force", a.id)
		b.must("resume", b.id)
		equal(t, "processes", len(pids(b)), 4)
		b.must("delete", "--force", b.id)
		if err := v.remove(elsewhere); err != nil {
			t.Error(err)
		}
	})
}

// The cgroup of a container that has stopped, or its name if systemd has removed it, is taken by the next that names it: the first has
// nothing to do with it any more.
func TestInheritedCgroup(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "root waits for the end of units")
		for _, args := range [][]string{{"delete"}, {"delete", "--force"}} {
			a, b := newBundle(t, v), newBundle(t, v)
			pid := a.detached("wait")
			a.must("kill", a.id, "KILL")
			a.gone(pid)
			a.status("stopped")
			a.awaitNoUnit()
			b.Linux.CgroupsPath = a.Linux.CgroupsPath
			b.root = a.root
			b.detached("children", "3")
			equal(t, "processes of the first", len(pids(a)), 0)
			a.must("kill", "--all", a.id, "TERM")
			a.must("kill", "--all", a.id, "KILL")
			a.must(append(args, a.id)...)
			b.status("running")
			equal(t, "processes of the second", len(pids(b)), 4)
			b.must("delete", "--force", b.id)
		}
	})
}

// What somebody has put into sub-cgroups of the container's belongs to the container.
func TestSubCgroups(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the cgroups are made by root")
		for _, command := range []string{"delete", "kill"} {
			t.Run(command, func(t *testing.T) {
				b := newBundle(t, v)
				b.detached("children", "4")
				list := pids(b)
				for i, sub := range []string{"/sub", "/sub/sub"} {
					if err := v.move(b, v.cgroup(b.id)+sub, list[1+i]); err != nil {
						t.Fatal(err)
					}
				}
				equal(t, "processes", len(pids(b)), 5)
				b.must("pause", b.id)
				b.status("paused")
				if command == "kill" {
					b.must("kill", b.id, "KILL")
				} else {
					b.must("delete", "--force", b.id)
				}
				for _, pid := range list {
					b.gone(pid)
				}
				if command == "kill" {
					b.must("delete", b.id)
				}
			})
		}
	})
}

// Who has made the cgroup stands in the record. No option of a later command changes that: an engine's clean-up has other options
// than its create, or none. (For systemd's cgroups all tests do it the other way round.)
func TestDriverFromRecord(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if v.systemd {
			t.Skip("no other command than create and run gets the option there, in any test")
		}
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent") // whoever asks systemd fails
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
		later := func(b *bundle, args ...string) result {
			t.Helper()
			cmd := b.command(args...)
			cmd.Args = append([]string{cmd.Args[0], "--systemd-cgroup"}, cmd.Args[1:]...)
			r := b.finish(cmd)
			if r.status != 0 || r.stderr != "" {
				t.Fatalf("%q: %v", cmd.Args, r)
			}
			return r
		}
		for _, end := range []string{"kill", "delete"} {
			b := newBundle(t, v)
			b.Process.Args = []string{"/inside", "wait"}
			out := b.created()
			later(b, "start", b.id)
			out.expect("ready\n")
			later(b, "exec", b.id, "/inside", "exit", "0")
			later(b, "ps", b.id)
			later(b, "pause", b.id)
			later(b, "resume", b.id)
			later(b, "events", "--stats", b.id)
			if !v.v2 {
				later(b, "update", "--pids-limit", "77", b.id)
				equal(t, "limit", b.limit("pids/pids.max"), "77")
			}
			if end == "kill" {
				pid := b.state().Pid
				later(b, "kill", "--all", b.id, "KILL")
				b.gone(pid)
				b.status("stopped")
				later(b, "delete", b.id)
			} else {
				later(b, "delete", "--force", b.id)
			}
			b.fails(1, "container does not exist", "state", b.id)
		}
	})
}
