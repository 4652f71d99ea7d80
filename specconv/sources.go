package specconv

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// readSettings sorts the options of all mounts.
func (c *compiler) readSettings() {
	c.settings = make([]mountSettings, len(c.spec.Mounts))
	c.sources = make([]plan.Reg, len(c.spec.Mounts))
	for i, m := range c.spec.Mounts {
		c.settings[i] = parseMountOptions(m.Options)
		c.sources[i] = plan.NoReg
		s := &c.settings[i]
		s.bind = s.bind || m.Type == "bind"
		if c.bindsHost(i) != "" && !s.bind {
			// Read-only means all of it, also what is mounted below (CVE-2023-25809).
			s.bind, s.rbind, s.parameters = true, true, nil
			s.recursive, s.attributes = s.attributes.join(s.recursive), attributes{}
		}
	}
}

// shareSources captures, and copies at once, the sources of bind mounts that are to remain peers of the host's mounts, so that what the
// container mounts there appears on the host: the options shared and rshared where the root is shared too. Copied later, when the host's
// mounts have become masters of ours, they would get what the host mounts and pass on nothing.
func (c *compiler) shareSources() {
	if p := findPropagation(c.spec.Linux.RootfsPropagation); p == nil || p.kind != unix.MS_SHARED {
		return
	}
	for i := range c.spec.Mounts {
		if c.settings[i].propagation == unix.MS_SHARED && c.bindsOutside(i) {
			c.captureSource(i)
			c.sources[i] = c.cloneSource(i, c.sources[i])
			c.settings[i].copied = true
		}
	}
}

// captureSources opens the sources of bind mounts; their mounts are copied when it is their turn. A source inside the root is only known when the
// mounts before it are in place: it is looked up then, below the root.
func (c *compiler) captureSources() {
	for i, m := range c.spec.Mounts {
		if m.Type == "cgroup" && !c.host.Cgroup.V2 && !c.has(specs.CgroupNamespace) {
			c.captureHierarchies(i)
		}
		if c.sources[i] == plan.NoReg && c.bindsOutside(i) {
			c.captureSource(i)
		}
	}
}

// bindsOutside says whether a mount is a bind mount of something outside of the root.
func (c *compiler) bindsOutside(i int) bool {
	s := &c.settings[i]
	if !s.bind || s.remount || s.copyLink && c.source(i).Link != "" {
		return false
	}
	_, in := within(c.source(i).Path, c.host.Rootfs)
	return !in
}

func (c *compiler) captureSource(i int) {
	c.at("open source "+strconv.Quote(c.sourceName(i)), "mounts", i)
	c.sources[i] = c.openHost("", c.source(i).Path, c.settings[i].sourceFlags(), c.source(i).NoLinks)
}

// copySource makes a detached copy of a captured source, with its options.
func (c *compiler) copySource(i int, from plan.Reg) plan.Reg {
	source := from
	if !c.settings[i].copied {
		source = c.cloneSource(i, from)
	}
	c.mapMount(i, source)
	c.setAttributes(i, source)
	return source
}

func (c *compiler) cloneSource(i int, from plan.Reg) plan.Reg {
	c.at("copy the mount of source "+strconv.Quote(c.spec.Mounts[i].Source), "mounts", i)
	source := c.b.CloneTree("", from, c.settings[i].rbind)
	c.b.Close(from)
	return source
}

// source is the host side of a mount.
func (c *compiler) source(i int) Source {
	if host := c.bindsHost(i); host != "" {
		return Source{Path: host, Dir: true}
	}
	return c.host.Sources[i]
}

// openHost opens a path of the host. In a user namespace its root may have no way there where the host's root has: then the parent
// opens it, in this mount namespace, so that what the host has locked stays locked.
func (c *compiler) openHost(reg, name string, flags uint64, noLinks bool) plan.Reg {
	open := func() plan.Reg { return c.b.OpenHost(reg, name, flags) }
	switch {
	case noLinks:
		open = func() plan.Reg { return c.b.OpenHostPlain(reg, name, flags) }
	case flags == unix.O_NOFOLLOW:
		open = func() plan.Reg { return c.b.OpenHostLink(reg, name) }
	}
	if !c.has(specs.UserNamespace) {
		return open()
	}
	refused, done := c.b.Label(), c.b.Label()
	c.b.On(refused, unix.EACCES)
	fd := open()
	c.b.Skip(done)
	c.b.Bind(refused)
	c.b.GateFD(GateSource, c.scratch, scratchSize, fd, flags&unix.O_DIRECTORY)
	c.b.Bind(done)
	return fd
}

// sourceFlags are those for the look-up of the source.
func (s *mountSettings) sourceFlags() uint64 {
	if s.sourceLink {
		return unix.O_NOFOLLOW
	}
	return 0
}

// SourceLinks says whether a source that is a link is bound itself, or made anew at the destination.
func SourceLinks(m *specs.Mount) (bound, copied bool) {
	return slices.Contains(m.Options, "src-nofollow"), slices.Contains(m.Options, "copy-symlink")
}

// sourceName is how a message calls the source of a mount: as config.json does, unless the host's directory has taken its place.
func (c *compiler) sourceName(i int) string {
	if host := c.bindsHost(i); host != "" {
		return host
	}
	return c.spec.Mounts[i].Source
}

// IDMapped says whether the ids of a mount are to be mapped, and those of the mounts below it as well.
func IDMapped(m *specs.Mount) (is, recursive bool) {
	recursive = slices.Contains(m.Options, "ridmap")
	return recursive || slices.Contains(m.Options, "idmap") || len(m.UIDMappings) > 0, recursive
}

// mapMount has the parent map the ids of a detached mount: that takes rights over its file system, which a process in a user
// namespace lacks. The mount was made in this mount namespace, so what the host has locked in it stays locked.
func (c *compiler) mapMount(i int, mount plan.Reg) {
	if mapped, _ := IDMapped(&c.spec.Mounts[i]); mapped {
		c.at(GateIDMap, "mounts", i)
		c.b.SendFD(c.socket, mount)
		c.b.Gate(GateIDMap, c.scratch, scratchSize)
	}
}
