package seccomp_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
)

// nativeNames are the host's SCMP_ARCH name and seccomp_data.arch.
func nativeNames(t testing.TB) (specs.Arch, uint32) {
	switch runtime.GOARCH {
	case "amd64":
		return specs.ArchX86_64, unix.AUDIT_ARCH_X86_64
	case "arm64":
		return specs.ArchAARCH64, unix.AUDIT_ARCH_AARCH64
	}
	t.Skipf("the tests know nothing about the system calls of %s", runtime.GOARCH)
	return "", 0
}

// docker returns Docker's profile for a container with its usual capabilities.
func docker(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
		"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
		"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	p, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compile(t testing.TB, p *specs.LinuxSeccomp) *seccomp.Filter {
	t.Helper()
	f, err := seccomp.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func rule(action specs.LinuxSeccompAction, names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: action}
}

func TestDocker(t *testing.T) {
	_, arch := nativeNames(t)
	f := compile(t, docker(t))
	for _, tc := range []struct {
		name   string
		number uint32
		args   []uint64
		want   uint32
	}{
		{"getpid", unix.SYS_GETPID, nil, allow},
		{"clone3", unix.SYS_CLONE3, nil, enosys},
		{"mount", unix.SYS_MOUNT, nil, eperm},
		{"clone thread", unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_FS}, allow},
		{"clone user namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, eperm},
		{"socket inet", unix.SYS_SOCKET, []uint64{unix.AF_INET}, allow},
		{"socket vsock", unix.SYS_SOCKET, []uint64{unix.AF_VSOCK}, eperm},
		{"personality query", unix.SYS_PERSONALITY, []uint64{0xffffffff}, allow},
		{"personality no randomization", unix.SYS_PERSONALITY, []uint64{0x0040000}, eperm},
		{"far future", 9000, nil, enosys},
	} {
		if got := decide(t, f, arch, tc.number, tc.args...); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.name, got, tc.want)
		}
	}
	if err := checkArguments(docker(t), arch, f); err != nil {
		t.Error(err)
	}
	if f.Flags != unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW {
		t.Errorf("flags %#x", f.Flags)
	}
}

func TestActions(t *testing.T) {
	_, arch := nativeNames(t)
	errno := func(n uint) *uint { return &n }
	for _, tc := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		want   uint32
	}{
		{specs.ActKill, nil, unix.SECCOMP_RET_KILL_THREAD},
		{specs.ActKillThread, nil, unix.SECCOMP_RET_KILL_THREAD},
		{specs.ActKillProcess, nil, unix.SECCOMP_RET_KILL_PROCESS},
		{specs.ActTrap, nil, unix.SECCOMP_RET_TRAP},
		{specs.ActErrno, nil, eperm},
		{specs.ActErrno, errno(0), unix.SECCOMP_RET_ERRNO},
		{specs.ActErrno, errno(4094), unix.SECCOMP_RET_ERRNO | 4094},
		{specs.ActTrace, nil, unix.SECCOMP_RET_TRACE | 1},
		{specs.ActTrace, errno(65535), unix.SECCOMP_RET_TRACE | 65535},
		{specs.ActLog, nil, unix.SECCOMP_RET_LOG},
		{specs.ActAllow, nil, allow},
		{specs.ActNotify, nil, unix.SECCOMP_RET_USER_NOTIF},
	} {
		// As the action of a rule ...
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: errno(99)}
		p.Syscalls = []specs.LinuxSyscall{{Names: []string{"kexec_load"}, Action: tc.action, ErrnoRet: tc.errno}}
		if tc.action == specs.ActNotify {
			p.ListenerPath = "/run/listener.sock"
		}
		f := compile(t, p)
		if got := decide(t, f, arch, unix.SYS_KEXEC_LOAD); got != tc.want {
			t.Errorf("rule %s: %#x, want %#x", tc.action, got, tc.want)
		}
		if got := decide(t, f, arch, unix.SYS_READ); got != unix.SECCOMP_RET_ERRNO|99 {
			t.Errorf("rule %s: default %#x", tc.action, got)
		}
		if (tc.action == specs.ActNotify) != (f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0) {
			t.Errorf("rule %s: flags %#x", tc.action, f.Flags)
		}
		if tc.action == specs.ActNotify {
			continue
		}
		// ... and by default, for a filter without rules and one with.
		p = &specs.LinuxSeccomp{DefaultAction: tc.action, DefaultErrnoRet: tc.errno}
		if got := decide(t, compile(t, p), arch, unix.SYS_READ); got != tc.want {
			t.Errorf("default %s: %#x, want %#x", tc.action, got, tc.want)
		}
		p.Syscalls = []specs.LinuxSyscall{rule(specs.ActLog, "getpid"), rule(specs.ActTrap, "kexec_load")}
		if got := decide(t, compile(t, p), arch, unix.SYS_READ); got != tc.want {
			t.Errorf("default %s with rules: %#x, want %#x", tc.action, got, tc.want)
		}
	}
}

func TestOperators(t *testing.T) {
	_, arch := nativeNames(t)
	const big = 1<<40 + 5
	for _, tc := range []struct {
		op              specs.LinuxSeccompOperator
		value, valueTwo uint64
		yes, no         []uint64
	}{
		{specs.OpEqualTo, big, 0, []uint64{big}, []uint64{5, 1 << 40, big + 1}},
		{specs.OpNotEqual, big, 0, []uint64{5, 1 << 40, big + 1}, []uint64{big}},
		{specs.OpLessThan, big, 0, []uint64{0, 6, big - 1}, []uint64{big, big + 1, 1 << 41}},
		{specs.OpLessEqual, big, 0, []uint64{0, 6, big}, []uint64{big + 1, 1 << 41}},
		{specs.OpGreaterEqual, big, 0, []uint64{big, 1 << 41}, []uint64{6, big - 1}},
		{specs.OpGreaterThan, big, 0, []uint64{big + 1, 1 << 41}, []uint64{6, big}},
		// value is the mask, valueTwo what must be left, as far as the mask goes.
		{specs.OpMaskedEqual, 0xff000000f0, 0x1000000010, []uint64{0x1000000010, 0x100000001f}, []uint64{0x10, 0x1000000020, 0xff000000f0}},
		{specs.OpMaskedEqual, 0xf0, 0x12, []uint64{0x10, 0x1f, 0xf1f}, []uint64{0x12 << 8, 2}},
		{specs.OpMaskedEqual, unix.CLONE_NEWUSER, 0, []uint64{0, unix.CLONE_VM}, []uint64{unix.CLONE_NEWUSER, unix.CLONE_NEWUSER | unix.CLONE_VM}},
	} {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "clone", "kexec_load")}}
		p.Syscalls[0].Args = []specs.LinuxSeccompArg{{Index: 5, Value: tc.value, ValueTwo: tc.valueTwo, Op: tc.op}}
		f := compile(t, p)
		for want, values := range map[uint32][]uint64{allow: tc.yes, eperm: tc.no} {
			for _, v := range values {
				if got := decide(t, f, arch, unix.SYS_CLONE, 9, 9, 9, 9, 9, v); got != want {
					t.Errorf("%s %#x %#x of %#x: %#x, want %#x", tc.op, tc.value, tc.valueTwo, v, got, want)
				}
			}
		}
	}
}

// Different arguments must match all, the same argument twice any.
func TestSeveralArguments(t *testing.T) {
	_, arch := nativeNames(t)
	arg := func(index uint, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
	}
	for _, tc := range []struct {
		name    string
		args    []specs.LinuxSeccompArg
		yes, no [][]uint64
	}{
		{"different", []specs.LinuxSeccompArg{arg(0, 1), arg(2, 3)}, [][]uint64{{1, 0, 3}}, [][]uint64{{1, 0, 0}, {0, 0, 3}}},
		{"same", []specs.LinuxSeccompArg{arg(0, 1), arg(0, 2), arg(2, 3)}, [][]uint64{{1}, {2}, {0, 0, 3}}, [][]uint64{{0}, {3, 3}}},
	} {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "kexec_load")}}
		p.Syscalls[0].Args = tc.args
		f := compile(t, p)
		for want, list := range map[uint32][][]uint64{allow: tc.yes, eperm: tc.no} {
			for _, args := range list {
				if got := decide(t, f, arch, unix.SYS_KEXEC_LOAD, args...); got != want {
					t.Errorf("%s: %v: %#x, want %#x", tc.name, args, got, want)
				}
			}
		}
	}
}

func TestRulesThatChangeNothing(t *testing.T) {
	_, arch := nativeNames(t)
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		rule(specs.ActErrno, "read"), // as by default
		rule(specs.ActAllow, "getpid", "getpid"),
		rule(specs.ActAllow, "getpid"),
		rule(specs.ActAllow), // no name
		rule(specs.ActAllow, "no_such_call", strings.Repeat("x", 100), "bad\nname"),
	}}
	f := compile(t, p)
	if got := decide(t, f, arch, unix.SYS_READ); got != eperm {
		t.Errorf("read: %#x", got)
	}
	if got := decide(t, f, arch, unix.SYS_GETPID); got != allow {
		t.Errorf("getpid: %#x", got)
	}
	if len(f.Warnings) != 1 || strings.ContainsAny(f.Warnings[0], "\n") ||
		!strings.Contains(f.Warnings[0], `"no_such_call", "xxx`) || !strings.Contains(f.Warnings[0], `"bad\nname"`) {
		t.Errorf("warnings %q", f.Warnings)
	}
}

func TestArchitectures(t *testing.T) {
	native, audit := nativeNames(t)
	supported := seccomp.Supported().Archs
	bigEndian := "MIPS MIPS64 MIPS64N32 PPC PPC64 S390 S390X PARISC PARISC64 M68K SHEB "
	for name, arch := range seccomp.Audits() {
		p := &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno, Architectures: []specs.Arch{name, name, native},
			Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "getuid", "kexec_load")},
		}
		f, err := seccomp.Compile(p)
		short := strings.TrimPrefix(string(name), "SCMP_ARCH_")
		known := slices.Contains(supported, string(name))
		switch {
		case err == nil && known && !strings.Contains(bigEndian, short+" "):
			if got := decide(t, f, audit, unix.SYS_GETUID); got != allow {
				t.Errorf("%s: native getuid %#x", name, got)
			}
			if got := decide(t, f, arch, 0x3ffffff0); name != specs.ArchX32 && got != enosys {
				t.Errorf("%s: far future %#x", name, got)
			}
		case err == nil:
			t.Errorf("%s: compiles", name)
		case !strings.Contains(err.Error(), `/linux/seccomp/architectures/0: architecture "`+string(name)+`"`):
			t.Errorf("%s: %v", name, err)
		case strings.Contains(err.Error(), "not supported by libseccomp "+seccomp.Version()) == known:
			t.Errorf("%s: known %v, but %v", name, known, err)
		case strings.Contains(err.Error(), "byte order") != (known && strings.Contains(bigEndian, short+" ")):
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(seccomp.Audits()); n != 23 {
		t.Errorf("%d architectures, the specification has 23", n)
	}
}

// On x86, socket has a number of its own and is also reached by socketcall.
func TestSocketOnX86(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 filters cover x86")
	}
	p := docker(t)
	if !slices.Contains(p.Architectures, specs.ArchX86) {
		p.Architectures = append(p.Architectures, specs.ArchX86)
	}
	f := compile(t, p)
	const socketcall, socket = 102, 359
	for domain, want := range map[uint64]uint32{unix.AF_INET: allow, unix.AF_VSOCK: eperm, unix.AF_ALG: eperm, unix.AF_QIPCRTR: allow} {
		if got := decide(t, f, unix.AUDIT_ARCH_I386, socket, domain); got != want {
			t.Errorf("domain %d: %#x, want %#x", domain, got, want)
		}
	}
	// Arguments behind a pointer can't be looked at.
	t.Logf("socketcall: %#x", decide(t, f, unix.AUDIT_ARCH_I386, socketcall, 1))
}

// Every architecture of one byte order at once, with all of Docker's rules.
func TestAllArchitecturesAtOnce(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("written for the byte order and system calls of amd64")
	}
	p := docker(t)
	p.Architectures = []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
	}
	f := compile(t, p)
	for _, tc := range []struct {
		arch, number, want uint32
	}{
		{unix.AUDIT_ARCH_X86_64, unix.SYS_GETPID, allow},
		{unix.AUDIT_ARCH_X86_64, 1<<30 | unix.SYS_GETPID, allow},
		{unix.AUDIT_ARCH_X86_64, 1<<30 | 9000, enosys},
		{unix.AUDIT_ARCH_I386, 20, allow}, // getpid
		{unix.AUDIT_ARCH_I386, 9000, enosys},
		{unix.AUDIT_ARCH_AARCH64, 172, allow}, // getpid
		{unix.AUDIT_ARCH_AARCH64, 40, eperm},  // mount
		{unix.AUDIT_ARCH_AARCH64, 9000, enosys},
		{unix.AUDIT_ARCH_PPC64LE, 20, unix.SECCOMP_RET_KILL_THREAD}, // not in the profile
	} {
		if got := decide(t, f, tc.arch, tc.number); got != tc.want {
			t.Errorf("%#x %d: %#x, want %#x", tc.arch, tc.number, got, tc.want)
		}
	}
}

func TestTooLong(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for v := range uint64(1500) {
		r := rule(specs.ActAllow, "kexec_load")
		r.Args = []specs.LinuxSeccompArg{{Index: 0, Value: 2 * v, Op: specs.OpEqualTo}, {Index: 1, Value: v, Op: specs.OpEqualTo}}
		p.Syscalls = append(p.Syscalls, r)
	}
	_, err := seccomp.Compile(p)
	if err == nil || !strings.Contains(err.Error(), "instructions, the kernel takes 1 to 4096") {
		t.Errorf("got %v", err)
	}
}

// The profiles that engines really send.
func TestEngines(t *testing.T) {
	dir := os.Getenv("HUSK_ENGINE_CALLS")
	if dir == "" {
		t.Skip("HUSK_ENGINE_CALLS doesn't name a directory with ENGINE/config-*.json")
	}
	_, arch := nativeNames(t)
	files, err := filepath.Glob(filepath.Join(dir, "*", "config-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations in %s: %v", dir, err)
	}
	compiled := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var spec specs.Spec
		if err := json.Unmarshal(data, &spec); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if spec.Linux == nil || !seccomp.Enabled(spec.Linux.Seccomp) {
			continue
		}
		f, err := seccomp.Compile(spec.Linux.Seccomp)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		compiled++
		if got := decide(t, f, arch, unix.SYS_GETPID); got != allow {
			t.Errorf("%s: getpid %#x", file, got)
		}
		if got := decide(t, f, arch, 9000); got != enosys {
			t.Errorf("%s: far future %#x", file, got)
		}
		if err := checkArguments(spec.Linux.Seccomp, arch, f); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	t.Logf("%d of %d configurations have a profile", compiled, len(files))
}

func BenchmarkDocker(b *testing.B) {
	p := docker(b)
	for b.Loop() {
		compile(b, p)
	}
}
