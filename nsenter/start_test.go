package nsenter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// TestMain is also the program of the helper processes: HUSK_TEST names what they do.
func TestMain(m *testing.M) {
	if os.Getenv("HUSK_TEST") == "leave a plan alone" {
		leavePlanAlone()
	}
	os.Exit(m.Run())
}

// startSmall runs a small plan, changed so that any user can, with its output in a pipe.
func startSmall(t *testing.T, p *plan.Plan, o Options) (*Process, *os.File) {
	t.Helper()
	encoded := encode(t, p)
	forUsers(encoded)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	defer w.Close()
	o.Stdio = [3]*os.File{null, w, w}
	process, err := start(encoded, p.Origin, o)
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		if process.Pidfd != nil {
			unix.PidfdSendSignal(int(process.Pidfd.Fd()), unix.SIGKILL, nil, 0)
			process.Wait()
		}
		process.Close()
	})
	return process, r
}

// output waits for the end of the program and gives what it has written.
func output(t *testing.T, p *Process, r io.Reader) string {
	t.Helper()
	if _, err := p.Next(); err != io.EOF {
		t.Fatalf("%v, want the end of the socket: the program runs", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := p.Wait(); err != nil || status.ExitStatus() != 0 {
		t.Fatalf("the program ended with %v, %v: %s", status, err, text)
	}
	p.Pidfd.Close()
	p.Pidfd = nil
	return string(text)
}

func program(args ...string) func(*small) {
	return func(s *small) { s.args = args }
}

// TestRun: a plan with every op that a user may execute ends in the program.
func TestRun(t *testing.T) {
	p := smallPlan(t, func(s *small) {
		b, wrong := s.b, func(l *plan.Label) { s.b.Fail(unix.EILSEQ); s.b.Bind(l) }
		set, same, other, number, kind := b.Label(), b.Label(), b.Label(), b.Label(), b.Label()
		null := b.OpenHost("null", "/dev/null", unix.O_NOFOLLOW)
		b.Stat(null, s.scratch+32)
		b.SkipIf(number, s.scratch+32+plan.StatxDevice, 8, 1<<64-1, 3<<32|1)
		wrong(number)
		b.SkipIf(kind, s.scratch+32+plan.StatxMode, 2, unix.S_IFMT, unix.S_IFCHR)
		wrong(kind)
		b.Store(s.scratch+8, null, 8)
		b.Store(s.scratch+16, s.socket, 4)
		// The socket is descriptor 3, the device another one.
		b.SkipIf(set, s.scratch+16, 4, 1<<32-1, 3)
		wrong(set)
		b.SkipUnless(same, s.scratch+8, 8, 1<<64-1, 3)
		wrong(same)
		b.SkipIf(other, s.scratch+8, 1, 0x80, 0)
		wrong(other)
		over := b.Label()
		b.Skip(over)
		b.Bind(over)
		b.Close(null)
	}, program("/bin/echo", "-n", "it runs"))
	process, r := startSmall(t, p, Options{})
	if text := output(t, process, r); text != "it runs" {
		t.Errorf("%q", text)
	}
}

// TestTolerate: an errno that is tolerated leads on, at the label, with the register unset; another one fails.
func TestTolerate(t *testing.T) {
	p := smallPlan(t, func(s *small) {
		missing, done := s.b.Label(), s.b.Label()
		s.b.On(missing, unix.EACCES, unix.EPERM)
		s.b.Write(s.inputs[0], []byte("0")) // a read-only descriptor: EBADF
		s.b.Skip(done)
		s.b.Bind(missing)
		s.b.Fail(unix.EILSEQ)
		s.b.Bind(done)
	}, func(s *small) { s.inputs = make([]plan.Reg, 1) })
	process, _ := startSmall(t, p, Options{Inputs: []*os.File{openFile(t, "/dev/null", os.O_RDONLY)}})
	if _, err := process.Next(); !errors.Is(err, unix.EBADF) {
		t.Errorf("%v, want EBADF", err)
	}
	p = smallPlan(t, func(s *small) {
		missing := s.b.Label()
		s.b.On(missing, unix.EACCES, unix.EPERM)
		s.b.Write(s.inputs[0], []byte("no number")) // oom_score_adj: EINVAL, not tolerated; as -1001 would be
		s.b.Bind(missing)
	}, func(s *small) { s.inputs = make([]plan.Reg, 1) })
	process, _ = startSmall(t, p, Options{Inputs: []*os.File{openFile(t, "/proc/self/oom_score_adj", os.O_WRONLY)}})
	_, err := process.Next()
	var op *OpError
	if !errors.As(err, &op) || op.Errno != unix.EINVAL || op.Origin != (plan.Origin{Pointer: "/body", Step: "run the test"}) {
		t.Fatalf("%v, want EINVAL and its origin", err)
	}
	if err.Error() != "/body: run the test: invalid argument" {
		t.Errorf("message %q", err)
	}
	// It stays to be looked at until the socket is closed, then it ends by itself.
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", process.Pid)); os.Geteuid() == 0 && (err != nil || exe != "/memfd:"+MemfdName+" (deleted)") {
		t.Errorf("exe %q, %v", exe, err)
	}
	process.Conn.Close()
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 1 {
		t.Errorf("ended with %v, %v", status, err)
	}
	process.Pidfd.Close()
	process.Pidfd = nil
}

func openFile(t *testing.T, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestGate: the answer is in the data when the plan goes on, descriptors arrive with the gate, Fail carries its errno.
func TestGate(t *testing.T) {
	build := func() *plan.Plan {
		return smallPlan(t, func(s *small) {
			dir := s.b.OpenHost("dir", "/", unix.O_DIRECTORY)
			s.b.SendFD(s.socket, dir)
			s.b.SendFD(s.socket, dir)
			s.b.Gate("ask", s.scratch, 8)
			yes := s.b.Label()
			s.b.SkipIf(yes, s.scratch, 8, 1<<64-1, 0x0807060504030201)
			s.b.Fail(unix.EDOM)
			s.b.Bind(yes)
			s.b.Gate("again", s.scratch, 1)
		})
	}
	process, r := startSmall(t, build(), Options{})
	event, err := process.Next()
	if err != nil || event.Gate.Step != "ask" || event.Gate.Pointer != "/body" || len(event.Files) != 2 || event.Pid != 0 {
		t.Fatalf("%+v, %v", event, err)
	}
	var here, there unix.Stat_t
	for _, f := range event.Files {
		if err := unix.Fstat(int(f.Fd()), &there); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if err := unix.Stat("/", &here); err != nil || here.Ino != there.Ino || here.Dev != there.Dev {
		t.Errorf("the descriptor that was sent is %v, want /", there)
	}
	if err := process.Answer([]byte{1, 2, 3, 4, 5, 6, 7, 8}); err != nil {
		t.Fatal(err)
	}
	if event, err = process.Next(); err != nil || event.Gate.Step != "again" || event.Files != nil {
		t.Fatalf("%+v, %v", event, err)
	}
	if err := process.Answer(nil); err != nil {
		t.Fatal(err)
	}
	output(t, process, r)
	if err := process.Answer(nil); err != io.EOF {
		t.Errorf("an answer to a program that runs: %v", err)
	}
	process, _ = startSmall(t, build(), Options{})
	if event, err = process.Next(); err != nil {
		t.Fatal(err)
	}
	for _, f := range event.Files {
		f.Close()
	}
	if err := process.Answer([]byte("no")); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Next(); !errors.Is(err, unix.EDOM) {
		t.Errorf("%v, want EDOM", err)
	}
}

// TestReport: after accept4 the connection gets the reports, and its end says that the program runs.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		program string
		want    error
	}{{"/bin/true", io.EOF}, {"/no/such/program", unix.ENOENT}} {
		t.Run(c.program, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "start.sock")
			listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			file := os.NewFile(uintptr(listener), "listener")
			defer file.Close()
			if err := errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: name}), unix.Listen(listener, 1)); err != nil {
				t.Fatal(err)
			}
			p := listenerPlan(t, c.program)
			process, _ := startSmall(t, p, Options{Inputs: []*os.File{file}})
			event, err := process.Next()
			if err != nil || event.Gate.Step != "created" {
				t.Fatalf("%+v, %v", event, err)
			}
			if err := process.Answer(nil); err != nil {
				t.Fatal(err)
			}
			client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(client, &unix.SockaddrUnix{Name: name}); err != nil {
				t.Fatal(err)
			}
			conn := NewConn(os.NewFile(uintptr(client), "start"), p.Origin)
			defer conn.Close()
			if _, err := conn.Next(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if c.want != io.EOF {
				return // the process stays until the connection is closed
			}
			if _, err := process.Next(); err != io.EOF {
				t.Errorf("the first socket: %v, want its end", err)
			}
		})
	}
}

func listenerPlan(t *testing.T, name string) *plan.Plan {
	t.Helper()
	return smallPlan(t, nil, program(name), func(s *small) {
		s.inputs, s.classes, s.keep, s.gate = make([]plan.Reg, 1), plan.Listener, 2, "created"
		s.last = func(s *small) { s.b.ReportTo(s.b.Accept(s.inputs[0])) }
	})
}

// TestFork: the first process reports the pid of the second and ends; the second is ours.
func TestFork(t *testing.T) {
	p := smallPlan(t, func(s *small) { s.b.Fork(0) }, program("/bin/echo", "forked"))
	process, r := startSmall(t, p, Options{})
	first := process.Pid
	event, err := process.Next()
	if err != nil || event.Pid <= 0 || event.Pid == first {
		t.Fatalf("%+v, %v", event, err)
	}
	if err := process.Adopt(event.Pid); err != nil || process.Pid != event.Pid {
		t.Fatal(process.Pid, err)
	}
	if text := output(t, process, r); text != "forked\n" {
		t.Errorf("%q", text)
	}
	if err := (&Process{Pid: 0, Pidfd: openFile(t, "/dev/null", os.O_RDONLY)}).Adopt(1); err == nil {
		t.Error("a process that is no child of ours is adopted")
	}
}

// TestParentGone: an interpreter at a gate ends when the socket does, and when its parent dies.
func TestParentGone(t *testing.T) {
	process, _ := startSmall(t, smallPlan(t, nil, func(s *small) { s.gate = "wait" }), Options{})
	if _, err := process.Next(); err != nil {
		t.Fatal(err)
	}
	process.Conn.Close()
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 1 {
		t.Errorf("ended with %v, %v", status, err)
	}
	process.Pidfd.Close()
	process.Pidfd = nil

	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "HUSK_TEST=leave a plan alone")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var pid int
	if _, err := fmt.Sscan(string(out), &pid); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var status unix.WaitStatus
	done := make(chan error, 1)
	go func() {
		_, err := unix.Wait4(pid, &status, 0, nil)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil || status.ExitStatus() != 1 {
			t.Errorf("ended with %v, %v", status, err)
		}
	case <-time.After(10 * time.Second):
		unix.Kill(pid, unix.SIGKILL)
		t.Error("the process outlives its parent")
	}
}

// leavePlanAlone starts a plan that waits, prints its pid and dies without a word.
func leavePlanAlone() {
	t := new(testing.T)
	p := smallPlan(t, nil, func(s *small) { s.gate = "wait" })
	encoded, err := p.Encode()
	if err != nil {
		panic(err)
	}
	forUsers(encoded)
	null, _ := os.OpenFile("/dev/null", os.O_RDWR, 0)
	process, err := start(encoded, p.Origin, Options{Stdio: [3]*os.File{null, null, null}})
	if err != nil {
		panic(err)
	}
	if _, err := process.Next(); err != nil {
		panic(err)
	}
	fmt.Println(process.Pid)
	os.Exit(0)
}

// TestClean: signals are reset, nothing is inherited but the standard streams and what is preserved, the environment and
// the arguments are the plan's alone.
func TestClean(t *testing.T) {
	signal.Ignore(unix.SIGPIPE, unix.SIGHUP, unix.SIGTERM)
	defer signal.Reset(unix.SIGPIPE, unix.SIGHUP, unix.SIGTERM)
	leak, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	process, r := startSmall(t, smallPlan(t, nil, program("/bin/cat", "/proc/self/status")), Options{})
	status := output(t, process, r)
	for _, line := range []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "Threads:\t1"} {
		if !strings.Contains(status, line) {
			t.Errorf("no line %q in\n%s", line, status)
		}
	}
	p := smallPlan(t, nil, program("/bin/sh", "-c", "ls /proc/$$/fd; tr '\\0' '\\n' </proc/$$/environ; kill -PIPE $$"), func(s *small) {
		s.env, s.firstFD = []string{"ONLY=this"}, 4
	})
	process, r = startSmall(t, p, Options{Preserve: []*os.File{openFile(t, "/dev/zero", os.O_RDONLY)}})
	if _, err := process.Next(); err != io.EOF {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || string(text) != "0\n1\n2\n3\nONLY=this\n" {
		t.Errorf("descriptors and environment: %q, %v", text, err)
	}
	end, err := process.Wait()
	if err != nil || !end.Signaled() || end.Signal() != unix.SIGPIPE {
		t.Errorf("ended with %v, %v: want by SIGPIPE", end, err)
	}
	process.Pidfd.Close()
	process.Pidfd = nil
}
