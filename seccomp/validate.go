package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxProblems bounds the error text for a profile that is wrong all over.
const maxProblems = 8

// problems collects what is wrong with a profile.
type problems struct {
	list []string
	more int
}

func (p *problems) add(pointer, format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, "/linux/seccomp"+pointer+": "+fmt.Sprintf(format, args...))
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	text := strings.Join(p.list, "; ")
	if p.more > 0 {
		text += fmt.Sprintf("; and %d more", p.more)
	}
	return errors.New("check seccomp profile: " + text)
}

// Enabled reports whether p asks for a filter at all. As runc does, an object
// without a default action and system calls is taken for none.
func Enabled(p *specs.LinuxSeccomp) bool {
	return p != nil && (p.DefaultAction != "" || len(p.Syscalls) > 0)
}

// Validate reports everything that is wrong with p by itself: unknown names,
// errnos where there can be none, NOTIFY where it can't work. The error has
// one line with JSON pointers into config.json. (config-linux.md#seccomp)
func Validate(p *specs.LinuxSeccomp) error {
	var found problems
	if p.DefaultAction == specs.ActNotify {
		// The container couldn't take another step without its listener, and
		// the listener not yet have it.
		found.add("/defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action")
	}
	checkAction(&found, "/defaultAction", "/defaultErrnoRet", p.DefaultAction, p.DefaultErrnoRet)
	for i, a := range p.Architectures {
		if findArchitecture(a) == nil {
			found.add(fmt.Sprintf("/architectures/%d", i), "unknown architecture %q", a)
		}
	}
	for i, f := range p.Flags {
		if !slices.ContainsFunc(flags(), func(k flag) bool { return k.name == f }) {
			found.add(fmt.Sprintf("/flags/%d", i), "unknown flag %q", f)
		}
	}
	for i := range p.Syscalls {
		checkSyscall(&found, fmt.Sprintf("/syscalls/%d", i), &p.Syscalls[i])
	}
	if p.ListenerPath == "" {
		if p.ListenerMetadata != "" {
			found.add("/listenerMetadata", "must not be set without listenerPath")
		}
		if i := firstNotify(p); i >= 0 {
			found.add("/listenerPath", "seccomp listenerPath is not set, but /linux/seccomp/syscalls/%d/action is SCMP_ACT_NOTIFY", i)
		}
	}
	return found.err()
}

func checkSyscall(found *problems, at string, s *specs.LinuxSyscall) {
	checkAction(found, at+"/action", at+"/errnoRet", s.Action, s.ErrnoRet)
	for i, name := range s.Names {
		switch {
		case name == "":
			found.add(fmt.Sprintf("%s/names/%d", at, i), "empty string is not a valid syscall")
		case name == "write" && s.Action == specs.ActNotify:
			// The process that sets the container up says by write(2) that
			// there is a listener.
			found.add(fmt.Sprintf("%s/names/%d", at, i), "SCMP_ACT_NOTIFY cannot be used for the write syscall")
		}
	}
	known := operators()
	for i, a := range s.Args {
		if a.Index > 5 {
			found.add(fmt.Sprintf("%s/args/%d/index", at, i), "argument %d: a syscall has the arguments 0 to 5", a.Index)
		}
		if !slices.Contains(known, a.Op) {
			found.add(fmt.Sprintf("%s/args/%d/op", at, i), "unknown operator %q", a.Op)
		}
	}
}

// checkAction checks an action and its errno. That an action without errno has
// one is an error by the specification.
func checkAction(found *problems, at, atErrno string, name specs.LinuxSeccompAction, errno *uint) {
	a := findAction(name)
	switch {
	case a == nil:
		found.add(at, "unknown action %q", name)
	case errno == nil:
	case a.maxErrno == 0:
		found.add(atErrno, "action %s takes no errno", name)
	case *errno > a.maxErrno:
		found.add(atErrno, "errno %d: the highest for %s is %d", *errno, name, a.maxErrno)
	}
}

func findAction(name specs.LinuxSeccompAction) *action {
	all := actions()
	if i := slices.IndexFunc(all, func(a action) bool { return a.name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

func findArchitecture(name specs.Arch) *architecture {
	all := architectures()
	if i := slices.IndexFunc(all, func(a architecture) bool { return a.name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// firstNotify returns the first rule with NOTIFY, or -1.
func firstNotify(p *specs.LinuxSeccomp) int {
	return slices.IndexFunc(p.Syscalls, func(s specs.LinuxSyscall) bool { return s.Action == specs.ActNotify })
}

// Flags returns those of p's filter for seccomp(2), see Filter. A profile that
// says nothing about flags gets SPEC_ALLOW, an empty list means none.
func Flags(p *specs.LinuxSeccomp) (uint32, error) {
	var bits uint32
	if p.Flags == nil {
		bits = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, f := range flags() {
		i := slices.Index(p.Flags, f.name)
		if i < 0 {
			continue
		}
		if f.recent && !kernelTakes(f.bit) {
			return 0, fmt.Errorf("check seccomp profile: /linux/seccomp/flags/%d: flag %s is not supported by this kernel", i, f.name)
		}
		bits |= f.bit
	}
	if firstNotify(p) >= 0 {
		return bits | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, nil
	}
	return bits &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, nil // the kernel refuses it without a listener
}
