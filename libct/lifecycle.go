package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
	"husk/internal/linux"
)

// Change is something that has happened to a container.
type Change struct {
	// Type is "created", "started", "paused", "resumed", "oom" (the kernel has killed in it for want of memory), "stopped" or
	// "deleted". At the beginning there is a "state" for each container, and then one "watching".
	Type   string
	Time   time.Time
	ID     string // not with "watching"
	Pid    int    // with "created" and "started"
	Status Status // with "state"
	End    End    // with "stopped", and "state" of what has stopped
}

// AppendJSON appends the change as a line of JSON.
func (e *Change) AppendJSON(dst []byte) []byte {
	w := jsonscan.Writer{Data: dst}
	w.Object("")
	w.Text("type", e.Type)
	w.Text("time", e.Time.UTC().Format(time.RFC3339Nano))
	if e.ID != "" {
		w.Text("id", e.ID)
	}
	if e.Pid != 0 {
		w.Int("pid", int64(e.Pid))
	}
	if e.Status != "" {
		w.Text("status", string(e.Status))
	}
	e.End.append(&w)
	w.EndObject()
	w.Line()
	return w.Data
}

// lifecycle follows containers by what their directories, their processes and their cgroups tell. Nothing is asked for in
// regular intervals, and what one event costs does not depend on the number of containers.
type lifecycle struct {
	r       *Runtime
	tell    func(*Change) error
	named   []string // nil: all
	root    int
	inotify int
	watch   int // of the root
	epoll   int

	containers map[string]*followed
	watches    map[int]*followed // by watch
	sources    map[int]*followed // by descriptor: pidfd, oom
	quiet      bool              // nothing is told of changes: it is the beginning
	err        error             // the first of tell
}

// Lifecycle calls tell for everything that happens to the containers ids, until they are deleted, or to all, until tell
// fails.
func (r *Runtime) Lifecycle(ids []string, tell func(*Change) error) error {
	l := &lifecycle{
		r: r, tell: tell, named: ids, root: -1, inotify: -1, epoll: -1,
		containers: make(map[string]*followed), watches: make(map[int]*followed), sources: make(map[int]*followed),
	}
	defer l.close()
	if err := l.open(); err != nil {
		return err
	}
	if err := l.begin(); err != nil {
		return err
	}
	for l.err == nil && (len(ids) == 0 || len(l.containers) > 0) {
		if err := l.next(); err != nil {
			return err
		}
	}
	return l.err
}

func (l *lifecycle) open() (err error) {
	if l.root, err = l.r.openRoot(l.r.opts.Root == ""); err != nil {
		return err
	}
	if l.inotify, err = linux.InotifyInit(); err != nil {
		return err
	}
	if l.watch, err = linux.InotifyAdd(l.inotify, l.root, unix.IN_CREATE|unix.IN_DELETE|unix.IN_ONLYDIR|unix.IN_DELETE_SELF); err != nil {
		return fmt.Errorf("watch state root %s: %w", l.r.path, err)
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	return l.listen(l.inotify, unix.EPOLLIN)
}

func (l *lifecycle) close() {
	for _, f := range l.containers {
		f.close()
	}
	for _, fd := range []int{l.root, l.inotify, l.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (l *lifecycle) listen(fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// begin tells how things stand. The watches are older, so that nothing is missed; what happens meanwhile may show in both.
func (l *lifecycle) begin() error {
	ids := l.named
	if len(ids) == 0 {
		var err error
		if ids, err = linux.Names(l.root); err != nil {
			return fmt.Errorf("list state root %s: %w", l.r.path, err)
		}
		slices.Sort(ids)
	}
	for _, id := range ids {
		if err := checkID(id); err != nil {
			if len(l.named) > 0 {
				return err
			}
			continue
		}
		l.quiet = true
		err := l.look(id)
		l.quiet = false
		if err != nil {
			return err
		}
		f := l.containers[id]
		if f == nil && len(l.named) > 0 {
			return ErrNotExist
		}
		if f == nil || !f.created {
			continue
		}
		if s, err := f.c.state(); err == nil {
			l.say(&Change{Type: "state", ID: id, Pid: s.Pid, Status: s.Status, End: s.End})
		}
	}
	l.say(&Change{Type: "watching"})
	return nil
}

func (l *lifecycle) say(e *Change) {
	if l.err == nil && !l.quiet {
		e.Time = time.Now()
		l.err = l.tell(e)
	}
}

// next waits for events and deals with them: those of directories first, because they are in order.
func (l *lifecycle) next() error {
	var events [32]unix.EpollEvent
	n, err := unix.EpollWait(l.epoll, events[:], -1)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("epoll_wait", err)
	}
	var odd error
	err = linux.InotifyRead(l.inotify, func(watch int, mask uint32, name string) {
		if err := l.changed(watch, mask, name); err != nil && odd == nil {
			odd = err
		}
	})
	if err := errors.Join(err, odd); err != nil {
		return err
	}
	for _, e := range events[:max(n, 0)] {
		if f := l.sources[int(e.Fd)]; f != nil {
			f.happened(int(e.Fd))
		}
	}
	return nil
}

// changed deals with an event of a directory.
func (l *lifecycle) changed(watch int, mask uint32, name string) error {
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return errors.New("watch containers: more has happened at once than the kernel keeps (/proc/sys/fs/inotify/max_queued_events); begin anew")
	case watch == l.watch && mask&(unix.IN_DELETE_SELF|unix.IN_IGNORED) != 0:
		return fmt.Errorf("watch state root %s: it was removed", l.r.path)
	case watch == l.watch:
		if checkID(name) == nil && (len(l.named) == 0 || slices.Contains(l.named, name)) {
			return l.look(name)
		}
	case l.watches[watch] != nil:
		l.watches[watch].changed(mask, name)
	}
	return nil
}

// look compares what has an id now with what is being followed under it.
func (l *lifecycle) look(id string) error {
	st, err := linux.Fstatat(l.root, id, unix.AT_SYMLINK_NOFOLLOW)
	there := err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check directory %s/%s: %w", l.r.path, id, cause(err))
	}
	if f := l.containers[id]; f != nil {
		if there && f.dev == st.Dev && f.ino == st.Ino {
			return nil
		}
		f.gone()
	}
	if !there {
		return nil
	}
	c, err := l.r.enter(l.root, id, 0)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.follow(c)
}
