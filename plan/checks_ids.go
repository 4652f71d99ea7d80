package plan

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The checks of namespaces that are entered and of the ids that a process takes.

// checkJoin: what joins a namespace is invisible to its members first.
func checkJoin(v *verifier, op *Op) error {
	if v.dumpable == 0 {
		return errors.New("a process that the container could trace")
	}
	v.joined = v.joined || op.Args[1].Value&unix.CLONE_NEWNS != 0
	return checkEnterUser(v, op)
}

// checkEnterUser notes that the process is in another user namespace, where it has no id yet.
func checkEnterUser(v *verifier, op *Op) error {
	kinds := op.Args[0]
	if op.Nr == unix.SYS_SETNS {
		kinds = op.Args[1]
	}
	if kinds.Value&unix.CLONE_NEWUSER != 0 {
		if v.user {
			return errors.New("a second user namespace")
		}
		v.user = true
	}
	return nil
}

// checkIDs: real, effective and saved id at once, and none that means "leave it" (-1). They are set once, and once before
// that in a user namespace, where a process comes in without ids that mean anything there.
func checkIDs(v *verifier, op *Op) error {
	times := &v.setGID
	if op.Nr == unix.SYS_SETRESUID {
		times = &v.setUID
	}
	if *times++; *times > 2 || *times == 2 && !v.user {
		return errors.New("twice")
	}
	id := op.Args[0]
	return v.wants(id == op.Args[1] && id == op.Args[2] && id.Value < 1<<32-1, "three times the same id")
}

// checkGroups: only where the kernel denies it to everybody (user_namespaces(7), /proc/PID/setgroups) may setgroups fail, and
// only if there is no group to set.
func checkGroups(v *verifier, op *Op) error {
	if op.Tolerate != [MaxTolerate]uint8{} && op.Args[0] != Imm(0) {
		return errors.New("groups that may stay unset")
	}
	return nil
}
