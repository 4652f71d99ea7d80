package libct

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waiting calls Wait on another goroutine.
func waiting(r *testRuntime, id string) <-chan *End {
	done := make(chan *End, 1)
	go func() {
		end, err := r.Wait(id)
		if err != nil {
			end = nil
		}
		done <- end
	}()
	return done
}

func TestWait(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", init.own)
	done := waiting(r, "c")
	select {
	case end := <-done:
		t.Fatalf("Wait did not wait: %+v", end)
	case <-time.After(20 * time.Millisecond):
	}
	if err := init.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	end := <-done
	if end == nil || !end.Known || end.Exit() != 128+15 || end.OOMKilled {
		t.Fatalf("end %+v", end)
	}
	if text := string(end.AppendJSON(nil, "c")); text != `{"id":"c","exitStatus":143,"signal":15}`+"\n" {
		t.Error(text)
	}
	init.Wait()
	// It was written down.
	if again, err := r.Wait("c"); err != nil || *again != *end {
		t.Errorf("once more: %+v, %v", again, err)
	}
	s, err := r.State("c")
	if err != nil || s.Status != Stopped || s.End != *end {
		t.Errorf("state %+v, %v", s, err)
	}
	var doc struct{ ExitStatus int }
	if err := json.Unmarshal(s.AppendJSON(nil), &doc); err != nil || doc.ExitStatus != 143 {
		t.Errorf("%v: %s", err, s.AppendJSON(nil))
	}
	if _, err := r.Wait("none"); !errors.Is(err, ErrNotExist) {
		t.Errorf("an unknown container: %v", err)
	}
	if err := r.Delete("c", false); err != nil {
		t.Error(err)
	}
}

// Of a container that has stopped, the status is there until its parent asks for it.
func TestWaitStopped(t *testing.T) {
	r := newRuntime(t)
	for _, reaped := range []bool{false, true} {
		init := spawn(t)
		r.put(t, "c", init.own)
		init.Process.Kill()
		for init.alive() {
			time.Sleep(time.Millisecond)
		}
		if reaped {
			init.Wait()
		}
		s, err := r.State("c")
		if err != nil || s.Status != Stopped || s.End.Known == reaped {
			t.Errorf("reaped %v: state %+v, %v", reaped, s, err)
		}
		end, err := r.Wait("c")
		if err != nil || end.Known == reaped || end.Known && end.Exit() != 128+9 {
			t.Errorf("reaped %v: %+v, %v", reaped, end, err)
		}
		if end, err = r.Wait("c"); err != nil || end.Known == reaped {
			t.Errorf("reaped %v, once more: %+v, %v", reaped, end, err)
		}
		if err := r.Delete("c", false); err != nil {
			t.Error(err)
		}
	}
}

// A container may be deleted while somebody waits for it.
func TestWaitDeleted(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	r.put(t, "c", init.own)
	done := waiting(r, "c")
	if err := r.Delete("c", true); err != nil {
		t.Fatal(err)
	}
	// The look for the container may have come before or after.
	if end := <-done; end != nil && end.Known && end.Exit() != 128+9 {
		t.Errorf("end %+v", end)
	}
	if r.exists("c") {
		t.Error("the container is there again")
	}
}

// Who asks while the container is being made waits for that as well.
func TestWaitCreating(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	c, err := r.reserve("c")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	done := waiting(r, "c")
	time.Sleep(5 * time.Millisecond)
	init.own(&c.rec)
	c.rec.Phase = phaseCreated
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	c.close()
	init.Process.Signal(os.Kill)
	if end := <-done; end == nil || !end.Known || end.Exit() != 128+9 {
		t.Errorf("end %+v", end)
	}
}
