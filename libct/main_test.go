package libct

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/fdtest"
	"husk/internal/linux"
	"husk/nsenter"
)

// commandEnv makes the test binary run one command on a container and exit:
// "delete ROOT ID" and the like, for tests that need a process to kill.
const commandEnv = "HUSK_TEST_COMMAND"

func TestMain(m *testing.M) {
	if line := os.Getenv(commandEnv); line != "" {
		if err := command(strings.Fields(line)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	fdtest.Main(m)
}

func command(args []string) error {
	r, err := New(Options{Root: args[1]})
	if err != nil {
		return err
	}
	switch args[0] {
	case "reserve":
		c, err := r.reserve(args[2])
		if err != nil {
			return err
		}
		c.rec.Bundle = args[3]
		return c.save()
	case "delete":
		return r.Delete(args[2], false)
	case "force":
		return r.Delete(args[2], true)
	}
	return fmt.Errorf("no test command %q", args[0])
}

// testRuntime is a Runtime on a root of its own, which also keeps warnings.
type testRuntime struct {
	*Runtime
	warnings []string
}

func newRuntime(t testing.TB) *testRuntime {
	t.Helper()
	tr := &testRuntime{}
	r, err := New(Options{
		Root: filepath.Join(t.TempDir(), "root"),
		Warn: func(s string) { tr.warnings = append(tr.warnings, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	tr.Runtime = r
	return tr
}

// put makes a container as create leaves it, with what change makes of its
// record.
func (r *testRuntime) put(t testing.TB, id string, change func(*record)) {
	t.Helper()
	c, err := r.reserve(id)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.rec.OCIVersion = "1.3.0"
	c.rec.Bundle = "/bundle"
	c.rec.Rootfs = "/bundle/rootfs"
	c.rec.Phase = phaseCreated
	c.rec.OwnPidns = true
	if change != nil {
		change(&c.rec)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if err := c.saveConfig([]byte(`{"ociVersion":"1.3.0"}`)); err != nil {
		t.Fatal(err)
	}
}

// file returns the path of a file of container id.
func (r *testRuntime) file(id, name string) string { return filepath.Join(r.path, id, name) }

// exists reports whether container id has a directory.
func (r *testRuntime) exists(id string) bool {
	_, err := os.Lstat(filepath.Join(r.path, id))
	return err == nil
}

// process is a child that sleeps until it is killed.
type process struct {
	*exec.Cmd
	start uint64
}

func spawn(t testing.TB) *process {
	t.Helper()
	return spawnFrom(t, nil)
}

// spawnFrom is spawn, with exe as the program file if it is not nil.
func spawnFrom(t testing.TB, exe *os.File) *process {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if exe != nil {
		cmd.Path = "/proc/self/fd/3"
		cmd.ExtraFiles = []*os.File{exe}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p, err := linux.Stat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return &process{cmd, p.StartTime}
}

// spawnNumbered is spawn with a program that is named as the interpreter is.
func spawnNumbered(t testing.TB) *process {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	return spawnFrom(t, exe)
}

// spawnInterpreter is spawn with a program file that looks like the plan's
// interpreter.
func spawnInterpreter(t testing.TB) *process { return spawnFrom(t, memfdOf(t, "sleep")) }

// spawnNamed is spawnInterpreter that has gone on to give itself a name, as the interpreter does.
func spawnNamed(t testing.TB) *process {
	t.Helper()
	cmd := exec.Command("sh", "-c", "printf "+nsenter.ProcessName+" >/proc/self/comm; echo named; read end")
	cmd.Path = "/proc/self/fd/3"
	cmd.ExtraFiles = []*os.File{memfdOf(t, "sh")}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	if _, err := stdout.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	p, err := linux.Stat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return &process{cmd, p.StartTime}
}

// memfdOf is a copy of a program in a memfd that is named as the interpreter's.
func memfdOf(t testing.TB, program string) *os.File {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("husk-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	exe := os.NewFile(uintptr(fd), "interpreter")
	t.Cleanup(func() { exe.Close() })
	if _, err := exe.Write(code); err != nil {
		t.Fatal(err)
	}
	return exe
}

// own makes p the init of the record.
func (p *process) own(rec *record) { rec.Pid, rec.StartTime = p.Process.Pid, p.start }

// ended waits for the end of p and returns the signal that did it.
func (p *process) ended() unix.Signal {
	p.Wait()
	return p.ProcessState.Sys().(interface{ Signal() unix.Signal }).Signal()
}

// alive reports whether p runs.
func (p *process) alive() bool {
	s, err := linux.Stat(p.Process.Pid)
	return err == nil && !s.Dead()
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}
