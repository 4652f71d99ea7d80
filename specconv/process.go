package specconv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// startSession makes the process its own session. A further process of a container enters the pid namespace here and not
// before: its members find nothing of the host.
func (c *compiler) startSession() {
	if c.exec && c.has(specs.PIDNamespace) {
		c.b.Step(StepEnterPids)
		c.enterPidNamespace(0)
	}
	c.b.Step("start a session")
	c.b.Setsid()
	if !c.host.NoNewKeyring {
		// EDQUOT: kernel.keys.maxkeys and maxbytes count keyrings per user.
		c.b.Step("join a new session keyring (the option --no-new-keyring leaves it out)")
		c.b.On(nil, unix.ENOSYS)
		c.b.JoinSessionKeyring("_ses." + c.host.ID)
	}
	c.takeTerminal()
}

// takeTerminal makes the pty the controlling terminal and the standard streams.
func (c *compiler) takeTerminal() {
	user := c.spec.Process.User
	if c.tty == plan.NoReg {
		for fd, chown := range c.host.ChownStdio {
			if chown {
				c.at("give descriptor "+strconv.Itoa(fd)+" to the user", "process", "user")
				c.b.On(nil, unix.EINVAL, unix.EPERM, unix.EROFS) // a stream that can't change hands still works
				c.b.ChownStdio(fd, user.UID, user.GID)
			}
		}
		return
	}
	c.at("make the terminal the controlling one", "process", "terminal")
	c.b.Ioctl(c.tty, unix.TIOCSCTTY, 0)
	if user.UID != 0 {
		c.b.Chown(c.tty, user.UID, 1<<32-1) // the group is that of the devpts mount
	}
	for fd := range 3 {
		c.b.Dup(c.tty, fd)
	}
	c.b.Close(c.tty)
}

// setLabels writes what the kernel takes through procfs about the process itself.
func (c *compiler) setLabels() {
	if c.labelled {
		return
	}
	p := c.spec.Process
	if p.OOMScoreAdj != nil {
		c.at("set oom_score_adj to "+strconv.Itoa(*p.OOMScoreAdj), "process", "oomScoreAdj")
		c.writeProc("self/oom_score_adj", strconv.Itoa(*p.OOMScoreAdj))
	}
	if p.SelinuxLabel != "" {
		c.at("set the SELinux label "+strconv.Quote(p.SelinuxLabel), "process", "selinuxLabel")
		c.writeProc("thread-self/attr/exec", p.SelinuxLabel)
		if !c.host.NoNewKeyring {
			// Or the session keyring would have ours. execve takes it back; a policy may forbid it.
			keys := c.b.Open("", c.proc, "thread-self/attr/keycreate", unix.O_WRONLY, plan.Beneath)
			c.b.On(nil, unix.EACCES)
			c.b.Write(keys, []byte(p.SelinuxLabel))
			c.b.Close(keys)
		}
	}
	if p.ApparmorProfile != "" {
		c.at("set the AppArmor profile "+strconv.Quote(p.ApparmorProfile), "process", "apparmorProfile")
		c.writeProc("thread-self/attr/apparmor/exec", "exec "+p.ApparmorProfile)
	}
}

// writeProc writes a file of the plan's own procfs.
func (c *compiler) writeProc(name, value string) {
	file := c.b.Open("", c.proc, name, unix.O_WRONLY, plan.Beneath)
	c.b.Write(file, []byte(value))
	c.b.Close(file)
}

// rlimits are the resources of getrlimit(2).
var rlimits = codes{
	{"RLIMIT_AS", unix.RLIMIT_AS},
	{"RLIMIT_CORE", unix.RLIMIT_CORE},
	{"RLIMIT_CPU", unix.RLIMIT_CPU},
	{"RLIMIT_DATA", unix.RLIMIT_DATA},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", unix.RLIMIT_NICE},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
	{"RLIMIT_RSS", unix.RLIMIT_RSS},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", unix.RLIMIT_STACK},
}

// Rlimit is the number of a limit for prlimit(2), -1 if the name is unknown.
func Rlimit(name string) int {
	if n, ok := rlimits.number(name); ok {
		return int(n)
	}
	return -1
}

// enoughFiles is how many descriptors the rest of the plan can need.
const enoughFiles = 64

func (c *compiler) setRlimits() {
	if !c.limited {
		c.rlimits(false)
	}
}

// rlimits sets the limits while the process may still raise them. An RLIMIT_NOFILE that is too low for what the plan still
// opens is set to its value only at the end: lowering is always permitted.
func (c *compiler) rlimits(late bool) {
	for i, l := range c.spec.Process.Rlimits {
		number, _ := rlimits.number(l.Type)
		resource := int(number)
		c.at("set "+l.Type, "process", "rlimits", i)
		low := resource == unix.RLIMIT_NOFILE && l.Soft < enoughFiles
		switch {
		case late && low:
			c.b.SetRlimit(resource, l.Soft, l.Hard)
		case !late && low:
			c.b.SetRlimit(resource, enoughFiles, max(l.Hard, enoughFiles))
		case !late:
			c.b.SetRlimit(resource, l.Soft, l.Hard)
		}
	}
}

// dropPrivileges sets the credentials: bounding set, groups, ids, capabilities, in the order in which each step is still
// permitted and none undoes another (CVE-2022-29162).
func (c *compiler) dropPrivileges() {
	p := c.spec.Process
	sets := capabilities(p, c.host.Capabilities)
	c.dropBounding(sets.bounding)
	c.awaitFreed()
	c.at("set the user to "+strconv.FormatUint(uint64(p.User.UID), 10)+":"+strconv.FormatUint(uint64(p.User.GID), 10), "process", "user")
	if p.User.UID != 0 {
		c.b.Prctl(unix.PR_SET_KEEPCAPS, 1)
	}
	c.b.SetGID(p.User.GID)
	c.setGroups(p)
	c.b.SetUID(p.User.UID)
	if p.User.UID != 0 {
		c.b.Prctl(unix.PR_SET_KEEPCAPS, 0)
	}
	c.setCapabilities(sets)
	c.changeDirectoryAsUser()
	if p.NoNewPrivileges {
		c.at("set no_new_privs", "process", "noNewPrivileges")
		c.b.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	c.b.At("", "stay invisible to tracers") // the change of ids may have undone it (fs.suid_dumpable)
	c.hide()
	umask := uint32(0o022)
	if p.User.Umask != nil {
		umask = *p.User.Umask
	}
	c.at("set the umask", "process", "user", "umask")
	c.b.Umask(umask)
}

// setGroups sets the supplementary groups, unless an annotation keeps those of the caller.
func (c *compiler) setGroups(p *specs.Process) {
	if KeepsGroups(c.spec) {
		c.b.KeepGroups()
		return
	}
	if c.host.NoSetgroups && len(p.User.AdditionalGids) == 0 {
		c.b.On(nil, unix.EPERM)
	}
	c.b.SetGroups(p.User.AdditionalGids)
}

// dropBounding drops what the container may never gain. Capabilities that are newer than Linux 5.14 are dropped until the
// kernel says that there is none of that number.
func (c *compiler) dropBounding(keep uint64) {
	c.at("set the bounding set", "process", "capabilities", "bounding")
	end := c.b.Label()
	for n := uint64(0); n < 64; n++ {
		if keep&(1<<n) != 0 {
			continue
		}
		if n > unix.CAP_CHECKPOINT_RESTORE {
			c.b.On(end, unix.EINVAL)
		}
		c.b.Prctl(unix.PR_CAPBSET_DROP, n)
	}
	c.b.Bind(end)
}

// lowMemory is the memory limit in bytes below which it counts what the kernel has yet to free.
const lowMemory = 1 << 20

// awaitFreed waits until the kernel has freed what the start has used up: open files (until Linux 6.7) and credentials, one set
// for each capability that was dropped. They are charged to the cgroup until an RCU grace period is over, 20 KiB in the default
// configuration, so that a limit just above what the program needs would be too low or not by chance (docs/performance.md).
func (c *compiler) awaitFreed() {
	r := c.spec.Linux.Resources
	if c.exec || r == nil || r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit <= 0 || *r.Memory.Limit >= lowMemory {
		return
	}
	c.at("wait for the kernel to free what is not in use any more", "linux", "resources", "memory", "limit")
	c.b.Membarrier()
}

// setCapabilities sets permitted, effective and inheritable, then ambient. Without no_new_privs the filter needs
// CAP_SYS_ADMIN, which then goes last.
func (c *compiler) setCapabilities(s capabilitySets) {
	c.at("set capabilities", "process", "capabilities")
	if c.filterNeedsAdmin() {
		const admin = 1 << unix.CAP_SYS_ADMIN
		c.b.CapSet(s.effective|admin, s.permitted|admin, s.inheritable)
	} else {
		c.b.CapSet(s.effective, s.permitted, s.inheritable)
	}
	c.at("set ambient capabilities", "process", "capabilities", "ambient")
	c.b.Ambient(unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	for n := uint64(0); n < 64; n++ {
		if s.ambient&(1<<n) != 0 {
			c.b.On(nil, unix.EPERM, unix.EINVAL) // the caller has SECBIT_NO_CAP_AMBIENT_RAISE, or the kernel is older than the capability
			c.b.Ambient(unix.PR_CAP_AMBIENT_RAISE, n)
		}
	}
}

func (c *compiler) filtered() bool { return c.host.FilterPending || len(c.host.Filter) > 0 }

// filterNeedsAdmin says whether the filter can only be loaded with CAP_SYS_ADMIN, and the process is not to have it.
func (c *compiler) filterNeedsAdmin() bool {
	p := c.spec.Process
	return c.filtered() && !p.NoNewPrivileges && capabilities(p, c.host.Capabilities).effective&(1<<unix.CAP_SYS_ADMIN) == 0
}

// waitForStart is where a created container waits: everything but its filter and its program is in place.
func (c *compiler) waitForStart() {
	c.checkProgram()
	c.learnPid()
	if c.filtered() {
		c.fetchFilter()
	}
	kept := 1
	if c.host.StartGate {
		kept = 2
	}
	c.b.At("", "close everything of the host")
	c.b.CloseAllBut(kept)
	c.b.Gate(GateCreated, c.scratch, scratchSize)
	if c.host.StartGate {
		c.b.Step("wait for start")
		c.socket = c.b.Accept(c.listener)
		c.b.ReportTo(c.socket)
	}
	if h := c.spec.Hooks; h != nil && len(h.StartContainer) > 0 {
		c.at(GateStart, "hooks", "startContainer")
		c.b.Gate(GateStart, c.scratch, scratchSize)
	}
}

// listenPid begins the variable that names the process which the descriptors of LISTEN_FDS are for (sd_listen_fds(3)).
const listenPid = "LISTEN_PID="

// learnPid has the parent write the variable: nobody knows the pid before the process is in its pid namespace.
func (c *compiler) learnPid() {
	if !c.host.ListenPid {
		return
	}
	const size = len(listenPid) + len("4194304") // the kernel's PID_MAX_LIMIT
	variable := make([]byte, size+1)             // with a NUL behind every answer
	copy(variable, listenPid)
	at := c.b.Bytes(variable)
	c.b.At("", GatePid)
	c.b.Gate(GatePid, at, size)
	c.late = append(c.late, at)
}

// PidAnswer is the answer to GatePid.
func PidAnswer(pid int) []byte { return append([]byte(listenPid), strconv.Itoa(pid)...) }

// fetchFilter puts the filter into the data, or gets it at a gate when it is still being compiled.
func (c *compiler) fetchFilter() {
	if !c.host.FilterPending {
		c.filter = c.b.FilterProgram(c.host.Filter)
		return
	}
	c.filter = c.b.FilterProgram(nil)
	c.at(GateFilter, "linux", "seccomp")
	c.b.Gate(GateFilter, c.filter, 16+8*unix.BPF_MAXINSNS)
}

func (c *compiler) program() string {
	if c.host.Program != "" {
		return c.host.Program
	}
	return c.spec.Process.Args[0]
}

// programs are the paths that args[0] can mean: itself if it has a slash, else one for each entry of the container's PATH.
func (c *compiler) programs() (list []string) {
	name := c.program()
	if name == "" || strings.Contains(name, "/") {
		return []string{name} // no entry of PATH is a program because its name is empty
	}
	for _, entry := range c.host.Env {
		if dirs, ok := strings.CutPrefix(entry, "PATH="); ok {
			for dir := range strings.SplitSeq(dirs, ":") {
				if dir == "" {
					continue // would be the working directory, which the image controls
				}
				list = append(list, strings.TrimSuffix(dir, "/")+"/"+name)
			}
		}
	}
	if list == nil && c.err == nil {
		c.err = fmt.Errorf("/process/args/0: exec: %q: executable file not found in $PATH", name) // the words of exec.LookPath
	}
	return list
}

// checkProgram refuses a missing program while the container is being created, with the credentials that it will have.
// The words are those of Go's exec.LookPath, which engines turn into exit codes 126 and 127.
func (c *compiler) checkProgram() {
	name := c.program()
	found := c.b.Label()
	if strings.Contains(name, "/") {
		c.at("exec: "+strconv.Quote(name)+": stat "+name, "process", "args", 0)
		c.b.Access(name)
		return
	}
	for _, p := range c.programs() {
		c.at("look for "+strconv.Quote(p), "process", "args", 0)
		next := c.b.Label()
		c.b.On(next, unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG)
		c.b.Access(p)
		c.b.Skip(found)
		c.b.Bind(next)
	}
	c.at("exec: "+strconv.Quote(name)+": executable file not found in $PATH", "process", "args", 0)
	c.b.Fail(unix.ENOENT)
	c.b.Bind(found)
}

// sendable refuses a filter under which the process could not send its listener.
func (c *compiler) sendable() {
	for i, rule := range c.spec.Linux.Seccomp.Syscalls {
		if j := slices.Index(rule.Names, "sendmsg"); j >= 0 && rule.Action == specs.ActNotify && c.err == nil {
			c.err = fmt.Errorf("%s: SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall without CAP_SYS_PTRACE: the process itself has to send the listener",
				at("linux", "seccomp", "syscalls", i, "names", j))
		}
	}
}

// execute loads the filter as late as can be and runs the program.
func (c *compiler) execute() {
	argv, envp := c.b.Argv(c.spec.Process.Args), c.b.Argv(c.host.Env, c.late...)
	c.rlimits(true)
	if c.filtered() {
		c.at("load the seccomp filter", "linux", "seccomp")
		if listener := c.b.Seccomp(c.host.FilterFlags, c.filter); listener != plan.NoReg {
			c.at(GateListener, "linux", "seccomp", "listenerPath")
			if c.host.SendListener {
				c.sendable()
				c.b.SendFD(c.socket, listener)
			}
			c.b.GateFor(GateListener, listener, c.scratch, scratchSize)
			c.b.Close(listener) // or the filter would go on waiting for an agent that has died
		}
		if c.filterNeedsAdmin() {
			s := capabilities(c.spec.Process, c.host.Capabilities)
			c.at("set capabilities", "process", "capabilities")
			c.b.CapSet(s.effective, s.permitted, s.inheritable)
		}
	}
	programs := c.programs()
	for i, p := range programs {
		c.at("exec "+p, "process", "args", 0)
		if i < len(programs)-1 {
			c.b.On(nil, unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG)
		}
		c.b.Exec(p, argv, envp)
	}
}
