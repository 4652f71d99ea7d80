package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// firstMapped is the host's id of the root of user namespaces here.
const firstMapped = 200000

// othersIDs is why a test is not for a user.
const othersIDs = "it maps ids that are not the user's; all containers of this view have a user namespace"

// inUser gives the container a new user namespace, whose root owns the rootfs.
func (b *bundle) inUser() {
	b.t.Helper()
	b.v.needsRoot(b.t, othersIDs)
	b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	b.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: firstMapped, Size: 65536}}
	b.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: firstMapped, Size: 65536}}
	b.open()
	for _, name := range []string{"rootfs", "rootfs/tmp", "rootfs/etc", "rootfs/bin"} {
		if err := os.Chown(b.path(name), firstMapped, firstMapped); err != nil {
			b.t.Fatal(err)
		}
	}
}

// open lets everybody into the bundle's directory.
func (b *bundle) open() {
	if err := os.Chmod(b.dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
}

// joinUser gives the container namespaces of another process, among them the user namespace.
func (b *bundle) joinUser(pid int, kinds ...specs.LinuxNamespaceType) {
	for _, kind := range append(kinds, specs.UserNamespace) {
		file := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.MountNamespace: "mnt"}[kind]
		if file == "" {
			file = string(kind)
		}
		without(b, kind)
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", pid, file)})
	}
}

func fields(s string) string { return strings.Join(strings.Fields(s), " ") }

// What every container with a user namespace must be like, however it got that.
func (b *bundle) checkUser(f *facts) {
	t := b.t
	t.Helper()
	equal(t, "uid", f.UID, 0)
	equal(t, "gid", f.GID, 0)
	equalList(t, "groups", f.Groups, nil)
	equal(t, "ids", f.status("Uid"), "0 0 0 0")
	equal(t, "uid map", fields(f.Probes["read:/proc/self/uid_map"]), "0 200000 65536")
	equal(t, "gid map", fields(f.Probes["read:/proc/self/gid_map"]), "0 200000 65536")
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		equal(t, set, f.capabilities(set), 1<<unix.CAP_AUDIT_WRITE|1<<unix.CAP_KILL|1<<unix.CAP_NET_BIND_SERVICE)
	}
	equal(t, "CapInh", f.capabilities("CapInh"), 0)
	equal(t, "CapAmb", f.capabilities("CapAmb"), 0)
	equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		d := f.Nodes["/dev/"+name]
		equal(t, name, fmt.Sprintf("%o %d:%d", d.Mode, d.Major, d.Minor), fmt.Sprintf("20666 1:%d", minor))
	}
	equal(t, "write to /dev/null", f.Probes["write:/dev/null"], "ok")
	equal(t, "create a file in the rootfs", f.Probes["create:/tmp/new"], "ok")
	equal(t, "mknod", f.Probes["mknod:/tmp/node"], "EPERM")
	equal(t, "oom_score_adj", fields(f.Probes["read:/proc/self/oom_score_adj"]), "300")
	equal(t, "limit", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{100, 200})
}

func (b *bundle) probeUser() {
	score := 300
	b.Process.OOMScoreAdj = &score
	b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}}
	b.probe("read:/proc/self/uid_map", "read:/proc/self/gid_map", "write:/dev/null", "create:/tmp/new", "mknod:/tmp/node", "read:/proc/self/oom_score_adj",
		"read:/proc/self/setgroups")
	b.Root.Readonly = false
}

// The init has gone where nobody may set groups: a further process has those of the caller no more than before.
func TestExecWhereGroupsAreDenied(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, othersIDs)
		b := newBundle(t, v)
		b.inUser()
		b.user = &syscall.Credential{Groups: []uint32{0, 7, 54322}}
		b.Process.User = specs.User{UID: 1000, GID: 1000}
		b.detached("deny")
		f := b.execFacts("--user", "0:0")
		equal(t, "ids", f.status("Uid"), "0 0 0 0")
		equalList(t, "groups", f.Groups, nil)
		b.must("delete", "--force", b.id)
	})
}

func TestUserNamespace(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, othersIDs)
		t.Run("new", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.probeUser()
			f := b.facts()
			b.checkUser(f)
			for _, k := range []string{"user", "mnt", "pid", "net", "ipc", "uts"} {
				if f.NS[k] == nsOf(t, os.Getpid(), k) {
					t.Errorf("%s namespace is the host's", k)
				}
			}
			equal(t, "pid", f.Pid, 1)
			st, err := os.Stat(b.path("rootfs/tmp/new"))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "owner on the host", st.Sys().(*syscall.Stat_t).Uid, firstMapped)
		})
		t.Run("with a cgroup namespace", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.ownCgroupNamespace()
			b.probeUser()
			b.checkUser(b.facts())
		})
		t.Run("another user and groups", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5, 65000}}
			f := b.facts()
			equal(t, "ids", f.status("Uid")+", "+f.status("Gid"), "1000 1000 1000 1000, 100 100 100 100")
			equalList(t, "groups", f.Groups, []int{5, 65000})
		})
		t.Run("without container root", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 1000, HostID: firstMapped, Size: 10}}
			b.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 100, HostID: firstMapped, Size: 10}}
			b.Process.User = specs.User{UID: 1003, GID: 104}
			for i := range b.Spec.Mounts {
				b.Spec.Mounts[i].Options = slices.DeleteFunc(b.Spec.Mounts[i].Options, func(o string) bool { return strings.HasPrefix(o, "gid=") })
			}
			equal(t, "ids", b.facts().status("Uid"), "1003 1003 1003 1003")
		})
		t.Run("the host's other namespaces", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.probeUser()
			b.Hostname = ""
			for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace} {
				without(b, kind)
			}
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Type == "mqueue" })
			f := b.facts()
			b.checkUser(f)
			equal(t, "type of /proc", f.mount("/proc").fstype, "proc")
			equal(t, "type of /sys", f.mount("/sys").fstype, "sysfs")
			equal(t, "pid namespace", f.NS["pid"], nsOf(t, os.Getpid(), "pid"))
		})
		t.Run("a network namespace of the host's root", func(t *testing.T) {
			b := newBundle(t, v)
			from := holder(b)
			b.inUser()
			b.probeUser()
			join(b, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", from))
			join(b, specs.UTSNamespace, fmt.Sprintf("/proc/%d/ns/uts", from))
			f := b.facts()
			b.checkUser(f)
			equal(t, "net", f.NS["net"], nsOf(t, from, "net"))
			equal(t, "uts", f.NS["uts"], nsOf(t, from, "uts"))
			equal(t, "pid", f.Pid, 1)
		})
		t.Run("joined", func(t *testing.T) {
			first := newBundle(t, v)
			first.inUser()
			pid := first.detached("wait")
			for _, c := range [][]specs.LinuxNamespaceType{
				{},
				{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace},
				{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace},
				{specs.PIDNamespace},
			} {
				b := newBundle(t, v)
				b.id = fmt.Sprint(b.id, "-", len(c))
				b.inUser()
				b.Linux.UIDMappings, b.Linux.GIDMappings = nil, nil
				b.joinUser(pid, c...)
				b.probeUser()
				if slices.Contains(c, specs.UTSNamespace) {
					b.Hostname = ""
				}
				f := b.facts()
				b.checkUser(f)
				equal(t, "user", f.NS["user"], nsOf(t, pid, "user"))
				for _, kind := range c {
					file := string(kind)
					if kind == specs.NetworkNamespace {
						file = "net"
					}
					equal(t, file, f.NS[file], nsOf(t, pid, file))
				}
			}
			first.must("delete", "--force", first.id)
		})
		t.Run("exec", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.probeUser()
			probes := b.Process.Args[2:]
			pid := b.detached("wait")
			b.adopt(pid)
			f := parseFacts(t, b.must(append([]string{"exec", b.id, "/inside", "facts"}, probes...)...))
			b.checkUser(f)
			equal(t, "user", f.NS["user"], nsOf(t, pid, "user"))
			b.must("delete", "--force", b.id)
		})
		t.Run("a terminal", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			b.Process.Terminal = true
			b.Process.User.UID = 1000
			files, _ := receive(t, b, b.path("c"))
			b.created("--console-socket", b.path("c"))
			master := <-files
			if master == nil {
				t.Fatal("no terminal came")
			}
			defer master.Close()
			b.must("start", b.id)
			f := factsFrom(t, master)
			equal(t, "name", f.TTY.Name, "/dev/pts/0")
			equal(t, "owner", f.TTY.UID, 1000)
			equal(t, "mount at /dev/console", f.mount("/dev/console").fstype, "devpts")
			b.must("delete", "--force", b.id)
		})
	})
}

// A namespace whose ids can't be mapped, and what the kernel refuses.
func TestUserNamespaceRefused(t *testing.T) {
	cases := []struct {
		name, words string
		patch       func(*bundle)
	}{
		{"no mappings", "user namespaces enabled, but no namespace path to join nor mappings to apply specified", func(b *bundle) {
			b.Linux.UIDMappings, b.Linux.GIDMappings = nil, nil
		}},
		{"mappings without a namespace", "user namespace mappings specified, but user namespace isn't enabled", func(b *bundle) { without(b, specs.UserNamespace) }},
		{"a user that is not mapped", "/process/user", func(b *bundle) { b.Process.User.UID = 70000 }},
		{"a group that is not mapped", "/process/user", func(b *bundle) { b.Process.User.GID = 70000 }},
		{"a namespace of another type", "the file is not a namespace of that type", func(b *bundle) {
			b.Linux.UIDMappings, b.Linux.GIDMappings = nil, nil
			join(b, specs.UserNamespace, "/proc/self/ns/net")
		}},
		{"the namespace we are in", "/linux/namespaces", func(b *bundle) {
			b.Linux.UIDMappings, b.Linux.GIDMappings = nil, nil
			join(b, specs.UserNamespace, "/proc/self/ns/user")
		}},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := newBundle(t, v)
				b.inUser()
				c.patch(b)
				r := b.run()
				if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, c.words) {
					t.Errorf("run: %v; want status 1 and one line with %q", r, c.words)
				}
			})
		}
	})
}

func TestTimeNamespace(t *testing.T) {
	offsets := map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1_000_000}, "monotonic": {Secs: 86_400, Nanosecs: 7}}
	ordinary := func(*bundle) {}
	cases := []struct {
		name  string
		patch func(*bundle)
	}{
		{"alone", ordinary},
		{"in a user namespace", (*bundle).inUser},
		{"without a pid namespace", func(b *bundle) { without(b, specs.PIDNamespace) }},
		{"with a joined pid namespace", func(b *bundle) { join(b, specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", holder(b))) }},
	}
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the namespaces that the container joins are root's")
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := newBundle(t, v)
				c.patch(b)
				b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
				b.Linux.TimeOffsets = offsets
				b.probe("read:/proc/self/timens_offsets", "read:/proc/uptime")
				f := b.facts()
				equal(t, "offsets", fields(f.Probes["read:/proc/self/timens_offsets"]), "monotonic 86400 7 boottime 1000000 0")
				var up float64
				fmt.Sscan(f.Probes["read:/proc/uptime"], &up)
				equal(t, "uptime is moved", up > 1_000_000, true)
				if f.NS["time"] == nsOf(t, os.Getpid(), "time") {
					t.Error("the time namespace is the host's")
				}
			})
		}
		t.Run("joined, and exec", func(t *testing.T) {
			first := newBundle(t, v)
			first.Linux.Namespaces = append(first.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			first.Linux.TimeOffsets = offsets
			pid := first.detached("wait")
			b := newBundle(t, v)
			join(b, specs.TimeNamespace, fmt.Sprintf("/proc/%d/ns/time", pid))
			equal(t, "joined", b.facts().NS["time"], nsOf(t, pid, "time"))
			f := parseFacts(t, first.must("exec", first.id, "/inside", "facts"))
			equal(t, "exec", f.NS["time"], nsOf(t, pid, "time"))
			first.must("delete", "--force", first.id)
		})
		t.Run("offsets that the kernel refuses", func(t *testing.T) {
			b := newBundle(t, v)
			b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			b.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -1_000_000_000}}
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, "/linux/timeOffsets") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("run: %v", r)
			}
		})
	})
}

// mapsTmpfs skips the test where the ids of a tmpfs can't be mapped.
func mapsTmpfs(t *testing.T) {
	t.Helper()
	if olderThan(6, 3) {
		t.Skip("the kernel is older than 6.3, since which tmpfs can map ids")
	}
}

const mapsIDs = "it takes CAP_SYS_ADMIN in the user namespace of the file system to map the ids of a mount"

// Files of a mount whose ids are mapped belong to others than on the disk.
func TestIDMappedMounts(t *testing.T) {
	mapping := func(host, size uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: host, Size: size}}
	}
	owner := func(f *facts, name string) string {
		var mode, uid, gid string
		fmt.Sscan(f.Probes["stat:"+name], &mode, &uid, &gid)
		return uid + ":" + gid
	}
	add := func(b *bundle, m specs.Mount) {
		b.makeDirs("src/below")
		b.write("src/file", "x")
		if err := os.Chown(b.path("src/file"), 3, 4); err != nil {
			b.t.Fatal(err)
		}
		if m.Source == "" {
			m.Source = "src" // relative to the bundle
		}
		m.Destination = "/m"
		b.Spec.Mounts = append(b.Spec.Mounts, m)
		b.probe("stat:/m", "stat:/m/file", "stat:/m/below/of tmpfs")
	}
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, mapsIDs)
		t.Run("the map of the user namespace", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			add(b, specs.Mount{Type: "bind", Options: []string{"bind", "idmap"}})
			f := b.facts()
			equal(t, "owner", owner(f, "/m/file"), "3:4")
		})
		t.Run("a map of its own in a user namespace", func(t *testing.T) {
			b := newBundle(t, v)
			b.inUser()
			add(b, specs.Mount{Type: "bind", Options: []string{"bind"}, UIDMappings: mapping(firstMapped+10, 10), GIDMappings: mapping(firstMapped+20, 10)})
			equal(t, "owner", owner(b.facts(), "/m/file"), "13:24")
		})
		t.Run("without a user namespace", func(t *testing.T) {
			b := newBundle(t, v)
			add(b, specs.Mount{Type: "bind", Options: []string{"bind", "ro", "idmap"}, UIDMappings: mapping(1000, 10), GIDMappings: mapping(2000, 10)})
			f := b.facts()
			equal(t, "owner", owner(f, "/m/file"), "1003:2004")
			equal(t, "options", slices.Contains(f.mount("/m").options, "ro"), true)
			equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
		})
		t.Run("a new tmpfs", func(t *testing.T) {
			mapsTmpfs(t)
			b := newBundle(t, v)
			add(b, specs.Mount{Type: "tmpfs", Source: "tmpfs", UIDMappings: mapping(1000, 10), GIDMappings: mapping(2000, 10)})
			equal(t, "owner", owner(b.facts(), "/m"), "1000:2000")
		})
		for _, option := range []string{"idmap", "ridmap"} {
			t.Run(option+" and the mounts below", func(t *testing.T) {
				b := newBundle(t, v)
				add(b, specs.Mount{Type: "bind", Options: []string{"rbind", option}, UIDMappings: mapping(1000, 10), GIDMappings: mapping(2000, 10)})
				b.makeDirs("other")
				b.write("other/of tmpfs", "")
				v.mountFor(t, b.path("other"), b.path("src/below"))
				want := map[string]string{"idmap": "0:0", "ridmap": "1000:2000"}[option]
				f := b.facts()
				equal(t, "owner above", owner(f, "/m/file"), "1003:2004")
				equal(t, "owner below", owner(f, "/m/below/of tmpfs"), want)
			})
		}
		t.Run("refused", func(t *testing.T) {
			for words, m := range map[string]specs.Mount{
				"no version of Linux":      {Type: "bind", Source: "/proc", Options: []string{"bind"}, UIDMappings: mapping(0, 1), GIDMappings: mapping(0, 1)},
				"container's user namespa": {Type: "bind", Options: []string{"bind", "idmap"}},
				"along with each other":    {Type: "bind", Options: []string{"bind", "idmap"}, UIDMappings: mapping(0, 1)},
			} {
				b := newBundle(t, v)
				b.id += fmt.Sprint(len(words))
				add(b, m)
				r := b.run()
				if r.status != 1 || !strings.Contains(r.stderr, words) || !strings.Contains(r.stderr, "/mounts/") || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("run: %v; want %q", r, words)
				}
			}
		})
	})
}

// The rootfs and sources that only the host's root can get to, and what the host has locked in them.
func TestUserNamespaceSources(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, othersIDs)
		b := newBundle(t, v)
		b.inUser()
		b.makeDirs("locked", "deep/source")
		b.write("deep/source/file", "reached")
		v.mountFor(t, b.path("deep/source"), b.path("locked"), unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC)
		for _, private := range []string{"deep", "."} {
			if err := os.Chmod(b.path(private), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		b.Spec.Mounts = append(b.Spec.Mounts,
			specs.Mount{Destination: "/deep", Source: b.path("deep/source"), Type: "bind", Options: []string{"rbind"}},
			specs.Mount{Destination: "/locked", Source: b.path("locked"), Type: "bind", Options: []string{"rbind"}})
		admin := []string{"CAP_SYS_ADMIN"}
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: admin, Effective: admin, Permitted: admin}
		b.probe("read:/deep/file", "create:/locked/new", "remount:/locked")
		f := b.facts()
		equal(t, "content", f.Probes["read:/deep/file"], "reached")
		equal(t, "write", f.Probes["create:/locked/new"], "EROFS")
		equal(t, "take read-only, nosuid and noexec away", f.Probes["remount:/locked"], "EPERM")
		equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	})
}

// The hooks that run inside run in the user namespace as well; the others don't.
func TestUserNamespaceHooks(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, othersIDs)
		b := newBundle(t, v)
		b.inUser()
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		for _, kind := range hookKinds {
			b.hook(kind)
		}
		b.write("log/hooks", "")
		if err := os.Chmod(b.path("log/hooks"), 0o666); err != nil {
			t.Fatal(err)
		}
		pid := b.detached("wait")
		user, clock := nsOf(t, pid, "user"), nsOf(t, pid, "time")
		b.must("delete", "--force", b.id)
		equalList(t, "hooks", b.ranKinds(), hookKinds)
		for i, f := range b.ran() {
			in := hookKinds[i] == "createContainer" || hookKinds[i] == "startContainer"
			equal(t, hookKinds[i]+" in the user namespace", f.NS["user"] == user, in)
			equal(t, hookKinds[i]+" in the time namespace", f.NS["time"] == clock, in)
		}
	})
}

// What is copied into a tmpfs of a user namespace belongs to whom it belonged.
func TestUserNamespaceCopyUp(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.inUser()
		b.makeDirs("rootfs/up/sub")
		b.write("rootfs/up/sub/file", "copied")
		for name, id := range map[string]int{"": firstMapped, "/sub": firstMapped + 1, "/sub/file": firstMapped + 2} {
			if err := os.Chown(b.path("rootfs/up"+name), id, id+1); err != nil {
				t.Fatal(err)
			}
		}
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
		b.write("shared", "shared")
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/up/new/file", Source: b.path("shared"), Options: []string{"bind"}})
		b.probe("read:/up/sub/file", "stat:/up/sub/file", "stat:/up/sub", "read:/up/new/file")
		f := b.facts()
		equal(t, "content", f.Probes["read:/up/sub/file"], "copied")
		equal(t, "owner of a file", fields(f.Probes["stat:/up/sub/file"]), "100644 2 3 6")
		equal(t, "owner of a directory", strings.HasPrefix(f.Probes["stat:/up/sub"], "40755 1 2 "), true)
		equal(t, "a mount below", f.Probes["read:/up/new/file"], "shared")
	})
}
