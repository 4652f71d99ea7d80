package wire

import (
	"cmp"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ReturnValue is what a filter returns for an action (seccomp(2)). ERRNO and
// TRACE have the errno EPERM unless one is given. An unknown action kills.
func ReturnValue(action specs.LinuxSeccompAction, errno *uint) uint32 {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno) & unix.SECCOMP_RET_DATA
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD
	}
	return unix.SECCOMP_RET_KILL_PROCESS
}

// Alternatives returns the sets of conditions of which one must hold for a rule
// to match. It is one set with all of them, unless two conditions are about the
// same argument: then each is a set of its own. That isn't what a reader
// expects, but what runc has always done and profiles rely on.
func Alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	var seen uint64
	twice := false
	for _, a := range args {
		twice = twice || seen&(1<<a.Index) != 0
		seen |= 1 << a.Index
	}
	if !twice {
		return [][]specs.LinuxSeccompArg{args}
	}
	var list [][]specs.LinuxSeccompArg
	for i := range args {
		list = append(list, args[i:i+1])
	}
	return list
}

// Alternative is one way for a system call to get an action.
type Alternative struct {
	Value      uint32 // what the filter returns, see ReturnValue
	Conditions []specs.LinuxSeccompArg
}

// Choice returns the alternatives of all rules for a system call, if there are
// at least two. Rules with the default action change nothing and don't count.
//
// If several alternatives hold, the first of the result wins: the strictest, in
// the kernel's order for actions of several filters (seccomp(2)), and the first
// of the profile among equals.
//
// If one has no conditions and all have the same action, the result is that one
// alone. If their actions differ, there is no result: libseccomp then settles
// which of them it takes, as it does for other runtimes.
func Choice(p *specs.LinuxSeccomp, name string) []Alternative {
	byDefault := ReturnValue(p.DefaultAction, p.DefaultErrnoRet)
	var list []Alternative
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		if value := ReturnValue(s.Action, s.ErrnoRet); value != byDefault && slices.Contains(s.Names, name) {
			for _, conditions := range Alternatives(s.Args) {
				list = append(list, Alternative{value, conditions})
			}
		}
	}
	if len(list) < 2 {
		return nil
	}
	if i := slices.IndexFunc(list, func(a Alternative) bool { return len(a.Conditions) == 0 }); i >= 0 {
		if slices.ContainsFunc(list, func(a Alternative) bool { return a.Value != list[i].Value }) {
			return nil
		}
		return list[i : i+1]
	}
	slices.SortStableFunc(list, func(a, b Alternative) int { return cmp.Compare(precedence(a.Value), precedence(b.Value)) })
	return list
}

// precedence is the kernel's: lower is stricter, and KILL_PROCESS negative.
func precedence(value uint32) int32 { return int32(value & unix.SECCOMP_RET_ACTION_FULL) }
