package specconv

import (
	"encoding/binary"
	"errors"
	"path"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// node is a device node or FIFO to be made.
type node struct {
	name         string // clean absolute path
	mode         uint32 // with the type bits
	major, minor uint32
	uid, gid     uint32
	index        int // in linux.devices; -1 for the default ones
}

// defaultNodes are what every container gets: config-linux.md#default-devices. console and ptmx come with the terminal.
var defaultNodes = []node{
	{"/dev/null", unix.S_IFCHR | 0o666, 1, 3, 0, 0, -1},
	{"/dev/zero", unix.S_IFCHR | 0o666, 1, 5, 0, 0, -1},
	{"/dev/full", unix.S_IFCHR | 0o666, 1, 7, 0, 0, -1},
	{"/dev/random", unix.S_IFCHR | 0o666, 1, 8, 0, 0, -1},
	{"/dev/urandom", unix.S_IFCHR | 0o666, 1, 9, 0, 0, -1},
	{"/dev/tty", unix.S_IFCHR | 0o666, 5, 0, 0, 0, -1},
}

// defaultLinks: config-linux.md#dev-symbolic-links, and ptmx of the container's own devpts.
var defaultLinks = []struct{ name, to string }{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"},
	{"ptmx", "pts/ptmx"},
}

// nodeType maps linux.devices[].type to the type bits; "u" is another word for "c".
func nodeType(t string) uint32 {
	switch t {
	case "b":
		return unix.S_IFBLK
	case "p":
		return unix.S_IFIFO
	default:
		return unix.S_IFCHR
	}
}

// nodes merges the default nodes and linux.devices, which win. A default node also gives way to what is mounted in its place:
// Podman binds all nodes for the privileged container of a user. What engines copy from the host of a privileged container
// has a ptmx in it, which would be the host's: the container's is a link to its own devpts.
func (c *compiler) nodes() (list []node) {
	own := make(map[string]int, len(c.spec.Linux.Devices)+len(c.spec.Mounts))
	for _, m := range c.spec.Mounts {
		own[inside(m.Destination)] = -1
	}
	for i, d := range slices.Backward(c.spec.Linux.Devices) {
		own[inside(d.Path)] = i
	}
	for _, n := range defaultNodes {
		if _, is := own[n.name]; !is {
			list = append(list, n)
		}
	}
	for i, d := range c.spec.Linux.Devices {
		if name := inside(d.Path); name == "/dev/ptmx" || own[name] != i {
			continue
		}
		n := node{name: inside(d.Path), mode: nodeType(d.Type) | 0o666, major: uint32(d.Major), minor: uint32(d.Minor), index: i}
		if d.FileMode != nil {
			n.mode = nodeType(d.Type) | uint32(*d.FileMode)&0o7777
		}
		if d.UID != nil {
			n.uid = *d.UID
		}
		if d.GID != nil {
			n.gid = *d.GID
		}
		if nodeType(d.Type) == unix.S_IFIFO {
			n.major, n.minor = 0, 0
		}
		list = append(list, n)
	}
	return list
}

// makeDevices fills /dev, unless config.json binds one there: that one is complete.
func (c *compiler) makeDevices() {
	if c.bindsDev() {
		c.console()
		return
	}
	c.b.At("", "open /dev")
	base, rest := c.base("/dev")
	if c.newDev = base.fresh && rest == ""; c.newDev {
		c.dev = base.mount
	} else {
		c.dev = c.target("dev", "/dev", true)
	}
	for _, n := range c.nodes() {
		c.makeNode(n)
	}
	c.b.At("", "make links in /dev")
	for _, l := range defaultLinks {
		c.makeLink(l.name, l.to)
	}
	c.console()
	c.reopenNull()
}

// captureNodes opens the host's device nodes where the container can have none of its own: mknod(2) needs a privilege outside
// of every user namespace.
func (c *compiler) captureNodes() {
	if !c.host.BindDevices || c.bindsDev() {
		return
	}
	c.hostNodes = make(map[string]plan.Reg)
	for _, n := range c.nodes() {
		if kind := n.mode & unix.S_IFMT; kind != unix.S_IFIFO {
			c.atNode("open the host's device ", n)
			c.hostNodes[n.name] = c.b.OpenHost("", n.name, unix.O_NOFOLLOW)
			c.requireDevice(c.hostNodes[n.name], kind, n.major, n.minor)
		}
	}
}

// atNode sets the origin to what asked for a device.
func (c *compiler) atNode(step string, n node) {
	if n.index < 0 {
		c.b.At("", step+n.name)
	} else {
		c.at(step+strconv.Quote(n.name), "linux", "devices", n.index)
	}
}

// bindsDev says whether config.json binds a whole /dev.
func (c *compiler) bindsDev() bool {
	for i, m := range c.spec.Mounts {
		if inside(m.Destination) == "/dev" && c.settings[i].bind {
			return true
		}
	}
	return false
}

// bindNode attaches the host's device to a file.
func (c *compiler) bindNode(dir plan.Reg, name string, host plan.Reg, fresh bool) {
	at := c.placeFor(dir, name, 0o666, fresh)
	node := c.b.CloneTree("", host, false)
	c.b.SetAttr(node, plan.Attr{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, Propagation: unix.MS_PRIVATE})
	c.b.MoveMount(node, at)
	c.b.Close(node)
	c.b.Close(at)
	c.b.Close(host)
}

// makeNode makes a device node. Where /dev is not new, something may be there already; it must be the same device
// (config-linux.md#devices: otherwise the runtime MUST generate an error).
func (c *compiler) makeNode(n node) {
	dir, name, fresh := c.dev, path.Base(n.name), c.newDev
	c.atNode("make device ", n)
	parent := path.Dir(n.name)
	if parent != "/dev" {
		base, _ := c.base(n.name)
		fresh = base.fresh
		dir = c.target("", parent, true)
	}
	fresh = fresh && !c.made[n.name]
	c.made[n.name] = true
	if host, is := c.hostNodes[n.name]; is {
		c.bindNode(dir, name, host, fresh)
		if parent != "/dev" {
			c.b.Close(dir)
		}
		return
	}
	there, done := c.b.Label(), c.b.Label()
	if !fresh {
		c.b.On(there, unix.EEXIST)
	}
	c.b.Mknod(dir, name, n.mode, unix.Mkdev(n.major, n.minor))
	if n.uid|n.gid != 0 {
		c.chownNode(dir, name, n)
	}
	if !fresh {
		c.b.Skip(done)
		c.b.Bind(there)
		c.b.Step("make device " + strconv.Quote(n.name) + ": something else is there already")
		old := c.b.Open("", dir, name, unix.O_PATH|unix.O_NOFOLLOW, plan.Plain)
		c.requireDevice(old, n.mode&unix.S_IFMT, n.major, n.minor)
		c.b.Close(old)
		c.b.Bind(done)
	}
	if parent != "/dev" {
		c.b.Close(dir)
	}
}

// chownNode gives a node that was just made to its owner.
func (c *compiler) chownNode(dir plan.Reg, name string, n node) {
	fd := c.b.Open("", dir, name, unix.O_PATH|unix.O_NOFOLLOW, plan.Plain)
	c.b.Chown(fd, n.uid, n.gid)
	c.b.Close(fd)
}

// makeLink makes a symbolic link in /dev. An image's own ptmx would be another machine's: it is replaced.
func (c *compiler) makeLink(name, to string) {
	if !c.newDev && name == "ptmx" {
		c.b.On(nil, unix.ENOENT)
		c.b.Unlink(c.dev, name)
	}
	if !c.newDev || c.made["/dev/"+name] {
		c.b.On(nil, unix.EEXIST)
	}
	c.b.Symlink(to, c.dev, name)
}

// console makes the pty. Its master comes from the container's own devpts, by descriptor, and goes to the parent; its other
// end is opened through the master, so that no name in /dev is trusted (CVE-2025-52565).
func (c *compiler) console() {
	if !c.spec.Process.Terminal {
		return
	}
	c.at("open a terminal in the devpts at /dev/pts", "process", "terminal")
	master := c.ptmx()
	if c.err != nil {
		return
	}
	c.b.IoctlPtr(master, unix.TIOCSPTLCK, c.b.Struct(make([]byte, 8)))
	if size := c.spec.Process.ConsoleSize; size != nil {
		c.at("set the size of the terminal", "process", "consoleSize")
		ws := make([]byte, 8)
		binary.LittleEndian.PutUint16(ws, uint16(size.Height))
		binary.LittleEndian.PutUint16(ws[2:], uint16(size.Width))
		c.b.IoctlPtr(master, unix.TIOCSWINSZ, c.b.Struct(ws))
	}
	c.tty = c.b.OpenPeer(master)
	if c.dev != plan.NoReg {
		c.makeConsole()
	}
	c.at(GateConsole, "process", "terminal")
	c.b.SendFD(c.socket, master)
	c.b.Gate(GateConsole, c.scratch, scratchSize)
	c.b.Close(master)
}

// ptmx opens the multiplexer of the devpts that the container has, new or bound.
func (c *compiler) ptmx() plan.Reg {
	if base, rest := c.base("/dev/pts/ptmx"); rest == "ptmx" && base.devpts {
		return c.b.Reopen("ptmx", base.mount, "ptmx")
	}
	bound := slices.ContainsFunc(c.places, func(p place) bool { return !p.own && (p.name == "/dev" || p.name == "/dev/pts") })
	if !bound {
		c.err = errors.New("/process/terminal: open a terminal: no file system of type devpts is mounted at /dev/pts")
		return plan.NoReg
	}
	master := c.b.OpenBoundPtmx(c.root)
	c.requireDevice(master, unix.S_IFCHR, 5, 2)
	return master
}

// makeConsole binds the terminal to /dev/console.
func (c *compiler) makeConsole() {
	c.at("mount the terminal at /dev/console", "process", "terminal")
	at := c.placeFor(c.dev, "console", 0o600, c.newDev && !c.made["/dev/console"])
	console := c.b.CloneTree("", c.tty, false)
	c.b.MoveMount(console, at)
	c.b.Close(console)
	c.b.Close(at)
}

// placeFor makes an empty file to mount something on. Where the directory is not fresh one may be there already; a link is
// none.
func (c *compiler) placeFor(dir plan.Reg, name string, mode uint32, fresh bool) plan.Reg {
	if !fresh {
		c.b.On(nil, unix.EEXIST)
	}
	file := c.b.Create(dir, name, mode)
	if fresh {
		return file
	}
	closed := c.b.Label()
	unset := c.b.Label()
	c.b.SkipIfSet(unset, file)
	c.b.Skip(closed)
	c.b.Bind(unset)
	c.b.Close(file)
	c.b.Bind(closed)
	at := c.b.Open("", dir, name, unix.O_PATH|unix.O_NOFOLLOW, plan.Plain)
	ok := c.b.Label()
	c.b.Stat(at, c.scratch)
	c.b.SkipUnless(ok, c.scratch+plan.StatxMode, 2, unix.S_IFMT, unix.S_IFLNK)
	c.b.Fail(unix.ELOOP)
	c.b.Bind(ok)
	return at
}

// reopenNull replaces standard streams that are the host's /dev/null by the container's own, which this plan has just
// made: security modules check the object that a stream was opened on.
func (c *compiler) reopenNull() {
	if !c.newDev || c.hostNodes != nil || c.host.NullStdio == [3]bool{} || c.spec.Process.Terminal {
		return
	}
	if slices.ContainsFunc(c.spec.Mounts, func(m specs.Mount) bool { return inside(m.Destination) == "/dev/null" }) {
		return
	}
	c.b.At("", "open the container's /dev/null for the standard streams")
	null := c.b.Reopen("", c.dev, "null")
	for fd, is := range c.host.NullStdio {
		if is {
			c.b.Dup(null, fd)
		}
	}
	c.b.Close(null)
}
