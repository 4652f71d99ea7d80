package libct

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// run has the interpreter execute a plan to its last gate. The container's lock is held, and a file system of the container may never
// answer (FUSE): so no step may take longer than a lock is waited for.
func (e *errand) run(p *plan.Plan, answer func(*nsenter.Event) error, inputs ...*os.File) error {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer null.Close()
	if e.process, err = nsenter.Start(p, nsenter.Options{Stdio: [3]*os.File{null, null, null}, Inputs: append([]*os.File{e.root, e.init}, inputs...)}); err != nil {
		return err
	}
	defer e.end()
	for {
		ready, err := e.process.Ready(e.c.r.wait)
		if err == nil && !ready {
			err = e.late("wait for the interpreter")
		}
		var ev nsenter.Event
		if err == nil {
			ev, err = e.process.Next()
		}
		if err == nil && ev.Gate.Step == specconv.GateErrand {
			return nil
		}
		if err == nil {
			stopPoint("mounts-gate")
			err = answer(&ev)
			closeAll(ev.Files)
		}
		var op *nsenter.OpError
		switch {
		case errors.As(err, &op):
			return diagnose(op, e.process.Pid)
		case errors.Is(err, io.EOF):
			return fmt.Errorf("wait for the interpreter: process %d ended before its work was done", e.process.Pid)
		case err != nil:
			return err
		}
	}
}

// end ends the interpreter: it stands at a gate, or has failed, or is late. In a file system that doesn't answer it may live on in one
// system call, and ends after it.
func (e *errand) end() {
	unix.PidfdSendSignal(int(e.process.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	if ended, err := linux.PollIn(int(e.process.Pidfd.Fd()), e.c.r.wait); ended && err == nil {
		e.process.Wait()
	}
	e.process.Close()
}

func (e *errand) late(step string) error {
	return fmt.Errorf("%s: %w: nothing in %v; a file system in the container may not answer", step, unix.ETIMEDOUT, e.c.r.wait)
}

// inTime runs f, which names files in the container, and leaves it alone if it is late: what f uses nobody else may use after that.
func (e *errand) inTime(step string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(e.c.r.wait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return e.late(step)
	}
}

// withFiles is inTime for an answer to a gate: the files that came are f's.
func (e *errand) withFiles(ev *nsenter.Event, f func(nsenter.Event) error) error {
	own := *ev
	ev.Files = nil
	return e.inTime(own.Gate.String(), func() error {
		defer closeAll(own.Files)
		return f(own)
	})
}
