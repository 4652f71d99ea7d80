package nsenter

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// Options say where the process begins.
type Options struct {
	Stdio      [3]*os.File // all three: a closed one would be the number of the next thing that the plan opens
	Preserve   []*os.File  // become descriptors 3, 4, ...; as many as the plan's Builder was told
	Inputs     []*os.File  // the plan's inputs but the first, which is the socket that Start makes
	CloneFlags uint64      // CLONE_NEW*
	Cgroup     *os.File    // directory of a cgroup2 to be born into (CLONE_INTO_CGROUP, Linux 5.7); nil: ours
}

// Process is a running interpreter, or what it has become.
type Process struct {
	Conn
	Pid   int
	Pidfd *os.File
}

// ErrCgroup is wrapped by the error of Start when the kernel refuses CLONE_INTO_CGROUP: the process can be started
// elsewhere and join by itself.
var ErrCgroup = errors.New("clone into the cgroup")

// Start runs a plan that Verify has passed.
func Start(p *plan.Plan, o Options) (*Process, error) {
	for fd, f := range o.Stdio {
		if f == nil {
			return nil, fmt.Errorf("start the interpreter: no standard stream %d", fd)
		}
	}
	if p.InUser != (o.CloneFlags&unix.CLONE_NEWUSER != 0) {
		return nil, errors.New("start the interpreter: plan and clone flags don't agree on a user namespace")
	}
	if len(o.Inputs) != len(p.Inputs)-1 || p.FirstFD != 3+len(o.Preserve) {
		return nil, fmt.Errorf("start the interpreter: %d inputs for a plan with %d", len(o.Inputs), len(p.Inputs)-1)
	}
	encoded, err := p.Encode()
	if err != nil {
		return nil, err
	}
	process, err := start(encoded, p.Origin, o)
	if err == nil {
		process.fork = max(slices.IndexFunc(p.Ops, func(op plan.Op) bool { return op.Kind == plan.Clone }), 0)
	}
	return process, err
}

// start runs an encoded plan.
func start(encoded []byte, origin func(op int) plan.Origin, o Options) (*Process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the interpreter's socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "parent"), os.NewFile(uintptr(pair[1]), "interpreter")
	defer theirs.Close()
	files := append(append(append(o.Stdio[:len(o.Stdio):len(o.Stdio)], o.Preserve...), theirs), o.Inputs...)
	// ForkExec first moves descriptors to numbers above all of them, one each; the image must not lie there.
	highest := len(files)
	for _, f := range files {
		highest = max(highest, int(f.Fd()))
	}
	image, err := seal(encoded, highest+len(files)+2)
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer image.Close()
	pid, pidfd, err := spawn(image, files, o)
	if err != nil {
		ours.Close()
		return nil, err
	}
	return &Process{Conn: Conn{socket: ours, origin: origin}, Pid: pid, Pidfd: pidfd}, nil
}

// spawn is clone3 and execve, by Go's own code: between the two no Go may run.
func spawn(image *os.File, files []*os.File, o Options) (int, *os.File, error) {
	attr := &syscall.ProcAttr{Env: []string{}, Files: make([]uintptr, len(files))}
	for i, f := range files {
		attr.Files[i] = f.Fd()
	}
	pidfd := -1
	attr.Sys = &syscall.SysProcAttr{Cloneflags: uintptr(o.CloneFlags), PidFD: &pidfd}
	if o.CloneFlags&unix.CLONE_NEWUSER != 0 {
		attr.Sys.AmbientCaps = allCapabilities() // execve by nobody, whom it is until its ids are mapped, would lose them
	}
	if o.Cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(o.Cgroup.Fd())
	}
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(image.Fd())), []string{"husk-init"}, attr)
	if err != nil {
		if o.Cgroup != nil && cgroupRefused(err) {
			return 0, nil, fmt.Errorf("start the interpreter: %w: %w", ErrCgroup, err)
		}
		return 0, nil, fmt.Errorf("start the interpreter: %w%s", err, spawnHint(err))
	}
	if pidfd < 0 {
		return 0, nil, errors.New("start the interpreter: no pidfd (Linux 5.14 or newer is needed)")
	}
	return pid, os.NewFile(uintptr(pidfd), "pidfd"), nil
}

// allCapabilities are those of Linux 5.9 and later.
func allCapabilities() (list []uintptr) {
	for n := range uintptr(unix.CAP_CHECKPOINT_RESTORE + 1) {
		list = append(list, n)
	}
	return list
}

// cgroupRefused says whether clone3 failed because of the cgroup: not a limit, nor memory.
func cgroupRefused(err error) bool {
	switch err {
	case unix.EOPNOTSUPP, unix.EBUSY, unix.EACCES, unix.EPERM, unix.EINVAL, unix.ENOSYS, unix.E2BIG, unix.ENODEV:
		return true
	}
	return false
}

func spawnHint(err error) string {
	switch err {
	case unix.EPERM:
		return " (new namespaces need CAP_SYS_ADMIN or a user namespace)"
	case unix.ENOSPC, unix.EUSERS:
		return " (a limit in /proc/sys/user/max_*_namespaces is reached)"
	case unix.EAGAIN:
		return " (a limit on the number of processes is reached: pids.max, RLIMIT_NPROC or kernel.pid_max)"
	}
	return ""
}

// Wait reaps the process and returns its wait status; another process that the plan has forked is not waited for.
func (p *Process) Wait() (syscall.WaitStatus, error) { return p.wait(p.Pid) }

// WaitReaping is Wait for a subreaper (PR_SET_CHILD_SUBREAPER): whatever child of ours ends before the process is reaped as well. An
// orphan of a container that nobody waits for counts against its limit of processes for ever.
func (p *Process) WaitReaping() (syscall.WaitStatus, error) { return p.wait(-1) }

func (p *Process) wait(which int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(which, &status, 0, nil)
		if err != syscall.EINTR && (err != nil || pid == p.Pid) {
			return status, err
		}
	}
}

// Kill ends the process and reaps it.
func (p *Process) Kill() {
	if p.Pidfd != nil {
		unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	}
	p.Wait()
}

// Close gives the descriptors back; the process goes on.
func (p *Process) Close() {
	p.Conn.Close()
	if p.Pidfd != nil {
		p.Pidfd.Close()
	}
}

// Adopt goes on with the process that the plan has forked (Event.Pid): it is our child too (CLONE_PARENT). The first one
// is reaped. The pid comes from inside, so it counts only if it names a child of ours.
func (p *Process) Adopt(pid int) error {
	if _, err := p.Wait(); err != nil {
		return fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	p.Pidfd.Close()
	p.Pid, p.Pidfd = pid, nil
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	p.Pidfd = os.NewFile(uintptr(fd), "pidfd")
	if err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return fmt.Errorf("adopt process %d: %w", pid, err)
	}
	return nil
}
