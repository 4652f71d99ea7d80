package linux

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Steps between two attempts to take a lock that somebody else holds.
const (
	lockStep    = 200 * time.Microsecond
	lockStepMax = 10 * time.Millisecond
)

// Flock takes the lock how (unix.LOCK_SH or unix.LOCK_EX) on the open file fd.
// The lock belongs to the open file description (flock(2)): it goes with the
// last descriptor of it, also when the process is killed. If another holder
// keeps it for longer than timeout the error is EWOULDBLOCK; timeout 0 tries
// once.
//
// The kernel has no flock with a time limit, so a lock that is taken is asked
// for again, first after 200 µs, later every 10 ms. A free lock costs one call.
func Flock(fd, how int, timeout time.Duration) error {
	start := time.Now()
	for step := lockStep; ; step = min(2*step, lockStepMax) {
		err := repeat(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return os.NewSyscallError("flock", err)
		}
		left := timeout - time.Since(start)
		if left <= 0 {
			return os.NewSyscallError("flock", err)
		}
		time.Sleep(min(step, left))
	}
}

// Unlock gives the lock on fd back.
func Unlock(fd int) error {
	return os.NewSyscallError("flock", repeat(func() error { return unix.Flock(fd, unix.LOCK_UN) }))
}
