package plan

import "golang.org/x/sys/unix"

// handing is the typical plan's gate that tells the number of the filter's listener.
const handing = 5

var brokenOrder = []brokenPlan{
	{"V4", "a descriptor without O_CLOEXEC", "mounted", func(c *typical) {
		how := c.words(unix.O_PATH, 0, InRoot)
		c.callInto(c.reg(""), unix.SYS_OPENAT2, Val(c.root), Ptr(c.String("x")), Ptr(how), Imm(24))
	}, nil, "without O_CLOEXEC"},
	{"V4", "a tree without OPEN_TREE_CLOEXEC", "", nil, func(p *Plan) { nth(p, unix.SYS_OPEN_TREE, 0).Args[2] = Imm(unix.OPEN_TREE_CLONE) }, "without OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"},
	{"V4", "a file system without FSOPEN_CLOEXEC", "", nil, func(p *Plan) { nth(p, unix.SYS_FSOPEN, 0).Args[1] = Imm(0) }, "fsopen: operand 1"},
	{"V4", "a mount without FSMOUNT_CLOEXEC", "", nil, func(p *Plan) { nth(p, unix.SYS_FSMOUNT, 0).Args[1] = Imm(0) }, "fsmount: operand 1"},
	{"V4", "a connection without SOCK_CLOEXEC", "", nil, func(p *Plan) { nth(p, unix.SYS_ACCEPT4, 0).Args[3] = Imm(0) }, "accept4: operand 3"},
	{"V4", "a terminal without O_CLOEXEC", "", nil, func(p *Plan) {
		for i := range p.Ops {
			if op := &p.Ops[i]; op.Nr == unix.SYS_IOCTL && op.Args[1] == Imm(uint64(unix.TIOCGPTPEER)) {
				op.Args[2] = Imm(unix.O_RDWR)
			}
		}
	}, "a pty's master and O_CLOEXEC"},
	{"V4", "inherited descriptors that stay", "", nil, func(p *Plan) { remove(p, unix.SYS_CLOSE_RANGE, 0) }, "does not mark the inherited descriptors close-on-exec"},
	{"V4", "inherited descriptors that stay for a while", "first", func(c *typical) { c.Umask(0) }, nil, "in the first op"},
	{"V4", "some inherited descriptors that stay", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE_RANGE, 0).Args[1] = Imm(100) }, "all inherited descriptors"},
	{"V4", "descriptors of the host that stay open", "", nil, func(p *Plan) { remove(p, unix.SYS_CLOSE_RANGE, 1) }, "descriptors of the host are not closed"},
	{"V4", "a close of too little", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE_RANGE, 1).Args[1] = Imm(10) }, "all descriptors from there on"},
	{"V4", "a close of the socket", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE_RANGE, 1).Args[0] = Imm(3) }, "the socket to the parent would be closed"},
	{"V4", "a descriptor after they were closed", "waiting", func(c *typical) { c.callReg("", unix.SYS_FSOPEN, Ptr(c.String("tmpfs")), Imm(unix.FSOPEN_CLOEXEC)) }, nil, "after the root was changed"},
	{"V4", "a descriptor that was closed", "waiting", func(c *typical) { c.Close(c.root) }, nil, "a unset has no place here"},
	{"V4", "a dup to a preserved descriptor", "inside", func(c *typical) { c.Dup(c.tty, 3) }, nil, "not one of the three standard ones"},
	{"V4", "a dup that anybody opened", "mounted", func(c *typical) { c.Dup(c.Open("", c.root, "x", unix.O_PATH, InRoot), 0) }, nil, "a inside has no place here"},
	{"V4", "a descriptor of the host to the parent of the container", "mounted", func(c *typical) { c.call(unix.SYS_SENDMSG, Val(c.root), Ptr(c.message), Imm(0)) }, nil, "sendmsg: operand 0"},
	{"V7", "attributes of an attached mount", "mounted", func(c *typical) { c.SetAttr(c.dev, Attr{Set: unix.MOUNT_ATTR_NOSUID}) }, nil, "it can only become read-only"},
	{"V7", "an attached mount that becomes writable", "mounted", func(c *typical) { c.SetAttr(c.dev, Attr{Clear: unix.MOUNT_ATTR_RDONLY}) }, nil, "it can only become read-only"},
	{"V7", "the propagation of an attached mount", "mounted", func(c *typical) { c.SetAttr(c.dev, Attr{Propagation: unix.MS_SHARED}) }, nil, "it can only become read-only"},
	{"V7", "attributes by name", "begin", func(c *typical) { c.Isolate() }, func(p *Plan) { nth(p, unix.SYS_MOUNT_SETATTR, 1).Args[1] = nth(p, unix.SYS_OPEN_TREE, 0).Args[1] }, "by name only the whole tree"},
	{"V7", "attributes of an id map", "", nil, func(p *Plan) {
		p.Data[nth(p, unix.SYS_MOUNT_SETATTR, 1).Args[3].Value+2] |= unix.MOUNT_ATTR_IDMAP >> 16
	}, "an attribute that is not permitted"},
	{"V7", "a mount that is attached twice", "mounted", func(c *typical) { c.MoveMount(c.dev, c.target("x")) }, nil, "a mount that is attached already"},
	{"V7", "a mount on a detached one", "captured", func(c *typical) { c.MoveMount(c.source, c.root) }, nil, "a place on a mount that is not attached itself"},
	{"V9", "a mount after a mask", "restricted", func(c *typical) { c.newMount("tmpfs") }, nil, "a mount after something was masked"},
	{"V9", "a copy of a host source after a mask", "begin", func(c *typical) { c.CloneTree("", c.Source("/srv/late"), true) }, func(p *Plan) {
		late := nth(p, unix.SYS_OPEN_TREE, 0).Result
		nth(p, unix.SYS_MOVE_MOUNT, 6).Args[0] = Val(late)
	}, "a mount after something was masked"},
	{"V9", "a mount after the root was changed", "inside", func(c *typical) { c.CloneTree("", c.root, true) }, nil, "after the root was changed"},
	{"V9", "a mount that is attached after the root was changed", "restricted", func(c *typical) { c.CloneTree("", c.dev, true) }, func(p *Plan) {
		at, chdir := indexOf(p, Call, unix.SYS_OPEN_TREE, 4), nth(p, unix.SYS_SETSID, 0)
		*chdir = *nth(p, unix.SYS_MOVE_MOUNT, 5)
		chdir.Args[0] = Val(p.Ops[at].Result)
		chdir.Args[2] = Val(nth(p, unix.SYS_FSMOUNT, 0).Result)
	}, "after the root was changed"},
	{"V9", "mounts that propagate to the host", "", nil, func(p *Plan) { remove(p, unix.SYS_MOUNT_SETATTR, 0) }, "still propagate to the host"},
	{"V9", "an old root that stays", "", nil, func(p *Plan) { remove(p, unix.SYS_UMOUNT2, 0) }, "or the old root stays"},
	{"V9", "an old root that stays for a while", "", nil, func(p *Plan) { swap(p, unix.SYS_UMOUNT2, 0) }, "or the old root stays"},
	{"V9", "a root that is not the root mount", "", nil, func(p *Plan) { remove(p, unix.SYS_FCHDIR, 0) }, "the working directory is not the root mount"},
	{"V9", "an unmount that may fail", "", nil, func(p *Plan) { nth(p, unix.SYS_UMOUNT2, 0).Tolerate[0] = uint8(unix.EINVAL) }, "the unmount may fail"},
	{"V9", "an unmount that waits", "", nil, func(p *Plan) { nth(p, unix.SYS_UMOUNT2, 0).Args[1] = Imm(0) }, "umount2: operand 1"},
	{"V9", "a write outside of procfs", "mounted", func(c *typical) {
		c.Write(c.Open("", c.root, "x", unix.O_PATH, InRoot), []byte("1"))
	}, nil, "write: operand 0: a inside has no place here"},
	{"V9", "a filter before other calls", "dropped", func(c *typical) {
		c.Seccomp(0, c.FilterProgram([]byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}))
	}, nil, "after the filter something else"},
	{"V9", "a gate after the filter", "filtered", func(c *typical) { c.Gate("late", c.scratch, 1) }, nil, "after the filter something else"},
	{"V9", "a listener that nobody gets", "", nil, func(p *Plan) {
		nthKind(p, Gate, handing).Args[2] = Arg{}
	}, "a listener that is not handed over"},
	{"V9", "a listener that stays open", "", nil, func(p *Plan) {
		p.Ops[indexOf(p, Gate, 0, handing)+1] = Op{Kind: Call, Nr: unix.SYS_UMASK, Result: NoReg}
	}, "a listener that is not handed over and closed"},
	{"V9", "another descriptor that is closed in place of the listener", "", nil, func(p *Plan) {
		p.Ops[indexOf(p, Gate, 0, handing)+1].Args[0] = Val(0)
	}, "a listener that is not handed over and closed"},
	{"V9", "a call before the listener is handed over", "", nil, func(p *Plan) {
		at := indexOf(p, Gate, 0, handing)
		p.Ops[at], p.Ops[at+1], p.Ops[at+2] = p.Ops[at+2], p.Ops[at], p.Ops[at+1]
	}, "a listener that is not handed over and closed"},
	{"V9", "another descriptor that is sent in place of the listener", "handing", func(c *typical) { c.SendFD(c.socket, c.socket) }, nil, "a listener that is not handed over and closed"},
	{"V9", "a listener that is sent twice", "handing", func(c *typical) {
		c.SendFD(c.socket, c.seccomp)
		c.SendFD(c.socket, c.seccomp)
	}, nil, "a listener that is not handed over and closed"},
	{"V9", "a listener that is sent and not waited for", "handing", func(c *typical) { c.SendFD(c.socket, c.seccomp) }, func(p *Plan) {
		at := indexOf(p, Gate, 0, handing)
		p.Ops = append(p.Ops[:at], p.Ops[at+1:]...)
	}, "a listener that is not handed over and closed"},
	{"V9", "a second gate after the filter", "served", func(c *typical) { c.Gate("late", c.scratch, 1) }, nil, "after the filter something else"},
	{"V9", "a listener without a register", "", nil, func(p *Plan) { nth(p, unix.SYS_SECCOMP, 0).Result = NoReg }, "a filter with a listener and a register"},
	{"V9", "a register without a listener", "", nil, func(p *Plan) { nth(p, unix.SYS_SECCOMP, 0).Args[1] = Imm(0) }, "a filter with a listener and a register"},
	{"V9", "a gate that tells the number of another descriptor", "", nil, func(p *Plan) {
		nthKind(p, Gate, handing).Args[2] = Val(0)
	}, "not a seccomp listener"},
	{"V9", "a gate that tells a number", "", nil, func(p *Plan) { nthKind(p, Gate, handing).Args[2] = Imm(7) }, "not a seccomp listener"},
	{"V9", "a filter of nothing", "", nil, func(p *Plan) {
		prog := nth(p, unix.SYS_SECCOMP, 0).Args[2].Value
		p.Data[prog], p.Data[prog+1] = 0, 0
	}, "not a filter"},
	{"V9", "a filter beyond the data", "", nil, func(p *Plan) {
		prog := nth(p, unix.SYS_SECCOMP, 0).Args[2].Value
		p.Data[prog+1] = 0x10
	}, "not a filter"},
	{"V9", "a filter that something else writes", "waiting", func(c *typical) { c.Gate("other", c.prog+8, 8) }, nil, "a filter that the plan writes"},
	{"V10", "no groups", "", nil, func(p *Plan) { remove(p, unix.SYS_SETGROUPS, 0) }, "setgroups is missing"},
	{"V10", "groups that are set and kept", "dropped", func(c *typical) { c.KeepGroups() }, nil, "groups that are set and are to be kept"},
	{"V10", "the user before the group, with groups that are kept", "dropped", func(c *typical) { c.KeepGroups() }, func(p *Plan) {
		remove(p, unix.SYS_SETGROUPS, 0)
		swap(p, unix.SYS_SETRESGID, 0)
	}, "setresuid before setresgid"},
	{"V10", "no group", "", nil, func(p *Plan) { remove(p, unix.SYS_SETRESGID, 0) }, "setresgid is missing"},
	{"V10", "no user", "", nil, func(p *Plan) { remove(p, unix.SYS_SETRESUID, 0) }, "setresuid is missing"},
	{"V10", "no capabilities", "", nil, func(p *Plan) { remove(p, unix.SYS_CAPSET, 0); remove(p, unix.SYS_CAPSET, 0) }, "capset is missing"},
	{"V10", "the user before the groups", "", nil, func(p *Plan) { swap(p, unix.SYS_SETGROUPS, 0) }, "setresuid before setgroups"},
	{"V10", "the capabilities before the user", "", nil, func(p *Plan) { swap(p, unix.SYS_SETRESUID, 0) }, "capset before setresuid"},
	{"V10", "two users", "dropped", func(c *typical) { c.SetUID(0) }, nil, "setresuid: twice"},
	{"V10", "three users in a user namespace", "dropped", func(c *typical) { c.SetUID(0); c.SetUID(1) }, func(p *Plan) { p.InUser = true }, "setresuid: twice"},
	{"V5", "a descriptor of the host after the first mount", "mounted", func(c *typical) { c.GateFD("late", c.scratch, 1, c.reg(""), 0) }, nil, "that comes too late"},
	{"V5", "a descriptor of the host that replaces another", "begin", func(c *typical) { c.GateFD("twice", c.scratch, 1, c.ns, 0) }, nil, "a register in use"},
	{"V5", "a descriptor of an unknown kind", "begin", func(c *typical) { c.GateFD("kind", c.scratch, 1, c.reg(""), unix.O_RDWR) }, nil, "of an unknown kind"},
	{"V5", "a gate with an operand too many", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Args[3] = Imm(1) }, "a gate without a descriptor"},
	{"V10", "a second user namespace", "begin", func(c *typical) { c.Unshare(unix.CLONE_NEWUSER); c.Unshare(unix.CLONE_NEWUSER) }, nil, "a second user namespace"},
	{"V10", "a user namespace in the one that it was born in", "begin", func(c *typical) { c.Unshare(unix.CLONE_NEWUSER) }, func(p *Plan) { p.InUser = true }, "a second user namespace"},
	{"V10", "groups that may stay", "", nil, func(p *Plan) { nth(p, unix.SYS_SETGROUPS, 0).Tolerate[0] = uint8(unix.EPERM) }, "groups that may stay unset"},
	{"V9", "a procfs of the host that is not proven", "begin", func(c *typical) { c.OpenHost("", "/proc", unix.O_DIRECTORY|unix.O_NOFOLLOW) }, nil, "that fstatfs does not prove"},
	{"V9", "something else as the host's procfs", "begin", func(c *typical) { c.OpenHostProc(c.scratch) }, func(p *Plan) {
		nth(p, unix.SYS_OPENAT2, 0).Args[1] = nth(p, unix.SYS_MOUNT_SETATTR, 0).Args[1]
	}, "that fstatfs does not prove"},
	{"V9", "the host's procfs after a mount namespace was joined", "begin", func(c *typical) { c.SetNS(c.ns, unix.CLONE_NEWNS); c.OpenHostProc(c.scratch) }, nil, "after a namespace was joined"},
	{"V9", "a look into the host's procfs", "begin", func(c *typical) {
		c.Open("", c.OpenHostProc(c.scratch), "1/environ", unix.O_RDONLY, Beneath)
	}, nil, "procfs is only written to"},
	{"V9", "a mount on the host's procfs", "begin", func(c *typical) { c.CloneTree("", c.OpenHostProc(c.scratch), false) }, nil, "a host proc has no place here"},
	{"V10", "a saved user that stays", "", nil, func(p *Plan) { nth(p, unix.SYS_SETRESUID, 0).Args[2] = Imm(0) }, "three times the same id"},
	{"V10", "a user that means no change", "", nil, func(p *Plan) {
		for i := range 3 {
			nth(p, unix.SYS_SETRESUID, 0).Args[i] = Imm(uint32(1<<32 - 1))
		}
	}, "three times the same id"},
	{"V10", "the limits of another process", "", nil, func(p *Plan) { nth(p, unix.SYS_PRLIMIT64, 0).Args[0] = Imm(1) }, "prlimit64: operand 0"},
	{"V10", "the CPUs of another process", "", nil, func(p *Plan) { nth(p, unix.SYS_SCHED_SETAFFINITY, 0).Args[0] = Imm(1) }, "sched_setaffinity: operand 0"},
	{"V10", "CPUs that may be refused", "inside", func(c *typical) {
		c.On(nil, unix.EPERM)
		c.SetAffinity([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	}, nil, "CPUs that were asked for may not be refused"},
	{"V10", "CPUs beyond the data", "", nil, func(p *Plan) { nth(p, unix.SYS_SCHED_SETAFFINITY, 0).Args[1] = Imm(1 << 20) }, "sched_setaffinity: operand 2"},
	{"V10", "the scheduler of another process", "", nil, func(p *Plan) { nth(p, unix.SYS_SCHED_SETATTR, 0).Args[0] = Imm(1) }, "sched_setattr: operand 0"},
	{"V10", "a scheduler's flag without a name", "inside", func(c *typical) { c.SetScheduler(unix.SchedAttr{Flags: 1 << 20}) }, nil, "not a struct sched_attr"},
	{"V10", "a scheduling policy without a name", "inside", func(c *typical) { c.SetScheduler(unix.SchedAttr{Policy: unix.SCHED_EXT}) }, nil, "not a struct sched_attr"},
	{"V10", "a struct sched_attr of another size", "", nil, func(p *Plan) { p.Data[nth(p, unix.SYS_SCHED_SETATTR, 0).Args[1].Value] = 48 }, "not a struct sched_attr"},
	{"V10", "a scheduler after the user", "dropped", func(c *typical) { c.SetScheduler(unix.SchedAttr{}) }, nil, "sched_setattr after the user was changed"},
	{"V10", "a personality after the user", "dropped", func(c *typical) { c.SetPersonality(0) }, nil, "personality after the user was changed"},
	{"V10", "groups that are set and set again", "begin", func(c *typical) { c.SetGroups([]uint32{5}) }, nil, "setgroups twice"},
	{"V10", "a keyring after the user", "dropped", func(c *typical) { c.JoinSessionKeyring("_ses") }, nil, "keyctl after the user was changed"},
	{"V10", "memory after the user", "dropped", func(c *typical) { c.SetMemoryPolicy(unix.MPOL_DEFAULT, nil) }, nil, "set_mempolicy after the user was changed"},
	{"V10", "the I/O priority of the caller's group", "begin", func(c *typical) { c.SetIOPriority(IOClassIdle, 0) }, nil, "the process group is still that of the caller"},
	{"V10", "the I/O priority of a user", "", nil, func(p *Plan) { nth(p, unix.SYS_IOPRIO_SET, 0).Args[0] = Imm(3) }, "ioprio_set: operand 0"},
	{"V10", "an I/O class without a name", "inside", func(c *typical) { c.SetIOPriority(4, 0) }, nil, "not a class and a level"},
	{"V10", "an I/O level without meaning", "inside", func(c *typical) { c.SetIOPriority(IOClassIdle, 8) }, nil, "not a class and a level"},
	{"V10", "an I/O priority after the user", "dropped", func(c *typical) { c.SetIOPriority(IOClassIdle, 0) }, nil, "ioprio_set after the user was changed"},
	{"V10", "a memory mode without a name", "inside", func(c *typical) { c.SetMemoryPolicy(unix.MPOL_MAX, nil) }, nil, "a mode or flag that is not permitted"},
	{"V10", "memory nodes beyond the data", "", nil, func(p *Plan) { nth(p, unix.SYS_SET_MEMPOLICY, 0).Args[2] = Imm(1<<20 + 1) }, "not nodes in whole words"},
	{"V10", "memory nodes in half a word", "", nil, func(p *Plan) { nth(p, unix.SYS_SET_MEMPOLICY, 0).Args[2] = Imm(33) }, "not nodes in whole words"},
	{"V10", "memory nodes without a mask", "inside", func(c *typical) { c.SetMemoryPolicy(unix.MPOL_DEFAULT, nil) }, func(p *Plan) {
		nth(p, unix.SYS_SET_MEMPOLICY, 0).Args[2] = Imm(65)
	}, "not nodes in whole words"},
	{"V10", "a personality that turns defences off", "inside", func(c *typical) { c.SetPersonality(0x0040000) }, nil, "is not permitted"},
	{"V10", "a process that can be traced", "begin", func(c *typical) { c.Prctl(unix.PR_SET_DUMPABLE, 1) }, nil, "a process that the container could trace"},
	{"V10", "a process that the change of ids made visible", "", nil, func(p *Plan) {
		at := indexOf(p, Call, unix.SYS_CLOSE_RANGE, 1)
		for at--; p.Ops[at].Nr != unix.SYS_PRCTL; at-- {
		}
		p.Ops[at].Args[0], p.Ops[at].Args[1] = Imm(uint64(unix.PR_SET_KEEPCAPS)), Imm(0)
	}, "visible to tracers"},
	{"V10", "a prctl that has no place in a plan", "", nil, func(p *Plan) { nth(p, unix.SYS_PRCTL, 0).Args[0] = Imm(uint64(unix.PR_SET_MM)) }, "is not permitted"},
	{"V10", "an ioctl that has no place in a plan", "", nil, func(p *Plan) { nth(p, unix.SYS_IOCTL, 0).Args[1] = Imm(uint64(unix.TIOCSTI)) }, "is not permitted"},
	{"V11", "a namespace that sees the process before it is invisible", "visible", func(c *typical) { c.SetNS(c.ns, unix.CLONE_NEWNET) }, nil, "a process that the container could trace"},
	{"V11", "a namespace after the user", "dropped", func(c *typical) { c.SetNS(c.ns, unix.CLONE_NEWNET) }, func(p *Plan) {
		remove(p, unix.SYS_SETNS, 0)
		remove(p, unix.SYS_CLOSE, 1) // of the namespace
	}, "setns after the user was changed"},
	{"V11", "a directory that getcwd does not prove", "", nil, func(p *Plan) { remove(p, unix.SYS_GETCWD, 0) }, "getcwd does not prove (CVE-2024-21626)"},
	{"V11", "a directory that may be another", "", nil, func(p *Plan) { nth(p, unix.SYS_FCHDIR, 1).Tolerate[0] = uint8(unix.EACCES) }, "a change of directory that may fail"},
	{"V11", "a directory that was looked up before the masks", "mounted", func(c *typical) { c.Open("early", c.root, "work", unix.O_PATH|unix.O_DIRECTORY, InRoot) }, func(p *Plan) {
		for i, name := range p.Names {
			if name == "early" {
				nth(p, unix.SYS_FCHDIR, 1).Args[0] = Val(Reg(i))
			}
		}
	}, "looked up before the last mount"},
	{"V12", "no program", "", nil, func(p *Plan) { p.Ops = p.Ops[:len(p.Ops)-2] }, "the last op is not an execve"},
	{"V12", "a program that may fail to start", "", nil, func(p *Plan) { p.Ops[len(p.Ops)-1].Tolerate[0] = uint8(unix.ENOENT) }, "the last op is not an execve that must succeed"},
	{"V12", "another program's arguments", "", nil, func(p *Plan) { nth(p, unix.SYS_EXECVE, 0).Args[1] = nth(p, unix.SYS_EXECVE, 0).Args[2] }, "or another program"},
	{"V12", "something between two programs", "last", func(c *typical) { c.Umask(0) }, nil, "an op between two ways"},
	{"V12", "a program in the middle", "mounted", func(c *typical) {
		c.Exec("/bin/sh", c.Argv([]string{"sh"}), c.Argv(nil))
	}, nil, "an op between two ways"},
}
