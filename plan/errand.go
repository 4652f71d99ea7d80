package plan

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// An errand is a plan of a process that enters the mount namespace of a container, changes its mounts and executes nothing: its
// last op is a gate, at which the parent lets it end. It makes its mounts, detached and with all their attributes, in a copy of
// the host's tree that is deaf towards the host; then it joins the container, and only then it looks up names there.

// ownFDs is the name below procfs of the directory of our own descriptors. The names in it are numbers and lead to exactly what
// the descriptors name.
const ownFDs = "self/fd"

// Errand makes the plan one that executes no program.
func (b *Builder) Errand() { b.plan.Errand = true }

// OwnMounts makes a copy of the tree of mounts for this process, and stops what is mounted there from propagating to the host.
func (b *Builder) OwnMounts() {
	b.Unshare(unix.CLONE_NEWNS)
	b.Isolate()
}

// OpenOwnFDs opens the directory of this process's descriptors below the host's procfs.
func (b *Builder) OpenOwnFDs(proc Reg) Reg {
	return b.Open("", proc, ownFDs, unix.O_PATH|unix.O_DIRECTORY, Beneath)
}

// StatxMount asks statx for the mount's id, the one that is never used twice where the kernel has it (Linux 6.8).
const StatxMount = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE

// Places in struct statx (linux/stat.h), both u64.
const (
	statxAttributes = 8
	statxMountID    = 144
)

// RequireMount goes on only if the descriptor is the root of the mount with this id, as StatxMount asks for it; to is room for a
// struct statx.
func (b *Builder) RequireMount(fd Reg, to Data, id uint64) {
	ok, root := b.Label(), b.Label()
	b.call(unix.SYS_STATX, Val(fd), Ptr(b.String("")), Imm(unix.AT_EMPTY_PATH), Imm(StatxMount), Ptr(to))
	b.SkipIf(ok, to+statxMountID, 8, 1<<64-1, id)
	b.Fail(unix.ESTALE)
	b.Bind(ok)
	b.SkipIf(root, to+statxAttributes, 8, unix.STATX_ATTR_MOUNT_ROOT, unix.STATX_ATTR_MOUNT_ROOT)
	b.Fail(unix.ESTALE)
	b.Bind(root)
}

// stacked is how many mounts may have come onto one that is to be unmounted since it was looked up.
const stacked = 2

// Unmount detaches the mount whose root a descriptor is, by that descriptor: umount2(2) takes names only, and the one name that
// nobody else can give another meaning is that of the descriptor itself. It becomes descriptor 0, to have a name that is known.
// What the container has just mounted on top is taken first, so it goes on until the kernel says that the mount is in no namespace.
func (b *Builder) Unmount(fd, own Reg) {
	gone := b.Label()
	for i := range stacked + 2 {
		b.Dup(fd, 0)
		b.Chdir(own)
		switch i {
		case 0: // it must be there
		case stacked + 1:
			b.On(gone, unix.EINVAL)
		default:
			b.On(nil, unix.EINVAL)
		}
		b.call(unix.SYS_UMOUNT2, Ptr(b.String("0")), Imm(unix.MNT_DETACH))
	}
	b.Fail(unix.EBUSY)
	b.Bind(gone)
}

// errandCalls are all that an errand may call: nothing that makes or changes a process, and nothing that writes.
var errandCalls = []uint16{
	unix.SYS_CLOSE_RANGE, unix.SYS_UMASK, unix.SYS_PRCTL, unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SETRESGID, unix.SYS_SETRESUID,
	unix.SYS_OPENAT2, unix.SYS_STATX, unix.SYS_FSTATFS, unix.SYS_MKDIRAT, unix.SYS_CLOSE, unix.SYS_SENDMSG, unix.SYS_DUP3, unix.SYS_FCHDIR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_UMOUNT2,
}

// errand checks an op of an errand before the rules for all plans are.
func (v *verifier) errand(op *Op) error {
	if op.Kind == Clone || op.Kind == Report || op.Kind == Gate && op.Result != NoReg && v.joined {
		return fmt.Errorf("a %s in an errand, or a descriptor of the host inside the container", kindNames[op.Kind])
	}
	if op.Kind != Call {
		return nil
	}
	if !slices.Contains(errandCalls, op.Nr) {
		return fmt.Errorf("system call %d is not one of an errand", op.Nr)
	}
	tree := op.Args[0] == cwd
	switch op.Nr {
	case unix.SYS_OPENAT2:
		if host := tree || op.Args[0].Mode == Register && v.state[op.Args[0].Value] == HostProc; host == v.joined {
			return errors.New("a name of the host inside the container, or one of the container outside of it (CVE-2021-30465)")
		}
		if v.joined && v.plan.word(op.Args[2], 2)&unix.RESOLVE_NO_SYMLINKS == 0 {
			return errors.New("a name that the container's links may lead elsewhere")
		}
	case unix.SYS_UNSHARE:
		v.copied = true
		return v.wants(!v.joined && op.Args[0] == Imm(unix.CLONE_NEWNS), "CLONE_NEWNS, before the container is joined")
	case unix.SYS_SETNS:
		if kinds := op.Args[1].Value; v.joined || kinds != unix.CLONE_NEWUSER && kinds != unix.CLONE_NEWNS {
			return errors.New("another namespace than those of users and of mounts, or one after it")
		}
	case unix.SYS_MOUNT_SETATTR:
		if tree && (v.joined || !v.copied) || !tree && op.Args[0].Mode == Register && v.state[op.Args[0].Value]&attached != 0 {
			return errors.New("attributes of the host's own mounts, or of the container's")
		}
	case unix.SYS_STATX:
		v.identify(op)
	case unix.SYS_CLOSE:
		v.identified = slices.DeleteFunc(v.identified, func(fd Arg) bool { return fd == op.Args[0] })
	case unix.SYS_FSOPEN, unix.SYS_OPEN_TREE:
		if v.joined || !v.isolated {
			return errors.New("a mount that is not made in a deaf copy of the host's tree")
		}
	case unix.SYS_MOVE_MOUNT, unix.SYS_MKDIRAT, unix.SYS_UMOUNT2, unix.SYS_DUP3:
		if !v.joined {
			return errors.New("a change of mounts outside of the container")
		}
	}
	return nil
}

// errandUmount: right before it the working directory became that of the own descriptors, and descriptor 0 what is proven to lie on
// the mount that is meant: the container may have put a link in its place, to a mask for instance.
func (v *verifier) errandUmount(name string) error {
	if name != "0" || v.at < 2 || v.landed >= v.at-1 {
		return errors.New("an unmount by name")
	}
	chdir, dup := &v.plan.Ops[v.at-1], &v.plan.Ops[v.at-2]
	if chdir.Kind != Call || chdir.Nr != unix.SYS_FCHDIR || dup.Kind != Call || dup.Nr != unix.SYS_DUP3 || dup.Args[1] != Imm(0) {
		return errors.New("an unmount by name")
	}
	if v.plan.Ops[v.at].Tolerate != [MaxTolerate]uint8{} && (v.at < 3 || v.plan.Ops[v.at-3].Nr != unix.SYS_UMOUNT2) {
		return errors.New("the first unmount may fail")
	}
	return v.wants(slices.Contains(v.identified, dup.Args[0]), "a mount whose id is proven")
}

// identify notes a descriptor if the ops that follow its statx go on only if it lies on a certain mount, and no jump leads past them.
func (v *verifier) identify(op *Op) {
	ops := v.plan.Ops[v.at+1:]
	if op.Args[3] != Imm(StatxMount) || v.reach > v.at || len(ops) < 2 || ops[1].Kind != Fail {
		return
	}
	if t := &ops[0]; t.Kind == Test && t.Jump == 1 && t.Args == [MaxArgs]Arg{{Address, op.Args[4].Value + statxMountID}, Imm(8), Imm(uint64(1<<64 - 1)), t.Args[3], Imm(1)} {
		v.identified = append(v.identified, op.Args[0])
	}
}

// errandOrder checks what holds for an errand as a whole.
func (v *verifier) errandOrder() error {
	ops := v.plan.Ops
	switch {
	case len(v.pending) > 0 || ops[len(ops)-1].Kind != Gate:
		return errors.New("the last op of an errand is not a gate that every way leads to")
	case v.plan.InUser:
		return errors.New("an errand that is born in a user namespace of its own")
	case !v.joined:
		return errors.New("an errand that never joins a container")
	case v.dumpable <= v.lastOf(unix.SYS_SETRESUID):
		return errors.New("the change of ids may have made the process visible to tracers")
	}
	return nil
}
