package cgroups

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
	"husk/internal/linux"
)

// fixture makes a directory with files, given as blocks "== name" and content.
func fixture(t *testing.T, files string) string {
	t.Helper()
	dir := t.TempDir()
	for _, block := range strings.Split(files, "== ")[1:] {
		name, content, _ := strings.Cut(block, "\n")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// document is the statistics as a reader of the JSON finds them.
func document(t *testing.T, m Manager) map[string]any {
	t.Helper()
	s, err := m.Stats()
	if err != nil {
		t.Fatal(err)
	}
	var w jsonscan.Writer
	s.Append(&w, "")
	var doc map[string]any
	d := json.NewDecoder(strings.NewReader(string(w.Data)))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("%v: %s", err, w.Data)
	}
	return doc
}

// check compares members of a document with JSON texts: "cpu/usage" {"total":1}.
func check(t *testing.T, doc map[string]any, want map[string]string) {
	t.Helper()
	for pointer, text := range want {
		var at any = doc
		for name := range strings.SplitSeq(pointer, "/") {
			members, _ := at.(map[string]any)
			at = members[name]
		}
		var value any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(at, value) {
			got, _ := json.Marshal(at)
			t.Errorf("%s: %s, want %s", pointer, got, text)
		}
	}
}

const filesV2 = `== cgroup.controllers
cpuset cpu io memory hugetlb pids rdma misc
== cgroup.procs
== cpu.stat
usage_usec 30
user_usec 20
system_usec 10
nice_usec 0
nr_periods 4
nr_throttled 3
throttled_usec 2
nr_bursts 6
burst_usec 7
== cpu.pressure
some avg10=1.25 avg60=0.50 avg300=0.00 total=12345
full avg10=0.00 avg60=0.00 avg300=0.10 total=7
== irq.pressure
full avg10=3.00 avg60=0.00 avg300=0.00 total=8
== cpuset.cpus.effective
0-2,5
== cpuset.mems.effective
0
== memory.current
4096
== memory.max
max
== memory.peak
8192
== memory.swap.current
100
== memory.swap.max
200
== memory.swap.events
high 0
max 1
fail 2
== memory.stat
anon 1
file 2
new_thing 3
== memory.events
low 0
high 1
max 2
oom 3
oom_kill 4
oom_group_kill 5
== pids.current
3
== pids.max
max
== pids.peak
9
== pids.events
max 2
== io.stat
8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7 cost.wait=8 cost.indebt=9 cost.indelay=10
253:16 rbytes=11 wbytes=0 rios=13 wios=0 dbytes=0 dios=0 new=1
8:16
== io.pressure
some avg10=0.00 avg60=0.00 avg300=0.00 total=1
full avg10=0.00 avg60=0.00 avg300=0.00 total=1
== hugetlb.2MB.current
2097152
== hugetlb.2MB.max
4194304
== hugetlb.2MB.events
max 3
== hugetlb.2MB.rsvd.current
0
== hugetlb.2MB.rsvd.max
max
== rdma.current
mlx4_0 hca_handle=2 hca_object=2000
ocrdma1 hca_handle=3 hca_object=0
== rdma.max
mlx4_0 hca_handle=2 hca_object=max
ocrdma1 hca_handle=3 hca_object=max
== misc.current
res_a 3
res_b 0
== misc.max
res_a max
res_b 4
== misc.peak
res_a 10
== misc.events
res_a.max 0
res_b.max 1
`

func TestStatsV2(t *testing.T) {
	m, err := Load(State{Version: V2, Paths: map[string]string{"": fixture(t, filesV2)}})
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, m)
	check(t, doc, map[string]string{
		"cpu": `{"usage":{"total":30000,"kernel":10000,"user":20000},"throttling":{"periods":4,"throttledPeriods":3,"throttledTime":2000},
			"burst":{"burstPeriods":6,"burstTime":7000},
			"psi":{"some":{"avg10":1.25,"avg60":0.5,"avg300":0,"total":12345},"full":{"avg10":0,"avg60":0,"avg300":0.1,"total":7}}}`,
		"irqPsi/full/avg10": `3`,
		"cpuset":            `{"cpus":[0,1,2,5],"mems":[0]}`,
		"memory": `{"cache":2,"usage":{"limit":18446744073709551615,"usage":4096,"max":8192,"failcnt":0},
			"swap":{"limit":18446744073709551615,"usage":4196,"failcnt":0},"raw":{"anon":1,"file":2,"new_thing":3},
			"events":{"high":1,"max":2,"oom":3,"oom_kill":4,"oom_group_kill":5},"swapEvents":{"high":0,"max":1,"fail":2}}`,
		"pids": `{"current":3,"peak":9,"events":{"max":2}}`,
		"blkio/ioServiceBytesRecursive": `[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2},{"major":8,"op":"Discard","value":5},
			{"major":253,"minor":16,"op":"Read","value":11},{"major":253,"minor":16,"op":"Write"},{"major":253,"minor":16,"op":"Discard"}]`,
		"blkio/ioCostUsage":    `[{"major":8,"op":"Count","value":7}]`,
		"blkio/ioCostWait":     `[{"major":8,"op":"Count","value":8}]`,
		"blkio/ioCostIndebt":   `[{"major":8,"op":"Count","value":9}]`,
		"blkio/ioCostIndelay":  `[{"major":8,"op":"Count","value":10}]`,
		"blkio/psi/some/total": `1`,
		"rdma": `{"mlx4_0":{"current":{"hca_handle":2,"hca_object":2000},"limit":{"hca_handle":2,"hca_object":18446744073709551615}},
			"ocrdma1":{"current":{"hca_handle":3,"hca_object":0},"limit":{"hca_handle":3,"hca_object":18446744073709551615}}}`,
		"misc":               `{"res_a":{"usage":3,"peak":10,"limit":18446744073709551615,"events":0},"res_b":{"usage":0,"limit":4,"events":1}}`,
		"intel_rdt":          `{}`,
		"network_interfaces": `null`,
	})
	if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-2048kB"); err != nil {
		t.Skipf("without huge pages of 2 MB: %v", err)
	}
	check(t, doc, map[string]string{
		"hugetlb": `{"2MB":{"failcnt":3,"used":{"limit":4194304,"usage":2097152,"failcnt":3},"rsvd":{"limit":18446744073709551615,"failcnt":3}}}`,
	})
}

// Without controllers there are the members that runc's clients count on, and no others.
func TestStatsBare(t *testing.T) {
	m, err := Load(State{Version: V2, Paths: map[string]string{"": fixture(t, "== cgroup.controllers\n\n== cgroup.procs\n1\n2\n")}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Stats()
	if err != nil {
		t.Fatal(err)
	}
	var w jsonscan.Writer
	s.Append(&w, "")
	want := `{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{},"burst":{}},"memory":{},"pids":{"current":2},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}`
	if string(w.Data) != want {
		t.Errorf("%s\nwant\n%s", w.Data, want)
	}
	if _, err := (&v2{absent: true}).Stats(); err == nil {
		t.Error("statistics of no cgroup")
	}
	for _, version := range []string{V1, V2} {
		m, err := Load(State{Version: version, Paths: map[string]string{"": "/sys/fs/cgroup/none-of-husk"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Stats(); !isGone(err) {
			t.Errorf("statistics of a cgroup that is gone: %v", err)
		}
	}
}

const filesV1 = `== cpuacct.usage
30
== cpuacct.stat
user 2
system 1
== cpuacct.usage_percpu
10 20 
== cpuacct.usage_all
cpu user system
0 7 3
1 15 5
== cpu.stat
nr_periods 4
nr_throttled 3
throttled_time 2
nr_bursts 6
burst_time 7
== cpuset.cpus
0,2-3
== cpuset.mems
0
== cpuset.cpu_exclusive
1
== cpuset.sched_relax_domain_level
-1
== memory.usage_in_bytes
4096
== memory.max_usage_in_bytes
8192
== memory.limit_in_bytes
9223372036854771712
== memory.failcnt
5
== memory.memsw.usage_in_bytes
4097
== memory.memsw.max_usage_in_bytes
8193
== memory.memsw.limit_in_bytes
9223372036854771712
== memory.memsw.failcnt
6
== memory.kmem.usage_in_bytes
1
== memory.stat
cache 7
rss 8
== memory.oom_control
oom_kill_disable 0
under_oom 0
oom_kill 2
== pids.current
3
== pids.max
10
== blkio.bfq.io_service_bytes_recursive
Total 0
== blkio.throttle.io_service_bytes_recursive
8:0 Read 1
8:0 Total 1
Total 1
== blkio.throttle.io_serviced_recursive
8:0 Read 2
Total 2
== hugetlb.2MB.usage_in_bytes
2097152
== hugetlb.2MB.max_usage_in_bytes
4194304
== hugetlb.2MB.limit_in_bytes
9223372036852678656
== hugetlb.2MB.failcnt
3
== hugetlb.2MB.rsvd.usage_in_bytes
0
== hugetlb.2MB.rsvd.limit_in_bytes
8388608
== hugetlb.2MB.rsvd.failcnt
4
== rdma.current
mlx4_0 hca_handle=2 hca_object=2000
== rdma.max
mlx4_0 hca_handle=2 hca_object=max
== misc.current
res_a 3
== misc.max
res_a 4
`

func TestStatsV1(t *testing.T) {
	paths := map[string]string{}
	dir := fixture(t, filesV1)
	for _, name := range []string{"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "rdma", "misc"} {
		paths[name] = dir
	}
	m, err := Load(State{Version: V1, Paths: paths})
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, m)
	check(t, doc, map[string]string{
		"rdma": `{"mlx4_0":{"current":{"hca_handle":2,"hca_object":2000},"limit":{"hca_handle":2,"hca_object":18446744073709551615}}}`,
		"misc": `{"res_a":{"usage":3,"limit":4,"events":0}}`,
		"cpu": `{"usage":{"total":30,"percpu":[10,20],"percpu_kernel":[3,5],"percpu_user":[7,15],"kernel":10000000,"user":20000000},
			"throttling":{"periods":4,"throttledPeriods":3,"throttledTime":2},"burst":{"burstPeriods":6,"burstTime":7}}`,
		"cpuset": `{"cpus":[0,2,3],"mems":[0],"cpu_exclusive":1,"sched_relax_domain_level":-1}`,
		"memory": `{"cache":7,"usage":{"limit":9223372036854771712,"usage":4096,"max":8192,"failcnt":5},
			"swap":{"limit":9223372036854771712,"usage":4097,"max":8193,"failcnt":6},"kernel":{"limit":0,"usage":1,"failcnt":0},
			"raw":{"cache":7,"rss":8},"events":{"oom_kill":2}}`,
		"pids":  `{"current":3,"limit":10}`,
		"blkio": `{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Total","value":1}],"ioServicedRecursive":[{"major":8,"op":"Read","value":2}]}`,
	})
	if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-2048kB"); err != nil {
		t.Skipf("without huge pages of 2 MB: %v", err)
	}
	check(t, doc, map[string]string{
		"hugetlb": `{"2MB":{"failcnt":4,"used":{"limit":9223372036852678656,"usage":2097152,"max":4194304,"failcnt":3},"rsvd":{"limit":8388608,"failcnt":4}}}`,
	})
}

// What real files say about a real process.
func TestStatsLive(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		p := placement(t, m)
		shell(t, p, "while :; do :; done")
		var s *Stats
		for end := time.Now().Add(10 * time.Second); ; {
			var err error
			if s, err = m.Stats(); err != nil {
				t.Fatal(err)
			}
			if s.CPU != nil && s.CPU.Total > 0 || time.Now().After(end) {
				break
			}
		}
		if s.CPU == nil || s.CPU.Total == 0 || s.Pids == nil || s.Pids.Current != 1 {
			t.Errorf("a busy process: %+v, %+v", s.CPU, s.Pids)
		}
		if s.Memory != nil && (s.Memory.Usage == nil || s.Memory.Usage.Usage == 0 || s.Memory.Raw == nil || s.Memory.Usage.Limit < 1<<40) {
			t.Errorf("memory: %+v", s.Memory)
		}
		if _, err := os.Stat("/proc/pressure/cpu"); err == nil && m.State().Paths[""] != "" && s.CPUPressure == nil {
			t.Error("no pressure")
		}
		document(t, m)
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
	})
}

// In the trees of machines with v1 hierarchies, v2 has no memory controller: there is nothing to watch then.
func TestWatchOOM(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		w, err := m.WatchOOM()
		if err != nil {
			t.Fatal(err)
		}
		if w == nil {
			t.Skip("no memory controller here")
		}
		if err := m.Set(resources(t, `{"memory":{"limit":8388608,"swap":8388608}}`)); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if killed, err := w.Happened(); killed || err != nil {
			t.Errorf("before: %v, %v", killed, err)
		}
		p := placement(t, m)
		hog := shell(t, p, "exec tail /dev/zero")
		if ready, err := linux.Poll([]unix.PollFd{w.Poll}, 20*time.Second); !ready || err != nil {
			t.Fatalf("no event: %v", err)
		}
		if killed, err := w.Happened(); !killed || err != nil {
			t.Errorf("after: %v, %v", killed, err)
		}
		hog.Wait()
		if n, err := m.OOMKills(); n == 0 || err != nil {
			t.Errorf("killed %d, %v", n, err)
		}
		for { // v1 may say it twice
			if killed, err := w.Happened(); err != nil {
				t.Fatal(err)
			} else if !killed {
				break
			}
		}
	})
}

func TestWatchEvents(t *testing.T) {
	dir := fixture(t, "== memory.events\nlow 0\noom 7\noom_kill 3\n")
	w, err := watchEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, step := range []struct {
		file string
		want bool
	}{
		{"low 0\noom 8\noom_kill 3\n", false},
		{"low 0\noom 8\noom_kill 5\n", true},
		{"low 1\noom 8\noom_kill 5\n", false},
	} {
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(step.file), 0o644); err != nil {
			t.Fatal(err)
		}
		if killed, err := w.Happened(); killed != step.want || err != nil {
			t.Errorf("%q: %v, %v", step.file, killed, err)
		}
	}
	if w, err := watchEvents(t.TempDir()); w != nil || err != nil {
		t.Errorf("without controller: %v, %v", w, err)
	}
}

// The file of a cgroup that was removed under its watch is always ready, so who waits has to learn of it.
func TestWatchRemoved(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		dir := create(t, &Config{Path: scratch(t)}).State().Paths[""]
		if dir == "" {
			t.Skip("the host has no cgroup v2")
		}
		below := newDir(dir + "/below")
		if err := os.Mkdir(below.path, 0o755); err != nil {
			t.Fatal(err)
		}
		fd, err := below.file("cgroup.events", unix.O_RDONLY) // memory.events may be v1's
		below.close()
		if err != nil {
			t.Fatal(err)
		}
		w := OOMWatch{Poll: unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI}, dir: below, source: -1}
		defer w.Close()
		if killed, err := w.Happened(); killed || err != nil {
			t.Errorf("before: %v, %v", killed, err)
		}
		if err := os.Remove(below.path); err != nil {
			t.Fatal(err)
		}
		if ready, err := linux.Poll([]unix.PollFd{w.Poll}, 20*time.Second); !ready || err != nil {
			t.Errorf("no event: %v", err)
		}
		if killed, err := w.Happened(); killed || !isGone(err) {
			t.Errorf("after: %v, %v", killed, err)
		}
	})
}
