package cgroups

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLimits sets what the host's v1 controllers can do and reads it back.
func TestLimits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids"} {
		if usualMount(c) == "" {
			t.Skipf("the controller %s is not mounted as v1", c)
		}
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":67108864,"reservation":33554432,"swappiness":30},
		"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":33},"blockIO":{"weight":0}}`)})
	check := func(want map[string]string) {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(want)) {
			controller, _, _ := strings.Cut(name, ".")
			if got := file(t, m, controller, name); got != want[name] {
				t.Errorf("%s is %q, want %q", name, got, want[name])
			}
		}
	}
	check(map[string]string{
		"memory.limit_in_bytes": "67108864", "memory.soft_limit_in_bytes": "33554432", "memory.swappiness": "30", "cpu.shares": "512",
		"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "33",
	})
	if n, err := m.OOMKills(); n != 0 || err != nil {
		t.Errorf("oom kills: %d, %v", n, err)
	}
	steps := []struct {
		doc  string
		want map[string]string
	}{
		{`{"cpu":{"quota":-1,"period":50000},"pids":{"limit":-1}}`, map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "50000", "pids.max": "max", "cpu.shares": "512"}},
		{`{"pids":{"limit":0},"memory":{"limit":-1}}`, map[string]string{"pids.max": "1", "memory.limit_in_bytes": "9223372036854771712"}},
	}
	if _, err := os.Stat(m.State().Paths["memory"] + "/memory.memsw.limit_in_bytes"); err == nil {
		// up, down and up again: each order of the two writes is wrong for one of them
		for _, mb := range []int{64, 256, 32, 512} {
			steps = append(steps, struct {
				doc  string
				want map[string]string
			}{
				fmt.Sprintf(`{"memory":{"limit":%d,"swap":%d}}`, mb<<20, mb<<21),
				map[string]string{"memory.limit_in_bytes": strconv.Itoa(mb << 20), "memory.memsw.limit_in_bytes": strconv.Itoa(mb << 21)},
			})
		}
	}
	for _, s := range steps {
		if err := m.Set(resources(t, s.doc)); err != nil {
			t.Errorf("%s: %v", s.doc, err)
		}
		check(s.want)
	}
	for doc, text := range map[string]string{
		`{"network":{"classID":1}}`:            `controller "net_cls" is not mounted (/linux/resources/network/classID)`,
		`{"cpu":{"cpus":"4095"}}`:              "(/linux/resources/cpu/cpus)",
		`{"unified":{"memory.max":"1"}}`:       "invalid configuration",
		`{"memory":{"limit":4096,"swap":1}}`:   "(/linux/resources/memory/",
		`{"cpu":{"quota":1,"period":1000000}}`: "(/linux/resources/cpu/quota)",
	} {
		if err := m.Set(resources(t, doc)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestRefusedUpdate has the last of many values refused: everything is as it was before.
func TestRefusedUpdate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids", "blkio"} {
		if usualMount(c) == "" {
			t.Skipf("the controller %s is not mounted as v1", c)
		}
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432,"swappiness":30},
		"cpu":{"shares":512,"quota":50000,"period":100000,"burst":20000,"cpus":"0"},"pids":{"limit":33}}`)})
	look := func() map[string]string {
		t.Helper()
		files := make(map[string]string)
		for _, name := range []string{
			"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness", "memory.oom_control", "cpu.shares", "cpu.idle",
			"cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpuset.cpus", "cpuset.mems", "pids.max", "blkio.throttle.read_bps_device", "devices.list",
		} {
			controller, _, _ := strings.Cut(name, ".")
			files[name] = file(t, m, controller, name)
		}
		return files
	}
	before := look()
	disk := disk(t)
	for _, doc := range []string{
		`"memory":{"limit":268435456,"swap":536870912,"reservation":1048576,"swappiness":60,"disableOOMKiller":true}`, // all up
		`"memory":{"limit":33554432,"swap":33554432}`,                                                                 // all down
		`"memory":{"limit":-1}`,
		`"cpu":{"quota":5000,"period":10000,"burst":5000,"shares":2,"idle":1,"cpus":"4095"}`,
		`"cpu":{"quota":-1,"period":1000000,"burst":0}`,
		`"pids":{"limit":-1},"blockIO":{"throttleReadBpsDevice":[{` + disk + `,"rate":600}]}`,
	} {
		if !strings.Contains(doc, "cpus") { // the class id comes after all these and has no hierarchy
			doc += `,"network":{"classID":1}`
		}
		if err := m.Set(resources(t, "{"+doc+"}")); err == nil || !strings.Contains(err.Error(), "(/linux/resources/") || strings.Contains(err.Error(), "put back") {
			t.Errorf("%s: %v", doc, err)
		}
		if after := look(); !maps.Equal(before, after) {
			t.Errorf("%s: from\n%v\nto\n%v", doc, before, after)
		}
		if err := m.Set(resources(t, `{"pids":{"limit":33},"devices":[{"allow":false,"access":"x"}]}`)); err == nil {
			t.Error("a wrong device rule passed")
		}
	}
	// The period is refused a second time, and the cpuset not written by then.
	u := new(undo)
	if err := m.(*v1).limit(resources(t, `{"cpu":{"quota":40000,"period":1,"cpus":"0"}}`), false, u); err == nil || !strings.Contains(err.Error(), "/cpu/period") {
		t.Errorf("a period of 1 µs: %v", err)
	}
	if len(u.writes) != 1 || u.writes[0].file != "cpu.cfs_quota_us" {
		t.Errorf("written: %+v", u.writes)
	}
	if err := u.back(); err != nil || !maps.Equal(before, look()) {
		t.Errorf("put back: %v", err)
	}
}

// disk names a block device, as members of a JSON object.
func disk(t *testing.T) string {
	names, err := os.ReadDir("/sys/block")
	if err != nil || len(names) == 0 {
		t.Skipf("no block device: %v", err)
	}
	number, err := os.ReadFile("/sys/block/" + names[0].Name() + "/dev")
	if err != nil {
		t.Fatal(err)
	}
	major, minor, _ := strings.Cut(strings.TrimSpace(string(number)), ":")
	return `"major":` + major + `,"minor":` + minor
}

// TestOOM lets a process run into its memory limit.
func TestOOM(t *testing.T) {
	if os.Geteuid() != 0 || usualMount("memory") == "" {
		t.Skip("needs root and the v1 memory controller")
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":8388608,"swap":8388608}}`)})
	p := placement(t, m)
	_ = inside(t, p, "exec head -c 100000000 /dev/zero | tail")
	if n, err := m.OOMKills(); n == 0 || err != nil {
		t.Errorf("oom kills: %d, %v", n, err)
	}
}

// TestNetworkClasses makes the hierarchy of net_cls and net_prio, which few machines mount, in a mount namespace of its own.
func TestNetworkClasses(t *testing.T) {
	const env = "HUSK_TEST_NETWORK"
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	if os.Getenv(env) == "" {
		free := func() bool {
			list, err := os.ReadFile("/proc/cgroups")
			return err == nil && strings.Contains(string(list), "net_cls\t0\t") && strings.Contains(string(list), "net_prio\t0\t")
		}
		if !free() {
			t.Skip("the kernel has no net_cls and net_prio, or they are in use")
		}
		const dir = "/sys/fs/cgroup/net_cls,net_prio"
		const mount = "mount -t tmpfs none /sys/fs/cgroup && mkdir " + dir + " && mount -t cgroup -o net_cls,net_prio none " + dir
		privately(t, env, mount)
		// The kernel forgets a hierarchy with its last mount, but not while a removed cgroup is on its way out; then it needs another.
		for until := time.Now().Add(10 * time.Second); !free() && time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
			again := exec.Command("/bin/sh", "-c", mount+" && umount "+dir)
			again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			if out, err := again.CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
		}
		if !free() {
			t.Error("the hierarchy is left")
		}
		return
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":5}]},"devices":[{"allow":true,"access":"rwm"}]}`)})
	check := func(class, priority string) {
		t.Helper()
		if a, b := file(t, m, "net_cls", "net_cls.classid"), file(t, m, "net_prio", "net_prio.ifpriomap"); a != class || !strings.Contains("\n"+b+"\n", "\nlo "+priority+"\n") {
			t.Errorf("class %s and priorities %q", a, b)
		}
	}
	check("1048577", "5")
	if err := m.Set(resources(t, `{"network":{"classID":7,"priorities":[{"name":"lo","priority":6}]}}`)); err != nil {
		t.Error(err)
	}
	check("7", "6")
	if err := m.Set(resources(t, `{"network":{"classID":8,"priorities":[{"name":"lo","priority":7},{"name":"none0","priority":1}]}}`)); err == nil || !strings.Contains(err.Error(), "/network/priorities/1") {
		t.Errorf("a device that does not exist: %v", err)
	}
	check("7", "6")
}
