// Package runtime: what husk is built with in place of cgroup_linux.go of Go's runtime (packaging/overlay, and the entry
// about it in docs/decisions.md).
//
// Before main begins, Go reads /proc/self/cgroup and /proc/self/mountinfo to find the CPU limit of its cgroup, and makes the
// structures of as many processors as the machine has. husk runs for some milliseconds on one: with 256 processors that would be
// ten milliseconds and 2100 page faults of each command.
package runtime

// maxProcessors is enough for husk, in which at most one goroutine computes while others wait.
const maxProcessors = 2

func defaultGOMAXPROCSInit() {}

func defaultGOMAXPROCSUpdateGODEBUG() {}

// defaultGOMAXPROCS is called at the start with the number of CPUs, later with 0. The environment's GOMAXPROCS goes first.
func defaultGOMAXPROCS(ncpu int32) int32 {
	if ncpu <= 0 {
		ncpu = getCPUCount()
	}
	return min(ncpu, maxProcessors)
}
