//go:build cgo

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"husk/seccomp/internal/wire"
)

// apiLevel tells libseccomp to take for granted what Linux 5.7 brought. It
// would ask the running kernel otherwise, and a filter would depend on more
// than the profile. (seccomp_api_set(3))
const apiLevel = 6

// treeFrom is the number of rules from which on libseccomp sorts the filter
// into a binary tree by system call. The tree is wrong for filters without any
// rule in libseccomp up to 2.5.4, and a few rules are faster in a line.
const treeFrom = 32

// compile builds the filter. The profile is valid as far as package seccomp
// checks it; errors are what libseccomp itself refuses.
func compile(p *specs.LinuxSeccomp) (*wire.Reply, error) {
	if err := libseccomp.SetAPI(apiLevel); err != nil {
		return nil, fmt.Errorf("set libseccomp API level %d: %w", apiLevel, err)
	}
	defaultAction, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp/defaultAction: %w", err)
	}
	filter, err := libseccomp.NewFilter(defaultAction)
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp/defaultAction: %w", err)
	}
	defer filter.Release()
	archs, err := addArchitectures(filter, p.Architectures)
	if err != nil {
		return nil, err
	}
	numbers, elsewhere := choices(p, archs)
	skipped, added, err := addRules(filter, p.Syscalls, defaultAction, elsewhere)
	if err != nil {
		return nil, err
	}
	if added > treeFrom {
		if err := filter.SetOptimize(2); err != nil {
			return nil, fmt.Errorf("sort seccomp filter: %w", err)
		}
	}
	program, err := export(filter)
	if err != nil {
		return nil, fmt.Errorf("export seccomp filter: %w", err)
	}
	return &wire.Reply{
		Version: version(),
		Newest:  newest(p.Syscalls, archs),
		Numbers: numbers,
		Skipped: skipped,
		Program: program,
	}, nil
}

func version() string {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

// addArchitectures returns what the filter covers: the native architecture,
// with which libseccomp starts, and those of the profile.
func addArchitectures(filter *libseccomp.ScmpFilter, names []specs.Arch) (map[specs.Arch]libseccomp.ScmpArch, error) {
	native, err := libseccomp.GetNativeArch()
	if err != nil {
		return nil, fmt.Errorf("find native architecture: %w", err)
	}
	archs := map[specs.Arch]libseccomp.ScmpArch{}
	for name, arch := range architectures {
		if arch == native {
			archs[name] = arch
		}
	}
	for i, name := range names {
		where := fmt.Sprintf("/linux/seccomp/architectures/%d: architecture %q", i, name)
		arch, ok := architectures[name]
		if !ok {
			return nil, fmt.Errorf("%s: unknown", where)
		}
		switch err := filter.AddArch(arch); {
		case errors.Is(err, unix.EDOM):
			return nil, fmt.Errorf("%s: byte order differs from the host's", where)
		case err != nil:
			return nil, fmt.Errorf("%s: not supported by libseccomp %s", where, version())
		}
		archs[name] = arch
	}
	return archs, nil
}

// addRules adds every rule, but for the names that are decided elsewhere. It
// returns the names that libseccomp doesn't know, and how many it took.
func addRules(filter *libseccomp.ScmpFilter, rules []specs.LinuxSyscall, defaultAction libseccomp.ScmpAction, elsewhere map[string]bool) (skipped []string, added int, err error) {
	for i := range rules {
		rule := &rules[i]
		where := fmt.Sprintf("/linux/seccomp/syscalls/%d", i)
		act, err := action(rule.Action, rule.ErrnoRet)
		if err != nil {
			return nil, 0, fmt.Errorf("%s/action: %w", where, err)
		}
		for j, name := range rule.Names {
			number, err := libseccomp.GetSyscallFromName(name)
			if err != nil {
				skipped = append(skipped, name)
				continue
			}
			if act == defaultAction || elsewhere[name] {
				continue // libseccomp refuses a rule that changes nothing
			}
			if err := addRule(filter, number, act, rule.Args); err != nil {
				return nil, 0, fmt.Errorf("%s/names/%d: add rule for %q: %w", where, j, name, err)
			}
			added++
		}
	}
	return skipped, added, nil
}

// addRule adds one rule of the profile, which may be several of libseccomp's.
func addRule(filter *libseccomp.ScmpFilter, number libseccomp.ScmpSyscall, act libseccomp.ScmpAction, args []specs.LinuxSeccompArg) error {
	for _, alternative := range wire.Alternatives(args) {
		conds, err := conditions(alternative)
		if err != nil {
			return err
		}
		if err := filter.AddRuleConditional(number, act, conds); err != nil {
			return err
		}
	}
	return nil
}

// choices finds the system calls that husk itself decides, see wire.Choice, and
// those of them that all architectures have. An architecture without a number
// of its own for a call may reach it in a way that libseccomp knows, like
// socket through socketcall, so the call is left to libseccomp, too.
func choices(p *specs.LinuxSeccomp, archs map[specs.Arch]libseccomp.ScmpArch) (list []wire.Number, everywhere map[string]bool) {
	conditional := map[string]bool{}
	for i := range p.Syscalls {
		if len(p.Syscalls[i].Args) > 0 {
			for _, name := range p.Syscalls[i].Names {
				conditional[name] = true
			}
		}
	}
	everywhere = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(conditional)) {
		if wire.Choice(p, name) == nil {
			continue
		}
		everywhere[name] = true
		for _, archName := range slices.Sorted(maps.Keys(archs)) {
			n, err := libseccomp.GetSyscallFromNameByArch(name, archs[archName])
			if err != nil || n < 0 {
				everywhere[name] = false
				continue
			}
			list = append(list, wire.Number{Arch: string(archName), Name: name, Number: uint32(n)})
		}
	}
	return list, everywhere
}

// newest finds the highest system call number the rules name, for each
// architecture that has any. Numbers below zero are libseccomp's stand-ins for
// calls that an architecture lacks.
func newest(rules []specs.LinuxSyscall, archs map[specs.Arch]libseccomp.ScmpArch) []wire.Newest {
	var list []wire.Newest
	for name, arch := range archs {
		highest := libseccomp.ScmpSyscall(0)
		for i := range rules {
			for _, call := range rules[i].Names {
				if n, err := libseccomp.GetSyscallFromNameByArch(call, arch); err == nil {
					highest = max(highest, n)
				}
			}
		}
		if highest > 0 {
			list = append(list, wire.Newest{Arch: string(name), Number: uint32(highest)})
		}
	}
	return list
}

// export reads the program back from a memfd: a pipe could be too small, and
// libseccomp before 2.6 can't write into memory.
func export(filter *libseccomp.ScmpFilter) ([]unix.SockFilter, error) {
	fd, err := unix.MemfdCreate("bpf", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "bpf")
	defer file.Close()
	if err := filter.ExportBPF(file); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, len(raw)/unix.SizeofSockFilter)
	for i := range program {
		program[i] = *(*unix.SockFilter)(unsafe.Pointer(&raw[i*unix.SizeofSockFilter]))
	}
	return program, nil
}
