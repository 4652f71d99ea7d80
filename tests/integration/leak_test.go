package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A snapshot is what a test must leave as it was.
type snapshot struct {
	v      *view
	mounts string
	fds    []string
}

func take(v *view) *snapshot {
	s := &snapshot{v: v, fds: descriptors()}
	v.do(func() error {
		s.mounts = v.mountinfo()
		return nil
	})
	return s
}

// compare reports what is there now and was not, and takes it away.
func (s *snapshot) compare(b *bundle) {
	t := b.t
	for _, p := range orphans() {
		t.Errorf("left behind: process %s", p)
	}
	now := take(s.v)
	if now.mounts != s.mounts {
		t.Errorf("mounts before:\n%s\nand now:\n%s", s.mounts, now.mounts)
	}
	if !slices.Equal(now.fds, s.fds) {
		t.Errorf("descriptors before: %q and now: %q", s.fds, now.fds)
	}
	for _, dir := range s.cgroups() {
		t.Errorf("left behind: cgroup %s", dir)
		os.Remove(dir)
	}
	entries, err := os.ReadDir(b.root)
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, e := range entries {
		if e.Name() != ".cache" {
			t.Errorf("left behind: state %s", e.Name())
		}
	}
}

// cgroups lists those that are named for a container of this process, deepest first.
func (s *snapshot) cgroups() (left []string) {
	s.v.do(func() error {
		for _, top := range s.v.hierarchies {
			filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
				if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), env.name) && e.Name() != env.name {
					left = append(left, path)
				}
				return nil
			})
		}
		return nil
	})
	slices.Reverse(left)
	return left
}

// descriptors lists those of this process.
func descriptors() (list []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil { // the one that lists them
			continue
		}
		list = append(list, e.Name()+" "+target)
	}
	return list
}

// orphans takes up all dead children, waits a moment for those that are about to die, kills and reports the others.
func orphans() (alive []string) {
	deadline := time.Now().Add(2 * time.Second)
	for {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG|unix.WALL, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil { // ECHILD
				return alive
			}
			if pid <= 0 {
				break
			}
		}
		for _, pid := range children() {
			if wait := time.Until(deadline); awaitEnd(pid, wait) {
				continue
			}
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			alive = append(alive, fmt.Sprintf("%d %q", pid, cmdline))
			syscall.Kill(pid, syscall.SIGKILL)
			awaitEnd(pid, limit)
		}
	}
}

// children lists the children of this process.
func children() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitEnd waits for the end of a process.
func awaitEnd(pid int, atMost time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(atMost)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(time.Until(deadline).Milliseconds(), 0)))
		if err != unix.EINTR {
			return n > 0
		}
	}
}
