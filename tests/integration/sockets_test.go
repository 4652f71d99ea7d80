package integration

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// receive accepts one message with one descriptor, as an engine does.
func receive(t *testing.T, b *bundle, path string) (chan *os.File, chan string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	files, texts := make(chan *os.File, 1), make(chan string, 1)
	go func() {
		defer close(files)
		defer close(texts)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		data, oob := make([]byte, 4096), make([]byte, 256)
		n, oobn, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(data, oob)
		if err != nil {
			return
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			return
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return
		}
		texts <- string(data[:n])
		unix.SetNonblock(fds[0], true)
		files <- os.NewFile(uintptr(fds[0]), "received")
	}()
	return files, texts
}

func TestPidfdSocket(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		files, texts := receive(t, b, b.path("init.sock"))
		out := b.created("--pidfd-socket", b.path("init.sock"))
		pidfd := <-files
		if pidfd == nil {
			t.Fatal("no pidfd came")
		}
		defer pidfd.Close()
		equal(t, "message", <-texts, "standard")
		equal(t, "pid of the pidfd", pidOf(t, pidfd), b.state().Pid)
		b.must("start", b.id)
		out.expect("ready\n")

		files, texts = receive(t, b, b.path("exec.sock"))
		b.must("exec", "--detach", "--pidfd-socket", b.path("exec.sock"), "--pid-file", b.path("pid"), b.id, "/inside", "wait")
		second := <-files
		if second == nil {
			t.Fatal("no pidfd came")
		}
		defer second.Close()
		equal(t, "message", <-texts, "setns")
		data, _ := os.ReadFile(b.path("pid"))
		equal(t, "pid of the pidfd", itoa(pidOf(t, second)), string(data))
		b.adopt(pidOf(t, second))
		b.must("delete", "--force", b.id)
	})
}

func pidOf(t *testing.T, pidfd *os.File) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/fdinfo/" + itoa(int(pidfd.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(value))
			return pid
		}
	}
	return -1
}
