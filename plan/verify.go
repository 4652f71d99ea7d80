package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Verify proves that the plan keeps the security invariants. Each rule exists because of something that once went wrong in
// a runtime; the tests break each of them with a plan of its own.
//
//   - Form. Registers are set before they are read, and never overwritten; jumps go forward and never past a mandatory call;
//     strings and structures lie inside the data, and nothing that the plan writes while it runs lies over them; only the
//     system calls of the rules table, with flags that have a name there; an errno is tolerated only where the table says
//     so (a mask that fails to mount is a failure: CVE-2025-31133).
//   - Names. A container's name is resolved below a descriptor of this plan with IN_ROOT or BENEATH and without magic
//     links (CVE-2019-19921, CVE-2021-30465, CVE-2024-21626). What is created is one name, exclusively (CVE-2024-45310).
//     Only what the plan has created may change its owner.
//   - Host. Objects of the host are captured before the first container name is touched, and device nodes are proven by
//     statx to be what their name says (CVE-2025-31133, CVE-2025-52565).
//   - Mounts. The tree is deaf towards the host before the root changes, and the old root is detached at once. Attributes
//     are set before a mount is attached; afterwards a mount can only become read-only. After the first mask or read-only
//     mount nothing new is attached, only copies of what is there.
//   - Procfs is written only through the plan's own procfs mount, or through the host's, which is proven by fstatfs and opened
//     before a mount namespace is joined (CVE-2025-52881).
//   - Descriptors. The first op marks every inherited descriptor close-on-exec, every call that makes one does so too. What
//     the program must not have is closed before the plan waits for its start; afterwards only accept4 and seccomp make one.
//   - Credentials. Groups and ids once each and in that order (and once before, on entering a user namespace), then capabilities;
//     all else that rights are needed for comes earlier; the process is invisible to tracers
//     before it joins a namespace and again after its ids have changed. The working directory is looked up when all mounts
//     are in place, or a mask would not cover it, and proven to lie inside the root (CVE-2024-21626).
//   - End. After the filter only capset and execve; the last op is an execve that tolerates nothing. A filter's listener goes
//     to the parent at once, before any call that the filter may leave to it, and is closed: the parent takes it at a gate,
//     or it is sent before that.
//   - Errands (errand.go) end at a gate in place of execve, and may do nothing but change mounts.
func (p *Plan) Verify() error {
	v := verifier{plan: p}
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

// verifier walks the ops once. state is what is known before the current op; pending holds what jumps bring further on.
type verifier struct {
	plan    *Plan
	at      int
	state   []Class // nil: no way leads here
	pending []arrival
	spare   [][]Class // for states to come
	reach   int       // the furthest op that a jump so far leads to
	landed  int       // the last op that a jump led to
	written []span    // data that the plan writes
	vectors [2]Arg    // argv and envp of the last execve: proven

	first [calls]int32 // first op of each system call, plus one
	last  [calls]int32

	isolated   bool // mounts don't propagate to the host
	moved      bool // something was attached: host names are over
	restricted bool // something was masked or made read-only: mounts are over
	pivot      bool // the root is the container's, by pivot_root or chroot
	joined     bool // the root is the container's, by setns
	copied     bool // an errand has its own copy of the host's mounts
	identified []Arg
	closed     bool // close_range
	forked     bool
	user       bool // in a user namespace that was made or joined
	setGID     int  // how often
	setUID     int
	cwd        int // the op that looked up the working directory
	dumpable   int // the last op that made the process invisible to tracers, plus one
}

// calls is more than the largest system call number.
const calls = 512

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
	v.state = make([]Class, len(p.Names))
	for i, in := range p.Inputs {
		v.state[i] = in.Class
	}
	for _, r := range p.relocs {
		if int(r.at)+8 > len(p.Data) || int(r.to) >= len(p.Data) || binary.LittleEndian.Uint64(p.Data[r.at:]) != Base+HeaderSize+uint64(r.to) {
			return fmt.Errorf("pointer at data %d", r.at)
		}
	}
	v.user = p.InUser
	v.collect()
	return nil
}

func (v *verifier) step(op *Op) error {
	v.arrive()
	if v.state == nil {
		return errUnreachable
	}
	if v.at+1+int(op.Jump) >= len(v.plan.Ops) && op.Jump > 0 {
		return errors.New("jump beyond the end")
	}
	if op.Kind >= kinds {
		return fmt.Errorf("unknown kind %d", op.Kind)
	}
	if err := v.form(op); err != nil {
		return err
	}
	for _, a := range op.Args {
		if err := v.arg(a); err != nil {
			return err
		}
	}
	if v.plan.Errand {
		if err := v.errand(op); err != nil {
			return err
		}
	}
	switch op.Kind {
	case Call:
		return v.call(op)
	case Store:
		return v.wants(op.Args[0].Mode == Address && op.Args[1].Mode == Register && (op.Args[2] == Imm(4) || op.Args[2] == Imm(8)) &&
			v.data(op.Args[0], op.Args[2].Value), "a place in the data, a register and its size")
	case Test:
		return v.test(op)
	case Fail:
		v.release()
		return v.wants(op.Args[0].Mode == Immediate && op.Args[0].Value > 0 && op.Args[0].Value < 4096, "an errno")
	case Gate:
		return v.gate(op)
	case Report:
		return v.wants(op.Args[0].Mode == Register && v.state[op.Args[0].Value] == Socket, "a socket")
	default:
		return v.clone(op)
	}
}

// gate: the answer has its room. What the parent is told of is a filter's listener; a descriptor that comes with the answer is an
// object of the host, as early as one that is opened.
func (v *verifier) gate(op *Op) error {
	if op.Args[0].Mode != Address || op.Args[1].Mode != Immediate || !v.data(op.Args[0], op.Args[1].Value) {
		return errors.New("the operands are not room for the answer")
	}
	if fd := op.Args[2]; fd != (Arg{}) && (fd.Mode != Register || v.state[fd.Value] != SeccompFd) {
		return errors.New("the descriptor of a gate is not a seccomp listener")
	}
	if op.Result == NoReg {
		return v.wants(op.Args[3] == Arg{}, "those of a gate without a descriptor")
	}
	if v.moved || v.closed || int(op.Result) >= len(v.state) || v.state[op.Result] != Unset {
		return errors.New("a descriptor of the host that comes too late, or into a register in use")
	}
	switch op.Args[3] {
	case Imm(0):
		v.state[op.Result] = HostSource
	case Imm(unix.O_DIRECTORY):
		v.state[op.Result] = HostDir
	default:
		return errors.New("a descriptor of an unknown kind")
	}
	return nil
}

// form checks the fields that only some kinds of op have.
func (v *verifier) form(op *Op) error {
	switch {
	case op.Kind == Call:
		return nil
	case op.Tolerate != [MaxTolerate]uint8{}:
		return errors.New("only a call can tolerate an errno")
	case op.Result != NoReg && op.Kind != Gate:
		return errors.New("only a call and a gate have a result")
	case op.Kind != Test && op.Jump != 0:
		return errors.New("only a call and a test can jump")
	case op.Kind != Clone && op.Nr != 0:
		return errors.New("only a call has a number")
	}
	return nil
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

func (v *verifier) call(op *Op) error {
	r := ruleOf(op.Nr)
	if r == nil {
		return fmt.Errorf("system call %d is not one that a plan may contain", op.Nr)
	}
	if v.first[op.Nr] == 0 {
		v.first[op.Nr] = int32(v.at + 1)
	}
	v.last[op.Nr] = int32(v.at + 1)
	if mandatory(op.Nr) && v.reach > v.at {
		return fmt.Errorf("%s: a jump leads past it to op %d", r.name, v.reach)
	}
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
		v.leave(int(op.Jump), v.copy())
	} else if op.Jump != 0 {
		return fmt.Errorf("%s: a jump without a tolerated errno", r.name)
	}
	if op.Nr == unix.SYS_CLOSE {
		v.state[op.Args[0].Value] = Unset
	}
	if op.Result != NoReg {
		if v.closed && op.Nr != unix.SYS_ACCEPT4 && op.Nr != unix.SYS_SECCOMP {
			return fmt.Errorf("%s: a descriptor after close_range", r.name)
		}
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
	case flagAll:
		for _, n := range o.names {
			a.Value ^= n.value
		}
		if a != (Arg{}) {
			return errors.New("a flag is missing or not permitted")
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
