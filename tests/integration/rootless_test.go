package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/specconv"
)

// rootlessID is a user that this machine does not have.
const rootlessID = 54321

// rootless makes a bundle of a user without privileges, with the configuration of `husk spec --rootless`. Its commands run as
// that user.
func rootless(t *testing.T, v *view) *bundle {
	t.Helper()
	if v.systemd {
		t.Skip("this user has no session, so no systemd")
	}
	b := newBundle(t, v)
	specconv.MakeRootless(b.Spec, rootlessID, rootlessID)
	b.Root.Readonly, b.Linux.CgroupsPath = false, "" // nobody has given this user a cgroup
	b.makeDirs("run")
	b.root = b.path("run/husk")
	err := filepath.WalkDir(b.dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() == "inside" {
			return err
		}
		return os.Chown(name, rootlessID, rootlessID)
	})
	if err == nil {
		err = os.Chmod(b.path("run"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.user = &syscall.Credential{Uid: rootlessID, Gid: rootlessID}
	b.environment = []string{"XDG_RUNTIME_DIR=" + b.path("run"), "HOME=" + b.dir}
	return b
}

// asUser starts a command as the bundle's user.
func (b *bundle) asUser(cmd *exec.Cmd) {
	if b.user == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Credential = b.user
	if b.mapped {
		own := []syscall.SysProcIDMap{{ContainerID: 0, HostID: rootlessID, Size: 1}, {ContainerID: 1, HostID: 300000, Size: 65536}}
		cmd.SysProcAttr.Credential = &syscall.Credential{}
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings, cmd.SysProcAttr.GidMappingsEnableSetgroups = own, own, true
	}
	if b.cgroup > 0 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, b.cgroup
	}
	if b.v.user != nil {
		b.giveAway()
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, b.environment...)
}

// subordinate gives the user ids of its own, in this view alone: newuidmap(1) reads these files.
func (b *bundle) subordinate() {
	t := b.t
	t.Helper()
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("no newuidmap(1): package uidmap")
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": fmt.Sprintf("%s\nhusk-rootless:x:%d:%d::/:/bin/false\n", passwd, rootlessID, rootlessID),
		"subuid": "husk-rootless:300000:65536\n",
		"subgid": "husk-rootless:400000:65536\n",
	} {
		b.write("etc-"+name, text)
		if _, err := os.Stat("/etc/" + name); err != nil {
			t.Skip(err)
		}
		b.v.mountFor(t, b.path("etc-"+name), "/etc/"+name)
	}
	b.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: rootlessID, Size: 1}, {ContainerID: 1, HostID: 300000, Size: 65536}}
	b.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: rootlessID, Size: 1}, {ContainerID: 1, HostID: 400000, Size: 65536}}
}

func TestRootless(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		t.Run("own id alone", func(t *testing.T) {
			b := rootless(t, v)
			b.probe("read:/proc/self/uid_map", "read:/proc/self/setgroups", "write:/dev/null", "create:/tmp/new", "read:/proc/self/oom_score_adj")
			score := 500
			b.Process.OOMScoreAdj = &score
			f := b.facts()
			equal(t, "ids", f.status("Uid"), "0 0 0 0")
			equal(t, "map", fields(f.Probes["read:/proc/self/uid_map"]), fmt.Sprintf("0 %d 1", rootlessID))
			equal(t, "setgroups", fields(f.Probes["read:/proc/self/setgroups"]), "deny")
			equal(t, "write to /dev/null", f.Probes["write:/dev/null"], "ok")
			equal(t, "create", f.Probes["create:/tmp/new"], "ok")
			equal(t, "oom_score_adj", fields(f.Probes["read:/proc/self/oom_score_adj"]), "500")
			equal(t, "CapAmb", f.capabilities("CapAmb"), 0)
			equal(t, "CapEff", f.capabilities("CapEff"), 1<<unix.CAP_AUDIT_WRITE|1<<unix.CAP_KILL|1<<unix.CAP_NET_BIND_SERVICE)
			equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
		})
		t.Run("groups with the own id alone", func(t *testing.T) {
			b := rootless(t, v)
			b.Linux.GIDMappings[0].ContainerID = 5
			b.Process.User = specs.User{GID: 5, AdditionalGids: []uint32{5}}
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, "/process/user/additionalGids") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("run: %v", r)
			}
		})
		t.Run("subordinate ids", func(t *testing.T) {
			b := rootless(t, v)
			b.subordinate()
			b.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{50}}
			b.probe("read:/proc/self/uid_map", "read:/proc/self/gid_map")
			f := b.facts()
			equal(t, "ids", f.status("Uid"), "1000 1000 1000 1000")
			equalList(t, "groups", f.Groups, []int{50})
			equal(t, "uid map", fields(f.Probes["read:/proc/self/uid_map"]), "0 54321 1 1 300000 65536")
			equal(t, "gid map", fields(f.Probes["read:/proc/self/gid_map"]), "0 54321 1 1 400000 65536")
		})
		t.Run("a working directory of the user alone", func(t *testing.T) {
			b := rootless(t, v)
			b.subordinate()
			b.makeDirs("private")
			// The group is none that the container knows, so its root has no rights there.
			if err := errors.Join(os.Chmod(b.path("private"), 0o700), os.Chown(b.path("private"), 300000-1+1000, 0)); err != nil {
				t.Fatal(err)
			}
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/private", Source: b.path("private"), Type: "bind", Options: []string{"bind"}})
			b.Process.Cwd, b.Process.User = "/private", specs.User{UID: 1000, GID: 100}
			equal(t, "cwd", b.facts().Cwd, "/private")
			b.Process.User.UID = 1001
			if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, `/process/cwd: change to directory "/private": permission denied`) {
				t.Errorf("run: %v", r)
			}
		})
		t.Run("a tmpfs of another user", func(t *testing.T) {
			b := rootless(t, v)
			b.subordinate()
			b.makeDirs("rootfs/up/sub")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"uid=7", "tmpcopyup"}})
			if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, ": copy the directory up into the tmpfs: it belongs to another user (uid=): ") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("run: %v", r)
			}
		})
		t.Run("ids of others", func(t *testing.T) {
			b := rootless(t, v)
			b.subordinate()
			b.Linux.UIDMappings[1].HostID = 500000
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, "/linux/uidMappings: map the ids: ") || !strings.Contains(r.stderr, "/etc/subuid") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("run: %v", r)
			}
		})
		t.Run("life", func(t *testing.T) {
			b := rootless(t, v)
			b.Process.Args = []string{"/inside", "wait"}
			b.created()
			b.status("created")
			b.must("start", b.id)
			b.status("running")
			f := parseFacts(t, b.must("exec", b.id, "/inside", "facts"))
			equal(t, "ids of exec", f.status("Uid"), "0 0 0 0")
			equal(t, "user", f.NS["user"], nsOf(t, b.state().Pid, "user"))
			b.must("kill", b.id, "KILL")
			awaitEnd(b.state().Pid, limit)
			b.must("delete", b.id)
		})
		t.Run("exec with privileges that create did not have", func(t *testing.T) {
			b := rootless(t, v)
			b.detached("wait")
			privileged := func(options ...string) result {
				cmd := b.command(slices.Concat([]string{"exec"}, options, []string{b.id, "/inside", "facts"})...)
				cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID}}
				return b.finish(cmd)
			}
			r := privileged()
			if r.status != 0 || r.stderr != "" {
				t.Fatal(r) // the user namespace is the same as before, and has nobody set groups
			}
			equalList(t, "groups", parseFacts(t, r.stdout).Groups, nil)
			if r = privileged("--additional-gids", "0"); r.status != 255 || !strings.Contains(r.stderr, "/process/user/additionalGids") || strings.Count(r.stderr, "\n") != 1 {
				t.Error(r)
			}
			b.must("delete", "--force", b.id)
		})
		// How Podman calls a runtime for a user: as root of the user's namespace, which has no right to any cgroup.
		t.Run("root of a user namespace", func(t *testing.T) {
			b := rootless(t, v)
			b.mapped = true
			b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
			b.Linux.UIDMappings, b.Linux.GIDMappings = nil, nil
			b.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{50}}
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
			b.probe("read:/proc/self/uid_map", "write:/dev/null", "list:/sys/fs/cgroup", "list:/sys/fs/cgroup/memory")
			f := b.facts()
			if !v.v2 { // it stays in our cgroups, and sees them
				includes(t, "hierarchies", strings.Fields(f.Probes["list:/sys/fs/cgroup"]), "pids", "memory", "cpu", "systemd")
				includes(t, "memory", strings.Fields(f.Probes["list:/sys/fs/cgroup/memory"]), "memory.limit_in_bytes")
			}
			equal(t, "ids", f.status("Uid"), "1000 1000 1000 1000")
			equalList(t, "groups", f.Groups, []int{50})
			equal(t, "uid map", fields(f.Probes["read:/proc/self/uid_map"]), "0 54321 1 1 300000 65536")
			equal(t, "write to /dev/null", f.Probes["write:/dev/null"], "ok")
		})
		t.Run("a joined user namespace", func(t *testing.T) {
			joining := rootless(t, v)
			b := rootless(t, v)
			pid := b.detached("wait")
			joining.joinUser(pid)
			joining.Linux.UIDMappings, joining.Linux.GIDMappings = nil, nil
			f := joining.facts()
			equal(t, "user", f.NS["user"], nsOf(t, pid, "user"))
			equal(t, "ids", f.status("Uid"), "0 0 0 0")
			b.must("delete", "--force", b.id)
		})
		t.Run("the caller's cgroup", func(t *testing.T) {
			if v.v2 {
				t.Skip("on cgroup v2 a mount of type cgroup is one of its tree, or binds it")
			}
			b := rootless(t, v)
			b.probe("read:/sys/fs/cgroup/pids/tasks")
			for _, own := range []bool{true, false} {
				if !own {
					without(b, specs.CgroupNamespace)
				}
				b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
				b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}})
				if got := b.facts().Probes["read:/sys/fs/cgroup/pids/tasks"]; !strings.ContainsAny(got, "0123456789") {
					t.Errorf("tasks of the cgroup, with a namespace %v: %q", own, got)
				}
			}
		})
		t.Run("a delegated cgroup", func(t *testing.T) {
			b := rootless(t, v)
			own := filepath.Join(v.hierarchies[0], env.name+"-delegated")
			if v.v2 {
				b.delegate(own)
			} else {
				b.delegateV1(env.name + "-delegated")
			}
			b.Linux.CgroupsPath = "/" + env.name + "-delegated/container"
			pid := b.detached("wait")
			where, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err != nil || !strings.Contains(string(where), "/"+env.name+"-delegated/container\n") {
				t.Errorf("cgroup %q, %v", where, err)
			}
			b.must("pause", b.id)
			b.status("paused")
			b.must("resume", b.id)
			b.must("delete", "--force", b.id)
		})
	})
}

// delegate makes a cgroup that the user may make others in, and puts the commands there (cgroups(7), "Delegation").
func (b *bundle) delegate(dir string) {
	b.t.Helper()
	err := b.v.do(func() error {
		if err := os.MkdirAll(filepath.Join(dir, "commands"), 0o755); err != nil {
			return err
		}
		for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control", "commands", "commands/cgroup.procs"} {
			if err := os.Chown(filepath.Join(dir, name), rootlessID, rootlessID); err != nil {
				return err
			}
		}
		fd, err := unix.Open(filepath.Join(dir, "commands"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		b.cgroup = fd
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		unix.Close(b.cgroup)
		b.v.do(func() error {
			os.Remove(filepath.Join(dir, "commands"))
			return os.Remove(dir)
		})
	})
}

// delegateV1 makes a cgroup in each hierarchy of v1 that the user may make others in. Nobody delegates the tree of v2 beside them.
func (b *bundle) delegateV1(name string) {
	b.t.Helper()
	err := b.v.do(func() error {
		for _, mount := range b.v.hierarchies {
			dir := filepath.Join(mount, name)
			if filepath.Base(mount) == "unified" {
				continue
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			for _, file := range []string{"", "cgroup.procs", "tasks", "cpuset.cpus", "cpuset.mems"} {
				if err := os.Chown(filepath.Join(dir, file), rootlessID, rootlessID); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.t.Error(err)
	}
	b.t.Cleanup(func() {
		err := b.v.do(func() (err error) {
			for _, mount := range b.v.hierarchies {
				if e := os.Remove(filepath.Join(mount, name)); !os.IsNotExist(e) {
					err = errors.Join(err, e)
				}
			}
			return err
		})
		if err != nil {
			b.t.Error(err)
		}
	})
}
