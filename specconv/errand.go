package specconv

import (
	"fmt"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// Gates of CompileMounts and CompileUnmounts.
const (
	GateAdd    = "write down what is to be mounted" // all mounts were sent, detached, in their order
	GateErrand = "end"                              // everything is done

	InputMount = "mount" // of CompileTakeBack
)

// mountPhases is the order in which mounts come into a container that exists.
var mountPhases = []phase{
	{"descriptors", (*compiler).descriptors},
	{"invisible", (*compiler).hide},
	{"user", (*compiler).enterContainersUser}, // what the host has locked is locked for the container too
	{"sources", (*compiler).detachMounts},     // all that is of the host, with its options, before the first name in the container
	{"container", (*compiler).enterContainersMounts},
	{"record", (*compiler).sendMounts},
	{"mounts", (*compiler).placeMounts},
	{"end", (*compiler).endErrand},
}

// unmountPhases is the order in which they go.
var unmountPhases = []phase{
	{"descriptors", (*compiler).descriptors},
	{"invisible", (*compiler).hide},
	{"own", (*compiler).openOwnFDs},
	{"user", (*compiler).enterContainersUser},
	{"container", (*compiler).enterContainersMounts},
	{"unmount", (*compiler).unmount},
	{"end", (*compiler).endErrand},
}

// CompileMounts compiles the way of further mounts into a running container: spec is the container's, host.Sources belongs to the
// mounts, which ValidateMounts has seen. The plan has inputs for the container's root and its first process.
func CompileMounts(spec *specs.Spec, mounts []specs.Mount, host *Host) (*plan.Plan, error) {
	own := *spec
	own.Mounts = mounts
	return newErrand(&own, host).run(mountPhases)
}

// AddedMount is a mount that CompileMounts has brought into a container.
type AddedMount struct {
	Destination string // clean absolute path in the container
	ID          uint64 // of the mount: plan.StatxMount
	Source      string // absolute path on the host; "" if it is no bind mount
}

// CompileUnmounts compiles the removal of such mounts, in the order given. All are found, and proven to be those that are meant,
// before the first one goes.
func CompileUnmounts(spec *specs.Spec, mounts []AddedMount, host *Host) (*plan.Plan, error) {
	c := newErrand(spec, host)
	c.added = mounts
	return c.run(unmountPhases)
}

// CompileTakeBack is CompileUnmounts for one mount, whose descriptor is a further input: what the container has made of its name does
// not matter. One that is not attached is EINVAL.
func CompileTakeBack(spec *specs.Spec, mount AddedMount, host *Host) (*plan.Plan, error) {
	c := newErrand(spec, host)
	c.added = []AddedMount{mount}
	c.back = c.b.Input(InputMount, plan.Inside)
	return c.run(unmountPhases)
}

func newErrand(spec *specs.Spec, host *Host) *compiler {
	c := &compiler{
		spec: spec, host: host, b: plan.NewBuilder(3), made: map[string]bool{},
		null: plan.NoReg, mask: plan.NoReg, proc: plan.NoReg, dev: plan.NoReg, tty: plan.NoReg, exec: true, errand: true, back: plan.NoReg,
	}
	c.b.Errand()
	c.scratch = c.b.Space(scratchSize)
	c.socket = c.b.Input(InputSocket, plan.Socket)
	c.root = c.b.Input(InputRoot, plan.Root)
	c.init = c.b.Input(InputInit, plan.Namespace)
	return c
}

// enterContainersUser enters the container's user namespace, if it has one. A copy of the host's tree that is made in it has the
// locks that a container's own has: what is read-only on the host stays so (mount_namespaces(7)).
func (c *compiler) enterContainersUser() {
	if c.has(specs.UserNamespace) {
		c.b.Step("join the user namespace of the container")
		c.b.SetNS(c.init, unix.CLONE_NEWUSER)
		c.becomeRoot()
		c.hide()
	}
}

func (c *compiler) enterContainersMounts() {
	c.b.Step("join the mount namespace of the container")
	c.b.SetNS(c.init, unix.CLONE_NEWNS)
	c.b.Close(c.init)
}

// links says how names inside the container are looked up. At create they are the image's; later links are what the container's
// processes have made of them, and would lead a mount to where nobody meant it to be.
func (c *compiler) links() uint64 {
	if c.errand {
		return plan.Plain
	}
	return plan.InRoot
}

// detachMounts captures all sources, then makes all mounts with all their options.
func (c *compiler) detachMounts() {
	c.b.Step("make a tree of mounts that is deaf towards the host")
	c.b.OwnMounts()
	c.readSettings()
	c.captureSources()
	for i := range c.spec.Mounts {
		switch from := c.sources[i]; {
		case from != plan.NoReg:
			c.detached = append(c.detached, place{mount: c.copySource(i, from)})
		case c.settings[i].bind:
			c.err = fmt.Errorf("/mounts/%d: source %q lies in the rootfs, where the container's processes may have put a link to anything", i, c.spec.Mounts[i].Source)
			return
		default:
			_, p := c.makeNew(i)
			c.detached = append(c.detached, p)
		}
	}
}

// sendMounts has the parent write down what is about to be attached: whatever happens afterwards, that can be removed.
func (c *compiler) sendMounts() {
	for i, p := range c.detached {
		c.at(GateAdd, "mounts", i)
		c.b.SendFD(c.socket, p.mount)
	}
	c.b.At("", GateAdd)
	c.b.Gate(GateAdd, c.scratch, scratchSize)
}

func (c *compiler) placeMounts() {
	if c.err != nil {
		return
	}
	for i, p := range c.detached {
		if c.sources[i] != plan.NoReg {
			c.placeBind(i, c.destination(i), p.mount)
		} else {
			c.placeNew(i, c.spec.Mounts[i].Type, p)
		}
	}
}

func (c *compiler) openOwnFDs() {
	c.openHostProc()
	c.own = c.b.OpenOwnFDs(c.proc)
	c.b.Close(c.proc)
}

// unmount looks all mounts up and proves that each is the one that is meant: the container may have put a link to something else in
// its place, for instance to what is masked.
func (c *compiler) unmount() {
	found := make([]plan.Reg, len(c.added))
	for i, m := range c.added {
		c.b.At("", "find the mount that was added at "+strconv.Quote(m.Destination))
		if found[i] = c.back; c.back == plan.NoReg {
			found[i] = c.b.Open("", c.root, m.Destination, unix.O_PATH, c.links())
		}
		c.b.RequireMount(found[i], c.scratch, m.ID)
	}
	for i, m := range c.added {
		c.b.At("", "unmount "+strconv.Quote(m.Destination))
		c.b.Unmount(found[i], c.own)
	}
}

func (c *compiler) endErrand() { c.b.Gate(GateErrand, c.scratch, scratchSize) }

// shownNamespaces are file systems that show a namespace or control one.
var shownNamespaces = []string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "binfmt_misc", "nsfs"}

// ValidateMounts checks mounts that are to come into the running container of a spec: what is checked in config.json, and what would
// be something else in a container that runs. Pointers begin with /mounts.
func ValidateMounts(spec *specs.Spec, mounts []specs.Mount) error {
	own := *spec
	own.Mounts = mounts
	r := &report{section: "config.md#mounts"}
	checkMounts(r, &own)
	r.section = ""
	for i := range mounts {
		if slices.Contains(mounts[i].Options, "remount") {
			r.add(at("mounts", i, "options"), "a mount that is in place can't be changed, only removed and added again")
		}
		s := parseMountOptions(mounts[i].Options)
		if s.copyLink || s.sourceLink || s.targetLink {
			r.add(at("mounts", i, "options"), "what is made of a link could not be found again to be removed")
		}
		if !s.bind && slices.Contains(shownNamespaces, mounts[i].Type) {
			r.add(at("mounts", i, "type"), "file system %q can't come into a running container: masked and read-only paths would not be so in it", mounts[i].Type)
		}
	}
	return r.err()
}
