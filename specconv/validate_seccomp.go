package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	seccompActions = "SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_TRAP SCMP_ACT_ERRNO SCMP_ACT_TRACE " +
		"SCMP_ACT_ALLOW SCMP_ACT_LOG SCMP_ACT_NOTIFY"
	seccompArchitectures = "SCMP_ARCH_X86 SCMP_ARCH_X86_64 SCMP_ARCH_X32 SCMP_ARCH_ARM SCMP_ARCH_AARCH64 SCMP_ARCH_MIPS " +
		"SCMP_ARCH_MIPS64 SCMP_ARCH_MIPS64N32 SCMP_ARCH_MIPSEL SCMP_ARCH_MIPSEL64 SCMP_ARCH_MIPSEL64N32 SCMP_ARCH_PPC " +
		"SCMP_ARCH_PPC64 SCMP_ARCH_PPC64LE SCMP_ARCH_S390 SCMP_ARCH_S390X SCMP_ARCH_PARISC SCMP_ARCH_PARISC64 " +
		"SCMP_ARCH_RISCV64 SCMP_ARCH_LOONGARCH64 SCMP_ARCH_M68K SCMP_ARCH_SH SCMP_ARCH_SHEB"
	seccompFlags = "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW " +
		"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
	seccompOperators = "SCMP_CMP_NE SCMP_CMP_LT SCMP_CMP_LE SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_MASKED_EQ"
)

// checkSeccomp leaves the names of system calls alone: one that the host does
// not know can't be called either.
func checkSeccomp(r *report, l *specs.Linux) {
	s := l.Seccomp
	if s == nil {
		return
	}
	r.oneOf(string(s.DefaultAction), seccompActions, "seccomp", "defaultAction")
	checkErrnoRet(r, s.DefaultAction, s.DefaultErrnoRet, "seccomp", "defaultErrnoRet")
	if s.DefaultAction == specs.ActNotify {
		r.add("/seccomp/defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action")
	}
	r.count(len(s.Architectures), "seccomp", "architectures")
	for i, arch := range s.Architectures {
		r.oneOf(string(arch), seccompArchitectures, "seccomp", "architectures", i)
	}
	r.count(len(s.Flags), "seccomp", "flags")
	for i, flag := range s.Flags {
		r.oneOf(string(flag), seccompFlags, "seccomp", "flags", i)
	}
	r.text(s.ListenerPath, "seccomp", "listenerPath")
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		r.add("/seccomp/listenerMetadata", "must not be set without listenerPath")
	}
	r.count(len(s.Syscalls), "seccomp", "syscalls")
	for i := range s.Syscalls {
		checkSyscallRule(r, &s.Syscalls[i], i)
		if s.Syscalls[i].Action == specs.ActNotify && s.ListenerPath == "" {
			r.add(at("seccomp", "syscalls", i, "action"), "SCMP_ACT_NOTIFY needs a listenerPath")
		}
	}
}

func checkSyscallRule(r *report, rule *specs.LinuxSyscall, i int) {
	if len(rule.Names) == 0 {
		r.add(at("seccomp", "syscalls", i, "names"), "must contain at least one entry")
	}
	r.count(len(rule.Names), "seccomp", "syscalls", i, "names")
	r.oneOf(string(rule.Action), seccompActions, "seccomp", "syscalls", i, "action")
	checkErrnoRet(r, rule.Action, rule.ErrnoRet, "seccomp", "syscalls", i, "errnoRet")
	for j, name := range rule.Names {
		r.text(name, "seccomp", "syscalls", i, "names", j)
		if name == "write" && rule.Action == specs.ActNotify {
			// Under the filter the interpreter itself writes that there is a listener.
			r.add(at("seccomp", "syscalls", i, "names", j), "SCMP_ACT_NOTIFY cannot be used for the write syscall")
		}
	}
	r.count(len(rule.Args), "seccomp", "syscalls", i, "args")
	for j, arg := range rule.Args {
		if arg.Index > 5 {
			r.add(at("seccomp", "syscalls", i, "args", j, "index"), "%d is out of range (0 to 5)", arg.Index)
		}
		r.oneOf(string(arg.Op), seccompOperators, "seccomp", "syscalls", i, "args", j, "op")
	}
}

// checkErrnoRet checks the number that an action returns, 12 bits as errno (MAX_ERRNO,
// <linux/err.h>) and 16 bits of message for a tracer (seccomp(2)).
func checkErrnoRet(r *report, action specs.LinuxSeccompAction, ret *uint, parts ...any) {
	if ret == nil {
		return
	}
	limit := uint(0xfff)
	switch action {
	case specs.ActErrno:
	case specs.ActTrace:
		limit = 0xffff
	default:
		r.add(at(parts...), "the action %.100q does not support an errno", string(action))
		return
	}
	if *ret > limit {
		r.add(at(parts...), "%d is out of range (0 to %d)", *ret, limit)
	}
}
