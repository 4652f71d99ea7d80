package libct

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
	"husk/internal/linux"
)

// End says how a container has ended.
type End struct {
	Known     bool            // whether Status is known
	Status    unix.WaitStatus // of the container's init (wait(2))
	OOMKilled bool            // the kernel has killed in the container for want of memory
}

// Exit is the exit status, 128 and the signal's number if a signal has ended the init.
func (e *End) Exit() int { return exitStatus(e.Status) }

// append writes what is known as members of an object.
func (e *End) append(w *jsonscan.Writer) {
	if e.Known {
		w.Int("exitStatus", int64(e.Exit()))
		if e.Status.Signaled() {
			w.Int("signal", int64(e.Status.Signal()))
		}
	}
	if e.OOMKilled {
		w.Bool("oomKilled", true)
	}
}

// AppendJSON appends the end of container id as a line of JSON.
func (e *End) AppendJSON(dst []byte, id string) []byte {
	w := jsonscan.Writer{Data: dst}
	w.Object("")
	w.Text("id", id)
	e.append(&w)
	w.EndObject()
	w.Line()
	return w.Data
}

// endPatience bounds the wait for the parent of an init to ask for its exit status.
const endPatience = time.Second

// Wait waits until container id has stopped and returns how. Of one that had stopped before, the exit status is known only if
// its parent has not asked for it yet, or somebody has written it down: a `run --keep`, or an earlier Wait, both of which do.
func (r *Runtime) Wait(id string) (*End, error) {
	c, err := r.open(id, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if c.busy { // it is being made
		if err := c.acquire(unix.LOCK_SH, r.wait); err != nil {
			return nil, err
		}
		if err := c.load(); err != nil {
			return nil, err
		}
		if err := linux.Unlock(c.dir); err != nil {
			return nil, err
		}
	}
	pidfd, err := c.initPidfd()
	if errors.Is(err, ErrNotRunning) {
		end := c.lastKnown()
		c.noteEnd(&end, endPatience)
		return &end, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	oom := c.watchOOM(pidfd)
	if _, err := linux.PollIn(pidfd, -1); err != nil {
		return nil, fmt.Errorf("wait for the end of container %s: %w", id, err)
	}
	end := c.look(pidfd, endPatience)
	end.OOMKilled = end.OOMKilled || oom
	c.noteEnd(end, endPatience)
	return end, nil
}

// watchOOM says whether the kernel kills in the container for want of memory before the init of pidfd ends. It waits for either
// where the cgroup will not tell later: systemd removes it as soon as it is empty.
func (c *container) watchOOM(pidfd int) bool {
	if c.rec.Cgroup.Unit == "" {
		return false
	}
	m, err := c.cgroup()
	if err != nil || m == nil {
		return false
	}
	watch, err := m.WatchOOM()
	if err != nil || watch == nil {
		return false
	}
	defer watch.Close()
	for {
		if kills, err := m.OOMKills(); err != nil || kills > 0 {
			return err == nil
		}
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, watch.Poll}
		if _, err := linux.Poll(fds, -1); err != nil {
			return false
		}
		if killed, err := watch.Happened(); err != nil || killed || fds[0].Revents != 0 {
			return killed
		}
	}
}

// look finds out how the init of pidfd has ended, just after it has.
func (c *container) look(pidfd int, patience time.Duration) *End {
	end := &End{OOMKilled: c.oomKilled()} // first: a delete may remove the cgroup at any time
	end.Status, end.Known = linux.ExitStatus(pidfd, c.rec.Pid, c.rec.StartTime, patience)
	return end
}

// oomKilled asks the cgroup, which knows until it is removed.
func (c *container) oomKilled() bool {
	m, err := c.cgroup()
	if err != nil || m == nil {
		return false
	}
	kills, err := m.OOMKills()
	return err == nil && kills > 0
}

// lastKnown is the end of a stopped container as far as it was written down or can still be seen.
func (c *container) lastKnown() End {
	end := c.rec.End
	if c.rec.Phase == phaseCreating {
		return end
	}
	if same, err := c.sameBoot(); err == nil && same && !end.Known && c.rec.Pid > 0 {
		end.Status, end.Known = linux.ZombieStatus(c.rec.Pid, c.rec.StartTime)
	}
	if !end.OOMKilled {
		end.OOMKilled = c.oomKilled()
	}
	return end
}

// noteEnd writes an end down that is known, unless the container is being deleted or somebody has done it. A container
// without it is none the worse.
func (c *container) noteEnd(end *End, wait time.Duration) {
	if !end.Known || c.rec.End.Known {
		return
	}
	err := c.acquire(unix.LOCK_EX, wait)
	if err == nil {
		defer linux.Unlock(c.dir)
		if err = c.load(); err == nil && !c.rec.End.Known {
			c.rec.Phase, c.rec.End = phaseStopped, *end
			err = c.save()
		}
	}
	if err != nil && !errors.Is(err, ErrNotExist) {
		c.r.debug("note the end of container %s: %v", c.id, err)
	}
}
