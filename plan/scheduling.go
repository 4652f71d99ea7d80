package plan

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The calls that say how the kernel runs the process: on which CPUs, by which scheduler, with which I/O priority, from which
// memory nodes, and as which kind of system it appears.

// SetAffinity sets the CPUs that the process may run on, one bit each: sched_setaffinity(2). The kernel takes away those
// that do not exist or that the cgroup's cpuset does not have.
func (b *Builder) SetAffinity(cpus []byte) {
	b.call(unix.SYS_SCHED_SETAFFINITY, Imm(0), Imm(len(cpus)), Ptr(b.Struct(cpus)))
}

// SetScheduler sets policy and parameters of the scheduler: sched_setattr(2).
func (b *Builder) SetScheduler(a unix.SchedAttr) {
	pair := func(low, high uint32) uint64 { return uint64(low) | uint64(high)<<32 }
	attr := b.words(pair(unix.SizeofSchedAttr, a.Policy), a.Flags, pair(uint32(a.Nice), a.Priority),
		a.Runtime, a.Deadline, a.Period, pair(a.Util_min, a.Util_max))
	b.call(unix.SYS_SCHED_SETATTR, Imm(0), Ptr(attr), Imm(0))
}

// I/O scheduling classes, ioprio_set(2). They have 8 levels each, 0 is the highest.
const (
	IOClassRealTime   = 1
	IOClassBestEffort = 2
	IOClassIdle       = 3

	ioClassShift = 13
	ioGroup      = 2 // IOPRIO_WHO_PGRP
)

// IOPriority is a class and level in one number.
func IOPriority(class, level int) int { return class<<ioClassShift | level }

// SetIOPriority sets class and level of the process group, which is the process alone once it has a session: ioprio_set(2).
func (b *Builder) SetIOPriority(class, level int) {
	b.call(unix.SYS_IOPRIO_SET, Imm(ioGroup), Imm(0), Imm(IOPriority(class, level)))
}

// SetMemoryPolicy sets mode and flags (MPOL_*) and the memory nodes, one bit each in words of 8 bytes: set_mempolicy(2).
func (b *Builder) SetMemoryPolicy(mode uint64, nodes []byte) {
	if len(nodes) == 0 {
		b.call(unix.SYS_SET_MEMPOLICY, Imm(mode), Imm(0), Imm(0))
		return
	}
	b.call(unix.SYS_SET_MEMPOLICY, Imm(mode), Ptr(b.Struct(nodes)), Imm(8*len(nodes)+1)) // the kernel takes one off
}

// Execution domains, personality(2). What they could be combined with turns defences off (ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC)
// and has no name here.
const (
	PersonalityLinux   = 0
	PersonalityLinux32 = 8
)

// SetPersonality sets the execution domain: personality(2).
func (b *Builder) SetPersonality(domain uint64) { b.call(unix.SYS_PERSONALITY, Imm(domain)) }

var (
	policyNames = []flagName{
		{unix.SCHED_NORMAL, "SCHED_OTHER"},
		{unix.SCHED_FIFO, "SCHED_FIFO"},
		{unix.SCHED_RR, "SCHED_RR"},
		{unix.SCHED_BATCH, "SCHED_BATCH"},
		{4, "SCHED_ISO"}, // reserved in linux/sched.h, but in the specification
		{unix.SCHED_IDLE, "SCHED_IDLE"},
		{unix.SCHED_DEADLINE, "SCHED_DEADLINE"},
	}
	schedulerNames = []flagName{
		{unix.SCHED_FLAG_RESET_ON_FORK, "SCHED_FLAG_RESET_ON_FORK"},
		{unix.SCHED_FLAG_RECLAIM, "SCHED_FLAG_RECLAIM"},
		{unix.SCHED_FLAG_DL_OVERRUN, "SCHED_FLAG_DL_OVERRUN"},
		{unix.SCHED_FLAG_KEEP_POLICY, "SCHED_FLAG_KEEP_POLICY"},
		{unix.SCHED_FLAG_KEEP_PARAMS, "SCHED_FLAG_KEEP_PARAMS"},
		{unix.SCHED_FLAG_UTIL_CLAMP_MIN, "SCHED_FLAG_UTIL_CLAMP_MIN"},
		{unix.SCHED_FLAG_UTIL_CLAMP_MAX, "SCHED_FLAG_UTIL_CLAMP_MAX"},
	}
	ioWhoNames       = []flagName{{ioGroup, "IOPRIO_WHO_PGRP"}}
	ioClassNames     = []flagName{{IOClassRealTime, "IOPRIO_CLASS_RT"}, {IOClassBestEffort, "IOPRIO_CLASS_BE"}, {IOClassIdle, "IOPRIO_CLASS_IDLE"}}
	personalityNames = []flagName{{PersonalityLinux, "PER_LINUX"}, {PersonalityLinux32, "PER_LINUX32"}}
	memoryModeNames  = []flagName{
		{unix.MPOL_DEFAULT, "MPOL_DEFAULT"},
		{unix.MPOL_PREFERRED, "MPOL_PREFERRED"},
		{unix.MPOL_BIND, "MPOL_BIND"},
		{unix.MPOL_INTERLEAVE, "MPOL_INTERLEAVE"},
		{unix.MPOL_LOCAL, "MPOL_LOCAL"},
		{unix.MPOL_PREFERRED_MANY, "MPOL_PREFERRED_MANY"},
		{unix.MPOL_WEIGHTED_INTERLEAVE, "MPOL_WEIGHTED_INTERLEAVE"},
	}
	memoryFlagNames = []flagName{
		{unix.MPOL_F_STATIC_NODES, "MPOL_F_STATIC_NODES"},
		{unix.MPOL_F_RELATIVE_NODES, "MPOL_F_RELATIVE_NODES"},
		{unix.MPOL_F_NUMA_BALANCING, "MPOL_F_NUMA_BALANCING"},
	}
)

// checkAffinity: only what was not asked for, all CPUs, may be refused.
func checkAffinity(v *verifier, op *Op) error {
	mask := v.plan.part(op.Args[2], op.Args[1].Value)
	if op.Tolerate != [MaxTolerate]uint8{} && bytes.Count(mask, []byte{0xff}) != len(mask) {
		return errors.New("CPUs that were asked for may not be refused")
	}
	return nil
}

func checkScheduler(v *verifier, op *Op) error {
	size := v.plan.word(op.Args[1], 0)
	return v.wants(uint32(size) == unix.SizeofSchedAttr && knownName(size>>32, policyNames) && known(v.plan.word(op.Args[1], 1), schedulerNames),
		"a struct sched_attr with a policy and flags of sched_setattr(2)")
}

// checkIOPriority: the process group is the caller's until the process has a session of its own.
func checkIOPriority(v *verifier, op *Op) error {
	if v.firstOf(unix.SYS_SETSID) < 0 {
		return errors.New("the process group is still that of the caller")
	}
	level := op.Args[2].Value
	return v.wants(knownName(level>>ioClassShift, ioClassNames) && level&(1<<ioClassShift-1) < 8, "a class and a level from 0 to 7")
}

func checkMemoryPolicy(v *verifier, op *Op) error {
	mode, nodes, bits := op.Args[0].Value, op.Args[1], op.Args[2].Value
	for _, f := range memoryFlagNames {
		mode &^= f.value
	}
	if !knownName(mode, memoryModeNames) {
		return errors.New("a mode or flag that is not permitted")
	}
	none := nodes == Arg{} && bits == 0
	return v.wants(none || nodes.Mode == Address && bits%64 == 1 && v.fixed(nodes, bits/8), "nodes in whole words and their number, or neither")
}

// scheduling prints the operands that only the calls of this file have.
func (p *Plan) scheduling(op *Op, i int) (text string, ok bool) {
	a := op.Args[i]
	switch {
	case op.Nr == unix.SYS_SCHED_SETAFFINITY && i == 2:
		return bitsText(p.part(a, op.Args[1].Value)), true
	case op.Nr == unix.SYS_SCHED_SETATTR && i == 1:
		policy, nice := p.word(a, 0)>>32, p.word(a, 2)
		return fmt.Sprintf("{%s, %s, nice %d, priority %d, runtime %d, deadline %d, period %d, util %d to %d}", nameText(policy, policyNames),
			flagText(p.word(a, 1), schedulerNames), int32(nice), nice>>32, p.word(a, 3), p.word(a, 4), p.word(a, 5), uint32(p.word(a, 6)), p.word(a, 6)>>32), true
	case op.Nr == unix.SYS_IOPRIO_SET && i == 2:
		return nameText(a.Value>>ioClassShift, ioClassNames) + ":" + strconv.FormatUint(a.Value&(1<<ioClassShift-1), 10), true
	case op.Nr == unix.SYS_SET_MEMPOLICY && i == 0:
		var flags uint64
		for _, f := range memoryFlagNames {
			flags |= a.Value & f.value
		}
		mode := nameText(a.Value&^flags, memoryModeNames)
		if flags != 0 {
			mode += "|" + flagText(flags, memoryFlagNames)
		}
		return mode, true
	case op.Nr == unix.SYS_SET_MEMPOLICY && i == 1 && a.Mode == Address:
		return bitsText(p.part(a, op.Args[2].Value/8)), true
	}
	return "", false
}

// bitsText prints the bits of a mask the way the kernel lists CPUs: {0-3,7}.
func bitsText(mask []byte) string {
	var parts []string
	isSet := func(n int) bool { return n < 8*len(mask) && mask[n/8]&(1<<(n%8)) != 0 }
	for n := 0; n < 8*len(mask); n++ {
		if !isSet(n) {
			continue
		}
		first := n
		for isSet(n + 1) {
			n++
		}
		if part := strconv.Itoa(first); n == first {
			parts = append(parts, part)
		} else {
			parts = append(parts, part+"-"+strconv.Itoa(n))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}
