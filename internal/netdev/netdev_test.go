package netdev

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/fdtest"
)

func TestMain(m *testing.M) { fdtest.Main(m) }

// scene is two network namespaces of the test's own. The thread of the test is in the first one.
type scene struct {
	*testing.T
	host, other *Namespace
	sleeper     *exec.Cmd // in the other
}

// newScene makes them, and the devices that the lines of ip(8) make in the first.
func newScene(t *testing.T, lines ...string) *scene {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip(8), Debian's iproute2")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	s := &scene{T: t}
	s.check(unix.Unshare(unix.CLONE_NEWNET))
	for _, line := range lines {
		s.ip(line)
	}
	ready, w, err := os.Pipe()
	s.check(err)
	defer ready.Close()
	s.sleeper = exec.Command("unshare", "--net", "sh", "-c", "echo; exec sleep 1000")
	s.sleeper.Stdout = w
	pidfd := -1
	s.sleeper.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	s.check(s.sleeper.Start())
	w.Close()
	_, err = ready.Read(make([]byte, 1))
	s.check(err)
	t.Cleanup(func() {
		s.sleeper.Process.Kill()
		s.sleeper.Wait()
	})
	s.host, err = Own()
	s.check(err)
	t.Cleanup(s.host.Close)
	file := os.NewFile(uintptr(pidfd), "pidfd")
	defer file.Close()
	s.other, err = s.host.Of(file)
	s.check(err)
	t.Cleanup(s.other.Close)
	return s
}

func (s *scene) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// ip runs ip(8) in the first namespace; a line that begins with "-n other" in the second.
func (s *scene) ip(line string) string {
	s.Helper()
	cmd := exec.Command("ip", strings.Fields(line)...)
	if inside, ok := strings.CutPrefix(line, "-n other "); ok {
		cmd = exec.Command("nsenter", append([]string{"--net=/proc/" + strconv.Itoa(s.sleeper.Process.Pid) + "/ns/net", "ip"}, strings.Fields(inside)...)...)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

// has looks for words in what ip(8) prints; those with an exclamation mark must not be there.
func (s *scene) has(line string, words ...string) {
	s.Helper()
	out := s.ip(line)
	for _, w := range words {
		unwanted, not := strings.CutPrefix(w, "!")
		if strings.Contains(out, unwanted) == not {
			s.Errorf("ip %s: want %q in\n%s", line, w, out)
		}
	}
}

const ifb = "link add a0 type ifb"

func TestMove(t *testing.T) {
	s := newScene(t, "link add a0 mtu 1420 address 02:00:00:00:00:07 type veth peer name b0", "link set b0 up", "link set a0 up",
		"addr add 10.1.2.3/24 brd 10.1.2.255 dev a0 label a0:x", "addr add 10.1.2.4/24 dev a0", "addr add 10.9.9.1 peer 10.9.9.2/32 dev a0 noprefixroute",
		"addr add 10.3.3.3/24 dev a0 scope link", "addr add 10.4.4.4/24 dev a0 valid_lft 1000 preferred_lft 1000",
		"addr add fd00::7/64 dev a0 nodad", "addr add fd00::8/64 dev a0 valid_lft 1000 preferred_lft 1000", "addr add fd00::9/64 dev a0 preferred_lft 0 nodad")
	index := strings.Fields(s.ip("-o link show a0"))[0]
	d, err := Move(s.host, s.other, "a0", "eth0")
	s.check(err)
	s.has("-n other link show eth0", "mtu 1420", "02:00:00:00:00:07", "UP", index)
	s.has("-n other addr show dev eth0", "10.1.2.3/24 brd 10.1.2.255 scope global eth0:x", "10.1.2.4/24 scope global secondary eth0",
		"10.9.9.1 peer 10.9.9.2/32", "noprefixroute", "!10.3.3.3", "!10.4.4.4", "fd00::7/64", "nodad", "!fd00::8", "fd00::9/64", "deprecated")
	s.has("link show", "! a0", "b0")
	s.check(d.Back())
	s.has("link show a0", "UP", index)
	s.has("addr show dev a0", "10.1.2.3/24 brd 10.1.2.255 scope global a0:x", "10.1.2.4/24 scope global secondary a0", "fd00::7/64")
	s.has("-n other link show", "!eth0")
}

func TestMoveKeepsNameAndComesBackDown(t *testing.T) {
	s := newScene(t, ifb)
	d, err := Move(s.host, s.other, "a0", "")
	s.check(err)
	s.has("-n other link show a0", "UP")
	s.check(d.Back())
	s.has("link show a0", "!UP")
}

// The index of the device is taken in the other namespace, and its name there as well.
func TestMoveWhereIndexAndNameAreTaken(t *testing.T) {
	s := newScene(t, "link add a0 index 77 type ifb")
	s.ip("-n other link add a0 index 77 type ifb")
	s.ip("-n other link add x index 78 type ifb")
	if _, err := Move(s.host, s.other, "a0", ""); !errors.Is(err, unix.EEXIST) {
		t.Errorf("move to a name that is taken: %v", err)
	}
	s.has("link show a0", "77: a0")
	_, err := Move(s.host, s.other, "a0", "a%d")
	s.check(err)
	s.has("-n other link show", "77: a0", "79: a")
}

func TestMoveByPattern(t *testing.T) {
	s := newScene(t, ifb, "link add a1 type ifb", "link add a2 type ifb")
	s.ip("-n other link add net1 type ifb")
	for _, name := range []string{"a0", "a1", "a2"} {
		_, err := Move(s.host, s.other, name, "net%d")
		s.check(err)
	}
	s.has("-n other link show", "net0", "net1", "net2", "net3")
}

// What can't be moved stays as it is.
func TestRefusedMoves(t *testing.T) {
	s := newScene(t, ifb, "link set a0 up", "addr add 10.0.0.1/24 dev a0", "addr add fd00::1/64 dev a0 nodad", "link add br0 type bridge",
		"link add alt type ifb", "link property add dev alt altname other")
	s.ip("-n other link add taken type ifb")
	for _, c := range []struct {
		name, newName string
		errno         error
		words         string
	}{
		{"none", "", unix.ENODEV, "look for it"},
		{"lo", "lo9", unix.EINVAL, "move it"},
		{"a0", "taken", unix.EEXIST, `the name "taken"`},
		{"a0", "a%s", unix.EINVAL, "move it"},
		{"alt", "other", unix.EEXIST, "move it"}, // only the rename fails, when the device has moved already
	} {
		_, err := Move(s.host, s.other, c.name, c.newName)
		if !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("move %s to %s: %v, want %v and %q", c.name, c.newName, err, c.errno, c.words)
		}
		t.Log(err)
	}
	s.has("addr show", "a0", "alt", "10.0.0.1/24", "fd00::1/64")
	s.has("link show a0", "UP")
	// An address that the other namespace refuses: everything goes back.
	s.ip("-n other link set lo up")
	write := exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(s.sleeper.Process.Pid)+"/ns/net", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err := Move(s.host, s.other, "a0", "eth0")
	if err == nil || !strings.Contains(err.Error(), "add its address fd00:0:0:0:0:0:0:1/64") {
		t.Errorf("move to where IPv6 is off: %v", err)
	}
	t.Log(err)
	s.has("link show a0", "UP")
	s.has("addr show a0", "10.0.0.1/24", "fd00::1/64")
	s.has("-n other link show", "!eth0", "! a0:")
}

func TestSame(t *testing.T) {
	s := newScene(t)
	own, err := Own()
	s.check(err)
	defer own.Close()
	for _, c := range []struct {
		n    *Namespace
		same bool
	}{{own, true}, {s.other, false}} {
		if same, err := s.host.Same(c.n); same != c.same || err != nil {
			t.Errorf("same: %v, %v", same, err)
		}
	}
}

func TestDamagedAnswers(t *testing.T) {
	for _, content := range []string{"", "\x01", "\xff\xff\xff\xff"} {
		if err := outcome([]byte(content), extendedReason); err == nil {
			t.Errorf("outcome %q is a success", content)
		}
	}
	for _, list := range []string{"\x03\x00\x01\x00", "\x09\x00\x01\x00abcd", "\x04\x00"} {
		for kind, value := range attributes([]byte(list)) {
			t.Errorf("%q has an attribute %d %q", list, kind, value)
		}
	}
}
