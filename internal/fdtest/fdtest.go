// Package fdtest finds leaked file descriptors: a package's tests run between
// two looks at /proc/self/fd.
package fdtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Main is the body of a TestMain. It runs the tests and ends the process, with
// exit code 1 when a test failed or a descriptor was left open.
func Main(m *testing.M) {
	os.Exit(run(m.Run, os.Stderr))
}

func run(tests func() int, out interface{ WriteString(string) (int, error) }) int {
	before, err := Open()
	if err != nil {
		out.WriteString("list open files: " + err.Error() + "\n")
		return 1
	}
	code := tests()
	after, err := Open()
	if err != nil {
		out.WriteString("list open files: " + err.Error() + "\n")
		return 1
	}
	for fd, target := range after {
		if before[fd] != target {
			out.WriteString(fmt.Sprintf("leaked file descriptor %s -> %s\n", fd, target))
			code = max(code, 1)
		}
	}
	return code
}

// Open returns the open descriptors of this process and what they refer to.
// The poller's own two, which the Go runtime opens when it first needs them,
// are left out.
func Open() (map[string]string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	open := make(map[string]string, len(entries))
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the descriptor that listed the directory
		}
		if strings.HasSuffix(target, "[eventpoll]") || strings.HasSuffix(target, "[eventfd]") {
			continue
		}
		open[e.Name()] = target
	}
	return open, nil
}
