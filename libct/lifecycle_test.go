package libct

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// followAll starts to follow and returns what reads the next change, in short, and what ends it.
func followAll(t *testing.T, r *testRuntime, ids ...string) (next func() string, stop func()) {
	t.Helper()
	lines, done := make(chan string), make(chan struct{})
	go func() {
		err := r.Lifecycle(ids, func(e *Change) error {
			text := e.Type + " " + e.ID
			if e.Status != "" {
				text += " " + string(e.Status)
			}
			if e.End.Known {
				text += " " + e.End.Status.Signal().String()
			}
			lines <- text
			select {
			case <-done:
				return errEnough
			default:
				return nil
			}
		})
		if err != nil && !errors.Is(err, errEnough) {
			t.Errorf("lifecycle: %v", err)
		}
		close(lines)
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-done
		for range lines {
		}
	}()
	next = func() string {
		t.Helper()
		select {
		case line, ok := <-lines:
			if !ok {
				return "end"
			}
			return line
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
			return ""
		}
	}
	return next, func() {
		close(done)
		r.Delete("old", true) // news for everybody
		<-ended
	}
}

func TestLifecycle(t *testing.T) {
	r := newRuntime(t)
	expect := func(next func() string, want ...string) {
		t.Helper()
		for _, w := range want {
			if got := next(); got != w {
				t.Fatalf("%q, want %q", got, w)
			}
		}
	}
	first, second := spawn(t), spawnInterpreter(t)
	r.put(t, "old", first.own)
	if err := os.Mkdir(r.file("empty", ""), 0o700); err != nil {
		t.Fatal(err)
	}
	next, stop := followAll(t, r)
	expect(next, "state old running", "watching ")
	nextOld, stopOld := followAll(t, r, "old")
	expect(nextOld, "state old running", "watching ")

	// One that waits at its gate, and is deleted there: it was never started.
	gate := func(rec *record) {
		second.own(rec)
		if err := os.WriteFile(r.file("new", gateSocket), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.put(t, "new", gate)
	expect(next, "created new")
	if err := r.Delete("new", true); err != nil {
		t.Fatal(err)
	}
	expect(next, "stopped new killed", "deleted new")

	// The same id again, started.
	second = spawnInterpreter(t)
	r.put(t, "new", gate)
	expect(next, "created new")
	if err := os.Remove(r.file("new", gateSocket)); err != nil {
		t.Fatal(err)
	}
	expect(next, "started new")
	if err := r.Kill("new", unix.SIGTERM, false); err != nil {
		t.Fatal(err)
	}
	expect(next, "stopped new terminated")
	if s, err := r.State("new"); err != nil || !s.End.Known {
		t.Errorf("it was not written down: %+v, %v", s, err)
	}

	// Another container takes the name before anybody looks.
	if err := r.Delete("old", true); err != nil {
		t.Fatal(err)
	}
	third := spawn(t)
	r.put(t, "old", third.own)
	expect(next, "stopped old killed", "deleted old", "created old", "started old")
	expect(nextOld, "stopped old killed", "deleted old") // and perhaps the next one
	stop()
	stopOld()
	if err := r.Lifecycle([]string{"none"}, nil); !errors.Is(err, ErrNotExist) {
		t.Errorf("an unknown container: %v", err)
	}
	if err := r.Lifecycle([]string{".."}, nil); !errors.Is(err, ErrInvalidID) {
		t.Errorf("an odd id: %v", err)
	}
}

func TestLifecycleWithoutRoot(t *testing.T) {
	r := newRuntime(t)
	if err := r.Lifecycle(nil, nil); err == nil || !strings.Contains(err.Error(), "open state root") {
		t.Error(err)
	}
}
