package plan

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// String prints the plan the way strace would print its execution: what cannot be seen in the bytes is not printed.
//
//	 3  %root = open_tree(%rootfs, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE)
//	17  openat2(%root, "proc", {O_PATH|O_DIRECTORY|O_CLOEXEC, RESOLVE_BENEATH}, 24)  [ENOENT -> 19]
//
// A line that begins with "#" is the origin of the ops below it.
func (p *Plan) String() string {
	var b strings.Builder
	b.WriteString("inputs:")
	for i, in := range p.Inputs {
		fmt.Fprintf(&b, " %s=%d(%s)", p.reg(uint64(i)), p.FirstFD+i, in.Class)
	}
	b.WriteByte('\n')
	var last Origin
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Origin != last {
			last = op.Origin
			b.WriteString("# " + last.String() + "\n")
		}
		fmt.Fprintf(&b, "%4d  %s", i, p.op(op))
		if to := p.target(i); to != "" {
			b.WriteString("  [" + to + "]")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// target prints where an op may continue.
func (p *Plan) target(i int) string {
	op := &p.Ops[i]
	to := strconv.Itoa(i + 1 + int(op.Jump))
	if op.Kind == Test {
		return "-> " + to
	}
	var names []string
	for _, e := range op.Tolerate {
		if e != 0 {
			names = append(names, unix.ErrnoName(unix.Errno(e)))
		}
	}
	if names == nil {
		return ""
	}
	return strings.Join(names, " ") + " -> " + to
}

func (p *Plan) reg(r uint64) string {
	if r < uint64(len(p.Names)) && p.Names[r] != "" {
		return "%" + p.Names[r]
	}
	return "%" + strconv.FormatUint(r, 10)
}

func (p *Plan) op(op *Op) string {
	a := op.Args
	switch op.Kind {
	case Call:
		return p.call(op)
	case Store:
		return fmt.Sprintf("store %s to data+%d", p.reg(a[1].Value), a[0].Value)
	case Test:
		switch a[0].Mode {
		case Register:
			return "if " + p.reg(a[0].Value) + " is set"
		case Immediate:
			return "skip"
		}
		return fmt.Sprintf("if data+%d & %#x %s %#x", a[0].Value, a[2].Value, [2]string{"!=", "=="}[a[4].Value&1], a[3].Value)
	case Fail:
		return "fail " + unix.ErrnoName(unix.Errno(a[0].Value))
	case Gate:
		if a[2].Mode == Register {
			return "gate for " + p.reg(a[2].Value)
		}
		if op.Result != NoReg {
			return p.reg(uint64(op.Result)) + " = gate"
		}
		return "gate"
	case Report:
		return "report to " + p.reg(a[0].Value)
	case Clone:
		return "clone(" + flagText(a[0].Value, cloneNames) + ")"
	}
	return "?"
}

func (p *Plan) call(op *Op) string {
	r := ruleOf(op.Nr)
	if r == nil {
		return fmt.Sprintf("syscall_%d(?)", op.Nr)
	}
	parts := make([]string, len(r.operands))
	for i, o := range r.operands {
		parts[i] = p.operand(op, i, o)
	}
	s := r.name + "(" + strings.Join(parts, ", ") + ")"
	if op.Result != NoReg {
		s = p.reg(uint64(op.Result)) + " = " + s
	}
	return s
}

func (p *Plan) operand(op *Op, i int, o operand) string {
	a := op.Args[i]
	if s, ok := p.scheduling(op, i); ok {
		return s
	}
	switch {
	case a.Mode == Register:
		return p.reg(a.Value)
	case a == cwd && o.form == dirfd:
		return "AT_FDCWD"
	case a.Mode == Immediate:
		return immediate(a.Value, o)
	}
	switch o.form {
	case text, single, empty:
		s, _ := p.text(a)
		return strconv.Quote(string(s))
	case openHow:
		s := "{" + flagText(p.word(a, 0), openNames)
		if mode := p.word(a, 1); mode != 0 {
			s += fmt.Sprintf(", %#o", mode)
		}
		return s + ", " + flagText(p.word(a, 2), resolveNames) + "}"
	case mountAttr:
		return "{set " + flagText(p.word(a, 0), attrNames) + ", clear " + flagText(p.word(a, 1), attrNames) + ", propagation " + flagText(p.word(a, 2), propagationNames) + "}"
	case limit:
		return fmt.Sprintf("{%d, %d}", int64(p.word(a, 0)), int64(p.word(a, 1)))
	case vector:
		list, _ := p.vector(a)
		return fmt.Sprintf("%q", list)
	case blob:
		return strconv.Quote(string(p.part(a, op.Args[i+1].Value)))
	}
	return p.buffer(op, i, a)
}

func immediate(v uint64, o operand) string {
	switch {
	case o.form == octal:
		return fmt.Sprintf("%#o", v)
	case o.form == flagSet || o.form == flagAll:
		return flagText(v, o.names)
	case o.names != nil:
		return nameText(v, o.names)
	}
	return strconv.FormatInt(int64(v), 10)
}

// buffer prints the structures that only one call has.
func (p *Plan) buffer(op *Op, i int, a Arg) string {
	switch {
	case op.Nr == unix.SYS_CAPSET && i == 1:
		d := p.part(a, 24)
		word := func(at int) uint64 {
			return uint64(binary.LittleEndian.Uint32(d[at:])) | uint64(binary.LittleEndian.Uint32(d[at+12:]))<<32
		}
		return fmt.Sprintf("{effective %#x, permitted %#x, inheritable %#x}", word(0), word(4), word(8))
	case op.Nr == unix.SYS_CAPSET:
		return "{V3, 0}"
	case op.Nr == unix.SYS_SETGROUPS:
		var list []uint32
		for g := range slices.Chunk(p.part(a, 4*op.Args[0].Value), 4) {
			list = append(list, binary.LittleEndian.Uint32(g))
		}
		return fmt.Sprint(list)
	case op.Nr == unix.SYS_SECCOMP:
		return fmt.Sprintf("{%d instructions}", binary.LittleEndian.Uint16(p.part(a, 2)))
	}
	return fmt.Sprintf("data+%d", a.Value)
}

// part is a part of the data; where it does not lie inside, which Verify refuses, it is printed as zeros.
func (p *Plan) part(a Arg, size uint64) []byte {
	if size > uint64(len(p.Data)) || a.Value > uint64(len(p.Data))-size {
		return make([]byte, min(size, 64))
	}
	return p.Data[a.Value : a.Value+size]
}
