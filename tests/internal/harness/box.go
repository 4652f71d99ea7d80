package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Box is one test's share of the machine: a directory, a state root in it, and the names of its cgroups.
type Box struct {
	T       testing.TB
	Dir     string // for bundles and all else
	Root    string // --root
	Binary  string
	Env     []string // of the commands, besides the environment of the test
	Globals []string // options before the command
	cgroup  int
}

// New returns a box, or skips the test where there can't be one. What the test leaves behind outside of the box is an error.
func New(t testing.TB) *Box {
	t.Helper()
	if why := missing(); why != "" {
		t.Skip(why)
	}
	dir, err := os.MkdirTemp(Base(), "box-")
	if err != nil {
		t.Fatal(err)
	}
	b := &Box{T: t, Dir: dir, Root: filepath.Join(dir, "state"), Binary: Binary()}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(b.Root, 0o700)); err != nil {
		t.Fatal(err)
	}
	before := b.Look()
	t.Cleanup(func() {
		before.Files = nil
		before.Same(t, b)
		os.RemoveAll(dir)
	})
	return b
}

// Result is what came of a command.
type Result struct {
	Code     int // exit status; -1 if a signal has ended it
	Out, Err string
	Took     time.Duration
	Late     bool // it did not end by itself
}

// deadline is how long a command may take, far beyond what any needs: a test must not hang.
const deadline = 30 * time.Second

// Husk runs a command to its end.
func (b *Box) Husk(args ...string) Result {
	b.T.Helper()
	return b.End(b.Start(args...))
}

// Running is a command on its way.
type Running struct {
	*exec.Cmd
	out, err *os.File
	started  time.Time
}

// Command prepares a husk command. Its output goes to files: containers inherit them and may live longer.
func (b *Box) Command(args ...string) *Running {
	b.T.Helper()
	globals := append([]string{"--root", b.Root}, b.Globals...)
	if Systemd() && (args[0] == "create" || args[0] == "run") { // the other commands know by the record
		globals = append(globals, "--systemd-cgroup")
	}
	r := &Running{Cmd: exec.Command(b.Binary, append(globals, args...)...)}
	r.Env = append(os.Environ(), b.Env...)
	var err1, err2 error
	r.out, err1 = os.CreateTemp(Base(), "out")
	r.err, err2 = os.CreateTemp(Base(), "err")
	if err := errors.Join(err1, err2); err != nil {
		b.T.Fatal(err)
	}
	os.Remove(r.out.Name())
	os.Remove(r.err.Name())
	r.Stdout, r.Stderr = r.out, r.err
	return r
}

// Start starts a command.
func (b *Box) Start(args ...string) *Running {
	b.T.Helper()
	r := b.Command(args...)
	r.started = time.Now()
	if err := r.Cmd.Start(); err != nil {
		b.T.Fatal(err)
	}
	return r
}

// End waits for a command that was started.
func (b *Box) End(r *Running) Result {
	b.T.Helper()
	var late bool
	timer := time.AfterFunc(deadline, func() { late = true; r.Process.Kill() })
	err := r.Wait()
	took := time.Since(r.started)
	timer.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.T.Fatal(err)
	}
	res := Result{Code: r.ProcessState.ExitCode(), Out: content(r.out), Err: content(r.err), Took: took, Late: late}
	if late {
		b.T.Errorf("%q did not end within %v", r.Args, deadline)
	}
	return res
}

func content(f *os.File) string {
	defer f.Close()
	var data bytes.Buffer
	f.Seek(0, 0)
	data.ReadFrom(f)
	return data.String()
}

// Must runs a command that has to succeed, and returns its standard output.
func (b *Box) Must(args ...string) string {
	b.T.Helper()
	res := b.Husk(args...)
	if res.Code != 0 {
		b.T.Fatalf("%q: exit status %d: %s%s", args, res.Code, res.Out, res.Err)
	}
	return res.Out
}

// Status is the state of a container in one word: "absent", "damaged", or what the command state says.
func (b *Box) Status(id string) string {
	b.T.Helper()
	res := b.Husk("state", id)
	switch {
	case res.Code == 0:
		var s struct{ Status string }
		if err := json.Unmarshal([]byte(res.Out), &s); err != nil {
			b.T.Errorf("state %s: %v: %q", id, err, res.Out)
		}
		return s.Status
	case strings.Contains(res.Err, "does not exist"):
		return "absent"
	case strings.Contains(res.Err, "state record"):
		return "damaged"
	}
	return strings.TrimSpace(res.Err)
}

// Pid is the pid of a container's init, 0 if there is none.
func (b *Box) Pid(id string) int {
	b.T.Helper()
	var s struct{ Pid int }
	if err := json.Unmarshal([]byte(b.Must("state", id)), &s); err != nil {
		b.T.Fatal(err)
	}
	return s.Pid
}

// Cgroup returns a cgroupsPath that nobody has used.
func (b *Box) Cgroup() string {
	b.cgroup++
	name := os.Getenv(prefixEnv) + "-" + filepath.Base(b.Dir) + "-" + strconv.Itoa(b.cgroup)
	if Systemd() {
		return "system.slice::" + name
	}
	return "/" + name
}
