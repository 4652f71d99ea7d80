package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Verify proves that the plan keeps the security invariants. Each rule exists because of something that once went wrong in
// a runtime; the tests break each of them with a plan of its own.
//
//   - Form. Registers are set before they are read, and never overwritten; jumps go forward; strings end inside the data;
//     only the system calls of the rules table, with flags that have a name there; an errno is tolerated only where the
//     table says so (a mask that fails to mount is a failure: CVE-2025-31133).
//   - Names. A container's name is resolved below a descriptor of this plan with IN_ROOT or BENEATH and without magic
//     links (CVE-2019-19921, CVE-2021-30465, CVE-2024-21626). What is created is one name, exclusively (CVE-2024-45310).
//     Only what the plan has created may change its owner.
//   - Host. Objects of the host are captured before the first container name is touched, and device nodes are proven by
//     statx to be what their name says (CVE-2025-31133, CVE-2025-52565).
//   - Mounts. Attributes are set before a mount is attached; afterwards a mount can only become read-only.
//   - Procfs is written only through the plan's own procfs mount (CVE-2025-52881).
//   - Descriptors. The first op marks every inherited descriptor close-on-exec, every call that makes one does so too.
//   - Credentials. Groups and ids once each and in that order, then capabilities; after a change of directory the working
//     directory is proven to lie inside the root (CVE-2024-21626).
//   - End. After the filter only capset and execve; the last op is an execve that tolerates nothing.
func (p *Plan) Verify() error {
	v := verifier{plan: p, first: map[uint16]int{}, last: map[uint16]int{}}
	if err := v.start(); err != nil {
		return fmt.Errorf("verify plan: %w", err)
	}
	for i := range p.Ops {
		v.at = i
		if err := v.step(&p.Ops[i]); err != nil {
			return fmt.Errorf("verify plan: op %d (%s): %w", i, p.Ops[i].Origin, err)
		}
	}
	if err := v.order(); err != nil {
		return fmt.Errorf("verify plan: %w", err)
	}
	p.verified = true
	return nil
}

func (o Origin) String() string {
	switch {
	case o.Pointer == "":
		return o.Step
	case o.Step == "":
		return o.Pointer
	}
	return o.Pointer + ": " + o.Step
}

// attached marks the class of a mount that has found its place.
const attached Class = 0x80

// verifier walks the ops once. state is what is known before the current op; states holds what jumps bring further on.
type verifier struct {
	plan   *Plan
	at     int
	state  []Class // nil: no way leads here
	states map[int][]Class
	first  map[uint16]int // first op of each system call
	last   map[uint16]int
	moved  bool // something was attached: host names are over
	pivot  bool // the root is the container's
	forked bool
}

var errUnreachable = errors.New("no way leads to this op")

func (v *verifier) start() error {
	p := v.plan
	if len(p.Ops) == 0 || len(p.Ops) > MaxOps || len(p.Names) > MaxRegs || len(p.Inputs) == 0 || len(p.Inputs) > len(p.Names) {
		return errors.New("no ops, no inputs, or too many")
	}
	if p.FirstFD < 3 || p.FirstFD > 1<<20 {
		return fmt.Errorf("inputs begin at descriptor %d", p.FirstFD)
	}
	if p.Inputs[0].Class != Socket {
		return errors.New("the first input is not the socket to the parent")
	}
	v.states = make(map[int][]Class)
	v.state = make([]Class, len(p.Names))
	for i, in := range p.Inputs {
		v.state[i] = in.Class
	}
	for _, r := range p.relocs {
		if int(r.at)+8 > len(p.Data) || int(r.to) >= len(p.Data) || binary.LittleEndian.Uint64(p.Data[r.at:]) != Base+HeaderSize+uint64(r.to) {
			return fmt.Errorf("pointer at data %d", r.at)
		}
	}
	return nil
}

func (v *verifier) step(op *Op) error {
	if other, ok := v.states[v.at]; ok {
		v.state = merge(v.state, other)
		delete(v.states, v.at)
	}
	if v.state == nil {
		return errUnreachable
	}
	if v.at+1+int(op.Jump) >= len(v.plan.Ops) && op.Jump > 0 {
		return errors.New("jump beyond the end")
	}
	if op.Kind >= kinds {
		return fmt.Errorf("unknown kind %d", op.Kind)
	}
	if op.Kind != Call && op.Tolerate != [MaxTolerate]uint8{} {
		return errors.New("only a call can tolerate an errno")
	}
	for _, a := range op.Args {
		if err := v.arg(a); err != nil {
			return err
		}
	}
	switch op.Kind {
	case Call:
		return v.call(op)
	case Store:
		return v.wants(op.Args[0].Mode == Address && op.Args[1].Mode == Register && v.data(op.Args[0], op.Args[2].Value), "a place in the data and a register")
	case Test:
		return v.test(op)
	case Fail:
		v.state = nil
		return v.wants(op.Args[0].Value > 0 && op.Args[0].Value < 4096, "an errno")
	case Gate:
		return v.wants(op.Args[0].Mode == Address && v.data(op.Args[0], op.Args[1].Value), "room for the answer")
	case Report:
		return v.wants(op.Args[0].Mode == Register && v.state[op.Args[0].Value] == Socket, "a socket")
	default:
		return v.clone(op)
	}
}

func (v *verifier) wants(ok bool, what string) error {
	if !ok {
		return errors.New("the operands are not " + what)
	}
	return nil
}

func (v *verifier) arg(a Arg) error {
	switch a.Mode {
	case Immediate:
	case Address:
		if a.Value > uint64(len(v.plan.Data)) {
			return errors.New("address outside of the data")
		}
	case Register:
		if a.Value >= uint64(len(v.state)) {
			return errors.New("no such register")
		}
	default:
		return errors.New("unknown operand mode")
	}
	return nil
}

// data says whether size bytes at the address lie inside the data.
func (v *verifier) data(a Arg, size uint64) bool {
	return size > 0 && size <= uint64(len(v.plan.Data)) && a.Value <= uint64(len(v.plan.Data))-size
}

func (v *verifier) test(op *Op) error {
	if op.Args[4].Value > 1 || op.Args[4].Value == 0 && op.Args[0].Mode != Address {
		return errors.New("a test without an outcome")
	}
	if op.Args[0].Mode == Address && !v.data(op.Args[0], op.Args[1].Value) {
		return errors.New("test outside of the data")
	}
	there := slices.Clone(v.state)
	if r := op.Args[0]; r.Mode == Register {
		if op.Args[2].Value != 1<<63 || op.Args[3].Value != 0 {
			return errors.New("a register can only be tested for being set")
		}
		v.state[r.Value] = Unset
		if there[r.Value] == Maybe {
			there[r.Value] = Inside // only openat2 leaves a register behind that may be unset
		}
		if there[r.Value] == Unset {
			return errors.New("test of a register that is never set")
		}
	}
	v.leave(int(op.Jump), there)
	if op.Args[0].Mode == Immediate { // always
		v.state = nil
	}
	return nil
}

// leave notes that control may continue jump ops further on in the given state.
func (v *verifier) leave(jump int, state []Class) {
	to := v.at + 1 + jump
	v.states[to] = merge(state, v.states[to])
}

func merge(a, b []Class) []Class {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	for i := range a {
		if a[i] != b[i] {
			if a[i]&^attached == b[i]&^attached {
				a[i] |= attached
			} else {
				a[i] = Maybe
			}
		}
	}
	return a
}

func (v *verifier) clone(op *Op) error {
	if op.Nr != unix.SYS_CLONE || op.Args[0] != Imm(uint64(unix.CLONE_PARENT)|uint64(unix.SIGCHLD)) || v.forked {
		return errors.New("the one fork of a plan is clone(CLONE_PARENT|SIGCHLD)")
	}
	v.forked = true
	return nil
}

func (v *verifier) call(op *Op) error {
	r := ruleOf(op.Nr)
	if r == nil {
		return fmt.Errorf("system call %d is not one that a plan may contain", op.Nr)
	}
	if _, ok := v.first[op.Nr]; !ok {
		v.first[op.Nr] = v.at
	}
	v.last[op.Nr] = v.at
	for i, a := range op.Args {
		if i >= len(r.operands) {
			if a != (Arg{}) {
				return fmt.Errorf("%s: operand %d is not zero", r.name, i)
			}
			continue
		}
		if err := v.operand(op, i, r.operands[i]); err != nil {
			return fmt.Errorf("%s: operand %d: %w", r.name, i, err)
		}
	}
	failed := op.Tolerate != [MaxTolerate]uint8{}
	for _, e := range op.Tolerate {
		if e != 0 && !slices.Contains(r.tolerate, unix.Errno(e)) {
			return fmt.Errorf("%s: may not tolerate %v", r.name, unix.ErrnoName(unix.Errno(e)))
		}
	}
	if r.check != nil {
		if err := r.check(v, op); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return v.result(op, r, failed)
}

// result sets the class of the result, on the way of success and on that of a tolerated errno.
func (v *verifier) result(op *Op, r *rule, failed bool) error {
	if op.Result != NoReg {
		if int(op.Result) >= len(v.state) || v.state[op.Result] != Unset {
			return fmt.Errorf("%s: the result's register is in use", r.name)
		}
	}
	if failed {
		v.leave(int(op.Jump), slices.Clone(v.state))
	} else if op.Jump != 0 {
		return fmt.Errorf("%s: a jump without a tolerated errno", r.name)
	}
	if op.Nr == unix.SYS_CLOSE {
		v.state[op.Args[0].Value] = Unset
	}
	if op.Result != NoReg {
		v.state[op.Result] = v.class(op, r)
	}
	return nil
}

// operand checks one operand against its form.
func (v *verifier) operand(op *Op, i int, o operand) error {
	a := op.Args[i]
	switch o.form {
	case fd, dirfd:
		if o.form == dirfd && a == cwd {
			return nil
		}
		if a.Mode != Register {
			return errors.New("not a descriptor of this plan")
		}
		if c := v.state[a.Value] &^ attached; !o.classes.has(c) {
			return fmt.Errorf("a %s has no place here", c)
		}
		return nil
	case either:
		if a.Mode == Immediate {
			return nil
		}
	case number, octal:
		if a.Mode != Immediate {
			return errors.New("not a number")
		}
		if o.names != nil && !knownName(a.Value, o.names) {
			return fmt.Errorf("%d is not permitted", int64(a.Value))
		}
		return nil
	case flagSet:
		if a.Mode != Immediate || !known(a.Value, o.names) {
			return errors.New("a flag that is not permitted")
		}
		return nil
	case null:
		return v.wants(a == Arg{}, "zero")
	}
	if op.Nr == unix.SYS_FSCONFIG && a == (Arg{}) { // key and value are absent for some commands
		return nil
	}
	if a.Mode != Address {
		return errors.New("not an address")
	}
	return v.pointer(op, i, o.form, a)
}

func (v *verifier) pointer(op *Op, i int, k form, a Arg) error {
	switch k {
	case text, single, empty:
		s, ok := v.plan.text(a)
		if !ok {
			return errors.New("a string without end")
		}
		if k == empty && s != "" || k == single && (s == "" || s == "." || s == ".." || strings.Contains(s, "/")) {
			return fmt.Errorf("the name %q", s)
		}
	case openHow:
		return v.wants(v.data(a, 24), "a struct open_how")
	case mountAttr:
		return v.wants(v.data(a, 32), "a struct mount_attr")
	case limit:
		return v.wants(v.data(a, 16), "a struct rlimit64")
	case bytes:
		return v.wants(v.data(a, op.Args[i+1].Value), "bytes and their length")
	case vector:
		if _, ok := v.plan.vector(a); !ok {
			return errors.New("not a vector of strings")
		}
	case either:
		return v.wants(v.data(a, 8), "a structure")
	case buffer:
		return v.wants(a.Value < uint64(len(v.plan.Data)) || op.Args[0] == Imm(0), "a place in the data")
	}
	return nil
}

// text reads a string of the data.
func (p *Plan) text(a Arg) (string, bool) {
	if a.Mode != Address || a.Value > uint64(len(p.Data)) {
		return "", false
	}
	d := p.Data[a.Value:]
	end := slices.Index(d, 0)
	if end < 0 {
		return "", false
	}
	return string(d[:end]), true
}

// vector reads a NULL-terminated array of strings of the data.
func (p *Plan) vector(a Arg) (list []string, ok bool) {
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

// words reads a structure of 64-bit numbers of the data.
func (p *Plan) words(a Arg, n int) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		list[i] = binary.LittleEndian.Uint64(p.Data[int(a.Value)+8*i:])
	}
	return list
}
