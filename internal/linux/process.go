package linux

import (
	"bytes"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Process is what /proc/PID/stat says about a process (proc_pid_stat(5)).
type Process struct {
	State     byte   // of the first thread: 'R', 'S', 'D', 'Z' (zombie), 'X' (dead), ...
	Threads   int    // that have not ended; a zombie counts as one until it is reaped
	StartTime uint64 // clock ticks between boot and its start
	Name      string // at most 15 bytes, which it may have chosen itself; a number at first if it was executed as /proc/PID/fd/N
}

// Dead reports whether the process has ended and at most waits to be reaped. A
// program whose first thread has ended while others go on is not dead.
func (p Process) Dead() bool { return (p.State == 'Z' || p.State == 'X') && p.Threads <= 1 }

// Stat reads /proc/PID/stat. The error is ENOENT (or ESRCH) when there is no
// such process.
//
// A pid alone names nobody: it is given to another process later. Together
// with the start time it names one process of this boot.
func Stat(pid int) (Process, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	// A stat line is some 300 bytes: 52 numbers and a name of at most 64 bytes.
	line, err := readSmall(name, make([]byte, 2048))
	if err != nil {
		return Process{}, err
	}
	p, ok := parseStat(line)
	if !ok {
		return Process{}, &os.PathError{Op: "read", Path: name, Err: errors.New("not in the form of proc_pid_stat(5)")}
	}
	return p, nil
}

// Fields of /proc/PID/stat, counted from 1 as in proc_pid_stat(5).
const (
	fieldState     = 3
	fieldThreads   = 20
	fieldStartTime = 22
	fieldExitCode  = 52
)

// parseStat reads a stat line. The command name in field 2 may hold spaces and
// parentheses, so fields are counted from the last ')'.
func parseStat(line []byte) (p Process, ok bool) {
	i := bytes.LastIndexByte(line, ')')
	if i < 0 {
		return p, false
	}
	_, name, _ := bytes.Cut(line[:i], []byte("("))
	p.Name = string(name)
	n := fieldState
	for field := range bytes.FieldsSeq(line[i+1:]) {
		var err error
		switch n {
		case fieldState:
			p.State = field[0]
		case fieldThreads:
			p.Threads, err = strconv.Atoi(string(field))
		case fieldStartTime:
			p.StartTime, err = strconv.ParseUint(string(field), 10, 64)
			return p, err == nil
		}
		if err != nil {
			return p, false
		}
		n++
	}
	return p, false
}

// InnerPid returns the pid of a process in its own pid namespace (NSpid of
// proc_pid_status(5)).
func InnerPid(pid int) (int, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/status"
	status, err := os.ReadFile(name) // the list of groups may be long
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nNSpid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	inner, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, '\t')+1:]))
	if err != nil {
		return 0, &os.PathError{Op: "read", Path: name, Err: errors.New("no NSpid as in proc_pid_status(5)")}
	}
	return inner, nil
}

// readSmall returns what one read of the pseudo file at the absolute path name
// gives; the kernel makes such files up whole when they are read.
func readSmall(name string, buf []byte) ([]byte, error) {
	fd, err := Openat(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return buf[:n], nil
}

// Killed reports whether a SIGKILL waits for the process pid, or has ended it:
// what SigPnd and ShdPnd in /proc/PID/status say (proc_pid_status(5)).
func Killed(pid int) (bool, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/status"
	text, err := readSmall(name, make([]byte, 4096))
	if NoProcess(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return parseKilled(text), nil
}

func parseKilled(status []byte) bool {
	const bit = 1 << (unix.SIGKILL - 1)
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if s := string(name); s != "SigPnd" && s != "ShdPnd" {
			continue
		}
		set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err == nil && set&bit != 0 {
			return true
		}
	}
	return false
}

// BootID returns the kernel's random name of this boot (random(4)).
func BootID() (string, error) {
	id, err := readSmall("/proc/sys/kernel/random/boot_id", make([]byte, 64))
	return string(bytes.TrimSpace(id)), err
}

// PidfdOpen returns a descriptor for the process pid (pidfd_open(2), Linux
// 5.3); it is close-on-exec by itself. See NoProcess for its errors.
func PidfdOpen(pid int) (int, error) {
	fd, err := retry(func() (int, error) { return unix.PidfdOpen(pid, 0) })
	return fd, os.NewSyscallError("pidfd_open", err)
}

// NoProcess reports whether err of PidfdOpen or Stat says that no process has
// the pid (ESRCH, ENOENT), or that it has become the id of a process's second
// or later thread (EINVAL; ENOENT since Linux 6.9).
func NoProcess(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)
}

// PidfdSendSignal sends sig to the process of pidfd (pidfd_send_signal(2));
// signal 0 only asks whether that would work. ESRCH: it has ended.
func PidfdSendSignal(pidfd int, sig unix.Signal) error {
	err := repeat(func() error { return unix.PidfdSendSignal(pidfd, sig, nil, 0) })
	return os.NewSyscallError("pidfd_send_signal", err)
}

// SignalListed sends sig to those of pids that list, called once more, still
// names, and returns how many processes got it.
//
// Between a list of pids and a signal a process may end and its pid be given
// away. So the pidfds are opened first and the list is read again: a pid that
// is still in it belongs to a process that ought to be signalled, and the
// pidfd, which is older, is either that process's or a dead one's.
func SignalListed(pids []int, sig unix.Signal, list func() ([]int, error)) (reached int, err error) {
	for batch := range slices.Chunk(pids, signalBatch) {
		n, err := signalListed(batch, sig, list)
		reached += n
		if err != nil {
			return reached, err
		}
	}
	return reached, nil
}

// signalBatch bounds the pidfds that SignalListed has open at once.
const signalBatch = 128

func signalListed(pids []int, sig unix.Signal, list func() ([]int, error)) (reached int, err error) {
	pidfds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range pidfds {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := PidfdOpen(pid)
		if NoProcess(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		pidfds[pid] = fd
	}
	still, err := list()
	if err != nil {
		return 0, err
	}
	for _, pid := range still {
		fd, ok := pidfds[pid]
		if !ok {
			continue
		}
		switch err := PidfdSendSignal(fd, sig); {
		case err == nil:
			reached++
		case !errors.Is(err, unix.ESRCH):
			return reached, err
		}
	}
	return reached, nil
}

// PollIn waits until fd is readable (a pidfd: until its process has ended), or
// was hung up, and reports whether that came before the timeout. A negative
// timeout waits for ever.
func PollIn(fd int, timeout time.Duration) (bool, error) {
	return Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, timeout)
}

// Poll is PollIn for any of several descriptors and events.
func Poll(fds []unix.PollFd, timeout time.Duration) (bool, error) {
	start := time.Now()
	for {
		ms := -1
		if timeout >= 0 {
			// Rounded up: a wait must not end before its time.
			left := max(timeout-time.Since(start), 0) + time.Millisecond - 1
			ms = int(min(left/time.Millisecond, math.MaxInt32))
		}
		n, err := unix.Poll(fds, ms)
		if err != unix.EINTR {
			return n > 0, os.NewSyscallError("poll", err)
		}
	}
}
