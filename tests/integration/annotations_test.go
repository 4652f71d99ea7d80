package integration

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (b *bundle) annotate(name, value string) {
	if b.Annotations == nil {
		b.Annotations = map[string]string{}
	}
	b.Annotations[name] = value
}

// The process and each further one keep the groups of who calls husk, and get none of config.json.
func TestAnnotationKeepGroups(t *testing.T) {
	groups := []uint32{0, 7, 54322}
	eachView(t, func(t *testing.T, v *view) {
		t.Run("root", func(t *testing.T) {
			v.needsRoot(t, "its groups are root's")
			b := newBundle(t, v)
			b.user = &syscall.Credential{Groups: groups}
			b.annotate("run.oci.keep_original_groups", "1")
			b.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5}}
			b.detached("wait")
			for _, options := range [][]string{nil, {"--additional-gids", "9"}, {"--user", "0:0"}} {
				f := b.look(options)
				slices.Sort(f.Groups)
				equalList(t, "groups", f.Groups, []int{0, 7, 54322})
			}
			if got := groupsOf(t, b.state().Pid); got != "0 7 54322" {
				t.Errorf("groups of the first process: %s", got)
			}
			b.must("delete", "--force", b.id)
		})
		t.Run("off", func(t *testing.T) {
			b := newBundle(t, v)
			b.user = &syscall.Credential{Groups: groups}
			b.annotate("run.oci.keep_original_groups", "0")
			b.Process.User.AdditionalGids = []uint32{5}
			equalList(t, "groups", b.facts().Groups, []int{5})
		})
		t.Run("rootless", func(t *testing.T) {
			b := rootless(t, v)
			b.user.Groups = []uint32{rootlessID, 54322}
			b.annotate("run.oci.keep_original_groups", "1")
			b.detached("wait")
			if got := groupsOf(t, b.state().Pid); got != "54321 54322" {
				t.Errorf("groups of the first process: %s", got)
			}
			b.must("delete", "--force", b.id)
		})
		t.Run("root's in a user namespace", func(t *testing.T) {
			v.needsRoot(t, "its groups are root's")
			b := newBundle(t, v)
			b.inUser()
			b.annotate("run.oci.keep_original_groups", "1")
			if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, "/annotations/run.oci.keep_original_groups: root's groups in a user namespace") {
				t.Errorf("run: %v", r)
			}
		})
	})
}

// groupsOf are the supplementary groups of a process on the host.
func groupsOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	return (&facts{Status: string(data)}).status("Groups")
}

// A socket gets a pidfd without the option for it, and beside it.
func TestAnnotationPidfdReceiver(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		b.annotate("run.oci.pidfd_receiver", b.path("annotated.sock"))
		annotated, _ := receive(t, b, b.path("annotated.sock"))
		option, _ := receive(t, b, b.path("option.sock"))
		b.created("--pidfd-socket", b.path("option.sock"))
		for _, files := range []<-chan *os.File{annotated, option} {
			pidfd := <-files
			if pidfd == nil {
				t.Fatal("no pidfd came")
			}
			equal(t, "pid of the pidfd", pidOf(t, pidfd), b.state().Pid)
			pidfd.Close()
		}
		b.must("delete", "--force", b.id)
	})
}

// A socket at which nobody takes what comes keeps create no longer than anything else that it waits for.
func TestAnnotationPidfdReceiverThatIsFull(t *testing.T) {
	v := env.views[len(env.views)-1]
	eachView(t, func(t *testing.T, own *view) {
		if own != v {
			t.Skip("it takes ten seconds, and nothing in it depends on cgroups")
		}
		b := newBundle(t, own)
		name := b.path("full.sock")
		listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(listener)
		if err := errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: name}), unix.Listen(listener, 0)); err != nil {
			t.Fatal(err)
		}
		for err == nil { // until the queue is full
			var fd int
			if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err == nil {
				defer unix.Close(fd)
				err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
			}
		}
		equal(t, "a full queue", err, error(unix.EAGAIN))
		b.annotate("run.oci.pidfd_receiver", name)
		b.save()
		b.fails(1, "send the pidfd: ", "create", "--bundle", b.dir, b.id)
	})
}

// The agent that an annotation names has the listeners of the first process and of exec.
func TestAnnotationSeccompReceiver(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		a := newSupervisor(t, b.path("agent"))
		a.errno[unix.SYS_UNSHARE] = unix.ENOMEDIUM
		b.notify(true, "unshare")
		b.Linux.Seccomp.ListenerPath, b.Linux.Seccomp.ListenerMetadata = "", ""
		b.annotate("run.oci.seccomp.receiver", b.path("agent"))
		pid := b.detached("wait")
		state := <-a.states
		equal(t, "pid", state.Pid, pid)
		equal(t, "unshare in exec", b.look(nil, "unshare:").Probes["unshare:"], "ENOMEDIUM")
		b.must("delete", "--force", b.id)
	})
}

// An unknown system call is an error if that is asked for, whether the filter is in the cache or not.
func TestAnnotationUnknownSyscall(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"swapon", "no_such_call"}, Action: specs.ActErrno}}}
		for _, cached := range []string{"not in the cache", "in the cache"} {
			b.annotate("run.oci.seccomp_fail_unknown_syscall", "1")
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, `does not know "no_such_call", and /annotations wants every one known`) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s: %v", cached, r)
			}
			b.annotate("run.oci.seccomp_fail_unknown_syscall", "0")
			b.facts()
		}
		b.annotate("run.oci.seccomp_fail_unknown_syscall", "1")
		b.Linux.Seccomp.Syscalls[0].Names = []string{"swapon"}
		b.facts()
	})
}

// What is known and not served is named once, in the log alone, and the container is what it is without.
func TestAnnotationsIgnored(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		out := b.path("hook output")
		b.hook("prestart")
		for name, value := range map[string]string{
			"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": out, "run.oci.systemd.subgroup": "../..", "run.oci.timens_offset": "1",
			"run.oci.anything": "x", "org.criu.config": out, "org.example": "y",
		} {
			b.annotate(name, value)
		}
		b.save()
		b.must("--log", b.path("husk.log"), "run", "--bundle", b.dir, b.id)
		if _, err := os.Stat(out); err == nil {
			t.Error("an annotation had a file made")
		}
		data, err := os.ReadFile(b.path("husk.log"))
		if err != nil {
			t.Fatal(err)
		}
		const want = "/annotations: run.oci.hooks.stderr, run.oci.hooks.stdout, run.oci.systemd.subgroup, run.oci.timens_offset: not served by this runtime"
		if text := string(data); strings.Count(text, want) != 1 || strings.Count(text, "\n") != 1 {
			t.Errorf("log: %s", text)
		}
	})
}

// crun's option for a map of a mount's own.
func TestIDMapOption(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, mapsIDs)
		b := newBundle(t, v)
		b.makeDirs("src")
		b.write("src/file", "x")
		if err := os.Chown(b.path("src/file"), 3, 4); err != nil {
			t.Fatal(err)
		}
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/m", Type: "bind", Source: "src", Options: []string{"bind", "idmap=uids=0-1000-10;gids=0-2000-10"}})
		b.probe("stat:/m/file")
		equal(t, "owner", fields(b.facts().Probes["stat:/m/file"]), "100644 1003 2004 1")

		b.Spec.Mounts = b.Spec.Mounts[:len(b.Spec.Mounts)-1]
		b.running()
		b.mountsMust("add", specs.Mount{Destination: "/place", Source: "src", Options: []string{"bind", "idmap=uids=3-7-1;gids=4-8-1"}})
		equal(t, "owner in a mount that was added", fields(b.look(nil, "stat:/place/file").Probes["stat:/place/file"]), "100644 7 8 1")
		b.must("delete", "--force", b.id)
	})
}

// The container's processes are in a cgroup below its own, which is the root of what they see and has no process: so they may pass
// controllers on. Cgroup v1 can't do that.
func TestAnnotationDelegateCgroup(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.annotate("run.oci.delegate-cgroup", "pay.load")
		for i := range b.Spec.Mounts {
			if m := &b.Spec.Mounts[i]; m.Type == "cgroup" {
				m.Options = []string{"nosuid", "noexec", "nodev", "rw"}
			}
		}
		b.save()
		if !v.v2 {
			b.must("--log", b.path("husk.log"), "run", "--bundle", b.dir, b.id)
			if data, err := os.ReadFile(b.path("husk.log")); err != nil || !strings.Contains(string(data), "/annotations: run.oci.delegate-cgroup: not served by this runtime") {
				t.Errorf("log: %s, %v", data, err)
			}
			return
		}
		b.detached("wait")
		f := b.look(nil, "mkdir:/sys/fs/cgroup/other", "read:/sys/fs/cgroup/cgroup.procs")
		equal(t, "cgroup of exec is "+f.Cgroup, strings.HasSuffix(f.Cgroup, "0::/pay.load\n"), true)
		equal(t, "processes in the root", f.Probes["read:/sys/fs/cgroup/cgroup.procs"], "")
		equal(t, "a cgroup of the container's own", f.Probes["mkdir:/sys/fs/cgroup/other"], "ok")
		data, err := os.ReadFile("/proc/" + itoa(b.state().Pid) + "/cgroup")
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(data)), v.cgroup(b.id)+"/pay.load") {
			t.Errorf("cgroup of the first process: %s, %v", data, err)
		}
		equal(t, "processes of the container", len(pids(b)), 1)
		b.must("pause", b.id)
		b.status("paused")
		b.must("resume", b.id)
		b.must("delete", "--force", b.id)

		b.annotate("run.oci.delegate-cgroup", "payload")
		b.save()
		b.fails(1, `make cgroup "payload" below the container's: it is to have none`, "create", "--cgroup-manager=disabled", "--bundle", b.dir, b.id)
		b.annotate("run.oci.delegate-cgroup", "cgroup.procs") // a file of the kernel
		if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, "cgroup.procs: not a directory") {
			t.Errorf("run: %v", r)
		}
	})
}
