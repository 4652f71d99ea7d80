package cgroups

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func resources(t testing.TB, doc string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(doc), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// show prints settings as "file=value", with the marks that steer their writing: ? optional, ~ no-op, ! retried, | alternative.
func show(list []setting) string {
	var out []string
	for _, s := range list {
		o := s.file + "=" + s.value
		if s.alt != "" {
			o += "|" + s.alt + "=" + s.altValue
		}
		for _, m := range []struct {
			on   bool
			mark string
		}{{s.optional, "?"}, {s.noop, "~"}, {s.retry, "!"}} {
			if m.on {
				o += m.mark
			}
		}
		out = append(out, o)
	}
	return strings.Join(out, "; ")
}

// Those of a new cgroup.
func settingsOnV1(r *specs.LinuxResources) ([]setting, error) { return settingsV1(r, false) }
func settingsOnV2(r *specs.LinuxResources) ([]setting, error) { return settingsV2(r, "max") }

func TestSettings(t *testing.T) {
	const none = ""
	tests := []struct {
		name, doc string
		v1, v2    string // "error: TEXT" for an error that holds TEXT
	}{
		{"nothing", `{}`, none, none},
		{"what docker always sends", `{"memory":{"disableOOMKiller":false},"cpu":{"shares":0},"blockIO":{"weight":0}}`, none, none},
		{"zeros", `{"memory":{"limit":0,"swap":0,"reservation":0,"kernel":0,"kernelTCP":0},"cpu":{"quota":0,"period":0,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"","mems":""},"network":{"classID":0,"priorities":[]},"blockIO":{"leafWeight":0},"pids":{}}`, none, none},

		{"limit", `{"memory":{"limit":67108864}}`, "memory.limit_in_bytes=67108864", "memory.max=67108864"},
		{
			"limit and swap", `{"memory":{"limit":67108864,"swap":134217728}}`,
			"memory.limit_in_bytes=67108864!; memory.memsw.limit_in_bytes=134217728", "memory.swap.max=67108864; memory.max=67108864",
		},
		{
			"no swap", `{"memory":{"limit":67108864,"swap":67108864}}`,
			"memory.limit_in_bytes=67108864!; memory.memsw.limit_in_bytes=67108864", "memory.swap.max=0?; memory.max=67108864",
		},
		{
			"unlimited", `{"memory":{"limit":-1}}`,
			"memory.limit_in_bytes=-1~!; memory.memsw.limit_in_bytes=-1?~", "memory.swap.max=max?~; memory.max=max~",
		},
		{
			"unlimited swap", `{"memory":{"limit":5,"swap":-1}}`,
			"memory.limit_in_bytes=5!; memory.memsw.limit_in_bytes=-1?~", "memory.swap.max=max?~; memory.max=5",
		},
		{"swap below limit", `{"memory":{"limit":5,"swap":4}}`, "memory.limit_in_bytes=5!; memory.memsw.limit_in_bytes=4", "error: (/linux/resources/memory/swap)"},
		{"swap alone", `{"memory":{"swap":4}}`, "memory.memsw.limit_in_bytes=4", "error: (/linux/resources/memory/swap)"},
		{"reservation", `{"memory":{"reservation":4096}}`, "memory.soft_limit_in_bytes=4096", "memory.low=4096"},
		{"kernel is ignored", `{"memory":{"kernel":4096}}`, none, none},
		{"kernelTCP", `{"memory":{"kernelTCP":4096}}`, "memory.kmem.tcp.limit_in_bytes=4096", "error: (/linux/resources/memory/kernelTCP)"},
		{"useHierarchy", `{"memory":{"useHierarchy":true}}`, none, none},
		{"useHierarchy off", `{"memory":{"useHierarchy":false}}`, "error: (/linux/resources/memory/useHierarchy)", "error: (/linux/resources/memory/useHierarchy)"},
		{"swappiness", `{"memory":{"swappiness":60}}`, "memory.swappiness=60", "error: (/linux/resources/memory/swappiness)"},
		{"swappiness 0", `{"memory":{"swappiness":0}}`, "memory.swappiness=0", "error: (/linux/resources/memory/swappiness)"},
		{"swappiness -1", `{"memory":{"swappiness":18446744073709551615}}`, none, none},
		{"swappiness 101", `{"memory":{"swappiness":101}}`, "error: (/linux/resources/memory/swappiness)", "error: swappiness"},
		{"oom killer", `{"memory":{"disableOOMKiller":true}}`, "memory.oom_control=1", "error: (/linux/resources/memory/disableOOMKiller)"},

		{"shares", `{"cpu":{"shares":512}}`, "cpu.shares=512", "cpu.weight=59"},
		{"default shares", `{"cpu":{"shares":1024}}`, "cpu.shares=1024~", "cpu.weight=100~"},
		{"shares 1", `{"cpu":{"shares":1}}`, "error: the minimum allowed cpu-shares is 2", "cpu.weight=1"},
		{"shares too many", `{"cpu":{"shares":262145}}`, "error: the maximum allowed cpu-shares is 262144", "cpu.weight=10000"},
		{
			"quota and period", `{"cpu":{"quota":50000,"period":200000}}`,
			"cpu.cfs_period_us=200000!; cpu.cfs_quota_us=50000", "cpu.max=50000 200000",
		},
		{"quota", `{"cpu":{"quota":50000}}`, "cpu.cfs_quota_us=50000", "cpu.max=50000"},
		{"no quota", `{"cpu":{"quota":-1}}`, "cpu.cfs_quota_us=-1~", "cpu.max=max~"},
		{"period", `{"cpu":{"period":100000}}`, "cpu.cfs_period_us=100000~", "cpu.max=max 100000~"},
		{
			"burst", `{"cpu":{"quota":50000,"burst":10000}}`,
			"cpu.cfs_burst_us=10000!; cpu.cfs_quota_us=50000", "cpu.max=50000!; cpu.max.burst=10000",
		},
		{"real time", `{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":9}}`, "cpu.rt_period_us=1000000!; cpu.rt_runtime_us=9", "error: (/linux/resources/cpu/realtimePeriod)"},
		{"going idle", `{"cpu":{"shares":2,"idle":1}}`, "cpu.shares=2; cpu.idle=1", "cpu.weight=1; cpu.idle=1"},
		{"leaving idle", `{"cpu":{"shares":2,"idle":0}}`, "cpu.idle=0~; cpu.shares=2", "cpu.idle=0~; cpu.weight=1"},
		{"cpuset", `{"cpu":{"cpus":"0-1","mems":"0"}}`, "cpuset.cpus=0-1; cpuset.mems=0", "cpuset.cpus=0-1; cpuset.mems=0"},

		{"pids", `{"pids":{"limit":33}}`, "pids.max=33", "pids.max=33"},
		{"pids 0", `{"pids":{"limit":0}}`, "pids.max=1", "pids.max=1"},
		{"pids -1", `{"pids":{"limit":-1}}`, "pids.max=max~", "pids.max=max~"},

		{"io weight", `{"blockIO":{"weight":500}}`, "blkio.weight=500|blkio.bfq.weight=500", "io.bfq.weight=500|io.weight=4950"},
		{"io weight 9", `{"blockIO":{"weight":9}}`, "error: (/linux/resources/blockIO/weight)", "error: (/linux/resources/blockIO/weight)"},
		{"leaf weight", `{"blockIO":{"leafWeight":500}}`, "blkio.leaf_weight=500", "error: (/linux/resources/blockIO/leafWeight)"},
		{
			"device weight", `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}}`,
			"blkio.weight_device=8:0 10|blkio.bfq.weight_device=8:0 10", "io.bfq.weight=8:0 10|io.weight=8:0 1",
		},
		{
			"device leaf weight", `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}`,
			"blkio.leaf_weight_device=8:0 10", "error: (/linux/resources/blockIO/weightDevice/0/leafWeight)",
		},
		{
			"throttles", `{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}`,
			"blkio.throttle.read_bps_device=8:0 600; blkio.throttle.write_iops_device=8:16 0", "io.max=8:0 rbps=600; io.max=8:16 wiops=max",
		},
		{"negative device", `{"blockIO":{"throttleReadBpsDevice":[{"major":-1,"minor":0,"rate":600}]}}`, "error: ReadBpsDevice/0)", "error: ReadBpsDevice/0)"},

		{
			"huge pages", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			"hugetlb.2MB.limit_in_bytes=4194304; hugetlb.2MB.rsvd.limit_in_bytes=4194304?", "hugetlb.2MB.max=4194304; hugetlb.2MB.rsvd.max=4194304?",
		},
		{"network", `{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}`, "net_cls.classid=1048577; net_prio.ifpriomap=eth0 5", "error: (/linux/resources/network/classID)"},
		{"priorities", `{"network":{"priorities":[{"name":"eth0","priority":5}]}}`, "net_prio.ifpriomap=eth0 5", "error: (/linux/resources/network/priorities)"},
		{"interface name", `{"network":{"priorities":[{"name":"a b","priority":5}]}}`, "error: priorities/0/name)", "error: priorities)"},
		{
			"rdma", `{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"mlx4_0":{"hcaObjects":1},"unset":{}}}`,
			"rdma.max=mlx4_0 hca_object=1; rdma.max=mlx5_1 hca_handle=3 hca_object=10000", "rdma.max=mlx4_0 hca_object=1; rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
		},
		{"rdma name", `{"rdma":{"a/b":{"hcaHandles":3}}}`, "error: /rdma/a~1b)", "error: /rdma/a~1b)"},
		{"unified", `{"unified":{"memory.high":"5","hugetlb.1GB.max":"0","io.max":"8:0 rbps=1\n8:1 rbps=2\n"}}`, "error: invalid configuration", "hugetlb.1GB.max=0; io.max=8:0 rbps=1; io.max=8:1 rbps=2; memory.high=5"},
		{
			"unified has the last word", `{"memory":{"limit":5,"reservation":4},"pids":{"limit":3},"cpu":{"shares":512,"quota":7},"unified":{"memory.max":"6","cpu.max":"5 50000","memory.high":"9"}}`,
			"error: invalid configuration", "pids.max=3; cpu.weight=59; memory.low=4; cpu.max=5 50000; memory.high=9; memory.max=6",
		},
		{
			"what can't be taken back is last", `{"cpu":{"cpus":"0","shares":512},"memory":{"limit":5},"pids":{"limit":3},"unified":{"cpuset.mems":"0","memory.high":"9"}}`,
			"error: invalid configuration", "pids.max=3; cpu.weight=59; memory.high=9; cpuset.cpus=0; cpuset.mems=0; memory.max=5",
		},
		{
			"unified beside devices", `{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}]},"unified":{"io.max":"8:0 wbps=1"}}`,
			"error: invalid configuration", "io.max=8:0 rbps=600; io.max=8:0 wbps=1",
		},
		{"unified core", `{"unified":{"cgroup.max.descendants":"5"}}`, "error: unified", "cgroup.max.descendants=5"},
	}
	for _, name := range []string{"../x", "a/b", "memory", ".max", "memory.", "memory..max", "a.b\u0000", "a.b\nc", "cgroup.procs", "cgroup.kill", "cgroup.subtree_control", "cgroup.freeze", strings.Repeat("a.", 2500)} {
		doc, _ := json.Marshal(map[string]any{"unified": map[string]string{name: "1"}})
		tests = append(tests, struct{ name, doc, v1, v2 string }{"unified name", string(doc), "error: unified", "error: (/linux/resources/unified/"})
	}
	for _, size := range []string{"", "MB", "2MiB", "02MB", "2mb", "2TB", "../2MB", "2MB/x", "2MB\u0000", "2MB\n", "-2MB", strings.Repeat("9", 5000) + "MB"} {
		doc, _ := json.Marshal(map[string]any{"hugepageLimits": []map[string]any{{"pageSize": size, "limit": 1}}})
		tests = append(tests, struct{ name, doc, v1, v2 string }{"page size", string(doc), "error: hugepageLimits/0/pageSize)", "error: hugepageLimits/0/pageSize)"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := resources(t, tt.doc)
			for _, v := range []struct {
				name, want string
				f          func(*specs.LinuxResources) ([]setting, error)
			}{{"v1", tt.v1, settingsOnV1}, {"v2", tt.v2, settingsOnV2}} {
				list, err := v.f(r)
				if text, ok := strings.CutPrefix(v.want, "error: "); ok {
					if err == nil || !strings.Contains(err.Error(), text) {
						t.Errorf("%s: got error %v, want one with %q", v.name, err, text)
					}
				} else if got := show(list); err != nil || got != v.want {
					t.Errorf("%s: got %q, %v; want %q", v.name, got, err, v.want)
				}
			}
		})
	}
}

func TestWeightFromShares(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 1: 1, 2: 1, 3: 2, 512: 59, 1024: 100, 2048: 174, 262143: 9999, 262144: 10000, math.MaxUint64: 10000} {
		if got := weightFromShares(shares); got != want && !(shares == 262143 && got == 10000) {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for s := uint64(2); s <= 262144; s++ {
		w := weightFromShares(s)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("%d shares: weight %d after %d", s, w, last)
		}
		last = w
	}
}

// fake makes a directory with files that stand for a cgroup. A plain file keeps the last write.
func fake(t *testing.T, files ...string) dir {
	t.Helper()
	d := newDir(t.TempDir())
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(d.path, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(d.close)
	return d
}

func TestApply(t *testing.T) {
	lacks := func(s setting) error { return fmt.Errorf("no %s", s.controller) }
	d := fake(t, "io.weight")
	find := func(c string) *dir {
		if c == "memory" {
			return nil
		}
		return &d
	}
	if err := apply([]setting{
		{controller: "memory", file: "memory.max", value: "max", noop: true},
		{controller: "io", file: "io.missing", value: "1", optional: true},
		{controller: "io", file: "io.absent", value: "1", noop: true},
		{controller: "io", file: "io.bfq.weight", value: "1", alt: "io.weight", altValue: "2"},
	}, find, lacks, nil); err != nil {
		t.Fatal(err)
	}
	if s, err := d.read("io.weight"); s != "2" || err != nil {
		t.Errorf("io.weight holds %q, %v", s, err)
	}
	for _, s := range []setting{{controller: "memory", file: "memory.max"}, {controller: "io", file: "io.max"}} {
		if err := apply([]setting{s}, find, lacks, nil); err == nil || err.Error() != "no "+s.controller {
			t.Errorf("%s: %v", s.file, err)
		}
	}
}

// TestFileStaysInside tries names that a grammar might let through one day.
func TestFileStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := fake(t, "file")
	if err := os.Symlink(outside, d.path+"/link"); err != nil {
		t.Fatal(err)
	}
	rel, _ := filepath.Rel(d.path, outside)
	for _, name := range []string{outside, rel, "link", "../" + filepath.Base(d.path) + "/file", "/proc/self/comm", strings.Repeat("x", 5000), ""} {
		if err := d.write(name, "x"); err == nil {
			t.Errorf("write to %.60q: no error", name)
		}
	}
	if data, _ := os.ReadFile(outside); len(data) > 0 {
		t.Error("a write got out")
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"unified":{"memory.max":"1"},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"a":{"hcaHandles":1}}}`))
	f.Add([]byte(`{"memory":{"limit":1,"swap":2},"cpu":{"shares":3,"quota":-5},"network":{"priorities":[{"name":"lo","priority":1}]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var r specs.LinuxResources
		if json.Unmarshal(doc, &r) != nil {
			return
		}
		for _, convert := range []func(*specs.LinuxResources) ([]setting, error){settingsOnV1, settingsOnV2} {
			list, err := convert(&r)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n\x00") || !strings.Contains(err.Error(), resourcesAt) {
					t.Errorf("error %q", err)
				}
				continue
			}
			for _, s := range list {
				controller, _, _ := strings.Cut(s.file, ".")
				if strings.ContainsAny(s.file, "/\n\x00 ") || len(s.file) > 255 || slices.Contains([]string{"cgroup.procs", "cgroup.kill", "..", "."}, s.file) {
					t.Errorf("file name %q", s.file)
				}
				if controller != s.controller && s.controller != "io" {
					t.Errorf("%q belongs to %q", s.file, s.controller)
				}
			}
		}
	})
}

// The kernel takes no weight for a cgroup that is idle: it is made so after that, and awake before.
func TestWeightAndIdle(t *testing.T) {
	for idle, want := range map[string][]string{"1": {"cpu.weight", "cpu.idle"}, "0": {"cpu.idle", "cpu.weight"}} {
		for _, doc := range []string{`{"unified":{"cpu.weight":"8","cpu.idle":"` + idle + `"}}`, `{"cpu":{"shares":200,"idle":` + idle + `}}`, `{"cpu":{"shares":200},"unified":{"cpu.idle":"` + idle + `"}}`} {
			list, err := settingsV2(resources(t, doc), "max")
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, s := range list {
				files = append(files, s.file)
			}
			if !slices.Equal(files, want) {
				t.Errorf("%s: %q, want %q", doc, files, want)
			}
		}
	}
}
