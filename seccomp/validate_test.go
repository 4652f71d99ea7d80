package seccomp_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/seccomp"
)

func TestValidate(t *testing.T) {
	errno := func(n uint) *uint { return &n }
	one := func(s specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "read"), s}}
	}
	for _, tc := range []struct {
		name string
		p    *specs.LinuxSeccomp
		want string // "" = valid
	}{
		{"no default", &specs.LinuxSeccomp{}, `/linux/seccomp/defaultAction: unknown action ""`},
		{"unknown default", &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_FOO"}, `/linux/seccomp/defaultAction: unknown action "SCMP_ACT_FOO"`},
		{"notify by default", &specs.LinuxSeccomp{DefaultAction: specs.ActNotify}, `/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY cannot be used as default action`},
		{"default errno", &specs.LinuxSeccomp{DefaultAction: specs.ActKill, DefaultErrnoRet: errno(1)}, `/linux/seccomp/defaultErrnoRet: action SCMP_ACT_KILL takes no errno`},
		{"large errno", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: errno(4095)}, `/linux/seccomp/defaultErrnoRet: errno 4095: the highest for SCMP_ACT_ERRNO is 4094`},
		{"large trace", &specs.LinuxSeccomp{DefaultAction: specs.ActTrace, DefaultErrnoRet: errno(65536)}, `/linux/seccomp/defaultErrnoRet: errno 65536`},
		{"architecture", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_VAX"}}, `/linux/seccomp/architectures/1: unknown architecture "SCMP_ARCH_VAX"`},
		{"flag", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_LOG", "X"}}, `/linux/seccomp/flags/1: unknown flag "X"`},
		{"metadata", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "m"}, `/linux/seccomp/listenerMetadata: must not be set without listenerPath`},
		{"action", one(rule("SCMP_ACT_BAR", "write")), `/linux/seccomp/syscalls/1/action: unknown action "SCMP_ACT_BAR"`},
		{"errno of allow", one(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActAllow, ErrnoRet: errno(0)}), `/linux/seccomp/syscalls/1/errnoRet: action SCMP_ACT_ALLOW takes no errno`},
		{"errno of notify", one(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActNotify, ErrnoRet: errno(0)}), `/linux/seccomp/syscalls/1/errnoRet: action SCMP_ACT_NOTIFY takes no errno`},
		{"empty name", one(rule(specs.ActAllow, "write", "")), `/linux/seccomp/syscalls/1/names/1: empty string is not a valid syscall`},
		{"notify write", one(rule(specs.ActNotify, "read", "write")), `/linux/seccomp/syscalls/1/names/1: SCMP_ACT_NOTIFY cannot be used for the write syscall`},
		{"notify without listener", one(rule(specs.ActNotify, "read")), `/linux/seccomp/listenerPath: seccomp listenerPath is not set, but /linux/seccomp/syscalls/1/action is SCMP_ACT_NOTIFY`},
		{"index", one(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}), `/linux/seccomp/syscalls/1/args/0/index: argument 6`},
		{"operator", one(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}, {Op: "EQ"}}}), `/linux/seccomp/syscalls/1/args/1/op: unknown operator "EQ"`},
		{"docker", docker(t), ""},
		{"no names", one(rule(specs.ActAllow)), ""},
	} {
		err := seccomp.Validate(tc.p)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if _, startErr := seccomp.Compile(tc.p); (startErr == nil) != (err == nil) {
			t.Errorf("%s: Compile says %v", tc.name, startErr)
		}
	}
}

func TestValidateSaysAllAtOnceInOneLine(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: "a\nb"}
	for range 20 {
		p.Syscalls = append(p.Syscalls, rule("x", "y\n"))
	}
	err := seccomp.Validate(p)
	if err == nil || strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "; ") != 8 || !strings.HasSuffix(err.Error(), "and 13 more") {
		t.Errorf("got %v", err)
	}
}

func TestEnabled(t *testing.T) {
	for _, tc := range []struct {
		p    *specs.LinuxSeccomp
		want bool
	}{
		{nil, false},
		{&specs.LinuxSeccomp{Architectures: []specs.Arch{specs.ArchX86}}, false},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, true},
		{&specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{}}}, true},
	} {
		if got := seccomp.Enabled(tc.p); got != tc.want {
			t.Errorf("%+v: %v", tc.p, got)
		}
	}
}

func TestFlags(t *testing.T) {
	type list = []specs.LinuxSeccompFlag
	for _, tc := range []struct {
		flags  list
		notify bool
		want   uint32
	}{
		{nil, false, 4}, // SPEC_ALLOW
		{list{}, false, 0},
		{list{"SECCOMP_FILTER_FLAG_TSYNC"}, false, 0},
		{list{"SECCOMP_FILTER_FLAG_LOG"}, false, 2},
		{list{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"}, false, 6},
		{list{}, true, 8},
		{list{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, true, 0x28},
		{list{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, false, 0},
	} {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tc.flags, ListenerPath: "/x"}
		if tc.notify {
			p.Syscalls = []specs.LinuxSyscall{rule(specs.ActNotify, "kexec_load")}
		}
		f, err := seccomp.Compile(p)
		if err != nil && strings.Contains(err.Error(), "/linux/seccomp/flags/0: flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is not supported by this kernel") {
			continue // older than 5.19
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Flags != tc.want {
			t.Errorf("%v, notify %v: %#x, want %#x", tc.flags, tc.notify, f.Flags, tc.want)
		}
	}
}

func TestSupported(t *testing.T) {
	s := seccomp.Supported()
	if len(s.Actions) != 9 || len(s.Operators) != 7 || len(s.KnownFlags) != 4 || len(s.Archs) < 19 || len(s.SupportedFlags) < 3 {
		t.Errorf("%+v", s)
	}
}

func TestNotes(t *testing.T) {
	if v := seccomp.Version(); !strings.HasPrefix(v, "2.") {
		t.Errorf("version %q", v)
	}
	// Without it, filters of an old libseccomp could be taken from the cache.
	const goBuildID = 4
	if id := seccomp.Note("Go\x00", goBuildID); len(id) < 40 {
		t.Errorf("the compiler's Go build ID is %q: was it built with -buildid?", id)
	}
}
