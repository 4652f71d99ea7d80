package plan

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// typical is a plan with everything in it that a container's start has: each case of TestVerify spoils it in one place.
type typical struct {
	*Builder
	stage string         // where extra is called
	extra func(*typical) // adds ops

	socket, listener, ns, tasks Reg
	source, null, rootDir, root Reg
	dev, proc, ptmx, tty        Reg
	seccomp                     Reg
	scratch, prog, argv, envp   Data
}

// typicalPlan builds the plan; extra adds ops at the named stage.
func typicalPlan(tb testing.TB, stage string, extra func(*typical)) *Plan {
	tb.Helper()
	c := &typical{Builder: NewBuilder(3), stage: stage, extra: extra}
	c.scratch = c.Space(512)
	c.socket, c.listener = c.Input("parent", Socket), c.Input("start gate", Listener)
	c.ns, c.tasks = c.Input("ns:network", Namespace), c.Input("cgroup:cpu", Joinable)
	c.reach("first")
	c.MarkInherited()
	c.capture()
	c.mount()
	c.restrict()
	c.change()
	c.drop()
	c.finish()
	p, err := c.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func (c *typical) reach(stage string) {
	c.At("/stage", stage)
	if c.stage == stage {
		c.extra(c)
	}
}

// capture takes hold of the objects of the host.
func (c *typical) capture() {
	c.reach("visible")
	c.Prctl(unix.PR_SET_DUMPABLE, 0)
	c.Umask(0)
	c.reach("begin")
	c.Write(c.tasks, []byte("0"))
	c.Close(c.tasks)
	c.SetNS(c.ns, unix.CLONE_NEWNET)
	c.Close(c.ns)
	c.Isolate()
	c.source = c.CloneTree("", c.Source("/srv/data"), true)
	c.SetAttr(c.source, Attr{Set: unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE})
	c.null = c.OpenHost("null", "/dev/null", unix.O_NOFOLLOW)
	c.proveDevice(c.null, unix.S_IFCHR, 1, 3)
	c.rootDir = c.OpenHost("rootfs", "/bundle/rootfs", unix.O_DIRECTORY)
	c.root = c.CloneTree("root", c.rootDir, true)
	c.reach("captured")
	c.MoveMount(c.root, c.rootDir)
	c.Close(c.rootDir)
	c.reach("attached")
}

func (c *typical) proveDevice(fd Reg, kind, major, minor uint64) {
	number, typ := c.Label(), c.Label()
	c.Stat(fd, c.scratch)
	c.SkipIf(number, c.scratch+StatxDevice, 8, 1<<64-1, minor<<32|major)
	c.Fail(unix.EEXIST)
	c.Bind(number)
	c.SkipIf(typ, c.scratch+StatxMode, 2, unix.S_IFMT, kind)
	c.Fail(unix.EEXIST)
	c.Bind(typ)
}

// newMount makes and attaches a file system.
func (c *typical) newMount(fstype string) Reg {
	ctx := c.FsOpen(fstype)
	c.FsString(ctx, "source", fstype)
	c.FsCreate(ctx)
	m := c.FsMount(fstype, ctx, unix.MOUNT_ATTR_NOSUID)
	c.Close(ctx)
	to := c.target(fstype)
	c.MoveMount(m, to)
	c.Close(to)
	return m
}

// target opens a mount point that the parent makes if it is missing.
func (c *typical) target(name string) Reg {
	missing, found := c.Label(), c.Label()
	c.On(missing, unix.ENOENT)
	to := c.Open("", c.root, name, unix.O_PATH|unix.O_DIRECTORY, InRoot)
	c.Skip(found)
	c.Bind(missing)
	c.SendFD(c.socket, c.root)
	c.Gate("make the mount point", c.scratch, 512)
	c.OpenInto(to, c.root, name, unix.O_PATH|unix.O_DIRECTORY, InRoot)
	c.Bind(found)
	return to
}

// mount fills the container.
func (c *typical) mount() {
	c.proc = c.newMount("proc")
	c.dev = c.newMount("tmpfs")
	pts := c.newMount("devpts")
	c.reach("mounting")
	c.On(nil, unix.EEXIST)
	c.Mkdir(c.dev, "shm", 0o755)
	c.Mknod(c.dev, "fuse", unix.S_IFCHR|0o666, unix.Mkdev(10, 229))
	node := c.Open("", c.dev, "fuse", unix.O_PATH|unix.O_NOFOLLOW, Plain)
	c.Chown(node, 1000, 1000)
	c.Close(node)
	c.Symlink("/proc/self/fd", c.dev, "fd")
	c.ptmx = c.Reopen("ptmx", pts, "ptmx")
	c.IoctlPtr(c.ptmx, unix.TIOCSPTLCK, c.Struct(make([]byte, 8)))
	c.tty = c.OpenPeer(c.ptmx)
	file := c.Create(c.dev, "console", 0o600)
	console := c.CloneTree("", c.tty, false)
	c.MoveMount(console, file)
	c.Close(console)
	c.Close(file)
	to := c.target("data")
	c.MoveMount(c.source, to)
	c.Close(to)
	c.reach("mounted")
}

// restrict masks and makes read-only.
func (c *typical) restrict() {
	file := c.Open("", c.proc, "sys/net/ipv4/ip_forward", unix.O_WRONLY, Beneath)
	c.Write(file, []byte("1"))
	c.Close(file)
	absent := c.Label()
	c.On(absent, unix.ENOENT)
	at := c.Open("", c.proc, "kcore", unix.O_PATH, Beneath)
	cover := c.CloneTree("", c.null, false)
	c.SetAttr(cover, Attr{Set: unix.MOUNT_ATTR_RDONLY})
	c.MoveMount(cover, at)
	c.Close(cover)
	c.Close(at)
	c.Bind(absent)
	c.SetAttr(c.root, Attr{Set: unix.MOUNT_ATTR_RDONLY})
	c.reach("restricted")
}

// change makes the root the container's.
func (c *typical) change() {
	c.Chdir(c.root)
	c.PivotRoot()
	c.DropOldRoot()
	c.SetAttr(c.root, Attr{Propagation: unix.MS_SHARED})
	cwd := c.Open("cwd", c.root, "work", unix.O_PATH|unix.O_DIRECTORY, InRoot)
	c.Chdir(cwd)
	ok := c.Label()
	c.Getcwd(c.scratch, 512)
	c.SkipIf(ok, c.scratch, 1, 0xff, '/')
	c.Fail(unix.ENOENT)
	c.Bind(ok)
	c.Setsid()
	c.On(nil, unix.ENOSYS)
	c.JoinSessionKeyring("_ses.typical")
	c.Ioctl(c.tty, unix.TIOCSCTTY, 0)
	c.Dup(c.tty, 0)
	c.reach("inside")
}

// drop sets the credentials.
func (c *typical) drop() {
	c.On(nil, unix.EPERM)
	c.SetAffinity(bytes.Repeat([]byte{0xff}, 16))
	c.SetScheduler(unix.SchedAttr{Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Nice: -3, Priority: 7})
	c.SetIOPriority(IOClassBestEffort, 4)
	c.SetMemoryPolicy(unix.MPOL_BIND|unix.MPOL_F_STATIC_NODES, []byte{0b1101, 0, 0, 0, 0, 0, 0, 0})
	c.SetPersonality(PersonalityLinux32)
	c.reach("scheduled")
	c.SetRlimit(unix.RLIMIT_NOFILE, 1024, 1024)
	end := c.Label()
	c.Prctl(unix.PR_CAPBSET_DROP, 21)
	c.On(end, unix.EINVAL)
	c.Prctl(unix.PR_CAPBSET_DROP, 41)
	c.On(end, unix.EINVAL)
	c.Prctl(unix.PR_CAPBSET_DROP, 42)
	c.Bind(end)
	c.reach("credentials")
	c.SetGID(1000)
	c.SetGroups([]uint32{10, 20})
	c.SetUID(1000)
	c.CapSet(1<<5, 1<<5, 1<<5)
	c.On(nil, unix.EPERM, unix.EINVAL)
	c.Ambient(unix.PR_CAP_AMBIENT_RAISE, 5)
	c.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1)
	c.Prctl(unix.PR_SET_DUMPABLE, 0)
	c.reach("dropped")
}

// finish waits for the start and runs the program.
func (c *typical) finish() {
	c.Access("/bin/true")
	c.prog = c.FilterProgram([]byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f})
	c.CloseAllBut(2)
	c.Gate("wait until the state is written", c.scratch, 512)
	start := c.Accept(c.listener)
	c.ReportTo(start)
	c.reach("waiting")
	c.seccomp = c.Seccomp(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, c.prog)
	c.reach("handing")
	c.GateFor("hand the listener over", c.seccomp, c.scratch, 512)
	c.Close(c.seccomp)
	c.reach("served")
	c.CapSet(0, 0, 0)
	c.reach("filtered")
	c.argv, c.envp = c.Argv([]string{"true"}), c.Argv([]string{"PATH=/bin"})
	c.On(nil, unix.ENOENT)
	c.Exec("/bin/true", c.argv, c.envp)
	c.reach("last")
	c.Exec("/usr/bin/true", c.argv, c.envp)
}

// nth finds the n-th op (from 0) of a system call.
func nth(p *Plan, nr uint16, n int) *Op { return &p.Ops[indexOf(p, Call, nr, n)] }

// nthKind finds the n-th op of a kind.
func nthKind(p *Plan, k Kind, n int) *Op { return &p.Ops[indexOf(p, k, 0, n)] }

func indexOf(p *Plan, k Kind, nr uint16, n int) int {
	for i := range p.Ops {
		if op := &p.Ops[i]; op.Kind == k && (k != Call || op.Nr == nr) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	panic("no such op")
}

// remove takes the n-th op of a system call away; jumps over it still lead to the same op.
func remove(p *Plan, nr uint16, n int) {
	at := indexOf(p, Call, nr, n)
	for i := range p.Ops[:at] {
		if i+1+int(p.Ops[i].Jump) > at {
			p.Ops[i].Jump--
		}
	}
	p.Ops = append(p.Ops[:at], p.Ops[at+1:]...)
}

// swap exchanges two ops that follow each other, of which the first is the n-th one of a system call.
func swap(p *Plan, nr uint16, n int) {
	at := indexOf(p, Call, nr, n)
	p.Ops[at], p.Ops[at+1] = p.Ops[at+1], p.Ops[at]
}
