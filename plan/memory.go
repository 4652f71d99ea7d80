package plan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The part of the verifier that looks at the data: everything an operand points to lies inside of it, and what has been
// proven is not written over while the plan runs.

// span is a part of the data.
type span struct{ from, to uint64 }

// collect lists what the plan writes: results of calls, registers, answers of gates. They are few, most ops share one
// scratch area.
func (v *verifier) collect() {
	for i := range v.plan.Ops {
		op := &v.plan.Ops[i]
		switch op.Kind {
		case Store:
			v.writes(op.Args[0], op.Args[2].Value)
		case Gate:
			v.writes(op.Args[0], op.Args[1].Value)
		case Call:
			if j := resultOperand(op.Nr); j > 0 {
				v.writes(op.Args[j-1], v.extent(op, j-1))
			}
		}
	}
}

// writes adds a span, or widens one that it overlaps or touches.
func (v *verifier) writes(a Arg, size uint64) {
	from := a.Value
	to := from + min(size, uint64(len(v.plan.Data)))
	for i := range v.written {
		if s := &v.written[i]; from <= s.to && s.from <= to {
			s.from, s.to = min(s.from, from), max(s.to, to)
			return
		}
	}
	v.written = append(v.written, span{from, to})
}

// resultOperand is the operand that the kernel writes to, plus one; 0 if there is none.
func resultOperand(nr uint16) int {
	switch nr {
	case unix.SYS_STATX:
		return 5
	case unix.SYS_FSTATFS:
		return 2
	case unix.SYS_GETCWD:
		return 1
	}
	return 0
}

// extent is how much the kernel reads or writes at an operand of the form buffer.
func (v *verifier) extent(op *Op, i int) uint64 {
	switch op.Nr {
	case unix.SYS_GETCWD:
		return op.Args[i+1].Value
	case unix.SYS_STATX:
		return StatxSize
	case unix.SYS_FSTATFS:
		return StatFSSize
	case unix.SYS_SETGROUPS:
		return 4 * min(op.Args[0].Value, maxGroups)
	case unix.SYS_CAPSET:
		return [2]uint64{8, 24}[i]
	case unix.SYS_SENDMSG:
		return 56
	case unix.SYS_SECCOMP:
		return 16 // struct sock_fprog
	case unix.SYS_SCHED_SETAFFINITY:
		return op.Args[1].Value
	case unix.SYS_SCHED_SETATTR:
		return unix.SizeofSchedAttr
	}
	return MaxSize + 1 // a call that nobody has measured fits nowhere
}

const maxGroups = 1 << 16 // NGROUPS_MAX

// data says whether size bytes at the address lie inside the data.
func (v *verifier) data(a Arg, size uint64) bool {
	return size > 0 && size <= uint64(len(v.plan.Data)) && a.Value <= uint64(len(v.plan.Data))-size
}

// fixed says the same, and that they are at run time what they are now.
func (v *verifier) fixed(a Arg, size uint64) bool {
	if !v.data(a, size) {
		return false
	}
	for _, s := range v.written {
		if a.Value < s.to && s.from < a.Value+size {
			return false
		}
	}
	return true
}

func (v *verifier) pointer(op *Op, i int, k form, a Arg) error {
	switch k {
	case text, single, empty:
		s, ok := v.plan.text(a)
		if !ok || !v.fixed(a, uint64(len(s))+1) {
			return errors.New("a string without end, or one that the plan writes")
		}
		if k == empty && len(s) != 0 || k == single && !oneName(string(s)) {
			return fmt.Errorf("the name %q", s)
		}
	case openHow:
		return v.wants(v.fixed(a, 24), "a struct open_how")
	case mountAttr:
		return v.wants(v.fixed(a, 32), "a struct mount_attr")
	case limit:
		return v.wants(v.fixed(a, 16), "a struct rlimit64")
	case blob:
		return v.wants(op.Args[i+1].Mode == Immediate && v.fixed(a, op.Args[i+1].Value), "bytes and their length")
	case vector:
		return v.vector(i, a)
	case either:
		return v.wants(v.fixed(a, 8), "a structure")
	case buffer:
		return v.buffer(op, i, a)
	}
	return nil
}

func oneName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.Contains(s, "/")
}

func (v *verifier) buffer(op *Op, i int, a Arg) error {
	size := v.extent(op, i)
	switch {
	case resultOperand(op.Nr) == i+1:
		return v.wants(v.data(a, size), "room for the result")
	case op.Nr == unix.SYS_SECCOMP:
		return v.filter(a)
	case size == 0: // setgroups(0, ...)
		return nil
	}
	return v.wants(v.fixed(a, size), "a structure")
}

// filter checks a struct sock_fprog: its instructions lie in the data, or the answer to a gate puts all of it there.
func (v *verifier) filter(a Arg) error {
	if v.fixed(a, 16) {
		code := Arg{Address, v.plan.word(a, 1) - Base - HeaderSize}
		return v.wants(v.fixed(code, 8*(v.plan.word(a, 0)&0xffff)), "a filter")
	}
	for i := v.at - 1; i >= 0; i-- {
		if op := &v.plan.Ops[i]; op.Kind == Gate && op.Args[0] == a {
			return nil
		}
	}
	return errors.New("a filter that the plan writes")
}

// vector checks argv or envp. All ways to the program have the same ones, so they are looked at once.
func (v *verifier) vector(i int, a Arg) error {
	if known := &v.vectors[i-1]; *known != a {
		list, ok := v.plan.vector(a)
		if !ok || !v.fixed(a, uint64(8*(len(list)+1))) {
			return errors.New("the operands are not a vector of strings")
		}
		for i, s := range list {
			at := Arg{Address, v.plan.word(a, i) - Base - HeaderSize}
			if !v.fixed(at, uint64(len(s))+1) && !v.answered(at) {
				return fmt.Errorf("string %d of the vector is one that the plan writes", i)
			}
		}
		*known = a
	}
	return nil
}

// answered says whether a string is the answer to one gate, which a NUL of the data ends, however long it is.
func (v *verifier) answered(a Arg) bool {
	for i := range v.plan.Ops[:v.at] {
		if op := &v.plan.Ops[i]; op.Kind == Gate && op.Args[0] == a {
			end := Arg{Address, a.Value + op.Args[1].Value}
			return v.fixed(end, 1) && v.plan.Data[end.Value] == 0
		}
	}
	return false
}

// text reads a string of the data.
func (p *Plan) text(a Arg) ([]byte, bool) {
	if a.Mode != Address || a.Value > uint64(len(p.Data)) {
		return nil, false
	}
	d := p.Data[a.Value:]
	end := bytes.IndexByte(d, 0)
	if end < 0 {
		return nil, false
	}
	return d[:end], true
}

// vector reads a NULL-terminated array of strings of the data.
func (p *Plan) vector(a Arg) (list [][]byte, ok bool) {
	for at := a.Value; at+8 <= uint64(len(p.Data)); at += 8 {
		w := binary.LittleEndian.Uint64(p.Data[at:])
		if w == 0 {
			return list, true
		}
		s, ok := p.text(Arg{Address, w - Base - HeaderSize})
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return nil, false
}

// word reads the i-th 64-bit number of a structure of the data; 0 where Verify has not seen that it lies inside.
func (p *Plan) word(a Arg, i int) uint64 {
	at := a.Value + uint64(8*i)
	if uint64(len(p.Data)) < 8 || at > uint64(len(p.Data))-8 {
		return 0
	}
	return binary.LittleEndian.Uint64(p.Data[at:])
}
