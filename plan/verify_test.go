package plan

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// broken plans: each row spoils the typical plan in one place, by ops added at a stage or by a change to the finished plan,
// and names the rule that Verify must answer with. The letters V are those of the project's list of plan rules:
//
//	V1 form  V2 look-ups  V3 creation  V4 descriptors  V5 one look-up, one descriptor  V6 tolerated errnos  V7 attributes
//	V8 owners  V9 order  V10 credentials  V11 further processes  V12 one program
//
// V5 can't be proven from a plan alone (a name may be looked up again because it means something else now); V13 (gates)
// and V14 (golden plans) are tested where gates are answered and plans are made.
type brokenPlan struct {
	rule, name string
	stage      string
	extra      func(c *typical)
	change     func(p *Plan)
	want       string
}

var brokenForm = []brokenPlan{
	{"V1", "a register that is not set", "inside", func(c *typical) { c.Close(c.rootDir) }, nil, "close: operand 0: a unset has no place here"},
	{"V1", "a register that is in use", "mounted", func(c *typical) { c.OpenInto(c.dev, c.root, "x", unix.O_PATH, InRoot) }, nil, "the result's register is in use"},
	{"V1", "a register that may be unset", "mounted", func(c *typical) {
		c.On(nil, unix.ENOENT)
		c.Close(c.Open("", c.root, "x", unix.O_PATH, InRoot))
		c.Chdir(c.Open("", c.root, "x", unix.O_PATH, InRoot))
	}, func(p *Plan) { nth(p, unix.SYS_FCHDIR, 0).Args[0] = Val(maybe(p)) }, "a maybe unset has no place here"},
	{"V1", "no such register", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE, 0).Args[0] = Val(4000) }, "no such register"},
	{"V1", "an address beyond the data", "", nil, func(p *Plan) { nth(p, unix.SYS_OPENAT2, 0).Args[1] = Ptr(1 << 30) }, "address outside of the data"},
	{"V1", "a mode that does not exist", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE, 0).Args[0].Mode = modes }, "unknown operand mode"},
	{"V1", "a kind that does not exist", "", nil, func(p *Plan) { p.Ops[1].Kind = kinds }, "unknown kind"},
	{"V1", "a jump beyond the end", "", nil, func(p *Plan) { nthKind(p, Test, 2).Jump = 9999 }, "jump beyond the end"},
	{"V1", "an op that nothing leads to", "mounted", func(c *typical) { c.Fail(unix.EIO) }, nil, errUnreachable.Error()},
	{"V1", "a string without end", "", nil, func(p *Plan) {
		p.Data = append(p.Data, 'x')
		nth(p, unix.SYS_OPEN_TREE, 0).Args[1] = Ptr(Data(len(p.Data) - 1))
	}, "a string without end"},
	{"V1", "a structure over the end of the data", "", nil, func(p *Plan) { nth(p, unix.SYS_OPENAT2, 0).Args[2] = Ptr(Data(len(p.Data) - 8)) }, "not a struct open_how"},
	{"V1", "a result over the end of the data", "mounted", func(c *typical) { c.Stat(c.root, c.scratch) }, func(p *Plan) {
		nth(p, unix.SYS_STATX, 1).Args[4] = Ptr(Data(len(p.Data) - 8))
	}, "not room for the result"},
	{"V1", "a result over a name that was proven", "captured", func(c *typical) { c.StatFS(c.root, c.String("sys/net/ipv4/ip_forward")) }, nil, "one that the plan writes"},
	{"V1", "an answer over a structure that was proven", "captured", func(c *typical) {
		how := c.words(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0, InRoot)
		c.Gate("overwrite", how, 24)
	}, nil, "not a struct open_how"},
	{"V1", "a register stored over credentials", "captured", func(c *typical) { c.SetGroups([]uint32{1}) }, func(p *Plan) {
		groups := nth(p, unix.SYS_SETGROUPS, 1).Args[1]
		remove(p, unix.SYS_SETGROUPS, 0)
		nthKind(p, Store, 0).Args[0] = groups
	}, "setgroups: operand 1"},
	{"V1", "a system call without a rule", "", nil, func(p *Plan) { nth(p, unix.SYS_SETSID, 0).Nr = unix.SYS_FCHMODAT }, "is not one that a plan may contain"},
	{"V1", "another command of membarrier", "inside", func(c *typical) { c.Membarrier() }, func(p *Plan) { nth(p, unix.SYS_MEMBARRIER, 0).Args[0] = Imm(2) }, "membarrier: operand 0"},
	{"V1", "mount(2)", "", nil, func(p *Plan) { nth(p, unix.SYS_SETSID, 0).Nr = unix.SYS_MOUNT }, "is not one that a plan may contain"},
	{"V1", "an operand too many", "", nil, func(p *Plan) { nth(p, unix.SYS_SETSID, 0).Args[0] = Imm(1) }, "setsid: operand 0 is not zero"},
	{"V1", "a number where a descriptor belongs", "", nil, func(p *Plan) { nth(p, unix.SYS_CLOSE, 0).Args[0] = Imm(7) }, "not a descriptor of this plan"},
	{"V1", "a flag without a name", "", nil, func(p *Plan) { nth(p, unix.SYS_OPEN_TREE, 0).Args[2].Value |= unix.AT_NO_AUTOMOUNT }, "a flag that is not permitted"},
	{"V1", "a test of five bytes", "", nil, func(p *Plan) { nthKind(p, Test, 2).Args[1] = Imm(5) }, "odd size"},
	{"V1", "a test that a register decides", "", nil, func(p *Plan) { nthKind(p, Test, 2).Args[3] = Val(0) }, "something else than a number"},
	{"V1", "a test outside of the data", "", nil, func(p *Plan) { nthKind(p, Test, 6).Args[0] = Ptr(Data(len(p.Data))) }, "test outside of the data"},
	{"V1", "a jump that is never taken", "mounted", func(c *typical) {
		l := c.Label()
		c.Skip(l)
		c.Bind(l)
	}, func(p *Plan) {
		for i := range p.Ops {
			if op := &p.Ops[i]; op.Kind == Test && op.Args[0].Mode == Immediate {
				op.Args[3] = Imm(1)
			}
		}
	}, "never taken"},
	{"V1", "a store of a size that a register decides", "", nil, func(p *Plan) { nthKind(p, Store, 0).Args[2] = Val(0) }, "a register and its size"},
	{"V1", "an answer of a length that a register decides", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Args[1] = Val(0) }, "room for the answer"},
	{"V1", "a report to something else than a socket", "mounted", func(c *typical) { c.ReportTo(c.root) }, nil, "not a socket"},
	{"V1", "an errno out of range", "", nil, func(p *Plan) { nthKind(p, Fail, 0).Args[0] = Imm(0) }, "not an errno"},
	{"V1", "a gate that jumps", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Jump = 1 }, "only a call and a test can jump"},
	{"V1", "a gate with a number", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Nr = unix.SYS_EXECVE }, "only a call has a number"},
	{"V1", "a gate with a result", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Result = 0 }, "a register in use"},
	{"V1", "a second fork", "begin", func(c *typical) { c.Fork(0); c.Fork(0) }, nil, "the one fork"},
	{"V1", "a fork that loses the scheduler", "scheduled", func(c *typical) { c.Fork(0) }, nil, "takes the scheduler from"},
	{"V1", "a fork into new namespaces", "begin", func(c *typical) { c.Fork(0) }, func(p *Plan) { nthKind(p, Clone, 0).Args[0].Value |= unix.CLONE_NEWUSER }, "the one fork"},
	{"V1", "a pointer that leads elsewhere", "", nil, func(p *Plan) {
		binary.LittleEndian.PutUint64(p.Data[p.relocs[0].at:], Base)
	}, "pointer at data"},
	{"V1", "an argv without end", "", nil, func(p *Plan) {
		p.Data = append(p.Data, make([]byte, 16-len(p.Data)%8)...)
		binary.LittleEndian.PutUint64(p.Data[len(p.Data)-8:], Base+HeaderSize)
		for i := range 2 {
			nth(p, unix.SYS_EXECVE, i).Args[1] = Ptr(Data(len(p.Data) - 8))
		}
	}, "not a vector of strings"},
	{"V1", "a variable that the plan writes in part", "waiting", func(c *typical) { c.Gate("other", c.String("PATH=/bin")+5, 4) }, nil, "string 0 of the vector is one that the plan writes"},
	{"V1", "a variable that an answer may leave without end", "waiting", func(c *typical) { c.Gate("other", c.String("PATH=/bin"), 4) }, nil, "string 0 of the vector is one that the plan writes"},
	{"V1", "an argument that two gates write", "waiting", func(c *typical) {
		c.Gate("other", c.String("true"), 4)
		c.Gate("another", c.String("true")+1, 4)
	}, nil, "string 0 of the vector is one that the plan writes"},
	{"V1", "inputs that begin at a standard stream", "", nil, func(p *Plan) { p.FirstFD = 2 }, "inputs begin at descriptor 2"},
	{"V1", "no socket", "", nil, func(p *Plan) { p.Inputs[0].Class = Listener }, "not the socket to the parent"},
	{"V1", "no op", "", nil, func(p *Plan) { p.Ops = nil }, "no ops"},
	{"V6", "an errno of a gate", "", nil, func(p *Plan) { nthKind(p, Gate, 0).Tolerate[0] = 2 }, "only a call can tolerate an errno"},
	{"V6", "a mask that may fail", "", nil, func(p *Plan) { nth(p, unix.SYS_MOVE_MOUNT, 6).Tolerate[0] = uint8(unix.ENOENT) }, "move_mount: may not tolerate ENOENT"},
	{"V6", "credentials that may fail", "", nil, func(p *Plan) { nth(p, unix.SYS_SETRESUID, 0).Tolerate[0] = uint8(unix.EPERM) }, "setresuid: may not tolerate EPERM"},
	{"V6", "a bounding set that may fail", "", nil, func(p *Plan) {
		nth(p, unix.SYS_PRCTL, 1).Tolerate[0] = uint8(unix.EINVAL)
	}, "only an ambient capability"},
	{"V6", "an errno that leads past the user", "inside", func(c *typical) {
		l := c.Label()
		c.On(l, unix.ENOENT)
		c.Access("/x")
		c.SetRlimit(unix.RLIMIT_CPU, 1, 1)
		c.Bind(l)
	}, func(p *Plan) {
		nth(p, unix.SYS_FACCESSAT2, 0).Jump = uint16(indexOf(p, Call, unix.SYS_CAPSET, 0) - indexOf(p, Call, unix.SYS_FACCESSAT2, 0) - 1)
	}, "a jump leads past it"},
	{"V6", "a test that leads past the filter", "waiting", func(c *typical) {
		l := c.Label()
		c.SkipIf(l, c.scratch, 1, 0xff, 1)
		c.Seccomp(0, c.prog)
		c.Bind(l)
	}, nil, "seccomp: a jump leads past it"},
	{"V6", "a test that leads past no_new_privs", "dropped", func(c *typical) {
		l := c.Label()
		c.SkipIf(l, c.scratch, 1, 0xff, 1)
		c.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1)
		c.Bind(l)
	}, nil, "prctl: a jump leads past it"},
	{"V6", "a jump of a call that tolerates nothing", "", nil, func(p *Plan) { nth(p, unix.SYS_SETSID, 0).Jump = 1 }, "a jump without a tolerated errno"},
}

var brokenNames = []brokenPlan{
	{"V2", "a container's name without resolve flags", "mounted", func(c *typical) { c.Open("", c.root, "x", unix.O_PATH, 0) }, nil, "needs RESOLVE_NO_MAGICLINKS and IN_ROOT or BENEATH"},
	{"V2", "a container's name with magic links", "mounted", func(c *typical) { c.Open("", c.root, "x", unix.O_PATH, unix.RESOLVE_IN_ROOT) }, nil, "needs RESOLVE_NO_MAGICLINKS"},
	{"V2", "a name in procfs across mounts", "mounted", func(c *typical) { c.Open("", c.proc, "self", unix.O_PATH, InRoot) }, nil, "needs RESOLVE_BENEATH and NO_XDEV"},
	{"V2", "a read of procfs", "mounted", func(c *typical) { c.Open("", c.proc, "self/status", 0, Beneath) }, nil, "procfs is only written to"},
	{"V2", "a file of the container that is opened for real", "mounted", func(c *typical) { c.Open("", c.root, "etc/passwd", 0, InRoot) }, nil, "nothing in a container is opened for real"},
	{"V2", "a device of the rootfs that is opened for real", "mounted", func(c *typical) { c.Open("", c.root, "ptmx", unix.O_RDWR, Literal) }, nil, "nothing in a container is opened for real"},
	{"V2", "a ptmx that is no devpts's", "mounted", func(c *typical) { c.Reopen("", c.dev, "ptmx") }, nil, "nothing in a container is opened for real"},
	{"V2", "a name of the host below its directory", "captured", func(c *typical) { c.Open("", c.rootDir, "x", unix.O_PATH, InRoot) }, nil, "a host directory has no place here"},
	{"V2", "O_PATH that creates", "mounted", func(c *typical) { c.Open("", c.dev, "x", unix.O_PATH|unix.O_CREAT, Plain) }, nil, "O_PATH with a flag"},
	{"V2", "a name before the root is the container's", "mounted", func(c *typical) { c.Access("/bin/sh") }, nil, "a name before the root is the container's"},
	{"V2", "a host object after the first mount", "attached", func(c *typical) { c.OpenHost("", "/dev/null", 0) }, nil, "after the first mount was attached (CVE-2021-30465)"},
	{"V2", "a source after the first mount", "attached", func(c *typical) { c.Source("/srv") }, nil, "after the first mount was attached (CVE-2021-30465)"},
	{"V2", "a relative source", "begin", func(c *typical) { c.Source("srv") }, nil, "or a relative one"},
	{"V2", "a relative host name", "begin", func(c *typical) { c.OpenHost("", "srv", unix.O_DIRECTORY) }, nil, "or a relative one"},
	{"V2", "a host object that is opened for real", "begin", func(c *typical) { c.OpenHost("", "/dev/null", 0) }, func(p *Plan) {
		how := nth(p, unix.SYS_OPENAT2, 0).Args[2].Value
		binary.LittleEndian.PutUint64(p.Data[how:], unix.O_RDWR|unix.O_CLOEXEC)
	}, "without O_PATH"},
	{"V2", "a host node that nothing proves", "captured", func(c *typical) { c.OpenHost("", "/dev/zero", unix.O_NOFOLLOW) }, nil, "statx does not prove"},
	{"V2", "a source that may be a link with other flags", "captured", func(c *typical) { c.OpenHostLink("", "/srv/link") }, func(p *Plan) {
		for i := range p.Ops {
			if op := &p.Ops[i]; op.Nr == unix.SYS_OPENAT2 && op.Args[0] == cwd && p.word(op.Args[2], 2) == hostLink {
				binary.LittleEndian.PutUint64(p.Data[op.Args[2].Value:], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
			}
		}
	}, "not those of a source that may be a link"},
	{"V2", "a link of the host in the place of a device", "captured", func(c *typical) { c.CloneTree("", c.OpenHostLink("", "/dev/null"), false) }, func(p *Plan) {
		late := nth(p, unix.SYS_OPEN_TREE, 2).Result
		nth(p, unix.SYS_MOVE_MOUNT, 6).Args[0] = Val(late)
	}, "a mount after something was masked"},
	{"V2", "a host node with another number's proof", "", nil, func(p *Plan) { nthKind(p, Test, 0).Args[2] = Imm(0xff) }, "statx does not prove"},
	{"V2", "a host node that passes when it is wrong", "", nil, func(p *Plan) { nthKind(p, Test, 0).Args[4] = Imm(0) }, "statx does not prove"},
	{"V2", "a host node that may be a regular file", "", nil, func(p *Plan) { nthKind(p, Test, 1).Args[3] = Imm(unix.S_IFREG) }, "statx does not prove"},
	{"V2", "the root by a name", "captured", func(c *typical) { c.CloneTree("", c.rootDir, true) }, func(p *Plan) {
		nth(p, unix.SYS_OPEN_TREE, 1).Args[1] = nth(p, unix.SYS_OPENAT2, 0).Args[1]
	}, "a name that is resolved again"},
	{"V2", "a mount point by a name", "", nil, func(p *Plan) { nth(p, unix.SYS_MOVE_MOUNT, 0).Args[4] = Imm(unix.MOVE_MOUNT_F_EMPTY_PATH) }, "move_mount: operand 4"},
	{"V2", "the unmount of a name in the container", "inside", func(c *typical) { c.UnmountHost("/proc") }, nil, "the old root"},
	{"V2", "the unmount of a name with links", "begin", func(c *typical) { c.UnmountHost("/proc/../sys") }, nil, "by a clean absolute name"},
	{"V2", "pivot_root by a name", "", nil, func(p *Plan) { nth(p, unix.SYS_PIVOT_ROOT, 0).Args[1] = nth(p, unix.SYS_OPEN_TREE, 0).Args[1] }, "by name instead of the working directory"},
	{"V3", "a new file in a directory of two names", "mounted", func(c *typical) { c.Create(c.dev, "a/b", 0o600) }, nil, "what is created is one name"},
	{"V3", "a new file that may exist", "", nil, func(p *Plan) {
		how := createHow(p)
		binary.LittleEndian.PutUint64(p.Data[how:], unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	}, "with O_EXCL|O_NOFOLLOW (CVE-2024-45310)"},
	{"V3", "a new file that truncates", "", nil, func(p *Plan) {
		binary.LittleEndian.PutUint64(p.Data[createHow(p):], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	}, "a flag that is not permitted"},
	{"V3", "a directory of two names", "mounted", func(c *typical) { c.Mkdir(c.dev, "a/b", 0o755) }, nil, `mkdirat: operand 1: the name "a/b"`},
	{"V3", "the parent directory", "mounted", func(c *typical) { c.Mknod(c.dev, "..", 0o600, 0) }, nil, `mknodat: operand 1: the name ".."`},
	{"V3", "the removal of a directory", "mounted", func(c *typical) { c.Unlink(c.dev, "shm") }, func(p *Plan) { nth(p, unix.SYS_UNLINKAT, 0).Args[2] = Imm(unix.AT_REMOVEDIR) }, "unlinkat: operand 2"},
	{"V3", "a node in a directory of the host", "captured", func(c *typical) { c.Mkdir(c.rootDir, "x", 0o755) }, nil, "a host directory has no place here"},
	{"V8", "the owner of an inode that was there before", "mounted", func(c *typical) { c.Chown(c.Open("", c.root, "x", unix.O_PATH, InRoot), 1, 1) }, nil, "an inode that this plan has not made"},
	{"V8", "the owner of another name", "", nil, func(p *Plan) { nth(p, unix.SYS_MKNODAT, 0).Args[1] = nth(p, unix.SYS_MKDIRAT, 0).Args[1] }, "an inode that this plan has not made"},
	{"V8", "the owner of a node that may have existed", "", nil, func(p *Plan) { nth(p, unix.SYS_MKNODAT, 0).Tolerate[0] = uint8(unix.EEXIST) }, "an inode that this plan has not made"},
	{"V8", "the owner of a node by way of a jump", "", nil, func(p *Plan) {
		from, to := indexOf(p, Call, unix.SYS_MKDIRAT, 0), indexOf(p, Call, unix.SYS_MKNODAT, 0)+1
		p.Ops[from].Jump = uint16(to - from - 1)
	}, "an inode that this plan has not made"},
	{"V8", "the owner by name", "", nil, func(p *Plan) { nth(p, unix.SYS_FCHOWNAT, 0).Args[4] = Imm(0) }, "by name instead of the descriptor"},
	{"V8", "the owner of a descriptor that is preserved", "inside", func(c *typical) { c.ChownStdio(3, 1, 1) }, nil, "not one of the three standard ones"},
}

// createHow is where the struct open_how of Create lies.
func createHow(p *Plan) uint64 {
	for i := range p.Ops {
		if op := &p.Ops[i]; op.Nr == unix.SYS_OPENAT2 && p.word(op.Args[2], 0)&unix.O_CREAT != 0 {
			return op.Args[2].Value
		}
	}
	panic("no op creates")
}

// maybe is the register of the first open that tolerates ENOENT and goes on.
func maybe(p *Plan) Reg {
	for i := range p.Ops {
		if op := &p.Ops[i]; op.Nr == unix.SYS_OPENAT2 && op.Tolerate[0] == uint8(unix.ENOENT) && op.Jump == 0 {
			return op.Result
		}
	}
	panic("no such open")
}

func TestVerify(t *testing.T) {
	if err := typicalPlan(t, "", nil).Verify(); err != nil {
		t.Fatal(err)
	}
	sent := typicalPlan(t, "handing", func(c *typical) { c.SendFD(c.socket, c.seccomp) })
	if err := sent.Verify(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, list := range [][]brokenPlan{brokenForm, brokenNames, brokenOrder} {
		for _, c := range list {
			if seen[c.name] {
				t.Errorf("%s: twice", c.name)
			}
			seen[c.name] = true
			t.Run(fmt.Sprintf("%s %s", c.rule, c.name), func(t *testing.T) {
				p := typicalPlan(t, c.stage, c.extra)
				if c.change != nil {
					c.change(p)
				}
				err := p.Verify()
				if err == nil {
					t.Fatalf("it passes, want %q", c.want)
				}
				if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "verify plan: ") {
					t.Errorf("%v, want %q", err, c.want)
				}
				if _, err := p.Encode(); err == nil {
					t.Error("a plan that was refused can be encoded")
				}
			})
		}
	}
}
