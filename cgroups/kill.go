package cgroups

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// killUnified kills by cgroup.kill (Linux 5.14), which reaches the whole subtree, forks in flight and frozen processes.
func (d *dir) killUnified() error {
	err := d.write("cgroup.kill", "1")
	if isGone(err) {
		return nil
	}
	return err
}

// killEach kills every process of the tree by pidfd. A pid can't be reused between the two calls into another's hands: after
// pidfd_open the list is read once more, and only who is still listed is killed. It repeats until no new process is found,
// which one round achieves when the tree is frozen.
func (d *dir) killEach() error {
	deadline := time.Now().Add(freezeTimeout)
	seen := make(map[int]bool)
	for {
		pids, err := d.allPids()
		if err != nil {
			if isGone(err) {
				return nil
			}
			return err
		}
		fresh := pids[:0]
		for _, pid := range pids {
			if !seen[pid] {
				seen[pid] = true
				fresh = append(fresh, pid)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		if err := d.killListed(fresh); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return &os.PathError{Op: "kill processes of", Path: d.path, Err: errors.New("they fork faster than they can be killed")}
		}
	}
}

func (d *dir) killListed(pids []int) error {
	fds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		switch fd, err := linux.PidfdOpen(pid); {
		case err == nil:
			fds[pid] = fd
		case !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL): // EINVAL: a thread id, its leader is listed elsewhere
			return &os.PathError{Op: "open pidfd of " + strconv.Itoa(pid) + " in", Path: d.path, Err: err}
		}
	}
	still, err := d.allPids()
	if err != nil && !isGone(err) {
		return err
	}
	for _, pid := range still {
		fd, ok := fds[pid]
		if !ok {
			continue
		}
		if err := linux.PidfdSendSignal(fd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return &os.PathError{Op: "kill process " + strconv.Itoa(pid) + " of", Path: d.path, Err: err}
		}
	}
	return nil
}
