package nsenter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/plan"
)

// Conn is a socket on which an interpreter reports: the one that Start has made, or the one that `start` has connected to.
type Conn struct {
	socket *os.File
	origin func(op int) plan.Origin
	files  []*os.File // received and not handed over yet

	fork int            // place of the op whose pid has not been reported yet; 0: there is none
	held []plan.Message // what the forked process has reported before that
}

// NewConn takes over a connected socket; origin says what the ops of the plan are there for.
func NewConn(socket *os.File, origin func(op int) plan.Origin) *Conn {
	return &Conn{socket: socket, origin: origin}
}

// Event is what the interpreter has reported.
type Event struct {
	Gate  plan.Origin // the gate that it stands at, or zero
	Op    int         // its place in the plan
	FD    int         // number of the descriptor that the gate is for, in the interpreter; 0: of none
	Files []*os.File  // what it has sent since the last event; the caller's from now on
	Pid   int         // of the process that goes on, if the plan has forked
}

// OpError is an op that failed.
type OpError struct {
	Origin plan.Origin
	Errno  unix.Errno
}

func (e *OpError) Error() string { return e.Origin.String() + ": " + e.Errno.Error() }

func (e *OpError) Unwrap() error { return e.Errno }

// Next waits for a report. io.EOF says that the socket is closed: the user's program runs, or the process has died. An
// *OpError says that the plan has failed; the process then stays until the socket is closed, to be looked at.
func (c *Conn) Next() (Event, error) {
	for {
		m, err := c.inOrder()
		if err != nil {
			return Event{}, err
		}
		switch m.Kind {
		case plan.MessageFD:
		case plan.MessageGate:
			e := Event{Gate: c.origin(m.Op), Op: m.Op, FD: int(m.Value), Files: c.files}
			c.files = nil
			return e, nil
		case plan.MessagePid:
			return Event{Pid: int(m.Value)}, nil
		case plan.MessageFail:
			return Event{}, &OpError{c.origin(m.Op), unix.Errno(m.Value)}
		default:
			return Event{}, fmt.Errorf("read from the interpreter: unknown message %d", m.Kind)
		}
	}
}

// Ready waits until Next has something to report, or the time is over.
func (c *Conn) Ready(timeout time.Duration) (bool, error) {
	if len(c.held) > 0 {
		return true, nil
	}
	return linux.PollIn(int(c.socket.Fd()), timeout)
}

// inOrder reports the pid of a forked process before anything that the process itself has to say: it may be faster than its
// parent, and only by the pid can it be ended and reaped.
func (c *Conn) inOrder() (plan.Message, error) {
	for c.fork > 0 {
		m, err := c.receive()
		switch {
		case errors.Is(err, io.EOF) && len(c.held) > 0: // the parent was killed
			c.fork = 0
			continue
		case err != nil:
			return m, err
		case m.Kind == plan.MessagePid:
			c.fork = 0
			return m, nil
		case m.Op <= c.fork:
			return m, nil
		}
		c.held = append(c.held, m)
	}
	if len(c.held) == 0 {
		return c.receive()
	}
	m := c.held[0]
	c.held = c.held[1:]
	return m, nil
}

func (c *Conn) receive() (plan.Message, error) {
	buffer, control := make([]byte, plan.MessageSize), make([]byte, unix.CmsgSpace(4))
	for {
		n, cn, _, _, err := unix.Recvmsg(int(c.socket.Fd()), buffer, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_WAITALL)
		switch {
		case err == unix.EINTR, err == unix.ECONNRESET: // reset: it ended without reading an answer, and may have said why
			continue
		case err == nil && n == 0:
			return plan.Message{}, io.EOF
		case err != nil:
			return plan.Message{}, fmt.Errorf("read from the interpreter: %w", err)
		}
		if cn > 0 {
			if err := c.keep(control[:cn]); err != nil {
				return plan.Message{}, err
			}
		}
		return plan.ParseMessage(buffer[:n])
	}
}

// keep takes the descriptors of a control message.
func (c *Conn) keep(control []byte) error {
	list, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return fmt.Errorf("read from the interpreter: %w", err)
	}
	for i := range list {
		fds, err := syscall.ParseUnixRights(&list[i])
		if err != nil {
			return fmt.Errorf("read from the interpreter: %w", err)
		}
		for _, fd := range fds {
			c.files = append(c.files, os.NewFile(uintptr(fd), "from the interpreter"))
		}
	}
	return nil
}

// AnswerFile lets the interpreter go on from a gate that asks for a descriptor.
func (c *Conn) AnswerFile(file *os.File) error {
	return c.answer([]byte{0}, unix.UnixRights(int(file.Fd())))
}

// Answer lets the interpreter go on from a gate. The answer has at least one byte.
func (c *Conn) Answer(answer []byte) error { return c.answer(answer, nil) }

func (c *Conn) answer(answer, control []byte) error {
	if len(answer) == 0 {
		answer = []byte{0}
	}
	for {
		_, err := unix.SendmsgN(int(c.socket.Fd()), answer, control, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case errors.Is(err, unix.EPIPE):
			return io.EOF
		default:
			return fmt.Errorf("answer the interpreter: %w", err)
		}
	}
}

// Close closes the socket: an interpreter at a gate ends.
func (c *Conn) Close() {
	for _, f := range c.files {
		f.Close()
	}
	c.files = nil
	c.socket.Close()
}
