package crash

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// Which commands come to which stop points. Points of create are also those of run.
var commands = map[string]string{
	"create": "create", "gate": "create", "hook-prestart": "create", "hook-createRuntime": "create", "hook-createContainer": "create",
	"netdevice": "create", "resctrl-made": "create", "resctrl-removed": "delete", "start": "start", "hook-startContainer": "start", "hook-poststart": "start",
	"listener": "start", "exec": "exec", "run": "run", "pause": "pause", "update": "update", "mounts": "mounts", "delete": "delete", "hook-poststop": "delete",
}

// hookKinds are the hooks that have a stop point behind each.
var hookKinds = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// points reads the names of the stop points from the sources, so that none can be added without being tested.
func points(t *testing.T) (list []string) {
	sources, err := filepath.Glob("../../libct/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources of libct: %v", err)
	}
	call := regexp.MustCompile(`stopPoint\("([^"]+)"( \+ )?`)
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			switch {
			case m[2] == "":
				list = append(list, m[1])
			case m[1] == "gate-":
				list = append(list, gates(t)...)
			case m[1] == "hook-":
				for _, kind := range hookKinds {
					list = append(list, "hook-"+kind)
				}
			default:
				t.Errorf("stop points %q of unknown names", m[1])
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// gates are those that create answers: of those in specconv all but the last, and those of start.
func gates(t *testing.T) (list []string) {
	text, err := os.ReadFile("../../specconv/host.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tGate(\w+)\s+= "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != "Created" && m[1] != "Start" && m[1] != "Listener" {
			list = append(list, "gate-"+m[2])
		}
	}
	if len(list) == 0 {
		t.Fatal("no gates found in specconv")
	}
	return list
}

// everything is a container that comes to every stop point: each gate and each hook.
const everything = `
/process/terminal true
/process/args ["/bin/sh", "-c", "touch /data/ran; exec sleep 1000"]
/mounts/- {"destination": "/missing", "type": "tmpfs", "source": "tmpfs"}
/linux/netDevices {"crash0": {"name": "eth0"}}
/mounts/- {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}
/hooks/prestart [{"path": "/bin/true"}]
/hooks/createRuntime [{"path": "/bin/true"}]
/hooks/createContainer [{"path": "/bin/true"}]
/hooks/startContainer [{"path": "/bin/true"}]
/hooks/poststart [{"path": "/bin/true"}]
/hooks/poststop [{"path": "/bin/true"}]
`

// more is what the gates need that not every container can have: a user namespace would change what all others mean.
var more = map[string]string{
	"gate-map the ids of the user namespace": inUser,
	"gate-map the ids of the mount":          `/mounts/- {"destination": "/mapped", "type": "tmpfs", "source": "tmpfs", "uidMappings": [{"size": 1}], "gidMappings": [{"size": 1}]}`,
	"gate-enter the delegated cgroup":        `/annotations {"run.oci.delegate-cgroup": "x"}`,
	// The first of a pid namespace knows its pid.
	"gate-get its pid for LISTEN_PID": `/linux/namespaces [{"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}]`,
	"gate-make the symbolic link":     `/mounts/- {"destination": "/etc/link", "type": "bind", "source": "/proc/mounts", "options": ["bind", "copy-symlink"]}`,
	// No root but the host's own gets into /root.
	"gate-open it as the host's root": strings.ReplaceAll(inUser, `"hostID": 0`, `"hostID": 100000`) + `
/mounts/- {"destination": "/roots", "type": "bind", "source": "/root/.", "options": ["rbind", "ro"]}`,
	"gate-set the offsets of the time namespace": "/linux/namespaces/- {\"type\": \"time\"}\n/linux/timeOffsets {\"boottime\": {\"secs\": 1}}",
	"gate-set the scheduler and the I/O priority": inUser + `
/process/scheduler {"policy": "SCHED_RR", "priority": 1}
/process/ioPriority {"class": "IOPRIO_CLASS_RT", "priority": 1}`,
}

const inUser = `/linux/namespaces/- {"type": "user"}
/linux/uidMappings [{"containerID": 0, "hostID": 0, "size": 65536}]
/linux/gidMappings [{"containerID": 0, "hostID": 0, "size": 65536}]`

func TestStopPoints(t *testing.T) {
	for _, point := range points(t) {
		prefix, _, _ := strings.Cut(point, "-")
		command := commands[point]
		if command == "" {
			command = commands[prefix]
		}
		if command == "" {
			t.Errorf("stop point %q: no command is known to come to it", point)
			continue
		}
		t.Run(point, func(t *testing.T) {
			if point == "gate-wait for the cgroup" && !harness.Systemd() {
				t.Skip("only --systemd-cgroup comes to it, which needs systemd")
			}
			if point == "gate-enter the delegated cgroup" && !onlyV2() {
				t.Skip("only cgroup v2 comes to it, and this machine has v1")
			}
			switch command {
			case "create":
				t.Run("create", func(t *testing.T) { killedAtCreate(t, point, "create") })
				t.Run("run", func(t *testing.T) { killedAtCreate(t, point, "run", "--detach") })
			case "start":
				killedAtStart(t, point)
			case "exec":
				killedAtExec(t, point)
			case "pause":
				killedAtPause(t, point)
			case "update":
				killedAtUpdate(t, point)
			case "mounts":
				killedAtMounts(t, point)
			case "delete":
				killedAtDelete(t, point)
			case "run":
				killedAtRun(t, point)
			}
		})
	}
}

// onlyV2 reports whether the machine has cgroup v2 and no v1 beside it.
func onlyV2() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// console makes a socket that takes terminals, agent one that takes listeners of filters. Nobody reads what is sent.
func console(b *harness.Box) string { return socket(b, "console") }
func agent(b *harness.Box) string   { return socket(b, "agent") }

func socket(b *harness.Box, name string) string {
	b.T.Helper()
	path := filepath.Join(b.Dir, name)
	l, err := net.Listen("unix", path)
	if err != nil {
		b.T.Fatal(err)
	}
	b.T.Cleanup(func() { l.Close() })
	return path
}

// killedAt runs a command that ends at a point.
func killedAt(b *harness.Box, point string, args ...string) {
	b.T.Helper()
	b.Env = []string{"HUSK_STOP_AT=" + point}
	husk := b.Binary
	if strings.HasSuffix(point, " for LISTEN_PID") {
		b.Binary = b.Write(filepath.Join(harness.Base(), "manager"), "#!/bin/sh\nLISTEN_PID=$$ LISTEN_FDS=1 exec "+husk+" \"$@\" 3</dev/null\n", 0o755)
	}
	res := b.Husk(args...)
	b.Env, b.Binary = nil, husk
	if res.Code != -1 {
		b.T.Fatalf("%q did not come to %s: exit status %d %s", args, point, res.Code, res.Err)
	}
}

// restored has delete --force clean up, and proves it.
func restored(b *harness.Box, bundle string, before harness.Sight) {
	b.T.Helper()
	b.Must("delete", "--force", "c")
	if s := b.Status("c"); s != "absent" {
		b.T.Errorf("state is %q after delete --force", s)
	}
	forget(bundle)
	before.Same(b.T, b)
	b.Must("delete", "--force", "c")
}

// plug makes the network device of everything, in the network namespace of the tests.
func plug(t *testing.T) {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("needs ip(8), Debian's iproute2")
	}
	if out, err := exec.Command(ip, "link", "add", "crash0", "type", "veth", "peer", "name", "crash1").CombinedOutput(); err != nil {
		t.Fatalf("make a network device: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command(ip, "link", "del", "crash1").Run() }) // it may have ended with its container
}

func killedAtCreate(t *testing.T, point string, command ...string) {
	b := newBox(t)
	plug(t)
	bundle := b.Bundle(everything, more[point], groups(t, point))
	socket := console(b)
	before := b.Look()
	killedAt(b, point, append(command, "--bundle", bundle, "--console-socket", socket, "c")...)
	await(b, "c", []string{"absent", "stopped"}, []string{"creating", "created"})
	if ran(bundle) {
		t.Error("the program has run")
	}
	if out := b.Must("list", "--quiet"); strings.TrimSpace(out) != "c" && strings.TrimSpace(out) != "" {
		t.Errorf("list: %q", out)
	}
	if res := b.Husk("start", "c"); res.Code == 0 {
		t.Error("start of what is left works")
	}
	restored(b, bundle, before)
	b.Configure(bundle, `/process/args ["/bin/sleep", "1000"]`)
	again(b, bundle)
}

func killedAtStart(t *testing.T, point string) {
	b := newBox(t)
	plug(t)
	bundle := b.Bundle(everything, `/linux/seccomp/listenerPath "`+agent(b)+`"
/linux/seccomp/syscalls/0/action "SCMP_ACT_NOTIFY"`, groups(t, point))
	socket := console(b)
	before := b.Look()
	b.Must("create", "--bundle", bundle, "--console-socket", socket, "c")
	killedAt(b, point, "start", "c")
	switch s := await(b, "c", []string{"created", "running", "stopped"}, nil); s {
	case "created":
		if ran(bundle) {
			t.Error("created, and the program has run")
		}
		if res := b.Husk("start", "c"); res.Code != 0 && b.Status("c") != "stopped" {
			t.Errorf("start once more: %s", res.Err)
		}
	case "running":
		if res := b.Husk("start", "c"); res.Code == 0 {
			t.Error("a running container can be started")
		}
	}
	restored(b, bundle, before)
}

func killedAtExec(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`,
		`/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}`)
	before := b.Look()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	inside := b.Look()
	inside.Files = nil
	os.RemoveAll(filepath.Join(b.Root, ".cache")) // exec asks for the filter
	killedAt(b, point, "exec", "c", "/bin/touch", "/data/ran")
	inside.Same(t, b) // it may have run, but neither waits nor hangs
	if s := b.Status("c"); s != "running" {
		t.Errorf("state is %q", s)
	}
	b.Must("exec", "c", "/bin/true")
	restored(b, bundle, before)
}

func killedAtPause(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
	before := b.Look()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	killedAt(b, point, "pause", "c")
	if s := b.Status("c"); s != "paused" {
		t.Errorf("state is %q", s)
	}
	b.Must("resume", "c")
	b.Must("exec", "c", "/bin/true")
	restored(b, bundle, before)
}

func killedAtUpdate(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`, `/linux/devices [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]`)
	rules := b.Write("rules.json", `{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"}]}`, 0o600)
	before := b.Look()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	killedAt(b, point, "update", "--memory", "64m", "--pids-limit", "50", "c")
	if s := b.Status("c"); s != "running" {
		t.Errorf("state is %q", s)
	}
	open := []string{"exec", "c", "/bin/sh", "-c", ": >> /dev/kmsg"}
	if r := b.Husk(open...); r.Code == 0 {
		t.Error("/dev/kmsg is open to the container")
	}
	killedAt(b, point, "update", "--resources", rules, "c")
	b.Must("update", "--resources", rules, "c")
	b.Must(open...)
	b.Must("update", "--memory", "32m", "--pids-limit", "-1", "c")
	restored(b, bundle, before)
}

// Of mounts that are added or removed together all are there afterwards, or none.
func killedAtMounts(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
	before := b.Look()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	list := b.Write("mounts.json", `[{"destination": "/data", "type": "tmpfs", "source": "a"}, {"destination": "/tmp", "type": "tmpfs", "source": "b"}]`, 0o600)
	if point == "mounts-removed" {
		b.Must("mounts", "add", "c", list)
		killedAt(b, point, "mounts", "remove", "c", list)
	} else {
		killedAt(b, point, "mounts", "add", "c", list)
	}
	there := 0
	for line := range strings.Lines(b.Must("exec", "c", "/bin/cat", "/proc/self/mountinfo")) {
		if f := strings.Fields(line); f[4] == "/data" || f[4] == "/tmp" {
			there++
		}
	}
	if want := map[bool]int{true: 2}[point == "mounts-added"]; there != want {
		t.Errorf("%d mounts are there, want %d", there, want)
	}
	b.Must("mounts", "add", "c", list)
	b.Must("mounts", "remove", "c", list)
	os.Remove(list)
	restored(b, bundle, before)
}

func killedAtDelete(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle("/process/args [\"/bin/sleep\", \"1000\"]\n/hooks/poststop [{\"path\": \"/bin/true\"}]", groups(t, point))
	before := b.Look()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	killedAt(b, point, "delete", "--force", "c")
	wanted := []string{"absent", "stopped"}
	if point == "delete-locked" {
		wanted = []string{"running"}
	}
	await(b, "c", wanted, []string{"running"})
	restored(b, bundle, before)
	again(b, bundle)
}

func killedAtRun(t *testing.T, point string) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/touch", "/data/ran"]`)
	before := b.Look()
	killedAt(b, point, "run", "--bundle", bundle, "c")
	await(b, "c", []string{"stopped"}, []string{"running"})
	if !ran(bundle) {
		t.Error("the program has not run")
	}
	restored(b, bundle, before)
	again(b, bundle)
}
