package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// Names of the inputs of CompileExec.
const (
	InputInit     = "init"     // pidfd of the container's first process
	InputRoot     = "root"     // its root directory
	InputTerminal = "terminal" // the process's end of a pty
)

// execPhases is the order in which a further process enters a running container, as phases is that of its first one.
var execPhases = []phase{
	{"descriptors", (*compiler).descriptors},
	{"cgroup", (*compiler).joinCgroup},
	{"resctrl", (*compiler).joinGroups},
	{"prepare", (*compiler).prepareUser}, // labels and limits, through the host's procfs: nothing in the container can stand in its way
	{"invisible", (*compiler).hide},
	{"namespaces", (*compiler).joinContainer},
	{"session", (*compiler).startSession}, // the fork into the pid namespace: its members see the child from here on
	{"scheduling", (*compiler).schedule},
	{"limits", (*compiler).setRlimits},
	{"credentials", (*compiler).dropPrivileges},
	{"program", (*compiler).prepareExec},
	{"exec", (*compiler).execute},
}

// CompileExec compiles a further process of a running container: spec is the container's, p the process. The plan has
// inputs for the container's init and root, and for a terminal if the process wants one.
func CompileExec(spec *specs.Spec, p *specs.Process, host *Host) (*plan.Plan, error) {
	own := *spec
	own.Process = p
	c := &compiler{
		spec: &own, host: host, b: plan.NewBuilder(3 + host.PreserveFDs),
		proc: plan.NoReg, cwd: plan.NoReg, dev: plan.NoReg, tty: plan.NoReg, exec: true,
	}
	c.scratch = c.b.Space(scratchSize)
	c.socket = c.b.Input(InputSocket, plan.Socket)
	c.root = c.b.Input(InputRoot, plan.Root)
	if c.setns() != 0 {
		c.init = c.b.Input(InputInit, plan.Namespace)
	}
	if p.Terminal {
		c.tty = c.b.Input(InputTerminal, plan.Terminal)
	}
	c.joinInputs()
	return c.run(execPhases)
}

// setns are the namespaces of the container that are not the host's.
func (c *compiler) setns() (kinds uint64) {
	for _, ns := range c.spec.Linux.Namespaces {
		kinds |= NamespaceKind(ns.Type)
	}
	return kinds
}

// joinContainer enters all namespaces of the container at once, then the working directory below its root.
func (c *compiler) joinContainer() {
	if kinds := c.setns(); kinds != 0 {
		c.b.Step("join the namespaces of the container")
		c.b.SetNS(c.init, kinds)
		if kinds&unix.CLONE_NEWUSER != 0 {
			c.becomeRoot()
		}
	}
	if !c.has(specs.MountNamespace) || c.host.NoPivot {
		c.b.Step("change the root")
		c.b.Chdir(c.root)
		c.b.Chroot()
	}
	c.at("change to directory "+strconv.Quote(c.spec.Process.Cwd), "process", "cwd")
	c.changeDirectory(c.b.Open("cwd", c.root, c.spec.Process.Cwd, pathDirectory, plan.InRoot))
}

// prepareExec is the last chance to fail before the process is what it was asked to be.
func (c *compiler) prepareExec() {
	c.checkProgram()
	c.learnPid()
	if c.filtered() {
		c.fetchFilter()
	}
	c.b.At("", "close everything of the host")
	c.b.CloseAllBut(1)
}
