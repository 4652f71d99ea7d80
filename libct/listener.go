package libct

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
	"husk/internal/linux"
	"husk/nsenter"
	"husk/specconv"
)

// agent is the program that answers for a filter with SCMP_ACT_NOTIFY. It gets the filter's listener and is told whose it is.
type agent struct {
	path  string        // of its socket: listenerPath
	state []byte        // the container process state (config-linux.md#containerprocessstate)
	wait  time.Duration // how long it may take
}

// agent returns the one that config.json names for a process: pid, in a container of that status.
func (c *container) agent(p *specs.LinuxSeccomp, pid int, status Status) *agent {
	path := p.ListenerPath
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, "@") { // @: an abstract one (unix(7)), as with runc
		path = filepath.Join(c.rec.Bundle, path)
	}
	state := append([]byte(`{"ociVersion":"`+specs.Version+`","fds":["`+specs.SeccompFdName+`"],"pid":`), strconv.Itoa(pid)...)
	if p.ListenerMetadata != "" {
		state = jsonscan.AppendString(append(state, `,"metadata":`...), p.ListenerMetadata)
	}
	state = c.stateAs(status).AppendCompactJSON(append(state, `,"state":`...))
	return &agent{path, append(state, '}'), c.r.wait}
}

// errUnserved: write is the interpreter's first call under the filter.
var errUnserved = errors.New("/linux/seccomp: the process ended before its listener was handed over; does the profile permit write?")

// hasListener says whether the filter is one with a listener.
func hasListener(h *specconv.Host) bool {
	return h.FilterFlags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
}

// mustSend says whether the process has to send its listener itself: pidfd_getfd needs CAP_SYS_PTRACE in the user namespace in
// which the interpreter was executed, because that is not dumpable. Of one that the process is born into we are the owner.
func mustSend(h *specconv.Host, clone uint64) (bool, error) {
	if !hasListener(h) || clone&unix.CLONE_NEWUSER != 0 {
		return false, nil
	}
	own, err := ownCapabilities()
	return own&(1<<unix.CAP_SYS_PTRACE) == 0, err
}

// serve hands the listener of a process over and lets the process go on from its gate. It returns when the agent alone holds
// the listener: from then on what the agent leaves unanswered by its death gives ENOSYS.
func (a *agent) serve(conn *nsenter.Conn, e nsenter.Event, pidfd int) error {
	if len(e.Files) == 0 {
		fd, err := unix.PidfdGetfd(pidfd, e.FD, 0)
		if err != nil {
			return fmt.Errorf("%s: take it from the process: %w%s", e.Gate, err, takeHint(err))
		}
		e.Files = []*os.File{os.NewFile(uintptr(fd), "listener")}
	}
	err := sendFile(a.path, string(a.state), e.Files[0], a.wait)
	closeAll(e.Files)
	if err != nil {
		return fmt.Errorf("%s: failed to connect with seccomp agent: %w", e.Gate, err) // runc's words
	}
	stopPoint("listener-sent")
	if err := conn.Answer(nil); err != nil && !errors.Is(err, io.EOF) { // a process that has ended may have said why
		return err
	}
	return a.awaitClose(conn, e, pidfd)
}

// awaitClose waits for the process to close its listener. Its calls until then, read and close, may be the agent's already: of
// an agent that has died it would not hear.
func (a *agent) awaitClose(conn *nsenter.Conn, e nsenter.Event, pidfd int) error {
	ready, err := conn.Ready(a.wait)
	if err == nil && !ready && holds(pidfd, e.FD) {
		err = fmt.Errorf("%s: the seccomp agent at %s does not answer", e.Gate, a.path)
	}
	return err
}

func takeHint(err error) string {
	if errors.Is(err, unix.EPERM) {
		return " (pidfd_getfd needs kernel.yama.ptrace_scope below 3)"
	}
	return ""
}

// holds says whether a process has a descriptor.
func holds(pidfd, number int) bool {
	fd, err := unix.PidfdGetfd(pidfd, number, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// serveInit has the agent serve the container's first process, or ends that: its next call may be one that waits for the agent.
func (c *container) serveInit(conn *nsenter.Conn, e nsenter.Event) error {
	pidfd, err := c.initPidfd()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	spec, err := c.spec()
	if err == nil {
		err = c.agent(spec.Linux.Seccomp, c.rec.Pid, Created).serve(conn, e, pidfd)
	}
	if err != nil {
		linux.PidfdSendSignal(pidfd, unix.SIGKILL)
	}
	return err
}
