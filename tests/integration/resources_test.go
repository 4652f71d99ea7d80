package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Limits, read back from the files of the container's cgroup.
func TestResources(t *testing.T) {
	r := &specs.LinuxResources{
		Memory:         &specs.LinuxMemory{Limit: value[int64](64 << 20), Reservation: value[int64](32 << 20), Swappiness: value[uint64](40)},
		CPU:            &specs.LinuxCPU{Shares: value[uint64](512), Quota: value[int64](30000), Period: value[uint64](60000), Cpus: "0", Mems: "0"},
		Pids:           &specs.LinuxPids{Limit: value[int64](33)},
		HugepageLimits: []specs.LinuxHugepageLimit{},
		Devices: []specs.LinuxDeviceCgroup{
			{Allow: false, Access: "rwm"},
			{Allow: true, Type: "c", Major: value[int64](10), Minor: value[int64](229), Access: "rw"},
		},
	}
	files := map[string]string{
		"memory/memory.limit_in_bytes": "67108864", "memory/memory.soft_limit_in_bytes": "33554432", "memory/memory.swappiness": "40",
		"cpu/cpu.shares": "512", "cpu/cpu.cfs_quota_us": "30000", "cpu/cpu.cfs_period_us": "60000", "cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0",
		"pids/pids.max": "33",
	}
	eachView(t, func(t *testing.T, v *view) {
		if v.v2 {
			controllers, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers")
			if err == nil && !strings.Contains(string(controllers), "memory") {
				t.Skipf("cgroup v2 has only the controllers %q here", strings.TrimSpace(string(controllers)))
			}
			files = map[string]string{
				"memory.max": "67108864", "memory.low": "33554432", "cpu.max": "30000 60000", "cpuset.cpus": "0", "pids.max": "33",
			}
			r.Memory.Swappiness = nil
		}
		b := newBundle(t, v)
		b.Linux.Resources = r
		b.detached("children", "3")
		for name, want := range files {
			dir, file := filepath.Split(name)
			path := filepath.Join("/sys/fs/cgroup", dir, v.cgroup(b.id), file)
			var data []byte
			err := v.do(func() (err error) { data, err = os.ReadFile(path); return err })
			if err != nil {
				t.Error(err)
				continue
			}
			equal(t, name, strings.TrimSpace(string(data)), want)
		}
		if !v.v2 {
			data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/devices", v.cgroup(b.id), "devices.list"))
			if err != nil {
				t.Error(err)
			}
			includes(t, "devices.list", strings.Split(strings.TrimSpace(string(data)), "\n"), "c 10:229 rw", "c 1:3 rw", "!a *:* rwm")
		}
		equal(t, "processes", len(pids(b)), 4)
		b.must("delete", "--force", b.id)
	})
}

// Huge pages are what cgroup v2 has even where v1 holds everything else.
func TestHugepages(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}
		path, want := filepath.Join("/sys/fs/cgroup", v.cgroup(b.id), "hugetlb.2MB.max"), "4194304"
		if err := v.do(func() error { _, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); return err }); !v.v2 || err != nil {
			t.Skip("the hugetlb controller is not where this test looks")
		}
		b.detached("wait")
		var data []byte
		if err := v.do(func() (err error) { data, err = os.ReadFile(path); return err }); err != nil {
			t.Error(err)
		}
		equal(t, path, strings.TrimSpace(string(data)), want)
		b.must("delete", "--force", b.id)
	})
}

// The limits hold.
func TestLimitsHold(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if v.v2 {
			if data, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers"); err == nil && !strings.Contains(string(data), "pids") {
				t.Skipf("cgroup v2 has only the controllers %q here", strings.TrimSpace(string(data)))
			}
		}
		b := newBundle(t, v)
		b.Linux.Resources.Pids = &specs.LinuxPids{Limit: value[int64](10)}
		b.Process.Args = []string{"/inside", "storm", "50"}
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stdout, "EAGAIN") {
			t.Errorf("50 processes with a limit of 10: %v", r)
		}
	})
}

// A limit that can't be set is an error with its place in config.json, and nothing is left.
func TestWrongResources(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"}
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "cpu") {
			t.Error(r)
		}
		b = newBundle(t, v)
		b.Linux.Resources.Unified = map[string]string{"nothing.max": "1"}
		r = b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "unified") {
			t.Error(r)
		}
	})
}
