package seccomp

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp/internal/wire"
)

const (
	offsetNumber = 0 // of seccomp_data.nr
	offsetArch   = 4 // of seccomp_data.arch
	x32Bit       = 1 << 30
	noLimit      = 1<<32 - 1 // for an architecture of which nothing is known
)

const (
	opLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opReturn = unix.BPF_RET | unix.BPF_K
	opEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAbove  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opSet    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opJump   = unix.BPF_JMP | unix.BPF_JA
)

// stub returns the instructions to put before a filter so that a system call
// with a number above the newest one that the profile names gives ENOSYS.
//
// A C library tries a new system call first and the old one after ENOSYS. A
// profile written before the new one existed would answer EPERM, or kill, and
// break programs in old containers on new kernels. Calls that are older than
// the newest one named but not named are what the author left out on purpose:
// they get the default action.
//
// There is nothing to do if the default action permits, or is ENOSYS already.
//
// Each architecture is one section: what isn't its own jumps over it, and all
// ways out of it lead to ENOSYS or the filter, so the accumulator holds the
// architecture at the start of each section. Only the jump to the filter can be
// long, and it is an unconditional one.
func stub(p *specs.LinuxSeccomp, newest []wire.Newest) ([]unix.SockFilter, error) {
	a := findAction(p.DefaultAction)
	if a == nil || a.permits || (a.name == specs.ActErrno && p.DefaultErrnoRet != nil && *p.DefaultErrnoRet == uint(unix.ENOSYS)) {
		return nil, nil
	}
	limits, err := limitsByAudit(newest)
	if err != nil || len(limits) == 0 {
		return nil, err
	}
	program := []unix.SockFilter{{Code: opLoad, K: offsetArch}}
	var exits []int // the jumps to the filter, whose distance isn't known yet
	for _, l := range limits {
		body := l.section()
		program = append(program, unix.SockFilter{Code: opEqual, Jf: uint8(len(body)), K: l.audit})
		program = append(program, body...)
		exits = append(exits, len(program)-2)
	}
	for _, at := range exits {
		program[at].K = uint32(len(program) - at - 1)
	}
	return program, nil
}

// limit is the highest number that is passed on for one seccomp_data.arch.
type limit struct {
	audit       uint32
	number, x32 uint32 // x32: of numbers with the x32 bit, on x86_64 only
}

// section returns the instructions for one architecture. Its last two are the
// jump to the filter and the return of ENOSYS.
func (l *limit) section() []unix.SockFilter {
	list := []unix.SockFilter{{Code: opLoad, K: offsetNumber}}
	switch l.audit {
	case unix.AUDIT_ARCH_X86_64:
		// With the bit, skip the next test; without it, skip the one after.
		list = append(list,
			unix.SockFilter{Code: opSet, Jt: 1, K: x32Bit},
			unix.SockFilter{Code: opAbove, Jt: 2, Jf: 1, K: l.number},
			unix.SockFilter{Code: opAbove, Jt: 1, K: l.x32})
	case unix.AUDIT_ARCH_S390, unix.AUDIT_ARCH_S390X:
		// Numbers above 255 travel through setup(2), 0, in a register; one that
		// the kernel doesn't know arrives as 0. Nobody calls setup itself.
		list = append(list,
			unix.SockFilter{Code: opEqual, Jt: 2, K: 0},
			unix.SockFilter{Code: opAbove, Jt: 1, K: l.number})
	default:
		list = append(list, unix.SockFilter{Code: opAbove, Jt: 1, K: l.number})
	}
	return append(list,
		unix.SockFilter{Code: opJump},
		unix.SockFilter{Code: opReturn, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
}

// limitsByAudit folds x32 into x86_64 and puts the native architecture first,
// the others in a fixed order.
func limitsByAudit(newest []wire.Newest) ([]limit, error) {
	var limits []limit
	for _, n := range newest {
		arch := findArchitecture(specs.Arch(n.Arch))
		if arch == nil {
			return nil, fmt.Errorf("compile seccomp profile: compiler speaks of architecture %q", n.Arch)
		}
		i := slices.IndexFunc(limits, func(l limit) bool { return l.audit == arch.audit })
		if i < 0 {
			i = len(limits)
			limits = append(limits, limit{arch.audit, noLimit, noLimit})
		}
		if arch.name == specs.ArchX32 {
			limits[i].x32 = n.Number
		} else {
			limits[i].number = n.Number
		}
	}
	native := nativeAudit()
	slices.SortFunc(limits, func(a, b limit) int {
		switch {
		case a.audit == b.audit:
			return 0
		case a.audit == native || b.audit != native && a.audit < b.audit:
			return -1
		}
		return 1
	})
	return limits, nil
}

// nativeAudit only decides which section comes first.
func nativeAudit() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	return 0
}
