package specconv

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Host is what Compile may know of the machine and of the command: a plain struct of facts, filled by libct. With the same
// spec and the same Host the plan is the same, on any machine.
type Host struct {
	ID     string // of the container
	Bundle string // absolute
	Rootfs string // absolute path of root.path

	Inside      []specs.LinuxNamespaceType // joined namespaces that belong to the joined user namespace
	NoSetgroups bool                       // the kernel denies setgroups(2) in the user namespace
	DropGroups  bool                       // and we have groups that can be given up before it is joined
	BindDevices bool                       // in a user namespace no device node can be made: the host's are bound
	Schedules   bool                       // the parent sets scheduler and I/O priority: from inside a user namespace nobody may

	PreserveFDs   int  // descriptors 3.. that the container's process keeps
	StartGate     bool // wait on a listening socket for `start`; otherwise the gate on the parent's socket is the last
	NoPivot       bool // CompileExec: the root is not what is on top in the mount namespace
	NoNewKeyring  bool
	HostMounts    []string // proc and sysfs mounts of the host that must not show through without pivot_root
	Env           []string // the process's environment, complete but for ListenPid
	ListenPid     bool     // LISTEN_PID is the process's own pid, which it learns at a gate
	Program       string   // what is executed, if it is not args[0]
	Capabilities  uint64   // what this process may hand on
	Cgroup        Cgroup
	Resctrl       []string // names of the files that the process writes "0" to, in this order
	Sources       []Source // by index of spec.Mounts
	ChownStdio    [3]bool  // pipes and terminals that go to the user
	NullStdio     [3]bool  // the host's /dev/null
	SELinux       bool
	AppArmor      bool
	Filter        []byte // seccomp instructions, 8 bytes each
	FilterFlags   uint32 // for seccomp(2)
	FilterPending bool   // the filter comes at a gate
	SendListener  bool   // nobody can take the filter's listener from the process: it sends it
}

// Cgroup is how the process gets into its cgroup and what it sees of cgroups.
type Cgroup struct {
	V2          bool
	Gate        bool        // the process waits until it has been put into its cgroup (systemd)
	Joins       []string    // names of the files that the process writes "0" to (v1; v2 if it can't be born there)
	Hierarchies []Hierarchy // v1: what a mount of type cgroup shows
}

// Hierarchy is a mounted hierarchy of cgroup v1.
type Hierarchy struct {
	Name string // directory below /sys/fs/cgroup: "cpu,cpuacct", "systemd"
	Own  string // the container's own directory on the host, for containers without a cgroup namespace
}

// Source is what the host knows about a mount.
type Source struct {
	Path    string // bind: absolute path of the source
	Dir     bool   // bind: the source is a directory
	NoLinks bool   // bind: no part of Path may be a link
	Link    string // bind with copy-symlink: what the source leads to, if it is a link
	Mode    uint32 // tmpfs: permission bits of the directory that it covers, if that is there already; 0: unknown
}

// Names of inputs and gates, which libct answers. A gate's origin has its place in config.json.
const (
	InputSocket   = "parent"
	InputListener = "start gate"
	InputCgroup   = "cgroup:"  // with the name of the join
	InputResctrl  = "resctrl:" // with the name of the file
	InputNS       = "ns:"      // with the type of the namespace

	// The beginnings of steps that the parent takes in the place of the process; a name follows.
	StepScheduler  = "set the scheduler "
	StepIOPriority = "set the I/O priority "

	// StepEnterPids is the fork into a pid namespace that is joined.
	StepEnterPids = "enter the pid namespace"

	GateIDs        = "map the ids of the user namespace"
	GateOffsets    = "set the offsets of the time namespace"
	GateCgroup     = "wait for the cgroup"        // the process is to be put into its cgroup
	GateDelegate   = "enter the delegated cgroup" // one below the container's
	GateSource     = "open it as the host's root" // answer: the descriptor
	GateIDMap      = "map the ids of the mount"   // the detached mount was sent
	GateTarget     = "make the mount point"       // the root was sent: make what the mount at the pointer needs
	GateLink       = "make the symbolic link"     // the root was sent
	GateCopyUp     = "copy the directory up"      // the directory and the tmpfs were sent
	GateNetDevices = "move the network devices"
	GateHooks      = "run the hooks before the start" // prestart, createRuntime, createContainer
	GateSchedule   = "set the scheduler and the I/O priority"
	GateConsole    = "hand the console over"      // the pty's master was sent
	GateFilter     = "get the seccomp filter"     // answer: plan.FilterAnswer
	GatePid        = "get its pid for LISTEN_PID" // answer: PidAnswer
	GateCreated    = "wait until the state is written"
	GateStart      = "run the startContainer hooks"

	// GateListener is the first thing under a filter with SCMP_ACT_NOTIFY: Event.FD is its listener, which was sent if
	// Host.SendListener says so.
	GateListener = "hand the seccomp listener over"
)

// within says whether the clean absolute path lies below (or at) the clean absolute directory, and where.
func within(name, dir string) (rest string, ok bool) {
	if dir == "/" {
		return strings.TrimPrefix(name, "/"), true
	}
	rest, ok = strings.CutPrefix(name, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// Destination is the clean absolute path of a mount point in the container. One that is given as it is on the host, below the
// rootfs, means the place in the rootfs, as runc has it.
func Destination(name, rootfs string) string {
	name = inside(name)
	if rest, ok := within(name, rootfs); ok && rootfs != "/" {
		return "/" + rest
	}
	return name
}

// inside makes a path of config.json a clean absolute one.
func inside(name string) string { return path.Clean("/" + name) }
