package libct

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// Leftover is what a command left behind that was killed, or a machine that went down.
type Leftover struct {
	ID      string // of the directory below the state root
	Why     string // it is one
	Removed bool
	Err     error // why it can't be removed
}

// CollectGarbage removes what nobody will delete any more: containers whose create was killed, containers of an earlier boot,
// and directories without a record. With dryRun it removes nothing. What lives stays: neither a process nor a stopped
// container is touched, nor a directory with something in it that husk does not make.
func (r *Runtime) CollectGarbage(dryRun bool) ([]Leftover, error) {
	root, ids, err := r.ids()
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	var list []Leftover
	for _, id := range ids {
		c, err := r.enter(root, id, 0)
		if errors.Is(err, ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			list = append(list, Leftover{ID: id, Why: "it can't be looked at", Err: err})
			continue
		}
		if l := c.collect(dryRun); l.Why != "" {
			list = append(list, l)
		}
		unix.Close(c.dir) // root goes on
	}
	return list, nil
}

// collect removes c if it is garbage. It looks without a lock first, so that it is in nobody's way.
func (c *container) collect(dryRun bool) Leftover {
	l := Leftover{ID: c.id}
	why, err := c.garbage()
	if why == "" && err == nil {
		return l
	}
	switch err := c.acquire(unix.LOCK_EX, 0); {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, ErrNotExist):
		return l // it is being made or deleted
	case err != nil:
		return Leftover{ID: c.id, Why: "it can't be locked", Err: err}
	}
	l.Why, l.Err = c.garbage()
	if l.Why == "" || l.Err != nil || dryRun {
		return l
	}
	if len(c.rec.ID) == 0 {
		l.Err = c.remove()
	} else {
		l.Err = c.destroy(false)
	}
	l.Removed = l.Err == nil
	return l
}

// garbage says why c is garbage, or why it can't be removed by anything but delete --force; "" if it is no garbage.
func (c *container) garbage() (string, error) {
	err := c.read()
	var damaged *DamagedError
	switch {
	case errors.Is(err, ErrNotExist):
		return c.unrecorded()
	case errors.As(err, &damaged):
		return "its record is damaged", err
	case err != nil:
		return "it can't be looked at", err
	}
	same, err := c.sameBoot()
	switch {
	case err != nil:
		return "it can't be looked at", err
	case !same:
		return "it is of an earlier boot", nil
	case c.rec.Phase != phaseCreating:
		return "", nil
	}
	const why = "its create was killed"
	if c.rec.HostMount {
		return why, errors.New("it may have mounts on the host; delete --force removes them")
	}
	m, err := c.cgroup()
	if err != nil || m == nil {
		return why, err
	}
	pids, err := m.Pids(true)
	if err != nil && !cgroupGone(err) {
		return why, err
	}
	if len(pids) > 0 {
		return why, fmt.Errorf("there are %d process(es) in its cgroup; they may end soon, and delete --force ends them", len(pids))
	}
	return why, nil
}

// unrecorded: of a directory without a record, husk's are those in which there is nothing, or a record that was being written.
func (c *container) unrecorded() (string, error) {
	c.rec = record{}
	st, err := linux.Fstat(c.dir)
	if err != nil {
		return "it can't be looked at", err
	}
	names, err := linux.Names(c.dir)
	if err != nil {
		return "it can't be looked at", err
	}
	if int(st.Uid) != os.Geteuid() || len(names) > 1 || len(names) == 1 && names[0] != recordTemp {
		return "", nil
	}
	return "there is no container in it", nil
}
