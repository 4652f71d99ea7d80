package seccomp_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
	"husk/seccomp/internal/wire"
)

const filtered = 0x12345678 // what the filter after the stub returns

// withStub is the stub before a filter that always returns the same.
func withStub(t *testing.T, p *specs.LinuxSeccomp, newest []wire.Newest) *seccomp.Filter {
	t.Helper()
	f, err := seccomp.Finish(p, 0, &wire.Reply{
		Newest: newest, Program: []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: filtered}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every number of every architecture: alone, in pairs, and all together.
func TestStub(t *testing.T) {
	limits := map[specs.Arch]uint32{}
	for i, name := range sortedArchs() {
		limits[name] = 300 + uint32(i)
	}
	limits[specs.ArchX32] |= 1 << 30
	var sets [][]specs.Arch
	for _, a := range sortedArchs() {
		sets = append(sets, []specs.Arch{a})
	}
	sets = append(sets, []specs.Arch{specs.ArchX32, specs.ArchX86_64}, []specs.Arch{specs.ArchX86_64, specs.ArchX86}, sortedArchs())
	for _, set := range sets {
		var newest []wire.Newest
		for _, a := range set {
			newest = append(newest, wire.Newest{Arch: string(a), Number: limits[a]})
		}
		f := withStub(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, newest)
		for _, a := range sortedArchs() {
			checkStub(t, f, a, limits, set)
		}
	}
}

func checkStub(t *testing.T, f *seccomp.Filter, a specs.Arch, limits map[specs.Arch]uint32, set []specs.Arch) {
	t.Helper()
	audit := seccomp.Audits()[a]
	for number := range uint32(700) {
		if a == specs.ArchX32 {
			number |= 1 << 30
		}
		want := uint32(filtered)
		setup := number == 0 && (a == specs.ArchS390 || a == specs.ArchS390X)
		if slices.Contains(set, a) && (number > limits[a] || setup) {
			want = enosys
		}
		if got := decide(t, f, audit, number); got != want {
			t.Fatalf("%v: %s %#x: %#x, want %#x", set, a, number, got, want)
		}
	}
}

func sortedArchs() []specs.Arch {
	var list []specs.Arch
	for a := range seccomp.Audits() {
		list = append(list, a)
	}
	slices.Sort(list)
	return list
}

func TestStubOnlyWhereItHelps(t *testing.T) {
	errno := func(n uint) *uint { return &n }
	newest := []wire.Newest{{Arch: "SCMP_ARCH_X86_64", Number: 100}}
	for _, tc := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		newest []wire.Newest
		want   uint32
	}{
		{specs.ActErrno, nil, newest, enosys},
		{specs.ActErrno, errno(1), newest, enosys},
		{specs.ActErrno, errno(uint(unix.ENOSYS)), newest, filtered}, // gives it anyway
		{specs.ActKill, nil, newest, enosys},
		{specs.ActKillThread, nil, newest, enosys},
		{specs.ActKillProcess, nil, newest, enosys},
		{specs.ActTrap, nil, newest, enosys},
		{specs.ActAllow, nil, newest, filtered},
		{specs.ActLog, nil, newest, filtered},
		{specs.ActTrace, nil, newest, filtered},
		{specs.ActErrno, nil, nil, filtered}, // the profile names nothing
	} {
		f := withStub(t, &specs.LinuxSeccomp{DefaultAction: tc.action, DefaultErrnoRet: tc.errno}, tc.newest)
		if got := decide(t, f, unix.AUDIT_ARCH_X86_64, 101); got != tc.want {
			t.Errorf("%s %v: %#x, want %#x", tc.action, tc.errno, got, tc.want)
		}
		if got := decide(t, f, unix.AUDIT_ARCH_X86_64, 100); got != filtered {
			t.Errorf("%s: newest call %#x", tc.action, got)
		}
	}
}

// A change of these instructions needs another generation, or caches go on
// giving out the old ones.
func TestPrologueIsOfThisGeneration(t *testing.T) {
	if _, arch := nativeNames(t); arch != unix.AUDIT_ARCH_X86_64 {
		t.Skip("the order of the sections, and so the sum, is another one than on amd64")
	}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "clone")}}
	for i, op := range []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual, specs.OpEqualTo,
	} {
		p.Syscalls[0].Args = append(p.Syscalls[0].Args, specs.LinuxSeccompArg{Index: uint(i % 6), Value: 1<<40 | 2, ValueTwo: 2, Op: op})
	}
	reply := &wire.Reply{
		Newest: []wire.Newest{
			{Arch: "SCMP_ARCH_X32", Number: 1<<30 | 450},
			{Arch: "SCMP_ARCH_X86_64", Number: 460},
			{Arch: "SCMP_ARCH_S390X", Number: 470},
			{Arch: "SCMP_ARCH_X86", Number: 480},
		},
		Numbers: []wire.Number{{Arch: "SCMP_ARCH_X86_64", Name: "clone", Number: 56}},
		Program: []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: filtered}},
	}
	f, err := seccomp.Finish(p, 0, reply)
	if err != nil {
		t.Fatal(err)
	}
	got, want := seccomp.Sum(wire.AppendProgram(nil, f.Instructions)), map[byte]uint64{2: 0x21e74a73654723f9}[seccomp.Generation]
	if got != want {
		t.Errorf("sum %#x, want %#x for generation %d: raise the generation and adjust this test", got, want, seccomp.Generation)
	}
}

// A compiler that left out rules which nobody else decides would open a hole.
func TestCompilerMustAgreeOnChoices(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "clone")}}
	for _, n := range []wire.Number{{Arch: "SCMP_ARCH_X86_64", Name: "clone"}, {Arch: "SCMP_ARCH_VAX", Name: "clone"}} {
		_, err := seccomp.Finish(p, 0, &wire.Reply{
			Numbers: []wire.Number{n}, Program: []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}},
		})
		if err == nil {
			t.Errorf("%+v: no error", n)
		}
	}
}
