package libct

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/cgroups"
	"husk/internal/linux"
	"husk/internal/resctrl"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// creation is one container while it is being made. What it has made so far is in the fields that undo looks at.
type creation struct {
	r       *Runtime
	o       *CreateOptions
	gate    bool // the container waits for `start`; otherwise it goes on at once
	console func(*os.File) error

	mounting
	config  []byte
	c       *container
	cgroup  cgroups.Manager
	planned cgroups.Manager // what cgroup will be when it is made
	place   *cgroups.Placement
	filter  *filter
	plan    *plan.Plan
	inputs  []*os.File

	foreground bool      // somebody waits for the end of the program
	notify     *notifier // nil: none

	netDevices   *netDevices // nil: none
	cgroupConfig *cgroups.Config
	resctrl      *resctrl.Group // nil: none
}

// Create makes a container from a bundle; its process then waits for Start. If it fails nothing is left behind.
func (r *Runtime) Create(o CreateOptions) error {
	k := &creation{r: r, o: &o, gate: true}
	if err := k.create(true); err != nil {
		return k.undo(err)
	}
	if err := k.goOn(); err != nil {
		return err // it has undone everything
	}
	k.release()
	return nil
}

// create does everything up to the gate at which the container counts as created. The order: nothing is made before the
// configuration is known to be good, the record that delete needs is on disk before the first thing outside of the state
// directory exists, and the filter is compiled while the process is being set up.
func (k *creation) create(detached bool) (err error) {
	k.foreground = !detached
	if k.spec, k.config, err = k.o.Load(); err != nil {
		return err
	}
	if err := specconv.Validate(k.spec); err != nil {
		return fmt.Errorf("validate config.json: %w", err)
	}
	if err := checkConsole(k.spec.Process.Terminal, detached, k.o.ConsoleSocket); err != nil {
		return err
	}
	if k.host, err = k.r.hostFacts(k.spec, k.o); err != nil {
		return err
	}
	if k.c, err = k.r.reserve(k.o.ID); err != nil {
		return err
	}
	k.r.debug("config.json is valid, directory %s reserved", k.c.path(""))
	stopPoint("create-reserved")
	if k.filter, err = k.r.filterFacts(k.spec.Linux.Seccomp, k.host, specconv.WantsKnownSyscalls(k.spec)); err != nil {
		return err
	}
	if err := k.prepareResctrl(); err != nil {
		return err
	}
	if k.host.SendListener, err = mustSend(k.host, specconv.CloneFlags(k.spec)); err != nil {
		return err
	}
	if err := k.makeCgroup(); err != nil {
		return err
	}
	if err := k.offerNotify(); err != nil {
		return err
	}
	if ignored := specconv.IgnoredAnnotations(k.spec, k.host.Cgroup.V2); len(ignored) > 0 {
		k.r.warn("/annotations: %s: not served by this runtime", strings.Join(ignored, ", "))
	}
	if err := k.makeGate(); err != nil {
		return err
	}
	if err := k.makeResctrl(); err != nil {
		return err
	}
	stopPoint("create-gate")
	if k.plan, err = specconv.Compile(k.spec, k.host); err != nil {
		return err
	}
	k.r.debug("compiled a plan of %d operations", len(k.plan.Ops))
	if err := k.start(); err != nil {
		return err
	}
	k.r.debug("process %d executes the plan", k.process.Pid)
	stopPoint("create-started")
	return k.serve()
}

// Load reads the configuration, and does not validate it.
func (o *CreateOptions) Load() (*specs.Spec, []byte, error) {
	if o.Config != "" {
		return specconv.LoadFile(o.Config)
	}
	return specconv.Load(o.Bundle)
}

// checkConsole: the texts are runc's.
func checkConsole(terminal, detached bool, socket string) error {
	if terminal && detached && socket == "" {
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	}
	if socket != "" && !(terminal && detached) {
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// makeGate makes the listening socket that the created process waits at, inside the container's directory.
func (k *creation) makeGate() error {
	k.host.StartGate = k.gate
	k.inputs = nil
	if k.gate {
		listener, err := k.c.listen()
		if err != nil {
			return err
		}
		k.inputs = append(k.inputs, listener)
	}
	files, err := joinedNamespaces(k.spec)
	k.inputs = append(k.inputs, files...)
	if err == nil {
		k.host.Inside, err = insideUser(k.spec, files)
	}
	return err
}

// start starts the interpreter in the cgroup. Where the kernel refuses to have a process born into a cgroup, the process
// joins by itself.
func (k *creation) start() (err error) {
	o := nsenter.Options{CloneFlags: specconv.CloneFlags(k.spec), Cgroup: k.place.Into, Stdio: k.o.Stdio, Inputs: append(k.inputs, k.place.Tasks...)}
	if k.spec.Process.Terminal {
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		defer null.Close()
		o.Stdio = [3]*os.File{null, null, null} // until the pty takes their place; nothing else may get these numbers
	}
	if o.Preserve, err = preserved(k.o.ListenFDs.N, k.o.PreserveFDs); err != nil {
		return err
	}
	defer func() {
		closeAll(o.Inputs)
		k.inputs, k.place.Tasks = nil, nil
	}()
	k.process, err = nsenter.Start(k.plan, o)
	if !errors.Is(err, nsenter.ErrCgroup) {
		return err
	}
	if err := enterByHand(k.host, k.place, err); err != nil {
		return err
	}
	o.Inputs, o.Cgroup = append(k.inputs, k.place.Tasks...), nil
	if k.plan, err = specconv.Compile(k.spec, k.host); err != nil {
		return err
	}
	k.process, err = nsenter.Start(k.plan, o)
	return err
}

// serve answers the gates until the process stands at the one where the container is created.
func (k *creation) serve() error {
	for {
		e, err := k.process.Next()
		if err != nil {
			return k.explain(err)
		}
		if e.Pid != 0 {
			if err := k.process.Adopt(e.Pid); err != nil {
				return err
			}
			continue
		}
		if e.Gate.Step == specconv.GateCreated {
			return k.created()
		}
		stopPoint("gate-" + e.Gate.Step)
		if e.Gate.Step == specconv.GateSource {
			if err := k.sendSource(e); err != nil {
				return k.explain(err)
			}
			continue
		}
		answer, err := k.answer(e)
		closeAll(e.Files)
		if err != nil {
			return err
		}
		k.r.debug("gate: %s", e.Gate)
		if err := k.process.Answer(answer); err != nil {
			return k.explain(err)
		}
	}
}

// answer does what a gate asks for.
func (k *creation) answer(e nsenter.Event) ([]byte, error) {
	switch e.Gate.Step {
	case specconv.GateCgroup:
		k.cgroupConfig.Pid = k.process.Pid
		return nil, k.createCgroup()
	case specconv.GateDelegate:
		if k.cgroup == nil {
			return nil, fmt.Errorf("/annotations: make cgroup %q below the container's: it is to have none", specconv.DelegateCgroup(k.spec))
		}
		return nil, k.cgroup.Delegate(specconv.DelegateCgroup(k.spec), k.cgroupConfig.Owner, k.process.Pid)
	case specconv.GateIDs:
		return nil, k.mapIDs()
	case specconv.GateOffsets:
		return nil, k.setOffsets()
	case specconv.GateSchedule:
		return nil, scheduleFor(k.process.Pid, k.spec.Process)
	case specconv.GateIDMap:
		return nil, k.mapMount(e)
	case specconv.GateTarget:
		return nil, k.makeTarget(e)
	case specconv.GateLink:
		return nil, k.makeLink(e)
	case specconv.GateCopyUp:
		return nil, k.copyUp(e)
	case specconv.GateConsole:
		return nil, k.handOverConsole(e)
	case specconv.GateNetDevices:
		return nil, k.moveNetDevices()
	case specconv.GateHooks:
		return nil, k.runCreateHooks()
	case specconv.GatePid:
		return pidAnswer(k.process.Pid)
	case specconv.GateFilter:
		code, err := k.filter.wait(k.r.debug)
		return plan.FilterAnswer(k.plan.GateData(e.Op), code), err
	}
	return nil, fmt.Errorf("answer the interpreter: unknown gate %q", e.Gate.Step)
}

// created writes down that the container exists, and tells who asked for its pid.
func (k *creation) created() error {
	rec := &k.c.rec
	p, err := linux.Stat(k.process.Pid)
	if err != nil {
		return fmt.Errorf("look at process %d: %w", k.process.Pid, err)
	}
	rec.Phase, rec.Pid, rec.StartTime = phaseCreated, k.process.Pid, p.StartTime
	if k.gate {
		rec.StartOps = startOps(k.plan)
	}
	if err := k.c.save(); err != nil {
		return err
	}
	k.r.debug("created: process %d waits", k.process.Pid)
	stopPoint("create-saved")
	for _, socket := range []string{k.o.PidfdSocket, specconv.PidfdReceiver(k.spec)} {
		if socket == "" {
			continue
		}
		// Who has written an annotation may have named a socket at which nobody listens any more.
		if err := sendFile(socket, "standard", k.process.Pidfd, k.r.wait); err != nil {
			return fmt.Errorf("send the pidfd: %w", err)
		}
	}
	if k.o.PidFile != "" {
		if err := writePidFile(k.o.PidFile, k.process.Pid); err != nil {
			return err
		}
	}
	stopPoint("create-pidfile")
	return nil
}

// startOps are the origins of the ops that run after create has returned: start needs them to explain a failure.
func startOps(p *plan.Plan) map[string]string {
	ops := make(map[string]string)
	for i := len(p.Ops) - 1; i >= 0; i-- {
		if o := p.Ops[i].Origin; o.Step == specconv.GateCreated {
			break
		} else {
			ops[strconv.Itoa(i)] = o.Pointer + "\n" + o.Step
		}
	}
	return ops
}

// goOn lets the process leave the gate where it was created.
func (k *creation) goOn() error {
	if err := k.process.Answer(nil); err != nil {
		return k.undo(k.explain(err))
	}
	return nil
}

// release lets go of everything; the container stays.
func (k *creation) release() {
	k.filter.close()
	closeAll(k.inputs)
	k.netDevices.close()
	k.notify.close()
	if k.place != nil {
		k.place.Close()
	}
	if k.process != nil {
		k.process.Close()
	}
	if k.c != nil {
		k.c.close()
	}
}

func (r *Runtime) rootless() bool {
	switch r.opts.Rootless {
	case "true":
		return true
	case "false":
		return false
	}
	return rootless()
}
