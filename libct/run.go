package libct

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
)

// Run makes a container and starts it at once. In the foreground it returns the exit status of the program, 128 and the
// signal's number if a signal has ended it, after the container is gone again.
func (r *Runtime) Run(o RunOptions) (exit int, err error) {
	if !o.Detach && !o.NoSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("become the subreaper: %w", err)
		}
	}
	signals := catch(o.Signals, o.Detach)
	k := &creation{r: r, o: &o.CreateOptions, console: o.OnConsole}
	if err := k.create(o.Detach); err != nil {
		return -1, k.undo(err)
	}
	if err := k.listenNotify(); err != nil {
		return -1, k.undo(err)
	}
	incoming := signals()
	if err := k.goOn(); err != nil {
		return -1, err
	}
	if err := k.c.awaitExec(&k.process.Conn, k.process.Pid); err != nil {
		return -1, k.undo(err)
	}
	k.netDevices.close()
	stopPoint("run-started")
	if err := k.c.poststart(); err != nil {
		k.release()
		return -1, err
	}
	if o.Detach && k.notify == nil {
		k.release()
		return 0, nil
	}
	// Other commands may work on the container while it runs.
	if err := linux.Unlock(k.c.dir); err != nil {
		return -1, err
	}
	if o.Detach {
		pidfd := int(k.process.Pidfd.Fd())
		k.notify.begin(pidfd, true)
		k.r.awaitNotify(k.notify, pidfd)
		k.release()
		return 0, nil
	}
	told := k.forwardAll()
	forwardSignals(k.process, incoming)
	oom := k.watchOOM(o.Keep)
	status, err := waitFor(k.process, !o.NoSubreaper)
	told()
	if err != nil {
		return -1, err
	}
	stopPoint("run-ended")
	k.finish(o.Keep, &End{Known: true, Status: status, OOMKilled: oom()})
	return exitStatus(status), nil
}

// listenNotify makes the socket for what the container has to tell the service manager.
func (k *creation) listenNotify() (err error) {
	mainPid := k.process.Pid
	if k.foreground { // it is our child, and its signals go by us
		mainPid = os.Getpid()
	}
	k.notify, err = k.c.listenNotify(k.process.Pid, mainPid)
	return err
}

// watchOOM begins to watch for lack of memory, beside the wait for the end, and returns what tells after it whether there was any.
func (k *creation) watchOOM(wanted bool) (killed func() bool) {
	if !wanted || k.c.rec.Cgroup.Unit == "" {
		return func() bool { return false }
	}
	told := make(chan bool, 1)
	go func() { told <- k.c.watchOOM(int(k.process.Pidfd.Fd())) }()
	return func() bool { return <-told }
}

// forwardAll passes on what the container tells the service manager beside everything else, and returns what waits for the end of
// that, which comes with the end of the process.
func (k *creation) forwardAll() (wait func()) {
	if k.notify == nil {
		return func() {}
	}
	pidfd := int(k.process.Pidfd.Fd())
	k.notify.begin(pidfd, false)
	return func() { k.r.awaitNotify(k.notify, pidfd) }
}

// finish removes a container whose program has ended in the foreground, or writes its end down if it is to be kept. How the program has
// ended is what the caller waits for: that the container can't be removed is no more than a warning.
func (k *creation) finish(keep bool, end *End) {
	defer k.release()
	if !keep {
		err := k.remove()
		if err == nil {
			return
		}
		k.r.warn("%v; the container stays, delete it later", err)
	}
	end.OOMKilled = end.OOMKilled || k.c.oomKilled()
	k.c.noteEnd(end, endPatience)
}

// remove removes a container that has stopped, unless somebody else was faster.
func (k *creation) remove() error {
	err := k.c.acquire(unix.LOCK_EX, k.r.wait)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.c.destroy(!k.c.rec.OwnPidns)
}

// catch starts asking for signals while the container is being made, and returns a function that waits until they are caught. A
// signal that arrives after the program runs, but before that, would be lost or end this process alone.
func catch(ask func() <-chan os.Signal, detached bool) func() <-chan os.Signal {
	if ask == nil || detached {
		return func() <-chan os.Signal { return nil }
	}
	caught := make(chan (<-chan os.Signal), 1)
	go func() { caught <- ask() }()
	return func() <-chan os.Signal { return <-caught }
}

// forwardSignals passes signals on to a process.
func forwardSignals(p *nsenter.Process, signals <-chan os.Signal) {
	if signals == nil {
		return
	}
	go func() {
		for s := range signals {
			if number, ok := s.(syscall.Signal); ok {
				unix.PidfdSendSignal(int(p.Pidfd.Fd()), number, nil, 0)
			}
		}
	}()
}

// waitFor waits for the end of a process, and as a subreaper for that of all orphans until then.
func waitFor(p *nsenter.Process, subreaper bool) (unix.WaitStatus, error) {
	wait := p.Wait
	if subreaper {
		wait = p.WaitReaping
	}
	status, err := wait()
	if err != nil {
		return 0, fmt.Errorf("wait for the program: %w", err)
	}
	return unix.WaitStatus(status), nil
}

// exitStatus is what a shell makes of a wait status.
func exitStatus(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
