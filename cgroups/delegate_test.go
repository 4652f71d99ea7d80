package cgroups

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A process goes into a cgroup below the container's, which belongs to the user; all of it goes with the container's.
func TestDelegate(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		pid := place(t, m).Process.Pid
		err := m.Delegate("be.low", 1234, pid)
		if m.State().Version != V2 {
			if err == nil || !strings.Contains(err.Error(), "cgroup v1 is not delegated") {
				t.Errorf("on v1: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if own, err := m.Pids(false); err != nil || len(own) != 0 {
			t.Errorf("left in the cgroup itself: %v, %v", own, err)
		}
		if all, err := m.Pids(true); err != nil || !slices.Contains(all, pid) {
			t.Errorf("below: %v, %v", all, err)
		}
		for _, name := range []string{"", "/cgroup.procs", "/cgroup.subtree_control"} {
			st, err := os.Stat(m.State().Paths[""] + "/be.low" + name)
			if err != nil || st.Sys().(*syscall.Stat_t).Uid != 1234 {
				t.Errorf("be.low%s does not belong to the user: %v", name, err)
			}
		}
		if err := m.Delegate("be.low", 0, pid); err != nil {
			t.Errorf("once more: %v", err)
		}
		if err := m.Delegate("cgroup.procs", 0, pid); err == nil {
			t.Error("a file of the kernel is taken for a cgroup")
		}
	})
}
