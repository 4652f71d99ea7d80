package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// kase is one configuration and what the program in the container finds.
type kase struct {
	name  string
	patch func(*bundle)
	want  func(*testing.T, *bundle, *facts)
}

// runAll runs each case as a container, with what every container must be like.
func runAll(t *testing.T, cases []kase) {
	t.Helper()
	eachView(t, func(t *testing.T, v *view) {
		for _, k := range cases {
			t.Run(k.name, func(t *testing.T) {
				b := newBundle(t, v)
				k.patch(b)
				f := b.facts()
				equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
				equal(t, "root is its own parent", f.Rooted, 1)
				k.want(t, b, f)
			})
		}
	})
}

// value returns a pointer to a copy, for optional members of the configuration.
func value[T any](v T) *T { return &v }

// bits is a set of capabilities as the kernel prints it.
func bits(names ...string) (set uint64) {
	numbers := map[string]uint{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_KILL": unix.CAP_KILL, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_BPF": unix.CAP_BPF,
		"CAP_SETPCAP": unix.CAP_SETPCAP,
	}
	for _, name := range names {
		set |= 1 << numbers[name]
	}
	return set
}

// capabilities checks all five sets.
func capabilities(t *testing.T, f *facts, bounding, effective, permitted, inheritable, ambient uint64) {
	t.Helper()
	equal(t, "CapBnd", f.capabilities("CapBnd"), bounding)
	equal(t, "CapEff", f.capabilities("CapEff"), effective)
	equal(t, "CapPrm", f.capabilities("CapPrm"), permitted)
	equal(t, "CapInh", f.capabilities("CapInh"), inheritable)
	equal(t, "CapAmb", f.capabilities("CapAmb"), ambient)
}

func TestProcess(t *testing.T) {
	runAll(t, []kase{
		{"user", func(b *bundle) {
			b.v.needsRoot(b.t, "not all of these ids are mapped")
			b.Process.User = specs.User{UID: 1234, GID: 567, AdditionalGids: []uint32{5, 100, 4294967294}, Umask: value[uint32](0o137)}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "Uid", f.status("Uid"), "1234 1234 1234 1234")
			equal(t, "Gid", f.status("Gid"), "567 567 567 567")
			equal(t, "Groups", f.status("Groups"), "5 100 4294967294")
			equal(t, "umask", f.Umask, 0o137)
			// capabilities(7): execve by another user than root keeps none but the bounding set and the ambient one.
			set := bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
			capabilities(t, f, set, 0, 0, 0, 0)
			equal(t, "HOME", slices.Contains(f.Env, "HOME=/"), true)
		}},
		{"the largest ids", func(b *bundle) {
			b.v.needsRoot(b.t, "not all of these ids are mapped")
			b.Process.User = specs.User{UID: 4294967294, GID: 4294967294}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "Uid", f.status("Uid"), strings.TrimSpace(strings.Repeat("4294967294 ", 4)))
			equal(t, "Gid", f.status("Gid"), strings.TrimSpace(strings.Repeat("4294967294 ", 4)))
		}},
		{"many groups", func(b *bundle) {
			b.v.needsRoot(b.t, "not all of these ids are mapped")
			for i := range uint32(65536) { // NGROUPS_MAX
				b.Process.User.AdditionalGids = append(b.Process.User.AdditionalGids, 1000+i)
			}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "number of groups", len(f.Groups), 65536)
			equal(t, "last group", f.Groups[65535], 66535)
		}},
		{"a size for no console", func(b *bundle) {
			b.Process.ConsoleSize = &specs.Box{Height: 1 << 20, Width: 1 << 20}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "there is a terminal", f.TTY != nil, false)
		}},
		{"umask 0", func(b *bundle) {
			b.Process.User.Umask = value[uint32](0)
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "umask", f.Umask, 0)
			equal(t, "mode of /dev/null", f.Nodes["/dev/null"].Mode, unix.S_IFCHR|0o666)
		}},
		{"home", func(b *bundle) {
			b.write("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:a:/home/anna:/bin/sh\n")
			b.Process.User.UID = 1000
		}, func(t *testing.T, b *bundle, f *facts) {
			includes(t, "env", f.Env, "HOME=/home/anna")
		}},
		{"home is given", func(b *bundle) {
			b.write("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
			b.Process.Env = []string{"HOME=/here", "A=1", "A=2", "B=", "C=x=y", "D=\"\\ü\n"}
		}, func(t *testing.T, b *bundle, f *facts) {
			got := slices.Sorted(slices.Values(f.Env))
			equalList(t, "env", got, []string{"A=2", "B=", "C=x=y", "D=\"\\\u00c3\u00bc\n", "HOME=/here"})
		}},
		{"arguments", func(b *bundle) {
			b.Process.Args = append(b.Process.Args, "", "a b", "\"quoted\"", "-x", strings.Repeat("z", 100_000))
		}, func(t *testing.T, b *bundle, f *facts) {
			equalList(t, "argv", f.Argv, b.Process.Args)
		}},
		{"program in PATH", func(b *bundle) {
			link(b, "inside", "rootfs/bin/look")
			b.Process.Args[0] = "look"
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "exe", f.Exe, "/bin/look")
			equalList(t, "argv", f.Argv, []string{"look", "facts"})
		}},
		{"relative program", func(b *bundle) {
			b.Process.Cwd, b.Process.Args[0] = "/bin", "../inside"
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "exe", f.Exe, "/inside")
			equal(t, "cwd", f.Cwd, "/bin")
		}},
		{"cwd is made", func(b *bundle) {
			b.Process.Cwd = "/new/place"
			b.probe("stat:/new/place")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "cwd", f.Cwd, "/new/place")
			equal(t, "owner and mode", strings.HasPrefix(f.Probes["stat:/new/place"], "40755 0 0 "), true)
		}},
		{"capabilities", func(b *bundle) {
			b.Process.Capabilities = &specs.LinuxCapabilities{
				Bounding:    []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_BPF"},
				Permitted:   []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"},
				Inheritable: []string{"CAP_CHOWN", "CAP_KILL"},
				Effective:   []string{"CAP_CHOWN", "CAP_NET_RAW"},
				Ambient:     []string{"CAP_CHOWN"},
			}
			b.Process.User.UID, b.Process.NoNewPrivileges = 1, false
		}, func(t *testing.T, b *bundle, f *facts) {
			chown := bits("CAP_CHOWN")
			capabilities(t, f, bits("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_BPF"), chown, chown, bits("CAP_CHOWN", "CAP_KILL"), chown)
			equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "0")
		}},
		{"no capabilities", func(b *bundle) {
			b.Process.Capabilities = &specs.LinuxCapabilities{}
		}, func(t *testing.T, b *bundle, f *facts) {
			capabilities(t, f, 0, 0, 0, 0, 0)
		}},
		{"root's capabilities", func(b *bundle) {
			b.Process.Capabilities.Bounding = append(b.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
			b.Process.Capabilities.Permitted = b.Process.Capabilities.Bounding
		}, func(t *testing.T, b *bundle, f *facts) {
			set := bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN")
			capabilities(t, f, set, set, set, 0, 0)
		}},
		{"limits", func(b *bundle) {
			b.Process.Rlimits = nil
			for i, name := range limitNames {
				if l := hostLimit(i); l.Max >= 64 {
					b.Process.Rlimits = append(b.Process.Rlimits, specs.POSIXRlimit{Type: name, Soft: limitFor(i, l) - 1, Hard: limitFor(i, l)})
				}
			}
		}, func(t *testing.T, b *bundle, f *facts) {
			for i, name := range limitNames {
				if l := hostLimit(i); l.Max >= 64 {
					equal(t, name, f.Limits[i], [2]uint64{limitFor(i, l) - 1, limitFor(i, l)})
				}
			}
		}},
		{"few descriptors", func(b *bundle) {
			b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 6, Hard: 7}, {Type: "RLIMIT_CORE"}}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "RLIMIT_NOFILE", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{6, 7})
			equal(t, "RLIMIT_CORE", f.Limits[unix.RLIMIT_CORE], [2]uint64{0, 0})
		}},
		{"limits are inherited", func(b *bundle) {
			b.Process.Rlimits = nil
		}, func(t *testing.T, b *bundle, f *facts) {
			for i, name := range limitNames {
				l := hostLimit(i)
				if i == unix.RLIMIT_NOFILE { // a Go program raises its own soft limit and has to give it back
					equal(t, name, f.Limits[i][1], l.Max)
					continue
				}
				equal(t, name, f.Limits[i], [2]uint64{l.Cur, l.Max})
			}
		}},
		{"oom_score_adj", func(b *bundle) {
			b.Process.OOMScoreAdj = value(321)
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "oom_score_adj", f.Oom, "321\n")
		}},
		{"oom_score_adj without /proc", func(b *bundle) {
			b.Process.OOMScoreAdj = value(123)
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/proc" })
			bind(b, "seen", "/seen", "bind")
			b.Linux.MaskedPaths, b.Linux.ReadonlyPaths = nil, nil
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "files in /proc", len(f.Proc), 0)
		}},
		{"sysctl", func(b *bundle) {
			b.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "65536", "fs.mqueue.msg_max": "11", "net/ipv4/ping_group_range": "5 7"}
			b.probe("read:/proc/sys/net/ipv4/ip_forward", "read:/proc/sys/kernel/shmmax", "read:/proc/sys/fs/mqueue/msg_max", "read:/proc/sys/net/ipv4/ping_group_range", "write:/proc/sys/kernel/shmmax")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "ip_forward", f.Probes["read:/proc/sys/net/ipv4/ip_forward"], "1\n")
			equal(t, "shmmax", f.Probes["read:/proc/sys/kernel/shmmax"], "65536\n")
			equal(t, "msg_max", f.Probes["read:/proc/sys/fs/mqueue/msg_max"], "11\n")
			equal(t, "ping_group_range", f.Probes["read:/proc/sys/net/ipv4/ping_group_range"], "5\t7\n")
			equal(t, "write", f.Probes["write:/proc/sys/kernel/shmmax"], "EROFS")
		}},
		{"seccomp", func(b *bundle) {
			b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
				{Names: []string{"unshare"}, Action: specs.ActErrno, ErrnoRet: value(uint(unix.EXDEV))},
				{Names: []string{"socket"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Value: unix.AF_NETLINK, Op: specs.OpEqualTo}}},
			}}
			b.probe("unshare:", "socket:")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "Seccomp", f.status("Seccomp"), "2")
			equal(t, "filters", f.status("Seccomp_filters"), "1")
			equal(t, "unshare", f.Probes["unshare:"], "EXDEV")
			equal(t, "socket", f.Probes["socket:"], "EPERM")
			again := b.facts() // the filter comes from the cache now
			equal(t, "unshare, filter from the cache", again.Probes["unshare:"], "EXDEV")
		}},
		{"seccomp without no_new_privs", func(b *bundle) {
			b.Process.NoNewPrivileges = false
			b.Process.User.UID = 1000
			b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"unshare"}, Action: specs.ActErrno}}}
			b.probe("unshare:")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "Seccomp", f.status("Seccomp"), "2")
			equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "0")
			equal(t, "unshare", f.Probes["unshare:"], "EPERM")
		}},
		{"annotations and unknown members", func(b *bundle) {
			b.Annotations = map[string]string{"org.example": "x"}
		}, func(t *testing.T, b *bundle, f *facts) {}},
	})
}

// limitNames by number.
var limitNames = []string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

func hostLimit(i int) (l unix.Rlimit) {
	if err := unix.Prlimit(os.Getppid(), i, nil, &l); err != nil {
		panic(err)
	}
	return l
}

// limitFor is a value that may be set and that the container's program survives.
func limitFor(i int, l unix.Rlimit) uint64 {
	return min(l.Max, 1<<30+uint64(i)) - 1
}

// link makes another name for a file of the bundle.
func link(b *bundle, from, to string) {
	b.t.Helper()
	if err := os.Link(b.path("rootfs/"+from), b.path(to)); err != nil {
		b.t.Fatal(err)
	}
}

// bind adds a bind mount of a directory of the bundle, which is made.
func bind(b *bundle, source, destination string, options ...string) {
	b.t.Helper()
	b.makeDirs(source)
	b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: destination, Type: "bind", Source: filepath.Join(b.dir, source), Options: options})
}

func TestNoNewKeyring(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		f := b.facts("--no-new-keyring")
		if strings.Contains(f.Keyring, b.id) {
			t.Errorf("keyring %q is a new one", f.Keyring)
		}
	})
}

func TestPreserveFDs(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.save()
		cmd := b.command("run", "--bundle", b.dir, "--preserve-fds", "2", b.id)
		for _, name := range []string{"three", "four", "five"} {
			b.write(name, name)
			f, err := os.Open(b.path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		r := b.finish(cmd)
		if r.status != 0 {
			t.Fatal(r)
		}
		f := parseFacts(t, r.stdout)
		equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2", "3", "4"})
		equal(t, "descriptor 3", filepath.Base(f.Fds["3"]), "three")
		equal(t, "descriptor 4", filepath.Base(f.Fds["4"]), "four")

		b.fails(1, "unable to stat preserved-fd", "run", "--bundle", b.dir, "--preserve-fds", "5", b.id)
	})
}

// What the caller ignores, blocks or has set for itself must not get into the container.
func TestCallersHabits(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		sh, err := os.Stat("/bin/sh")
		if err != nil || sh.IsDir() {
			t.Skip("no /bin/sh")
		}
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.save()
		cmd := b.command("run", "--bundle", b.dir, b.id)
		script := `trap '' HUP INT QUIT USR1 PIPE TERM CHLD; umask 077; cd /proc/self; exec 5</ 7</etc/passwd 9</dev/null; exec "$@"`
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", script, "sh"}, cmd.Args...)
		cmd.Env = append(os.Environ(), "LISTEN_FDS=", "_OCI_SYNCPIPE=3", "SECRET=x")
		r := b.finish(cmd)
		if r.status != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		f := parseFacts(t, r.stdout)
		checkIsolation(t, v, f)
		equal(t, "umask", f.Umask, 0o022)
		equalList(t, "env", f.Env, append(b.Process.Env, "HOME=/"))
	})
}
