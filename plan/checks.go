package plan

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// The checks of single system calls that the rules table can't express. The order of the whole is in order.go.

// class says what the result of a call is.
func (v *verifier) class(op *Op, r *rule) Class {
	dir := Unset
	if op.Args[0].Mode == Register {
		dir = v.state[op.Args[0].Value] &^ attached
	}
	switch op.Nr {
	case unix.SYS_OPENAT2:
		name, _ := v.plan.text(op.Args[1])
		return openClass(op, dir, v.plan.word(op.Args[2], 0), v.plan.word(op.Args[2], 2), string(name))
	case unix.SYS_OPEN_TREE:
		switch {
		case dir == HostDir:
			return Root
		case dir != HostSource:
			return Copy
		}
	case unix.SYS_FSMOUNT:
		if v.fstype(v.at, op.Args[0].Value) == "proc" {
			return Proc
		}
	}
	return r.result
}

func openClass(op *Op, dir Class, flags, resolve uint64, name string) Class {
	switch {
	case op.Args[0] == cwd && resolve == hostLink:
		return HostSource
	case op.Args[0] == cwd && flags&(unix.O_DIRECTORY|unix.O_NOFOLLOW) == unix.O_DIRECTORY|unix.O_NOFOLLOW:
		return HostProc
	case op.Args[0] == cwd && flags&unix.O_DIRECTORY != 0:
		return HostDir
	case op.Args[0] == cwd && flags&unix.O_NOFOLLOW != 0:
		return HostNode
	case op.Args[0] == cwd:
		return HostSource
	case flags&unix.O_CREAT != 0:
		return Created
	case flags&unix.O_PATH != 0 && dir == HostProc:
		return OwnFDs
	case flags&unix.O_PATH != 0:
		return Inside
	case dir == Proc || dir == HostProc:
		return ProcFile
	case name == "null":
		return Created
	default:
		return PtyMaster
	}
}

// fstype finds the name that the file system context in a register was opened with.
func (v *verifier) fstype(at int, reg uint64) string {
	for i := at - 1; i >= 0; i-- {
		if op := &v.plan.Ops[i]; op.Kind == Call && op.Nr == unix.SYS_FSOPEN && uint64(op.Result) == reg {
			s, _ := v.plan.text(op.Args[0])
			return string(s)
		}
	}
	return ""
}

// mountType finds the type of the new mount in a register.
func (v *verifier) mountType(reg uint64) string {
	for i := v.at - 1; i >= 0; i-- {
		if op := &v.plan.Ops[i]; op.Kind == Call && op.Nr == unix.SYS_FSMOUNT && uint64(op.Result) == reg {
			return v.fstype(i, op.Args[0].Value)
		}
	}
	return ""
}

// ownNode says whether a name in a new mount is a device that nobody but the kernel or this plan can have put there.
func (v *verifier) ownNode(mount uint64, name string) bool {
	switch v.mountType(mount) {
	case "devpts":
		return name == "ptmx"
	case "tmpfs":
		return name == "null"
	}
	return false
}

// checkOpen: where a name may be looked up, and with what.
func checkOpen(v *verifier, op *Op) error {
	flags, resolve := v.plan.word(op.Args[2], 0), v.plan.word(op.Args[2], 2)
	text, _ := v.plan.text(op.Args[1])
	name := string(text)
	if flags&unix.O_CLOEXEC == 0 || !known(flags, openNames) || !known(resolve, resolveNames) || op.Args[3] != Imm(24) {
		return errors.New("without O_CLOEXEC, or with a flag that is not permitted")
	}
	if op.Args[0] == cwd {
		return v.hostOpen(op, name, flags, resolve)
	}
	dir := v.state[op.Args[0].Value] &^ attached
	if resolve&unix.RESOLVE_NO_MAGICLINKS == 0 || resolve&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) == 0 {
		return errors.New("a container's name needs RESOLVE_NO_MAGICLINKS and IN_ROOT or BENEATH")
	}
	if (dir == Proc || dir == HostProc) && resolve&Beneath != Beneath {
		return errors.New("a name in procfs needs RESOLVE_BENEATH and NO_XDEV")
	}
	access := flags & (unix.O_WRONLY | unix.O_RDWR)
	switch {
	case flags&unix.O_PATH != 0:
		if flags&(unix.O_CREAT|unix.O_EXCL)|access != 0 {
			return errors.New("O_PATH with a flag that opens or creates")
		}
		if dir == HostProc && (!v.plan.Errand || name != ownFDs || flags&unix.O_DIRECTORY == 0) {
			return errors.New("the host's procfs is only written to, but for the own descriptors of an errand")
		}
	case flags&unix.O_CREAT != 0:
		if flags&(unix.O_EXCL|unix.O_NOFOLLOW) != unix.O_EXCL|unix.O_NOFOLLOW || resolve != Literal || strings.Contains(name, "/") {
			return errors.New("what is created is one name, with O_EXCL|O_NOFOLLOW (CVE-2024-45310)")
		}
	case dir == Proc || dir == HostProc:
		if flags&unix.O_WRONLY == 0 {
			return errors.New("procfs is only written to")
		}
	case dir == Root && name == boundPtmx:
		// A /dev that config.json binds: the open must not wait for anybody, and what it gives must be a ptmx.
		if flags&(unix.O_NONBLOCK|unix.O_NOCTTY) != unix.O_NONBLOCK|unix.O_NOCTTY || !v.proven(op.Result) {
			return errors.New("a ptmx that statx does not prove to be one (CVE-2025-52565)")
		}
	case dir != Mount || resolve != Literal || !v.ownNode(op.Args[0].Value, name):
		return errors.New("nothing in a container is opened for real but ptmx of a new devpts and null of a new /dev")
	}
	return nil
}

// hostOpen: a host object is only named before any container name is, and a node is proven at once.
func (v *verifier) hostOpen(op *Op, name string, flags, resolve uint64) error {
	if v.moved {
		return errors.New("a name of the host after the first mount was attached (CVE-2021-30465)")
	}
	if flags&unix.O_PATH == 0 || !strings.HasPrefix(name, "/") {
		return errors.New("a name of the host without O_PATH, or a relative one")
	}
	if resolve == hostLink {
		return v.wants(flags&^unix.O_CLOEXEC == unix.O_PATH|unix.O_NOFOLLOW, "those of a source that may be a link")
	}
	switch flags & (unix.O_DIRECTORY | unix.O_NOFOLLOW) {
	case 0, unix.O_DIRECTORY:
		return nil
	case unix.O_DIRECTORY | unix.O_NOFOLLOW:
		if name != "/proc" || v.joined || !v.provenProc(op.Result) {
			return errors.New("a procfs of the host that fstatfs does not prove to be one, or after a namespace was joined (CVE-2025-52881)")
		}
		return nil
	}
	if !v.proven(op.Result) {
		return errors.New("a device node of the host that statx does not prove to be one (CVE-2025-31133)")
	}
	return nil
}

// proven says whether the ops that follow go on only if the descriptor is a device node of one type and one number.
func (v *verifier) proven(fd Reg) bool {
	ops := v.plan.Ops[v.at+1:]
	if len(ops) < 5 || ops[0].Nr != unix.SYS_STATX || ops[0].Args[0] != Val(fd) || ops[2].Kind != Fail || ops[4].Kind != Fail {
		return false
	}
	// test says that the op lets pass what has the value in a field of the statx, and nothing else.
	test := func(op *Op, field, size, mask uint64) bool {
		a := op.Args
		return op.Kind == Test && op.Jump == 1 && a[0] == Arg{Address, ops[0].Args[4].Value + field} && a[1] == Imm(size) && a[2] == Imm(mask) && a[4] == Imm(1)
	}
	kind := ops[3].Args[3].Value
	return test(&ops[1], StatxDevice, 8, 1<<64-1) && test(&ops[3], StatxMode, 2, unix.S_IFMT) && (kind == unix.S_IFCHR || kind == unix.S_IFBLK)
}

// provenProc says whether the ops that follow go on only if the descriptor is a procfs.
func (v *verifier) provenProc(fd Reg) bool {
	ops := v.plan.Ops[v.at+1:]
	if len(ops) < 3 || ops[0].Nr != unix.SYS_FSTATFS || ops[0].Args[0] != Val(fd) || ops[2].Kind != Fail {
		return false
	}
	a := ops[1].Args
	return ops[1].Kind == Test && ops[1].Jump == 1 && a == [MaxArgs]Arg{ops[0].Args[1], Imm(8), Imm(uint64(1<<64 - 1)), Imm(unix.PROC_SUPER_MAGIC), Imm(1)}
}

func checkOpenTree(v *verifier, op *Op) error {
	text, _ := v.plan.text(op.Args[1])
	name, flags := string(text), op.Args[2].Value
	if flags&(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC) != unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC {
		return errors.New("without OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")
	}
	if name != "" || flags&unix.AT_EMPTY_PATH == 0 {
		return errors.New("a name that is resolved again instead of the descriptor")
	}
	if v.state[op.Args[0].Value] == HostNode {
		v.restricted = true
	}
	return v.beforePivot()
}

// checkFsconfig: only an option that restricts nothing may be unknown to a file system.
func checkFsconfig(v *verifier, op *Op) error {
	key, _ := v.plan.text(op.Args[2])
	if op.Tolerate != [MaxTolerate]uint8{} && string(key) != "iversion" && string(key) != "noiversion" {
		return fmt.Errorf("option %q may not be refused", key)
	}
	return nil
}

// checkSetAttr: everything before the mount is attached; afterwards it can become read-only, and the root may get its
// propagation when it is the root (pivot_root refuses a shared one).
func checkSetAttr(v *verifier, op *Op) error {
	text, _ := v.plan.text(op.Args[1])
	name, a := string(text), [4]uint64{}
	for i := range a {
		a[i] = v.plan.word(op.Args[3], i)
	}
	if !known(a[0], attrNames) || !known(a[1], attrNames) || !known(a[2], propagationNames) || a[3] != 0 || op.Args[4] != Imm(32) {
		return errors.New("an attribute that is not permitted")
	}
	if op.Args[0] == cwd {
		if name != "/" || v.moved || a[0]|a[1] != 0 || a[2] != unix.MS_SLAVE || op.Args[2] != Imm(unix.AT_RECURSIVE) {
			return errors.New("by name only the whole tree can be made a slave, before anything is mounted")
		}
		v.isolated = true
		return nil
	}
	if name != "" || op.Args[2].Value&unix.AT_EMPTY_PATH == 0 {
		return errors.New("a name that is resolved again instead of the descriptor")
	}
	c := v.state[op.Args[0].Value]
	if c&attached != 0 && (a[0]&^unix.MOUNT_ATTR_RDONLY != 0 || a[1] != 0 || a[2] != 0 && !(c == Root|attached && v.pivot)) {
		return errors.New("attributes of a mount that is attached already; it can only become read-only")
	}
	if c&attached != 0 && a[0] != 0 {
		v.restricted = true
	}
	return nil
}

func checkMove(v *verifier, op *Op) error {
	from, to := &v.state[op.Args[0].Value], v.state[op.Args[2].Value]
	if *from&attached != 0 {
		return errors.New("a mount that is attached already")
	}
	if to&attached == 0 && mounts.has(to) {
		return errors.New("a place on a mount that is not attached itself")
	}
	if v.restricted && *from != Copy {
		return errors.New("a mount after something was masked or made read-only")
	}
	*from |= attached
	v.moved = true
	return v.beforePivot()
}

func (v *verifier) beforePivot() error {
	if v.pivot {
		return errors.New("after the root was changed")
	}
	return nil
}

func checkBeforePivot(v *verifier, _ *Op) error { return v.beforePivot() }

func checkAfterPivot(v *verifier, _ *Op) error {
	if !v.pivot && !v.joined {
		return errors.New("a name before the root is the container's")
	}
	return nil
}

func checkPivot(v *verifier, op *Op) error {
	for _, a := range op.Args {
		if s, ok := v.plan.text(a); ok && string(s) != "." {
			return errors.New("by name instead of the working directory")
		}
	}
	if prev := v.previous(); prev == nil || prev.Nr != unix.SYS_FCHDIR || v.state[prev.Args[0].Value]&^attached != Root {
		return errors.New("the working directory is not the root mount")
	}
	if next := v.plan.Ops[min(v.at+1, len(v.plan.Ops)-1)]; op.Nr == unix.SYS_PIVOT_ROOT && (!v.isolated || next.Nr != unix.SYS_UMOUNT2) {
		return errors.New("the mounts still propagate to the host, or the old root stays")
	}
	err := v.beforePivot()
	v.pivot = true
	return err
}

// checkChdir notes which look-up the working directory comes from; order has the rest.
func checkChdir(v *verifier, op *Op) error {
	if v.plan.Errand != (v.state[op.Args[0].Value] == OwnFDs) {
		return errors.New("the own descriptors are where an errand works, and nobody else")
	}
	v.cwd = v.at
	for i := v.at - 1; i >= 0 && v.state[op.Args[0].Value] == Inside; i-- {
		if o := &v.plan.Ops[i]; o.Kind == Call && uint64(o.Result) == op.Args[0].Value {
			v.cwd = i
			break
		}
	}
	return nil
}

// previous is the call before the current op.
func (v *verifier) previous() *Op {
	if v.at == 0 || v.plan.Ops[v.at-1].Kind != Call {
		return nil
	}
	return &v.plan.Ops[v.at-1]
}

func checkUmount(v *verifier, op *Op) error {
	text, _ := v.plan.text(op.Args[0])
	name := string(text)
	if v.plan.Errand {
		return v.errandUmount(name)
	}
	if op.Tolerate != [MaxTolerate]uint8{} {
		return errors.New("the unmount may fail")
	}
	if v.pivot {
		return v.wants(name == "." && v.previous() != nil && v.previous().Nr == unix.SYS_PIVOT_ROOT, "the old root right after pivot_root")
	}
	return v.wants(strings.HasPrefix(name, "/") && path.Clean(name) == name, "a mount of the host, by a clean absolute name")
}

func checkChown(v *verifier, op *Op) error {
	if op.Args[4] != Imm(unix.AT_EMPTY_PATH) {
		return errors.New("by name instead of the descriptor")
	}
	if v.state[op.Args[0].Value] != Inside {
		return nil
	}
	// An inode behind O_PATH must be one that mknodat has just made (a hard link could lead to a file of the host).
	if v.at < 2 {
		return errors.New("an inode that this plan has not made")
	}
	open, made := &v.plan.Ops[v.at-1], &v.plan.Ops[v.at-2]
	name, _ := v.plan.text(made.Args[1])
	opened, _ := v.plan.text(open.Args[1])
	skipped := made.Tolerate == [MaxTolerate]uint8{} || made.Jump > 1 // an errno of mknodat does not lead here
	if made.Nr != unix.SYS_MKNODAT || !skipped || v.landed >= v.at-1 || open.Nr != unix.SYS_OPENAT2 || uint64(open.Result) != op.Args[0].Value ||
		made.Args[0] != open.Args[0] || !bytes.Equal(name, opened) {
		return errors.New("an inode that this plan has not made")
	}
	return nil
}

func checkPrctl(v *verifier, op *Op) error {
	option := op.Args[0].Value
	refusable := option == unix.PR_CAP_AMBIENT && op.Args[1].Value == unix.PR_CAP_AMBIENT_RAISE ||
		option == unix.PR_CAPBSET_DROP && op.Args[1].Value > unix.CAP_CHECKPOINT_RESTORE
	if op.Tolerate != [MaxTolerate]uint8{} && !refusable {
		return errors.New("only an ambient capability or one that this kernel does not know may be refused")
	}
	if option == unix.PR_SET_DUMPABLE {
		if op.Args[1].Value != 0 {
			return errors.New("a process that the container could trace")
		}
		v.dumpable = v.at + 1
	}
	if option != unix.PR_CAPBSET_DROP && v.reach > v.at {
		return fmt.Errorf("a jump leads past it to op %d", v.reach)
	}
	return nil
}
