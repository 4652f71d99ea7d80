package libct

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// Start lets the process of a created container run its program. It returns when the program runs, or with the reason why
// it does not: the waiting process reports on the connection that Start makes. With [Options.NotifySocket], now and at create, it
// returns when the program is ready.
func (r *Runtime) Start(id string) error {
	c, err := r.open(id, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case Created:
	case Running:
		return errors.New("cannot start an already running container")
	case Stopped:
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	stopPoint("start-locked")
	ready, err := c.expectReady()
	if err != nil {
		return err
	}
	defer ready.close()
	fd, err := connect(c.gatePath(), 0)
	if err != nil {
		return fmt.Errorf("start container %s: %w", id, err)
	}
	c.r.debug("process %d goes on", c.rec.Pid)
	stopPoint("start-connected")
	conn := nsenter.NewConn(os.NewFile(uintptr(fd), gateSocket), c.startOp)
	defer conn.Close()
	if err := c.awaitExec(conn, c.rec.Pid); err != nil {
		var hook *hookError
		if errors.As(err, &hook) {
			return c.undoStart(err)
		}
		conn.Close()
		c.letEnd()
		return err
	}
	stopPoint("start-done")
	if err := gone(linux.Unlinkat(c.dir, gateSocket, 0)); err != nil {
		return fmt.Errorf("remove the start gate %s: %w", c.path(gateSocket), err)
	}
	if err := c.poststart(); err != nil {
		return err
	}
	return ready.await()
}

// letEnd waits for the first process, which ends by itself when nobody hears it any more: a container that could not be
// started is stopped when start returns.
func (c *container) letEnd() {
	if pidfd, err := c.initPidfd(); err == nil {
		linux.PollIn(pidfd, c.r.wait)
		unix.Close(pidfd)
	}
}

// startOp finds the origin of an op behind the start gate.
func (c *container) startOp(op int) plan.Origin {
	pointer, step, _ := strings.Cut(c.rec.StartOps[strconv.Itoa(op)], "\n")
	return plan.Origin{Pointer: pointer, Step: step}
}

// awaitExec answers the gates between the start and the program.
func (c *container) awaitExec(conn *nsenter.Conn, pid int) error {
	unserved := c.rec.Listener
	for {
		e, err := conn.Next()
		var op *nsenter.OpError
		switch {
		case errors.Is(err, io.EOF) && unserved:
			return errUnserved
		case errors.Is(err, io.EOF):
			c.r.debug("process %d has executed the program", pid)
			return nil // execve has closed the socket, or the process is dead, which a container may be at any time
		case errors.As(err, &op):
			return diagnose(op, pid)
		case err != nil:
			return err
		}
		stopPoint("start-gate")
		switch e.Gate.Step {
		case specconv.GateStart:
			if err := c.r.runHooks(c, "startContainer"); err != nil {
				return &hookError{err}
			}
			err = conn.Answer(nil)
		case specconv.GateListener:
			unserved = false
			err = c.serveInit(conn, e)
		default:
			err = fmt.Errorf("answer the interpreter: unknown gate %q (another version of husk has made the container)", e.Gate.Step)
		}
		if err != nil {
			return err
		}
	}
}

// hookError is the failure of a startContainer hook.
type hookError struct{ error }

func (e *hookError) Unwrap() error { return e.error }

// poststart runs the poststart hooks, and removes the container if one fails. It is complete and they may work on it by any command, so
// the lock is given up for them.
func (c *container) poststart() error {
	if !c.rec.Poststart {
		return nil
	}
	if err := linux.Unlock(c.dir); err != nil {
		return err
	}
	err := c.r.runHooks(c, "poststart")
	if err == nil {
		return nil
	}
	switch locked := c.acquire(unix.LOCK_EX, c.r.wait); {
	case errors.Is(locked, ErrNotExist):
		return err // somebody was faster
	case locked != nil:
		return fmt.Errorf("%w; and remove the container: %w", err, locked)
	}
	return c.undoStart(err)
}

// undoStart stops and removes a container one of whose hooks has failed (runtime.md#lifecycle, steps 7 and 9).
func (c *container) undoStart(err error) error {
	if undo := c.destroy(true); undo != nil {
		return fmt.Errorf("%w; and remove the container: %w", err, undo)
	}
	return err
}

// spec decodes the config.json that the container was made from.
func (c *container) spec() (*specs.Spec, error) {
	data, err := c.config()
	if err != nil {
		return nil, err
	}
	spec, err := specconv.ParseSpec(data)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", c.path(configFile), err)
	}
	return spec, nil
}
