package cgroups

import (
	"errors"
	"os"
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

// killEach kills every process of the tree that is listed, and repeats until no new one is found, which one round achieves when the tree is
// frozen.
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
		if _, err := linux.SignalListed(fresh, unix.SIGKILL, d.allPids); err != nil && !isGone(err) {
			return &os.PathError{Op: "kill processes of", Path: d.path, Err: err}
		}
		if time.Now().After(deadline) {
			return &os.PathError{Op: "kill processes of", Path: d.path, Err: errors.New("they fork faster than they can be killed")}
		}
	}
}
