package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// network gives the bundle's commands a network namespace of their own in place of the machine's, with the devices that some
// lines of ip(8) make.
func (b *bundle) network(lines ...string) {
	b.t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		b.t.Skip("needs ip(8), Debian's iproute2")
	}
	var machine int
	err := b.v.do(func() (err error) {
		if machine, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Unshare(unix.CLONE_NEWNET)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := b.v.do(func() error { return unix.Setns(machine, unix.CLONE_NEWNET) }); err != nil {
			b.t.Error(err)
		}
		unix.Close(machine)
	})
	for _, line := range lines {
		b.ip(line)
	}
}

// ip runs ip(8) in that namespace.
func (b *bundle) ip(line string) string {
	b.t.Helper()
	return b.tool("ip", strings.Fields(line)...)
}

// ipOf runs it in the network namespace of a process.
func (b *bundle) ipOf(pid int, line string) string {
	b.t.Helper()
	return b.tool("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid), "ip"}, strings.Fields(line)...)...)
}

func (b *bundle) tool(name string, args ...string) string {
	b.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.t.Skip(err)
	}
	r := b.finish(exec.Command(path, args...))
	if r.status != 0 {
		b.t.Fatalf("%s %q: %v", name, args, r)
	}
	return r.stdout
}

// says checks that a text has all the words, and none of those with an exclamation mark.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		unwanted, not := strings.CutPrefix(word, "!")
		if strings.Contains(text, unwanted) == not {
			t.Errorf("want %q in %q", word, text)
		}
	}
}

func (b *bundle) device(name, inside string) {
	if b.Linux.NetDevices == nil {
		b.Linux.NetDevices = map[string]specs.LinuxNetDevice{}
	}
	b.Linux.NetDevices[name] = specs.LinuxNetDevice{Name: inside}
}

var pair = []string{
	"link add host0 address 02:00:00:00:00:07 mtu 1420 type veth peer name peer0", "link set host0 up",
	"addr add 10.1.2.3/24 dev host0", "addr add 10.3.3.3/24 dev host0 scope link", "addr add fd00::7/64 dev host0 nodad",
}

func TestNetDevices(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the devices are made in the host's network namespace")
		t.Run("from inside", func(t *testing.T) {
			b := newBundle(t, v)
			b.network(pair...)
			b.device("host0", "eth0")
			b.device("peer0", "")
			b.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth0.forwarding": "1"}
			const class = "/sys/class/net"
			b.probe("list:"+class, "read:"+class+"/eth0/address", "read:"+class+"/eth0/mtu", "read:"+class+"/eth0/operstate", "read:/proc/net/if_inet6",
				"read:/proc/net/fib_trie", "read:/proc/sys/net/ipv4/conf/eth0/forwarding")
			p := b.facts().Probes
			includes(t, "devices", strings.Fields(p["list:"+class]), "lo", "eth0", "peer0", "!host0")
			equal(t, "address", strings.TrimSpace(p["read:"+class+"/eth0/address"]), "02:00:00:00:00:07")
			equal(t, "mtu", strings.TrimSpace(p["read:"+class+"/eth0/mtu"]), "1420")
			equal(t, "state", strings.TrimSpace(p["read:"+class+"/eth0/operstate"]), "up")
			equal(t, "sysctl", strings.TrimSpace(p["read:/proc/sys/net/ipv4/conf/eth0/forwarding"]), "1")
			says(t, p["read:/proc/net/if_inet6"], "fd000000000000000000000000000007")
			says(t, p["read:/proc/net/fib_trie"], "10.1.2.3", "!10.3.3.3")
			says(t, b.ip("link show"), "!host0", "!peer0") // virtual devices end with their namespace
		})
		t.Run("pattern", func(t *testing.T) {
			b := newBundle(t, v)
			b.network(pair...)
			b.device("host0", "net%d")
			b.device("peer0", "net%d")
			b.probe("list:/sys/class/net")
			includes(t, "devices", strings.Fields(b.facts().Probes["list:/sys/class/net"]), "net0", "net1")
		})
		t.Run("joined namespace", func(t *testing.T) {
			b := newBundle(t, v)
			b.network(pair...)
			pid := holder(b)
			join(b, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", pid))
			b.device("host0", "eth0")
			b.probe("read:/proc/net/if_inet6")
			says(t, b.facts().Probes["read:/proc/net/if_inet6"], "fd000000000000000000000000000007")
			says(t, b.ipOf(pid, "addr show dev eth0"), "10.1.2.3/24", "mtu 1420") // it is the namespace's, not the container's
		})
		for _, offsets := range []map[string]specs.LinuxTimeOffset{nil, {"boottime": {Secs: 1}}} { // with them namespaces are made late
			t.Run(fmt.Sprintf("user namespace, %d offsets", len(offsets)), func(t *testing.T) {
				b := newBundle(t, v)
				b.network(pair...)
				b.inUser()
				if b.Linux.TimeOffsets = offsets; offsets != nil {
					join(b, specs.TimeNamespace, "")
				}
				b.device("host0", "eth0")
				b.probe("read:/proc/net/if_inet6", "read:/sys/class/net/eth0/operstate")
				p := b.facts().Probes
				says(t, p["read:/proc/net/if_inet6"], "fd000000000000000000000000000007")
				// Once more, and it does not come into being: the device is back.
				b = newBundle(t, v)
				b.inUser()
				b.ip("link add host1 type veth peer name peer1")
				b.ip("addr add 10.9.0.1/24 dev host1")
				b.device("host1", "eth0")
				b.Process.Args = []string{"/nowhere"}
				if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, "/process/args/0") {
					t.Errorf("run: %v", r)
				}
				says(t, b.ip("addr show dev host1"), "10.9.0.1/24")
			})
		}
		t.Run("hooks see it", func(t *testing.T) {
			b := newBundle(t, v)
			b.network(pair...)
			b.device("host0", "eth0")
			b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{
				"sh", "-c", `pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'); grep -q eth0 /proc/$pid/net/dev`,
			}}}}
			b.facts()
		})
	})
}

// A container that does not come into being leaves its devices as they were.
func TestNetDevicesComeBack(t *testing.T) {
	cases := []struct {
		name, words string
		patch       func(b *bundle, holder int)
	}{
		{"missing", `/linux/netDevices/none: move network device "none": look for it: no such device`, func(b *bundle, _ int) { b.device("none", "") }},
		{"name is taken", `/linux/netDevices/peer0: move network device "peer0": look whether the name "lo" is free: file exists`, func(b *bundle, _ int) { b.device("peer0", "lo") }},
		{"name is taken in a joined namespace", `the name "eth0" is free: file exists`, func(b *bundle, holder int) {
			b.ipOf(holder, "link add eth0 type veth peer name x")
			join(b, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", holder))
		}},
		{"can't be moved", `move network device "lo": move it to the other network namespace: invalid argument`, func(b *bundle, _ int) { b.device("lo", "lo1") }},
		{"the runtime's own namespace", "/linux/netDevices: move network devices: the container's network namespace is the runtime's own", func(b *bundle, _ int) {
			join(b, specs.NetworkNamespace, "/proc/thread-self/ns/net")
		}},
		{"no namespace", "/linux/netDevices: unable to move network devices without a NET namespace", func(b *bundle, _ int) { without(b, specs.NetworkNamespace) }},
		{"failing hook", "error running createRuntime hook #0: exit status 1", func(b *bundle, _ int) {
			b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
		}},
		{"missing program", "/process/args/0", func(b *bundle, _ int) { b.Process.Args = []string{"/nowhere"} }},
		{"no program", "exec format error", func(b *bundle, _ int) {
			b.write("rootfs/text", "neither a program nor a script")
			if err := os.Chmod(b.path("rootfs/text"), 0o755); err != nil {
				b.t.Fatal(err)
			}
			b.Process.Args = []string{"/text"}
		}},
	}
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the devices are made in the host's network namespace")
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := newBundle(t, v)
				b.network(pair...)
				b.device("host0", "eth0")
				c.patch(b, holder(b))
				r := b.run()
				if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, c.words) {
					t.Errorf("run: %v; want status 1 and one line with %q", r, c.words)
				}
				says(t, b.ip("addr show dev host0"), "UP", "02:00:00:00:00:07", "mtu 1420", "10.1.2.3/24", "fd00::7/64")
				says(t, b.ip("link show dev peer0"), "peer0")
			})
		}
		t.Run("without CAP_NET_ADMIN", func(t *testing.T) {
			b := newBundle(t, v)
			b.network(pair...)
			b.device("host0", "eth0")
			b.save()
			setpriv, err := exec.LookPath("setpriv")
			if err != nil {
				t.Skip("needs setpriv(1)")
			}
			r := b.finish(exec.Command(setpriv, "--inh-caps=-net_admin", "--bounding-set=-net_admin", env.husk, "--root", b.root, "run", "--bundle", b.dir, b.id))
			if r.status != 1 || !strings.Contains(r.stderr, "operation not permitted (it needs CAP_NET_ADMIN in both network namespaces)") {
				t.Errorf("run: %v", r)
			}
			says(t, b.ip("addr show dev host0"), "UP", "10.1.2.3/24")
		})
	})
}
