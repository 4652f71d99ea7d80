package libct

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// scheduleFor sets scheduler and I/O priority of a process in a user namespace, where nobody has the right to.
func scheduleFor(pid int, p *specs.Process) error {
	if s := p.Scheduler; s != nil {
		attr := specconv.SchedAttr(s)
		if err := unix.SchedSetAttr(pid, &attr, 0); err != nil {
			return refused("/process/scheduler", specconv.StepScheduler+string(s.Policy), err, pid)
		}
	}
	if io := p.IOPriority; io != nil {
		const process = 1 // IOPRIO_WHO_PROCESS, of the one thread that there is
		_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, process, uintptr(pid), uintptr(plan.IOPriority(specconv.IOClass(io), io.Priority)))
		if errno != 0 {
			return refused("/process/ioPriority", specconv.StepIOPriority+string(io.Class), errno, pid)
		}
	}
	return nil
}

// refused is the error that the process itself would have reported.
func refused(pointer, step string, err error, pid int) error {
	errno, ok := err.(unix.Errno)
	if !ok {
		return err
	}
	return diagnose(&nsenter.OpError{Origin: plan.Origin{Pointer: pointer, Step: step}, Errno: errno}, pid)
}
