package plan

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestString pins the form of the printed plan; the golden plans of specconv have the rest.
func TestString(t *testing.T) {
	text := typicalPlan(t, "", nil).String()
	for _, line := range []string{
		"inputs: %parent=3(socket) %start gate=4(listener) %ns:network=5(namespace) %cgroup:cpu=6(joinable)\n",
		"\n# /stage: visible\n",
		`   0  close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)`,
		`  mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {set 0, clear 0, propagation MS_SLAVE}, 32)`,
		`  %null = openat2(AT_FDCWD, "/dev/null", {O_PATH|O_NOFOLLOW|O_CLOEXEC, 0}, 24)`,
		`  if data+28 & 0xf000 == 0x2000  [-> `,
		`  fail EEXIST`,
		`  skip  [-> `,
		`  gate`,
		`  store %root to data+`,
		`{O_NOFOLLOW|O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600, `,
		`  mkdirat(%tmpfs, "shm", 0755)  [EEXIST -> `,
		`  sched_setaffinity(0, 16, {0-127})  [EPERM -> `,
		`  sched_setattr(0, {SCHED_FIFO, SCHED_FLAG_RESET_ON_FORK, nice -3, priority 7, runtime 0, deadline 0, period 0, util 0 to 0}, 0)`,
		`  ioprio_set(IOPRIO_WHO_PGRP, 0, IOPRIO_CLASS_BE:4)`,
		`  set_mempolicy(MPOL_BIND|MPOL_F_STATIC_NODES, {0,2-3}, 65)`,
		`  personality(PER_LINUX32)`,
		`  prlimit64(0, RLIMIT_NOFILE, {1024, 1024}, 0)`,
		`  setgroups(2, [10 20])`,
		`  capset({V3, 0}, {effective 0x20, permitted 0x20, inheritable 0x20})`,
		`  %listener = seccomp(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, {1 instructions})`,
		"  gate for %listener\n",
		`  report to %start`,
		`  execve("/bin/true", ["true"], ["PATH=/bin"])  [ENOENT -> `,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing", line)
		}
	}
	if again := typicalPlan(t, "", nil).String(); again != text {
		t.Error("the same plan is printed in two ways")
	}
}

// TestStringOdd: a plan that Verify refuses can still be printed.
func TestStringOdd(t *testing.T) {
	for _, list := range [][]brokenPlan{brokenForm, brokenNames, brokenOrder} {
		for _, c := range list {
			p := typicalPlan(t, c.stage, c.extra)
			if c.change != nil {
				c.change(p)
			}
			_ = p.String()
		}
	}
	if text := flagText(unix.O_PATH|1<<40, openNames); text != "O_PATH|0x10000000000" {
		t.Error(text)
	}
}
