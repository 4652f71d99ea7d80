package specconv

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

const pathDirectory = unix.O_PATH | unix.O_DIRECTORY

// place is something that this plan has mounted.
type place struct {
	name     string   // clean absolute path
	mount    plan.Reg // NoReg once it is closed
	fresh    bool     // an empty tmpfs: nothing is in it but what this plan makes
	own      bool     // a new file system of ours or the kernel's: names below it are looked up in it, not through the root
	readonly bool     // becomes read-only when everything in it is made
	devpts   bool
}

// setAttributes applies the options to a detached copy.
func (c *compiler) setAttributes(i int, mount plan.Reg) {
	s := &c.settings[i]
	c.at("apply options "+strings.Join(c.spec.Mounts[i].Options, ","), "mounts", i, "options")
	own := s.attributes
	if !s.remount {
		own = s.ofBind(c.host.BindDevices || c.has(specs.UserNamespace))
	}
	top := plan.Attr{Set: own.set, Clear: own.clear}
	deep := plan.Attr{Set: s.recursive.set, Clear: s.recursive.clear, Recursive: true}
	if s.propagationRecursive {
		deep.Propagation = s.propagation
	} else {
		top.Propagation = s.propagation
	}
	for _, a := range []plan.Attr{top, deep} {
		if a.Set|a.Clear|a.Propagation != 0 {
			c.b.SetAttr(mount, a)
		}
	}
}

// destination is the clean path of a mount point in the container.
func (c *compiler) destination(i int) string {
	return Destination(c.spec.Mounts[i].Destination, c.host.Rootfs)
}

func (c *compiler) attachMounts() {
	for i := range c.spec.Mounts {
		m, s := &c.spec.Mounts[i], &c.settings[i]
		switch {
		case s.remount:
			c.remount(i)
		case s.bind && s.copyLink && c.source(i).Link != "":
			c.copyLink(i)
		case s.bind:
			c.attachBind(i)
		case m.Type == "cgroup" && !c.host.Cgroup.V2:
			c.attachCgroupV1(i)
		default:
			c.attachNew(i)
		}
	}
	if c.proc == plan.NoReg {
		c.makeProc()
	}
}

// attachBind attaches a captured source, or one that lies inside the root.
func (c *compiler) attachBind(i int) {
	m, name := &c.spec.Mounts[i], c.destination(i)
	from := c.sources[i]
	if from == plan.NoReg {
		rest, _ := within(c.source(i).Path, c.host.Rootfs)
		c.at("open source "+strconv.Quote(m.Source)+" in the rootfs", "mounts", i)
		from = c.b.Open("", c.root, rest, unix.O_PATH|c.settings[i].sourceFlags(), plan.InRoot)
	}
	c.placeBind(i, name, c.copySource(i, from))
}

func (c *compiler) placeBind(i int, name string, source plan.Reg) {
	c.at("open mount point "+strconv.Quote(c.spec.Mounts[i].Destination), "mounts", i)
	var to plan.Reg
	if c.settings[i].targetLink {
		to = c.linkTarget(name)
	} else {
		to = c.target("", name, c.source(i).Dir)
	}
	c.attach(i, source, to, place{name: name})
	c.b.Close(source)
}

// copyLink has the parent make a link like the source, or find it there.
func (c *compiler) copyLink(i int) {
	c.at(GateLink, "mounts", i)
	c.askFor(GateLink)
}

// attach moves a detached mount to its place.
func (c *compiler) attach(i int, mount, to plan.Reg, p place) {
	what := "mount "
	if c.settings[i].bind && !c.settings[i].remount {
		what = "mount the file "
		if c.source(i).Dir {
			what = "mount the directory "
		}
	}
	c.at(what+strconv.Quote(c.spec.Mounts[i].Source)+" at "+strconv.Quote(c.spec.Mounts[i].Destination), "mounts", i)
	c.b.MoveMount(mount, to)
	c.b.Close(to)
	c.places = append(c.places, p)
	if p.own {
		maps.DeleteFunc(c.made, func(name string, _ bool) bool { _, below := within(name, p.name); return below })
	}
}

// attachNew makes a new file system and attaches it.
func (c *compiler) attachNew(i int) {
	fstype, p := c.makeNew(i)
	c.placeNew(i, fstype, p)
	if fstype == "proc" && c.proc == plan.NoReg {
		c.proc, c.procName = p.mount, p.name
	}
}

// makeNew makes a new file system, detached, and says what is to be known of its place.
func (c *compiler) makeNew(i int) (fstype string, p place) {
	m, s := &c.spec.Mounts[i], &c.settings[i]
	if fstype = m.Type; fstype == "cgroup" {
		fstype = "cgroup2"
	}
	p = place{name: c.destination(i), fresh: fstype == "tmpfs" && !s.copyUp, devpts: fstype == "devpts"}
	// In the others a mount point may be missing, and can be made.
	p.own = p.fresh || slices.Contains([]string{"proc", "sysfs", "cgroup2", "mqueue", "devpts"}, fstype)
	attrs := s.set
	if fstype == "tmpfs" && attrs&unix.MOUNT_ATTR_RDONLY != 0 {
		p.readonly, attrs = true, attrs&^unix.MOUNT_ATTR_RDONLY // nodes and mount points come first
	}
	p.mount = c.newFilesystem(i, fstype, attrs)
	return fstype, p
}

func (c *compiler) placeNew(i int, fstype string, p place) {
	to := c.newTarget(i, fstype, p.name)
	if c.settings[i].copyUp {
		c.at(GateCopyUp, "mounts", i)
		c.b.SendFD(c.socket, to)
		c.b.SendFD(c.socket, p.mount)
		c.b.Gate(GateCopyUp, c.scratch, scratchSize)
	}
	if c.errand && p.readonly { // the container's processes are there already
		c.at("make "+strconv.Quote(p.name)+" read-only", "mounts", i, "options")
		c.b.SetAttr(p.mount, plan.Attr{Set: unix.MOUNT_ATTR_RDONLY})
	}
	c.attach(i, p.mount, to, p)
}

// newFilesystem makes a detached mount: one fsconfig per option, so that no value can become another option.
func (c *compiler) newFilesystem(i int, fstype string, attrs uint64) plan.Reg {
	m, s := &c.spec.Mounts[i], &c.settings[i]
	c.at("open file system "+strconv.Quote(fstype), "mounts", i, "type")
	ctx := c.b.FsOpen(fstype)
	if m.Source != "" {
		c.at("set source "+strconv.Quote(m.Source), "mounts", i, "source")
		c.b.FsString(ctx, "source", m.Source)
	}
	if attrs&unix.MOUNT_ATTR_RDONLY != 0 {
		c.b.FsFlag(ctx, "ro") // a disk that is mounted read-only must not be written to by the file system either
	}
	step := "make file system "
	for _, o := range s.parameters {
		c.at("set option "+strconv.Quote(m.Options[o.index]), "mounts", i, "options", o.index)
		if o.flag {
			if o.key == "iversion" || o.key == "noiversion" {
				c.b.On(nil, unix.EINVAL) // a file system that keeps no such counters; mount(2) says nothing about it
			}
			c.b.FsFlag(ctx, o.key)
		} else if layers := layersOf(fstype, o); layers != nil {
			step = "make, of a list of layers, file system " // before Linux 6.7 only this fails
			for _, layer := range layers {
				c.at("set layer "+strconv.Quote(layer), "mounts", i, "options", o.index)
				c.b.FsString(ctx, "lowerdir+", layer)
			}
		} else {
			c.b.FsString(ctx, o.key, o.value)
		}
	}
	if mode := c.source(i).Mode; fstype == "tmpfs" && mode != 0 && !slices.ContainsFunc(s.parameters, func(p parameter) bool { return p.key == "mode" }) {
		c.at("set the mode of the tmpfs", "mounts", i)
		c.b.FsString(ctx, "mode", strconv.FormatUint(uint64(mode), 8))
	}
	c.label(i, ctx, fstype)
	c.at(step+strconv.Quote(fstype)+" of "+strconv.Quote(m.Source), "mounts", i)
	c.b.FsCreate(ctx)
	mount := c.b.FsMount(mountName(m.Destination), ctx, attrs)
	c.b.Close(ctx)
	c.mapMount(i, mount)
	if s.propagation != 0 {
		c.b.SetAttr(mount, plan.Attr{Propagation: s.propagation, Recursive: s.propagationRecursive})
	}
	if s.recursive != (attributes{}) {
		c.b.SetAttr(mount, plan.Attr{Set: s.recursive.set, Clear: s.recursive.clear, Recursive: true})
	}
	return mount
}

// mountName is the register's name in the printed plan.
func mountName(destination string) string { return strings.TrimPrefix(inside(destination), "/") }

// label gives a new file system the SELinux label of linux.mountLabel. procfs, sysfs and cgroup label their own files.
func (c *compiler) label(i int, ctx plan.Reg, fstype string) {
	if c.spec.Linux.MountLabel == "" || !c.host.SELinux || slices.Contains([]string{"proc", "sysfs", "cgroup2", "cgroup"}, fstype) {
		return
	}
	if fstype == "mqueue" { // its superblock belongs to the ipc namespace and can't be relabelled
		return
	}
	c.at("set label for mount "+strconv.Itoa(i), "linux", "mountLabel")
	c.b.FsString(ctx, contextType(c.spec), c.spec.Linux.MountLabel)
}

// newTarget finds the mount point of a new file system. procfs and sysfs go to real directories only: behind a link, labels
// and limits would be written to files of the image's choosing (CVE-2019-19921, CVE-2023-27561).
func (c *compiler) newTarget(i int, fstype, name string) plan.Reg {
	destination := strconv.Quote(c.spec.Mounts[i].Destination)
	if fstype != "proc" && fstype != "sysfs" {
		c.at("open mount point "+destination, "mounts", i)
		return c.target("", name, true)
	}
	// The words are runc's; people search for them.
	c.at("open mount point: "+destination+" must be mounted on ordinary directory", "mounts", i, "destination")
	base, rest := c.base(name)
	if base.fresh && rest != "" {
		return c.makeTarget("", base, rest, true)
	}
	missing, done := c.b.Label(), c.b.Label()
	c.b.On(missing, unix.ENOENT)
	to := c.b.Open("", c.root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, plan.Plain)
	c.b.Skip(done)
	c.b.Bind(missing)
	c.askFor(GateTarget)
	c.b.OpenInto(to, c.root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, plan.Plain)
	c.b.Bind(done)
	return to
}

// base finds the new file system that a name lies in, and the rest of the name; the root if there is none. A later mount hides what was
// mounted below its place before.
func (c *compiler) base(name string) (place, string) {
	best, rest := place{name: "/", mount: c.root}, strings.TrimPrefix(name, "/")
	for _, p := range c.places {
		if r, ok := within(name, p.name); ok {
			best, rest = p, r
		}
	}
	if !best.own {
		return place{name: "/", mount: c.root}, strings.TrimPrefix(name, "/")
	}
	return best, rest
}

// target opens the place in the container that a clean absolute name means, and makes it if it is missing: a directory, or
// an empty file. It must not lie in procfs unless it was looked up there: a mount that an image has redirected into /proc
// would shadow what labels and limits are written to (CVE-2019-16884).
func (c *compiler) target(reg, name string, dir bool) plan.Reg {
	base, rest := c.base(name)
	if base.fresh && rest != "" {
		return c.makeTarget(reg, base, rest, dir)
	}
	flags := uint64(unix.O_PATH)
	if dir {
		flags |= unix.O_DIRECTORY
	}
	if base.own {
		return c.b.Open(reg, base.mount, rest, flags, plan.Beneath|c.links()&unix.RESOLVE_NO_SYMLINKS)
	}
	missing, found := c.b.Label(), c.b.Label()
	c.b.On(missing, unix.ENOENT)
	to := c.b.Open(reg, c.root, rest, flags, c.links())
	c.b.Skip(found)
	c.b.Bind(missing)
	c.askFor(GateTarget)
	c.b.OpenInto(to, c.root, rest, flags, c.links())
	c.b.Bind(found)
	c.refuseProc(to)
	return to
}

// linkTarget opens what is at a name, a link if there is one. It must be there.
func (c *compiler) linkTarget(name string) plan.Reg {
	base, rest := c.base(name)
	resolve := uint64(plan.InRoot)
	if base.own {
		resolve = plan.Beneath
	}
	to := c.b.Open("", base.mount, rest, unix.O_PATH|unix.O_NOFOLLOW, resolve)
	c.refuseProc(to) // there, links lead to processes
	return to
}

func (c *compiler) refuseProc(to plan.Reg) {
	c.b.Step("check that the place is not in procfs")
	ok := c.b.Label()
	c.b.StatFS(to, c.scratch)
	c.b.SkipUnless(ok, c.scratch, 8, 1<<64-1, unix.PROC_SUPER_MAGIC)
	c.b.Fail(unix.EXDEV)
	c.b.Bind(ok)
}

// askFor has the parent make what is missing below the root: parts of the name may be links, even dangling ones, and
// following them is a loop.
func (c *compiler) askFor(gate string) {
	c.b.SendFD(c.socket, c.root)
	c.b.Gate(gate, c.scratch, scratchSize)
}

// makeTarget makes a directory or file, and the directories above it, in a tmpfs that holds nothing but what we make.
func (c *compiler) makeTarget(reg string, base place, rest string, dir bool) plan.Reg {
	parts := strings.Split(rest, "/")
	at := base.mount
	for i, part := range parts {
		last := i == len(parts)-1
		name := path.Join(base.name, path.Join(parts[:i+1]...))
		switch known := c.made[name]; {
		case known:
		case last && !dir:
			c.b.Close(c.b.Create(at, part, 0o644))
		default:
			c.b.On(nil, unix.EEXIST) // by way of a link in the rootfs a mount may have led here before
			c.b.Mkdir(at, part, 0o755)
		}
		c.made[name] = true
		use := ""
		if last {
			use = reg
		}
		next := c.b.Open(use, at, part, unix.O_PATH|unix.O_NOFOLLOW, plan.Plain)
		if i > 0 {
			c.b.Close(at)
		}
		at = next
	}
	return at
}

// remount changes the options of a mount of this container that is in place already: a copy with the new ones covers it.
func (c *compiler) remount(i int) {
	m := &c.spec.Mounts[i]
	c.at("open mount "+strconv.Quote(m.Destination), "mounts", i)
	at := c.b.Open("", c.root, c.destination(i), unix.O_PATH, plan.InRoot)
	mount := c.b.CloneTree("", at, true)
	c.setAttributes(i, mount)
	c.attach(i, mount, at, place{name: c.destination(i)})
	c.b.Close(mount)
}

// needsProc says whether anything is written through procfs.
func (c *compiler) needsProc() bool {
	return len(c.spec.Linux.Sysctl) > 0 || !c.labelled && hasLabels(c.spec.Process)
}

func hasLabels(p *specs.Process) bool {
	return p.OOMScoreAdj != nil || p.ApparmorProfile != "" || p.SelinuxLabel != ""
}

// makeProc makes a procfs for our own use when the container mounts none.
func (c *compiler) makeProc() {
	if !c.needsProc() {
		return
	}
	c.b.At("", "make a procfs of our own")
	ctx := c.b.FsOpen("proc")
	c.b.FsCreate(ctx)
	c.proc = c.b.FsMount("proc", ctx, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	c.b.Close(ctx)
}
