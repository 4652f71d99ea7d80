package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A limit is what a file of the container's cgroup says after create and after an update. On v1 the file comes with the name of
// its hierarchy; a file that lists keys is meant with the line of one: "io.max 8:0".
type limitFile struct{ file, created, updated string }

// resource is one field of linux.resources. Where one of its files is missing, or it has none in this version of cgroups, it must
// be refused by its name. DISK stands for the numbers of a disk in JSON, DEV for the same in the files.
type resource struct {
	name            string
	created, update string // members of linux.resources
	v1, v2          []limitFile
	either          bool   // one of the files is enough
	at              string // the place that a refusal names
}

var resourceTable = []resource{
	{
		"memory.limit", `"memory":{"limit":67108864}`, `"memory":{"limit":33554432}`,
		[]limitFile{{"memory/memory.limit_in_bytes", "67108864", "33554432"}},
		[]limitFile{{"memory.max", "67108864", "33554432"}},
		false, "/memory/limit",
	},
	{
		"memory.limit off", `"memory":{"limit":67108864}`, `"memory":{"limit":-1}`,
		[]limitFile{{"memory/memory.limit_in_bytes", "67108864", "9223372036854771712"}},
		[]limitFile{{"memory.max", "67108864", "max"}},
		false, "/memory/limit",
	},
	{
		"memory.swap", `"memory":{"limit":67108864,"swap":134217728}`, `"memory":{"limit":268435456,"swap":536870912}`,
		[]limitFile{{"memory/memory.memsw.limit_in_bytes", "134217728", "536870912"}, {"memory/memory.limit_in_bytes", "67108864", "268435456"}},
		[]limitFile{{"memory.swap.max", "67108864", "268435456"}, {"memory.max", "67108864", "268435456"}},
		false, "/memory/",
	},
	{
		"memory.swap down", `"memory":{"limit":268435456,"swap":536870912}`, `"memory":{"limit":67108864,"swap":134217728}`,
		[]limitFile{{"memory/memory.memsw.limit_in_bytes", "536870912", "134217728"}, {"memory/memory.limit_in_bytes", "268435456", "67108864"}},
		[]limitFile{{"memory.swap.max", "268435456", "67108864"}, {"memory.max", "268435456", "67108864"}},
		false, "/memory/",
	},
	{
		"memory.limit below memory.swap", `"memory":{"limit":67108864,"swap":134217728}`, `"memory":{"limit":33554432}`,
		[]limitFile{{"memory/memory.memsw.limit_in_bytes", "134217728", "134217728"}, {"memory/memory.limit_in_bytes", "67108864", "33554432"}},
		[]limitFile{{"memory.swap.max", "67108864", "100663296"}, {"memory.max", "67108864", "33554432"}},
		false, "/memory/",
	},
	{
		"memory.reservation", `"memory":{"reservation":33554432}`, `"memory":{"reservation":16777216}`,
		[]limitFile{{"memory/memory.soft_limit_in_bytes", "33554432", "16777216"}},
		[]limitFile{{"memory.low", "33554432", "16777216"}},
		false, "/memory/reservation",
	},
	{
		"memory.kernelTCP", `"memory":{"kernelTCP":16777216}`, `"memory":{"kernelTCP":33554432}`,
		[]limitFile{{"memory/memory.kmem.tcp.limit_in_bytes", "16777216", "33554432"}},
		nil, false, "/memory/kernelTCP",
	},
	{
		"memory.swappiness", `"memory":{"swappiness":40}`, `"memory":{"swappiness":0}`,
		[]limitFile{{"memory/memory.swappiness", "40", "0"}},
		nil, false, "/memory/swappiness",
	},
	{
		"memory.disableOOMKiller", `"memory":{"disableOOMKiller":true}`, `"memory":{"disableOOMKiller":false}`,
		[]limitFile{{"memory/memory.oom_control oom_kill_disable", "1", "0"}},
		nil, false, "/memory/disableOOMKiller",
	},
	{"memory.useHierarchy", `"memory":{"useHierarchy":false}`, ``, nil, nil, false, "/memory/useHierarchy"},
	{
		"cpu.shares", `"cpu":{"shares":512}`, `"cpu":{"shares":2048}`,
		[]limitFile{{"cpu/cpu.shares", "512", "2048"}},
		[]limitFile{{"cpu.weight", "59", "174"}},
		false, "/cpu/shares",
	},
	{
		"cpu.quota and period", `"cpu":{"quota":30000,"period":60000}`, `"cpu":{"quota":5000,"period":10000}`,
		[]limitFile{{"cpu/cpu.cfs_quota_us", "30000", "5000"}, {"cpu/cpu.cfs_period_us", "60000", "10000"}},
		[]limitFile{{"cpu.max", "30000 60000", "5000 10000"}},
		false, "/cpu/",
	},
	{
		"cpu.period alone", `"cpu":{"quota":30000,"period":60000}`, `"cpu":{"period":100000}`,
		[]limitFile{{"cpu/cpu.cfs_quota_us", "30000", "30000"}, {"cpu/cpu.cfs_period_us", "60000", "100000"}},
		[]limitFile{{"cpu.max", "30000 60000", "30000 100000"}},
		false, "/cpu/",
	},
	{
		"cpu.quota off", `"cpu":{"quota":30000,"period":60000}`, `"cpu":{"quota":-1}`,
		[]limitFile{{"cpu/cpu.cfs_quota_us", "30000", "-1"}, {"cpu/cpu.cfs_period_us", "60000", "60000"}},
		[]limitFile{{"cpu.max", "30000 60000", "max 60000"}},
		false, "/cpu/",
	},
	{
		"cpu.burst", `"cpu":{"quota":30000,"burst":10000}`, `"cpu":{"quota":60000,"burst":50000}`,
		[]limitFile{{"cpu/cpu.cfs_burst_us", "10000", "50000"}},
		[]limitFile{{"cpu.max.burst", "10000", "50000"}},
		false, "/cpu/",
	},
	{
		"cpu.realtimeRuntime and Period", `"cpu":{"realtimeRuntime":5000,"realtimePeriod":1000000}`, `"cpu":{"realtimeRuntime":1000,"realtimePeriod":10000}`,
		[]limitFile{{"cpu/cpu.rt_runtime_us", "5000", "1000"}, {"cpu/cpu.rt_period_us", "1000000", "10000"}},
		nil, false, "/cpu/realtime",
	},
	{
		"cpu.cpus and mems", `"cpu":{"cpus":"0","mems":"0"}`, `"cpu":{"cpus":"CPUS"}`,
		[]limitFile{{"cpuset/cpuset.cpus", "0", "CPUS"}, {"cpuset/cpuset.mems", "0", "0"}},
		[]limitFile{{"cpuset.cpus", "0", "CPUS"}, {"cpuset.mems", "0", "0"}},
		false, "/cpu/cpus",
	},
	{
		"cpu.idle", `"cpu":{"idle":1}`, `"cpu":{"idle":0,"shares":512}`,
		[]limitFile{{"cpu/cpu.idle", "1", "0"}},
		[]limitFile{{"cpu.idle", "1", "0"}, {"cpu.weight", "", "59"}},
		false, "/cpu/idle",
	},
	{
		"pids.limit", `"pids":{"limit":33}`, `"pids":{"limit":-1}`,
		[]limitFile{{"pids/pids.max", "33", "max"}},
		[]limitFile{{"pids.max", "33", "max"}},
		false, "/pids/limit",
	},
	{
		"pids.limit 0", `"pids":{"limit":33}`, `"pids":{"limit":0}`,
		[]limitFile{{"pids/pids.max", "33", "1"}},
		[]limitFile{{"pids.max", "33", "1"}},
		false, "/pids/limit",
	},
	{
		"blockIO.weight", `"blockIO":{"weight":500}`, `"blockIO":{"weight":750}`,
		[]limitFile{{"blkio/blkio.bfq.weight", "500", "750"}},
		[]limitFile{{"io.bfq.weight default", "500", "750"}, {"io.weight default", "4950", "7475"}},
		true, "/blockIO/weight",
	},
	{"blockIO.leafWeight", `"blockIO":{"leafWeight":500}`, ``, nil, nil, false, "/blockIO/leafWeight"},
	{
		"blockIO.weightDevice of no disk", `"blockIO":{"weightDevice":[{"major":4000,"minor":77,"weight":500}]}`, ``, nil, nil, false, "/blockIO/weightDevice/0/weight",
	},
	{
		"blockIO.throttleReadBpsDevice", `"blockIO":{"throttleReadBpsDevice":[{DISK,"rate":6000}]}`, `"blockIO":{"throttleReadBpsDevice":[{DISK,"rate":7000}]}`,
		[]limitFile{{"blkio/blkio.throttle.read_bps_device DEV", "6000", "7000"}},
		[]limitFile{{"io.max DEV", "rbps=6000 wbps=max riops=max wiops=max", "rbps=7000 wbps=max riops=max wiops=max"}},
		false, "/blockIO/throttleReadBpsDevice/0",
	},
	{
		"blockIO.throttle*", `"blockIO":{"throttleWriteBpsDevice":[{DISK,"rate":6000}]}`,
		`"blockIO":{"throttleReadIOPSDevice":[{DISK,"rate":7000}],"throttleWriteIOPSDevice":[{DISK,"rate":8000}],"throttleWriteBpsDevice":[{DISK,"rate":0}]}`,
		[]limitFile{
			{"blkio/blkio.throttle.write_bps_device DEV", "6000", ""},
			{"blkio/blkio.throttle.read_iops_device DEV", "", "7000"},
			{"blkio/blkio.throttle.write_iops_device DEV", "", "8000"},
		},
		[]limitFile{{"io.max DEV", "rbps=max wbps=6000 riops=max wiops=max", "rbps=max wbps=max riops=7000 wiops=8000"}},
		false, "/blockIO/throttleWriteBpsDevice/0",
	},
	{
		"hugepageLimits", `"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]`, `"hugepageLimits":[{"pageSize":"2MB","limit":8388608}]`,
		[]limitFile{{"hugetlb/hugetlb.2MB.limit_in_bytes", "4194304", "8388608"}, {"hugetlb/hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "8388608"}},
		[]limitFile{{"hugetlb.2MB.max", "4194304", "8388608"}, {"hugetlb.2MB.rsvd.max", "4194304", "8388608"}},
		false, "/hugepageLimits/0",
	},
	{"hugepageLimits of no size", `"hugepageLimits":[{"pageSize":"3MB","limit":4194304}]`, ``, nil, nil, false, "/hugepageLimits/0"},
	{
		"network.classID", `"network":{"classID":1048577}`, `"network":{"classID":1048578}`,
		[]limitFile{{"net_cls/net_cls.classid", "1048577", "1048578"}},
		nil, false, "/network/classID",
	},
	{
		"network.priorities", `"network":{"priorities":[{"name":"lo","priority":5}]}`, `"network":{"priorities":[{"name":"lo","priority":0}]}`,
		[]limitFile{{"net_prio/net_prio.ifpriomap lo", "5", "0"}},
		nil, false, "/network/priorities",
	},
	{"rdma of no device", `"rdma":{"none0":{"hcaHandles":3}}`, ``, nil, nil, false, "/rdma/none0"},
	{
		"unified", `"unified":{"hugetlb.2MB.max":"4194304"}`, `"unified":{"hugetlb.2MB.max":"8388608"}`,
		nil,
		[]limitFile{{"hugetlb.2MB.max", "4194304", "8388608"}},
		false, "/unified",
	},
	{
		"unified before others", `"pids":{"limit":5},"unified":{"pids.max":"77"}`, `"unified":{"pids.max":"78"}`,
		nil,
		[]limitFile{{"pids.max", "77", "78"}},
		false, "/",
	},
	{"unified of no file", `"unified":{"hugetlb.nothing":"1"}`, ``, nil, nil, false, "/unified"},
	{"unified of no controller", `"unified":{"nothing.max":"1"}`, ``, nil, nil, false, "/unified"},
}

// inCgroup names a file of the container's cgroup, and the key of the line that is meant, if one is.
func (b *bundle) inCgroup(file string) (path, key string) {
	file, key, _ = strings.Cut(file, " ")
	dir, name := filepath.Split(file)
	return filepath.Join("/sys/fs/cgroup", dir, b.v.cgroup(b.id), name), key
}

// limit reads back what the kernel has.
func (b *bundle) limit(file string) string {
	b.t.Helper()
	path, key := b.inCgroup(file)
	var data []byte
	if err := b.v.do(func() (err error) { data, err = os.ReadFile(path); return err }); err != nil {
		b.t.Error(err)
	}
	if key == "" {
		return strings.TrimSpace(string(data))
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// lacks tells which files a cgroup does not have: what the machine can't do shows in a container that asks for nothing.
func lacks(t *testing.T, v *view, fill *strings.Replacer) func(resource) bool {
	b := newBundle(t, v)
	b.Linux.Resources = nil
	b.created()
	missing := make(map[string]bool)
	for _, row := range resourceTable {
		for _, f := range slices.Concat(row.v1, row.v2) {
			path, _ := b.inCgroup(fill.Replace(f.file))
			missing[f.file] = v.do(func() error { _, err := os.Stat(path); return err }) != nil
		}
	}
	b.must("delete", "--force", b.id)
	return func(row resource) bool {
		files := row.files(v)
		lacking := func(f limitFile) bool { return missing[f.file] }
		if row.either {
			return !slices.ContainsFunc(files, func(f limitFile) bool { return !lacking(f) })
		}
		return len(files) == 0 || slices.ContainsFunc(files, lacking)
	}
}

func (row *resource) files(v *view) []limitFile {
	files := row.v1
	if v.v2 {
		files = row.v2
	}
	return files
}

// words are what the table has in place of facts of the machine.
func words(t *testing.T) *strings.Replacer {
	t.Helper()
	dev, disk, cpus := "4000:0", `"major":4000,"minor":0`, "0"
	if names, err := os.ReadDir("/sys/block"); err == nil && len(names) > 0 {
		data, err := os.ReadFile("/sys/block/" + names[0].Name() + "/dev")
		if err != nil {
			t.Fatal(err)
		}
		dev = strings.TrimSpace(string(data))
		major, minor, _ := strings.Cut(dev, ":")
		disk = `"major":` + major + `,"minor":` + minor
	}
	if _, err := os.Stat("/sys/devices/system/cpu/cpu1"); err == nil {
		cpus = "0-1"
	}
	return strings.NewReplacer("DISK", disk, "DEV", dev, "CPUS", cpus)
}

func document(t *testing.T, members string) (r *specs.LinuxResources) {
	t.Helper()
	if err := json.Unmarshal([]byte("{"+members+"}"), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Every field of linux.resources, read back from the kernel after create and after an update; or refused by its name, at both.
func TestResources(t *testing.T) {
	fill := words(t)
	eachView(t, func(t *testing.T, v *view) {
		cannot := lacks(t, v, fill)
		realtimeBudget(v)
		for _, row := range resourceTable {
			t.Run(row.name, func(t *testing.T) {
				b := newBundle(t, v)
				b.Linux.Resources = document(t, fill.Replace(row.created))
				if cannot(row) {
					b.save()
					b.fails(1, row.at, "create", "--bundle", b.dir, b.id)
					b.Linux.Resources = nil
					b.created()
					b.fails(1, row.at, "update", "--resources", b.file(fill.Replace(row.created)), b.id)
					b.must("delete", "--force", b.id)
					return
				}
				b.created()
				check := func(when string, want func(limitFile) string) {
					t.Helper()
					for _, f := range row.files(v) {
						file := fill.Replace(f.file)
						path, _ := b.inCgroup(file)
						if row.either && v.do(func() error { _, err := os.Stat(path); return err }) != nil {
							continue
						}
						if want := fill.Replace(want(f)); want != "" || strings.Contains(file, " ") {
							got := b.limit(file)
							if file == "cpu.max" && strings.HasPrefix(want, "max ") {
								// Without a quota the period means nothing, and systemd writes its own default when it comes to it.
								got, _, _ = strings.Cut(got, " ")
								want = "max"
							}
							equal(t, file+when, got, want)
						}
						if row.either {
							break
						}
					}
				}
				check(" after create", func(f limitFile) string { return f.created })
				b.must("update", "--resources", b.file(fill.Replace(row.update)), b.id)
				check(" after update", func(f limitFile) string { return f.updated })
				b.must("delete", "--force", b.id)
			})
		}
	})
}

// file writes a resources document and returns its path.
func (b *bundle) file(members string) string {
	b.write("resources.json", "{"+members+"}")
	return b.path("resources.json")
}

// realtimeBudget gives the cgroup above those of the tests real-time to pass on, where the kernel accounts for it (v1).
func realtimeBudget(v *view) {
	v.do(func() error {
		return os.WriteFile(filepath.Join("/sys/fs/cgroup/cpu", env.name, "cpu.rt_runtime_us"), []byte("500000"), 0)
	})
}
