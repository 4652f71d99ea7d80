package integration

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/specconv"
)

// systemdView runs a test where systemd makes the cgroups.
func systemdView(t *testing.T, test func(*testing.T, *view)) {
	t.Helper()
	if env.skip != "" {
		t.Skip(env.skip)
	}
	for _, v := range env.views {
		if v.name == "systemd" {
			test(t, v)
			return
		}
	}
	t.Skip("systemd does not run on this machine, or its view was not asked for (make test-vm has it)")
}

// A busWatch stands between husk and the message bus and keeps what husk says.
type busWatch struct {
	listener net.Listener
	mu       sync.Mutex
	said     bytes.Buffer
	calls    int // connections
	relays   sync.WaitGroup
}

const systemBus = "/run/dbus/system_bus_socket"

// watchBus has every husk command of the test call the bus by way of the watch.
func watchBus(t *testing.T) *busWatch {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	w := &busWatch{listener: listener}
	t.Cleanup(func() { listener.Close() })
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+name)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", systemBus)
			if err != nil {
				from.Close()
				continue
			}
			w.mu.Lock()
			w.calls++
			w.mu.Unlock()
			w.relays.Go(func() {
				io.Copy(from, to)
				from.Close()
			})
			w.relays.Go(func() {
				io.Copy(io.MultiWriter(to, w), from)
				to.Close()
			})
		}
	}()
	return w
}

// Write keeps what was said.
func (w *busWatch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(p)
}

// since returns the connections and the calls of systemd since the last time, in the order of names.
// The commands that made them have ended: what they have said is all there, and the descriptors are closed.
func (w *busWatch) since() (connections int, calls string) {
	w.relays.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, member := range []string{
		"AttachProcessesToUnit", "FreezeUnit", "GetUnit", "KillUnit", "Ping", "ResetFailedUnit", "SetUnitProperties", "StartTransientUnit", "StopUnit", "Subscribe", "ThawUnit",
	} {
		calls += strings.Repeat(member+" ", bytes.Count(w.said.Bytes(), []byte("\x00"+member+"\x00")))
	}
	connections = w.calls
	w.said.Reset()
	w.calls = 0
	return connections, strings.TrimSpace(calls)
}

// systemd is asked once to make a container, and once to end it; nothing else asks it anything.
func TestSystemdCalls(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		w := watchBus(t)
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		b.must("create", "--bundle", b.dir, b.id)
		said := func(what string, connections int, calls string) {
			t.Helper()
			gotConnections, got := w.since()
			equal(t, "connections for "+what, gotConnections, connections)
			equal(t, "calls for "+what, got, calls)
		}
		said("create", 1, "StartTransientUnit")
		b.must("start", b.id)
		b.must("exec", b.id, "/inside", "facts")
		b.must("state", b.id)
		b.must("ps", b.id)
		b.must("list")
		b.must("pause", b.id)
		b.must("resume", b.id)
		b.must("events", "--stats", b.id)
		b.must("kill", b.id, "URG")
		b.must("kill", "--all", b.id, "URG")
		said("start, exec, state, ps, list, pause, resume, events, kill", 0, "")
		b.must("update", "--pids-limit", "77", b.id)
		said("update", 1, "Ping SetUnitProperties")
		b.must("kill", b.id, "KILL")
		said("kill", 0, "")
		b.must("delete", "--force", b.id)
		said("delete", 1, "ResetFailedUnit StopUnit")
	})
}

// systemctl asks the real bus.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("systemctl", args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "DBUS_SYSTEM_BUS_ADDRESS=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// unit reads properties of the container's unit.
func (b *bundle) unit(names ...string) string {
	b.t.Helper()
	return systemctl(b.t, "show", "--property="+strings.Join(names, ","), "--value", b.id+".scope")
}

// The unit has the limits, and they stay when systemd reads its configuration anew and when the message bus is restarted.
func TestSystemdUnit(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Resources = &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: value[int64](64 << 20)},
			CPU:    &specs.LinuxCPU{Shares: value[uint64](512), Quota: value[int64](30000), Period: value[uint64](60000)},
			Pids:   &specs.LinuxPids{Limit: value[int64](33)},
			Devices: []specs.LinuxDeviceCgroup{
				{Allow: false, Access: "rwm"},
				{Allow: true, Type: "c", Major: value[int64](10), Minor: value[int64](229), Access: "rw"},
			},
		}
		if err := unix.Mknod(b.path("rootfs/mem"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))); err != nil {
			t.Fatal(err)
		}
		b.Annotations = map[string]string{"org.systemd.property.TimeoutStopSec": "7", "org.systemd.property.Documentation": "['man:husk']"}
		b.detached("wait")
		files := map[string]string{"memory.max": "67108864", "cpu.max": "30000 60000", "pids.max": "33"}
		properties := map[string]string{"MemoryMax": "67108864", "CPUWeight": "59"}
		if !v.v2 {
			files = map[string]string{"memory/memory.limit_in_bytes": "67108864", "cpu/cpu.cfs_quota_us": "30000", "pids/pids.max": "33", "freezer/freezer.state": "THAWED"}
			properties = map[string]string{"MemoryLimit": "67108864", "CPUShares": "512"}
		}
		for name, want := range map[string]string{
			"Description": "libcontainer container " + b.id, "Slice": "system.slice", "Delegate": "yes", "TasksMax": "33", "CPUQuotaPerSecUSec": "500ms",
			"CPUQuotaPeriodUSec": "60ms", "TimeoutStopUSec": "7s", "Documentation": "man:husk", "ActiveState": "active",
		} {
			properties[name] = want
		}
		check := func(when string) {
			t.Helper()
			for name, want := range files {
				dir, file := filepath.Split(name)
				data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, v.cgroup(b.id), file))
				if err != nil {
					t.Error(err)
				}
				equal(t, name+" "+when, strings.TrimSpace(string(data)), want)
			}
			for name, want := range properties {
				equal(t, name+" "+when, b.unit(name), want)
			}
			b.status("running")
			f := parseFacts(t, b.must("exec", b.id, "/inside", "facts", "open:/mem"))
			equal(t, "open a forbidden device "+when, f.Probes["open:/mem"], "EPERM")
		}
		check("at first")
		systemctl(t, "daemon-reload")
		check("after daemon-reload")
		b.must("update", "--memory", "33554432", "--memory-swap", "-1", "--pids-limit", "44", "--cpu-quota", "33333", "--cpu-period", "100000", b.id)
		if v.v2 {
			files["memory.max"], files["pids.max"], files["cpu.max"] = "33554432", "44", "34000 100000"
			properties["MemoryMax"] = "33554432"
		} else {
			files["memory/memory.limit_in_bytes"], files["pids/pids.max"], files["cpu/cpu.cfs_quota_us"] = "33554432", "44", "34000"
			properties["MemoryLimit"] = "33554432"
		}
		// systemd has whole percents, so the files have them too.
		properties["TasksMax"], properties["CPUQuotaPerSecUSec"], properties["CPUQuotaPeriodUSec"] = "44", "340ms", "100ms"
		check("after update")
		systemctl(t, "daemon-reload")
		check("after another daemon-reload")
		systemctl(t, "restart", "dbus.service")
		check("after a restart of the bus")
		b.must("delete", "--force", b.id)
		equal(t, "unit after delete", b.unit("LoadState"), "not-found")
		b.must("run", "--bundle", b.dir, "--detach", b.id)
		b.must("delete", "--force", b.id)
	})
}

// What systemd writes by itself is what the files of cgroup v2 were given, however that was written.
func TestSystemdUnified(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		if !v.v2 {
			t.Skip("cgroup v1 has no such files")
		}
		b := newBundle(t, v)
		b.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"memory.high": "64M", "cpu.max": "30000   60000", "memory.oom.group": "1"}}
		b.detached("wait")
		check := func(when string) {
			t.Helper()
			equal(t, "memory.high "+when, b.limit("memory.high"), "67108864")
			equal(t, "cpu.max "+when, b.limit("cpu.max"), "30000 60000")
		}
		check("at first")
		equal(t, "unit", b.unit("MemoryHigh"), "67108864")
		b.must("update", "--pids-limit", "77", b.id)
		check("after update")
		equal(t, "memory.oom.group after update", b.limit("memory.oom.group"), "1") // systemd has told it to be 0
		systemctl(t, "daemon-reload")
		check("after daemon-reload")
		b.must("delete", "--force", b.id)
	})
}

// A unit that has failed is reset by delete; what somebody else has left is reset by create, but never taken from the living.
func TestSystemdFailedUnit(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		path := b.Linux.CgroupsPath
		b.Linux.CgroupsPath = "machine.slice::" + b.id
		b.save()
		b.fails(1, "start "+b.id+".scope", "run", "--bundle", b.dir, "other"+b.id)
		b.Linux.CgroupsPath = path
		b.status("running") // still
		b.must("delete", "--force", b.id)

		b.Annotations = map[string]string{"org.systemd.property.RuntimeMaxSec": "1", "org.systemd.property.TimeoutStopSec": "1"}
		b.detached("wait")
		failed := func() {
			t.Helper()
			for end := time.Now().Add(limit); b.unit("ActiveState") != "failed"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("the unit is %s", b.unit("ActiveState"))
				}
			}
		}
		failed()
		b.status("stopped")
		b.must("delete", b.id)
		equal(t, "unit after delete", b.unit("LoadState"), "not-found")

		b.detached("wait")
		failed()
		if err := os.RemoveAll(b.root); err != nil { // as after a crash of everything but systemd
			t.Fatal(err)
		}
		b.Annotations = nil
		b.detached("wait")
		equal(t, "unit", b.unit("ActiveState"), "active")
		b.must("delete", "--force", b.id)
	})
}

// A container's processes that outlive its first one are found without systemd, and without a bus.
func TestSystemdGone(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("children", "3")
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
		equal(t, "processes", len(pids(b)), 4)
		b.must("delete", "--force", b.id)
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
		b.forgotten()
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
		r := b.run()
		if r.status != 1 || !strings.Contains(r.stderr, "/nonexistent: no such file or directory (is systemd running?") {
			t.Error(r)
		}
	})
}

// Names that are not systemd's, annotations that may not be, and limits that the kernel refuses leave nothing.
func TestSystemdRefused(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		for _, c := range []struct {
			words  string
			change func(*bundle)
		}{
			{`expected cgroupsPath to be of format "slice:prefix:name"`, func(b *bundle) { b.Linux.CgroupsPath = "/a/b" }},
			{"invalid slice name", func(b *bundle) { b.Linux.CgroupsPath = "a:b:c" }},
			{"not a name of a scope", func(b *bundle) { b.Linux.CgroupsPath = "system.slice:a/b:c" }},
			{"/annotations/org.systemd.property.ExecStartPre", func(b *bundle) {
				b.Annotations = map[string]string{"org.systemd.property.ExecStartPre": "'x'"}
			}},
			{"/annotations/org.systemd.property.CollectMode", func(b *bundle) {
				b.Annotations = map[string]string{"org.systemd.property.CollectMode": "never"}
			}},
			{"start ", func(b *bundle) { b.Annotations = map[string]string{"org.systemd.property.CollectMode": "'bogus'"} }},
			{"/linux/resources/cpu/cpus", func(b *bundle) { b.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"} }},
		} {
			b := newBundle(t, v)
			c.change(b)
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, c.words) || r.stdout != "" {
				t.Errorf("%s: %v", c.words, r)
			}
			equal(t, "unit after "+c.words, b.unit("LoadState"), "not-found")
		}
	})
}

// A directory that somebody has made and frozen under the scope's name is refused before a process goes there.
func TestSystemdFrozen(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		if !v.v2 {
			t.Skip("systemd does not use the freezer of cgroup v1")
		}
		b := newBundle(t, v)
		dir := "/sys/fs/cgroup" + v.cgroup(b.id)
		err := v.do(func() error {
			return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/cgroup.freeze", []byte("1"), 0))
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, "container's cgroup unexpectedly frozen") {
			t.Errorf("run: %v", r)
		}
		if err := v.do(func() error { return os.Remove(dir) }); err != nil {
			t.Error(err)
		}
	})
}

// systemd has one property for a weight and for idleness: what comes last holds.
func TestSystemdIdle(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		if !v.v2 {
			t.Skip("systemd does not know cpu.idle on cgroup v1")
		}
		b := newBundle(t, v)
		b.detached("wait")
		for _, c := range []struct{ option, value, idle string }{{"--cpu-idle", "1", "1"}, {"--cpu-share", "200", "0"}, {"--cpu-idle", "1", "1"}, {"--cpu-idle", "0", "0"}} {
			r := b.husk("update", c.option, c.value, b.id)
			equal(t, "update "+c.option, r, result{})
			systemctl(t, "daemon-reload")
			equal(t, "cpu.idle after "+c.option, b.limit("cpu.idle"), c.idle)
		}
		r := b.husk("update", "--cpu-share", "300", "--cpu-idle", "1", b.id)
		if r.status != 0 || !strings.Contains(r.stderr, "unable to apply both") {
			t.Errorf("update both: %v", r)
		}
		equal(t, "cpu.idle after both", b.limit("cpu.idle"), "1")
		b.must("delete", "--force", b.id)
	})
}

// Without cgroupsPath the unit has the container's name; slices are made as they are needed.
func TestSystemdNames(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		for path, want := range map[string]string{"": "/system.slice/husk-" + b.id + ".scope", "-.slice:a:" + b.id: "/a-" + b.id + ".scope", "machine-x.slice::" + b.id: "/machine.slice/machine-x.slice/" + b.id + ".scope"} {
			b.Linux.CgroupsPath = path
			pid := b.detached("wait")
			data, err := os.ReadFile("/proc/" + itoa(pid) + "/cgroup")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				if strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)[2] != want {
					t.Errorf("with cgroupsPath %q: %s", path, line)
				}
			}
			f := parseFacts(t, b.must("exec", b.id, "/inside", "facts"))
			equal(t, "cgroup from inside", strings.Contains(f.Cgroup, ":/\n"), true)
			b.must("delete", "--force", b.id)
		}
		systemctl(t, "stop", "machine-x.slice")
	})
}

// A user's own systemd makes the cgroup, wherever in the machine's cgroups the user is, and its limits hold.
func TestSystemdRootless(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		const uid = 1000
		if !v.v2 {
			t.Skip("cgroup v1 delegates nothing to users")
		}
		if _, err := user.LookupId(itoa(uid)); err != nil {
			t.Skip(err)
		}
		systemctl(t, "start", "user@"+itoa(uid)+".service")
		defer systemctl(t, "stop", "user@"+itoa(uid)+".service")
		for _, from := range []string{"outside", "inside"} {
			t.Run(from, func(t *testing.T) {
				b := newBundle(t, v)
				specconv.MakeRootless(b.Spec, uid, uid)
				b.Process.Args = []string{"/inside", "wait"}
				b.Linux.CgroupsPath = ":husk:" + b.id
				b.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: value[int64](33)}, Memory: &specs.LinuxMemory{Limit: value[int64](64 << 20)}}
				b.save()
				err := filepath.WalkDir(b.dir, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, uid, uid)) })
				if err != nil {
					t.Fatal(err)
				}
				as := func(cmd *exec.Cmd) string {
					t.Helper()
					if from == "inside" {
						cmd.Path, cmd.Args = "/usr/bin/systemd-run", append([]string{"systemd-run", "--user", "--scope", "--quiet"}, cmd.Args...)
					}
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
					cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR=/run/user/"+itoa(uid), "HOME=/")
					// Not in the view, which was made before the user's directory was mounted. To a file, which the container may keep.
					out, err := os.CreateTemp(b.dir, "output")
					if err != nil {
						t.Fatal(err)
					}
					defer out.Close()
					cmd.Stdout, cmd.Stderr = out, out
					err = cmd.Run()
					data, _ := os.ReadFile(out.Name())
					if err != nil {
						t.Fatalf("%q: %v: %s", cmd.Args, err, data)
					}
					return strings.TrimSpace(string(data))
				}
				as(b.command("create", "--bundle", b.dir, b.id))
				const top = "/user.slice/user-1000.slice/user@1000.service/user.slice/"
				cgroup := top + "husk-" + b.id + ".scope"
				read := func(file string) string {
					data, err := os.ReadFile("/sys/fs/cgroup" + cgroup + "/" + file)
					if err != nil {
						t.Error(err)
					}
					return strings.TrimSpace(string(data))
				}
				as(b.command("start", b.id))
				f := parseFacts(t, as(b.command("exec", b.id, "/inside", "facts")))
				equal(t, "cgroup of exec", strings.Contains(f.Cgroup, "0::"+cgroup+"\n") || strings.Contains(f.Cgroup, "0::/\n"), true)
				equal(t, "pids.max", read("pids.max"), "33")
				equal(t, "memory.max", read("memory.max"), "67108864")
				equal(t, "processes", len(strings.Fields(read("cgroup.procs"))), 1)
				as(b.command("update", "--pids-limit", "44", b.id))
				equal(t, "pids.max after update", read("pids.max"), "44")
				unit := func(name string) string {
					return as(exec.Command("systemctl", "--user", "show", "--value", "--property="+name, "husk-"+b.id+".scope"))
				}
				equal(t, "TasksMax", unit("TasksMax"), "44")
				as(b.command("kill", b.id, "KILL"))
				as(b.command("delete", "--force", b.id))
				equal(t, "unit after delete", unit("LoadState"), "not-found")
			})
		}
	})
}
