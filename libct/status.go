package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
	"husk/nsenter"
)

// Status is the state of a container in the words of the runtime
// specification (runtime.md, "State"), and "paused".
type Status string

// The states of a container.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// interpreterExe is how the link /proc/PID/exe of a process begins that still
// is the interpreter: it runs from a memfd.
const interpreterExe = "/memfd:" + nsenter.MemfdName

// State returns the state of container id. It takes no lock and never waits.
func (r *Runtime) State(id string) (*ContainerState, error) {
	c, err := r.open(id, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.state()
}

func (c *container) state() (*ContainerState, error) {
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	return c.stateAs(status), nil
}

// stateAs is the state of a container whose status is known.
func (c *container) stateAs(status Status) *ContainerState {
	s := &ContainerState{
		OCIVersion:  c.rec.OCIVersion,
		ID:          c.id,
		Pid:         c.rec.Pid,
		Status:      status,
		Bundle:      c.rec.Bundle,
		Rootfs:      c.rec.Rootfs,
		Created:     c.rec.Created,
		Annotations: c.rec.Annotations,
	}
	if status == Stopped {
		s.Pid = 0
		s.End = c.lastKnown()
		return s
	}
	for _, m := range c.rec.Mounts {
		s.AddedMounts = append(s.AddedMounts, m.Destination)
	}
	return s
}

// status looks how the container is at the moment.
func (c *container) status() (Status, error) {
	if c.rec.Phase == phaseCreating {
		if c.busy {
			return Creating, nil
		}
		return Stopped, nil
	}
	alive, err := c.alive()
	if err != nil {
		return "", err
	}
	if !alive {
		return Stopped, nil
	}
	frozen, err := c.frozen()
	if err != nil {
		return "", err
	}
	if frozen {
		return Paused, nil
	}
	s, err := c.program()
	if s == Running && len(c.rec.StartOps) == 0 && nsenter.Named(c.name) {
		return c.beforeStart()
	}
	return s, err
}

// beforeStart looks whether the process that run has made still is the interpreter: there is no start gate to tell by. It is asked
// for hardly any but such a process, see nsenter.Named. Where the interpreter hides from who asks, running is the better guess: what
// has a number for a name may be a program.
func (c *container) beforeStart() (Status, error) {
	exe, err := linux.Readlinkat(unix.AT_FDCWD, "/proc/"+strconv.Itoa(c.rec.Pid)+"/exe")
	switch {
	case linux.NoProcess(err):
		return Stopped, nil // it is on its way out
	case err == nil && strings.HasPrefix(exe, interpreterExe):
		return Created, nil
	}
	return Running, nil
}

// alive reports whether the container's init is there: the very process, not
// one that was given its pid later. A zombie is not, unless it is only the
// first thread of a program that goes on in others.
func (c *container) alive() (bool, error) {
	if c.rec.Pid == 0 || c.rec.Phase == phaseStopped {
		return false, nil
	}
	p, err := linux.Stat(c.rec.Pid)
	if linux.NoProcess(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for init of container %s: %w", c.id, err)
	}
	if p.StartTime != c.rec.StartTime || p.Dead() {
		return false, nil
	}
	c.name = p.Name
	return c.sameBoot()
}

// sameBoot reports whether the record is of this boot. If not, all it names is
// gone except for files: pids and cgroups of these names are somebody else's.
func (c *container) sameBoot() (same bool, err error) {
	if c.rec.BootID == "" {
		return true, nil
	}
	if c.boot == "" {
		if c.boot, err = linux.BootID(); err != nil {
			return false, fmt.Errorf("read boot id: %w", err)
		}
	}
	return c.boot == c.rec.BootID, nil
}

// initPidfd returns a pidfd of the container's init, or ErrNotRunning.
//
// The pidfd comes first and the look at the start time second: if the process
// that has the pid then is ours, it had the pid all the time since it was
// started, so the pidfd is its.
func (c *container) initPidfd() (int, error) {
	if c.rec.Pid == 0 {
		return -1, ErrNotRunning
	}
	fd, err := linux.PidfdOpen(c.rec.Pid)
	if linux.NoProcess(err) {
		return -1, ErrNotRunning
	}
	if err != nil {
		return -1, fmt.Errorf("open init of container %s, pid %d: %w", c.id, c.rec.Pid, err)
	}
	alive, err := c.alive()
	if err == nil && !alive {
		err = ErrNotRunning
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// program reports which program init executes: Created if it stands at the
// start gate. The gate's socket is removed by start; if a start was killed
// before it came to that, the socket is left but the process no longer is the
// interpreter.
func (c *container) program() (Status, error) {
	_, err := linux.Fstatat(c.dir, gateSocket, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return Running, nil
	}
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", c.path(gateSocket), cause(err))
	}
	exe, err := linux.Readlinkat(unix.AT_FDCWD, "/proc/"+strconv.Itoa(c.rec.Pid)+"/exe")
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		// The interpreter hides from everybody without privilege (PR_SET_DUMPABLE).
		return Created, nil
	case linux.NoProcess(err):
		return Stopped, nil // it is on its way out, its memory is gone already
	case err != nil:
		return "", fmt.Errorf("look at init of container %s: %w", c.id, err)
	case strings.HasPrefix(exe, interpreterExe):
		return Created, nil
	}
	return Running, nil
}

func (c *container) frozen() (bool, error) {
	m, err := c.cgroup()
	if err != nil || m == nil {
		return false, err
	}
	frozen, err := m.Frozen()
	if err != nil && !cgroupGone(err) {
		return false, fmt.Errorf("look whether container %s is paused: %w", c.id, err)
	}
	return frozen, nil
}

// cgroup returns the Manager of the container's cgroup, nil if it has none.
func (c *container) cgroup() (cgroups.Manager, error) {
	if len(c.rec.Cgroup.Paths) == 0 {
		return nil, nil
	}
	same, err := c.sameBoot()
	if err != nil || !same {
		return nil, err
	}
	m, err := cgroups.Load(c.rec.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.id, err)
	}
	return m, nil
}

// cgroupGone reports whether err says that a cgroup does not exist, or was
// removed while it was open (ENODEV).
func cgroupGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}
