package cgroups

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests that need root run in the host's own layout and, each once more, where /sys/fs/cgroup is cgroup2 alone: the test binary
// starts itself in a private mount namespace with unifiedEnv set.
const unifiedEnv = "HUSK_TEST_UNIFIED"

// eachLayout runs f in the host's layout, then in the unified one.
func eachLayout(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	if os.Getenv(unifiedEnv) != "" {
		f(t)
		return
	}
	t.Run("host", f)
	t.Run("unified", func(t *testing.T) { privately(t, unifiedEnv, "mount -t cgroup2 none /sys/fs/cgroup") })
}

// privately runs the test once more in a mount namespace with nothing but what a script mounts at /sys/fs/cgroup, and env set.
func privately(t *testing.T, env, mount string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "umount -l /sys/fs/cgroup 2>/dev/null; "+mount+" && exec \"$@\"", "sh",
		os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// scratch returns the path of a cgroup for this test alone and checks at the end that nothing is left of it.
func scratch(t testing.TB) string {
	t.Helper()
	base := fmt.Sprintf("/husk-test-%d", os.Getpid())
	t.Cleanup(func() {
		lay, err := DetectLayout()
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range lay.Hierarchies {
			// The parent stays by design (the next container of the pod wants it); all below must be gone.
			if err := os.Remove(h.Mountpoint + base); err != nil && !errors.Is(err, os.ErrNotExist) {
				left, _ := filepath.Glob(h.Mountpoint + base + "/*/")
				t.Errorf("left over: %v, with %v", err, left)
			}
		}
	})
	return base + "/" + strings.ReplaceAll(path.Base(t.Name()), "#", "-")
}

// create makes a manager with its cgroup, removed at the end of the test.
func create(t testing.TB, cfg *Config) Manager {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Create(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
		if err := m.Delete(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := m.Delete(0); err != nil {
			t.Errorf("second delete: %v", err)
		}
	})
	return m
}

// sleeper starts a process in the cgroup, the way a container's first process gets in: by clone into the unified directory and,
// on v1, by the write of "0" to each tasks file before it does anything else.
func sleeper(t testing.TB, p *Placement) *exec.Cmd {
	t.Helper()
	return shell(t, p, "exec sleep 1000")
}

// shell is sleeper, with another script.
func shell(t testing.TB, p *Placement, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `i=3; while [ $i -lt $((3 + $1)) ]; do echo 0 > /proc/self/fd/$i || exit 1; i=$((i+1)); done; echo in; `+script,
		"sh", fmt.Sprint(len(p.Tasks)))
	cmd.ExtraFiles = p.Tasks
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.Into != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.Into.Fd())}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if n, err := out.Read(make([]byte, 3)); n != 3 || err != nil {
		t.Fatalf("child did not get into its cgroup: %v", err)
	}
	return cmd
}

// placement is where processes of the cgroup are born, until the test ends.
func placement(t testing.TB, m Manager) *Placement {
	t.Helper()
	p, err := m.Place()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func place(t testing.TB, m Manager) *exec.Cmd {
	t.Helper()
	p := placement(t, m)
	return sleeper(t, p)
}

// file reads a file of the manager's cgroup.
func file(t testing.TB, m Manager, controller, name string) string {
	t.Helper()
	dir, ok := m.State().Paths[controller]
	if m.State().Version == V2 {
		dir, ok = m.State().Paths[""], true
	}
	if !ok {
		t.Fatalf("no hierarchy for %q", controller)
	}
	data, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// BenchmarkEnter measures how long a process waits to enter a v1 cgroup. Between two rounds the kernel gets the time to leave the state
// in which a second writer is cheap, as it does between two containers.
func BenchmarkEnter(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("making cgroups needs root")
	}
	lay, err := DetectLayout()
	if err != nil || lay.Version == V2 {
		b.Skip("no v1 hierarchy to measure")
	}
	base := scratch(b)
	var dirs [2]string
	for i := range dirs {
		dirs[i] = root + "/pids" + base + fmt.Sprint(i)
		if err := os.MkdirAll(dirs[i], 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = os.Remove(dirs[i]) })
	}
	measure := func(b *testing.B, name, value string) {
		files := [2]*os.File{}
		for i := range dirs {
			if files[i], err = os.OpenFile(dirs[i]+"/"+name, os.O_WRONLY, 0); err != nil {
				b.Fatal(err)
			}
			defer files[i].Close()
		}
		var spent time.Duration
		for i := range b.N {
			time.Sleep(40 * time.Millisecond)
			start := time.Now()
			if _, err := files[i%2].WriteString(value); err != nil {
				b.Fatal(err)
			}
			spent += time.Since(start)
		}
		b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/enter")
	}
	b.Run("tasks", func(b *testing.B) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			measure(b, "tasks", "0")
			if err := os.WriteFile(root+"/pids/tasks", []byte("0"), 0); err != nil { // the thread goes back to where it was
				b.Error(err)
			}
		}()
		<-done
	})
	b.Run("procs", func(b *testing.B) {
		cmd := sleeper(b, &Placement{})
		measure(b, "cgroup.procs", fmt.Sprint(cmd.Process.Pid))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
