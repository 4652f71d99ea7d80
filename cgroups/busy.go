package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// BusyError says that a cgroup could not be removed in time. It unwraps to EBUSY.
type BusyError struct {
	Path string
	Pids []int // who is inside; empty: only tasks of other pid namespaces or tasks that are dying
}

func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "delete cgroup %s: %d process(es) still inside", e.Path, len(e.Pids))
	for i, pid := range e.Pids {
		if i == 8 {
			b.WriteString(" ...")
			break
		}
		b.WriteString(" " + strconv.Itoa(pid))
	}
	return b.String() + ": " + unix.EBUSY.Error()
}

func (e *BusyError) Unwrap() error { return unix.EBUSY }
