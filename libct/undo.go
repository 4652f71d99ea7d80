package libct

import (
	"errors"
	"fmt"
	"io"

	"husk/nsenter"
)

// undo removes what create has made, in the opposite order, and returns the error that made it necessary.
func (k *creation) undo(cause error) error {
	if k.process != nil {
		k.process.Conn.Close()
		k.process.Kill()
	}
	k.netDevices.back(k.r.warn)
	if k.place != nil {
		k.place.Close()
		k.place = nil
	}
	if k.cgroup != nil {
		if err := k.cgroup.Kill(); err != nil && !cgroupGone(err) {
			k.r.warn("kill what is left in the cgroup: %v", err)
		}
		if err := k.cgroup.Delete(k.r.wait); err != nil {
			cause = fmt.Errorf("%w; and remove the cgroup: %w", cause, err)
		}
	}
	if k.resctrl != nil {
		if err := k.resctrl.Undo(); err != nil {
			cause = fmt.Errorf("%w; and %w", cause, err)
		}
	}
	if k.c != nil {
		k.c.unmountHost()
		// runtime.md#lifecycle: from a failed hook to step 12, the end of the container, and on to its poststop hooks. Until the
		// first hook could run there is no pid.
		if k.c.rec.Poststop && k.c.rec.Pid != 0 {
			if err := k.r.runHooks(k.c, "poststop"); err != nil {
				k.r.warn("%v", err)
			}
		}
		if err := k.c.remove(); err != nil {
			cause = fmt.Errorf("%w; and %w", cause, err)
		}
	}
	if k.process != nil {
		k.process.Pidfd.Close()
		k.process = nil
	}
	k.release()
	return cause
}

// explain says why the interpreter has ended or failed.
func (k *creation) explain(err error) error {
	var op *nsenter.OpError
	switch {
	case errors.As(err, &op):
		return diagnose(op, k.process.Pid)
	case !errors.Is(err, io.EOF):
		return err
	}
	if k.oomKilled() {
		limit := ""
		if m := k.spec.Linux.Resources; m != nil && m.Memory != nil && m.Memory.Limit != nil {
			limit = fmt.Sprintf(": /linux/resources/memory/limit is %d bytes, a container needs about %d before its program starts", *m.Memory.Limit, memoryNeeded)
		}
		return fmt.Errorf("container init was OOM-killed (memory limit too low?)%s", limit) // runc's words
	}
	return fmt.Errorf("wait for the interpreter: process %d ended before the container was made", k.process.Pid)
}

// oomKilled says whether the kernel killed a process for want of memory.
func (k *creation) oomKilled() bool {
	if k.cgroup == nil {
		return false
	}
	kills, err := k.cgroup.OOMKills()
	return err == nil && kills > 0
}

// memoryNeeded is the memory limit in bytes at which the smallest container starts, rounded up: 144 to 148 KiB were measured (docs/performance.md).
const memoryNeeded = 160 << 10
