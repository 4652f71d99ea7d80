package cgroups

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A cgroup that somebody else removes while its end is waited for: the kernel wakes nobody.
func TestWaitRemovedMeanwhile(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		lay, err := DetectLayout()
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range lay.Hierarchies {
			if h.Name == "" {
				waitRemoved(t, h.Mountpoint)
				return
			}
		}
		t.Skip("no cgroup2 is mounted")
	})
}

func waitRemoved(t *testing.T, mount string) {
	name := mount + "/husk-test-" + strconv.Itoa(os.Getpid()) + "-removed"
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	d := newDir(name)
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	defer d.close()
	deadline := time.Now().Add(20 * time.Second)
	thread, done := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		done <- d.waitEvent("frozen", 1, deadline)
	}()
	call := "/proc/self/task/" + strconv.Itoa(<-thread) + "/syscall"
	for {
		now, err := os.ReadFile(call)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(now), strconv.Itoa(unix.SYS_PPOLL)+" ") {
			break
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || time.Now().After(deadline) {
		t.Errorf("it waited to its deadline, or: %v", err)
	}
}
