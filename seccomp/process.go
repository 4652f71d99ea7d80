package seccomp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// maxReply bounds what is read from the compiler; the longest program the
// kernel takes has 32 KiB.
const maxReply = 8 << 20

// process is a running compiler.
type process struct {
	pid, pidfd int
	output     int // the read end of its standard output and error
	deadline   time.Time
}

// startProcess starts a program that is held in memory, with input as its
// standard input, none of husk's descriptors, and an empty environment.
//
// The input is a file and not a pipe, so it can have any size without anybody
// having to feed it while waiting for the output.
func startProcess(program, input []byte, timeout time.Duration) (*process, error) {
	exe, err := sealedMemfd("husk-seccomp", program, true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(exe)
	stdin, err := sealedMemfd("profile", input, false)
	if err != nil {
		return nil, err
	}
	defer unix.Close(stdin)
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(ends[1])
	p := &process{pidfd: -1, output: ends[0], deadline: time.Now().Add(timeout)}
	p.pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(exe), []string{"husk-seccomp"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []uintptr{uintptr(stdin), uintptr(ends[1]), uintptr(ends[1])},
		Sys:   &syscall.SysProcAttr{PidFD: &p.pidfd},
	})
	if err != nil {
		unix.Close(ends[0])
		return nil, fmt.Errorf("execute memfd: %w", err)
	}
	return p, nil
}

// wait returns all output once the process has ended, or an error when that
// didn't happen in time; then the process has been killed. Nothing is left of
// it in any case.
func (p *process) wait() ([]byte, unix.WaitStatus, error) {
	output, err := p.read()
	if err != nil {
		p.kill()
	}
	status, werr := p.reap()
	if err == nil {
		err = werr
	}
	return output, status, err
}

func (p *process) cancel() {
	p.kill()
	p.reap()
}

// read reads until the compiler closes its output, which it does by ending.
func (p *process) read() ([]byte, error) {
	output := make([]byte, 0, 16<<10)
	for {
		ready, err := linux.PollIn(p.output, max(0, time.Until(p.deadline)))
		if err != nil {
			return nil, err
		}
		if !ready {
			return nil, errors.New("compiler does not end")
		}
		if len(output) == cap(output) {
			if len(output) >= maxReply {
				return nil, fmt.Errorf("compiler answers with more than %d bytes", maxReply)
			}
			output = append(output, 0)[:len(output)]
		}
		n, err := unix.Read(p.output, output[len(output):cap(output)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, os.NewSyscallError("read", err)
		case n == 0:
			return output, nil
		default:
			output = output[:len(output)+n]
		}
	}
}

// kill goes through the pidfd: a caller that reaps everything may have freed
// the pid for somebody else. The only error is that the process has ended.
func (p *process) kill() { linux.PidfdSendSignal(p.pidfd, unix.SIGKILL) }

func (p *process) reap() (unix.WaitStatus, error) {
	unix.Close(p.output)
	unix.Close(p.pidfd)
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.pid, &status, 0, nil)
		switch err {
		case unix.EINTR:
		case nil, unix.ECHILD: // ECHILD: a caller that reaps everything was faster
			return status, nil
		default:
			return status, os.NewSyscallError("wait4", err)
		}
	}
}

// sealedMemfd returns a memfd with content that nobody can change, at its
// start. The caller closes it.
func sealedMemfd(name string, content []byte, executable bool) (int, error) {
	fd, err := memfd(name, executable)
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	if err := fill(fd, content); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// memfd states whether the file may be executed, as kernels since 6.3 want it
// and need it where vm.memfd_noexec is set; older ones refuse the flag.
func memfd(name string, executable bool) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	exec := unix.MFD_NOEXEC_SEAL
	if executable {
		exec = unix.MFD_EXEC
	}
	fd, err := unix.MemfdCreate(name, flags|exec)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

func fill(fd int, content []byte) error {
	if err := linux.WriteFull(fd, content); err != nil {
		return os.NewSyscallError("write", err)
	}
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return os.NewSyscallError("lseek", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("fcntl", err)
}
