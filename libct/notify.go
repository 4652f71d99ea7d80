package libct

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// The socket for what a container has to tell the service manager, sd_notify(3): the directory is made by create and bound into
// the container, the socket in it by who listens. The names are runc's.
const (
	notifyDir    = "notify"
	notifySocket = "notify.sock"
	notifyInside = "/run/notify"
)

const (
	barrierPatience = 30 * time.Second      // for the service manager to take note, as with runc
	lastWords       = 2 * time.Second       // after the end of a container, for what it has said until then
	lastMessages    = 512                   // of those, at most: a full queue with systemd's net.unix.max_dgram_qlen
	notifyPause     = 10 * time.Millisecond // between two messages: a container does not get to flood the service manager
)

// offerNotify gives the container the directory, and NOTIFY_SOCKET in its environment. Where config.json mounts something there an
// engine listens by itself.
func (k *creation) offerNotify() error {
	taken := func(m specs.Mount) bool { return specconv.Destination(m.Destination, k.host.Rootfs) == notifyInside }
	if k.r.opts.NotifySocket == "" || slices.ContainsFunc(k.spec.Mounts, taken) {
		return nil
	}
	if _, err := notifyAddress(k.r.opts.NotifySocket); err != nil {
		k.r.warn("leave out NOTIFY_SOCKET: %v", err)
		return nil
	}
	dir := k.c.path(notifyDir)
	err := linux.Mkdirat(k.c.dir, notifyDir, 0o755)
	if err == nil {
		err = unix.Fchmodat(k.c.dir, notifyDir, 0o755, 0) // whatever our umask is
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", dir, cause(err))
	}
	k.spec.Mounts = append(k.spec.Mounts, specs.Mount{
		Destination: notifyInside, Type: "bind", Source: dir,
		Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	k.host.Sources = append(k.host.Sources, specconv.Source{Path: dir, Dir: true})
	k.host.Env = setEnv(k.host.Env, "NOTIFY_SOCKET", notifyInside+"/"+notifySocket)
	if k.foreground && k.r.opts.WatchdogUsec != "" {
		k.host.Env = setEnv(k.host.Env, "WATCHDOG_USEC", k.r.opts.WatchdogUsec)
	}
	return nil
}

// notifyAddress is the socket that NOTIFY_SOCKET names: an absolute path, or "@" and an abstract name (unix(7)).
func notifyAddress(name string) (*unix.SockaddrUnix, error) {
	if len(name) < 2 || name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("%q is neither an absolute path nor an abstract name", name)
	}
	if len(name) > 107 { // sockaddr_un
		return nil, fmt.Errorf("%q: %w", name, unix.ENAMETOOLONG)
	}
	return &unix.SockaddrUnix{Name: name}, nil
}

// notifier passes on what a container has to tell the service manager.
//
// A container can send descriptors along, and the last one to let go of a file may wait in there: for as long as SO_LINGER says, or for
// a FUSE server that never answers. None is ever received: what comes is read without room for them, by which the kernel drops them
// with the message. So no close(2) of ours flushes a container's file, and that is what not even SIGKILL ends. The release of a
// file may still fall to us, and take its time; the thread that it falls to is one that nobody waits for without a limit, and the end of
// this process ends it, unless the file's own release can't be interrupted (a file server that is gone).
type notifier struct {
	from     *os.File // what the container sends to
	to       int      // a socket to send from
	manager  *unix.SockaddrUnix
	mainPid  int    // what the manager is to watch: this process as long as it waits for the init, or the init
	gone     bool   // that has ended, and its pid may be another's
	offset   int64  // of the container's CLOCK_MONOTONIC, in microseconds
	watchdog uint64 // how often the manager wants to hear of us at least, in microseconds; 0: not at all
	patience extension
	failed   error         // what did not arrive, and why
	done     chan struct{} // closed when all is passed on; nil: that has not begun
}

// listenNotify makes the socket that the container was promised, while its init, pid, stands at a gate. It is nil without an error if
// there was no such promise, or nobody is there to be told.
func (c *container) listenNotify(pid, mainPid int) (*notifier, error) {
	manager, err := notifyAddress(c.r.opts.NotifySocket)
	if err != nil {
		return nil, nil
	}
	dir, err := linux.Openat(c.dir, notifyDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.path(notifyDir), cause(err))
	}
	defer unix.Close(dir)
	n := &notifier{to: -1, manager: manager, mainPid: mainPid, offset: clockOffset(pid), patience: extension{left: extendLimit}}
	if usec, err := strconv.ParseUint(c.r.opts.WatchdogUsec, 10, 63); err == nil {
		n.watchdog = usec
	}
	if err := n.bind(dir); err != nil {
		n.close()
		return nil, fmt.Errorf("make the socket %s/%s: %w", c.path(notifyDir), notifySocket, cause(err))
	}
	return n, nil
}

// bind makes both sockets, the one that is listened to in a directory.
func (n *notifier) bind(dir int) error {
	const kind = unix.SOCK_DGRAM | unix.SOCK_CLOEXEC
	from, err := unix.Socket(unix.AF_UNIX, kind, 0)
	if err != nil {
		return err
	}
	n.from = os.NewFile(uintptr(from), notifySocket)
	if n.to, err = unix.Socket(unix.AF_UNIX, kind, 0); err != nil {
		return err
	}
	limit := unix.NsecToTimeval(int64(barrierPatience))
	if err := unix.SetsockoptTimeval(n.to, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	if err := gone(linux.Unlinkat(dir, notifySocket, 0)); err != nil { // of a start that was killed
		return err
	}
	if err := unix.Bind(from, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + notifySocket}); err != nil {
		return err
	}
	return unix.Fchmodat(dir, notifySocket, 0o777, 0) // for every user of the container; nobody else gets to it
}

// readiness is what start waits for if the service manager wants to know.
type readiness struct {
	c    *container
	told *notifier // nil: it does not
	init int       // pidfd: by its pid a short-lived process may no longer be found
}

// expectReady is for a container that still stands at its start gate.
func (c *container) expectReady() (r readiness, err error) {
	r = readiness{c: c, init: -1}
	if r.told, err = c.listenNotify(c.rec.Pid, c.rec.Pid); err != nil || r.told == nil {
		return r, err
	}
	if r.init, err = c.initPidfd(); err != nil {
		r.close()
	}
	return r, err
}

// await passes on what the container tells until it is ready. Others may work on it meanwhile.
func (r *readiness) await() error {
	if r.told == nil {
		return nil
	}
	if err := linux.Unlock(r.c.dir); err != nil {
		return err
	}
	r.told.begin(r.init, true)
	r.c.r.awaitNotify(r.told, r.init)
	return nil
}

func (r *readiness) close() {
	r.told.close()
	if r.init >= 0 {
		unix.Close(r.init)
	}
}

// awaitNotify waits for the end of the forwarding, and warns of what did not arrive.
func (r *Runtime) awaitNotify(n *notifier, pidfd int) {
	if err := n.wait(pidfd); err != nil {
		r.warn("%v", err)
	}
}

// close lets go of the sockets. n may be nil. What is left in the queue goes with them, descriptors too: nobody waits for that.
func (n *notifier) close() {
	if n != nil && n.done == nil { // else it is forward's
		go n.closeSockets()
	}
}

func (n *notifier) closeSockets() {
	if n.to >= 0 {
		unix.Close(n.to)
	}
	n.from.Close() // the last, which may take its time
}

// begin starts passing on what comes until the process of pidfd has ended and nothing is left, or until the container is ready, beside
// everything else. The sockets are closed after it.
func (n *notifier) begin(pidfd int, untilReady bool) {
	n.done = make(chan struct{})
	own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0) // who waits may give up and close theirs
	go func() {
		if err == nil {
			err = n.forward(own, untilReady)
		}
		if err != nil {
			n.failed = err
		}
		close(n.done)
		unix.Close(own)
		n.closeSockets()
	}()
}

// wait waits for the end of the forwarding, but not for long once the process of pidfd has ended, and returns why something did not arrive.
func (n *notifier) wait(pidfd int) error {
	ended := make(chan struct{})
	go func() {
		linux.PollIn(pidfd, -1)
		close(ended)
	}()
	select {
	case <-n.done:
		return n.failed
	case <-ended:
	}
	select {
	case <-n.done:
		return n.failed
	case <-time.After(lastWords):
		return fmt.Errorf("pass on the last messages to NOTIFY_SOCKET %q: not done %v after the end of the container", n.manager.Name, lastWords)
	}
}

// forward is what begin starts. Without a pid namespace there may be others who go on talking after the end: they are heard no longer.
func (n *notifier) forward(pidfd int, untilReady bool) error {
	fds := []unix.PollFd{{Fd: int32(n.from.Fd()), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for last := 0; ; {
		if _, err := linux.Poll(fds, -1); err != nil {
			return err
		}
		ended := fds[1].Revents != 0
		if ended {
			n.gone = n.mainPid != os.Getpid()
			if last++; fds[0].Revents == 0 || last > lastMessages {
				return nil
			}
		}
		if fds[0].Revents == 0 {
			continue
		}
		ready, err := n.one(pidfd)
		if err != nil {
			return err
		}
		if ready && untilReady {
			// The manager looks up whose message it is by our pid: it must have done so before we are gone.
			n.barrier(-1)
			return nil
		}
		if _, _, err := n.read(nil, 0); err != nil {
			return err
		}
		if !ended {
			linux.PollIn(pidfd, notifyPause)
		}
	}
}

// one looks at the first message and passes on what of it may be, and reports whether the container said that it is ready. The message
// stays where it is: a program that waits at a barrier is answered by the end of the message, and with it that of its descriptor.
func (n *notifier) one(pidfd int) (ready bool, err error) {
	buffer := make([]byte, notifyLimit)
	size, flags, err := n.read(buffer, unix.MSG_PEEK)
	if err != nil {
		return false, err
	}
	switch text := string(buffer[:size]); {
	case flags&unix.MSG_TRUNC != 0: // the manager would not read it either
		return false, nil
	case isBarrier(text) && flags&unix.MSG_CTRUNC != 0: // descriptors came with it
		n.barrier(pidfd)
		return false, nil
	default:
		answer, ready := n.translate(text)
		if answer != "" {
			n.send(answer, nil)
		}
		return ready, nil
	}
}

// read receives a message that is there, without what came with it.
func (n *notifier) read(buffer []byte, how int) (size, flags int, err error) {
	for {
		size, _, flags, _, err = unix.Recvmsg(int(n.from.Fd()), buffer, nil, how|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			err = fmt.Errorf("read from the container's NOTIFY_SOCKET: %w", err)
		}
		return size, flags, err
	}
}

// barrier waits until the manager has dealt with all that it was sent (sd_notify_barrier(3)), or the process of pidfd has ended;
// -1 is none. It has a descriptor of ours to close.
func (n *notifier) barrier(pidfd int) {
	r, w, err := pipe()
	if err != nil {
		return
	}
	defer r.Close()
	n.send("BARRIER=1", w)
	w.Close()
	linux.Poll([]unix.PollFd{{Fd: int32(r.Fd())}, {Fd: int32(pidfd), Events: unix.POLLIN}}, barrierPatience)
}

func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// send sends one message to the service manager. That it can't be reached is no reason to end a container.
func (n *notifier) send(text string, file *os.File) {
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	for {
		err := unix.Sendmsg(n.to, []byte(text), rights, n.manager, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			n.failed = fmt.Errorf("send to NOTIFY_SOCKET %q: %w", n.manager.Name, err)
		}
		return
	}
}
