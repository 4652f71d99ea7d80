package plan

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Builder writes a plan front to back. Its methods append one op each (calls.go); a mistake in their use is a bug in the
// caller and is reported once, by Plan.
type Builder struct {
	plan    Plan
	origin  Origin
	strings map[string]Data // what String has stored
	structs map[string]Data // what Struct has stored
	free    []Reg
	labels  []*Label
	message Data // the message of SendFD, 0: not made yet (data begins with scratch space)
	pending struct {
		to     *Label
		errnos []unix.Errno
	}
	err error
}

// Label is a place further on in the plan.
type Label struct {
	from  []int // ops that jump here
	bound bool
}

// NewBuilder starts a plan whose inputs begin at descriptor firstFD.
func NewBuilder(firstFD int) *Builder {
	b := &Builder{strings: make(map[string]Data, 128), structs: make(map[string]Data, 32)}
	b.plan.FirstFD = firstFD
	b.plan.Ops = make([]Op, 0, 384)
	b.plan.Data = make([]byte, 0, 16<<10)
	return b
}

// Input declares the next descriptor that the parent hands over. All inputs come before the first op.
func (b *Builder) Input(name string, class Class) Reg {
	if len(b.plan.Ops) > 0 {
		b.fail("input %q after the first op", name)
	}
	b.plan.Inputs = append(b.plan.Inputs, Input{name, class})
	b.plan.Names = append(b.plan.Names, name)
	return Reg(len(b.plan.Inputs) - 1)
}

// At sets the origin of the ops that follow: a JSON pointer and, for the message of a failure, the step in words.
func (b *Builder) At(pointer, step string) { b.origin = Origin{pointer, step} }

// Step changes the words of the origin and keeps its place in config.json.
func (b *Builder) Step(step string) { b.origin.Step = step }

// Label makes a place to jump to; Bind says where it is.
func (b *Builder) Label() *Label {
	l := &Label{}
	b.labels = append(b.labels, l)
	return l
}

// Bind puts the label before the next op.
func (b *Builder) Bind(l *Label) {
	if l.bound {
		b.fail("label bound twice")
	}
	l.bound = true
	for _, from := range l.from {
		b.plan.Ops[from].Jump = uint16(len(b.plan.Ops) - from - 1)
	}
}

// On makes the next call tolerate the errnos and continue at the label; a nil label is the op after it.
func (b *Builder) On(to *Label, errnos ...unix.Errno) {
	b.pending.to, b.pending.errnos = to, errnos
}

// Plan finishes the plan. It is not proven yet: see Verify.
func (b *Builder) Plan() (*Plan, error) {
	for _, l := range b.labels {
		if len(l.from) > 0 && !l.bound {
			b.fail("a label that is never bound, jumped to by op %d", l.from[0])
		}
	}
	switch {
	case b.err != nil:
		return nil, b.err
	case len(b.plan.Ops) >= MaxOps:
		return nil, fmt.Errorf("build plan: %d ops, the limit is %d: config.json asks for too many mounts, devices or paths", len(b.plan.Ops), MaxOps)
	case len(b.plan.Names) > MaxRegs:
		return nil, fmt.Errorf("build plan: %d descriptors open at once, the limit is %d: config.json asks for too many bind mounts", len(b.plan.Names), MaxRegs)
	}
	return &b.plan, nil
}

func (b *Builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("build plan: op %d: "+format, append([]any{len(b.plan.Ops)}, args...)...)
	}
}

// emit appends an op and connects what On has announced.
func (b *Builder) emit(op Op) {
	op.Origin = b.origin
	if p := &b.pending; len(p.errnos) > 0 {
		if len(p.errnos) > MaxTolerate || op.Kind != Call {
			b.fail("%d tolerated errnos on a %s", len(p.errnos), kindNames[op.Kind])
			return
		}
		for i, e := range p.errnos {
			op.Tolerate[i] = uint8(e)
		}
		b.jump(p.to)
		p.to, p.errnos = nil, nil
	}
	b.plan.Ops = append(b.plan.Ops, op)
}

// jump notes that the op about to be appended continues at the label.
func (b *Builder) jump(to *Label) {
	if to == nil {
		return
	}
	if to.bound {
		b.fail("jump backwards")
	}
	to.from = append(to.from, len(b.plan.Ops))
}

// call appends a system call without a result.
func (b *Builder) call(nr uint16, args ...Arg) {
	op := Op{Kind: Call, Nr: nr, Result: NoReg}
	copy(op.Args[:], args)
	b.emit(op)
}

// callReg appends a system call whose result goes to a register: a fresh one.
func (b *Builder) callReg(name string, nr uint16, args ...Arg) Reg {
	r := b.reg(name)
	b.callInto(r, nr, args...)
	return r
}

func (b *Builder) callInto(r Reg, nr uint16, args ...Arg) {
	op := Op{Kind: Call, Nr: nr, Result: r}
	copy(op.Args[:], args)
	b.emit(op)
}

// reg takes an unused register. A name that is known to people makes the printed plan readable.
func (b *Builder) reg(name string) Reg {
	if n := len(b.free); n > 0 && name == "" {
		r := b.free[n-1]
		b.free = b.free[:n-1]
		return r
	}
	b.plan.Names = append(b.plan.Names, name)
	return Reg(len(b.plan.Names) - 1)
}

// Bytes puts raw bytes into the data area, aligned to 8.
func (b *Builder) Bytes(p []byte) Data {
	for len(b.plan.Data)%8 != 0 {
		b.plan.Data = append(b.plan.Data, 0)
	}
	at := Data(len(b.plan.Data))
	b.plan.Data = append(b.plan.Data, p...)
	return at
}

// Struct puts a structure that nothing writes to into the data area, once.
func (b *Builder) Struct(p []byte) Data {
	at, ok := b.structs[string(p)]
	if !ok {
		at = b.Bytes(p)
		b.structs[string(p)] = at
	}
	return at
}

// Space reserves n zero bytes that the plan or a gate's answer will write.
func (b *Builder) Space(n int) Data { return b.Bytes(make([]byte, n)) }

// String puts a NUL-terminated string into the data area, once.
func (b *Builder) String(s string) Data {
	if at, ok := b.strings[s]; ok {
		return at
	}
	if strings.IndexByte(s, 0) >= 0 {
		b.fail("NUL byte in %q", s)
	}
	at := Data(len(b.plan.Data))
	b.plan.Data = append(append(b.plan.Data, s...), 0)
	b.strings[s] = at
	return at
}

// words puts a structure of 64-bit numbers into the data area.
func (b *Builder) words(v ...uint64) Data {
	p := make([]byte, 0, 32)
	for _, w := range v {
		p = binary.LittleEndian.AppendUint64(p, w)
	}
	return b.Struct(p)
}

// pointer makes the word at `at` the address of `to`.
func (b *Builder) pointer(at, to Data) {
	binary.LittleEndian.PutUint64(b.plan.Data[at:], Base+HeaderSize+uint64(to))
	b.plan.relocs = append(b.plan.relocs, reloc{at, to})
}

// vector puts a NULL-terminated array of strings (argv, envp) into the data area.
func (b *Builder) vector(list []string, late []Data) Data {
	at := b.Space(8 * (len(list) + len(late) + 1))
	for i, s := range list {
		b.pointer(at+Data(8*i), b.String(s))
	}
	for i, s := range late {
		b.pointer(at+Data(8*(len(list)+i)), s)
	}
	return at
}
