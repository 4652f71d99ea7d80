package specconv

import (
	"bytes"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// codes map names of the specification to the kernel's numbers.
type codes []struct {
	name   string
	number uint64
}

func (c codes) number(name string) (n uint64, known bool) {
	for _, code := range c {
		if code.name == name {
			return code.number, true
		}
	}
	return 0, false
}

func (c codes) names() (list []string) {
	for _, code := range c {
		list = append(list, code.name)
	}
	return list
}

// sum adds the numbers of flags.
func sum[T ~string](c codes, flags []T) (bits uint64) {
	for _, flag := range flags {
		n, _ := c.number(string(flag))
		bits |= n
	}
	return bits
}

var (
	policies = codes{ // sched(7)
		{string(specs.SchedOther), unix.SCHED_NORMAL},
		{string(specs.SchedFIFO), unix.SCHED_FIFO},
		{string(specs.SchedRR), unix.SCHED_RR},
		{string(specs.SchedBatch), unix.SCHED_BATCH},
		{string(specs.SchedISO), 4}, // linux/sched.h reserves the number; no kernel has the policy
		{string(specs.SchedIdle), unix.SCHED_IDLE},
		{string(specs.SchedDeadline), unix.SCHED_DEADLINE},
	}
	schedulerFlags = codes{ // sched_setattr(2)
		{string(specs.SchedFlagResetOnFork), unix.SCHED_FLAG_RESET_ON_FORK},
		{string(specs.SchedFlagReclaim), unix.SCHED_FLAG_RECLAIM},
		{string(specs.SchedFlagDLOverrun), unix.SCHED_FLAG_DL_OVERRUN},
		{string(specs.SchedFlagKeepPolicy), unix.SCHED_FLAG_KEEP_POLICY},
		{string(specs.SchedFlagKeepParams), unix.SCHED_FLAG_KEEP_PARAMS},
		{string(specs.SchedFlagUtilClampMin), unix.SCHED_FLAG_UTIL_CLAMP_MIN},
		{string(specs.SchedFlagUtilClampMax), unix.SCHED_FLAG_UTIL_CLAMP_MAX},
	}
	ioClasses = codes{ // ioprio_set(2)
		{string(specs.IOPRIO_CLASS_RT), plan.IOClassRealTime},
		{string(specs.IOPRIO_CLASS_BE), plan.IOClassBestEffort},
		{string(specs.IOPRIO_CLASS_IDLE), plan.IOClassIdle},
	}
	memoryModes = codes{ // set_mempolicy(2)
		{string(specs.MpolDefault), unix.MPOL_DEFAULT},
		{string(specs.MpolBind), unix.MPOL_BIND},
		{string(specs.MpolInterleave), unix.MPOL_INTERLEAVE},
		{string(specs.MpolWeightedInterleave), unix.MPOL_WEIGHTED_INTERLEAVE},
		{string(specs.MpolPreferred), unix.MPOL_PREFERRED},
		{string(specs.MpolPreferredMany), unix.MPOL_PREFERRED_MANY},
		{string(specs.MpolLocal), unix.MPOL_LOCAL},
	}
	memoryFlags = codes{
		{string(specs.MpolFNumaBalancing), unix.MPOL_F_NUMA_BALANCING},
		{string(specs.MpolFRelativeNodes), unix.MPOL_F_RELATIVE_NODES},
		{string(specs.MpolFStaticNodes), unix.MPOL_F_STATIC_NODES},
	}
	personalities = codes{ // personality(2)
		{string(specs.PerLinux), plan.PersonalityLinux},
		{string(specs.PerLinux32), plan.PersonalityLinux32},
	}
)

// SchedAttr is the argument of sched_setattr(2), but for its size.
func SchedAttr(s *specs.Scheduler) unix.SchedAttr {
	policy, _ := policies.number(string(s.Policy))
	return unix.SchedAttr{
		Policy: uint32(policy), Flags: sum(schedulerFlags, s.Flags), Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
}

// IOClass is the kernel's number of an I/O scheduling class.
func IOClass(io *specs.LinuxIOPriority) int {
	class, _ := ioClasses.number(string(io.Class))
	return int(class)
}

// schedule says how the kernel runs the process. The cgroup is joined by now, whose cpuset and time for real-time processes
// count; nothing forks any more, which SCHED_DEADLINE forbids; and the right to do it is still there.
func (c *compiler) schedule() {
	s, io := c.spec.Process.Scheduler, c.spec.Process.IOPriority
	if c.host.Schedules && (s != nil || io != nil) {
		c.at(GateSchedule, "process")
		c.b.Gate(GateSchedule, c.scratch, scratchSize)
		s, io = nil, nil
	}
	if s != nil {
		c.at(StepScheduler+string(s.Policy), "process", "scheduler")
		c.b.SetScheduler(SchedAttr(s))
	}
	if io != nil {
		c.at(StepIOPriority+string(io.Class), "process", "ioPriority")
		c.b.SetIOPriority(IOClass(io), io.Priority)
	}
	if m := c.spec.Linux.MemoryPolicy; m != nil {
		mode, _ := memoryModes.number(string(m.Mode))
		c.at("set the memory policy "+string(m.Mode), "linux", "memoryPolicy")
		c.b.SetMemoryPolicy(mode|sum(memoryFlags, m.Flags), numberMask(m.Nodes))
	}
	if p := c.spec.Linux.Personality; p != nil {
		domain, _ := personalities.number(string(p.Domain))
		c.at("set the personality "+string(p.Domain), "linux", "personality")
		c.b.SetPersonality(domain)
	}
}

// execAffinity is process.execCPUAffinity, which means nothing for a container's first process.
func (c *compiler) execAffinity() (a specs.CPUAffinity) {
	if c.exec && c.spec.Process.ExecCPUAffinity != nil {
		a = *c.spec.Process.ExecCPUAffinity
	}
	return a
}

// setAffinity sets the CPUs of a list, none if it is empty.
func (c *compiler) setAffinity(list, field string) {
	if list != "" {
		c.at("set the CPU affinity "+list, "process", "execCPUAffinity", field)
		c.b.SetAffinity(numberMask(list))
	}
}

// resetAffinity allows all CPUs: those of the cgroup's cpuset remain, now and when it changes. Who starts a runtime on
// certain CPUs has not chosen them for its containers.
func (c *compiler) resetAffinity() {
	const all = 8192 / 8 // the largest number of CPUs that kernels are built for
	c.b.At("", "give up the CPU affinity of the caller")
	c.b.On(nil, unix.EPERM, unix.ENOSYS) // an outer container's filter
	c.b.SetAffinity(bytes.Repeat([]byte{0xff}, all))
}

// forRanges calls f with each range of a list like "0-3,7" and reports whether it is one.
func forRanges(list string, f func(from, to int)) bool {
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			return false
		}
		f(int(from), int(to))
	}
	return true
}

// numberMask has one bit for each number of a valid list, in words of 8 bytes; nil if the list is empty.
func numberMask(list string) (mask []byte) {
	forRanges(list, func(from, to int) {
		if words := to/64 + 1; len(mask) < 8*words {
			mask = append(mask, make([]byte, 8*words-len(mask))...)
		}
		for n := from; n <= to; n++ {
			mask[n/8] |= 1 << (n % 8)
		}
	})
	return mask
}
