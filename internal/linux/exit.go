package linux

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ExitStatus returns how a process has ended that has this pid and start time,
// and of which pidfd is one; it need not be a child. It is known if nobody has waited for the process yet
// and the caller has the right to trace it (proc_pid_stat(5), exit_code), or if
// somebody has, by a pidfd that is older than that (Linux 6.15,
// PIDFD_INFO_EXIT). Who lacks the right waits up to patience for the latter.
func ExitStatus(pidfd, pid int, start uint64, patience time.Duration) (status unix.WaitStatus, known bool) {
	if status, known = reapedStatus(pidfd); known {
		return status, true
	}
	if status, known = ZombieStatus(pid, start); known {
		return status, true
	}
	if reaped(pidfd, patience) {
		return reapedStatus(pidfd)
	}
	return 0, false
}

// reaped reports whether somebody has waited for a process, which a hangup of
// its pidfd says (Linux 6.9).
func reaped(pidfd int, patience time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd)}}
	ready, err := Poll(fds, patience)
	return err == nil && ready && fds[0].Revents&unix.POLLHUP != 0
}

func reapedStatus(pidfd int) (unix.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := repeat(func() error { return unix.IoctlPidfdInfo(pidfd, &info) })
	return unix.WaitStatus(info.Exit_code), err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
}

// ZombieStatus returns how a process has ended that has this pid and start time
// and that nobody has waited for, if the caller has the right to trace it.
func ZombieStatus(pid int, start uint64) (unix.WaitStatus, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	// The kernel shows a 0 to those without the right to trace. Theirs is not this link either.
	if _, err := Readlinkat(unix.AT_FDCWD, dir+"/ns/user"); err != nil {
		return 0, false
	}
	line, err := readSmall(dir+"/stat", make([]byte, 2048))
	if err != nil {
		return 0, false
	}
	p, ok := parseStat(line)
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if !ok || !p.Dead() || p.StartTime != start || len(fields) <= fieldExitCode-fieldState {
		return 0, false
	}
	code, err := strconv.Atoi(string(fields[fieldExitCode-fieldState]))
	return unix.WaitStatus(code), err == nil
}
