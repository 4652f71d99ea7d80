package libct

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
)

// followed is a container of a lifecycle and what was told of it so far.
type followed struct {
	l        *lifecycle
	c        *container // without a lock; its root is l's
	dev, ino uint64
	watch    int
	pidfd    int               // -1: none
	oom      *cgroups.OOMWatch // nil: none

	created, started, paused, stopped bool
	removing                          bool // delete is at work in the directory
}

// What is watched of a container's directory: the record is renamed into it, start removes the gate, pause and resume touch it.
const followMask = unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ATTRIB

// follow begins to follow c and tells its state if there is one.
func (l *lifecycle) follow(c *container) error {
	f := &followed{l: l, c: c, pidfd: -1, watch: -1}
	st, err := linux.Fstat(c.dir)
	if err == nil {
		f.watch, err = linux.InotifyAdd(l.inotify, c.dir, followMask)
	}
	if err != nil {
		unix.Close(c.dir)
		return fmt.Errorf("watch container %s: %w", c.id, err)
	}
	f.dev, f.ino = st.Dev, st.Ino
	l.containers[c.id], l.watches[f.watch] = f, f
	f.refresh()
	return nil
}

func (f *followed) say(kind string) { f.l.say(&Change{Type: kind, ID: f.c.id}) }

// changed deals with an event of the directory.
func (f *followed) changed(mask uint32, name string) {
	switch {
	case mask&unix.IN_DELETE != 0 && name == configFile:
		f.removing = true // it goes before the gate, see removeFiles
	case mask&unix.IN_DELETE != 0 && name == gateSocket:
		if !f.removing {
			f.start()
		}
	case mask&unix.IN_MOVED_TO != 0 && name == recordFile, mask&unix.IN_ATTRIB != 0 && name == "":
		f.refresh()
	}
}

// refresh reads the record and tells what is new.
func (f *followed) refresh() {
	if f.stopped || f.c.read() != nil || f.c.rec.Phase == phaseCreating {
		return
	}
	if !f.created {
		f.created = true
		f.l.say(&Change{Type: "created", ID: f.c.id, Pid: f.c.rec.Pid})
		f.attach()
	}
	frozen, err := f.c.frozen()
	if err == nil && f.paused && !frozen { // before a start, which a paused container refuses
		f.paused = false
		f.say("resumed")
	}
	f.lookForStart()
	if f.pidfd < 0 {
		f.end(f.c.lastKnown())
		return
	}
	if err == nil && frozen && !f.paused {
		f.paused = true
		f.say("paused")
	}
}

func (f *followed) start() {
	if f.created && !f.started && !f.stopped {
		f.started = true
		f.l.say(&Change{Type: "started", ID: f.c.id, Pid: f.c.rec.Pid})
	}
}

// lookForStart tells that the program runs or has run: start, or nobody, has left a gate. A delete takes the gate after the
// config.
func (f *followed) lookForStart() {
	if at, err := f.c.program(); err != nil || at != Running {
		return
	}
	if _, err := linux.Fstatat(f.c.dir, configFile, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		f.start()
	}
}

// attach listens to the container's init and to its cgroup.
func (f *followed) attach() {
	pidfd, err := f.c.initPidfd()
	if err != nil {
		return // it has stopped
	}
	f.pidfd = pidfd
	f.l.sources[pidfd] = f
	if err := f.l.listen(pidfd, unix.EPOLLIN); err != nil {
		f.l.r.warn("watch init of container %s: %v", f.c.id, err)
	}
	m, err := f.c.cgroup()
	if err == nil && m != nil {
		f.oom, err = m.WatchOOM()
	}
	if err == nil && f.oom != nil {
		f.l.sources[int(f.oom.Poll.Fd)] = f
		err = f.l.listen(int(f.oom.Poll.Fd), uint32(f.oom.Poll.Events))
	}
	if err != nil && !cgroupGone(err) {
		f.l.r.warn("watch container %s for lack of memory: %v", f.c.id, err)
	}
}

// happened deals with an event of a descriptor.
func (f *followed) happened(fd int) {
	f.checkMemory()
	if fd == f.pidfd && f.hasEnded() { // the number may have belonged to another when it was reported
		f.ended()
	}
}

func (f *followed) hasEnded() bool {
	ended, err := linux.PollIn(f.pidfd, 0)
	return err == nil && ended
}

func (f *followed) checkMemory() {
	if f.oom == nil {
		return
	}
	killed, err := f.oom.Happened()
	switch {
	case cgroupGone(err):
		f.unwatchMemory()
	case err == nil && killed:
		f.say("oom")
	}
}

func (f *followed) unwatchMemory() {
	if f.oom != nil {
		delete(f.l.sources, int(f.oom.Poll.Fd))
		f.oom.Close()
		f.oom = nil
	}
}

// ended deals with the end of init. A start may be on its way that has let the program run: it holds the lock, and so does
// a delete, which takes the directory away.
func (f *followed) ended() {
	end := f.c.look(f.pidfd, reapPatience)
	if !f.started && f.c.acquire(unix.LOCK_SH, lockPatience) == nil {
		f.lookForStart()
		linux.Unlock(f.c.dir)
	}
	f.checkMemory()
	f.end(*end)
	f.c.noteEnd(end, 0)
}

// These bound how long the end of one container keeps the news of others waiting: for whoever has to wait for the process first,
// which may be nobody; and for a start or delete, which is about to end.
const (
	reapPatience = 100 * time.Millisecond
	lockPatience = 2 * time.Second
)

// end tells that the container has stopped; there is nothing to be heard of it but its deletion.
func (f *followed) end(end End) {
	if f.created && !f.stopped {
		f.stopped = true
		f.l.say(&Change{Type: "stopped", ID: f.c.id, End: end})
	}
	f.detach()
}

// gone deals with the deletion.
func (f *followed) gone() {
	if f.pidfd >= 0 && f.hasEnded() {
		f.ended()
	}
	if f.created {
		f.say("deleted")
	}
	delete(f.l.containers, f.c.id)
	delete(f.l.watches, f.watch)
	unix.InotifyRmWatch(f.l.inotify, uint32(f.watch))
	f.close()
}

func (f *followed) detach() {
	if f.pidfd >= 0 {
		delete(f.l.sources, f.pidfd)
		unix.Close(f.pidfd)
		f.pidfd = -1
	}
	f.unwatchMemory()
}

func (f *followed) close() {
	f.detach()
	unix.Close(f.c.dir)
}
