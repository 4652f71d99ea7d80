package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// With --cgroup-manager disabled a container lives in the cgroup of whoever calls husk.
func TestWithoutCgroup(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the test is in another cgroup than these commands")
		own, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			t.Fatal(err)
		}
		b := newBundle(t, v)
		limit := int64(64 << 20)
		b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		b.save()
		run := b.command("run", "--cgroup-manager", "disabled", "--bundle", b.dir, b.id)
		r := b.finish(run)
		if r.status != 0 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "leave out the limits of /linux/resources") {
			t.Fatal(r)
		}
		equal(t, "cgroup", parseFacts(t, r.stdout).Cgroup, string(own))

		b.Linux.Resources.Memory = nil
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		out := b.pipe()
		create := b.command("create", "--cgroup-manager=disabled", "--bundle", b.dir, b.id)
		create.Stdout, create.Stderr = out.w, out.w
		b.spawn(create)
		out.w.Close()
		equal(t, "create", wait(t, create), 0)
		b.must("start", b.id)
		out.expect("ready\n")
		pid := b.state().Pid
		equal(t, "ps", strings.TrimSpace(b.must("ps", "--format", "json", b.id)), "["+itoa(pid)+"]")
		equal(t, "cgroup of exec", parseFacts(t, b.must("exec", b.id, "/inside", "facts")).Cgroup, string(own))
		b.fails(1, "it has no cgroup", "pause", b.id)
		b.fails(1, "it has no cgroup", "update", "--memory", "64M", b.id)
		b.fails(1, "it has no cgroup", "stats", b.id)
		includes(t, "statistics", []string{strings.TrimSpace(b.must("events", "--stats", b.id))},
			`{"type":"stats","id":"`+b.id+`","data":{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{},"burst":{}},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}`)
		b.status("running")
		b.must("kill", b.id, "KILL")
		b.must("delete", "--force", b.id)
	})
}

// Device rules need a cgroup. Without one a process at least makes no nodes that they are there to forbid.
func TestWithoutCgroupAndDeviceRules(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "nobody else makes device nodes")
		b := newBundle(t, v)
		b.Root.Readonly = false
		b.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}}
		for _, set := range []*[]string{&b.Process.Capabilities.Bounding, &b.Process.Capabilities.Effective, &b.Process.Capabilities.Permitted} {
			*set = append(*set, "CAP_MKNOD")
		}
		b.probe("mknod:/tmp/node")
		r := b.run("--cgroup-manager=disabled")
		if r.status != 0 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "leave out CAP_MKNOD") {
			t.Fatalf("run: %v", r)
		}
		equal(t, "mknod", parseFacts(t, r.stdout).Probes["mknod:/tmp/node"], "EPERM")
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		out := b.pipe()
		create := b.command("create", "--cgroup-manager=disabled", "--bundle", b.dir, b.id)
		create.Stdout, create.Stderr = out.w, nil
		b.spawn(create)
		out.w.Close()
		equal(t, "create", wait(t, create), 0)
		b.must("start", b.id)
		out.expect("ready\n")
		f := parseFacts(t, b.must("exec", b.id, "/inside", "facts", "mknod:/tmp/node"))
		equal(t, "mknod of exec", f.Probes["mknod:/tmp/node"], "EPERM")
		b.must("delete", "--force", b.id)
	})
}

// A container without a pid namespace has nothing that finds what it leaves behind: delete ends its init.
func TestWithoutCgroupAndPids(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		without(b, specs.PIDNamespace)
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		out := b.pipe()
		run := b.command("run", "--detach", "--cgroup-manager=disabled", "--bundle", b.dir, b.id)
		run.Stdout = out.w
		b.spawn(run)
		equal(t, "run", wait(t, run), 0)
		out.expect("ready\n")
		b.adopt(b.state().Pid)
		b.husk("kill", "--all", b.id, "9")
		b.must("delete", "--force", b.id)
	})
}

// The configuration may lie elsewhere; what is relative in it is still relative to the bundle.
func TestConfigElsewhere(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.makeDirs("elsewhere")
		b.save()
		if err := os.Rename(b.path("config.json"), b.path("elsewhere/other.json")); err != nil {
			t.Fatal(err)
		}
		run := b.command("run", "-f", "other.json", "--bundle", b.dir, b.id)
		run.Dir = b.path("elsewhere")
		if r := b.finish(run); r.status != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		b.must("create", "--config="+b.path("elsewhere/other.json"), "--bundle", b.dir, b.id)
		equal(t, "bundle", b.state().Bundle, b.dir)
		b.must("delete", "--force", b.id)

		b.fails(1, "runc run failed: JSON specification file "+b.path("not.json")+" not found", "run", "--config", b.path("not.json"), "--bundle", b.dir, b.id)
		b.write("elsewhere/other.json", "{")
		b.fails(1, "parse "+b.path("elsewhere/other.json")+": ", "create", "--config", b.path("elsewhere/other.json"), "--bundle", b.dir, b.id)
		b.fails(1, "JSON specification file config.json not found", "create", "--bundle", b.dir, b.id)
	})
}

// delete and kill for all containers of a pattern.
func TestRegex(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		top := b.Linux.CgroupsPath
		for _, id := range []string{"web-1", "web-2", "db"} {
			b.Linux.CgroupsPath = top + "-" + id
			b.save()
			b.must("create", "--bundle", b.dir, id)
		}
		b.must("start", "web-2")
		b.must("start", "db")
		ids := func() string { return strings.Join(strings.Fields(b.must("list", "-q")), " ") }
		equal(t, "containers", ids(), "db web-1 web-2")
		b.must("delete", "--regex", "^nobody$")
		b.fails(1, "db: cannot delete container db that is not stopped: running", "delete", "--regex", "^db")
		b.fails(1, "web-1: cannot delete container web-1 that is not stopped: created; web-2: cannot delete container web-2 that is not stopped: running",
			"delete", "-r", "^web-[0-9]$")
		equal(t, "containers", ids(), "db web-1 web-2")
		b.must("kill", "--regex", "^(web-.|xx)$", "KILL")
		b.must("wait", "web-2")
		b.must("kill", "-r", "web", "0") // none is running any more
		if err := os.Mkdir(b.root+"/web-half-made", 0o700); err != nil {
			t.Fatal(err)
		}
		b.write("state/web-file", "")
		b.must("delete", "--regex", "web", "--force")
		equal(t, "containers", ids(), "db")
		var list []struct{ Status string }
		if err := json.Unmarshal([]byte(b.must("list", "-f", "json")), &list); err != nil || len(list) != 1 || list[0].Status != "running" {
			t.Errorf("%v, %+v", err, list)
		}
		if hasFile(b.root+"/web-half-made") || !hasFile(b.root+"/web-file") {
			t.Error("the directory without a record is there, or the file is not")
		}
		if err := os.Remove(b.root + "/web-file"); err != nil {
			t.Fatal(err)
		}
		b.must("delete", "-r", ".", "-f")
		b.must("--root", b.path("nowhere"), "delete", "-r", ".")
	})
}
