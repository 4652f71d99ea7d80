package cgroups

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OOMWatch learns when the kernel kills in a cgroup for want of memory. Whoever has it polls Poll and asks Happened.
type OOMWatch struct {
	// Poll is the descriptor and the event that says that Happened has news.
	Poll unix.PollFd

	dir    dir
	source int    // v1: memory.oom_control, which has to stay open
	count  uint64 // v2: of oom_kill so far
}

func (m *v2) WatchOOM() (*OOMWatch, error) {
	defer m.close()
	if m.absent || !m.same() {
		return nil, nil
	}
	return watchEvents(m.path)
}

// WatchOOM looks for the controller in both trees.
func (m *v1) WatchOOM() (*OOMWatch, error) {
	defer m.close()
	if !m.same() {
		return nil, nil
	}
	if d := m.of("memory"); d != nil {
		return watchControl(d.path)
	}
	if d := m.twin(); d != nil {
		return watchEvents(d.path)
	}
	return nil, nil
}

// watchEvents watches memory.events, at each change of which the kernel raises POLLPRI.
func watchEvents(path string) (*OOMWatch, error) {
	w := &OOMWatch{dir: newDir(path), source: -1}
	defer w.dir.close()
	fd, err := w.dir.file("memory.events", unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.Poll = unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI}
	if _, err := w.Happened(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// watchControl has v1 write to an eventfd (cgroup-v1/memory.rst, "OOM Control").
func watchControl(path string) (*OOMWatch, error) {
	w := &OOMWatch{dir: newDir(path)}
	defer w.dir.close()
	source, err := w.dir.file("memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	w.source = source
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(source)
		return nil, os.NewSyscallError("eventfd", err)
	}
	w.Poll = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	if err := w.dir.write("cgroup.event_control", itoa(int64(fd))+" "+itoa(int64(source))); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Happened tells whether the kernel has killed since the last call. It does not wait. When the cgroup has been removed from v2 the error
// is ENODEV, and Poll is of no more use: the kernel says for ever that there is news.
func (w *OOMWatch) Happened() (bool, error) {
	var buf [1024]byte
	if w.source < 0 {
		n, err := unix.Pread(int(w.Poll.Fd), buf[:], 0)
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		if err != nil {
			return false, &os.PathError{Op: "read", Path: w.dir.path + "/memory.events", Err: err}
		}
		count, _ := flatValue(string(buf[:n]), "oom_kill")
		more := count > w.count
		w.count = count
		return more, nil
	}
	if _, err := unix.Read(int(w.Poll.Fd), buf[:8]); err != nil {
		return false, nil // EAGAIN: nothing has happened
	}
	// The kernel also writes when the cgroup is removed.
	_, err := w.dir.inode()
	w.dir.close()
	return err == nil, nil
}

// Close ends the watch.
func (w *OOMWatch) Close() {
	unix.Close(int(w.Poll.Fd))
	if w.source >= 0 {
		unix.Close(w.source)
	}
}
