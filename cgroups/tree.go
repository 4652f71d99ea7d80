package cgroups

import (
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// made is what mkdirs did, for its undo.
type made struct {
	dirs   []string // new directories, outermost first
	exists bool     // the innermost was there before
}

// mkdirs makes mount/inner and what is missing above it. One mkdir(2) is all in the usual case that the parent exists.
func mkdirs(mount, inner string) (made, error) {
	var m made
	full := mount + "/" + inner
	for range 8 { // another runtime may remove a parent that we just saw
		err := mkdir(full)
		switch {
		case err == nil:
			m.dirs = append(m.dirs, full)
			return m, nil
		case errors.Is(err, unix.EEXIST):
			m.exists = true
			return m, nil
		case !errors.Is(err, unix.ENOENT) || !strings.Contains(inner, "/"):
			m.undo()
			return made{}, &os.PathError{Op: "make cgroup", Path: full, Err: err}
		}
		if err := m.parents(mount, path.Dir(inner)); err != nil {
			m.undo()
			return made{}, err
		}
	}
	m.undo()
	return made{}, &os.PathError{Op: "make cgroup", Path: full, Err: unix.ENOENT}
}

func (m *made) parents(mount, inner string) error {
	p := mount
	for name := range strings.SplitSeq(inner, "/") {
		p += "/" + name
		err := mkdir(p)
		if err == nil {
			m.dirs = append(m.dirs, p)
		} else if !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "make cgroup", Path: p, Err: err}
		}
	}
	return nil
}

// undo removes the new directories. One that has got other users meanwhile stays.
func (m *made) undo() {
	for i := len(m.dirs) - 1; i >= 0; i-- {
		_ = rmdir(m.dirs[i])
	}
	m.dirs = nil
}

func mkdir(p string) error {
	for {
		if err := unix.Mkdir(p, 0o755); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func rmdir(p string) error {
	for {
		if err := unix.Rmdir(p); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (d *dir) rmdir() error {
	if d.above == nil {
		return rmdir(d.path)
	}
	if err := d.above.open(); err != nil {
		return err
	}
	for {
		if err := unix.Unlinkat(d.above.fd, path.Base(d.path), unix.AT_REMOVEDIR); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// remove deletes a cgroup and those below it and waits for processes that are about to end: on cgroup2 by the populated
// event, on v1, which has none, by the pidfds of what is left. Nothing is killed.
func (d *dir) remove(unified bool, deadline time.Time) error {
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := d.rmdir()
		if err == nil || errors.Is(err, unix.ENOENT) {
			d.close()
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &os.PathError{Op: "delete cgroup", Path: d.path, Err: err}
		}
		if err := d.waitEmpty(unified, deadline, pause); err != nil {
			return err
		}
		subs, err := d.children()
		if err != nil && !isGone(err) {
			return err
		}
		for i := range subs {
			if err := subs[i].remove(unified, deadline); err != nil {
				subs[i].close()
				return err
			}
		}
	}
}

// waitEmpty returns when no process is left in the tree. When none was there already, rmdir failed for the sake of
// sub-cgroups or of a task that has left the lists but not yet the kernel: there is no event for the latter, so each round
// sleeps a little longer.
func (d *dir) waitEmpty(unified bool, deadline time.Time, pause time.Duration) error {
	var err error
	if unified {
		err = d.waitEvent("populated", 0, deadline)
	} else {
		err = d.waitExits(deadline)
	}
	if isGone(err) {
		return nil
	}
	if err == nil && time.Now().After(deadline) {
		err = unix.ETIMEDOUT
	}
	if errors.Is(err, unix.ETIMEDOUT) {
		return d.busy()
	}
	if err == nil && pause > 100*time.Microsecond {
		time.Sleep(min(pause, time.Until(deadline)))
	}
	return err
}

// waitExits waits until every process listed now has ended.
func (d *dir) waitExits(deadline time.Time) error {
	pids, err := d.allPids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		fd, err := linux.PidfdOpen(pid)
		if err != nil {
			continue // ended already
		}
		err = poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, deadline)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// busy is the last word at the deadline: who keeps the cgroup.
func (d *dir) busy() error {
	pids, err := d.allPids()
	if err != nil {
		pids = nil
	}
	return &BusyError{Path: d.path, Pids: pids}
}
