package libct

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
)

// Kill sends sig to the init of container id; signal 0 asks only whether there
// is one. SIGKILL to a container that shares its pid namespace ends everything
// in its cgroup, also after its init is gone: no pid namespace's end does it.
//
// With all, every process in the cgroup gets the signal, and a container that
// is not running is no error.
//
// Kill waits for nobody, least of all for a start or exec that hangs: what
// needs the lock comes after init has got its SIGKILL.
func (r *Runtime) Kill(id string, sig unix.Signal, all bool) error {
	c, err := r.open(id, 0)
	if err != nil {
		return err
	}
	defer c.close()
	switch {
	case sig == unix.SIGKILL && (all || !c.rec.OwnPidns):
		err = c.killAll()
	case all:
		err = c.signalAll(sig)
	default:
		err = c.signalInit(sig)
	}
	if all && errors.Is(err, ErrNotRunning) {
		return nil
	}
	return err
}

// signalInit sends sig to init, or returns ErrNotRunning.
//
// The interpreter at the start gate handles no signals. As the first process of
// a pid namespace it is safe from all of them but SIGKILL (pid_namespaces(7)),
// so that is what it gets in the place of a signal that would end others.
func (c *container) signalInit(sig unix.Signal) error {
	pidfd, err := c.initPidfd()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if c.rec.OwnPidns && ends(sig) {
		at, err := c.program()
		if err != nil {
			return err
		}
		if at == Created {
			sig = unix.SIGKILL
		}
	}
	return c.signal(pidfd, sig)
}

// ends reports whether the default action of a signal is the end of the process
// (signal(7)).
func ends(sig unix.Signal) bool {
	switch sig {
	case 0, unix.SIGKILL, unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH:
		return false
	}
	return true
}

// signal sends sig to init, of which pidfd is one. A process that is stopped
// by the v1 freezer does not even take a SIGKILL, so it is resumed after one;
// the v2 freezer lets it die.
func (c *container) signal(pidfd int, sig unix.Signal) error {
	err := linux.PidfdSendSignal(pidfd, sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("send signal %d to init of container %s: %w", int(sig), c.id, err)
	}
	c.r.debug("sent signal %d to process %d", int(sig), c.rec.Pid)
	if sig != unix.SIGKILL || c.rec.Cgroup.Version == cgroups.V2 {
		return nil
	}
	frozen, err := c.frozen()
	if err != nil || !frozen {
		return err
	}
	m, err := c.cgroup()
	if err != nil {
		return err
	}
	if err := m.Freeze(false); err != nil && !cgroupGone(err) {
		return fmt.Errorf("resume paused container %s after SIGKILL: %w", c.id, err)
	}
	return nil
}

// killAll sends SIGKILL to init and to everything in the cgroup, and returns
// ErrNotRunning if neither is there.
func (c *container) killAll() error {
	initErr := c.signalInit(unix.SIGKILL)
	if initErr != nil && !errors.Is(initErr, ErrNotRunning) {
		return initErr
	}
	pids, m, err := c.members()
	switch {
	case errors.Is(err, ErrNotExist) && initErr == nil:
		return nil // its end set off the delete that came before the lock
	case err != nil:
		return err
	case m == nil && initErr == nil && !c.rec.OwnPidns:
		c.r.warn("kill container %s: it has no cgroup, so processes besides its init may be left", c.id)
		return nil
	case len(pids) == 0:
		return initErr
	}
	if err := m.Kill(); err != nil {
		return fmt.Errorf("kill all of container %s: %w", c.id, err)
	}
	c.r.debug("killed all %d processes in the cgroup", len(pids))
	return nil
}

// signalAll sends sig to each process in the cgroup, and returns ErrNotRunning
// if there is none. Those which are forked meanwhile may be missed.
func (c *container) signalAll(sig unix.Signal) error {
	pids, m, err := c.members()
	if err != nil {
		return err
	}
	if m == nil {
		return c.signalInit(sig)
	}
	reached, err := linux.SignalListed(pids, sig, func() ([]int, error) { return m.Pids(true) })
	if err != nil {
		return fmt.Errorf("send signal %d to all of container %s: %w", int(sig), c.id, err)
	}
	if reached == 0 {
		return ErrNotRunning
	}
	return nil
}

// members lists the processes in the container's cgroup, and keeps the
// container from being deleted until c is closed: a new one of the same id
// would get a cgroup of the same name. There is no Manager if the container
// has no cgroup.
func (c *container) members() ([]int, cgroups.Manager, error) {
	m, err := c.cgroup()
	if err != nil || m == nil {
		return nil, nil, err
	}
	if err := c.acquire(unix.LOCK_SH, c.r.wait); err != nil {
		return nil, nil, err
	}
	pids, err := c.inside(m)
	if err != nil && !cgroupGone(err) {
		return nil, nil, fmt.Errorf("list processes of container %s: %w", c.id, err)
	}
	return pids, m, nil
}

// awaitEnd waits until the process of pidfd has ended. The end of the first process of a pid namespace waits for that of all
// others in it.
func (c *container) awaitEnd(pidfd int, m cgroups.Manager, deadline time.Time) error {
	ended, err := linux.PollIn(pidfd, max(time.Until(deadline), 0))
	if err != nil {
		return fmt.Errorf("wait for the end of container %s: %w", c.id, err)
	}
	if ended {
		return nil
	}
	return fmt.Errorf("container init still running: pid %d of container %s has not ended %v after SIGKILL%s; nothing was removed, delete again later", c.rec.Pid, c.id, c.r.wait, c.stuck(m))
}
