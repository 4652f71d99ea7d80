package cgroups

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
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

// TestOOM lets a process run into its memory limit.
func TestOOM(t *testing.T) {
	if os.Geteuid() != 0 || usualMount("memory") == "" {
		t.Skip("needs root and the v1 memory controller")
	}
	m := create(t, &Config{Path: scratch(t), Resources: resources(t, `{"memory":{"limit":8388608,"swap":8388608}}`)})
	p, err := m.Place()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_ = inside(t, p, "exec head -c 100000000 /dev/zero | tail")
	if n, err := m.OOMKills(); n == 0 || err != nil {
		t.Errorf("oom kills: %d, %v", n, err)
	}
}
