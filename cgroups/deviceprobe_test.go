package cgroups

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The numbers of devices that nobody drives (LOCAL/EXPERIMENTAL USE, and the last of all): whoever may open one gets ENXIO.
var (
	probeMajors = []int64{120, 121, 240, 1<<12 - 1}
	probeMinors = []int64{0, 1, 255, 256, 1<<20 - 1}
)

const probeEnv = "HUSK_TEST_PROBE" // the directory of the nodes: the test binary is the process that tries them

// TestMain serves the test binary when it is the process in a cgroup: for each line of input it tries all devices in all ways and
// prints a digit for each, 1 for what was allowed.
func TestMain(m *testing.M) {
	dir := os.Getenv(probeEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var out strings.Builder
		eachProbe(func(kind byte, major, minor int64, want access) {
			fmt.Fprintf(&out, "%b", map[bool]int{true: 1}[probe(dir, kind, major, minor, want)])
		})
		fmt.Println(out.String())
	}
}

func eachProbe(f func(kind byte, major, minor int64, want access)) {
	for _, kind := range []byte("cb") {
		for _, major := range probeMajors {
			for _, minor := range probeMinors {
				for _, want := range []access{mknod, read, write, read | write} {
					f(kind, major, minor, want)
				}
			}
		}
	}
}

func node(dir string, kind byte, major, minor int64) string {
	return fmt.Sprintf("%s/%c%d-%d", dir, kind, major, minor)
}

func makeNode(path string, kind byte, major, minor int64) error {
	mode := uint32(unix.S_IFCHR)
	if kind == 'b' {
		mode = unix.S_IFBLK
	}
	return unix.Mknod(path, mode|0o666, int(unix.Mkdev(uint32(major), uint32(minor))))
}

// probe asks the kernel. Any other refusal than its own for want of permission comes after the device cgroup.
func probe(dir string, kind byte, major, minor int64, want access) bool {
	if want == mknod {
		err := makeNode(dir+"/new", kind, major, minor)
		_ = os.Remove(dir + "/new")
		return err != unix.EPERM
	}
	flags := map[access]int{read: unix.O_RDONLY, write: unix.O_WRONLY, read | write: unix.O_RDWR}[want]
	fd, err := unix.Open(node(dir, kind, major, minor), flags|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err != unix.EPERM
}

// TestDevicesAgainstModel has a process in a cgroup try devices under random rules. The kernel has no test run for programs of this type,
// so this is the way to ask it.
func TestDevicesAgainstModel(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		dir := t.TempDir()
		eachProbe(func(kind byte, major, minor int64, want access) {
			if want == mknod {
				path := node(dir, kind, major, minor)
				if err := makeNode(path, kind, major, minor); err != nil {
					t.Fatal(err)
				}
				if _, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
					t.Skipf("opening %s without rules: %v, not the ENXIO of a device that nobody drives", path, err)
				}
			}
		})
		m := create(t, &Config{Path: scratch(t)})
		ask := prober(t, m, dir)
		r := rand.New(rand.NewPCG(3, 4))
		seen, rounds := [2]int{}, 150
		if _, err := os.Stat("/proc/sys/kernel/modprobe"); err == nil { // it is run for each open of what nobody drives
			rounds = 5
		}
		for tried := 0; tried < rounds; {
			in := randomRules(r, probeMajors, probeMinors)
			if err := m.Set(&specs.LinuxResources{Devices: in}); len(in) == 0 || err != nil && strings.Contains(err.Error(), "only v2 can express") {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			tried++
			answers := ask()
			all := append(append([]specs.LinuxDeviceCgroup{}, in...), DefaultDeviceRules()...)
			i := 0
			eachProbe(func(kind byte, major, minor int64, want access) {
				got, expect := answers[i] == '1', verdict(all, kind, major, minor, want)
				seen[answers[i]-'0']++
				i++
				if got != expect && (want != read|write || m.State().Version == V2) { // see oneException
					t.Fatalf("%c %d:%d %s: %v, want %v; rules %v", kind, major, minor, want, got, expect, show2(in))
				}
			})
		}
		if seen[0] < 10*rounds || seen[1] < 10*rounds {
			t.Errorf("%d denied and %d allowed: the rules are no test", seen[0], seen[1])
		}
	})
}

// prober starts the process in the cgroup and returns a function that has it try everything once.
func prober(t *testing.T, m Manager, dir string) func() string {
	t.Helper()
	p := placement(t, m)
	cmd := exec.Command("/bin/sh", "-c", `i=3; while [ $i -lt $((3 + $1)) ]; do echo 0 > /proc/self/fd/$i || exit 1; i=$((i+1)); done; exec "$2"`,
		"sh", fmt.Sprint(len(p.Tasks)), os.Args[0])
	cmd.Env = append(os.Environ(), probeEnv+"="+dir)
	cmd.ExtraFiles, cmd.Stderr = p.Tasks, os.Stderr
	if p.Into != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.Into.Fd())}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	return func() string {
		t.Helper()
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatalf("the process in the cgroup has ended: %v", lines.Err())
		}
		return lines.Text()
	}
}
