package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/plan"
)

// phase is one section of a container's start. Each appends its ops to the plan.
type phase struct {
	name string
	run  func(*compiler)
}

// phases is the order of a start. Read it top to bottom: what the kernel is asked to do is in this order, after clone3 with the
// namespaces of CloneFlags and the execve of the interpreter. Where the plan itself makes the namespaces (late), labels, limits
// and names are set in the phase "namespaces" already: what they are written to belongs to nobody afterwards.
var phases = []phase{
	{"descriptors", (*compiler).descriptors},   // what is inherited goes at execve, but for --preserve-fds; nobody can trace us; umask 0
	{"cgroup", (*compiler).joinCgroup},         // before the cgroup namespace, whose root it becomes
	{"resctrl", (*compiler).joinGroups},        // the control group, then the monitoring group in it
	{"user", (*compiler).bornInUser},           // the ids in a new user namespace
	{"namespaces", (*compiler).joinNamespaces}, // those of other containers, and the own cgroup namespace
	{"root", (*compiler).attachRoot},           // host objects are captured, then the root is attached to its own directory
	{"mounts", (*compiler).attachMounts},       // in the order of config.json
	{"devices", (*compiler).makeDevices},       // nodes, links, console
	{"cwd", (*compiler).makeCwd},               // the working directory is made if it is missing
	{"network", (*compiler).waitForNetDevices}, // before hooks and sysctls, which may want to set something about them
	{"hooks", (*compiler).waitForHooks},        // prestart, createRuntime, createContainer: before the root changes
	{"uts", (*compiler).nameHost},              // hostname and domainname
	{"sysctl", (*compiler).writeSysctls},       // before /proc/sys may become read-only
	{"masks", (*compiler).restrictPaths},       // masked and read-only paths, read-only mounts
	{"pivot", (*compiler).changeRoot},          // the host is gone from here on
	{"labels", (*compiler).setLabels},          // oom_score_adj, AppArmor, SELinux, also that of the keyring: through the own procfs
	{"session", (*compiler).startSession},      // session, keyring, terminal
	{"scheduling", (*compiler).schedule},       // scheduler, I/O priority, memory policy, personality
	{"limits", (*compiler).setRlimits},         // while we may still raise them (both before a user namespace is entered)
	{"credentials", (*compiler).dropPrivileges},
	{"start", (*compiler).waitForStart}, // program and filter are there; the container is created; `start` lets it go on
	{"exec", (*compiler).execute},       // the lowest limits, filter, last capabilities, execve
}

// compiler holds what the phases know of each other.
type compiler struct {
	spec *specs.Spec
	host *Host
	b    *plan.Builder
	err  error // why there is no plan for this spec

	socket, listener plan.Reg
	namespaces       []plan.Reg // inputs, in the order of joined(spec)
	groups           []plan.Reg // inputs, in the order of host.Resctrl
	joins            []plan.Reg // inputs, in the order of host.Cgroup.Joins

	settings    []mountSettings    // of spec.Mounts
	sources     []plan.Reg         // captured host mounts, by index of spec.Mounts
	hierarchies map[int][]plan.Reg // captured cgroup directories (v1, without a cgroup namespace), by index of spec.Mounts
	root        plan.Reg
	rootDir     plan.Reg            // the host's directory that the root is attached to
	cwd         plan.Reg            // the working directory, if the user may have to go there
	there       plan.Data           // not 0: the process is there
	null        plan.Reg            // the host's /dev/null, proven
	mask        plan.Reg            // the empty read-only tmpfs that masks directories
	proc        plan.Reg            // procfs of the container: the only way into /proc
	procName    string              // where it is mounted, "" if only we use it
	dev         plan.Reg            // /dev
	newDev      bool                // /dev is a tmpfs of this plan
	hostNodes   map[string]plan.Reg // the host's device nodes, by name: host.BindDevices
	tty         plan.Reg
	init        plan.Reg        // CompileExec: pidfd of the first process
	exec        bool            // CompileExec
	errand      bool            // CompileMounts, CompileUnmounts
	detached    []place         // CompileMounts: what is to be attached, by index of spec.Mounts
	added       []AddedMount    // CompileUnmounts
	back        plan.Reg        // CompileTakeBack: the mount
	own         plan.Reg        // CompileUnmounts: the directory of our own descriptors
	labelled    bool            // labels were set before the user namespace was entered
	limited     bool            // so were limits
	named       bool            // so were hostname and domainname
	places      []place         // what has been mounted so far
	made        map[string]bool // directories made in new file systems

	scratch plan.Data // for statx, statfs, getcwd and answers of gates without content
	filter  plan.Data
	late    []plan.Data // variables of the environment that answers of gates write
}

// scratchSize fills the plan's first page, header included: what the plan writes to is apart from what it only reads, which
// is then never copied. getcwd needs it for long paths.
const scratchSize = 4096 - plan.HeaderSize

// Compile turns a validated spec and the facts of the host into a plan that Verify has passed. It is a pure function.
func Compile(spec *specs.Spec, host *Host) (*plan.Plan, error) {
	c := &compiler{
		spec: spec, host: host, b: plan.NewBuilder(3 + host.PreserveFDs), made: map[string]bool{},
		null: plan.NoReg, cwd: plan.NoReg, mask: plan.NoReg, proc: plan.NoReg, dev: plan.NoReg, tty: plan.NoReg,
	}
	c.scratch = c.b.Space(scratchSize)
	c.inputs()
	return c.run(phases)
}

// run writes the phases into the plan and proves it.
func (c *compiler) run(phases []phase) (*plan.Plan, error) {
	for _, p := range phases {
		c.b.At("", p.name)
		p.run(c)
	}
	return c.finish()
}

// finish proves the plan; a refusal is a mistake of this package, so it says so.
func (c *compiler) finish() (*plan.Plan, error) {
	if c.err != nil {
		return nil, c.err
	}
	p, err := c.b.Plan()
	if err != nil {
		return nil, err
	}
	return p, p.Verify()
}

// inputs declares the descriptors that libct hands over. Those that live until the start come first.
func (c *compiler) inputs() {
	c.socket = c.b.Input(InputSocket, plan.Socket)
	if c.host.StartGate {
		c.listener = c.b.Input(InputListener, plan.Listener)
	}
	for _, ns := range joined(c.spec) {
		c.namespaces = append(c.namespaces, c.b.Input(InputNS+string(ns.Type), plan.Namespace))
	}
	c.joinInputs()
}

func (c *compiler) joinInputs() {
	for _, name := range c.host.Resctrl {
		c.groups = append(c.groups, c.b.Input(InputResctrl+name, plan.Joinable))
	}
	for _, name := range c.host.Cgroup.Joins {
		c.joins = append(c.joins, c.b.Input(InputCgroup+name, plan.Joinable))
	}
}

// at sets the origin of the following ops: a place in config.json built from its parts, and the step in words.
func (c *compiler) at(step string, pointer ...any) { c.b.At(at(pointer...), step) }

func (c *compiler) descriptors() {
	c.b.MarkInherited()
	if !c.exec && !c.visibleUntilMapped() {
		c.hide()
	}
	c.b.Umask(0)
}
