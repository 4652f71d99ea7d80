package libct

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/jsonscan"
	"husk/internal/linux"
)

// What the kernel has counted for a container's cgroup.
type (
	Stats    = cgroups.Stats
	Pressure = cgroups.Pressure
	Stall    = cgroups.Stall
	IOTable  = cgroups.IOTable
)

// Event is something that [Runtime.Events] tells.
type Event struct {
	Type  string // "stats" or "oom"
	ID    string
	Stats *Stats // with "stats"
}

// AppendJSON appends the event as a line of JSON, as runc writes it.
func (e *Event) AppendJSON(dst []byte) []byte {
	w := jsonscan.Writer{Data: dst}
	w.Object("")
	w.Text("type", e.Type)
	w.Text("id", e.ID)
	if e.Stats != nil {
		e.Stats.Append(&w, "data")
	}
	w.EndObject()
	w.Line()
	return w.Data
}

// Stats returns the statistics of container id, which must not be stopped. Those of one without a cgroup, where nothing counts, have no
// numbers: so it is with runc.
func (r *Runtime) Stats(id string) (*Stats, error) {
	s, err := r.count(id)
	if nothing := (*noStatsError)(nil); errors.As(err, &nothing) && nothing.noCgroup {
		return &Stats{}, nil
	}
	return s, err
}

// count is Stats of a container that has something to count.
func (r *Runtime) count(id string) (*Stats, error) {
	c, m, err := r.openRunning(id)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.stats(m)
}

// Events calls tell with the statistics of container id after every interval, and whenever the kernel has killed a process
// in it for want of memory, until the container stops or tell fails.
func (r *Runtime) Events(id string, interval time.Duration, tell func(*Event) error) error {
	c, m, err := r.openRunning(id)
	if err != nil {
		return err
	}
	defer c.close()
	pidfd, err := c.initPidfd()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	oom, err := m.WatchOOM()
	if err != nil {
		return fmt.Errorf("watch container %s for lack of memory: %w", id, err)
	}
	if oom != nil {
		defer oom.Close()
		fds = append(fds, oom.Poll)
	}
	for next := time.Now().Add(interval); ; {
		ready, err := linux.Poll(fds, max(time.Until(next), 0))
		if err != nil {
			return err
		}
		if oom != nil {
			killed, err := oom.Happened()
			switch {
			case cgroupGone(err):
				fds = fds[:1]
			case err != nil:
				return err
			case killed:
				if err := tell(&Event{Type: "oom", ID: id}); err != nil {
					return err
				}
			}
		}
		if fds[0].Revents != 0 {
			return nil
		}
		if ready {
			continue
		}
		next = next.Add(max(time.Since(next).Truncate(interval), 0) + interval) // those that were missed are left out
		s, err := c.stats(m)
		if err != nil {
			c.r.warn("%v", err)
			continue
		}
		if err := tell(&Event{Type: "stats", ID: id, Stats: s}); err != nil {
			return err
		}
	}
}

// openRunning returns a container that is not stopped, and its cgroup.
func (r *Runtime) openRunning(id string) (*container, cgroups.Manager, error) {
	c, err := r.open(id, 0)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.running()
	if err != nil {
		c.close()
		return nil, nil, err
	}
	return c, m, nil
}

func (c *container) running() (cgroups.Manager, error) {
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	if status == Stopped || status == Creating {
		return nil, &noStatsError{text: "container with id " + c.id + " is not running"} // runc's words
	}
	m, err := c.cgroup()
	if err == nil && m == nil {
		err = &noStatsError{"read statistics of container " + c.id + ": it has no cgroup", true}
	}
	return m, err
}

// noStatsError: there is nothing that counts.
type noStatsError struct {
	text     string
	noCgroup bool
}

func (e *noStatsError) Error() string { return e.text }

func (c *container) stats(m cgroups.Manager) (*Stats, error) {
	s, err := m.Stats()
	if err != nil {
		return nil, fmt.Errorf("read statistics of container %s: %w", c.id, err)
	}
	return s, nil
}
