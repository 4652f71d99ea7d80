package plan

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The checks of standard streams, of what is closed and of terminals.

func checkStdio(v *verifier, op *Op) error {
	at := 0
	if op.Nr == unix.SYS_DUP3 {
		at = 1
		if c := v.state[op.Args[0].Value]; v.plan.Errand != (c == Inside) { // only an errand gives what it unmounts a known name
			return fmt.Errorf("a %s has no place here", c)
		}
	}
	if op.Args[at].Value > 2 {
		return fmt.Errorf("descriptor %d is not one of the three standard ones", op.Args[at].Value)
	}
	return nil
}

func checkCloseRange(v *verifier, op *Op) error {
	if op.Args[2].Value == unix.CLOSE_RANGE_CLOEXEC {
		return v.wants(op.Args[0] == Imm(v.plan.FirstFD) && op.Args[1] == Imm(uint32(1<<32-1)) && v.at == 0, "all inherited descriptors, in the first op")
	}
	kept := int(op.Args[0].Value) - v.plan.FirstFD
	if kept < 1 || kept > len(v.plan.Inputs) {
		return errors.New("the socket to the parent would be closed, or too little")
	}
	for i := range v.state {
		if i >= kept {
			v.state[i] = Unset
		}
	}
	v.closed = true
	return v.wants(op.Args[1] == Imm(uint32(1<<32-1)), "all descriptors from there on")
}

func checkIoctl(v *verifier, op *Op) error {
	c := v.state[op.Args[0].Value]
	switch op.Args[1].Value {
	case unix.TIOCGPTPEER:
		return v.wants(c == PtyMaster && op.Args[2].Value&unix.O_CLOEXEC != 0 && op.Result != NoReg, "a pty's master and O_CLOEXEC")
	case unix.TIOCSCTTY, unix.TIOCSWINSZ, unix.TIOCSPTLCK:
		return nil
	}
	return errors.New("a request that is not permitted")
}
