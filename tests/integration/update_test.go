package integration

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An update of which one value is refused changes nothing.
func TestUpdateRefused(t *testing.T) {
	fill := words(t)
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources = nil
		b.created()
		look := func() string {
			var all strings.Builder
			for _, row := range resourceTable {
				for _, f := range row.files(v) {
					path, _ := b.inCgroup(f.file)
					v.do(func() error {
						data, err := os.ReadFile(path)
						if string(data) == "9223372036854771712\n" { // what hugetlb begins with; no limit either
							data = []byte("max\n")
						}
						all.WriteString(path + " " + string(data) + "\n")
						return err
					})
				}
			}
			return all.String()
		}
		before := look()
		for _, row := range resourceTable {
			// Written behind what the row has, and in no machine.
			refused := `,"unified":{"zero.max":"1"}`
			switch {
			case strings.Contains(row.created, `"rdma"`):
				refused = ""
			case !v.v2, strings.Contains(row.created, `"unified"`):
				refused = `,"rdma":{"none0":{"hcaHandles":3}}`
			}
			r := b.husk("update", "--resources", b.file(fill.Replace(row.created)+refused), b.id)
			if r.status != 1 || strings.Count(r.stderr, "\n") != 1 || strings.Contains(r.stderr, "put back") {
				t.Errorf("%s: %v", row.name, r)
			}
			if after := look(); after != before {
				t.Fatalf("%s: from\n%s\nto\n%s", row.name, before, after)
			}
		}
		b.must("delete", "--force", b.id)
	})
}

// All options of the command, each of which may be refused by its name where its file is missing.
func TestUpdateOptions(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources = nil
		b.created()
		realtimeBudget(v)
		for _, option := range []struct {
			args []string
			at   string
			v1   limitFile // created is not used
			v2   limitFile
		}{
			{[]string{"--memory", "64m"}, "/memory/limit", limitFile{file: "memory/memory.limit_in_bytes", updated: "67108864"}, limitFile{file: "memory.max", updated: "67108864"}},
			{[]string{"-memory-swap=128M", "-memory=64M"}, "/memory/", limitFile{file: "memory/memory.memsw.limit_in_bytes", updated: "134217728"}, limitFile{file: "memory.swap.max", updated: "67108864"}},
			{[]string{"--memory-reservation", "1048576"}, "/memory/reservation", limitFile{file: "memory/memory.soft_limit_in_bytes", updated: "1048576"}, limitFile{file: "memory.low", updated: "1048576"}},
			{[]string{"--cpu-share", "512"}, "/cpu/shares", limitFile{file: "cpu/cpu.shares", updated: "512"}, limitFile{file: "cpu.weight", updated: "59"}},
			{[]string{"--cpu-quota", "30000", "--cpu-period", "60000"}, "/cpu/", limitFile{file: "cpu/cpu.cfs_quota_us", updated: "30000"}, limitFile{file: "cpu.max", updated: "30000 60000"}},
			{[]string{"--cpu-burst", "10000"}, "/cpu/burst", limitFile{file: "cpu/cpu.cfs_burst_us", updated: "10000"}, limitFile{file: "cpu.max.burst", updated: "10000"}},
			{[]string{"--cpu-idle", "1"}, "/cpu/idle", limitFile{file: "cpu/cpu.idle", updated: "1"}, limitFile{file: "cpu.idle", updated: "1"}},
			{[]string{"--cpu-rt-runtime", "5000", "--cpu-rt-period", "100000"}, "/cpu/realtime", limitFile{file: "cpu/cpu.rt_runtime_us", updated: "5000"}, limitFile{}},
			{[]string{"--cpuset-cpus", "0"}, "/cpu/cpus", limitFile{file: "cpuset/cpuset.cpus", updated: "0"}, limitFile{file: "cpuset.cpus", updated: "0"}},
			{[]string{"--cpuset-mems", "0"}, "/cpu/mems", limitFile{file: "cpuset/cpuset.mems", updated: "0"}, limitFile{file: "cpuset.mems", updated: "0"}},
			{[]string{"--pids-limit", "50"}, "/pids/limit", limitFile{file: "pids/pids.max", updated: "50"}, limitFile{file: "pids.max", updated: "50"}},
			{[]string{"--kernel-memory-tcp", "1m"}, "/memory/kernelTCP", limitFile{file: "memory/memory.kmem.tcp.limit_in_bytes", updated: "1048576"}, limitFile{}},
		} {
			want := option.v1
			if v.v2 {
				want = option.v2
			}
			path, _ := b.inCgroup(want.file)
			args := append(append([]string{"update"}, option.args...), b.id)
			if want.file == "" || v.do(func() error { _, err := os.Stat(path); return err }) != nil {
				b.fails(1, option.at, args...)
				continue
			}
			b.must(args...)
			equal(t, strings.Join(option.args, " "), b.limit(want.file), want.updated)
		}
		b.fails(1, "Intel RDT", "update", "--l3-cache-schema", "L3:0=f", b.id)
		b.must("delete", "--force", b.id)
		b.fails(1, "container does not exist", "update", "--pids-limit", "5", b.id)
	})
}

// A pids limit of 0 is none where the engine, to judge by its version of config.json, knows no other meaning.
func TestPidsOfOldVersions(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		file := "pids/pids.max"
		if v.v2 {
			file = "pids.max"
			var controllers []byte
			v.do(func() (err error) { controllers, err = os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); return err })
			if !strings.Contains(string(controllers), "pids") {
				t.Skip("cgroup v2 does not have the pids controller here")
			}
		}
		for _, version := range []string{"1.0.2-dev", "1.2.1", "1.3.0"} {
			b := newBundle(t, v)
			b.Version = version
			b.Linux.Resources.Pids = &specs.LinuxPids{Limit: value[int64](0)}
			none := map[bool]string{true: "1", false: "max"}[version == "1.3.0"]
			b.created()
			equal(t, version+": created", b.limit(file), none)
			b.must("update", "--pids-limit", "5", b.id)
			equal(t, version+": limited", b.limit(file), "5")
			b.write("resources.json", `{"pids": {"limit": 0}}`)
			b.must("update", "--resources", b.path("resources.json"), b.id)
			equal(t, version+": updated", b.limit(file), none)
			b.must("delete", "--force", b.id)
		}
	})
}

// A memory limit below what is in use is refused, and the container lives on: by the kernel on v1, on v2 by checkBeforeUpdate.
func TestUpdateBelowUsage(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		file := "memory/memory.limit_in_bytes"
		if v.v2 {
			file = "memory.max"
		}
		if path, _ := b.inCgroup(file); v.do(func() error { _, err := os.Stat(path); return err }) != nil {
			b.must("delete", "--force", b.id)
			t.Skipf("there is no %s here", file)
		}
		before := b.limit(file)
		for _, members := range []string{`"memory":{"limit":4096,"checkBeforeUpdate":true}`, `"pids":{"limit":7},"memory":{"limit":4096,"swap":8192,"checkBeforeUpdate":true}`} {
			b.fails(1, "/memory/", "update", "--resources", b.file(members), b.id)
			equal(t, "limit after "+members, b.limit(file), before)
			b.status("running")
		}
		b.must("delete", "--force", b.id)
	})
}

// Device rules change with an update, in a running container and in a paused one, which stays so.
func TestUpdateDevices(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "rules for devices take a program that only root loads")
		b := newBundle(t, v)
		// Nobody drives 120:1 (LOCAL/EXPERIMENTAL USE), so whoever may open it gets ENXIO.
		b.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/none", Type: "c", Major: 120, Minor: 1}}
		b.detached("wait")
		open := func(want string) {
			t.Helper()
			f := parseFacts(t, b.must("exec", b.id, "/inside", "facts", "open:/dev/none", "write:/dev/null"))
			equal(t, "open", f.Probes["open:/dev/none"], want)
			equal(t, "null", f.Probes["write:/dev/null"], "ok")
		}
		open("EPERM")
		const deny = `{"allow":false,"access":"rwm"}`
		for range 2 {
			b.must("update", "--resources", b.file(`"devices":[`+deny+`,{"allow":true,"type":"c","major":120,"minor":1,"access":"r"}]`), b.id)
			open("ENXIO")
			b.must("update", "--resources", b.file(`"devices":[{"allow":true,"access":"rwm"}]`), b.id)
			open("ENXIO")
			b.must("update", "--resources", b.file(`"devices":[`+deny+`]`), b.id)
			open("EPERM")
		}
		b.must("pause", b.id)
		b.must("update", "--resources", b.file(`"devices":[{"allow":true,"access":"rwm"}]`), b.id)
		b.status("paused")
		b.must("resume", b.id)
		open("ENXIO")
		b.must("delete", "--force", b.id)
	})
}
