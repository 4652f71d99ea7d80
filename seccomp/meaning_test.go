package seccomp_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
)

// randomCalls are calls with plain numbers on every architecture; the table
// says which on x86_64 and arm64. All of them have the arguments 0 to 5 as far
// as a filter is concerned.
func randomCalls() map[string]uint32 {
	return map[string]uint32{
		"read": unix.SYS_READ, "close": unix.SYS_CLOSE, "ioctl": unix.SYS_IOCTL, "clone": unix.SYS_CLONE,
		"prctl": unix.SYS_PRCTL, "kexec_load": unix.SYS_KEXEC_LOAD, "unshare": unix.SYS_UNSHARE,
		"setns": unix.SYS_SETNS, "mmap": unix.SYS_MMAP, "getpid": unix.SYS_GETPID, "bpf": unix.SYS_BPF,
		"openat2": unix.SYS_OPENAT2, "close_range": unix.SYS_CLOSE_RANGE, "personality": unix.SYS_PERSONALITY,
	}
}

// filler are names that only make the profile long enough for a binary tree.
func filler() []string {
	return []string{
		"fstat", "lseek", "mprotect", "munmap", "brk", "readv", "writev", "madvise", "dup", "nanosleep",
		"getitimer", "setitimer", "exit", "uname", "fcntl", "fsync", "ftruncate", "getcwd", "chdir", "fchdir",
		"fchmod", "fchown", "umask", "getrusage", "times", "ptrace", "getuid", "getgid", "setuid", "setgid",
		"geteuid", "getegid", "setpgid", "getppid", "setsid",
	}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// edge returns values around the borders of 32 and 64 bits.
func edge(r *rand.Rand) uint64 {
	base := pick(r, []uint64{0, 1, 0xff, 1 << 31, 0xffffffff, 1 << 32, 1<<32 | 0xff, 1 << 63, 0xffffffff00000000, ^uint64(0)})
	return base + uint64(r.IntN(3)) - 1
}

// randomProfile makes a profile whose meaning can't be disputed: if a system
// call has a rule without conditions, all rules for it have the same action.
func randomProfile(r *rand.Rand) *specs.LinuxSeccomp {
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActTrap, specs.ActKillProcess, specs.ActKillThread, specs.ActTrace}
	operators := []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual,
	}
	p := &specs.LinuxSeccomp{DefaultAction: pick(r, actions)}
	actions = append(actions, specs.ActNotify) // never by default
	p.ListenerPath = "/run/agent.sock"
	if r.IntN(2) == 0 {
		p.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64}
	}
	if r.IntN(2) == 0 {
		p.Syscalls = append(p.Syscalls, rule(pick(r, actions), filler()...))
	}
	for _, name := range slices.Sorted(maps.Keys(randomCalls())) {
		action, mixed := pick(r, actions), r.IntN(2) == 0
		for range r.IntN(4) {
			s := rule(action, name)
			conditions := r.IntN(4)
			if mixed {
				s.Action, conditions = pick(r, actions), 1+r.IntN(3)
			}
			for range conditions {
				s.Args = append(s.Args, specs.LinuxSeccompArg{
					Index: uint(r.IntN(6)), Value: edge(r), ValueTwo: edge(r), Op: pick(r, operators),
				})
			}
			p.Syscalls = append(p.Syscalls, s)
		}
	}
	return p
}

func matches(a specs.LinuxSeccompArg, args [6]uint64) bool {
	v := args[a.Index]
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	}
	return v&a.Value == a.ValueTwo&a.Value
}

// applies reports whether a rule matches: all of its conditions, or any if two
// are about the same argument.
func applies(s *specs.LinuxSyscall, args [6]uint64) bool {
	hits, twice, seen := 0, false, map[uint]bool{}
	for _, a := range s.Args {
		twice = twice || seen[a.Index]
		seen[a.Index] = true
		if matches(a, args) {
			hits++
		}
	}
	return hits == len(s.Args) || twice && hits > 0
}

// model is what the profile says about a system call it names or that is older
// than the newest one it names: the strictest action of the rules that apply. A
// rule with the default action changes nothing, and one without conditions
// stands alone, see randomProfile.
func model(p *specs.LinuxSeccomp, name string, args [6]uint64) uint32 {
	byStrictness := []specs.LinuxSeccompAction{
		specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActNotify, specs.ActTrace, specs.ActLog, specs.ActAllow,
	}
	returns := []uint32{
		unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_THREAD, unix.SECCOMP_RET_TRAP, eperm, unix.SECCOMP_RET_USER_NOTIF,
		unix.SECCOMP_RET_TRACE | 1, unix.SECCOMP_RET_LOG, allow,
	}
	best := len(returns)
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		if slices.Contains(s.Names, name) && s.Action != p.DefaultAction && applies(s, args) {
			best = min(best, slices.Index(byStrictness, s.Action))
		}
	}
	if best == len(returns) {
		best = slices.Index(byStrictness, p.DefaultAction)
	}
	return returns[best]
}

// newestNamed returns the highest number that p names, or 0.
func newestNamed(p *specs.LinuxSeccomp) uint32 {
	var newest uint32
	for i := range p.Syscalls {
		for _, n := range p.Syscalls[i].Names {
			newest = max(newest, randomCalls()[n])
		}
	}
	return newest
}

// checkMeaning compares a filter with the model for many calls.
func checkMeaning(r *rand.Rand, arch uint32, p *specs.LinuxSeccomp, f *seccomp.Filter) error {
	permits := p.DefaultAction == specs.ActAllow || p.DefaultAction == specs.ActLog || p.DefaultAction == specs.ActTrace
	newest := newestNamed(p)
	for _, name := range slices.Sorted(maps.Keys(randomCalls())) {
		number := randomCalls()[name]
		for range 200 {
			c := call{number: number, arch: arch}
			for i := range c.args {
				c.args[i] = edge(r)
			}
			want := model(p, name, c.args)
			if !permits && newest > 0 && number > newest {
				want = enosys
			}
			got, err := evaluate(f.Instructions, &c)
			if err != nil || got != want {
				return fmt.Errorf("%s %#x: got %#x, %v, want %#x", name, c.args, got, err, want)
			}
		}
	}
	return nil
}

// FuzzMeaning compares what libseccomp makes of random profiles with what they
// say. Run it with -fuzz for more than the seeds.
func FuzzMeaning(f *testing.F) {
	_, arch := nativeNames(f)
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := randomProfile(r)
		filter, err := seccomp.Compile(p)
		if err != nil {
			t.Fatalf("%v\n%+v", err, p)
		}
		if err := checkMeaning(r, arch, p, filter); err != nil {
			t.Errorf("%v\n%+v", err, p)
		}
	})
}

// argumentCalls are those for which the profiles of the engines look at
// arguments.
func argumentCalls() map[string]uint32 {
	return map[string]uint32{
		"clone": unix.SYS_CLONE, "socket": unix.SYS_SOCKET, "personality": unix.SYS_PERSONALITY,
		"prctl": unix.SYS_PRCTL, "ioctl": unix.SYS_IOCTL, "kcmp": unix.SYS_KCMP,
	}
}

// checkArguments makes calls with all values at the borders of a profile's
// conditions. If rules of several actions match, any of them is right; if none
// does, only the default is.
func checkArguments(p *specs.LinuxSeccomp, arch uint32, f *seccomp.Filter) error {
	for name, number := range argumentCalls() {
		values := [6][]uint64{}
		for i := range values {
			values[i] = []uint64{0}
		}
		for i := range p.Syscalls {
			for _, a := range p.Syscalls[i].Args {
				if slices.Contains(p.Syscalls[i].Names, name) {
					for _, v := range []uint64{a.Value, a.ValueTwo} {
						values[a.Index] = append(values[a.Index], v-1, v, v+1, v|1<<32, v|1<<63)
					}
				}
			}
		}
		for n := range 20000 {
			r := rand.New(rand.NewPCG(uint64(n), 0))
			c := call{number: number, arch: arch}
			for i := range c.args {
				c.args[i] = pick(r, values[i])
			}
			got, err := evaluate(f.Instructions, &c)
			if want := possible(p, name, c.args); err != nil || !slices.Contains(want, got) {
				return fmt.Errorf("%s %#x: got %#x, %v, want one of %#x", name, c.args, got, err, want)
			}
		}
	}
	return nil
}

// possible returns the results of all rules that match, or of the default.
func possible(p *specs.LinuxSeccomp, name string, args [6]uint64) []uint32 {
	result := func(action specs.LinuxSeccompAction, errno *uint) uint32 {
		switch {
		case action == specs.ActAllow:
			return allow
		case action == specs.ActErrno && errno != nil:
			return unix.SECCOMP_RET_ERRNO | uint32(*errno)
		}
		return eperm
	}
	var list []uint32
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		if slices.Contains(s.Names, name) && applies(s, args) {
			list = append(list, result(s.Action, s.ErrnoRet))
		}
	}
	if list == nil {
		list = append(list, result(p.DefaultAction, p.DefaultErrnoRet))
	}
	return list
}
