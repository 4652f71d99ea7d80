package plan

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The part of the verifier that follows control: what is known about the registers on each way that leads to an op.

// arrival is a jump that leads to an op further on, with the state it brings.
type arrival struct {
	to    int
	state []Class
}

// arrive merges the states that jumps bring to the current op.
func (v *verifier) arrive() {
	for i := range v.pending {
		if p := v.pending[i]; p.to == v.at {
			v.landed = v.at
			v.pending[i] = v.pending[len(v.pending)-1]
			v.pending = v.pending[:len(v.pending)-1]
			v.state = v.merge(v.state, p.state)
			return // leave keeps one for each target
		}
	}
}

// leave notes that control may continue jump ops further on, in a state that is the verifier's from now on.
func (v *verifier) leave(jump int, state []Class) {
	to := v.at + 1 + jump
	v.reach = max(v.reach, to)
	for i := range v.pending {
		if p := &v.pending[i]; p.to == to {
			p.state = v.merge(p.state, state)
			return
		}
	}
	v.pending = append(v.pending, arrival{to, state})
}

// copy is the current state for another way.
func (v *verifier) copy() []Class {
	if n := len(v.spare); n > 0 {
		s := v.spare[n-1]
		v.spare = v.spare[:n-1]
		copy(s, v.state)
		return s
	}
	return append([]Class(nil), v.state...)
}

// release ends the way that led to the current op.
func (v *verifier) release() {
	v.spare = append(v.spare, v.state)
	v.state = nil
}

// merge gives what is known where two ways meet. Of b only a spare remains.
func (v *verifier) merge(a, b []Class) []Class {
	if a == nil {
		return b
	}
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		if a[i]&^attached == b[i]&^attached {
			a[i] |= attached
		} else {
			a[i] = Maybe
		}
	}
	v.spare = append(v.spare, b)
	return a
}

func (v *verifier) test(op *Op) error {
	what, size, mask, value, outcome := op.Args[0], op.Args[1], op.Args[2], op.Args[3], op.Args[4]
	for _, a := range op.Args[1:] {
		if a.Mode != Immediate {
			return errors.New("a test against something else than a number")
		}
	}
	if size != Imm(1) && size != Imm(2) && size != Imm(4) && size != Imm(8) || outcome.Value > 1 {
		return errors.New("a test of an odd size or without an outcome")
	}
	switch what.Mode {
	case Address:
		if !v.data(what, size.Value) {
			return errors.New("test outside of the data")
		}
		v.leave(int(op.Jump), v.copy())
	case Register:
		if mask != Imm(uint64(1<<63)) || value != Imm(0) || outcome != Imm(1) {
			return errors.New("a register can only be tested for being set")
		}
		there := v.copy()
		v.state[what.Value] = Unset
		switch there[what.Value] {
		case Maybe:
			there[what.Value] = Inside // only openat2 leaves a register behind that may be unset
		case Unset:
			return errors.New("test of a register that is never set")
		}
		v.leave(int(op.Jump), there)
	default:
		if what.Value&mask.Value != value.Value || outcome != Imm(1) {
			return errors.New("a jump that is never taken")
		}
		v.leave(int(op.Jump), v.copy())
		v.release()
	}
	return nil
}

func (v *verifier) clone(op *Op) error {
	flags := op.Args[0]
	flags.Value &^= unix.CLONE_NEWPID
	if op.Nr != unix.SYS_CLONE || flags != Imm(uint64(unix.CLONE_PARENT)|uint64(unix.SIGCHLD)) || [MaxArgs - 1]Arg(op.Args[1:]) != [MaxArgs - 1]Arg{} || v.forked || v.reach > v.at {
		return errors.New("the one fork of a plan is clone(CLONE_PARENT|SIGCHLD), with or without CLONE_NEWPID")
	}
	if v.firstOf(unix.SYS_SCHED_SETATTR) >= 0 {
		return errors.New("a fork, which SCHED_DEADLINE refuses and SCHED_FLAG_RESET_ON_FORK takes the scheduler from")
	}
	v.forked = true
	return nil
}
