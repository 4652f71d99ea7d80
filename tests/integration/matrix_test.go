package integration

import (
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type setting struct {
	name string
	make func(*testing.T, *view) *bundle
}

// settings are the ways in which a container comes about: by root, by root in a user namespace, by a user without privileges.
var settings = []setting{
	{"root", newBundle},
	{"user namespace", func(t *testing.T, v *view) *bundle {
		b := newBundle(t, v)
		b.inUser()
		return b
	}},
	{"rootless", rootless},
}

// settings are those that differ in the view: a user's containers all have a user namespace, and one without a session has no
// systemd to ask.
func (v *view) settings() []setting {
	switch {
	case v.user != nil:
		return []setting{{"session", newBundle}}
	case v.systemd:
		return settings[:2]
	}
	return settings
}

// One property of config.json and what it looks like from inside. refused names the settings in which the kernel does not permit it, with
// the words that husk then says.
type property struct {
	pointer string
	set     func(*bundle)
	probes  []string
	seen    func(*testing.T, *bundle, *facts)
	refused map[string]string
}

func probe(t *testing.T, f *facts, name, want string) {
	t.Helper()
	equal(t, name, fields(f.Probes[name]), want)
}

// matrix is every property that has a meaning in each of the settings.
var matrix = []property{
	{"/process/args", func(b *bundle) { b.Process.Args = append(b.Process.Args, "read:/x y") }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equalList(t, "arguments", f.Argv, []string{"/inside", "facts", "read:/x y"})
	}, nil},
	{"/process/env", func(b *bundle) { b.Process.Env = []string{"A=b c", "HOME=/h", "A=d"} }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equalList(t, "environment", f.Env, []string{"A=d", "HOME=/h"})
	}, nil},
	{"/process/cwd", func(b *bundle) { b.Process.Cwd = "/tmp/deep" }, nil, func(t *testing.T, _ *bundle, f *facts) { equal(t, "cwd", f.Cwd, "/tmp/deep") }, nil},
	{"/process/user/umask", func(b *bundle) { b.Process.User.Umask = value(uint32(0o27)) }, nil, func(t *testing.T, _ *bundle, f *facts) { equal(t, "umask", f.Umask, 0o27) }, nil},
	{
		"/process/user/uid", func(b *bundle) { b.Process.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9, 10}} }, nil,
		func(t *testing.T, _ *bundle, f *facts) {
			equal(t, "uid", f.status("Uid"), "7 7 7 7")
			equal(t, "gid", f.status("Gid"), "8 8 8 8")
			equalList(t, "groups", f.Groups, []int{9, 10})
		},
		map[string]string{"rootless": "/process/user/uid: 7 is not an id of the user namespace"},
	},
	{"/process/capabilities", func(b *bundle) {
		list := []string{"CAP_CHOWN", "CAP_KILL"}
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: list, Effective: list[:1], Permitted: list, Inheritable: list[1:], Ambient: list[1:]}
	}, nil, func(t *testing.T, _ *bundle, f *facts) {
		const chown, kill = 1 << unix.CAP_CHOWN, 1 << unix.CAP_KILL
		for set, want := range map[string]uint64{"CapBnd": chown | kill, "CapPrm": chown | kill, "CapInh": kill, "CapAmb": kill} {
			equal(t, set, f.capabilities(set), want)
		}
	}, nil},
	{"/process/rlimits", func(b *bundle) {
		b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 50, Hard: 60}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}}
	}, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "descriptors", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{50, 60})
		equal(t, "core", f.Limits[unix.RLIMIT_CORE], [2]uint64{0, 0})
	}, nil},
	{"/process/noNewPrivileges", func(b *bundle) { b.Process.NoNewPrivileges = true }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "1")
	}, nil},
	{
		"/process/oomScoreAdj", func(b *bundle) { b.Process.OOMScoreAdj = value(700) },
		[]string{"read:/proc/self/oom_score_adj"},
		func(t *testing.T, _ *bundle, f *facts) { probe(t, f, "read:/proc/self/oom_score_adj", "700") }, nil,
	},
	{"/process/scheduler", func(b *bundle) { b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5} }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "policy", f.Scheduling.Policy, unix.SCHED_BATCH)
		equal(t, "nice", f.Scheduling.Nice, 5)
	}, nil},
	{"/process/ioPriority", func(b *bundle) {
		b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	}, nil, func(t *testing.T, _ *bundle, f *facts) { equal(t, "I/O priority", f.Scheduling.Ioprio, 2<<13|6) }, nil},
	{"/linux/personality", func(b *bundle) { b.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "personality", f.Scheduling.Personality, 8)
	}, nil},
	{"/linux/memoryPolicy", func(b *bundle) {
		b.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	}, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "memory policy", f.Scheduling.Memory, unix.MPOL_INTERLEAVE)
	}, nil},
	{"/root/readonly", func(b *bundle) { b.Root.Readonly = true }, []string{"create:/new"}, func(t *testing.T, _ *bundle, f *facts) {
		probe(t, f, "create:/new", "EROFS")
	}, nil},
	{"/hostname", func(b *bundle) { b.Hostname, b.Domainname = "h.example", "d.example" }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "names", f.Hostname+" "+f.Domainname, "h.example d.example")
	}, nil},
	{"/mounts: tmpfs", func(b *bundle) {
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs", Source: "t", Options: []string{"size=64k", "mode=750", "noexec", "ro"}})
	}, []string{"stat:/t", "create:/t/x"}, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "type", f.mount("/t").fstype, "tmpfs")
		equal(t, "noexec", slices.Contains(f.mount("/t").options, "noexec"), true)
		probe(t, f, "create:/t/x", "EROFS")
	}, nil},
	{"/mounts: bind", func(b *bundle) {
		b.makeDirs("src")
		b.write("src/file", "content")
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/d", Type: "bind", Source: "src", Options: []string{"rbind", "rro", "nosuid"}})
	}, []string{"read:/d/file", "create:/d/x"}, func(t *testing.T, _ *bundle, f *facts) {
		probe(t, f, "read:/d/file", "content")
		probe(t, f, "create:/d/x", "EROFS")
	}, nil},
	{"/linux/devices", func(b *bundle) {
		b.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/full", Type: "c", Major: 1, Minor: 7}}
	}, []string{"open:/dev/full"}, func(t *testing.T, _ *bundle, f *facts) { probe(t, f, "open:/dev/full", "ok") }, nil},
	{
		"/linux/maskedPaths", func(b *bundle) { b.Linux.MaskedPaths = []string{"/proc/fs", "/proc/uptime", "/no/such"} },
		[]string{"list:/proc/fs", "read:/proc/uptime"},
		func(t *testing.T, _ *bundle, f *facts) {
			probe(t, f, "list:/proc/fs", "")
			probe(t, f, "read:/proc/uptime", "")
		}, nil,
	},
	{
		"/linux/readonlyPaths", func(b *bundle) { b.Linux.ReadonlyPaths = []string{"/proc/self/comm", "/tmp"} },
		[]string{"create:/tmp/x"},
		func(t *testing.T, _ *bundle, f *facts) { probe(t, f, "create:/tmp/x", "EROFS") }, nil,
	},
	{
		"/linux/sysctl", func(b *bundle) {
			b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.NetworkNamespace })
			b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
			b.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"}
		},
		[]string{"read:/proc/sys/net/ipv4/ip_default_ttl"},
		func(t *testing.T, _ *bundle, f *facts) { probe(t, f, "read:/proc/sys/net/ipv4/ip_default_ttl", "77") }, nil,
	},
	{
		"/linux/seccomp", func(b *bundle) {
			b.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow,
				Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: value(uint(unix.ENOTNAM))}},
			}
		},
		[]string{"mkdir:/tmp/dir"},
		func(t *testing.T, _ *bundle, f *facts) {
			probe(t, f, "mkdir:/tmp/dir", "ENOTNAM")
			equal(t, "Seccomp", f.status("Seccomp"), "2")
		}, nil,
	},
	{
		"/linux/timeOffsets", func(b *bundle) {
			b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			b.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}}
		},
		[]string{"read:/proc/self/timens_offsets"},
		func(t *testing.T, _ *bundle, f *facts) {
			probe(t, f, "read:/proc/self/timens_offsets", "monotonic 0 0 boottime 1000 0")
		}, nil,
	},
	{"/linux/namespaces", func(b *bundle) { b.ownCgroupNamespace() }, nil, func(t *testing.T, _ *bundle, f *facts) {
		for _, k := range []string{"mnt", "pid", "ipc", "uts", "cgroup"} {
			equal(t, k+" is the host's", f.NS[k] == nsOf(t, os.Getpid(), k), false)
		}
	}, nil},
	{"/linux/rootfsPropagation", func(b *bundle) { b.Linux.RootfsPropagation = "shared" }, nil, func(t *testing.T, _ *bundle, f *facts) {
		equal(t, "shared", strings.HasPrefix(strings.Join(f.mount("/").optional, " "), "shared:"), true)
	}, nil},
}

func TestMatrix(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			for _, p := range matrix {
				t.Run(s.name+p.pointer, func(t *testing.T) {
					b := s.make(t, v)
					b.Root.Readonly = false
					p.set(b)
					b.probe(p.probes...)
					words, refused := p.refused[s.name]
					if !refused {
						f := b.facts()
						p.seen(t, b, f)
						equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
						return
					}
					r := b.run()
					if r.status != 1 || !strings.Contains(r.stderr, words) || strings.Count(r.stderr, "\n") != 1 {
						t.Errorf("run: %v; want one line with %q", r, words)
					}
				})
			}
		}
	})
}
