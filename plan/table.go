package plan

import "golang.org/x/sys/unix"

// form says how an operand is checked and printed.
type form uint8

const (
	number    form = iota
	octal          // file mode
	flagSet        // bits with names
	flagAll        // all of the bits, e.g. what makes a descriptor close-on-exec
	fd             // a register of one of the rule's classes
	dirfd          // the same or AT_FDCWD
	text           // a string
	single         // a string that is one name: no "/", not "." or ".."
	empty          // the empty string: the descriptor itself
	openHow        // struct open_how
	mountAttr      // struct mount_attr
	limit          // struct rlimit64
	vector         // argv, envp
	blob           // data, the next operand is its length
	buffer         // data that the kernel writes or another structure
	either         // a number, or a structure of at least 8 bytes
	null           // must be zero
)

// operand is one operand of a rule.
type operand struct {
	form    form
	classes classSet   // fd, dirfd
	names   []flagName // flagSet, number
}

type classSet uint32

func only(list ...Class) (s classSet) {
	for _, c := range list {
		s |= 1 << c
	}
	return s
}

func (s classSet) has(c Class) bool { return s&(1<<c) != 0 }

// Sets of classes that occur often. Places is everything in which a container's name may be looked up.
var (
	places = only(Root, Mount, Source, Inside, Proc)
	mounts = only(Root, Mount, Source, Copy, Proc)
	inodes = only(Root, Mount, Source, Inside, Proc, HostProc, HostNode, Created, PtyMaster)
)

// rule is one system call that a plan may contain: its operands, the errnos that may be tolerated and what its result is.
// check is for what a table can't say.
type rule struct {
	nr       uint16
	name     string
	operands []operand
	tolerate []unix.Errno
	result   Class
	check    func(v *verifier, op *Op) error
}

func f(k form) operand                    { return operand{form: k} }
func in(s classSet) operand               { return operand{form: fd, classes: s} }
func set(names []flagName) operand        { return operand{form: flagSet, names: names} }
func all(names []flagName) operand        { return operand{form: flagAll, names: names} }
func errnos(l ...unix.Errno) []unix.Errno { return l }

// rules lists every system call of a plan. Adding one is a decision about security: say in check what it must not do.
var rules = []rule{
	{
		unix.SYS_OPENAT2, "openat2",
		[]operand{{form: dirfd, classes: places | only(HostProc)}, f(text), f(openHow), f(number)},
		errnos(unix.ENOENT, unix.ENOTDIR, unix.EEXIST, unix.EACCES), Inside, checkOpen,
	},
	{unix.SYS_MKDIRAT, "mkdirat", []operand{in(places), f(single), f(octal)}, errnos(unix.EEXIST), Unset, nil},
	{unix.SYS_MKNODAT, "mknodat", []operand{in(places), f(single), f(octal), f(number)}, errnos(unix.EEXIST), Unset, nil},
	{unix.SYS_SYMLINKAT, "symlinkat", []operand{f(text), in(places), f(single)}, errnos(unix.EEXIST), Unset, nil},
	{unix.SYS_UNLINKAT, "unlinkat", []operand{in(places), f(single), f(null)}, errnos(unix.ENOENT), Unset, nil},
	{unix.SYS_FCHOWNAT, "fchownat", []operand{in(only(Inside, Created, Terminal)), f(empty), f(number), f(number), f(number)}, nil, Unset, checkChown},
	{unix.SYS_FCHOWN, "fchown", []operand{f(number), f(number), f(number)}, errnos(unix.EINVAL, unix.EPERM, unix.EROFS), Unset, checkStdio},
	{unix.SYS_STATX, "statx", []operand{in(inodes), f(empty), f(number), f(number), f(buffer)}, nil, Unset, nil},
	{unix.SYS_FSTATFS, "fstatfs", []operand{in(inodes), f(buffer)}, nil, Unset, nil},
	{
		unix.SYS_OPEN_TREE, "open_tree",
		[]operand{{form: fd, classes: only(HostDir, HostNode, HostSource, Mount, Proc, Root, Inside, Terminal)}, f(text), set(treeNames)},
		nil, Source, checkOpenTree,
	},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", []operand{{form: dirfd, classes: mounts}, f(text), set(treeNames), f(mountAttr), f(number)}, nil, Unset, checkSetAttr},
	{unix.SYS_MOVE_MOUNT, "move_mount", []operand{in(mounts), f(empty), in(places | only(HostDir, Created)), f(empty), all(moveNames)}, nil, Unset, checkMove},
	{unix.SYS_FSOPEN, "fsopen", []operand{f(text), all(fsopenNames)}, nil, Context, checkBeforePivot},
	{unix.SYS_FSCONFIG, "fsconfig", []operand{in(only(Context)), {form: number, names: fsconfigNames}, f(text), f(text), f(null)}, errnos(unix.EINVAL), Unset, checkFsconfig},
	{unix.SYS_FSMOUNT, "fsmount", []operand{in(only(Context)), all(fsmountNames), set(attrNames)}, nil, Mount, nil},
	{unix.SYS_PIVOT_ROOT, "pivot_root", []operand{f(text), f(text)}, nil, Unset, checkPivot},
	{unix.SYS_UMOUNT2, "umount2", []operand{f(text), all(umountNames)}, errnos(unix.EINVAL), Unset, checkUmount},
	{unix.SYS_CHROOT, "chroot", []operand{f(text)}, nil, Unset, checkPivot},
	{unix.SYS_FCHDIR, "fchdir", []operand{in(only(Root, Inside, OwnFDs))}, errnos(unix.EACCES), Unset, checkChdir},
	{unix.SYS_GETCWD, "getcwd", []operand{f(buffer), f(number)}, nil, Unset, nil},
	{unix.SYS_CLOSE, "close", []operand{in(^only(Unset, Number, Maybe))}, nil, Unset, nil},
	{unix.SYS_CLOSE_RANGE, "close_range", []operand{f(number), f(number), set(closeRangeNames)}, nil, Unset, checkCloseRange},
	{unix.SYS_WRITE, "write", []operand{in(only(ProcFile, Joinable)), f(blob), f(number)}, errnos(unix.EACCES, unix.EPERM), Unset, nil},
	{unix.SYS_SETNS, "setns", []operand{in(only(Namespace)), set(cloneNames)}, nil, Unset, checkJoin},
	{unix.SYS_UNSHARE, "unshare", []operand{set(cloneNames)}, nil, Unset, checkEnterUser},
	{unix.SYS_MEMBARRIER, "membarrier", []operand{{form: number, names: membarrierNames}, f(null), f(null)}, errnos(unix.ENOSYS, unix.EINVAL, unix.EPERM), Unset, nil},
	{unix.SYS_SETSID, "setsid", nil, nil, Unset, nil},
	{unix.SYS_UMASK, "umask", []operand{f(octal)}, nil, Unset, nil},
	{unix.SYS_PRCTL, "prctl", []operand{{form: number, names: prctlNames}, f(number), f(number), f(number), f(number)}, errnos(unix.EPERM, unix.EINVAL), Unset, checkPrctl},
	{unix.SYS_SETHOSTNAME, "sethostname", []operand{f(blob), f(number)}, nil, Unset, nil},
	{unix.SYS_SETDOMAINNAME, "setdomainname", []operand{f(blob), f(number)}, nil, Unset, nil},
	{unix.SYS_SETGROUPS, "setgroups", []operand{f(number), f(buffer)}, errnos(unix.EPERM), Unset, checkGroups},
	{unix.SYS_SETRESGID, "setresgid", []operand{f(number), f(number), f(number)}, nil, Unset, checkIDs},
	{unix.SYS_SETRESUID, "setresuid", []operand{f(number), f(number), f(number)}, nil, Unset, checkIDs},
	{unix.SYS_CAPSET, "capset", []operand{f(buffer), f(buffer)}, nil, Unset, nil},
	{unix.SYS_PRLIMIT64, "prlimit64", []operand{f(null), {form: number, names: rlimitNames}, f(limit), f(null)}, nil, Unset, nil},
	{unix.SYS_SCHED_SETAFFINITY, "sched_setaffinity", []operand{f(null), f(number), f(buffer)}, errnos(unix.EPERM, unix.ENOSYS), Unset, checkAffinity},
	{unix.SYS_SCHED_SETATTR, "sched_setattr", []operand{f(null), f(buffer), f(null)}, nil, Unset, checkScheduler},
	{unix.SYS_IOPRIO_SET, "ioprio_set", []operand{{form: number, names: ioWhoNames}, f(null), f(number)}, nil, Unset, checkIOPriority},
	{unix.SYS_SET_MEMPOLICY, "set_mempolicy", []operand{f(number), f(either), f(number)}, nil, Unset, checkMemoryPolicy},
	{unix.SYS_PERSONALITY, "personality", []operand{{form: number, names: personalityNames}}, nil, Unset, nil},
	{unix.SYS_KEYCTL, "keyctl", []operand{{form: number, names: keyctlNames}, f(text)}, errnos(unix.ENOSYS), Unset, nil},
	{unix.SYS_IOCTL, "ioctl", []operand{in(only(PtyMaster, Terminal)), {form: number, names: ioctlNames}, f(either)}, nil, Terminal, checkIoctl},
	{unix.SYS_DUP3, "dup3", []operand{in(only(Terminal, Created, Inside)), f(number), f(null)}, nil, Unset, checkStdio},
	{unix.SYS_SENDMSG, "sendmsg", []operand{in(only(Socket)), f(buffer), f(number)}, nil, Unset, nil},
	{unix.SYS_ACCEPT4, "accept4", []operand{in(only(Listener)), f(null), f(null), all(acceptNames)}, nil, Socket, nil},
	{
		unix.SYS_FACCESSAT2, "faccessat2",
		[]operand{{form: dirfd}, f(text), f(number), f(number)},
		errnos(unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG), Unset, checkAfterPivot,
	},
	{unix.SYS_SECCOMP, "seccomp", []operand{f(number), set(seccompNames), f(buffer)}, nil, SeccompFd, checkSeccomp},
	{unix.SYS_EXECVE, "execve", []operand{f(text), f(vector), f(vector)}, errnos(unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG), Unset, nil},
}

// ruleOf finds the rule of a system call number.
func ruleOf(nr uint16) *rule {
	if int(nr) < len(ruleIndex) {
		if i := ruleIndex[nr]; i > 0 {
			return &rules[i-1]
		}
	}
	return nil
}

// ruleIndex is the place of a rule by system call number, plus one.
var ruleIndex = func() (index [calls]uint8) {
	for i, r := range rules {
		index[r.nr] = uint8(i + 1)
	}
	return index
}()

// mandatory are the calls that no jump may lead past: without one of them the container would be another, or open.
func mandatory(nr uint16) bool {
	switch nr {
	case unix.SYS_PIVOT_ROOT, unix.SYS_UMOUNT2, unix.SYS_CHROOT, unix.SYS_FCHDIR, unix.SYS_CLOSE_RANGE, unix.SYS_SETNS, unix.SYS_UNSHARE,
		unix.SYS_SETSID, unix.SYS_UMASK, unix.SYS_PRLIMIT64, unix.SYS_SETGROUPS, unix.SYS_SETRESGID, unix.SYS_SETRESUID, unix.SYS_CAPSET, unix.SYS_SECCOMP,
		unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETATTR, unix.SYS_IOPRIO_SET, unix.SYS_SET_MEMPOLICY, unix.SYS_PERSONALITY:
		return true
	}
	return false
}
