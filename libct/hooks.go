package libct

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// outputLimit bounds what is kept of a hook's output for the error message, in bytes.
const outputLimit = 4096

// runCreateHooks runs the hooks that come before pivot_root, in the order of the specification (config.md#posix-platform-hooks).
func (k *creation) runCreateHooks() error {
	k.c.rec.Pid = k.process.Pid
	h := k.spec.Hooks
	if err := k.c.hooks("prestart", h.Prestart, Created); err != nil { //nolint:staticcheck // deprecated, and Docker's network depends on it
		return err
	}
	if err := k.c.hooks("createRuntime", h.CreateRuntime, Creating); err != nil {
		return err
	}
	if len(h.CreateContainer) == 0 {
		return nil
	}
	p, err := linux.Stat(k.process.Pid)
	if err != nil {
		return fmt.Errorf("look at process %d: %w", k.process.Pid, err)
	}
	k.c.rec.StartTime = p.StartTime
	return k.c.insideHooks("createContainer", h.CreateContainer, Creating, k.createContainerHook)
}

// runHooks runs the hooks of one kind of a container that exists.
func (r *Runtime) runHooks(c *container, kind string) error {
	spec, err := c.spec()
	if err != nil || spec.Hooks == nil {
		return err
	}
	switch kind {
	case "startContainer":
		start := func(*specs.Hook) (*specs.Spec, *specs.Process) { return startContainerHook(spec) }
		return c.insideHooks(kind, spec.Hooks.StartContainer, Created, start)
	case "poststart":
		return c.hooks(kind, spec.Hooks.Poststart, Running)
	}
	// One that fails is a warning and the others run all the same (runtime.md#lifecycle, step 13).
	for i := range spec.Hooks.Poststop {
		if err := c.hook(kind, i, &spec.Hooks.Poststop[i], Stopped); err != nil {
			r.warn("%v", err)
		}
		stopPoint("hook-" + kind)
	}
	return nil
}

func (c *container) hooks(kind string, list []specs.Hook, status Status) error {
	for i := range list {
		if err := c.hook(kind, i, &list[i], status); err != nil {
			return err
		}
		stopPoint("hook-" + kind)
	}
	return nil
}

// hook runs one hook: state on stdin, its own environment and nothing else, at most Timeout seconds.
func (c *container) hook(kind string, index int, h *specs.Hook, status Status) error {
	run, err := c.prepareHook(status, false)
	if err == nil {
		defer run.close()
		args := h.Args
		if len(args) == 0 {
			args = []string{h.Path}
		}
		env := h.Env
		if env == nil {
			env = []string{}
		}
		err = run.start(h.Path, args, env)
		if err == nil {
			err = run.wait(h.Timeout)
		}
	}
	if err != nil {
		return fmt.Errorf("error running %s hook #%d: %w", kind, index, err) // runc's words
	}
	c.r.debug("%s hook #%d has ended: %s", kind, index, h.Path)
	return nil
}

// hookRun is a running hook. Its output goes to a memfd: a hook that leaves a daemon behind must not keep us waiting for the
// end of a pipe.
type hookRun struct {
	stdin, output *os.File
	pid           int
	pidfd         *os.File
}

// prepareHook makes the streams of a hook. One that runs inside is told the pid as it is seen there (runtime.md#state).
func (c *container) prepareHook(status Status, inside bool) (*hookRun, error) {
	s := c.stateAs(status)
	if inside {
		pid, err := linux.InnerPid(s.Pid)
		if err != nil {
			return nil, err
		}
		s.Pid = pid
	}
	return newRun(s.AppendJSON(nil))
}

// newRun prepares the run of a program that reads stdin.
func newRun(stdin []byte) (run *hookRun, err error) {
	run = &hookRun{}
	if run.stdin, err = memory("stdin", stdin); err != nil {
		return nil, err
	}
	if run.output, err = memory("output", nil); err != nil {
		run.close()
		return nil, err
	}
	return run, nil
}

// memory makes a memfd with the given content, to be read from its beginning.
func memory(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a memfd: %w", err)
	}
	if len(data) > 0 {
		if _, err := unix.Pwrite(fd, data, 0); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("write a memfd: %w", err)
		}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (h *hookRun) start(path string, args, env []string) error {
	// Ours are close-on-exec anyway; what the caller has left open or preserved for the container is none of the hook's business.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("keep descriptors from the hook: %w", err)
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{h.stdin.Fd(), h.output.Fd(), h.output.Fd()},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd, Setpgid: true},
	}
	var err error
	if h.pid, err = syscall.ForkExec(path, args, attr); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	h.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	return nil
}

// wait waits for the end of the hook. When its time is over the whole process group is killed.
func (h *hookRun) wait(timeout *int) error {
	if timeout != nil {
		over := time.Duration(*timeout) * time.Second
		ended, err := linux.PollIn(int(h.pidfd.Fd()), over)
		if err != nil {
			return err
		}
		if !ended {
			unix.Kill(-h.pid, unix.SIGKILL)
			syscall.Wait4(h.pid, nil, 0, nil)
			return fmt.Errorf("hook ran past specified timeout of %.1fs", over.Seconds()) // runc's words
		}
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(h.pid, &status, 0, nil)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			return fmt.Errorf("wait for process %d: %w", h.pid, err)
		}
	}
	if status == 0 {
		return nil
	}
	how := "exit status " + strconv.Itoa(status.ExitStatus())
	if status.Signaled() {
		how = "signal: " + status.Signal().String()
	}
	return errors.New(how + ", output: " + h.said())
}

// said is the beginning of what the hook has written, on one line.
func (h *hookRun) said() string {
	data := make([]byte, outputLimit)
	n, _ := unix.Pread(int(h.output.Fd()), data, 0)
	return strings.Join(strings.FieldsFunc(string(data[:max(n, 0)]), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

func (h *hookRun) close() {
	for _, f := range []*os.File{h.stdin, h.output, h.pidfd} {
		if f != nil {
			f.Close()
		}
	}
}

// insideHooks run in the container's namespaces: they are processes of it like those of exec.
func (c *container) insideHooks(kind string, list []specs.Hook, status Status, process func(*specs.Hook) (*specs.Spec, *specs.Process)) error {
	for i := range list {
		if err := c.insideHook(&list[i], status, process); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err) // runc's words
		}
		c.r.debug("%s hook #%d has ended: %s", kind, i, list[i].Path)
		stopPoint("hook-" + kind)
	}
	return nil
}

func (c *container) insideHook(h *specs.Hook, status Status, process func(*specs.Hook) (*specs.Spec, *specs.Process)) error {
	run, err := c.prepareHook(status, true)
	if err != nil {
		return err
	}
	defer run.close()
	spec, p := process(h)
	p.Args, p.Terminal, p.OOMScoreAdj, p.ExecCPUAffinity = h.Args, false, nil, nil
	if len(p.Args) == 0 {
		p.Args = []string{h.Path}
	}
	x := &execution{r: c.r, o: &ExecOptions{}, c: c, status: status, spec: spec, process: p, stdin: run.stdin, output: run.output, path: h.Path, env: h.Env}
	defer x.close()
	if err := x.start(); err != nil {
		return err
	}
	run.pid = x.child.Pid
	run.pidfd, x.child.Pidfd = x.child.Pidfd, nil
	return run.wait(h.Timeout)
}

// createContainerHook is a process of the host's programs with all rights that there are in the container's namespaces: until
// pivot_root the mount namespace still shows the host.
func (k *creation) createContainerHook(h *specs.Hook) (*specs.Spec, *specs.Process) {
	if h.Env == nil {
		h.Env = []string{}
	}
	linux := *k.spec.Linux
	linux.Seccomp = nil
	var all []string
	for n, name := range specconv.Capabilities {
		if k.host.Capabilities&(1<<n) != 0 {
			all = append(all, name)
		}
	}
	p := &specs.Process{
		Cwd:          k.host.Rootfs,
		Capabilities: &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all},
	}
	return &specs.Spec{Version: k.spec.Version, Process: p, Root: k.spec.Root, Linux: &linux}, p
}

// startContainerHook is a program from the container's own file system, with no more rights than its process.
func startContainerHook(spec *specs.Spec) (*specs.Spec, *specs.Process) {
	p := *spec.Process
	return spec, &p
}
