package integration

import (
	"os"
	"strings"
	"testing"
)

// A paused container stands still, whatever state it was in, and ends by SIGKILL like any other.
func TestPause(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		pid := b.detached("signals")
		b.fails(1, "container not paused", "resume", b.id)
		b.must("pause", b.id)
		b.status("paused")
		if list := b.must("list"); !strings.Contains(list, "paused") {
			t.Errorf("list: %q", list)
		}
		b.fails(1, "container not running: it is paused", "pause", b.id)
		b.fails(255, "cannot exec in a paused container (use --ignore-paused to override)", "exec", b.id, "/inside", "exit", "0")
		b.fails(1, "cannot start a container in the paused state", "start", b.id)
		b.fails(1, "that is not stopped: paused", "delete", b.id)
		b.must("kill", b.id, "USR1")
		stat, err := os.ReadFile("/proc/" + itoa(pid) + "/status")
		if err != nil || strings.Contains(string(stat), "ShdPnd:\t0000000000000000\n") {
			t.Errorf("the signal is not pending: %v\n%s", err, stat)
		}

		exec := b.command("exec", "--ignore-paused", b.id, "/inside", "exit", "3")
		b.spawn(exec)
		b.must("resume", b.id)
		b.status("running")
		equal(t, "exec that waited", wait(t, exec), 3)

		b.must("pause", b.id)
		b.must("kill", b.id, "KILL")
		b.gone(pid)
		b.status("stopped")
		b.fails(1, "container not running", "pause", b.id)
		b.fails(1, "container not paused", "resume", b.id)
		b.must("delete", b.id)
		b.fails(1, "container does not exist", "pause", b.id)
		b.fails(1, "container does not exist", "resume", b.id)
	})
}

func TestPauseCreated(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		out := b.created()
		b.must("pause", b.id)
		b.status("paused")
		b.must("resume", b.id)
		b.status("created")
		b.must("start", b.id)
		out.expect("ready\n")
		b.must("pause", b.id)
		b.must("delete", "--force", b.id)
	})
}
