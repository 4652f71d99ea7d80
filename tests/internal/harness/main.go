// Package harness lets tests work with a built husk from outside: bundles, commands, and the proof that nothing is left on
// the host.
//
// The tests of a package run in a pid, a mount and a network namespace of their own (see [Main]). So every process and every mount that
// is there besides those of the test is one that husk has left, whatever else happens on the machine meanwhile. Where systemd makes
// the cgroups (HUSK_TEST_DRIVER=systemd) there is no pid namespace, since systemd is told of processes by their numbers: then it is
// every process that descends from the tests.
package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	baseEnv   = "HUSK_TEST_BASE"   // directory of this run: set in the inner process
	prefixEnv = "HUSK_TEST_PREFIX" // of the names of all its cgroups
	reaperEnv = "HUSK_TEST_REAPER" // pid of the process that buries orphans: set in the tests
	driverEnv = "HUSK_TEST_DRIVER" // "systemd": the containers are made with --systemd-cgroup
	binaryEnv = "HUSK"             // the program under test
	busybox   = "/bin/busybox"     // a static one: what the root file systems consist of
)

// Main is TestMain: it runs the tests in namespaces of their own, or lets them skip themselves with the reason why that is
// not possible.
func Main(m *testing.M) {
	switch {
	case missing() != "":
		os.Exit(m.Run())
	case os.Getenv(baseEnv) == "":
		exit(enter())
	case os.Getenv(reaperEnv) == "":
		exit(reap())
	}
	os.Exit(m.Run())
}

func exit(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		code = 2
	}
	os.Exit(code)
}

// missing says what the tests lack, "" if nothing.
func missing() string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	if _, err := os.Stat(busybox); err != nil {
		return "needs a static " + busybox + " (Debian: busybox-static)"
	}
	if driver := os.Getenv(driverEnv); driver != "" && driver != "systemd" {
		return driverEnv + " is neither empty nor systemd"
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil && Systemd() { // sd_booted(3)
		return "needs systemd"
	}
	if _, err := os.Stat(Binary()); err != nil {
		return "needs a built husk: make, or $" + binaryEnv
	}
	return ""
}

// Systemd says whether systemd makes the cgroups.
func Systemd() bool { return os.Getenv(driverEnv) == "systemd" }

// Binary is the path of the program under test: $HUSK, or bin/husk of this work tree.
func Binary() string {
	name := os.Getenv(binaryEnv)
	if name == "" {
		name = "../../bin/husk"
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return path
}

// enter runs this program again in namespaces of its own, and removes what it leaves behind.
func enter() (int, error) {
	base, err := os.MkdirTemp("", "husk-test-")
	if err != nil {
		return 0, err
	}
	prefix := filepath.Base(base)
	defer os.RemoveAll(base)
	defer removeCgroups(prefix)
	cmd := itself()
	cmd.Env = append(os.Environ(), baseEnv+"="+base, prefixEnv+"="+prefix)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if Systemd() {
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWPID
	}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	} else if err != nil {
		return 0, fmt.Errorf("run the tests in namespaces of their own: %w", err)
	}
	return 0, nil
}

func itself() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// reap is the init of the namespace, or like one: it runs the tests as a child and buries orphans, as the init of a machine does. Without
// it the end of a container would wait for those that a husk has left that was killed.
func reap() (int, error) {
	if err := settle(); err != nil {
		return 0, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	cmd := itself()
	cmd.Env = append(os.Environ(), reaperEnv+"="+strconv.Itoa(os.Getpid()))
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for the tests: %w", err)
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == cmd.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}

// settle makes the mounts of the new namespace private and shows its processes in /proc.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return os.Chmod(Base(), 0o755) // users without privilege take part in some tests
}

// Base is the directory of this run. Whatever is in it is removed at the end.
func Base() string { return os.Getenv(baseEnv) }

// Count is the value of an environment variable that says how often to do something, or usual.
func Count(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		return n
	}
	return usual
}
