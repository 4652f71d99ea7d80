package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/dbus"
)

func TestUnitName(t *testing.T) {
	for _, c := range []struct {
		path, id    string
		user        bool
		slice, unit string // slice "" for an error that holds unit
	}{
		{"", "c1", false, "system.slice", "husk-c1.scope"},
		{"", "c1", true, "user.slice", "husk-c1.scope"},
		{"", "a+b", false, "system.slice", `husk-a\x2bb.scope`},
		{"a-b.slice:crio:x", "c1", false, "a-b.slice", "crio-x.scope"},
		{":docker:x", "c1", false, "system.slice", "docker-x.scope"},
		{"-.slice::x", "c1", false, "-.slice", "x.scope"},
		{"/a/b", "c1", false, "", `expected cgroupsPath to be of format "slice:prefix:name"`},
		{"a.slice:b:c:d", "c1", false, "", "expected cgroupsPath"},
		{"a.slice:b:", "c1", false, "", "not a name of a scope"},
		{"a.slice:b:c.slice", "c1", false, "", "not a name of a scope"},
		{"a.slice:b/c:d", "c1", false, "", "not a name of a scope"},
		{"a.slice:b:d'", "c1", false, "", "not a name of a scope"}, // would end the rule for signals
		{"a.slice:b:" + strings.Repeat("d", 255), "c1", false, "", "not a name of a scope"},
	} {
		m := systemd{user: c.user}
		err := m.name(&Config{Path: c.path, ID: c.id})
		switch {
		case c.slice == "":
			if err == nil || !strings.Contains(err.Error(), c.unit) || !strings.HasSuffix(err.Error(), "(/linux/cgroupsPath)") {
				t.Errorf("%q: %v", c.path, err)
			}
		case err != nil || m.slice != c.slice || m.unit != c.unit:
			t.Errorf("%q: %q %q, %v", c.path, m.slice, m.unit, err)
		}
	}
}

func TestExpandSlice(t *testing.T) {
	for slice, want := range map[string]string{
		"system.slice": "system.slice", "-.slice": "", "a-b.slice": "a.slice/a-b.slice",
		"kubepods-burstable-pod1_2.slice": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
	} {
		if got, err := expandSlice(slice); got != want || err != nil {
			t.Errorf("%s: %q, %v", slice, got, err)
		}
	}
	for _, slice := range []string{"a", ".slice", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice", "../a.slice", "a.scope", "a\n.slice"} {
		if got, err := expandSlice(slice); err == nil {
			t.Errorf("%q: %q", slice, got)
		}
	}
}

// showProperties prints properties as "name=value", an array as its items.
func showProperties(list []property) string {
	var out []string
	for _, p := range list {
		if a, ok := p.value.(dbus.Array); ok {
			p.value = a.Items
		}
		out = append(out, fmt.Sprintf("%s=%v", p.name, p.value))
	}
	return strings.Join(out, "; ")
}

func TestProperties(t *testing.T) {
	const most = "18446744073709551615"
	for _, c := range []struct{ name, doc, v1, v2 string }{
		{"nothing", `{}`, "", ""},
		{
			"memory", `{"memory":{"limit":4096,"swap":8192,"reservation":1024}}`,
			"MemoryLimit=4096", "MemorySwapMax=4096; MemoryLow=1024; MemoryMax=4096",
		},
		{"no limits", `{"memory":{"limit":-1},"pids":{"limit":-1}}`, "TasksMax=" + most + "; MemoryLimit=" + most, "TasksMax=" + most + "; MemorySwapMax=" + most + "; MemoryMax=" + most},
		{"no tasks", `{"pids":{"limit":0}}`, "TasksMax=1", "TasksMax=1"},
		{"shares", `{"cpu":{"shares":512}}`, "CPUShares=512", "CPUWeight=59"},
		{"quota", `{"cpu":{"quota":50000,"period":200000}}`, "CPUQuotaPeriodUSec=200000; CPUQuotaPerSecUSec=250000", "CPUQuotaPeriodUSec=200000; CPUQuotaPerSecUSec=250000"},
		{"quota alone", `{"cpu":{"quota":33333}}`, "CPUQuotaPerSecUSec=340000", "CPUQuotaPerSecUSec=340000"},
		{"no quota", `{"cpu":{"quota":-1}}`, "CPUQuotaPerSecUSec=" + most, "CPUQuotaPerSecUSec=" + most},
		{"tiny quota", `{"cpu":{"quota":1000,"period":1000000}}`, "CPUQuotaPeriodUSec=1000000; CPUQuotaPerSecUSec=10000", "CPUQuotaPeriodUSec=1000000; CPUQuotaPerSecUSec=10000"},
		{"idle", `{"cpu":{"idle":1}}`, "", "CPUWeight=0"},
		{"sets", `{"cpu":{"cpus":"0-2,9","mems":"0"}}`, "", "AllowedCPUs=[7 2]; AllowedMemoryNodes=[1]"},
		{"weight", `{"blockIO":{"weight":500}}`, "BlockIOWeight=500", "IOWeight=4950"},
		{
			"devices", `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5},{"major":8,"minor":16,"rate":0}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":6}]}}`,
			"BlockIOReadBandwidth=[[/dev/block/8:0 5] [/dev/block/8:16 " + most + "]]",
			"IODeviceWeight=[[/dev/block/8:0 1]]; IOReadBandwidthMax=[[/dev/block/8:0 5] [/dev/block/8:16 " + most + "]]; IOWriteIOPSMax=[[/dev/block/8:0 6]]",
		},
		{"left to the files", `{"hugepageLimits":[{"pageSize":"2MB","limit":0}],"rdma":{"mlx5_1":{"hcaHandles":3}},"cpu":{"burst":5}}`, "", ""},
		{
			"unified", `{"unified":{"memory.high":"4096","memory.min":"max","cpu.max":"5000 10000","io.max":"8:0 rbps=5 wiops=max","io.weight":"default 50","cpu.weight.nice":"5","memory.oom.group":"1","cpuset.cpus":"1"}}`,
			"error: unified", "IOWeight=50; MemoryHigh=4096; MemoryMin=" + most + "; OOMPolicy=kill; AllowedCPUs=[2]; CPUQuotaPeriodUSec=10000; CPUQuotaPerSecUSec=500000; IOReadBandwidthMax=[[/dev/block/8:0 5]]; IOWriteIOPSMax=[[/dev/block/8:0 " + most + "]]",
		},
		{
			"as the kernel reads it", `{"unified":{"memory.high":" 64M ","memory.low":"0x1000","memory.min":"1k\n","memory.swap.max":"max\n","memory.zswap.max":"3g","memory.zswap.writeback":"0","memory.oom.group":"0","cpu.max":"5000   10000","cpu.idle":"1 "}}`,
			"error: unified", "MemoryHigh=67108864; MemoryLow=4096; MemoryMin=1024; MemorySwapMax=" + most + "; MemoryZSwapMax=3221225472; MemoryZSwapWriteback=false; CPUWeight=0; CPUQuotaPeriodUSec=10000; CPUQuotaPerSecUSec=500000",
		},
		{"no amount", `{"unified":{"memory.high":"64X"}}`, "error: unified", "error: /linux/resources/unified/memory.high"},
		{"no amount but a unit", `{"unified":{"memory.high":"K"}}`, "error: unified", "error: neither a number nor max"},
		{"too large", `{"unified":{"memory.high":"16E"}}`, "error: unified", "error: neither a number nor max"},
		{"bad set", `{"cpu":{"cpus":"0-x"}}`, "", "error: /linux/resources/cpu/cpus"},
		{"backward set", `{"cpu":{"cpus":"5-1"}}`, "", "error: 0-3,7"},
		{"huge set", `{"cpu":{"cpus":"0-99999"}}`, "", "error: 0-3,7"},
	} {
		for version, want := range map[string]string{V1: c.v1, V2: c.v2} {
			m := systemd{backend: &v1{}}
			if version == V2 {
				m.backend = &v2{dir: newDir("/nonexistent")}
			}
			list, err := m.properties(resources(t, c.doc), false)
			if text, ok := strings.CutPrefix(want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s, %s: %v", c.name, version, err)
				}
			} else if got := showProperties(list); got != want || err != nil {
				t.Errorf("%s, %s:\n got %s, %v\nwant %s", c.name, version, got, err, want)
			}
		}
	}
}

func TestWholePercents(t *testing.T) {
	for _, c := range []struct{ doc, now, want string }{
		{`{"cpu":{"quota":33333,"period":100000}}`, "", "34000 100000"},
		{`{"cpu":{"quota":600000,"period":900000}}`, "", "603000 900000"},
		{`{"cpu":{"quota":33333}}`, "", "34000 0"},
		{`{"cpu":{"quota":50000,"period":200000}}`, "", "50000 200000"},
		{`{"cpu":{"quota":-1,"period":900000}}`, "", "-1 900000"},
		{`{"cpu":{"quota":9223372036854775807,"period":7}}`, "", "9223372036854775807 7"},
		{`{"cpu":{"quota":15000000000000,"period":18446744073709551615}}`, "", "15000000000000 18446744073709551615"},
		{`{"cpu":{"period":900000}}`, "", "0 900000"},
		{`{"cpu":{"period":900000}}`, "500000 1000000", "504000 900000"},
		{`{"cpu":{"period":900000}}`, "max 1000000", "0 900000"},
		{`{"cpu":{"quota":7}}`, "1 1000000", "10000 0"},
		{`{"cpu":{"shares":7}}`, "1 1000000", "0 0"},
		{`{}`, "1 1000000", "none"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cpu.max"), []byte(c.now+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := systemd{backend: &v2{dir: newDir(dir)}}
		in := resources(t, c.doc)
		out, got := m.wholePercents(in, c.now != ""), "none"
		if cpu := out.CPU; cpu != nil {
			var quota int64
			var period uint64
			if cpu.Quota != nil {
				quota = *cpu.Quota
			}
			if cpu.Period != nil {
				period = *cpu.Period
			}
			got = fmt.Sprint(quota, period)
		}
		if got != c.want || !reflect.DeepEqual(in, resources(t, c.doc)) {
			t.Errorf("%s, %q: got %s, want %s", c.doc, c.now, got, c.want)
		}
	}
}

func TestAwake(t *testing.T) {
	for _, c := range []struct{ doc, now, want string }{
		{`{"cpu":{"shares":200}}`, "1", "CPUWeight=29"},
		{`{"unified":{"cpu.weight":"7"}}`, "1", "CPUWeight=7"},
		{`{"cpu":{"idle":1}}`, "1", "CPUWeight=0"},
		{`{"cpu":{"idle":0}}`, "1", "CPUWeight=100"},
		{`{"unified":{"cpu.idle":"0"}}`, "1", "CPUWeight=100"},
		{`{"cpu":{"idle":0,"shares":200}}`, "1", "CPUWeight=29"},
		{`{"cpu":{"idle":0}}`, "0", ""},
		{`{"pids":{"limit":7}}`, "1", "TasksMax=7"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cpu.idle"), []byte(c.now+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := systemd{backend: &v2{dir: newDir(dir)}}
		list, err := m.properties(m.awake(resources(t, c.doc)), true)
		if got := showProperties(list); got != c.want || err != nil {
			t.Errorf("%s, idle %s: got %s, %v, want %s", c.doc, c.now, got, err, c.want)
		}
	}
}

func TestAnnotatedProperties(t *testing.T) {
	list, err := annotatedProperties(map[string]string{
		"other":                              "x",
		annotationPrefix + "CollectMode":     "'inactive-or-failed'",
		annotationPrefix + "TimeoutStopSec":  "7",
		annotationPrefix + "RuntimeMaxSec":   "uint64 2",
		annotationPrefix + "MemoryHigh":      "uint64 4096",
		annotationPrefix + "After":           "['a.service']",
		annotationPrefix + "TimeoutStopUSec": "uint64 5",
		annotationPrefix + "JobTimeoutSec":   "0.5",
	})
	const want = "After=[a.service]; CollectMode=inactive-or-failed; JobTimeoutUSec=500000; MemoryHigh=4096; RuntimeMaxUSec=2000000; TimeoutStopUSec=7000000; TimeoutStopUSec=5"
	if got := showProperties(list); got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	for name, value := range map[string]string{
		"": "1", "ExecStartPre": "'x'", "PIDs": "[uint32 1]", "Slice": "'a.slice'", "Delegate": "false", "Wants": "['reboot.target']", "OnFailure": "['x.service']",
		"JobTimeoutAction": "'reboot'", "DevicePolicy": "'auto'", "DeviceAllow": "@as []", "BPFProgram": "'x'", "IPIngressFilterPath": "['/x']", "memoryMax": "1",
		"Memory Max": "1", "Memory/x": "1", "TimeoutStopSec": "'x'", "RuntimeMaxSec": "-1", "CollectMode": "inactive", "MemoryMax": "('a', 1)",
	} {
		_, err := annotatedProperties(map[string]string{annotationPrefix + name: value})
		if err == nil || !strings.Contains(err.Error(), "(/annotations/"+annotationPrefix) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeviceProperties(t *testing.T) {
	names := "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n"
	for want, r := range map[string]rule{
		"/dev/char/1:3": {kind: 'c', major: 1, minor: 3}, "/dev/block/8:0": {kind: 'b', major: 8}, "char-*": {kind: 'c', major: anyNumber, minor: anyNumber},
		"char-pts": {kind: 'c', major: 136, minor: anyNumber}, "block-sd": {kind: 'b', major: 8, minor: anyNumber},
	} {
		if got := r.node(names); got != want {
			t.Errorf("%s: %q", r.String(), got)
		}
	}
	for _, r := range []rule{{kind: 'c', major: 8, minor: anyNumber}, {kind: 'c', major: anyNumber, minor: 3}} {
		if got := r.node(names); got != "" {
			t.Errorf("%s: %q", r.String(), got)
		}
	}
	list, err := (&v1{}).deviceProperties(resources(t, `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"minor":1,"access":"r"}]}`).Devices)
	got := showProperties(list)
	if err != nil || !strings.HasPrefix(got, "DevicePolicy=strict; DeviceAllow=[]; DeviceAllow=[[/dev/block/8:1 r]") || !strings.Contains(got, "[char-* m] [block-* m]") || !strings.Contains(got, "[char-pts rw]") {
		t.Errorf("%s, %v", got, err)
	}
	list, err = (&v1{}).deviceProperties(resources(t, `{"devices":[{"allow":true,"access":"rwm"}]}`).Devices)
	if got := showProperties(list); got != "DevicePolicy=auto; DeviceAllow=[]" || err != nil {
		t.Errorf("all allowed: %s, %v", got, err)
	}
	list, err = (&v1{}).deviceProperties(resources(t, `{"devices":[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":1,"access":"rwm"}]}`).Devices)
	if got := showProperties(list); !strings.HasPrefix(got, "DevicePolicy=strict; DeviceAllow=[]; DeviceAllow=[[char-* m]") || err != nil {
		t.Errorf("all but one allowed: %s, %v", got, err)
	}
}

// On v1 systemd denies all devices for a moment and forgets what it does not know, with whatever it is told of the unit.
func TestToldV1(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	for _, c := range []string{"cpu", "devices", "freezer"} {
		if usualMount(c) == "" {
			t.Skipf("the controller %s is not mounted as v1", c)
		}
	}
	cfg := &Config{Path: scratch(t), Resources: resources(t, `{"cpu":{"quota":33000,"period":66000},"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","minor":77,"access":"r"}]}`)}
	m := create(t, cfg).(*v1)
	place(t, m)
	devices, quota, refused := file(t, m, "devices", "devices.list"), file(t, m, "cpu", "cpu.cfs_quota_us"), errors.New("refused")
	for _, want := range []error{nil, refused} {
		err := m.told(func() error {
			if got := file(t, m, "freezer", "freezer.state"); got != "FROZEN" {
				t.Errorf("while systemd writes, the processes are %s", got)
			}
			d := m.of("devices")
			return errors.Join(d.write("devices.deny", "a"), d.write("devices.allow", "c 1:3 rwm"), m.of("cpu").write("cpu.cfs_quota_us", "1000"), want)
		})
		if !errors.Is(err, want) {
			t.Errorf("told: %v, want %v", err, want)
		}
		if got := file(t, m, "devices", "devices.list"); !sameLines(got, devices) {
			t.Errorf("devices:\n%s\nwant\n%s", got, devices)
		}
		if got := file(t, m, "cpu", "cpu.cfs_quota_us"); want == nil && got != quota {
			t.Errorf("quota %s, want %s", got, quota)
		}
		if got := file(t, m, "freezer", "freezer.state"); got != "THAWED" {
			t.Errorf("afterwards the processes are %s", got)
		}
	}
}

func sameLines(a, b string) bool {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestNamedIn: what an older systemd does not know is found in its words.
func TestNamedIn(t *testing.T) {
	list := []property{{"MemoryMax", 0}, {"CPUQuotaPeriodUSec", 0}, {"CPUWeight", 0}}
	const prefix = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		name, message string
		want          int
	}{
		{prefix + "PropertyReadOnly", "Cannot set property CPUQuotaPeriodUSec, or unknown property.", 1},
		{prefix + "InvalidArgs", "Value specified in CPUWeight is out of range", 2},
		{prefix + "InvalidArgs", "Value specified in CPUWeightX is out of range", -1},
		{prefix + "AccessDenied", "Permission denied", -1},
		{managerName + ".UnitExists", "Unit MemoryMax already exists", -1},
	} {
		if got := namedIn(&dbus.Error{Name: c.name, Message: c.message}, list); got != c.want {
			t.Errorf("%s: %d", c.message, got)
		}
	}
}

func TestUnanswered(t *testing.T) {
	const prefix = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{unix.EPIPE, true},
		{fmt.Errorf("call StopUnit: %w", errors.New("the message bus has closed the connection")), true},
		{unix.ETIMEDOUT, false},
		{jobError("it ended as canceled"), false},
		{&dbus.Error{Name: managerName + ".NoSuchUnit"}, false},
		{&dbus.Error{Name: prefix + "AccessDenied"}, false},
		{&dbus.Error{Name: prefix + "NoReply"}, true},
		{&dbus.Error{Name: prefix + "NameHasNoOwner"}, true},
		{fmt.Errorf("call StopUnit: %w", &dbus.Error{Name: prefix + "Spawn.ChildExited"}), true},
	} {
		if got := unanswered(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// Nobody else's cgroup is taken for one below the unit's.
func TestAttachElsewhere(t *testing.T) {
	file, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, top := range []string{file.Name()[:len(file.Name())-1], "/elsewhere"} {
		m := systemd{backend: &v2{dir: newDir(top)}, unit: "a.scope"}
		if err := m.Attach(&Placement{Into: file}, 1); err == nil || !strings.Contains(err.Error(), file.Name()+" is not in a.scope") {
			t.Errorf("below %s: %v", top, err)
		}
	}
}
