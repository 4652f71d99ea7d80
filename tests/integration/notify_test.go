package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A supervisor answers for filters with SCMP_ACT_NOTIFY, as the agents do that listenerPath is for (seccomp_unotify(2)).
type supervisor struct {
	t        *testing.T
	states   chan specs.ContainerProcessState // of the processes that it answers for
	errno    map[int32]unix.Errno             // what a call gets, by number; all others happen
	gone     int32                            // the agent dies of this call without an answer
	mu       sync.Mutex
	answered map[int32]int // how often a call was answered
}

// struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type (
	notification struct {
		id          uint64
		pid, flags  uint32
		nr          int32
		arch        uint32
		instruction uint64
		args        [6]uint64
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

const (
	ioctlReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlRespond = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

// newSupervisor makes a supervisor that listens at a path.
func newSupervisor(t *testing.T, path string) *supervisor {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	a := &supervisor{t: t, states: make(chan specs.ContainerProcessState, 16), errno: map[int32]unix.Errno{}, gone: -1, answered: map[int32]int{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			if fd := a.receive(conn); fd >= 0 {
				serving.Go(func() { a.serve(fd) })
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		// Each filter's listener hangs up when its last process is gone: in older kernels when somebody has waited for it.
		for _, p := range orphans() {
			t.Errorf("left behind: process %s", p)
		}
		serving.Wait()
	})
	return a
}

// receive takes one message with one descriptor, and the end of the connection.
func (a *supervisor) receive(conn *net.UnixConn) int {
	defer conn.Close()
	data, control := make([]byte, 64<<10), make([]byte, 256)
	n, cn, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		a.t.Errorf("agent: read: %v", err)
		return -1
	}
	if more, err := conn.Read(make([]byte, 1)); more != 0 || !errors.Is(err, io.EOF) {
		a.t.Errorf("agent: after the message %d bytes and %v", more, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil || len(messages) != 1 {
		a.t.Errorf("agent: control messages %v, %v", messages, err)
		return -1
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		a.t.Errorf("agent: descriptors %v, %v", fds, err)
		return -1
	}
	unix.CloseOnExec(fds[0])
	var state specs.ContainerProcessState
	if err := json.Unmarshal(data[:n], &state); err != nil || !slices.Equal(state.Fds, []string{"seccompFd"}) {
		a.t.Errorf("agent: %v: %s", err, data[:n])
	}
	a.states <- state
	return fds[0]
}

// serve answers until nothing is left that could ask.
func (a *supervisor) serve(fd int) {
	defer unix.Close(fd)
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
			a.t.Errorf("agent: poll: %v", err)
			return
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			if ready[0].Revents&unix.POLLHUP != 0 {
				return
			}
			continue
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlReceive, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // its process has died
		}
		if n.nr == a.gone {
			return
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno, ok := a.errno[n.nr]; ok {
			r.errno, r.flags = -int32(errno), 0
		}
		a.mu.Lock()
		a.answered[n.nr]++
		a.mu.Unlock()
		unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlRespond, uintptr(unsafe.Pointer(&r)))
	}
}

// count is how often a call was answered.
func (a *supervisor) count(nr int32) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered[nr]
}

// notify has the container's filter leave calls to an agent at b.path("agent").
func (b *bundle) notify(noNewPrivileges bool, names ...string) {
	b.Process.NoNewPrivileges = noNewPrivileges
	b.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: b.path("agent"), ListenerMetadata: "opaque \"metadata\"",
		Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActNotify}},
	}
}

// own are calls that husk itself makes under the filter when the agent has the listener.
var own = []string{"read", "close", "capset", "execve"}

// checkState compares what the agent was told with what husk says itself.
func checkState(t *testing.T, b *bundle, got specs.ContainerProcessState, pid int, status specs.ContainerState) {
	t.Helper()
	equal(t, "ociVersion", got.Version, specs.Version)
	equal(t, "metadata", got.Metadata, "opaque \"metadata\"")
	equal(t, "pid", got.Pid, pid)
	now := b.state()
	equal(t, "state.ociVersion", got.State.Version, now.Version)
	equal(t, "state.id", got.State.ID, b.id)
	equal(t, "state.status", got.State.Status, status)
	equal(t, "state.pid", got.State.Pid, now.Pid)
	equal(t, "state.bundle", got.State.Bundle, b.dir)
	equal(t, "state.annotations", got.State.Annotations["for"], "the agent")
}

// The first process and each further one have a listener of their own, of which the agent has the only copy.
func TestNotify(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, noNewPrivileges := range []bool{true, false} {
			t.Run(fmt.Sprintf("no_new_privs %v", noNewPrivileges), func(t *testing.T) {
				b := newBundle(t, v)
				a := newSupervisor(t, b.path("agent"))
				a.errno[unix.SYS_UMOUNT2], a.errno[unix.SYS_UNSHARE] = unix.EXDEV, unix.ENOMEDIUM
				b.notify(noNewPrivileges, append(own, "umount2", "unshare")...)
				b.Annotations = map[string]string{"for": "the agent"}
				b.Process.Args = []string{"/inside", "wait"}
				out := b.created()
				equal(t, "agents before the start", len(a.states), 0)
				b.must("start", b.id)
				out.expect("ready\n")
				pid := b.state().Pid
				checkState(t, b, <-a.states, pid, specs.StateCreated)
				for _, nr := range []int32{unix.SYS_READ, unix.SYS_CLOSE, unix.SYS_EXECVE} {
					if a.count(nr) == 0 {
						t.Errorf("the agent was not asked for the interpreter's call %d", nr)
					}
				}
				equal(t, "the agent was asked for capset", a.count(unix.SYS_CAPSET) > 0, !noNewPrivileges)

				f := b.execFacts("--pid-file", b.path("pid"))
				data, err := os.ReadFile(b.path("pid"))
				if err != nil {
					t.Fatal(err)
				}
				state := <-a.states
				equal(t, "pid of exec", itoa(state.Pid), string(data))
				checkState(t, b, state, state.Pid, specs.StateRunning)
				equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
				equal(t, "Seccomp", f.status("Seccomp"), "2")
				equal(t, "NoNewPrivs", f.status("NoNewPrivs"), map[bool]string{true: "1", false: "0"}[noNewPrivileges])
				equal(t, "capabilities", f.capabilities("CapEff"), bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"))
				r := b.husk("exec", b.id, "/inside", "facts", "umount:/tmp/x", "unshare:", "open:/inside")
				probes := parseFacts(t, r.stdout).Probes
				equal(t, "umount2", probes["umount:/tmp/x"], "EXDEV")
				equal(t, "unshare", probes["unshare:"], "ENOMEDIUM")
				<-a.states
				b.must("delete", "--force", b.id)

				// In the foreground.
				b.Process.Args = []string{"/inside", "facts", "umount:/tmp/x"}
				f = b.facts()
				equal(t, "umount2", f.Probes["umount:/tmp/x"], "EXDEV")
				equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
				equal(t, "state.status of run", (<-a.states).State.Status, specs.StateCreated)
				equal(t, "agents too many", len(a.states), 0)
			})
		}
	})
}

// Each startContainer hook is a process with the filter, and so with a listener of its own.
func TestNotifyHook(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.errno[unix.SYS_UMOUNT2] = unix.EXDEV
		b.notify(true, "umount2", "close")
		b.Root.Readonly = false
		b.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/inside", Args: []string{"inside", "hook", "/tmp/hook"}}}}
		b.Process.Args = []string{"/inside", "exit", "0"}
		equal(t, "status", b.run().status, 0)
		hook, first := <-a.states, <-a.states
		equal(t, "status of the hook's container", hook.State.Status, specs.StateCreated)
		equal(t, "the hook is another process", hook.Pid != hook.State.Pid && hook.Pid != first.Pid, true)
		equal(t, "pid of the first process", first.Pid, first.State.Pid)
		equal(t, "pid of the container", hook.State.Pid, first.Pid)
		data, err := os.ReadFile(b.path("rootfs/tmp/hook"))
		if err != nil {
			t.Fatal(err)
		}
		var seen struct{ Fds map[string]string }
		if err := json.Unmarshal(data, &seen); err != nil {
			t.Fatal(err)
		}
		equal(t, "descriptors of the hook", len(seen.Fds), 3)
	})
}

// Without an agent nothing runs, and the reason is said.
func TestNotifyNobody(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range []struct {
			name  string
			path  func(*bundle)
			words string
		}{
			{"no socket", func(*bundle) {}, "no such file or directory"},
			{"nobody listens", func(b *bundle) {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
				if err == nil {
					err = unix.Bind(fd, &unix.SockaddrUnix{Name: b.path("agent")})
					unix.Close(fd)
				}
				if err != nil {
					t.Fatal(err)
				}
			}, "connection refused"},
			{"no socket at all", func(b *bundle) { b.write("agent", "") }, "connection refused"},
		} {
			for _, calls := range [][]string{{"umount2"}, append(own, "exit_group")} {
				t.Run(c.name+" "+calls[0], func(t *testing.T) {
					b := newBundle(t, v)
					c.path(b)
					b.notify(true, calls...)
					words := "/linux/seccomp/listenerPath: hand the seccomp listener over: failed to connect with seccomp agent: connect to socket " + b.path("agent") + ": " + c.words
					b.Process.Args = []string{"/inside", "say", "it runs"}
					r := b.run()
					if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, words) || strings.Count(r.stderr, "\n") != 1 {
						t.Errorf("run: %v; want %q", r, words)
					}
					b.fails(1, "container does not exist", "state", b.id)

					out := b.created()
					b.fails(1, words, "start", b.id)
					b.status("stopped")
					equal(t, "output", out.rest(), "")
					b.must("delete", b.id)
				})
			}
		}
		// An exec that finds no agent leaves the container as it is.
		b := newBundle(t, v)
		b.notify(true, own...)
		a := newSupervisor(t, b.path("agent"))
		b.detached("wait")
		<-a.states
		if err := os.Remove(b.path("agent")); err != nil {
			t.Fatal(err)
		}
		b.fails(255, "failed to connect with seccomp agent", "exec", b.id, "/inside", "say", "it runs")
		b.status("running")
		equal(t, "processes of the container", len(pids(b)), 1)
		b.must("delete", "--force", b.id)
	})
}

// What an agent that has died leaves unanswered, and all that comes after it, gives ENOSYS.
func TestNotifyDeath(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.gone = unix.SYS_UMOUNT2
		b.notify(true, "umount2", "unshare")
		b.probe("umount:/tmp/x", "unshare:")
		f := b.facts()
		equal(t, "umount2", f.Probes["umount:/tmp/x"], "ENOSYS")
		equal(t, "unshare", f.Probes["unshare:"], "ENOSYS")

		// Also if it dies of the program's execve.
		b = newBundle(t, v)
		a = newSupervisor(t, b.path("agent"))
		a.gone = unix.SYS_EXECVE
		b.notify(false, own...)
		r := b.run()
		words := "/process/args/0: exec /inside: function not implemented"
		if r.status != 1 || !strings.Contains(r.stderr, words) {
			t.Errorf("run: %v; want %q", r, words)
		}
		b.created()
		b.fails(1, words, "start", b.id)
		b.status("stopped")
		b.must("delete", b.id)
	})
}

// An agent that refuses the program's execve is reported as the kernel would be; a profile that refuses what husk needs to
// reach the agent is an error too.
func TestNotifyRefusal(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.errno[unix.SYS_EXECVE] = unix.ETIMEDOUT
		b.notify(true, own...)
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "connection timed out") {
			t.Errorf("run: %v", r)
		}
		<-a.states

		b = newBundle(t, v)
		a = newSupervisor(t, b.path("agent"))
		b.notify(true, own...)
		b.Linux.Seccomp.Syscalls = append(b.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActErrno})
		r = b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "does the profile permit write?") {
			t.Errorf("run: %v", r)
		}
		b.created()
		b.fails(1, "does the profile permit write?", "start", b.id)
		b.must("delete", b.id)
		equal(t, "agents", len(a.states), 0)
	})
}

// A listenerPath without the action is nobody's.
func TestNotifyIgnored(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: "/no/such/socket", ListenerMetadata: "x", Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"},
		}
		equal(t, "Seccomp", b.facts().status("Seccomp"), "2")

		b.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"umount2"}, Action: specs.ActNotify}}
		b.Linux.Seccomp.ListenerPath = b.path("agent")
		newSupervisor(t, b.path("agent")).errno[unix.SYS_UMOUNT2] = unix.EXDEV
		b.probe("umount:/tmp/x")
		r := b.run("--no-new-keyring")
		if strings.Contains(r.stderr, "is not supported by this kernel") {
			t.Skip("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19")
		}
		equal(t, "umount2", parseFacts(t, r.stdout).Probes["umount:/tmp/x"], "EXDEV")
		b.save()
		if r := b.husk("--debug", "run", "--bundle", b.dir, b.id); !strings.Contains(r.stderr, `"seccomp filter flags: 40"`) {
			t.Errorf("flags: %v", r.stderr)
		}
	})
}

// A user without privileges has agents, too: the owner of the container's user namespace may take the listener of its first
// process, and those that exec starts send theirs.
func TestNotifyUnprivileged(t *testing.T) {
	const user = 1000
	eachView(t, func(t *testing.T, v *view) {
		if v.systemd {
			t.Skip("this user has no session, so no systemd")
		}
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.errno[unix.SYS_UMOUNT2] = unix.EXDEV
		b.notify(true, append(own, "umount2")...)
		b.Annotations = map[string]string{"for": "the agent"}
		b.Linux.CgroupsPath, b.Linux.Resources = "", nil
		self := []specs.LinuxIDMapping{{ContainerID: 0, HostID: user, Size: 1}}
		b.Linux.UIDMappings, b.Linux.GIDMappings = self, self
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		for i := range b.Mounts { // there is no group 5
			b.Mounts[i].Options = slices.DeleteFunc(b.Mounts[i].Options, func(o string) bool { return o == "gid=5" })
		}
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		for _, name := range []string{".", "agent", "rootfs"} {
			if err := os.Chown(b.path(name), user, user); err != nil {
				t.Fatal(err)
			}
		}
		unprivileged := func(args ...string) *exec.Cmd {
			cmd := b.command(args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			return cmd
		}
		out := b.pipe()
		cmd := unprivileged("run", "--detach", "--bundle", b.dir, b.id)
		cmd.Stdout, cmd.Stderr = out.w, out.w
		b.spawn(cmd)
		out.w.Close()
		if status := wait(t, cmd); status != 0 {
			t.Fatalf("run: %d, %s", status, out.rest())
		}
		out.expect("ready\n")
		equal(t, "status told of the first process", (<-a.states).State.Status, specs.StateCreated)
		r := b.finish(unprivileged("exec", b.id, "/inside", "facts", "umount:/tmp/x"))
		if r.status != 0 {
			t.Fatalf("exec: %v", r)
		}
		f := parseFacts(t, r.stdout)
		equal(t, "umount", f.Probes["umount:/tmp/x"], "EXDEV")
		equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
		equal(t, "status told of exec", (<-a.states).State.Status, specs.StateRunning)
		if r := b.finish(unprivileged("delete", "--force", b.id)); r.status != 0 {
			t.Errorf("delete: %v", r)
		}

		// Under a filter that leaves sendmsg to the agent nobody could.
		b.notify(true, "sendmsg")
		b.save()
		out = b.pipe()
		cmd = unprivileged("run", "--detach", "--bundle", b.dir, b.id)
		cmd.Stdout, cmd.Stderr = out.w, out.w
		b.spawn(cmd)
		out.w.Close()
		equal(t, "status of run", wait(t, cmd), 0)
		out.expect("ready\n")
		<-a.states
		r = b.finish(unprivileged("exec", b.id, "/inside", "say", "it runs"))
		if r.status != 255 || !strings.Contains(r.stderr, "/linux/seccomp/syscalls/0/names/0: SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall without CAP_SYS_PTRACE") {
			t.Errorf("exec: %v", r)
		}
		if r := b.finish(unprivileged("delete", "--force", b.id)); r.status != 0 {
			t.Errorf("delete: %v", r)
		}
	})
}

// With the privileges of root, a user namespace changes nothing.
func TestNotifyUserNamespace(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, othersIDs)
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.errno[unix.SYS_UMOUNT2] = unix.EXDEV
		b.notify(false, append(own, "umount2", "sendmsg")...)
		b.inUser()
		b.detached("wait")
		<-a.states
		equal(t, "umount", parseFacts(t, b.must("exec", b.id, "/inside", "facts", "umount:/tmp/x")).Probes["umount:/tmp/x"], "EXDEV")
		<-a.states
		b.must("delete", "--force", b.id)
	})
}
