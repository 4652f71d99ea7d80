package libct

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
	"husk/plan"
)

// Delete removes container id and all it has on the host: processes, cgroup,
// directory. It must be stopped; with force it may be in any state, and its
// record damaged. (runc deletes a created container as well; the specification
// wants an error: runtime.md#delete.)
//
// A delete that was interrupted, at whatever point, is finished by the next.
// An unknown id is ErrNotExist, with force it is no error; what a create left
// that was killed before it had a record is removed in both cases.
func (r *Runtime) Delete(id string, force bool) error {
	err := r.delete(id, force)
	if force && errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

func (r *Runtime) delete(id string, force bool) error {
	c, err := r.find(id, 0)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.acquireToDelete(force); err != nil {
		return err
	}
	stopPoint("delete-locked")
	var damaged *DamagedError
	err = c.load()
	switch {
	case errors.Is(err, ErrNotExist):
		if err := c.remove(); err != nil {
			return err
		}
		return ErrNotExist
	case force && errors.As(err, &damaged):
		if err := c.guess(); err != nil {
			return fmt.Errorf("%w; %w", damaged, err)
		}
	case err != nil:
		return err
	}
	if !force {
		status, err := c.status()
		if err != nil {
			return err
		}
		if status != Stopped { // runtime.md#delete; runc deletes a created one as well
			return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
		}
	}
	return c.destroy(force)
}

// acquireToDelete takes LOCK_EX. By force, init is killed if somebody has the
// lock, and all in the cgroup of a container that is being made: a create,
// start or exec that hangs because of the container ends then. One that waits
// for a hook of its own does not; the message about the lock says so.
func (c *container) acquireToDelete(force bool) error {
	if force {
		err := c.acquire(unix.LOCK_EX, 0)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if c.load() == nil {
			if err := c.signalInit(unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
				return err
			}
			if m, err := c.cgroup(); err == nil && m != nil && c.rec.Phase == phaseCreating {
				if err := m.Kill(); err != nil && !cgroupGone(err) {
					return fmt.Errorf("kill all of container %s: %w", c.id, err)
				}
			}
		}
	}
	return c.acquire(unix.LOCK_EX, c.r.wait)
}

// destroy ends the container and removes it. Each step finds what is left of
// its object, if anything, so that all of them may be done again. The record
// of another boot leaves nothing but files to remove, and hooks to run.
func (c *container) destroy(force bool) error {
	deadline := time.Now().Add(c.r.wait)
	if err := c.end(force, deadline); err != nil {
		return err
	}
	if err := c.removeResctrl(); err != nil {
		return err
	}
	c.unmountHost()
	if c.rec.Poststop {
		if err := c.r.runHooks(c, "poststop"); err != nil {
			c.r.warn("delete container %s: %v", c.id, err)
		}
		stopPoint("delete-poststop")
	}
	if err := c.remove(); err != nil {
		return err
	}
	c.r.debug("removed directory %s", c.path(""))
	stopPoint("delete-done")
	return nil
}

// end kills the container's processes, waits until they are gone, and removes
// the cgroup.
func (c *container) end(force bool, deadline time.Time) error {
	m, err := c.cgroup()
	if err != nil {
		return err
	}
	pidfd, err := c.initPidfd()
	if err == nil {
		defer unix.Close(pidfd)
		err = c.signal(pidfd, unix.SIGKILL)
	}
	running := err == nil
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	if m != nil && !running { // most often there is nobody left to be killed
		var busy *cgroups.BusyError
		err := c.removeCgroup(m, 0)
		if err == nil || errors.As(err, &busy) && len(busy.Pids) > 0 && c.heir() != "" {
			m = nil
		}
	}
	// The end of init is the end of its pid namespace, if it has one. What else
	// may be in the cgroup is a half-made container or an exec that did not come
	// to join.
	if m != nil && (force || !c.rec.OwnPidns || c.rec.Phase == phaseCreating) {
		if err := m.Kill(); err != nil && !cgroupGone(err) {
			return fmt.Errorf("kill all of container %s: %w", c.id, err)
		}
	}
	if running {
		if err := c.awaitEnd(pidfd, m, deadline); err != nil {
			return err
		}
		c.r.debug("process %d has ended", c.rec.Pid)
	}
	stopPoint("delete-killed")
	if m != nil {
		if err := c.removeCgroup(m, max(time.Until(deadline), 0)); err != nil {
			return fmt.Errorf("remove cgroup of container %s: %w%s", c.id, err, c.stuck(m))
		}
	}
	return nil
}

func (c *container) removeCgroup(m cgroups.Manager, wait time.Duration) error {
	if err := m.Delete(wait); err != nil {
		return err
	}
	c.r.debug("removed the cgroup")
	stopPoint("delete-cgroup")
	return nil
}

// unmountHost takes the root off the host's mount table, where a container without a mount namespace has it. What it lies on is the
// caller's, who has mounted an image there before.
func (c *container) unmountHost() {
	same, err := c.sameBoot() // what is mounted there today may be somebody else's
	if !c.rec.HostMount || c.rec.Rootfs == "" || err != nil || !same {
		return
	}
	if at, err := mountAt(c.rec.Rootfs); err == nil && at == c.rec.RootMount {
		return // it has not been mounted, or is no longer
	}
	if err := unix.Unmount(c.rec.Rootfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
		c.r.warn("unmount %s: %v", c.rec.Rootfs, err)
	}
}

// mountAt returns the id of the mount that a directory of the host lies on.
func mountAt(dir string) (uint64, error) {
	fd, err := linux.Openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return linux.MountID(fd, plan.StatxMount)
}
