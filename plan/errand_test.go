package plan

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// typicalErrand is a plan that adds mounts and removes one: each case of TestVerifyErrand spoils it in one place.
type typicalErrand struct {
	*Builder
	stage string
	extra func(*typicalErrand)

	socket, root, init Reg
	source, tmpfs, own Reg
	found              Reg
	scratch            Data
}

func errandPlan(tb testing.TB, stage string, extra func(*typicalErrand)) *Plan {
	tb.Helper()
	c := &typicalErrand{Builder: NewBuilder(3), stage: stage, extra: extra}
	c.Errand()
	c.scratch = c.Space(512)
	c.socket, c.root, c.init = c.Input("parent", Socket), c.Input("root", Root), c.Input("init", Namespace)
	c.MarkInherited()
	c.reach("visible")
	c.Prctl(unix.PR_SET_DUMPABLE, 0)
	c.reach("begin")
	proc := c.OpenHostProc(c.scratch)
	c.own = c.OpenOwnFDs(proc)
	c.Close(proc)
	c.SetNS(c.init, unix.CLONE_NEWUSER)
	c.SetGID(0)
	c.SetUID(0)
	c.Prctl(unix.PR_SET_DUMPABLE, 0)
	c.reach("user")
	c.OwnMounts()
	c.reach("copied")
	from := c.Source("/srv/data")
	c.source = c.CloneTree("", from, true)
	c.Close(from)
	c.SetAttr(c.source, Attr{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE})
	ctx := c.FsOpen("tmpfs")
	c.FsCreate(ctx)
	c.tmpfs = c.FsMount("tmpfs", ctx, 0)
	c.Close(ctx)
	c.reach("detached")
	c.SetNS(c.init, unix.CLONE_NEWNS)
	c.reach("joined")
	c.SendFD(c.socket, c.source)
	c.Gate("record", c.scratch, 1)
	to := c.Open("", c.root, "data", unix.O_PATH|unix.O_DIRECTORY, Plain)
	c.MoveMount(c.source, to)
	c.reach("attached")
	c.found = c.Open("", c.root, "old", unix.O_PATH, Plain)
	c.RequireMount(c.found, c.scratch, 77)
	c.Unmount(c.found, c.own)
	c.reach("unmounted")
	c.Gate("end", c.scratch, 1)
	p, err := c.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func (c *typicalErrand) reach(stage string) {
	c.At("/stage", stage)
	if c.stage == stage {
		c.extra(c)
	}
}

var brokenErrands = []struct {
	name   string
	stage  string
	extra  func(*typicalErrand)
	change func(*Plan)
	want   string
}{
	{"a program", "unmounted", func(c *typicalErrand) { c.Exec("/bin/sh", c.Argv(nil), c.Argv(nil)) }, nil, "is not one of an errand"},
	{"a write", "begin", func(c *typicalErrand) { c.Write(c.OpenHostProc(c.scratch), []byte("1")) }, nil, "is not one of an errand"},
	{"a fork", "joined", func(c *typicalErrand) { c.Fork(0) }, nil, "a clone in an errand"},
	{"another socket", "joined", func(c *typicalErrand) { c.ReportTo(c.socket) }, nil, "a report in an errand"},
	{"a device", "joined", func(c *typicalErrand) { c.Mknod(c.root, "x", unix.S_IFCHR, 0) }, nil, "is not one of an errand"},
	{"a removal", "joined", func(c *typicalErrand) { c.Unlink(c.root, "x") }, nil, "is not one of an errand"},
	{"another root", "joined", func(c *typicalErrand) { c.Chroot() }, nil, "is not one of an errand"},
	{"a gate that brings something of the host late", "joined", func(c *typicalErrand) { c.GateFD("late", c.scratch, 1, c.reg(""), 0) }, nil, "a descriptor of the host inside the container"},
	{"no end", "", nil, func(p *Plan) { p.Ops[len(p.Ops)-1] = *nth(p, unix.SYS_PRCTL, 0) }, "not a gate that every way leads to"},
	{"a way past the end", "", nil, func(p *Plan) { nthKind(p, Test, 2).Jump = 99 }, "jump beyond the end"},
	{"no container", "", nil, func(p *Plan) { p.Ops = append(p.Ops[:1:1], p.Ops[len(p.Ops)-1]) }, "never joins a container"},
	{"a process that can be traced", "", nil, func(p *Plan) { remove(p, unix.SYS_PRCTL, 0) }, "a process that the container could trace"},
	{"a process that its new ids make visible", "", nil, func(p *Plan) { remove(p, unix.SYS_PRCTL, 1) }, "visible to tracers"},
	{"a user namespace of its own", "", nil, func(p *Plan) { p.InUser = true }, "a second user namespace"},
	{"another namespace", "user", func(c *typicalErrand) { c.Unshare(unix.CLONE_NEWNET) }, nil, "not CLONE_NEWNS"},
	{"a namespace of the container that nobody needs", "user", func(c *typicalErrand) { c.SetNS(c.init, unix.CLONE_NEWNET) }, nil, "another namespace than those of users and of mounts"},
	{"a namespace after that of the mounts", "joined", func(c *typicalErrand) { c.SetNS(c.init, unix.CLONE_NEWUSER) }, nil, "or one after it"},
	{"a tree of mounts inside the container", "joined", func(c *typicalErrand) { c.Unshare(unix.CLONE_NEWNS) }, nil, "not CLONE_NEWNS"},
	{"the host's own mounts made deaf", "user", func(c *typicalErrand) { c.Isolate() }, nil, "attributes of the host's own mounts"},
	{"the container's mounts made deaf", "joined", func(c *typicalErrand) { c.Isolate() }, nil, "or of the container's"},
	{"a mount that is a peer of the host's", "", nil, func(p *Plan) { remove(p, unix.SYS_MOUNT_SETATTR, 0) }, "not made in a deaf copy"},
	{"a mount of the host's tree", "", nil, func(p *Plan) { remove(p, unix.SYS_UNSHARE, 0) }, "attributes of the host's own mounts"},
	{"a copy of something in the container", "joined", func(c *typicalErrand) { c.CloneTree("", c.root, true) }, nil, "not made in a deaf copy"},
	{"a file system made in the container", "joined", func(c *typicalErrand) { c.FsOpen("tmpfs") }, nil, "not made in a deaf copy"},
	{"a name of the host in the container", "joined", func(c *typicalErrand) { c.Source("/srv/late") }, nil, "a name of the host inside the container"},
	{"a name of the container before it is joined", "detached", func(c *typicalErrand) { c.Open("", c.root, "x", unix.O_PATH, Plain) }, nil, "or one of the container outside of it"},
	{"a name that leads out", "joined", func(c *typicalErrand) {
		c.Open("", c.root, "x", unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
	}, nil, "needs RESOLVE_NO_MAGICLINKS"},
	{"a name that links of the container lead elsewhere", "joined", func(c *typicalErrand) { c.Open("", c.root, "x", unix.O_PATH, InRoot) }, nil, "a name that the container's links may lead elsewhere"},
	{"a mount before the container is joined", "detached", func(c *typicalErrand) { c.MoveMount(c.tmpfs, c.root) }, nil, "a change of mounts outside of the container"},
	{"a mount on the root", "joined", func(c *typicalErrand) { c.MoveMount(c.tmpfs, c.root) }, nil, "a place on a mount that is not attached itself"},
	{"attributes of a mount in its place", "attached", func(c *typicalErrand) { c.SetAttr(c.source, Attr{Set: unix.MOUNT_ATTR_RDONLY}) }, nil, "attributes of the host's own mounts, or of the container's"},
	{"a mount twice", "attached", func(c *typicalErrand) { c.MoveMount(c.source, c.Open("", c.root, "x", unix.O_PATH, Plain)) }, nil, "a mount that is attached already"},
	{"an unmount by a name of the container", "", nil, func(p *Plan) { nth(p, unix.SYS_UMOUNT2, 0).Args[0] = nth(p, unix.SYS_OPENAT2, 3).Args[1] }, "an unmount by name"},
	{"an unmount that may fail", "", nil, func(p *Plan) { nth(p, unix.SYS_UMOUNT2, 0).Tolerate[0] = uint8(unix.EINVAL) }, "the first unmount may fail"},
	{"an unmount on the host", "detached", func(c *typicalErrand) { c.UnmountHost("/srv") }, nil, "a change of mounts outside of the container"},
	{"an unmount elsewhere", "", nil, func(p *Plan) { remove(p, unix.SYS_FCHDIR, 0) }, "an unmount by name"},
	{"an unmount of another descriptor", "", nil, func(p *Plan) { nth(p, unix.SYS_DUP3, 0).Args[1] = Imm(1) }, "an unmount by name"},
	{"an unmount of what nobody has looked at", "", nil, func(p *Plan) { nth(p, unix.SYS_DUP3, 0).Args[0] = Val(nth(p, unix.SYS_OPENAT2, 3).Result) }, "not a mount whose id is proven"},
	{"an unmount without a mount's id", "", nil, func(p *Plan) { nth(p, unix.SYS_STATX, 0).Args[3] = Imm(unix.STATX_BASIC_STATS) }, "not a mount whose id is proven"},
	{"an unmount of any mount but one", "", nil, func(p *Plan) { nthKind(p, Test, 1).Args[4] = Imm(0) }, "not a mount whose id is proven"},
	{"an unmount of mounts of some ids", "", nil, func(p *Plan) { nthKind(p, Test, 1).Args[2] = Imm(1) }, "not a mount whose id is proven"},
	{"a way past the proof", "attached", func(c *typicalErrand) {
		l := c.Label()
		c.SkipIf(l, c.scratch, 1, 0xff, 1)
		at := c.Open("", c.root, "x", unix.O_PATH, Plain)
		c.Close(at)
		c.Bind(l)
	}, func(p *Plan) {
		for i := range p.Ops {
			if p.Ops[i].Kind == Test && p.Ops[i].Args[3] == Imm(1) {
				p.Ops[i].Jump = uint16(indexOf(p, Call, unix.SYS_DUP3, 0) - i - 1)
			}
		}
	}, "a maybe unset has no place here"},
	{"an unmount of a descriptor that is another one now", "unmounted", func(c *typicalErrand) {
		c.Close(c.found)
		again := c.Open("", c.root, "old", unix.O_PATH, Plain)
		c.Unmount(again, c.own)
	}, nil, "not a mount whose id is proven"},
	{"the working directory in the container", "joined", func(c *typicalErrand) { c.Chdir(c.root) }, nil, "the own descriptors are where an errand works"},
	{"another part of the host's procfs", "begin", func(c *typicalErrand) {
		c.Open("", c.OpenHostProc(c.scratch), "1/root", unix.O_PATH|unix.O_DIRECTORY, Beneath)
	}, nil, "only written to, but for the own descriptors"},
	{"a standard stream of the host", "joined", func(c *typicalErrand) { c.Dup(c.found, 0) }, nil, "has no place here"},
}

func TestVerifyErrand(t *testing.T) {
	if err := errandPlan(t, "", nil).Verify(); err != nil {
		t.Fatal(err)
	}
	for _, c := range brokenErrands {
		t.Run(c.name, func(t *testing.T) {
			p := errandPlan(t, c.stage, c.extra)
			if c.change != nil {
				c.change(p)
			}
			if err := p.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What only an errand may do no other plan may.
func TestErrandsAlone(t *testing.T) {
	for name, extra := range map[string]func(*typical){
		"the host's procfs is only written to":     func(c *typical) { c.Open("", c.OpenHostProc(c.scratch), ownFDs, unix.O_PATH|unix.O_DIRECTORY, Beneath) },
		"a mount of the host, by a clean absolute": func(c *typical) { c.call(unix.SYS_UMOUNT2, Ptr(c.String("0")), Imm(unix.MNT_DETACH)) },
		"a inside has no place here":               func(c *typical) { c.Dup(c.Open("", c.root, "x", unix.O_PATH, Plain), 0) },
	} {
		stage := "begin"
		if strings.HasPrefix(name, "a inside") {
			stage = "mounted"
		}
		if err := typicalPlan(t, stage, extra).Verify(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// A mount that comes as an input is proven like one that is looked up, and no jump may lead past that.
func TestVerifyErrandWithAMount(t *testing.T) {
	build := func(jump bool) *Plan {
		c := NewBuilder(3)
		c.Errand()
		scratch := c.Space(512)
		c.Input("parent", Socket)
		c.Input("root", Root)
		init, mount := c.Input("init", Namespace), c.Input("mount", Inside)
		c.MarkInherited()
		c.Prctl(unix.PR_SET_DUMPABLE, 0)
		proc := c.OpenHostProc(scratch)
		own := c.OpenOwnFDs(proc)
		c.Close(proc)
		c.SetNS(init, unix.CLONE_NEWNS)
		past := c.Label()
		if jump {
			c.SkipIf(past, scratch, 1, 0xff, 1)
		}
		c.RequireMount(mount, scratch, 77)
		c.Bind(past)
		c.Unmount(mount, own)
		c.Gate("end", scratch, 1)
		p, err := c.Plan()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := build(false).Verify(); err != nil {
		t.Fatal(err)
	}
	if err := build(true).Verify(); err == nil {
		t.Error("a jump leads past the proof")
	}
}
