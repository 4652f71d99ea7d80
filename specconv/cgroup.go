package specconv

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

const cgroupRoot = "/sys/fs/cgroup"

// instances are the file systems that show a namespace, and where the host has its own. Who is in a user namespace may mount
// only those that show what belongs to that namespace.
var instances = []struct {
	fstype string
	shows  specs.LinuxNamespaceType
	host   string
}{
	{"proc", specs.PIDNamespace, "/proc"},
	{"sysfs", specs.NetworkNamespace, "/sys"},
	{"mqueue", specs.IPCNamespace, "/dev/mqueue"},
}

// CgroupOwner is the host's user to whom the container's cgroup of v2 is to belong: that of the program, where the container
// has a cgroup namespace and a writable mount of it, else root (config-linux.md#cgroup-ownership).
func CgroupOwner(spec *specs.Spec) uint32 {
	writable := func(m specs.Mount) bool {
		s := parseMountOptions(m.Options)
		return m.Source == "cgroup" && inside(m.Destination) == cgroupRoot && s.join(s.recursive).set&unix.MOUNT_ATTR_RDONLY == 0
	}
	if !IsNew(spec, specs.CgroupNamespace) || !slices.ContainsFunc(spec.Mounts, writable) {
		return 0
	}
	return hostUser(spec, spec.Process.User.UID)
}

// hostUser is what a user of the container is on the host, root if config.json does not say it: the mappings of a user
// namespace that is joined are elsewhere.
func hostUser(spec *specs.Spec, uid uint32) uint32 {
	if !Has(spec, specs.UserNamespace) {
		return uid
	}
	for _, m := range spec.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return m.HostID + uid - m.ContainerID
		}
	}
	return 0
}

// bindsHost is the host's directory that is bound in the place of a new file system, "" if there is no need to.
func (c *compiler) bindsHost(i int) string {
	if c.bindsCgroup(i) {
		return cgroupRoot
	}
	for _, f := range instances {
		if f.fstype == c.spec.Mounts[i].Type && !c.owns(f.shows) {
			return f.host
		}
	}
	return ""
}

// bindsCgroup says whether a mount of cgroup v2 is a bind mount of the host's. In the host's cgroup namespace a mount of its
// own would set the options of the one hierarchy for the whole machine (cgroups(7), cgroup v2 mount options): nsdelegate and
// memory_recursiveprot would be gone, and to change favordynmods the kernel waits for a grace period, 9 ms here.
func (c *compiler) bindsCgroup(i int) bool {
	t := c.spec.Mounts[i].Type
	return c.host.Cgroup.V2 && (t == "cgroup" || t == "cgroup2") && !c.has(specs.CgroupNamespace)
}

// attachCgroupV1 shows the hierarchies of cgroup v1: a tmpfs with one directory each, and links for the controllers that
// share one. With a cgroup namespace they are mounted, without one the container's own directories are bound.
func (c *compiler) attachCgroupV1(i int) {
	m, s := &c.spec.Mounts[i], &c.settings[i]
	name := c.destination(i)
	attrs := s.attributes.join(s.recursive) // there is nothing below a hierarchy: both mean the same
	readonly := attrs.set&unix.MOUNT_ATTR_RDONLY != 0
	c.at("make the tmpfs for cgroups", "mounts", i)
	ctx := c.b.FsOpen("tmpfs")
	c.b.FsString(ctx, "source", "tmpfs")
	c.b.FsString(ctx, "mode", "755")
	c.b.FsCreate(ctx)
	top := c.b.FsMount(mountName(m.Destination), ctx, attrs.set&^unix.MOUNT_ATTR_RDONLY)
	c.b.Close(ctx)
	c.at("open mount point "+strconv.Quote(m.Destination), "mounts", i)
	c.attach(i, top, c.target("", name, true), place{name: name, mount: top, own: true, fresh: true, readonly: readonly})
	for j, h := range c.host.Cgroup.Hierarchies {
		c.at("mount cgroup hierarchy "+h.Name, "mounts", i)
		var mount plan.Reg
		if c.hierarchies != nil {
			mount = c.b.CloneTree("", c.hierarchies[i][j], false)
			c.b.Close(c.hierarchies[i][j])
			c.b.SetAttr(mount, plan.Attr{Set: attrs.set, Clear: attrs.clear, Propagation: unix.MS_PRIVATE})
		} else {
			mount = c.cgroupV1(h, attrs)
		}
		to := c.makeTarget("", c.places[len(c.places)-1], h.Name, true)
		c.b.MoveMount(mount, to)
		c.b.Close(to)
		c.b.Close(mount)
		if parts := strings.Split(h.Name, ","); len(parts) > 1 {
			for _, part := range parts {
				c.b.Symlink(h.Name, top, part)
			}
		}
	}
}

// captureHierarchies opens the container's own directories, which a container without a cgroup namespace gets to see.
func (c *compiler) captureHierarchies(i int) {
	if c.hierarchies == nil {
		c.hierarchies = make(map[int][]plan.Reg)
	}
	for _, h := range c.host.Cgroup.Hierarchies {
		c.at("open cgroup "+strconv.Quote(h.Own), "mounts", i)
		c.hierarchies[i] = append(c.hierarchies[i], c.b.Source(h.Own))
	}
}

// cgroupV1 makes a detached mount of a hierarchy as the cgroup namespace shows it.
func (c *compiler) cgroupV1(h Hierarchy, attrs attributes) plan.Reg {
	ctx := c.b.FsOpen("cgroup")
	c.b.FsString(ctx, "source", "cgroup")
	if h.Name == "systemd" {
		c.b.FsFlag(ctx, "none")
		c.b.FsString(ctx, "name", "systemd")
	} else {
		for part := range strings.SplitSeq(h.Name, ",") {
			c.b.FsFlag(ctx, part)
		}
	}
	c.b.FsCreate(ctx)
	mount := c.b.FsMount("", ctx, attrs.set)
	c.b.Close(ctx)
	return mount
}
