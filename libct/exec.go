package libct

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// execution is one more process of a running container while it is being started.
type execution struct {
	r       *Runtime
	o       *ExecOptions
	c       *container
	status  Status // of the container
	spec    *specs.Spec
	process *specs.Process
	stdin   *os.File // in place of the caller's streams: a hook's
	output  *os.File
	path    string   // the program, if it is not process.Args[0]: a hook's
	env     []string // exactly this environment, of a hook

	signals  func() <-chan os.Signal // waits until the signals are caught; nil for a hook
	incoming <-chan os.Signal

	host     *specconv.Host
	filter   *filter
	root     *os.File
	terminal *os.File
	place    *cgroups.Placement
	cgroup   cgroups.Manager  // nil: there is none
	attacher cgroups.Attacher // nil: systemd has not made the cgroup
	groups   []*os.File       // of the resctrl file system
	child    *nsenter.Process
}

// Exec starts a process in a running container and, unless it is detached, waits for its end.
func (r *Runtime) Exec(o ExecOptions) (exit int, err error) {
	c, err := r.open(o.ID, unix.LOCK_SH)
	if err != nil {
		return -1, err
	}
	defer c.close()
	x := &execution{r: r, o: &o, c: c, signals: catch(o.Signals, o.Detach)}
	defer x.close()
	if x.status, err = c.canExec(o.IgnorePaused); err != nil {
		return -1, err
	}
	if x.spec, err = c.spec(); err != nil {
		return -1, err
	}
	if x.process, err = execProcess(x.spec, &o); err != nil {
		return -1, err
	}
	if err := checkConsole(x.process.Terminal, o.Detach, o.ConsoleSocket); err != nil {
		return -1, err
	}
	if !o.Detach {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("become the subreaper: %w", err)
		}
	}
	if err := x.start(); err != nil {
		return -1, err
	}
	if err := linux.Unlock(c.dir); err != nil {
		return -1, err
	}
	if o.Detach {
		return 0, nil
	}
	forwardSignals(x.child, x.incoming)
	status, err := waitFor(x.child, true)
	if err != nil {
		return -1, err
	}
	return exitStatus(status), nil
}

var errStopped = errors.New("cannot exec in a stopped container")

// canExec: the texts are runc's.
func (c *container) canExec(ignorePaused bool) (Status, error) {
	status, err := c.status()
	switch {
	case err != nil:
		return "", err
	case status == Stopped:
		return "", errStopped
	case status == Paused && !ignorePaused:
		return "", errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	return status, nil
}

// start brings the process to life; on return it is the program that was asked for.
func (x *execution) start() error {
	init, err := x.c.initPidfd()
	if err != nil {
		return err
	}
	pidfd := os.NewFile(uintptr(init), "init")
	defer pidfd.Close()
	if x.root, err = x.c.openRootDir(); err != nil {
		return err
	}
	if err := x.facts(); err != nil {
		return err
	}
	if err := x.openTerminal(); err != nil {
		return err
	}
	p, err := specconv.CompileExec(x.spec, x.process, x.host)
	if err != nil {
		return err
	}
	if x.signals != nil {
		x.incoming = x.signals()
	}
	err = x.spawn(p, pidfd)
	if errors.Is(err, nsenter.ErrCgroup) {
		if err = x.enterLater(err); err != nil {
			return err
		}
		if p, err = specconv.CompileExec(x.spec, x.process, x.host); err == nil {
			err = x.spawn(p, pidfd)
		}
	}
	if err != nil {
		return err
	}
	x.r.debug("process %d executes a plan of %d operations", x.child.Pid, len(p.Ops))
	stopPoint("exec-started")
	if err := x.serve(p); err != nil {
		x.child.Conn.Close()
		x.child.Kill()
		return err
	}
	stopPoint("exec-running")
	if x.o.PidfdSocket != "" {
		if err := sendFile(x.o.PidfdSocket, "setns", x.child.Pidfd, 0); err != nil {
			x.child.Kill()
			return fmt.Errorf("send the pidfd: %w", err)
		}
	}
	if x.o.PidFile != "" {
		if err := writePidFile(x.o.PidFile, x.child.Pid); err != nil {
			x.child.Kill()
			return err
		}
	}
	return nil
}

// enterLater changes the plan for a process that can't be born in the cgroup. If we are outside of what is delegated to this user,
// systemd moves it, since nobody else may do so across that border. If the container has passed controllers on to cgroups of its own,
// its cgroup can't have processes any more (cgroups(7)), but there is room beside its init. Otherwise it joins by itself.
func (x *execution) enterLater(refused error) error {
	if errors.Is(refused, unix.EBUSY) {
		if len(x.o.Cgroups) > 0 {
			return fmt.Errorf("exec stops at adding pid of the process to cgroups: %w", refused) // runc's words
		}
		place, err := x.cgroup.PlaceBeside(x.c.rec.Pid)
		if err != nil {
			return fmt.Errorf("%w; join that of its init: %w", refused, err)
		}
		x.place.Close()
		x.place = place
		x.host.Cgroup.Joins = names(place.Tasks)
		return nil
	}
	if x.attacher != nil && errors.Is(refused, unix.EACCES) {
		x.host.Cgroup.Gate = true
		return nil
	}
	return enterByHand(x.host, x.place, refused)
}

// facts gathers what the compiler may know.
func (x *execution) facts() (err error) {
	x.host = &specconv.Host{ID: x.c.id, PreserveFDs: x.o.PreserveFDs, NoNewKeyring: x.c.rec.NoKeyring, Program: x.path}
	x.host.NoPivot = x.status == Creating // a createContainer hook: the container's root may lie on top of the host's by now (--no-pivot)
	if err := x.r.processFacts(x.spec, x.process, x.host, [3]*os.File{}, x.c.rec.Pid); err != nil {
		return err
	}
	if x.env != nil {
		x.host.Env = x.env
	} else {
		x.host.Env = environment(x.process, func() ([]byte, error) { return readInside(int(x.root.Fd()), "etc/passwd") })
	}
	listenFacts(x.host, x.o.ListenFDs, false)
	if x.filter, err = x.r.filterFacts(x.spec.Linux.Seccomp, x.host, false); err != nil {
		return err
	}
	if x.host.SendListener, err = mustSend(x.host, 0); err != nil {
		return err
	}
	if x.groups, err = x.c.rec.Resctrl.Tasks(); err != nil {
		return err
	}
	x.host.Resctrl = names(x.groups)
	m, err := x.c.cgroup()
	if err != nil || m == nil {
		if x.status != Creating { // a createContainer hook is the host's
			withoutFilter(x.spec, x.process)
		}
		x.place = &cgroups.Placement{}
		return err
	}
	delegated := specconv.DelegateCgroup(x.spec) != "" && m.State().Version == cgroups.V2 && len(x.o.Cgroups) == 0
	if !delegated {
		x.place, err = m.PlaceSub(x.o.Cgroups)
	}
	if delegated || err != nil && len(x.o.Cgroups) == 0 {
		// The container may have moved its processes to sub-cgroups: there is room beside its init.
		x.place, err = m.PlaceBeside(x.c.rec.Pid)
	}
	if err != nil {
		return fmt.Errorf("exec stops at adding pid to its cgroup: %w", err) // runc's words
	}
	if a := x.process.ExecCPUAffinity; a != nil && a.Initial != "" && m.State().Version == cgroups.V2 && x.place.Into != nil {
		if err := x.place.ByHand(); err != nil { // it has to run on those CPUs before it is in the cgroup
			return fmt.Errorf("/process/execCPUAffinity/initial: join the cgroup: %w", err)
		}
	}
	x.host.Cgroup = cgroupFacts(m.State(), x.place)
	x.cgroup = m
	x.attacher, _ = m.(cgroups.Attacher)
	return nil
}

// openTerminal makes a pty in the container's devpts. Its ptmx is proven to be one before it is opened: the container's
// side may have put anything in that place (CVE-2025-52565).
func (x *execution) openTerminal() error {
	if !x.process.Terminal {
		return nil
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	at, err := linux.Openat2(int(x.root.Fd()), "dev/pts/ptmx", how)
	if err != nil {
		return fmt.Errorf("/process/terminal: open the container's ptmx: %w", err)
	}
	defer unix.Close(at)
	st, err := linux.Fstat(at)
	if err != nil {
		return err
	}
	magic, err := linux.Fstatfs(at)
	if err != nil {
		return err
	}
	if magic != unix.DEVPTS_SUPER_MAGIC || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) || st.Ino != 2 {
		return errors.New("/process/terminal: open the container's ptmx: what is at /dev/pts/ptmx is not the one of a devpts")
	}
	master, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(at), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("/process/terminal: open the container's ptmx: %w", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("/process/terminal: unlock the terminal: %w", err)
	}
	if size := x.process.ConsoleSize; size != nil {
		ws := &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}
		if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, ws); err != nil {
			return fmt.Errorf("/process/consoleSize: set the size of the terminal: %w", err)
		}
	}
	if x.terminal, err = terminalPeer(master); err != nil {
		return fmt.Errorf("/process/terminal: open the terminal: %w", err)
	}
	return giveConsole(master, x.o.ConsoleSocket, x.o.OnConsole)
}

// spawn starts the interpreter in the container's cgroup.
func (x *execution) spawn(p *plan.Plan, init *os.File) (err error) {
	o := nsenter.Options{Stdio: x.o.Stdio, Cgroup: x.place.Into}
	if x.host.Cgroup.Gate {
		o.Cgroup = nil
	}
	if x.stdin != nil {
		o.Stdio = [3]*os.File{x.stdin, x.output, x.output}
	}
	if o.Preserve, err = preserved(x.o.ListenFDs.N, x.o.PreserveFDs); err != nil {
		return err
	}
	for _, in := range p.Inputs[1:] {
		switch in.Name {
		case specconv.InputRoot:
			o.Inputs = append(o.Inputs, x.root)
		case specconv.InputInit:
			o.Inputs = append(o.Inputs, init)
		case specconv.InputTerminal:
			o.Inputs = append(o.Inputs, x.terminal)
			null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
			if err != nil {
				return fmt.Errorf("open /dev/null: %w", err)
			}
			defer null.Close()
			o.Stdio = [3]*os.File{null, null, null} // until the terminal takes their place
		}
	}
	o.Inputs = append(append(o.Inputs, x.groups...), x.place.Tasks...)
	x.child, err = nsenter.Start(p, o)
	return err
}

// serve answers the gates until the program runs.
func (x *execution) serve(p *plan.Plan) error {
	unserved := hasListener(x.host)
	for {
		e, err := x.child.Next()
		var op *nsenter.OpError
		switch {
		case errors.Is(err, io.EOF) && unserved:
			return errUnserved
		case errors.Is(err, io.EOF):
			x.r.debug("process %d has executed the program", x.child.Pid)
			return nil
		case errors.As(err, &op) && op.Origin.Step == specconv.StepEnterPids && op.Errno == unix.ENOMEM:
			return errStopped // ENOMEM is how fork says that the namespace's init has ended (pid_namespaces(7))
		case errors.As(err, &op):
			return diagnose(op, x.child.Pid)
		case err != nil:
			return err
		case e.Pid != 0:
			if err := x.child.Adopt(e.Pid); err != nil {
				return err
			}
			continue
		}
		stopPoint("exec-gate")
		switch e.Gate.Step {
		case specconv.GateCgroup:
			if err = x.attacher.Attach(x.place, x.child.Pid); err == nil {
				err = x.child.Answer(nil)
			}
		case specconv.GateSchedule:
			if err = scheduleFor(x.child.Pid, x.process); err == nil {
				err = x.child.Answer(nil)
			}
		case specconv.GatePid:
			var answer []byte
			if answer, err = pidAnswer(x.child.Pid); err == nil {
				err = x.child.Answer(answer)
			}
		case specconv.GateFilter:
			var code []byte
			if code, err = x.filter.wait(x.r.debug); err == nil {
				err = x.child.Answer(plan.FilterAnswer(p.GateData(e.Op), code))
			}
		case specconv.GateListener:
			unserved = false
			err = x.c.agent(x.spec.Linux.Seccomp, x.child.Pid, x.status).serve(&x.child.Conn, e, int(x.child.Pidfd.Fd()))
		default:
			err = fmt.Errorf("answer the interpreter: unknown gate %q", e.Gate.Step)
		}
		if err != nil {
			return err
		}
		x.r.debug("gate: %s", e.Gate)
	}
}

func (x *execution) close() {
	x.filter.close()
	closeAll([]*os.File{x.root, x.terminal})
	closeAll(x.groups)
	if x.place != nil {
		x.place.Close()
	}
	if x.child != nil {
		x.child.Close()
	}
}
