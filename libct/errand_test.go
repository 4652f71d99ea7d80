package libct

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// slowErrand is one whose patience is short.
func slowErrand(t *testing.T) *errand {
	t.Helper()
	r := newRuntime(t)
	r.wait = 10 * time.Millisecond
	e := &errand{c: &container{r: r.Runtime}}
	fd, err := linux.PidfdOpen(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	e.init = os.NewFile(uintptr(fd), "init")
	if e.root, err = os.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll([]*os.File{e.init, e.root}) })
	return e
}

// An interpreter that doesn't come back, as in a file system that doesn't answer, is ended: the container's lock is held.
func TestErrandEndsInTime(t *testing.T) {
	b := plan.NewBuilder(3)
	b.Errand()
	scratch := b.Space(512)
	b.Input("parent", plan.Socket)
	b.Input("root", plan.Root)
	init := b.Input("init", plan.Namespace)
	b.MarkInherited()
	b.Prctl(unix.PR_SET_DUMPABLE, 0)
	b.At("", "stand still")
	b.Gate("stand still", scratch, 1)
	b.SetNS(init, unix.CLONE_NEWNS)
	b.Gate("end", scratch, 1)
	p, err := b.Plan()
	if err == nil {
		err = p.Verify()
	}
	if err != nil {
		t.Fatal(err)
	}
	e, pidfd := slowErrand(t), -1
	short := e.c.r.wait
	e.c.r.wait = defaultWait // until it has begun
	err = e.run(p, func(*nsenter.Event) (err error) {
		pidfd, err = linux.PidfdOpen(e.process.Pid)
		e.c.r.wait = short
		return err // and no answer: it waits for ever
	})
	if !errors.Is(err, unix.ETIMEDOUT) {
		t.Fatalf("run: %v", err)
	}
	defer unix.Close(pidfd)
	if ended, err := linux.PollIn(pidfd, defaultWait); err != nil || !ended {
		t.Errorf("the interpreter is left: %v", err)
	}
	e.process.Wait() // if it was late to end
}

// What the parent itself does to the container's files ends in time for the caller, and has its files for itself.
func TestErrandLeavesAlone(t *testing.T) {
	e, hold, over := slowErrand(t), make(chan struct{}), make(chan error, 1)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ev := &nsenter.Event{Files: []*os.File{r}}
	err = e.withFiles(ev, func(own nsenter.Event) error {
		<-hold
		_, err := own.Files[0].Stat()
		over <- err
		return err
	})
	if !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("withFiles: %v", err)
	}
	closeAll(ev.Files)
	close(hold)
	if err := <-over; err != nil {
		t.Errorf("the file of what is late was closed: %v", err)
	}
	e.c.r.wait = defaultWait
	if err := e.inTime("fail", func() error { return unix.EXDEV }); err != unix.EXDEV {
		t.Errorf("an error in time: %v", err)
	}
}

// A mount that the container has put on top of one that goes does not go in its place.
func TestUnmountStacked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts")
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pidfd, err := linux.PidfdOpen(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	e := slowErrand(t)
	e.c.r.wait = defaultWait
	e.init.Close()
	e.init = os.NewFile(uintptr(pidfd), "init")
	dir := t.TempDir()
	var below *os.File
	var id uint64
	if err := inMountNamespace(e.init, func() error {
		for i := range 2 {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				return err
			}
			if i == 0 {
				fd, err := linux.Openat(unix.AT_FDCWD, dir, unix.O_PATH, 0)
				if err != nil {
					return err
				}
				below = os.NewFile(uintptr(fd), dir)
				if id, err = linux.MountID(fd, plan.StatxMount); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	spec := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}}
	p, err := specconv.CompileTakeBack(spec, specconv.AddedMount{Destination: dir, ID: id}, &specconv.Host{})
	if err == nil {
		err = e.run(p, nil, below)
	}
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/mountinfo")
	if err != nil || strings.Contains(string(table), dir) {
		t.Errorf("the mount is left: %v\n%s", err, table)
	}
}
