package integration

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A manager listens where NOTIFY_SOCKET says, as a service manager does, and answers barriers (sd_notify(3)).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	got  chan message
	seen []string
}

// message is one that came, the pid of its sender and the number of descriptors with it.
type message struct {
	text string
	pid  int
	fds  int
}

// newManager listens at an absolute path or, with "@" in front, an abstract name.
func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, conn: conn, got: make(chan message, 1000)}
	t.Cleanup(func() {
		conn.Close()
		for range m.got {
		}
	})
	go m.listen()
	return m
}

func (m *manager) listen() {
	defer close(m.got)
	for {
		text, control := make([]byte, 8192), make([]byte, 256)
		n, rest, _, _, err := m.conn.ReadMsgUnix(text, control)
		if err != nil {
			return
		}
		got := message{text: string(text[:n])}
		list, _ := unix.ParseSocketControlMessage(control[:rest])
		for i := range list {
			if cred, err := unix.ParseUnixCredentials(&list[i]); err == nil {
				got.pid = int(cred.Pid)
			}
			fds, _ := unix.ParseUnixRights(&list[i])
			got.fds += len(fds)
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
		m.got <- got
	}
}

// next waits for a message.
func (m *manager) next() message {
	m.t.Helper()
	select {
	case got := <-m.got:
		m.seen = append(m.seen, got.text)
		return got
	case <-time.After(limit):
		m.t.Fatalf("no message came after %q", m.seen)
	}
	return message{}
}

// expect compares the next messages.
func (m *manager) expect(want ...string) {
	m.t.Helper()
	for _, text := range want {
		if got := m.next().text; got != text {
			m.t.Errorf("the manager was told %q, want %q", got, text)
		}
	}
}

// nothing checks that nothing else has come.
func (m *manager) nothing() {
	m.t.Helper()
	select {
	case got := <-m.got:
		m.t.Errorf("the manager was told %q as well", got.text)
	default:
	}
}

// managed is command with NOTIFY_SOCKET and more variables in its environment.
func (b *bundle) managed(socket string, env []string, args ...string) *exec.Cmd {
	cmd := b.command(args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"NOTIFY_SOCKET=" + socket}, env)
	return cmd
}

// sockets are names for a manager to listen at.
func (b *bundle) sockets() []string { return []string{b.path("manager.sock"), "@" + b.id} }

func TestServiceRun(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		for _, socket := range b.sockets() {
			m := newManager(t, socket)
			b.Process.Args = []string{
				"/inside", "notify", "STATUS=starting \x1b[31mred\x7f", "READY=1\nSTATUS=up\nMAINPID=7", "barrier", "MAINPID=8",
				"fd:FDSTORE=1\nFDNAME=x", "fd:STATUS=with one", "NOTIFYACCESS=all", "MAINPIDFD=1", "READY=2", "ERRNO=two", "nonsense", "",
				"RELOADING=1\nMONOTONIC_USEC=123", "READY=1", "WATCHDOG=1", "WATCHDOG=trigger", "WATCHDOG_USEC=2000000", "WATCHDOG_USEC=0",
				"WATCHDOG_USEC=3000001", "EXTEND_TIMEOUT_USEC=7000000", "EXTEND_TIMEOUT_USEC=99999999999",
				"STATUS=" + strings.Repeat("x", 5000), "BARRIER=1", "FDPOLL=0\nSTOPPING=1\nERRNO=2",
			}
			b.save()
			cmd := b.managed(socket, []string{"WATCHDOG_USEC=3000000"}, "run", "--bundle", b.dir, b.id)
			r := b.finish(cmd)
			if r.status != 0 || r.stderr != "" || r.stdout != "passed\n" {
				t.Fatal(r)
			}
			pid := strconv.Itoa(cmd.Process.Pid)
			m.expect("STATUS=starting ?[31mred?", "READY=1\nSTATUS=up\nMAINPID="+pid)
			barrier := m.next()
			equal(t, "barrier", barrier, message{"BARRIER=1", cmd.Process.Pid, 1})
			m.expect("MAINPID=" + pid)
			equal(t, "a message that came with a descriptor", m.next(), message{"STATUS=with one", cmd.Process.Pid, 0})
			m.expect("RELOADING=1\nMONOTONIC_USEC=123", "READY=1\nMAINPID="+pid, "WATCHDOG=1", "WATCHDOG=trigger", "WATCHDOG_USEC=2000000",
				"EXTEND_TIMEOUT_USEC=7000000")
			if usec, _ := strconv.Atoi(strings.TrimPrefix(m.next().text, "EXTEND_TIMEOUT_USEC=")); usec <= 7000000 || usec > 600000000 {
				t.Errorf("%d µs more are granted", usec)
			}
			m.expect("STOPPING=1\nERRNO=2")
			m.nothing()
		}
	})
}

// The program is told where to speak, and how often.
func TestServiceEnvironment(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		newManager(t, b.path("manager.sock"))
		b.Process.Env = append(b.Process.Env, "NOTIFY_SOCKET=/elsewhere")
		b.Process.Args = []string{"/inside", "facts", "write:/run/notify/x"}
		b.save()
		r := b.finish(b.managed(b.path("manager.sock"), []string{"WATCHDOG_USEC=3000000"}, "run", "--bundle", b.dir, b.id))
		if r.status != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		f := parseFacts(t, r.stdout)
		equalList(t, "env", f.Env, append(b.Process.Env[:len(b.Process.Env)-1:len(b.Process.Env)-1],
			"HOME=/", "NOTIFY_SOCKET=/run/notify/notify.sock", "WATCHDOG_USEC=3000000"))
		if len(f.Probes) == 0 || f.Probes["write:/run/notify/x"] == "ok" {
			t.Errorf("probes %q", f.Probes)
		}

		// One that is meant for somebody else is not passed on, nor is one where nobody would hear the program later.
		for _, args := range [][]string{{"WATCHDOG_PID=1", "run"}, {"", "run", "--detach"}} {
			cmd := b.managed(b.path("manager.sock"), []string{"WATCHDOG_USEC=3000000", args[0]}, append(args[1:], "--bundle", b.dir, b.id)...)
			out := b.pipe()
			cmd.Stdout, cmd.Stderr = out.w, out.w
			b.spawn(cmd)
			out.w.Close()
			text := out.rest()
			equal(t, "status", wait(t, cmd), 0)
			equal(t, "WATCHDOG_USEC", strings.Contains(text, "WATCHDOG_USEC"), false)
		}
		b.must("delete", "--force", b.id)
	})
}

// start returns when the program is ready, and others may work on the container meanwhile.
func TestServiceStart(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		for _, socket := range b.sockets() {
			m := newManager(t, socket)
			b.Process.Args = []string{"/inside", "notify", "STATUS=starting", "wait", "READY=1", "wait", "STATUS=later"}
			b.save()
			in, out := b.pipe(), b.pipe()
			create := b.managed(socket, nil, "create", "--bundle", b.dir, b.id)
			create.Stdin, create.Stdout = in.r, out.w
			b.spawn(create)
			out.w.Close()
			equal(t, "create", wait(t, create), 0)
			init := b.state().Pid
			b.adopt(init)

			start := b.managed(socket, []string{"WATCHDOG_USEC=3"}, "start", b.id)
			b.spawn(start)
			m.expect("STATUS=starting")
			out.expect("ready\n")
			b.status("running")
			equal(t, "exec", b.must("exec", b.id, "/inside", "say", "hello"), "hello\n")
			in.w.WriteString("on\n")
			m.expect("READY=1\nMAINPID=" + strconv.Itoa(init))
			equal(t, "barrier", m.next(), message{"BARRIER=1", start.Process.Pid, 1})
			equal(t, "start", wait(t, start), 0)

			out.expect("ready\n")
			in.w.WriteString("on\n")
			out.expect("ECONNREFUSED\n") // nobody listens any more
			m.nothing()
			b.must("delete", "--force", b.id)
		}
	})
}

// A program that ends without a word, or with one that is not READY=1, is waited for no longer.
func TestServiceNotReady(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		m := newManager(t, b.path("manager.sock"))
		b.Process.Args = []string{"/inside", "notify", "STATUS=no", "STOPPING=1"}
		b.save()
		if r := b.finish(b.managed(b.path("manager.sock"), nil, "run", "--detach", "--bundle", b.dir, b.id)); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		m.expect("STATUS=no", "STOPPING=1")
		b.must("delete", "--force", b.id)

		if r := b.finish(b.managed(b.path("manager.sock"), nil, "create", "--bundle", b.dir, b.id)); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		if r := b.finish(b.managed(b.path("manager.sock"), nil, "start", b.id)); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		m.expect("STATUS=no", "STOPPING=1")
		b.must("delete", "--force", b.id)

		// One that is killed while it waits leaves a running container that can be deleted.
		b.Process.Args = []string{"/inside", "notify", "STATUS=forever", "wait"}
		b.save()
		in := b.pipe()
		create := b.managed(b.path("manager.sock"), nil, "create", "--bundle", b.dir, b.id)
		create.Stdin = in.r
		if r := b.finish(create); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		start := b.managed(b.path("manager.sock"), nil, "start", b.id)
		b.spawn(start)
		m.expect("STATUS=forever")
		start.Process.Kill()
		start.Wait()
		b.status("running")
		b.must("delete", "--force", b.id)
		m.nothing()
	})
}

// A descriptor whose last close takes a minute holds up neither run nor start: they return, and run removes the container.
func TestServiceLinger(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		without(b, specs.NetworkNamespace)
		// This manager answers no barrier. So husk is at that until the container has ended, and then the last one to have the descriptor.
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: b.path("manager.sock"), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		peer, err := net.Listen("tcp4", "127.0.0.1:0") // accepts by itself, and reads nothing
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		_, port, _ := net.SplitHostPort(peer.Addr().String())
		b.Process.Args = []string{"/inside", "notify", "fd:BARRIER=1", "linger:" + port}
		b.save()
		for _, args := range [][]string{{"run"}, {"run", "--detach"}} {
			r := b.finish(b.managed(b.path("manager.sock"), nil, append(args, "--bundle", b.dir, b.id)...))
			if r.status != 0 || r.stdout != "" || !strings.Contains(r.stderr, "pass on the last messages") {
				t.Errorf("%q: %v", args, r)
			}
		}
		b.must("delete", b.id)
	})
}

// Who did not ask at create is not made to wait at start; an engine that listens by itself is left alone.
func TestServiceNotAsked(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		m := newManager(t, b.path("manager.sock"))
		out := b.pipe()
		create := b.command("create", "--bundle", b.dir, b.id)
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		create.Stdout = out.w
		b.spawn(create)
		equal(t, "create", wait(t, create), 0)
		if r := b.finish(b.managed(b.path("manager.sock"), nil, "start", b.id)); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		out.expect("ready\n")
		b.must("delete", "--force", b.id)

		own := newManager(t, b.path("own.sock"))
		b.makeDirs("notify")
		if err := os.Rename(b.path("own.sock"), b.path("notify/own.sock")); err != nil {
			t.Fatal(err)
		}
		bind(b, "notify", "/run//notify/", "bind")
		b.Process.Env = append(b.Process.Env, "NOTIFY_SOCKET=/run/notify/own.sock")
		b.Process.Args = []string{"/inside", "notify", "READY=1"}
		b.save()
		if r := b.finish(b.managed(b.path("manager.sock"), nil, "run", "--bundle", b.dir, b.id)); r.status != 0 || r.stderr != "" {
			t.Error(r)
		}
		own.expect("READY=1")
		m.nothing()
	})
}

// A service manager that is not there, or a NOTIFY_SOCKET that is none, keeps no container from running.
func TestServiceNobody(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "notify", "READY=1"}
		b.save()
		r := b.finish(b.managed(b.path("manager.sock"), nil, "run", "--bundle", b.dir, b.id))
		if r.status != 0 || !strings.Contains(r.stderr, "send to NOTIFY_SOCKET") {
			t.Error(r)
		}
		for _, socket := range []string{"relative", "vsock:2:1234", "/" + strings.Repeat("x", 200), "@"} {
			r := b.finish(b.managed(socket, nil, "run", "--bundle", b.dir, b.id))
			if r.status != 1 || r.stdout != "no NOTIFY_SOCKET\n" || !strings.Contains(r.stderr, "leave out NOTIFY_SOCKET") {
				t.Errorf("%s: %v", socket, r)
			}
		}
	})
}

// Any user of a container may speak, in a user namespace as well; its clock is not the manager's.
func TestServiceUser(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		m := newManager(t, b.path("manager.sock"))
		if v.user == nil {
			b.inUser()
		}
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		b.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 100}}
		b.Process.User = specs.User{UID: 1000, GID: 1000}
		b.Process.Args = []string{"/inside", "notify", "RELOADING=1\nMONOTONIC_USEC=100000123", "READY=1"}
		b.save()
		cmd := b.managed(b.path("manager.sock"), nil, "run", "--bundle", b.dir, b.id)
		if r := b.finish(cmd); r.status != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		m.expect("RELOADING=1\nMONOTONIC_USEC=123", "READY=1\nMAINPID="+strconv.Itoa(cmd.Process.Pid))
	})
}

// A user without privileges has a service manager too: systemd --user.
func TestServiceRootless(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := rootless(t, v)
		m := newManager(t, "@"+b.id)
		t.Setenv("NOTIFY_SOCKET", "@"+b.id)
		b.Process.Args = []string{"/inside", "notify", "READY=1\nSTATUS=up", "barrier"}
		b.save()
		run := b.command("run", "--bundle", b.dir, b.id)
		if r := b.finish(run); r.status != 0 || r.stderr != "" || r.stdout != "passed\n" {
			t.Fatal(r)
		}
		m.expect("READY=1\nSTATUS=up\nMAINPID=" + strconv.Itoa(run.Process.Pid))
		equal(t, "barrier", m.next(), message{"BARRIER=1", run.Process.Pid, 1})
		m.nothing()
	})
}
