package seccomp

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// flagTSYNC isn't in the specification, but runc and crun know it. A container
// has one thread when it gets its filter, so there is nothing to synchronise.
const flagTSYNC specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

// An action has an errno if maxErrno isn't zero.
type action struct {
	name specs.LinuxSeccompAction
	// maxErrno is the highest value for errnoRet. libseccomp takes errnos
	// below MAX_ERRNO of the kernel; for TRACE it is SECCOMP_RET_DATA.
	maxErrno uint
	// permits: the system call happens, or a tracer decides. Newer system
	// calls need no ENOSYS then.
	permits bool
}

func actions() []action {
	return []action{
		{name: specs.ActAllow, permits: true},
		{name: specs.ActErrno, maxErrno: 4094},
		{name: specs.ActKill},
		{name: specs.ActKillProcess},
		{name: specs.ActKillThread},
		{name: specs.ActLog, permits: true},
		{name: specs.ActNotify},
		{name: specs.ActTrace, maxErrno: unix.SECCOMP_RET_DATA, permits: true},
		{name: specs.ActTrap},
	}
}

func operators() []specs.LinuxSeccompOperator {
	return []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual,
		specs.OpLessThan, specs.OpMaskedEqual, specs.OpNotEqual,
	}
}

type architecture struct {
	name  specs.Arch
	audit uint32 // as in seccomp_data.arch
	minor int    // libseccomp 2.MINOR knows it
}

// architectures has those of the specification 1.3. X32 has the audit value of
// X86_64; bit 30 of the system call number tells them apart.
func architectures() []architecture {
	return []architecture{
		{specs.ArchAARCH64, unix.AUDIT_ARCH_AARCH64, 2},
		{specs.ArchARM, unix.AUDIT_ARCH_ARM, 2},
		{specs.ArchLOONGARCH64, unix.AUDIT_ARCH_LOONGARCH64, 6},
		{specs.ArchM68K, unix.AUDIT_ARCH_M68K, 6},
		{specs.ArchMIPS, unix.AUDIT_ARCH_MIPS, 2},
		{specs.ArchMIPS64, unix.AUDIT_ARCH_MIPS64, 2},
		{specs.ArchMIPS64N32, unix.AUDIT_ARCH_MIPS64N32, 2},
		{specs.ArchMIPSEL, unix.AUDIT_ARCH_MIPSEL, 2},
		{specs.ArchMIPSEL64, unix.AUDIT_ARCH_MIPSEL64, 2},
		{specs.ArchMIPSEL64N32, unix.AUDIT_ARCH_MIPSEL64N32, 2},
		{specs.ArchPARISC, unix.AUDIT_ARCH_PARISC, 4},
		{specs.ArchPARISC64, unix.AUDIT_ARCH_PARISC64, 4},
		{specs.ArchPPC, unix.AUDIT_ARCH_PPC, 3},
		{specs.ArchPPC64, unix.AUDIT_ARCH_PPC64, 3},
		{specs.ArchPPC64LE, unix.AUDIT_ARCH_PPC64LE, 3},
		{specs.ArchRISCV64, unix.AUDIT_ARCH_RISCV64, 5},
		{specs.ArchS390, unix.AUDIT_ARCH_S390, 3},
		{specs.ArchS390X, unix.AUDIT_ARCH_S390X, 3},
		{specs.ArchSH, unix.AUDIT_ARCH_SHEL, 6},
		{specs.ArchSHEB, unix.AUDIT_ARCH_SH, 6},
		{specs.ArchX32, unix.AUDIT_ARCH_X86_64, 2},
		{specs.ArchX86, unix.AUDIT_ARCH_I386, 2},
		{specs.ArchX86_64, unix.AUDIT_ARCH_X86_64, 2},
	}
}

type flag struct {
	name specs.LinuxSeccompFlag
	bit  uint32 // for seccomp(2); 0: nothing to do
	// recent: not in every kernel that husk runs on (5.14 and later).
	recent bool
}

func flags() []flag {
	return []flag{
		{name: flagTSYNC},
		{name: specs.LinuxSeccompFlagSpecAllow, bit: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{name: specs.LinuxSeccompFlagLog, bit: unix.SECCOMP_FILTER_FLAG_LOG},
		{name: specs.LinuxSeccompFlagWaitKillableRecv, bit: unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, recent: true},
	}
}

// Support is what `features` tells about seccomp, in the order it is printed.
type Support struct {
	Actions, Operators []string
	Archs              []string // those that the embedded libseccomp can compile for
	KnownFlags         []string
	SupportedFlags     []string // those that the running kernel takes, too
}

// Supported returns what a profile may hold here. It asks the kernel, but
// starts nothing.
func Supported() Support {
	var s Support
	for _, a := range actions() {
		s.Actions = append(s.Actions, string(a.name))
	}
	for _, o := range operators() {
		s.Operators = append(s.Operators, string(o))
	}
	minor := libseccompMinor(Version())
	for _, a := range architectures() {
		if a.minor <= minor {
			s.Archs = append(s.Archs, string(a.name))
		}
	}
	for _, f := range flags() {
		s.KnownFlags = append(s.KnownFlags, string(f.name))
		if kernelTakes(f.bit) {
			s.SupportedFlags = append(s.SupportedFlags, string(f.name))
		}
	}
	return s
}

// libseccompMinor returns the 5 of "2.5.4"; later majors know everything.
func libseccompMinor(version string) int {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	if err != nil {
		return 0
	}
	if major != "2" {
		return 1 << 30
	}
	return n
}

// kernelTakes asks whether seccomp(2) knows a flag. Without a program the call
// can't succeed: EFAULT means that the flags were fine, EINVAL that not.
func kernelTakes(bit uint32) bool {
	if bit == unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV {
		bit |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER // it is about the listener
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(bit), 0)
	return errno == unix.EFAULT
}
