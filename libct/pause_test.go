package libct

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
)

func TestPause(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", in(cgroup(t, init), init, true))
	status := func(want Status) {
		t.Helper()
		if s, err := r.State("c"); err != nil || s.Status != want {
			t.Errorf("state %+v, %v; want %s", s, err, want)
		}
	}
	if err := r.Resume("c"); !errors.Is(err, ErrNotPaused) {
		t.Errorf("resume of a running container: %v", err)
	}
	if err := r.Pause("c"); err != nil {
		t.Fatal(err)
	}
	status(Paused)
	if err := r.Pause("c"); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "paused") {
		t.Errorf("pause of a paused container: %v", err)
	}
	if _, err := r.Exec(ExecOptions{ID: "c"}); err == nil || err.Error() != "cannot exec in a paused container (use --ignore-paused to override)" {
		t.Errorf("exec in a paused container: %v", err)
	}
	if err := r.Start("c"); err == nil || err.Error() != "cannot start a container in the paused state" {
		t.Errorf("start of a paused container: %v", err)
	}
	if err := r.Resume("c"); err != nil {
		t.Error(err)
	}
	status(Running)
	if err := r.Kill("c", unix.SIGKILL, false); err != nil {
		t.Error(err)
	}
	init.ended()
	for _, call := range []func(string) error{r.Pause, r.Resume} {
		if err := call("c"); !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrNotPaused) {
			t.Errorf("a stopped container: %v", err)
		}
		if err := call("none"); !errors.Is(err, ErrNotExist) {
			t.Errorf("an unknown container: %v", err)
		}
	}
}

func TestPauseWithoutCgroup(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", init.own)
	if err := r.Pause("c"); err == nil || err.Error() != "pause container c: it has no cgroup" {
		t.Error(err)
	}
}

// A SIGKILL that comes while the v1 freezer stops the process must not wait for a resume.
func TestPauseKilled(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	m := cgroup(t, init)
	if m.State().Version == cgroups.V2 {
		t.Skip("the v2 freezer lets a killed process die")
	}
	r.put(t, "c", in(m, init, true))
	if err := m.Freeze(true); err != nil {
		t.Fatal(err)
	}
	if err := init.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	c, err := r.open("c", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.letDie(m); !errors.Is(err, ErrNotRunning) {
		t.Errorf("paused and killed: %v", err)
	}
	init.ended()
}

// A pause waits for the exec that is on its way, a resume does not: the exec may wait for it.
func TestPauseWaits(t *testing.T) {
	r := newRuntime(t)
	r.wait = 10 * time.Millisecond
	init := spawn(t)
	r.put(t, "c", in(cgroup(t, init), init, true))
	exec, err := r.open("c", unix.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Pause("c"); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("pause beside an exec: %v", err)
	}
	exec.close()
	if err := r.Pause("c"); err != nil {
		t.Fatal(err)
	}
	if exec, err = r.open("c", unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	defer exec.close()
	if err := r.Resume("c"); err != nil {
		t.Error(err)
	}
}
