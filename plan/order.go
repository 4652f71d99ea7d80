package plan

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// afterUser are the calls that may follow the last change of user. All others are made with the rights that the runtime has. The working
// directory may be one that only the user can enter.
var afterUser = []uint16{
	unix.SYS_FCHDIR, unix.SYS_GETCWD, unix.SYS_CAPSET, unix.SYS_PRCTL, unix.SYS_UMASK, unix.SYS_FACCESSAT2, unix.SYS_PRLIMIT64,
	unix.SYS_CLOSE_RANGE, unix.SYS_CLOSE, unix.SYS_ACCEPT4, unix.SYS_SECCOMP, unix.SYS_SENDMSG, unix.SYS_EXECVE,
}

// order checks what holds for the plan as a whole.
func (v *verifier) order() error {
	ops := v.plan.Ops
	end := len(ops) - 1
	if ops[0].Nr != unix.SYS_CLOSE_RANGE || ops[0].Args[2] != Imm(unix.CLOSE_RANGE_CLOEXEC) {
		return errors.New("the first op does not mark the inherited descriptors close-on-exec")
	}
	if v.plan.Errand {
		return v.errandOrder()
	}
	if len(v.pending) > 0 || ops[end].Kind != Call || ops[end].Nr != unix.SYS_EXECVE || ops[end].Tolerate != [MaxTolerate]uint8{} {
		return errors.New("the last op is not an execve that must succeed")
	}
	if !v.closed {
		return errors.New("descriptors of the host are not closed")
	}
	exec := v.firstOf(unix.SYS_EXECVE)
	for i := exec; i < end; i++ {
		if ops[i].Nr != unix.SYS_EXECVE || ops[i].Args[1] != ops[end].Args[1] || ops[i].Args[2] != ops[end].Args[2] {
			return errors.New("an op between two ways to the same program, or another program")
		}
	}
	if err := v.credentials(); err != nil {
		return err
	}
	if at := v.firstOf(unix.SYS_SECCOMP); at >= 0 {
		after := ops[at+1 : exec]
		if fd := ops[at].Result; fd != NoReg {
			if len(after) > 2 && after[0].Kind == Store && after[0].Args[1] == Val(fd) && after[1].Nr == unix.SYS_SENDMSG {
				after = after[2:]
			}
			if len(after) < 2 || after[0].Kind != Gate || after[0].Args[2] != Val(fd) || after[1].Nr != unix.SYS_CLOSE || after[1].Args[0] != Val(fd) {
				return errors.New("a listener that is not handed over and closed right after the filter")
			}
			after = after[2:]
		}
		for _, op := range after {
			if op.Kind != Call || op.Nr != unix.SYS_CAPSET {
				return errors.New("after the filter something else than capset and execve")
			}
		}
	}
	return v.directory()
}

// checkSeccomp: a listener is there to be handed over, and nothing else is a result.
func checkSeccomp(v *verifier, op *Op) error {
	listens := op.Args[1].Value&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
	return v.wants(listens == (op.Result != NoReg), "a filter with a listener and a register for it, or without both")
}

// directory: the last change of directory is proven, and made when the mounts were in place.
func (v *verifier) directory() error {
	at := v.lastOf(unix.SYS_FCHDIR)
	switch {
	case at < 0:
		return nil
	case v.lastOf(unix.SYS_GETCWD) < at:
		return errors.New("a change of directory that getcwd does not prove (CVE-2024-21626)")
	case v.cwd < v.lastOf(unix.SYS_MOVE_MOUNT):
		return errors.New("a working directory that was looked up before the last mount")
	}
	// One that is refused is tried again with other rights; what was refused then, too, must have its end.
	if v.plan.Ops[at].Tolerate != [MaxTolerate]uint8{} && !v.wentBefore(at) {
		return errors.New("a change of directory that may fail")
	}
	return nil
}

// wentBefore says whether a change of directory that is refused ends the plan unless another one before it was not: that has noted
// its descriptor, which is no 0, where the op behind the refusal looks.
func (v *verifier) wentBefore(at int) bool {
	ops := v.plan.Ops
	refused := at + 1 + int(ops[at].Jump)
	if refused+1 >= len(ops) || ops[refused].Kind != Test || ops[refused+1].Kind != Fail {
		return false
	}
	test := &ops[refused]
	if test.Jump != 1 || test.Args[1] != Imm(4) || test.Args[2] != Imm(uint32(1<<32-1)) || test.Args[3] != Imm(0) || test.Args[4] != Imm(0) {
		return false
	}
	if note := test.Args[0]; !v.data(note, 4) || !bytes.Equal(v.plan.Data[note.Value:note.Value+4], make([]byte, 4)) {
		return false
	}
	noted := false
	for i := range at {
		chdir, note := &ops[i], &ops[i+1]
		if note.Kind != Store || note.Args[0] != test.Args[0] {
			continue
		}
		if chdir.Kind != Call || chdir.Nr != unix.SYS_FCHDIR || note.Args[1] != chdir.Args[0] || chdir.Jump != 1 {
			return false // somebody else notes something there
		}
		noted = true
	}
	return noted
}

// credentials: each once and in the order in which none undoes another.
func (v *verifier) credentials() error {
	chain := []uint16{unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_SETRESUID, unix.SYS_CAPSET}
	if v.plan.Groups {
		if v.firstOf(unix.SYS_SETGROUPS) >= 0 {
			return errors.New("groups that are set and are to be kept")
		}
		chain = slices.Delete(chain, 1, 2)
	}
	for i, nr := range chain {
		at := v.firstOf(nr)
		if at < 0 {
			return fmt.Errorf("%s is missing", ruleOf(nr).name)
		}
		if nr == unix.SYS_SETGROUPS && at != v.lastOf(nr) && !v.dropped(at, v.lastOf(nr)) {
			return errors.New("setgroups twice")
		}
		if nr != unix.SYS_CAPSET {
			at = v.lastOf(nr)
		}
		if i > 0 && at < v.lastOf(chain[i-1]) {
			return fmt.Errorf("%s before %s", ruleOf(nr).name, ruleOf(chain[i-1]).name)
		}
	}
	user := v.lastOf(unix.SYS_SETRESUID)
	for nr := range v.last {
		if v.lastOf(uint16(nr)) > user && !slices.Contains(afterUser, uint16(nr)) {
			return fmt.Errorf("%s after the user was changed", ruleOf(uint16(nr)).name)
		}
	}
	if v.dumpable <= user {
		return errors.New("the change of ids may have made the process visible to tracers")
	}
	return nil
}

// dropped says whether the first setgroups gives up all groups, before a namespace is joined in which the second may be refused.
func (v *verifier) dropped(first, last int) bool {
	op := &v.plan.Ops[first]
	for i := first + 1; i < last; i++ {
		if o := &v.plan.Ops[i]; o.Kind == Call && o.Nr == unix.SYS_SETGROUPS {
			return false
		}
	}
	joins := v.firstOf(unix.SYS_SETNS)
	return op.Args[0] == Imm(0) && op.Tolerate == [MaxTolerate]uint8{} && joins > first
}

// firstOf and lastOf are the ops of a system call, -1 if there is none.
func (v *verifier) firstOf(nr uint16) int { return int(v.first[nr]) - 1 }
func (v *verifier) lastOf(nr uint16) int  { return int(v.last[nr]) - 1 }
