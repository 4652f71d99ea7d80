package seccomp_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"husk/seccomp"
)

// call is struct seccomp_data without the instruction pointer.
type call struct {
	number, arch uint32
	args         [6]uint64
}

// word returns the 32 bits at an offset, on a little-endian host.
func (c *call) word(offset uint32) (uint32, error) {
	switch {
	case offset == 0:
		return c.number, nil
	case offset == 4:
		return c.arch, nil
	case offset >= 16 && offset < 64 && offset%8 == 0:
		return uint32(c.args[(offset-16)/8]), nil
	case offset >= 16 && offset < 64 && offset%4 == 0:
		return uint32(c.args[(offset-16)/8] >> 32), nil
	}
	return 0, fmt.Errorf("load from offset %d", offset)
}

// evaluate runs the instructions that libseccomp and the stub use, as the
// kernel does. A jump out of the program is an error.
func evaluate(program []unix.SockFilter, c *call) (uint32, error) {
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		condition := false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			v, err := c.word(i.K)
			if err != nil {
				return 0, fmt.Errorf("instruction %d: %w", pc, err)
			}
			a = v
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K, nil
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			condition = a == i.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			condition = a > i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			condition = a >= i.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			condition = a&i.K != 0
		default:
			return 0, fmt.Errorf("instruction %d: unknown code %#x", pc, i.Code)
		}
		if condition {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	return 0, fmt.Errorf("ran out of the program")
}

// decide is evaluate for a filter that must work.
func decide(t testing.TB, f *seccomp.Filter, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	c := call{number: number, arch: arch}
	copy(c.args[:], args)
	result, err := evaluate(f.Instructions, &c)
	if err != nil {
		t.Fatalf("call %d of %#x: %v", number, arch, err)
	}
	return result
}

const (
	allow  = unix.SECCOMP_RET_ALLOW
	eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)
