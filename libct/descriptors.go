package libct

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// listenFacts tells the process of the descriptors that a service manager has passed. Its pid goes into LISTEN_PID, or
// sd_listen_fds(3) does not take them: 1 in a pid namespace of its own, else it is asked for when there is one.
func listenFacts(h *specconv.Host, fds ListenFDs, first bool) {
	if fds.N == 0 {
		return
	}
	h.PreserveFDs += fds.N
	h.Env = setEnv(h.Env, "LISTEN_FDS", strconv.Itoa(fds.N))
	if h.Env = dropEnv(h.Env, "LISTEN_FDNAMES"); fds.Names != "" {
		h.Env = append(h.Env, "LISTEN_FDNAMES="+fds.Names)
	}
	h.Env = dropEnv(h.Env, "LISTEN_PID")
	if h.ListenPid = !first; first {
		h.Env = append(h.Env, "LISTEN_PID=1")
	}
}

// pidAnswer answers a process that needs to know its own pid.
func pidAnswer(pid int) ([]byte, error) {
	inner, err := linux.InnerPid(pid)
	if err != nil {
		return nil, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return specconv.PidAnswer(inner), nil
}

// preserved are the caller's descriptors from 3 on that the container's process keeps: those of LISTEN_FDS, and n more.
func preserved(listen, n int) (files []*os.File, err error) {
	for fd := 3; fd < 3+listen+n; fd++ {
		// Ours are all close-on-exec, and one that came from the caller can't be: it would not have come.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 {
			err = unix.EBADF
		}
		if i := fd - 3; err != nil && i < listen {
			return nil, fmt.Errorf("LISTEN_FDS: unable to stat preserved-fd %d (of %d): %w", i, listen, err)
		}
		if err != nil {
			return nil, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", fd-3-listen, n, err) // runc's words
		}
		files = append(files, os.NewFile(uintptr(fd), "preserved"))
	}
	return files, nil
}
