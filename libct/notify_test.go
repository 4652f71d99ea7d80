package libct

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// notified is a notifier between two sockets in a directory of the test, one to send from as a container does, and the manager's: told
// is what that has heard.
func notified(t *testing.T) (n *notifier, container *net.UnixConn, told chan string) {
	t.Helper()
	dir, told := t.TempDir(), make(chan string, 1000)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/manager", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := linux.Openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	go func() { // it answers barriers: there is no room for descriptors
		for buffer := make([]byte, notifyLimit); ; {
			size, err := manager.Read(buffer)
			if err != nil {
				close(told)
				return
			}
			told <- string(buffer[:size])
		}
	}()
	n = &notifier{to: -1, manager: &unix.SockaddrUnix{Name: dir + "/manager"}, mainPid: 42}
	if err := n.bind(fd); err != nil {
		t.Fatal(err)
	}
	container, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: dir + "/" + notifySocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		container.SetWriteDeadline(time.Now().Add(20 * time.Second))
		for err == nil { // until the notifier has let go of everything
			_, err = container.Write([]byte{0})
		}
		if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOTCONN) { // the first that finds out, and who comes later
			t.Errorf("the notifier is still there: %v", err)
		}
		container.Close()
		manager.Close()
		for range told {
		}
	})
	return n, container, told
}

// ended is the pidfd of a process that has ended.
func ended(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pidfd) })
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return pidfd
}

// running is the pidfd of a process that has not.
func running(t *testing.T) int {
	t.Helper()
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pidfd) })
	return pidfd
}

// forward passes on until the end.
func forward(n *notifier, pidfd int, untilReady bool) error {
	n.begin(pidfd, untilReady)
	return n.wait(pidfd)
}

// sendWith sends a message and a descriptor with it.
func sendWith(t *testing.T, container *net.UnixConn, text string, fd int) {
	t.Helper()
	raw, err := container.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(s uintptr) { err = unix.Sendmsg(int(s), []byte(text), unix.UnixRights(fd), nil, 0) })
	if err != nil {
		t.Fatal(err)
	}
}

// lingering is a TCP socket whose last close(2) waits for a minute, or until hangUp: there is data that the other side does not read.
func lingering(t *testing.T) (fd int, hangUp func()) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: listener.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	other, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = unix.Sendto(fd, make([]byte, 1<<16), unix.MSG_DONTWAIT, nil)
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
		t.Fatal(err)
	}
	return fd, func() { other.Close() }
}

// A descriptor that was sent along, and whose closing takes its time, holds nobody up: neither where it came with a message nor in
// the queue that is left when the program is ready, nor at the end of a command that has failed.
func TestNotifyLinger(t *testing.T) {
	for name, tc := range map[string]struct {
		texts []string
		want  string // of wait
		do    func(*notifier) error
	}{
		"ended": {[]string{"STATUS=x", "STATUS=y"}, "pass on the last messages", func(n *notifier) error { return forward(n, ended(t), false) }},
		"ready": {[]string{"READY=1"}, "", func(n *notifier) error { return forward(n, running(t), true) }},
		"close": {[]string{"STATUS=x"}, "", func(n *notifier) error { n.close(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			n, container, _ := notified(t)
			fd, hangUp := lingering(t)
			t.Cleanup(hangUp)
			for _, text := range tc.texts {
				sendWith(t, container, text, fd)
			}
			unix.Close(fd) // not the last
			returned := make(chan error, 1)
			go func() { returned <- tc.do(n) }()
			select {
			case err := <-returned:
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			case <-time.After(20 * time.Second):
				t.Error("still waits for a descriptor of the container")
				hangUp()
				<-returned
			}
		})
	}
}

// What was said before the end is passed on after it, but nothing is ready then that could be watched.
func TestNotifyEnded(t *testing.T) {
	for mainPid, want := range map[int][]string{
		42:          {"STATUS=up", "STOPPING=1"},
		os.Getpid(): {"READY=1\nSTATUS=up\nMAINPID=" + strconv.Itoa(os.Getpid()), "MAINPID=" + strconv.Itoa(os.Getpid()), "STOPPING=1"},
	} {
		n, container, told := notified(t)
		n.mainPid = mainPid
		for _, text := range []string{"READY=1\nSTATUS=up", "MAINPID=7", "STOPPING=1"} {
			if _, err := container.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := forward(n, ended(t), false); err != nil {
			t.Error(err)
		}
		var got []string
		for range want {
			got = append(got, <-told)
		}
		if !slices.Equal(got, want) || len(told) != 0 {
			t.Errorf("the manager was told %q, want %q", got, want)
		}
	}
}

// Others that go on after the end of the first process are not listened to for ever.
func TestNotifyFlood(t *testing.T) {
	n, container, told := notified(t)
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			for {
				if _, err := container.Write([]byte("STATUS=more")); err != nil {
					return
				}
			}
		})
	}
	if err := forward(n, ended(t), false); err != nil {
		t.Error(err)
	}
	flood.Wait()
	if len(told) > lastMessages {
		t.Errorf("the manager was told more than %d messages", lastMessages)
	}
}
