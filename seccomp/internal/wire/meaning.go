package wire

import (
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

// Choice returns the alternatives of all rules for a system call, if there are
// at least two and all have the same action: then the order of the rules has
// no meaning. Otherwise, and if any rule is without conditions, there are none.
// Rules with the default action change nothing and don't count.
func Choice(p *specs.LinuxSeccomp, name string) (action uint32, alternatives [][]specs.LinuxSeccompArg) {
	byDefault := ReturnValue(p.DefaultAction, p.DefaultErrnoRet)
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		value := ReturnValue(s.Action, s.ErrnoRet)
		if value == byDefault || !slices.Contains(s.Names, name) {
			continue
		}
		if len(s.Args) == 0 || alternatives != nil && value != action {
			return 0, nil
		}
		action = value
		alternatives = append(alternatives, Alternatives(s.Args)...)
	}
	if len(alternatives) < 2 {
		return 0, nil
	}
	return action, alternatives
}
