package libct

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/nsenter"
	"husk/plan"
)

// patience is the limit of tests that wait for it to pass.
const patience = 50 * time.Millisecond

// agentOf is the agent of a container whose record has been changed, with a socket at the given listenerPath.
func agentOf(t *testing.T, p *specs.LinuxSeccomp, change func(*record)) *agent {
	t.Helper()
	r := newRuntime(t)
	r.put(t, "c", change)
	c, err := r.open("c", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	return c.agent(p, 4711, Created)
}

// standing is a process at the gate of its listener: this one, which plays the interpreter at the other end of a socket.
type standing struct {
	t        *testing.T
	conn     *nsenter.Conn
	there    int // the interpreter's end
	pidfd    int
	listener *os.File
}

func stand(t *testing.T) *standing {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &standing{t: t, there: pair[1], pidfd: pidfd}
	s.conn = nsenter.NewConn(os.NewFile(uintptr(pair[0]), "conn"), func(int) plan.Origin { return plan.Origin{} })
	if s.listener, err = memory("stand-in", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.conn.Close()
		s.listener.Close()
		unix.Close(s.there)
		unix.Close(s.pidfd)
	})
	return s
}

// goOn waits for the answer to the gate and ends the plan, as execve does.
func (s *standing) goOn() {
	if n, err := unix.Read(s.there, make([]byte, 8)); n != 1 || err != nil {
		s.t.Errorf("the answer: %d bytes, %v", n, err)
	}
	unix.Shutdown(s.there, unix.SHUT_RDWR)
}

// event is what is heard of the process.
func (s *standing) event() nsenter.Event {
	return nsenter.Event{FD: int(s.listener.Fd()), Gate: plan.Origin{Pointer: "/linux/seccomp/listenerPath", Step: "hand over"}}
}

func (s *standing) serve(a *agent) error { return a.serve(s.conn, s.event(), s.pidfd) }

// listen makes an agent's socket. What it says it has got is what comes until the connection is closed.
func listen(t *testing.T, path string) <-chan heard {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan heard, 1)
	go func() {
		var h heard
		conn, err := l.AcceptUnix()
		for err == nil {
			data, control := make([]byte, 4096), make([]byte, 64)
			var n, cn int
			if n, cn, _, _, err = conn.ReadMsgUnix(data, control); n == 0 {
				break
			}
			h.text = append(h.text, data[:n]...)
			h.control = append(h.control, control[:cn]...)
		}
		if conn != nil {
			conn.Close()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		got <- h
	}()
	return got
}

type heard struct{ text, control []byte }

// descriptors are those that came, as inodes.
func (h *heard) descriptors(t *testing.T) (inodes []uint64) {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(h.control)
	if err != nil || len(messages) != 1 {
		t.Fatalf("control messages %v, %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Error(err)
		}
		unix.Close(fd)
		inodes = append(inodes, st.Ino)
	}
	return inodes
}

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestAgent: the agent gets the descriptor and, in one message of any length, what the specification says; and no more.
func TestAgent(t *testing.T) {
	large := map[string]string{"key \"1\"": strings.Repeat("long\n", 200_000)}
	for _, c := range []struct {
		name, metadata string
		annotations    map[string]string
	}{
		{"plain", "", nil},
		{"metadata", "opaque \"data\"\n\x01", map[string]string{"a": "b"}},
		{"long", "", large},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent")
			got := listen(t, path)
			a := agentOf(t, &specs.LinuxSeccomp{ListenerPath: path, ListenerMetadata: c.metadata}, func(rec *record) {
				rec.Pid, rec.Annotations = 4712, c.annotations
			})
			s := stand(t)
			go s.goOn()
			want := inode(t, s.listener)
			if err := s.serve(a); err != nil {
				t.Fatal(err)
			}
			h := <-got
			if inodes := h.descriptors(t); len(inodes) != 1 || inodes[0] != want {
				t.Errorf("descriptors %v, want %d", inodes, want)
			}
			var state specs.ContainerProcessState
			if err := json.Unmarshal(h.text, &state); err != nil {
				t.Fatalf("%v: %.200q", err, h.text)
			}
			if !reflect.DeepEqual(state, specs.ContainerProcessState{
				Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: 4711, Metadata: c.metadata,
				State: specs.State{Version: "1.3.0", ID: "c", Status: specs.StateCreated, Pid: 4712, Bundle: "/bundle", Annotations: c.annotations},
			}) {
				t.Errorf("%.500s", h.text)
			}
			if c.metadata == "" && strings.Contains(string(h.text), "metadata") {
				t.Error("metadata that nobody has given")
			}
		})
	}
}

// TestAgentPath: a relative path is one of the bundle, and what begins with @ an abstract name.
func TestAgentPath(t *testing.T) {
	for path, want := range map[string]string{"/run/agent": "/run/agent", "agent": "/bundle/agent", "@agent": "@agent"} {
		if a := agentOf(t, &specs.LinuxSeccomp{ListenerPath: path}, nil); a.path != want {
			t.Errorf("%s leads to %s, want %s", path, a.path, want)
		}
	}
	name := "@husk-test-" + filepath.Base(t.TempDir())
	got := listen(t, name)
	s := stand(t)
	go s.goOn()
	if err := s.serve(agentOf(t, &specs.LinuxSeccomp{ListenerPath: name}, nil)); err != nil {
		t.Fatal(err)
	}
	h := <-got
	h.descriptors(t)
}

// TestAgentFails: no agent, of whatever kind, can make anybody wait for ever.
func TestAgentFails(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"no socket", func(*testing.T, string) {}, "no such file or directory"},
		{"nobody listens", func(t *testing.T, path string) { unix.Close(bound(t, path, unix.SOCK_STREAM)) }, "connection refused"},
		{"another type", func(t *testing.T, path string) { listening(t, path, unix.SOCK_SEQPACKET) }, "wrong type"},
		{"nobody accepts", func(t *testing.T, path string) {
			listening(t, path, unix.SOCK_STREAM)
			fd, err := connect(path, 0) // the one connection that may wait
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
		}, "connect to socket PATH: nobody takes it within 50ms"},
		{"nobody reads", func(t *testing.T, path string) { listening(t, path, unix.SOCK_STREAM) }, "write to socket PATH: nobody takes it within 50ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent")
			c.make(t, path)
			s := stand(t)
			a := agentOf(t, &specs.LinuxSeccomp{ListenerPath: path}, func(rec *record) {
				rec.Annotations = map[string]string{"long": strings.Repeat("x", 1<<20)}
			})
			a.wait = patience
			err := s.serve(a)
			want := strings.ReplaceAll(c.want, "PATH", path)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "/linux/seccomp/listenerPath: hand over: failed to connect with seccomp agent: ") {
				t.Errorf("%v, want %s", err, want)
			}
			if ready, _ := s.conn.Ready(0); ready {
				t.Error("the process has something to say")
			}
			if n, _, err := unix.Recvfrom(s.there, make([]byte, 8), unix.MSG_DONTWAIT); err != unix.EAGAIN {
				t.Errorf("the process was let go on: %d bytes, %v", n, err)
			}
		})
	}
}

// bound makes a socket at a path, and listening one that takes a single connection.
func bound(t *testing.T, path string, kind int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func listening(t *testing.T, path string, kind int) {
	t.Helper()
	fd := bound(t, path, kind)
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
}

// TestAgentSilent: a process that never comes to close its listener waits for an agent that does not answer. One that has
// closed it may take as long as it likes.
func TestAgentSilent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	got := listen(t, path)
	s := stand(t)
	a := agentOf(t, &specs.LinuxSeccomp{ListenerPath: path}, nil)
	a.wait = patience
	err := s.serve(a)
	if err == nil || !strings.Contains(err.Error(), "the seccomp agent at "+path+" does not answer") {
		t.Error(err)
	}
	h := <-got
	h.descriptors(t)

	e := s.event()
	s.listener.Close()
	if err := a.awaitClose(s.conn, e, s.pidfd); err != nil {
		t.Error(err)
	}
}
