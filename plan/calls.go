package plan

import (
	"encoding/binary"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// The system calls that a plan may contain, one method each. What a method does not offer (an open without a directory
// descriptor, a chmod by name, mount(2)) cannot be written down; Verify refuses it as well, for plans that came about in
// another way.

// Resolve flags for a name inside the container, see openat2(2).
const (
	InRoot  = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS                                                   // below the root: symlinks stay inside
	Beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV                            // below one mount, e.g. procfs
	Plain   = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS                        // no symlink anywhere
	Literal = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV // a name that only we can have made
)

// relative makes a container path usable below a directory descriptor.
func relative(name string) string {
	if name = strings.TrimLeft(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// Open resolves a name below a directory descriptor of this plan: openat2(2).
func (b *Builder) Open(reg string, dir Reg, name string, flags, resolve uint64) Reg {
	r := b.reg(reg)
	b.OpenInto(r, dir, name, flags, resolve)
	return r
}

// OpenInto is Open with a given register, which must be unset: the second try of an Open that tolerated an errno.
func (b *Builder) OpenInto(r, dir Reg, name string, flags, resolve uint64) {
	how := b.words(flags|unix.O_CLOEXEC, 0, resolve)
	b.callInto(r, unix.SYS_OPENAT2, Val(dir), Ptr(b.String(relative(name))), Ptr(how), Imm(24))
}

// OpenHost resolves a path of the host without opening what it names (O_PATH). Only before the first MoveMount. With
// O_DIRECTORY it is the place of the root, with O_NOFOLLOW a device node, which the next ops must prove to be one.
func (b *Builder) OpenHost(reg, name string, flags uint64) Reg {
	how := b.words(unix.O_PATH|unix.O_CLOEXEC|flags, 0, 0)
	return b.callReg(reg, unix.SYS_OPENAT2, cwd, Ptr(b.String(name)), Ptr(how), Imm(24))
}

// hostLink marks the look-up of a source that may be a link itself; those that must be device nodes have no such mark.
const hostLink = unix.RESOLVE_NO_MAGICLINKS

// OpenHostLink resolves a path of the host to the link that is there, or to what else is there: a source like that of OpenHost.
func (b *Builder) OpenHostLink(reg, name string) Reg {
	how := b.words(unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0, hostLink)
	return b.callReg(reg, unix.SYS_OPENAT2, cwd, Ptr(b.String(name)), Ptr(how), Imm(24))
}

// OpenHostPlain is OpenHost for a path in which no part may be a link: somebody in a container could have made it.
func (b *Builder) OpenHostPlain(reg, name string, flags uint64) Reg {
	how := b.words(unix.O_PATH|unix.O_CLOEXEC|flags, 0, unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_SYMLINKS)
	return b.callReg(reg, unix.SYS_OPENAT2, cwd, Ptr(b.String(name)), Ptr(how), Imm(24))
}

// OpenHostProc opens the host's procfs and proves that it is one; to is room for a struct statfs. Only before anything is
// joined or mounted.
func (b *Builder) OpenHostProc(to Data) Reg {
	how := b.words(unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0, 0)
	proc := b.callReg("", unix.SYS_OPENAT2, cwd, Ptr(b.String("/proc")), Ptr(how), Imm(24))
	b.StatFS(proc, to)
	ok := b.Label()
	b.SkipIf(ok, to, 8, 1<<64-1, unix.PROC_SUPER_MAGIC)
	b.Fail(unix.ESTALE)
	b.Bind(ok)
	return proc
}

// Create makes an empty file under one name; it fails where anything exists.
func (b *Builder) Create(dir Reg, name string, mode uint32) Reg {
	how := b.words(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint64(mode), Literal)
	return b.callReg("", unix.SYS_OPENAT2, Val(dir), Ptr(b.String(name)), Ptr(how), Imm(24))
}

// Mkdir makes a directory under one name.
func (b *Builder) Mkdir(dir Reg, name string, mode uint32) {
	b.call(unix.SYS_MKDIRAT, Val(dir), Ptr(b.String(name)), Imm(mode))
}

// Mknod makes a device node or FIFO under one name; mode has the type bits.
func (b *Builder) Mknod(dir Reg, name string, mode uint32, dev uint64) {
	b.call(unix.SYS_MKNODAT, Val(dir), Ptr(b.String(name)), Imm(mode), Imm(dev))
}

// Symlink makes a symbolic link under one name.
func (b *Builder) Symlink(target string, dir Reg, name string) {
	b.call(unix.SYS_SYMLINKAT, Ptr(b.String(target)), Val(dir), Ptr(b.String(name)))
}

// Unlink removes one name that is not a directory.
func (b *Builder) Unlink(dir Reg, name string) {
	b.call(unix.SYS_UNLINKAT, Val(dir), Ptr(b.String(name)), Imm(0))
}

// Chown changes the owner of an inode that this plan has made, or of the terminal.
func (b *Builder) Chown(fd Reg, uid, gid uint32) {
	b.call(unix.SYS_FCHOWNAT, Val(fd), Ptr(b.String("")), Imm(uid), Imm(gid), Imm(unix.AT_EMPTY_PATH))
}

// ChownStdio changes the owner of descriptor 0, 1 or 2.
func (b *Builder) ChownStdio(fd int, uid, gid uint32) {
	b.call(unix.SYS_FCHOWN, Imm(fd), Imm(uid), Imm(gid))
}

// Stat writes a struct statx of the descriptor to the data area, see StatxSize.
func (b *Builder) Stat(fd Reg, to Data) {
	b.call(unix.SYS_STATX, Val(fd), Ptr(b.String("")), Imm(unix.AT_EMPTY_PATH), Imm(unix.STATX_BASIC_STATS), Ptr(to))
}

// StatFS writes a struct statfs of the descriptor to the data area; its first word is the file system's magic number.
func (b *Builder) StatFS(fd Reg, to Data) { b.call(unix.SYS_FSTATFS, Val(fd), Ptr(to)) }

// Offsets in struct statx (linux/stat.h) and sizes of what the kernel writes.
const (
	StatxSize   = 256
	StatxMode   = 28  // u16
	StatxDevice = 128 // u32 major, u32 minor
	StatFSSize  = 120
)

// Source resolves a host path that will be mounted. The copy is made when its turn has come (CloneTree), so that mounts have
// the order of config.json in mountinfo; the name is looked up only here, before the first MoveMount.
func (b *Builder) Source(name string) Reg { return b.OpenHost("", name, 0) }

// CloneTree makes a detached copy of what a descriptor names.
func (b *Builder) CloneTree(reg string, fd Reg, recursive bool) Reg {
	return b.callReg(reg, unix.SYS_OPEN_TREE, Val(fd), Ptr(b.String("")), Imm(treeFlags(recursive)|unix.AT_EMPTY_PATH))
}

func treeFlags(recursive bool) uint64 {
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return flags
}

// Attr is a change of mount attributes (MOUNT_ATTR_*) and propagation (MS_*): mount_setattr(2).
type Attr struct {
	Set, Clear, Propagation uint64
	Recursive               bool
}

// SetAttr changes the attributes of a mount by its descriptor.
func (b *Builder) SetAttr(mount Reg, a Attr) {
	flags := uint64(unix.AT_EMPTY_PATH)
	if a.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	b.call(unix.SYS_MOUNT_SETATTR, Val(mount), Ptr(b.String("")), Imm(flags), Ptr(b.words(a.Set, a.Clear, a.Propagation, 0)), Imm(32))
}

// Isolate stops mounts made in this namespace from propagating to the host: the whole tree becomes a slave.
func (b *Builder) Isolate() {
	b.call(unix.SYS_MOUNT_SETATTR, cwd, Ptr(b.String("/")), Imm(unix.AT_RECURSIVE), Ptr(b.words(0, 0, unix.MS_SLAVE, 0)), Imm(32))
}

// MoveMount attaches a detached mount to the place that a descriptor names: move_mount(2).
func (b *Builder) MoveMount(from, to Reg) {
	empty := Ptr(b.String(""))
	b.call(unix.SYS_MOVE_MOUNT, Val(from), empty, Val(to), empty, Imm(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// FsOpen starts a new file system: fsopen(2).
func (b *Builder) FsOpen(fstype string) Reg {
	return b.callReg("", unix.SYS_FSOPEN, Ptr(b.String(fstype)), Imm(unix.FSOPEN_CLOEXEC))
}

// FsString gives a file system parameter with a value: fsconfig(2).
func (b *Builder) FsString(ctx Reg, key, value string) {
	b.call(unix.SYS_FSCONFIG, Val(ctx), Imm(unix.FSCONFIG_SET_STRING), Ptr(b.String(key)), Ptr(b.String(value)), Imm(0))
}

// FsFlag gives a file system parameter without a value.
func (b *Builder) FsFlag(ctx Reg, key string) {
	b.call(unix.SYS_FSCONFIG, Val(ctx), Imm(unix.FSCONFIG_SET_FLAG), Ptr(b.String(key)), Imm(0), Imm(0))
}

// FsCreate makes or finds the superblock.
func (b *Builder) FsCreate(ctx Reg) {
	b.call(unix.SYS_FSCONFIG, Val(ctx), Imm(unix.FSCONFIG_CMD_CREATE), Imm(0), Imm(0), Imm(0))
}

// FsMount makes a detached mount of it with attributes (MOUNT_ATTR_*): fsmount(2).
func (b *Builder) FsMount(reg string, ctx Reg, attrs uint64) Reg {
	return b.callReg(reg, unix.SYS_FSMOUNT, Val(ctx), Imm(unix.FSMOUNT_CLOEXEC), Imm(attrs))
}

// PivotRoot makes the working directory the root and stacks the old root on top of it: pivot_root(2), NOTES.
func (b *Builder) PivotRoot() {
	dot := Ptr(b.String("."))
	b.call(unix.SYS_PIVOT_ROOT, dot, dot)
}

// DropOldRoot detaches the old root after PivotRoot.
func (b *Builder) DropOldRoot() { b.call(unix.SYS_UMOUNT2, Ptr(b.String(".")), Imm(unix.MNT_DETACH)) }

// UnmountHost detaches a mount of the host from this mount namespace, where there is no PivotRoot to do it.
func (b *Builder) UnmountHost(name string) {
	b.call(unix.SYS_UMOUNT2, Ptr(b.String(name)), Imm(unix.MNT_DETACH))
}

// Chroot makes the working directory the root: where pivot_root is impossible (initramfs).
func (b *Builder) Chroot() { b.call(unix.SYS_CHROOT, Ptr(b.String("."))) }

// Chdir changes the working directory to a descriptor.
func (b *Builder) Chdir(fd Reg) { b.call(unix.SYS_FCHDIR, Val(fd)) }

// Getcwd writes the working directory to the data area; a result that does not begin with "/" lies outside of the root.
func (b *Builder) Getcwd(to Data, size int) { b.call(unix.SYS_GETCWD, Ptr(to), Imm(size)) }

// Close closes a descriptor and frees its register.
func (b *Builder) Close(fd Reg) {
	b.call(unix.SYS_CLOSE, Val(fd))
	if b.plan.Names[fd] == "" {
		b.free = append(b.free, fd)
	}
}

// MarkInherited makes all inherited descriptors close-on-exec; the first op of every plan.
func (b *Builder) MarkInherited() {
	b.call(unix.SYS_CLOSE_RANGE, Imm(b.plan.FirstFD), Imm(uint32(1<<32-1)), Imm(unix.CLOSE_RANGE_CLOEXEC))
}

// CloseAllBut closes everything but the standard streams, preserved descriptors and the first inputs.
func (b *Builder) CloseAllBut(inputs int) {
	b.call(unix.SYS_CLOSE_RANGE, Imm(b.plan.FirstFD+inputs), Imm(uint32(1<<32-1)), Imm(0))
}

// Write writes bytes to a descriptor, in one call.
func (b *Builder) Write(fd Reg, p []byte) {
	b.call(unix.SYS_WRITE, Val(fd), Ptr(b.Struct(p)), Imm(len(p)))
}

// SetNS joins a namespace (CLONE_NEW*), or with a pidfd several at once: setns(2).
func (b *Builder) SetNS(fd Reg, kinds uint64) { b.call(unix.SYS_SETNS, Val(fd), Imm(kinds)) }

// Unshare makes new namespaces: unshare(2).
func (b *Builder) Unshare(kinds uint64) { b.call(unix.SYS_UNSHARE, Imm(kinds)) }

const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL of linux/membarrier.h

// Membarrier waits for an RCU grace period, some milliseconds: what was freed before is free after it. Kernels without
// membarrier(2), those with nohz_full CPUs, and where a filter forbids it, go on at once.
func (b *Builder) Membarrier() {
	b.On(nil, unix.ENOSYS, unix.EINVAL, unix.EPERM)
	b.call(unix.SYS_MEMBARRIER, Imm(membarrierGlobal), Imm(0), Imm(0))
}

// Setsid starts a session.
func (b *Builder) Setsid() { b.call(unix.SYS_SETSID) }

// Umask sets the file mode creation mask.
func (b *Builder) Umask(mask uint32) { b.call(unix.SYS_UMASK, Imm(mask)) }

// Prctl is prctl(2) with numbers only; Verify lists the options.
func (b *Builder) Prctl(option, a uint64) {
	b.call(unix.SYS_PRCTL, Imm(option), Imm(a), Imm(0), Imm(0), Imm(0))
}

// Ambient raises a capability in the ambient set, or clears the set (PR_CAP_AMBIENT_CLEAR_ALL).
func (b *Builder) Ambient(op, capability uint64) {
	b.call(unix.SYS_PRCTL, Imm(uint64(unix.PR_CAP_AMBIENT)), Imm(op), Imm(capability), Imm(0), Imm(0))
}

// SetHostname names the UTS namespace.
func (b *Builder) SetHostname(s string) { b.call(unix.SYS_SETHOSTNAME, Ptr(b.String(s)), Imm(len(s))) }

// SetDomainname sets the NIS domain name.
func (b *Builder) SetDomainname(s string) {
	b.call(unix.SYS_SETDOMAINNAME, Ptr(b.String(s)), Imm(len(s)))
}

// BornInUser says that the process is born in a new user namespace: it takes its ids there at once.
func (b *Builder) BornInUser() { b.plan.InUser = true }

// KeepGroups says that the process keeps the supplementary groups of the caller, as its configuration asks for.
func (b *Builder) KeepGroups() { b.plan.Groups = true }

// SetGroups sets the supplementary groups, exactly these.
func (b *Builder) SetGroups(gids []uint32) {
	list := make([]byte, 0, 4*len(gids))
	for _, g := range gids {
		list = binary.LittleEndian.AppendUint32(list, g)
	}
	b.call(unix.SYS_SETGROUPS, Imm(len(gids)), Ptr(b.Struct(list)))
}

// SetGID sets real, effective and saved group id.
func (b *Builder) SetGID(gid uint32) { b.call(unix.SYS_SETRESGID, Imm(gid), Imm(gid), Imm(gid)) }

// SetUID sets real, effective and saved user id.
func (b *Builder) SetUID(uid uint32) { b.call(unix.SYS_SETRESUID, Imm(uid), Imm(uid), Imm(uid)) }

// CapSet sets the effective, permitted and inheritable capabilities, as bit masks.
func (b *Builder) CapSet(effective, permitted, inheritable uint64) {
	h := make([]byte, 0, 24)
	h = binary.LittleEndian.AppendUint32(h, unix.LINUX_CAPABILITY_VERSION_3)
	h = binary.LittleEndian.AppendUint32(h, 0)
	d := make([]byte, 0, 24)
	for shift := 0; shift < 64; shift += 32 {
		for _, set := range []uint64{effective, permitted, inheritable} {
			d = binary.LittleEndian.AppendUint32(d, uint32(set>>shift))
		}
	}
	b.call(unix.SYS_CAPSET, Ptr(b.Struct(h)), Ptr(b.Struct(d)))
}

// SetRlimit sets one resource limit of the process itself.
func (b *Builder) SetRlimit(resource int, soft, hard uint64) {
	b.call(unix.SYS_PRLIMIT64, Imm(0), Imm(resource), Ptr(b.words(soft, hard)), Imm(0))
}

// JoinSessionKeyring makes a new session keyring of the given name: keyctl(2).
func (b *Builder) JoinSessionKeyring(name string) {
	b.call(unix.SYS_KEYCTL, Imm(unix.KEYCTL_JOIN_SESSION_KEYRING), Ptr(b.String(name)))
}

// Ioctl is ioctl(2) with a number as argument.
func (b *Builder) Ioctl(fd Reg, request uint64, arg uint64) {
	b.call(unix.SYS_IOCTL, Val(fd), Imm(request), Imm(arg))
}

// Reopen opens for real a node that this plan has made in a new file system: ptmx of a devpts, null of a /dev.
func (b *Builder) Reopen(reg string, mount Reg, name string) Reg {
	return b.Open(reg, mount, name, unix.O_RDWR|unix.O_NOCTTY, Literal)
}

// boundPtmx is the one name below the root that is opened for real.
const boundPtmx = "dev/ptmx"

// OpenBoundPtmx opens the ptmx of a /dev or /dev/pts that is not of this plan. The next ops must prove what it is. The
// descriptor does not block.
func (b *Builder) OpenBoundPtmx(root Reg) Reg {
	return b.Open("ptmx", root, boundPtmx, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, InRoot)
}

// IoctlPtr is ioctl(2) with a structure as argument.
func (b *Builder) IoctlPtr(fd Reg, request uint64, arg Data) {
	b.call(unix.SYS_IOCTL, Val(fd), Imm(request), Ptr(arg))
}

// OpenPeer opens the other end of a pty by its master: TIOCGPTPEER (Linux 4.13), which trusts no name.
func (b *Builder) OpenPeer(master Reg) Reg {
	return b.callReg("tty", unix.SYS_IOCTL, Val(master), Imm(uint64(unix.TIOCGPTPEER)), Imm(uint64(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)))
}

// Dup makes descriptor 0, 1 or 2 a copy of a descriptor.
func (b *Builder) Dup(fd Reg, to int) { b.call(unix.SYS_DUP3, Val(fd), Imm(to), Imm(0)) }

// SendFD sends a message and the descriptor in a register over a socket: SCM_RIGHTS.
func (b *Builder) SendFD(socket, fd Reg) {
	if b.message == 0 {
		b.message = b.fdMessage()
	}
	b.Store(b.message+56+16, fd, 4)
	b.call(unix.SYS_SENDMSG, Val(socket), Ptr(b.message), Imm(unix.MSG_NOSIGNAL))
}

// fdMessage lays out struct msghdr, the control message for one descriptor, struct iovec and what it points to.
func (b *Builder) fdMessage() Data {
	msg := b.Space(56 + 24 + 16 + MessageSize)
	control, iov, payload := msg+56, msg+80, msg+96
	le, d := binary.LittleEndian, b.plan.Data
	b.pointer(msg+16, iov) // msg_iov
	le.PutUint64(d[msg+24:], 1)
	b.pointer(msg+32, control) // msg_control
	le.PutUint64(d[msg+40:], 24)
	le.PutUint64(d[control:], 20) // cmsg_len
	le.PutUint32(d[control+8:], unix.SOL_SOCKET)
	le.PutUint32(d[control+12:], unix.SCM_RIGHTS)
	b.pointer(iov, payload)
	le.PutUint64(d[iov+8:], MessageSize)
	le.PutUint32(d[payload:], MessageFD)
	return msg
}

// Accept waits for a connection: accept4(2).
func (b *Builder) Accept(listener Reg) Reg {
	return b.callReg("start", unix.SYS_ACCEPT4, Val(listener), Imm(0), Imm(0), Imm(unix.SOCK_CLOEXEC))
}

// Access asks whether the process may execute a file, with its credentials of that moment: faccessat2(2).
func (b *Builder) Access(name string) {
	b.call(unix.SYS_FACCESSAT2, cwd, Ptr(b.String(name)), Imm(unix.X_OK), Imm(unix.AT_EACCESS))
}

// Seccomp loads the filter whose struct sock_fprog is at prog: seccomp(2). With SECCOMP_FILTER_FLAG_NEW_LISTENER it returns
// the listener, which the next two ops must hand over (GateFor) and close.
func (b *Builder) Seccomp(flags uint32, prog Data) Reg {
	args := []Arg{Imm(unix.SECCOMP_SET_MODE_FILTER), Imm(flags), Ptr(prog)}
	if flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 {
		return b.callReg("listener", unix.SYS_SECCOMP, args...)
	}
	b.call(unix.SYS_SECCOMP, args...)
	return NoReg
}

// FilterProgram is a struct sock_fprog and the instructions behind it (8 bytes each). With nil instructions it reserves
// room for the largest filter, which a gate's answer fills: see FilterAnswer.
func (b *Builder) FilterProgram(instructions []byte) Data {
	if instructions == nil {
		instructions = make([]byte, 8*unix.BPF_MAXINSNS)
	}
	prog := b.Space(16)
	code := b.Bytes(instructions)
	binary.LittleEndian.PutUint16(b.plan.Data[prog:], uint16(len(instructions)/8))
	b.pointer(prog+8, code)
	return prog
}

// FilterAnswer is the answer that makes a gate on FilterProgram(nil) complete.
func FilterAnswer(prog Data, instructions []byte) []byte {
	p := make([]byte, 16, 16+len(instructions))
	binary.LittleEndian.PutUint16(p, uint16(len(instructions)/8))
	binary.LittleEndian.PutUint64(p[8:], Base+HeaderSize+uint64(prog)+16)
	return append(p, instructions...)
}

// Argv puts a vector of strings, argv or envp, into the data area for Exec. Those that a gate's answer writes come last.
func (b *Builder) Argv(list []string, late ...Data) Data { return b.vector(list, late) }

// Exec runs the user's program.
func (b *Builder) Exec(name string, argv, envp Data) {
	b.call(unix.SYS_EXECVE, Ptr(b.String(name)), Ptr(argv), Ptr(envp))
}

// Store writes a register (size 4 or 8) into the data area.
func (b *Builder) Store(to Data, from Reg, size int) {
	b.emit(Op{Kind: Store, Result: NoReg, Args: [MaxArgs]Arg{Ptr(to), Val(from), Imm(size)}})
}

// SkipIf continues at the label if (data & mask) == value, for a number of 1, 2, 4 or 8 bytes.
func (b *Builder) SkipIf(to *Label, at Data, size int, mask, value uint64) {
	b.test(to, Ptr(at), size, mask, value, 1)
}

// SkipUnless continues at the label if (data & mask) != value.
func (b *Builder) SkipUnless(to *Label, at Data, size int, mask, value uint64) {
	b.test(to, Ptr(at), size, mask, value, 0)
}

func (b *Builder) test(to *Label, what Arg, size int, mask, value uint64, outcome int) {
	b.jump(to)
	b.emit(Op{Kind: Test, Result: NoReg, Args: [MaxArgs]Arg{what, Imm(size), Imm(mask), Imm(value), Imm(outcome)}})
}

// SkipIfSet continues at the label if the register holds a result.
func (b *Builder) SkipIfSet(to *Label, r Reg) {
	b.test(to, Val(r), 8, 1<<63, 0, 1)
}

// Skip always continues at the label.
func (b *Builder) Skip(to *Label) {
	b.test(to, Imm(0), 8, 0, 0, 1)
}

// Fail ends the plan with an errno.
func (b *Builder) Fail(errno unix.Errno) {
	b.emit(Op{Kind: Fail, Result: NoReg, Args: [MaxArgs]Arg{Imm(int(errno))}})
}

// Gate tells the parent that this point is reached and waits for its answer, which is written to the data area (at most
// size bytes, at least one).
func (b *Builder) Gate(name string, to Data, size int) {
	b.Step(name)
	b.emit(Op{Kind: Gate, Result: NoReg, Args: [MaxArgs]Arg{Ptr(to), Imm(size)}})
}

// GateFor is a Gate that tells the number of a filter's listener as well: the parent takes a copy of it.
func (b *Builder) GateFor(name string, listener Reg, to Data, size int) {
	b.Step(name)
	b.emit(Op{Kind: Gate, Result: NoReg, Args: [MaxArgs]Arg{Ptr(to), Imm(size), Val(listener)}})
}

// GateFD is Gate, and the answer brings a descriptor: what OpenHost with these flags would have given. Without one the register
// holds -1, which no call takes.
func (b *Builder) GateFD(name string, to Data, size int, fd Reg, flags uint64) {
	b.Step(name)
	b.emit(Op{Kind: Gate, Result: fd, Args: [MaxArgs]Arg{Ptr(to), Imm(size), {}, Imm(flags)}})
}

// ReportTo makes a socket the place where failures and gates are reported.
func (b *Builder) ReportTo(socket Reg) {
	b.emit(Op{Kind: Report, Result: NoReg, Args: [MaxArgs]Arg{Val(socket)}})
}

// Fork goes on in a child of our parent: clone(2) with CLONE_PARENT. The first process reports the child's pid and ends.
// kinds is CLONE_NEWPID for a new pid namespace, or 0.
func (b *Builder) Fork(kinds uint64) {
	op := Op{Kind: Clone, Nr: unix.SYS_CLONE, Result: NoReg}
	op.Args[0] = Imm(unix.CLONE_PARENT | uint64(unix.SIGCHLD) | kinds)
	b.emit(op)
}
