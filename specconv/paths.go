package specconv

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// nameHost sets hostname and domainname of the UTS namespace.
func (c *compiler) nameHost() {
	if c.named {
		return
	}
	if c.spec.Hostname != "" {
		c.at("set the hostname", "hostname")
		c.b.SetHostname(c.spec.Hostname)
	}
	if c.spec.Domainname != "" {
		c.at("set the domainname", "domainname")
		c.b.SetDomainname(c.spec.Domainname)
	}
}

// writeSysctls writes linux.sysctl through the container's own procfs. Validate has let only those pass that belong to a
// namespace of the container.
func (c *compiler) writeSysctls() {
	for _, name := range slices.Sorted(maps.Keys(c.spec.Linux.Sysctl)) {
		c.at("write sysctl "+strconv.Quote(name), "linux", "sysctl", name)
		place, _ := sysctlFile(name)
		file := c.b.Open("", c.proc, "sys/"+place, unix.O_WRONLY, plan.Beneath)
		// A write of nothing would change nothing; sysctl(8) sets an empty value with a new line.
		c.b.Write(file, []byte(cmp.Or(c.spec.Linux.Sysctl[name], "\n")))
		c.b.Close(file)
	}
}

// restrictPaths hides masked paths, makes read-only paths and mounts read-only.
func (c *compiler) restrictPaths() {
	masked := make(map[string]bool)
	for _, i := range deepestFirst(c.spec.Linux.MaskedPaths) {
		if name := inside(c.spec.Linux.MaskedPaths[i]); !masked[name] {
			masked[name] = true
			c.maskPath(i, name)
		}
	}
	readonly := make(map[string]bool)
	for _, i := range deepestFirst(c.spec.Linux.ReadonlyPaths) {
		name := inside(c.spec.Linux.ReadonlyPaths[i])
		if hidden := below(name, masked); !hidden && !readonly[name] {
			readonly[name] = true
			c.readonlyPath(i, name)
		}
	}
	for _, p := range c.places {
		if p.readonly {
			c.b.At("", "make "+strconv.Quote(p.name)+" read-only")
			c.b.SetAttr(p.mount, plan.Attr{Set: unix.MOUNT_ATTR_RDONLY})
		}
	}
	if c.spec.Root.Readonly {
		c.at("make the root read-only", "root", "readonly")
		c.b.SetAttr(c.root, plan.Attr{Set: unix.MOUNT_ATTR_RDONLY})
	}
}

// below says whether the path is one of the set or lies below one.
func below(name string, set map[string]bool) bool {
	for ; name != "/"; name = path.Dir(name) {
		if set[name] {
			return true
		}
	}
	return false
}

// deepestFirst orders paths so that none lies below one before it: what is mounted over a path hides the paths below it
// from a look-up that may not cross mounts, and a read-only copy takes the masks below it along.
func deepestFirst(paths []string) []int {
	order := make([]int, len(paths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Count(paths[b], "/") - strings.Count(paths[a], "/") })
	return order
}

// existing opens a path that may be absent. Only the look-up may find nothing; whatever is found must then be restricted
// (CVE-2025-31133). Names in procfs and sysfs are looked up in the mount that this plan has made, never by way of the root.
func (c *compiler) existing(name string, absent *plan.Label) plan.Reg {
	base, rest := c.base(name)
	resolve := uint64(plan.InRoot)
	if base.own {
		resolve = plan.Beneath
	}
	c.b.On(absent, unix.ENOENT, unix.ENOTDIR)
	return c.b.Open("", base.mount, rest, unix.O_PATH, resolve)
}

// readonlyPath covers a path with a read-only copy of itself: source and target are one descriptor.
func (c *compiler) readonlyPath(i int, name string) {
	c.at("make "+strconv.Quote(name)+" read-only", "linux", "readonlyPaths", i)
	absent := c.b.Label()
	at := c.existing(name, absent)
	cover := c.b.CloneTree("", at, true)
	c.b.SetAttr(cover, plan.Attr{Set: unix.MOUNT_ATTR_RDONLY, Recursive: true})
	c.b.MoveMount(cover, at)
	c.b.Close(cover)
	c.b.Close(at)
	c.b.Bind(absent)
}

// maskPath covers a directory with the empty one and anything else with the host's /dev/null.
func (c *compiler) maskPath(i int, name string) {
	c.at("mask "+strconv.Quote(name), "linux", "maskedPaths", i)
	absent, file, done := c.b.Label(), c.b.Label(), c.b.Label()
	at := c.existing(name, absent)
	c.b.Stat(at, c.scratch)
	c.b.SkipUnless(file, c.scratch+plan.StatxMode, 2, unix.S_IFMT, unix.S_IFDIR)
	c.cover(c.mask, at, 0)
	c.b.Skip(done)
	c.b.Bind(file)
	c.cover(c.null, at, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	c.b.Bind(done)
	c.b.Close(at)
	c.b.Bind(absent)
}

func (c *compiler) cover(with, at plan.Reg, attrs uint64) {
	cover := c.b.CloneTree("", with, false)
	if attrs != 0 {
		c.b.SetAttr(cover, plan.Attr{Set: attrs})
	}
	c.b.MoveMount(cover, at)
	c.b.Close(cover)
}

// waitForHooks lets the parent run the hooks of runtime-spec's create operation.
func (c *compiler) waitForHooks() {
	h := c.spec.Hooks
	if h == nil || len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) == 0 { //nolint:staticcheck // prestart is deprecated, not gone
		return
	}
	c.at(GateHooks, "hooks")
	c.b.Gate(GateHooks, c.scratch, scratchSize)
}
