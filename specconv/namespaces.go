package specconv

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// namespaceKinds maps the specification's names to the kernel's.
var namespaceKinds = []struct {
	name specs.LinuxNamespaceType
	kind uint64
}{
	{specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.IPCNamespace, unix.CLONE_NEWIPC},
	{specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.PIDNamespace, unix.CLONE_NEWPID},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP},
	{specs.UserNamespace, unix.CLONE_NEWUSER},
	{specs.TimeNamespace, unix.CLONE_NEWTIME},
}

func namespaceNames() (names []string) {
	for _, k := range namespaceKinds {
		names = append(names, string(k.name))
	}
	return names
}

// NamespaceKind is the CLONE_NEW* flag of a namespace type, 0 if it is unknown.
func NamespaceKind(t specs.LinuxNamespaceType) uint64 {
	for _, k := range namespaceKinds {
		if k.name == t {
			return k.kind
		}
	}
	return 0
}

// CloneFlags are the new namespaces that the container's first process is born into. The cgroup namespace is not among
// them: its root is the cgroup that the process is in when it is made, so the plan makes it after joining the cgroup.
func CloneFlags(spec *specs.Spec) uint64 {
	if late(spec) {
		return 0
	}
	return newKinds(spec) &^ unix.CLONE_NEWCGROUP
}

// newKinds are all new namespaces.
func newKinds(spec *specs.Spec) (kinds uint64) {
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			kinds |= NamespaceKind(ns.Type)
		}
	}
	return kinds
}

// late says whether the plan makes the new namespaces, and not the clone3 that the process is born by: they have to
// belong to a user namespace that is joined, a new user namespace would have no right to join the others, or the offsets of a
// time namespace have to be set before somebody is in it (time_namespaces(7)).
func late(spec *specs.Spec) bool {
	kinds := newKinds(spec)
	user, _ := namespace(spec.Linux, specs.UserNamespace)
	return user.Path != "" || kinds&unix.CLONE_NEWTIME != 0 || kinds&unix.CLONE_NEWUSER != 0 && len(joined(spec)) > 0
}

// Joined lists the namespaces that are given by path, in the order in which they are joined: the pid namespace last,
// because its members can see whoever enters it.
func Joined(spec *specs.Spec) []specs.LinuxNamespace { return joined(spec) }

func joined(spec *specs.Spec) (list []specs.LinuxNamespace) {
	for _, last := range []bool{false, true} {
		for _, ns := range spec.Linux.Namespaces {
			if ns.Path != "" && (ns.Type == specs.PIDNamespace) == last {
				list = append(list, ns)
			}
		}
	}
	return list
}

// namespace finds the entry of a type, index -1 if there is none.
func namespace(l *specs.Linux, t specs.LinuxNamespaceType) (ns specs.LinuxNamespace, index int) {
	for i, n := range l.Namespaces {
		if n.Type == t {
			return n, i
		}
	}
	return specs.LinuxNamespace{}, -1
}

// Has says whether the container has a namespace of the type that is not the host's.
func Has(spec *specs.Spec, t specs.LinuxNamespaceType) bool {
	return hasNamespace(spec.Linux, t)
}

func hasNamespace(l *specs.Linux, t specs.LinuxNamespaceType) bool {
	_, i := namespace(l, t)
	return i >= 0
}

func (c *compiler) has(t specs.LinuxNamespaceType) bool { return Has(c.spec, t) }

// IsNew says whether the container gets a new namespace of the type.
func IsNew(spec *specs.Spec, t specs.LinuxNamespaceType) bool { return isNew(spec.Linux, t) }

func isNew(l *specs.Linux, t specs.LinuxNamespaceType) bool {
	ns, i := namespace(l, t)
	return i >= 0 && ns.Path == ""
}

func (c *compiler) isNew(t specs.LinuxNamespaceType) bool { return IsNew(c.spec, t) }

// owns says whether a namespace of the type belongs to the container's user namespace, or the host's is good enough: only then
// may the process mount the file system that shows it.
func (c *compiler) owns(t specs.LinuxNamespaceType) bool {
	return !c.has(specs.UserNamespace) || c.isNew(t) || slices.Contains(c.host.Inside, t)
}

// joinCgroup enters the cgroups that the process was not born in: the hierarchies of cgroup v1, and that of v2 where the kernel
// refuses CLONE_INTO_CGROUP or execCPUAffinity.initial comes before it. A single thread that moves itself needs no lock of
// the whole system, which a pid written by somebody else does (Linux 5.5, kernel commit 9a3284fad42f). What systemd makes
// is made with this process in it, so there is nothing that it could have been born into.
func (c *compiler) joinCgroup() {
	affinity := c.execAffinity()
	c.setAffinity(affinity.Initial, "initial")
	if c.host.Cgroup.Gate {
		c.at(GateCgroup, "linux", "cgroupsPath")
		c.b.Gate(GateCgroup, c.scratch, scratchSize)
	}
	for i, name := range c.host.Cgroup.Joins {
		c.at("join cgroup "+name, "linux", "cgroupsPath")
		c.b.Write(c.joins[i], []byte("0"))
		c.b.Close(c.joins[i])
	}
	if c.setAffinity(affinity.Final, "final"); affinity == (specs.CPUAffinity{}) {
		c.resetAffinity()
	}
}

// joinGroups enters groups of the resctrl file system, the monitoring one after the control group that it belongs to.
func (c *compiler) joinGroups() {
	for i, name := range c.host.Resctrl {
		c.at("join group "+name, "linux", "intelRdt")
		c.b.Write(c.groups[i], []byte("0"))
		c.b.Close(c.groups[i])
	}
}

// bornInUser gives a process that was born in a new user namespace its ids.
func (c *compiler) bornInUser() {
	if c.isNew(specs.UserNamespace) && !late(c.spec) {
		c.b.BornInUser()
		c.takeIDs()
	}
}

// joinNamespaces enters the namespaces that the process was not born into: first those of the host's user namespace, then
// the user namespace, then those that belong to it, and the pid namespace last. A procfs shows the namespace of the process that
// mounts it, so all this comes before the mounts.
func (c *compiler) joinNamespaces() {
	c.joinThose(false)
	if late(c.spec) {
		c.enterUser()
		c.joinThose(true)
		if kinds := newKinds(c.spec) &^ (unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP); kinds != 0 {
			c.at("make namespaces", "linux", "namespaces")
			c.b.Unshare(kinds)
		}
	}
	if len(c.spec.Linux.TimeOffsets) > 0 {
		c.at(GateOffsets, "linux", "timeOffsets")
		c.b.Gate(GateOffsets, c.scratch, scratchSize)
	}
	pids, index := namespace(c.spec.Linux, specs.PIDNamespace)
	switch {
	case pids.Path != "":
		c.at(StepEnterPids, "linux", "namespaces", index)
		c.enterPidNamespace(0)
	case late(c.spec) && index >= 0:
		c.at("make the pid namespace", "linux", "namespaces", index)
		c.enterPidNamespace(unix.CLONE_NEWPID)
	case c.isNew(specs.TimeNamespace):
		_, index = namespace(c.spec.Linux, specs.TimeNamespace)
		c.at("enter the time namespace", "linux", "namespaces", index)
		c.enterPidNamespace(0)
	}
	if c.isNew(specs.CgroupNamespace) {
		_, index := namespace(c.spec.Linux, specs.CgroupNamespace)
		c.at("make the cgroup namespace", "linux", "namespaces", index)
		c.b.Unshare(unix.CLONE_NEWCGROUP)
	}
	if DelegateCgroup(c.spec) != "" && c.host.Cgroup.V2 { // the container's own cgroup is the root of that namespace
		c.at(GateDelegate, "annotations", annotateDelegate)
		c.b.Gate(GateDelegate, c.scratch, scratchSize)
	}
}

func (c *compiler) waitForNetDevices() {
	if len(c.spec.Linux.NetDevices) > 0 {
		c.at(GateNetDevices, "linux", "netDevices")
		c.b.Gate(GateNetDevices, c.scratch, scratchSize)
	}
}

// joinThose joins the namespaces by path that belong to the joined user namespace, or those that don't.
func (c *compiler) joinThose(inside bool) {
	for i, ns := range joined(c.spec) {
		if ns.Type == specs.UserNamespace || slices.Contains(c.host.Inside, ns.Type) != inside {
			continue
		}
		_, index := namespace(c.spec.Linux, ns.Type)
		c.at("join namespace "+strconv.Quote(ns.Path), "linux", "namespaces", index)
		c.b.SetNS(c.namespaces[i], NamespaceKind(ns.Type))
		c.b.Close(c.namespaces[i])
	}
}

// enterUser makes or joins the user namespace. What only the host's root may do to this process comes before.
func (c *compiler) enterUser() {
	ns, index := namespace(c.spec.Linux, specs.UserNamespace)
	if index < 0 {
		return
	}
	c.prepareUser()
	if !c.owns(specs.UTSNamespace) {
		c.nameHost()
		c.named = true
	}
	c.at("make the user namespace", "linux", "namespaces", index)
	if ns.Path == "" {
		c.b.Unshare(unix.CLONE_NEWUSER)
		c.takeIDs()
		return
	}
	c.at("join namespace "+strconv.Quote(ns.Path), "linux", "namespaces", index)
	for i, j := range joined(c.spec) {
		if j.Type == specs.UserNamespace {
			c.b.SetNS(c.namespaces[i], unix.CLONE_NEWUSER)
			c.b.Close(c.namespaces[i])
		}
	}
	c.becomeRoot()
}

// prepareUser does what a process from outside a user namespace can't do any more when it is inside: files below /proc/self stay
// those of the host's root while it may not be traced, and hard limits are only raised outside.
func (c *compiler) prepareUser() {
	if hasLabels(c.spec.Process) {
		c.openHostProc()
		c.setLabels()
		c.b.Close(c.proc)
		c.proc = plan.NoReg
	}
	c.labelled = true
	if c.host.DropGroups {
		c.b.At("", "give up the groups of the runtime")
		c.b.SetGroups(nil)
	}
	if c.has(specs.UserNamespace) {
		c.setRlimits()
		c.limited = true
	}
}

func (c *compiler) openHostProc() {
	c.b.At("", "open the host's /proc")
	c.proc = c.b.OpenHostProc(c.scratch)
}

// takeIDs has the parent write the id maps of the new user namespace, then becomes its root. Until then the process is
// nobody, and must be visible to a parent without privileges: the kernel would give /proc/PID/uid_map to root.
func (c *compiler) takeIDs() {
	c.at(GateIDs, "linux", "uidMappings")
	c.b.Gate(GateIDs, c.scratch, scratchSize)
	c.becomeRoot()
}

// visibleUntilMapped says whether the process is to be traceable until it has its ids: nobody else can be in the namespaces that
// it is in.
func (c *compiler) visibleUntilMapped() bool {
	return c.isNew(specs.UserNamespace) && len(joined(c.spec)) == 0
}

// becomeRoot takes the ids of the user namespace's root, or of the first user that there is. Only now the process can own
// files.
func (c *compiler) becomeRoot() {
	c.at("become root of the user namespace", "linux", "uidMappings")
	c.b.SetGID(firstID(c.spec.Linux.GIDMappings))
	c.b.SetUID(firstID(c.spec.Linux.UIDMappings))
	if !c.visibleUntilMapped() || len(c.spec.Linux.TimeOffsets) == 0 {
		c.hide() // else the fork into the time namespace does it: a parent without privileges has one more file to write
	}
}

// hide keeps others from tracing this process, and from reading its memory and descriptors (CVE-2016-9962).
func (c *compiler) hide() { c.b.Prctl(unix.PR_SET_DUMPABLE, 0) }

// firstID is 0, or the first id that is mapped where that is none. A joined namespace has mappings of its own.
func firstID(list []specs.LinuxIDMapping) uint32 {
	for _, m := range list {
		if m.ContainerID == 0 {
			return 0
		}
	}
	if len(list) > 0 {
		return list[0].ContainerID
	}
	return 0
}

// enterPidNamespace goes on in a child: setns(2) changes the pid namespace of children only, and so does a time namespace that
// was made. What joins it stays invisible to tracers, since its members can see it from here on (CVE-2016-9962).
func (c *compiler) enterPidNamespace(kinds uint64) {
	c.b.Fork(kinds)
	c.hide()
}
