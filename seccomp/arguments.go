package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp/internal/wire"
)

const (
	offsetArgs = 16 // of seccomp_data.args
	opMask     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opAtLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
)

// argumentChecks returns instructions, to be put before libseccomp's, that
// decide the system calls with several rules about arguments.
//
// libseccomp merges such rules into one tree and gets some of them wrong, up to
// letting through what no rule allows: with the rules "a5 >= 0x100000001" and
// "a5 < 0xffffffff" for ALLOW, version 2.5.4 allows a5 = 0xffffffff. Over a few
// it never ends. One rule alone is always right, so here the rules are tried
// one after the other, the strictest action first: libseccomp promises no order
// for rules that overlap. (FuzzMeaning found all this and watches over it.)
func argumentChecks(p *specs.LinuxSeccomp, numbers []wire.Number) ([]unix.SockFilter, error) {
	var program []unix.SockFilter
	for _, n := range numbers {
		arch := findArchitecture(specs.Arch(n.Arch))
		alternatives := wire.Choice(p, n.Name)
		if arch == nil || alternatives == nil {
			return nil, fmt.Errorf("compile seccomp profile: compiler leaves %q on %q to others", n.Name, n.Arch)
		}
		var body []unix.SockFilter
		for _, a := range alternatives {
			body = append(body, alternative(a)...)
		}
		body = append(body, unix.SockFilter{Code: opReturn, K: wire.ReturnValue(p.DefaultAction, p.DefaultErrnoRet)})
		over := uint32(len(body))
		program = append(program,
			unix.SockFilter{Code: opLoad, K: offsetNumber},
			unix.SockFilter{Code: opEqual, Jf: 2, K: n.Number},
			unix.SockFilter{Code: opLoad, K: offsetArch},
			unix.SockFilter{Code: opEqual, Jt: 1, K: arch.audit},
			unix.SockFilter{Code: opJump, K: over})
		program = append(program, body...)
	}
	return program, nil
}

// alternative returns the action if all conditions hold, else goes on after it.
func alternative(a wire.Alternative) []unix.SockFilter {
	list := []unix.SockFilter{{Code: opReturn, K: a.Value}}
	for _, c := range slices.Backward(a.Conditions) {
		list = append(condition(c, uint8(len(list))), list...)
	}
	return list
}

// condition goes on if c holds, and skips as many instructions behind it as no
// says if not. A rule has at most six conditions with six instructions each, so
// no jump is too long.
func condition(c specs.LinuxSeccompArg, no uint8) []unix.SockFilter {
	high, low := uint32(c.Value>>32), uint32(c.Value)
	loadHigh, loadLow := loadArgument(c.Index)
	switch c.Op {
	case specs.OpMaskedEqual:
		datum := c.Value & c.ValueTwo
		return []unix.SockFilter{
			loadHigh,
			{Code: opMask, K: high},
			{Code: opEqual, Jf: no + 3, K: uint32(datum >> 32)},
			loadLow,
			{Code: opMask, K: low},
			{Code: opEqual, Jf: no, K: uint32(datum)},
		}
	case specs.OpEqualTo:
		return []unix.SockFilter{loadHigh, {Code: opEqual, Jf: no + 2, K: high}, loadLow, {Code: opEqual, Jf: no, K: low}}
	case specs.OpNotEqual:
		return []unix.SockFilter{loadHigh, {Code: opEqual, Jf: 2, K: high}, loadLow, {Code: opEqual, Jt: no, K: low}}
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		last := unix.SockFilter{Code: opAbove, Jf: no, K: low}
		if c.Op == specs.OpGreaterEqual {
			last.Code = opAtLeast
		}
		return []unix.SockFilter{loadHigh, {Code: opAbove, Jt: 3, K: high}, {Code: opEqual, Jf: no + 2, K: high}, loadLow, last}
	default: // LT and LE: what isn't GE and GT
		last := unix.SockFilter{Code: opAtLeast, Jt: no, K: low}
		if c.Op == specs.OpLessEqual {
			last.Code = opAbove
		}
		return []unix.SockFilter{loadHigh, {Code: opAbove, Jt: no + 3, K: high}, {Code: opEqual, Jf: 2, K: high}, loadLow, last}
	}
}

// loadArgument loads the halves of an argument, which is in host order.
func loadArgument(index uint) (high, low unix.SockFilter) {
	at := offsetArgs + 8*uint32(index)
	first, second := unix.SockFilter{Code: opLoad, K: at}, unix.SockFilter{Code: opLoad, K: at + 4}
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // big-endian
		return first, second
	}
	return second, first
}
