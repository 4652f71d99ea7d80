package specconv

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

type propagation struct {
	name      string
	kind      uint64
	recursive bool
}

// rootPropagations are the values of linux.rootfsPropagation: those of the specification and their recursive forms.
var rootPropagations = []propagation{
	{"private", unix.MS_PRIVATE, false},
	{"rprivate", unix.MS_PRIVATE, true},
	{"rshared", unix.MS_SHARED, true},
	{"rslave", unix.MS_SLAVE, true},
	{"runbindable", unix.MS_UNBINDABLE, true},
	{"shared", unix.MS_SHARED, false},
	{"slave", unix.MS_SLAVE, false},
	{"unbindable", unix.MS_UNBINDABLE, false},
}

// findPropagation looks a value up, nil if there is none.
func findPropagation(name string) *propagation {
	for i := range rootPropagations {
		if p := &rootPropagations[i]; p.name == name {
			return p
		}
	}
	return nil
}

func propagationNames() string {
	var names []string
	for _, p := range rootPropagations {
		names = append(names, p.name)
	}
	return strings.Join(names, " ")
}

// attachRoot makes the mount namespace deaf towards the host, captures every object of the host that the container will
// see, and attaches a copy of the root to its own directory. Only then are names inside the container looked up: a source
// that is resolved later could be one that the container's side has swapped (CVE-2021-30465).
func (c *compiler) attachRoot() {
	c.readSettings()
	if c.has(specs.MountNamespace) {
		c.shareSources()
		c.b.At("", "make mounts invisible to the host")
		c.b.Isolate()
	}
	c.captureSources()
	c.captureNull()
	c.captureNodes()
	if !c.owns(specs.PIDNamespace) && c.needsProc() {
		c.openHostProc()
	}
	c.at("open rootfs "+strconv.Quote(c.host.Rootfs), "root", "path")
	c.rootDir = c.openHost("rootfs", c.host.Rootfs, unix.O_DIRECTORY, false)
	c.b.Step("copy the mount of rootfs " + strconv.Quote(c.host.Rootfs))
	c.root = c.b.CloneTree("root", c.rootDir, true)
	if !c.has(specs.MountNamespace) {
		c.b.SetAttr(c.root, plan.Attr{Propagation: unix.MS_PRIVATE, Recursive: true})
	}
	at := c.rootDir
	if c.host.NoPivot && c.has(specs.MountNamespace) {
		// On top of "/": only there the kernel does not take the process for one in a chroot, which may make no user namespace.
		c.at("open the host's root", "root", "path")
		at = c.b.OpenHost("host", "/", unix.O_DIRECTORY)
	}
	c.makeMask()
	c.at("attach rootfs "+strconv.Quote(c.host.Rootfs), "root", "path")
	c.b.MoveMount(c.root, at)
	c.b.Close(c.rootDir)
}

// captureNull opens the host's /dev/null, which hides masked files, and proves that it is the device 1:3: the container's
// own /dev/null may be anything (CVE-2025-31133).
func (c *compiler) captureNull() {
	if len(c.spec.Linux.MaskedPaths) == 0 {
		return
	}
	c.at("open the host's /dev/null for masks", "linux", "maskedPaths")
	c.null = c.b.OpenHost("null", "/dev/null", unix.O_NOFOLLOW)
	c.requireDevice(c.null, unix.S_IFCHR, 1, 3)
}

// requireDevice goes on only if the descriptor is a device node with this type and these numbers.
func (c *compiler) requireDevice(fd plan.Reg, kind uint32, major, minor uint32) {
	right := c.b.Label()
	c.b.Stat(fd, c.scratch)
	c.b.SkipIf(right, c.scratch+plan.StatxDevice, 8, 1<<64-1, uint64(minor)<<32|uint64(major))
	c.b.Fail(unix.EEXIST)
	c.b.Bind(right)
	same := c.b.Label()
	c.b.SkipIf(same, c.scratch+plan.StatxMode, 2, unix.S_IFMT, uint64(kind))
	c.b.Fail(unix.EEXIST)
	c.b.Bind(same)
}

// makeMask attaches the tmpfs that masks directories to the root's directory, below the root: attached mounts can be
// copied by every kernel, detached ones only since Linux 6.15. It disappears with the host's mounts.
func (c *compiler) makeMask() {
	if len(c.spec.Linux.MaskedPaths) == 0 {
		return
	}
	c.at("make the empty directory for masks", "linux", "maskedPaths")
	ctx := c.b.FsOpen("tmpfs")
	c.b.FsString(ctx, "nr_blocks", "1")
	c.b.FsString(ctx, "nr_inodes", "2")
	c.b.FsString(ctx, "mode", "0555")
	c.b.FsCreate(ctx)
	c.mask = c.b.FsMount("mask", ctx, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	c.b.Close(ctx)
	c.b.MoveMount(c.mask, c.rootDir)
}

// hideHost detaches the host's proc and sysfs mounts where pivot_root can't remove the host's root: they would otherwise
// stay below the new root, and the kernel would let a nested user namespace mount procfs without the masks.
func (c *compiler) hideHost() {
	for i := len(c.host.HostMounts) - 1; i >= 0 && c.has(specs.MountNamespace); i-- {
		c.b.At("", "detach the host's mount "+strconv.Quote(c.host.HostMounts[i]))
		c.b.UnmountHost(c.host.HostMounts[i])
	}
}

// changeRoot makes the root mount the root of this process and lets go of everything else.
func (c *compiler) changeRoot() {
	c.hideHost()
	c.at("change the root", "root", "path")
	c.b.Chdir(c.root)
	if c.host.NoPivot || !c.has(specs.MountNamespace) {
		c.b.Chroot()
	} else {
		c.b.PivotRoot()
		c.b.Step("detach the host's mounts")
		c.b.DropOldRoot()
	}
	if p := findPropagation(c.spec.Linux.RootfsPropagation); p != nil {
		c.at("set the propagation of the root", "linux", "rootfsPropagation")
		if p.kind == unix.MS_SHARED { // a peer group of its own, that gets nothing from the host's (config-linux.md, "Rootfs Mount Propagation")
			c.b.SetAttr(c.root, plan.Attr{Propagation: unix.MS_PRIVATE})
		}
		c.b.SetAttr(c.root, plan.Attr{Propagation: p.kind, Recursive: p.recursive})
	}
	c.requireProc()
	c.at("change to directory "+strconv.Quote(c.spec.Process.Cwd), "process", "cwd")
	cwd := c.root
	if name := inside(c.spec.Process.Cwd); name != "/" {
		cwd = c.b.Open("cwd", c.root, name, pathDirectory, plan.InRoot)
	}
	c.changeDirectory(cwd)
}

// changeDirectory goes to the working directory. Where only the user of the process may do that, and not the one of the runtime, it is
// done by changeDirectoryAsUser.
func (c *compiler) changeDirectory(cwd plan.Reg) {
	if c.spec.Process.User.UID == 0 || inside(c.spec.Process.Cwd) == "/" {
		c.b.Chdir(cwd)
		c.requireInside()
		return
	}
	c.cwd, c.there = cwd, c.b.Space(4)
	refused := c.b.Label()
	c.b.On(refused, unix.EACCES)
	c.b.Chdir(cwd)
	c.b.Store(c.there, cwd, 4)
	c.b.Bind(refused)
	c.requireInside()
}

// changeDirectoryAsUser tries it again with the final credentials. One of the two must have had the right.
func (c *compiler) changeDirectoryAsUser() {
	if c.cwd == plan.NoReg {
		return
	}
	c.at("change to directory "+strconv.Quote(c.spec.Process.Cwd), "process", "cwd")
	refused, ok := c.b.Label(), c.b.Label()
	c.b.On(refused, unix.EACCES)
	c.b.Chdir(c.cwd)
	c.b.Skip(ok)
	c.b.Bind(refused)
	c.b.SkipUnless(ok, c.there, 4, 1<<32-1, 0)
	c.b.Fail(unix.EACCES)
	c.b.Bind(ok)
	c.requireInside()
}

// requireProc proves that procfs is where config.json wants it. Somebody who can write to the rootfs may have renamed the
// directory that it was attached to: procfs would then be elsewhere, and so would its masks.
func (c *compiler) requireProc() {
	if c.procName == "" {
		return
	}
	c.b.Step("check that procfs is at " + strconv.Quote(c.procName))
	ok := c.b.Label()
	at := c.b.Open("", c.root, c.procName, pathDirectory, plan.InRoot)
	c.b.StatFS(at, c.scratch)
	c.b.SkipIf(ok, c.scratch, 8, 1<<64-1, unix.PROC_SUPER_MAGIC)
	c.b.Fail(unix.ESTALE)
	c.b.Bind(ok)
	c.b.Close(at)
}

// requireInside proves with the kernel's own word that the working directory lies below the root (CVE-2024-21626).
func (c *compiler) requireInside() {
	ok := c.b.Label()
	c.b.Getcwd(c.scratch, scratchSize)
	c.b.SkipIf(ok, c.scratch, 1, 0xff, '/')
	c.b.Fail(unix.ENOENT)
	c.b.Bind(ok)
}

// makeCwd makes a missing working directory while that is still possible. It is looked up again when all masks are in
// place: who stands in a directory does not see what is mounted over it later.
func (c *compiler) makeCwd() {
	c.at("open directory "+strconv.Quote(c.spec.Process.Cwd), "process", "cwd")
	if name := inside(c.spec.Process.Cwd); name != "/" {
		c.b.Close(c.target("", name, true))
	}
}
