package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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
func CloneFlags(spec *specs.Spec) (flags uint64) {
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			flags |= NamespaceKind(ns.Type)
		}
	}
	return flags &^ unix.CLONE_NEWCGROUP
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

// namespace finds the entry of a type.
func namespace(spec *specs.Spec, t specs.LinuxNamespaceType) (ns specs.LinuxNamespace, index int) {
	for i, n := range spec.Linux.Namespaces {
		if n.Type == t {
			return n, i
		}
	}
	return specs.LinuxNamespace{}, -1
}

// Has says whether the container has a namespace of the type that is not the host's.
func Has(spec *specs.Spec, t specs.LinuxNamespaceType) bool {
	_, i := namespace(spec, t)
	return i >= 0
}

func (c *compiler) has(t specs.LinuxNamespaceType) bool { return Has(c.spec, t) }

// isNew says whether the container gets a new namespace of the type.
func (c *compiler) isNew(t specs.LinuxNamespaceType) bool {
	ns, i := namespace(c.spec, t)
	return i >= 0 && ns.Path == ""
}

// joinCgroup enters the hierarchies of cgroup v1. A single thread that moves itself needs no lock of the whole system,
// which a pid written to cgroup.procs by somebody else does (Linux 5.13, kernel commit 9a3284fad42f). What systemd makes is
// made with this process in it, so there is nothing that it could have been born into.
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

func (c *compiler) joinNamespaces() {
	for i, ns := range joined(c.spec) {
		_, index := namespace(c.spec, ns.Type)
		c.at("join namespace "+strconv.Quote(ns.Path), "linux", "namespaces", index)
		c.b.SetNS(c.namespaces[i], NamespaceKind(ns.Type))
		c.b.Close(c.namespaces[i])
		if ns.Type == specs.PIDNamespace {
			c.enterPidNamespace() // a procfs shows the namespace of the process that mounts it
		}
	}
	if c.isNew(specs.CgroupNamespace) {
		_, index := namespace(c.spec, specs.CgroupNamespace)
		c.at("make the cgroup namespace", "linux", "namespaces", index)
		c.b.Unshare(unix.CLONE_NEWCGROUP)
	}
}

func (c *compiler) waitForNetDevices() {
	if len(c.spec.Linux.NetDevices) > 0 {
		c.at(GateNetDevices, "linux", "netDevices")
		c.b.Gate(GateNetDevices, c.scratch, scratchSize)
	}
}

// enterPidNamespace goes on in a child: setns(2) changes the pid namespace of children only. What joins it stays invisible
// to tracers, since its members can see it from here on (CVE-2016-9962).
func (c *compiler) enterPidNamespace() {
	c.b.Step(StepEnterPids)
	c.b.Fork()
	c.b.Prctl(unix.PR_SET_DUMPABLE, 0)
}
