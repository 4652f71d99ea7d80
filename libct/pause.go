package libct

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
)

// Pause stops all processes of container id, which may be created or running, and returns when they have stopped. Otherwise
// the error is ErrNotRunning.
//
// It waits for a start or exec that is on its way: frozen half-way they would hang.
func (r *Runtime) Pause(id string) error {
	c, err := r.open(id, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.status()
	switch {
	case err != nil:
		return err
	case status == Paused:
		return fmt.Errorf("%w: it is paused", ErrNotRunning)
	case status != Created && status != Running:
		return ErrNotRunning
	}
	m, err := c.freezer("pause")
	if err != nil {
		return err
	}
	if err := m.Freeze(true); err != nil {
		return fmt.Errorf("pause container %s: %w%s", id, err, c.stuck(m))
	}
	stopPoint("pause-frozen")
	c.touch()
	return c.letDie(m)
}

// Resume lets the processes of a paused container go on; ErrNotPaused if it is not. It works beside an exec that waits for
// it in the paused container.
func (r *Runtime) Resume(id string) error {
	c, err := r.open(id, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != Paused {
		return ErrNotPaused
	}
	m, err := c.freezer("resume")
	if err != nil {
		return err
	}
	if err := m.Freeze(false); err != nil {
		return fmt.Errorf("resume container %s: %w", id, err)
	}
	c.touch()
	return nil
}

// touch tells those who watch the container's directory to look at the cgroup: the v1 freezer has no event.
func (c *container) touch() {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if err := unix.UtimesNanoAt(c.dir, ".", now, 0); err != nil {
		c.r.debug("touch %s: %v", c.path(""), err)
	}
}

func (c *container) freezer(verb string) (cgroups.Manager, error) {
	m, err := c.cgroup()
	if err == nil && m == nil {
		err = fmt.Errorf("%s container %s: it has no cgroup", verb, c.id)
	}
	return m, err
}

// letDie resumes a container that was killed while it was being paused, and returns ErrNotRunning then. The v1 freezer keeps
// a process with a SIGKILL alive; kill resumes what is frozen after its signal, this looks for the signal after the freeze:
// one of the two sees the other.
func (c *container) letDie(m cgroups.Manager) error {
	if c.rec.Cgroup.Version == cgroups.V2 {
		return nil
	}
	killed, err := linux.Killed(c.rec.Pid)
	if err != nil {
		return fmt.Errorf("pause container %s: %w", c.id, err)
	}
	if !killed {
		return nil
	}
	return errors.Join(m.Freeze(false), ErrNotRunning)
}
