//go:build stoppoint

package libct

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

var stopPointPassed atomic.Int64

// stopPoint kills the process, as hard as kill -9 from outside would, where
// the environment variable HUSK_STOP_AT=NAME or NAME:N (the Nth time) says so.
// It exists in builds for crash tests only.
func stopPoint(name string) {
	at, nth, _ := strings.Cut(os.Getenv("HUSK_STOP_AT"), ":")
	if at != name {
		return
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	if stopPointPassed.Add(1) == n {
		unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {} // the signal may reach another thread first
	}
}
