package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// execFacts starts another process in the running container and returns what it has found.
func (b *bundle) execFacts(options ...string) *facts {
	b.t.Helper()
	return parseFacts(b.t, b.must(slices.Concat([]string{"exec"}, options, []string{b.id, "/inside", "facts"})...))
}

func TestExec(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.Process.User.AdditionalGids = []uint32{50}
		b.Process.Env = append(b.Process.Env, "A=config")
		b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"unshare"}, Action: specs.ActErrno}}}
		b.Process.OOMScoreAdj = value(77)
		pid := b.detached("wait")
		set := bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")

		f := b.execFacts()
		checkIsolationOfExec(t, f)
		for _, k := range kinds {
			equal(t, k.file, f.NS[k.file], nsOf(t, pid, k.file))
		}
		equal(t, "cgroup", f.Cgroup, cgroupInside(f))
		equal(t, "Seccomp", f.status("Seccomp"), "2")
		equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "1")
		capabilities(t, f, set, set, set, 0, 0)
		equalList(t, "groups", f.Groups, []int{50})
		equalList(t, "argv", f.Argv, []string{"/inside", "facts"})
		includes(t, "env", f.Env, "A=config", "HOME=/")
		equal(t, "oom_score_adj", f.Oom, "77\n")
		equal(t, "limit of open files", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{1024, 1024})
		equal(t, "session", f.Sid, f.Pid)
		equal(t, "exe", f.Exe, "/inside")
		equal(t, "keyring", strings.HasSuffix(f.Keyring, ";_ses."+b.id), true)

		f = b.execFacts("--user", "1000:100", "--additional-gids", "7", "-g", "8", "--cwd", "/tmp", "--env", "A=exec", "-e", "B=2", "--cap", "CAP_CHOWN", "--no-new-privs=false")
		equal(t, "Uid", f.status("Uid"), "1000 1000 1000 1000")
		equal(t, "Gid", f.status("Gid"), "100 100 100 100")
		equalList(t, "groups", f.Groups, []int{7, 8, 50})
		equal(t, "cwd", f.Cwd, "/tmp")
		includes(t, "env", f.Env, "A=exec", "!A=config", "B=2")
		capabilities(t, f, set|bits("CAP_CHOWN"), 0, 0, 0, 0)
		equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "0")

		f = b.execFacts("--cap", "CAP_CHOWN")
		with := set | bits("CAP_CHOWN")
		capabilities(t, f, with, with, with, 0, 0)

		equal(t, "processes of the container", len(pids(b)), 1)
		b.must("delete", "--force", b.id)
	})
}

// cgroupInside is what the file says at the root of a cgroup namespace.
func cgroupInside(f *facts) string {
	var lines []string
	for line := range strings.Lines(f.Cgroup) {
		lines = append(lines, line[:strings.LastIndexByte(line, ':')]+":/\n")
	}
	return strings.Join(lines, "")
}

func checkIsolationOfExec(t *testing.T, f *facts) {
	t.Helper()
	equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	equal(t, "blocked signals", f.status("SigBlk"), strings.Repeat("0", 16))
	equal(t, "ignored signals", f.status("SigIgn"), strings.Repeat("0", 16))
	equal(t, "root is its own parent", f.Rooted, 1)
	equal(t, "parent", f.Ppid, 0)
	equal(t, "dumpable", f.Dumpable, 1)
	equal(t, "parent-death signal", f.Pdeathsig, 0)
	includes(t, "the root directory", f.Root, "inside", "!work", "!usr")
	if strings.Contains(f.Maps, "memfd") {
		t.Errorf("the interpreter is left in memory: %s", f.Maps)
	}
}

// pids are those of the container.
func pids(b *bundle) (list []int) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.must("ps", "--format", "json", b.id)), &list); err != nil {
		b.t.Fatal(err)
	}
	return list
}

func TestExecProcess(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		p := specs.Process{
			Args: []string{"/inside", "facts", "read:/etc/x"}, Cwd: "/etc", Env: []string{"ONLY=this"},
			User:            specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{9}, Umask: value[uint32](0o177)},
			Capabilities:    &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Inheritable: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_CHOWN"}},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}},
			NoNewPrivileges: true, OOMScoreAdj: value(500),
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		b.write("process.json", string(data))
		f := parseFacts(t, b.must("exec", "--process", b.path("process.json"), b.id))
		checkIsolationOfExec(t, f)
		equalList(t, "argv", f.Argv, p.Args)
		equalList(t, "env", f.Env, []string{"ONLY=this", "HOME=/"})
		equal(t, "cwd", f.Cwd, "/etc")
		equal(t, "Uid", f.status("Uid"), "5 5 5 5")
		equalList(t, "groups", f.Groups, []int{9})
		equal(t, "umask", f.Umask, 0o177)
		chown := bits("CAP_CHOWN")
		capabilities(t, f, chown, chown, chown, chown, chown)
		equal(t, "limit of open files", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{100, 200})
		equal(t, "oom_score_adj", f.Oom, "500\n")

		// Detached, with the file gone as soon as the command is back, and the bundle too.
		out := b.pipe()
		cmd := b.command("exec", "--process", b.path("process.json"), "--detach", "--pid-file", b.path("pid"), b.id)
		p.Args = []string{"/inside", "children", "2"}
		data, _ = json.Marshal(p)
		b.write("process.json", string(data))
		cmd.Stdout, cmd.Stderr = out.w, out.w
		if err := os.Rename(b.path("config.json"), b.path("config.old")); err != nil {
			t.Fatal(err)
		}
		b.spawn(cmd)
		out.w.Close()
		equal(t, "status", wait(t, cmd), 0)
		os.Remove(b.path("process.json"))
		out.expect("ready\n")
		data, _ = os.ReadFile(b.path("pid"))
		equal(t, "pid file", slices.Contains(pids(b), atoi(string(data))), true)
		equal(t, "processes of the container", len(pids(b)), 4)
		equal(t, "parent", parentOf(t, atoi(string(data))), os.Getpid())
		b.adopt(atoi(string(data)))
		b.must("delete", "--force", b.id)
	})
}

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

func TestExecPreserveFDs(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		cmd := b.command("exec", "--preserve-fds", "1", b.id, "/inside", "facts")
		for range 2 {
			f, err := os.Open(b.path("config.json"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		r := b.finish(cmd)
		f := parseFacts(t, r.stdout)
		equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2", "3"})
		equal(t, "descriptor 3", filepath.Base(f.Fds["3"]), "config.json")
		b.must("delete", "--force", b.id)
	})
}

// Sub-cgroups of the container's: where exec puts a process.
func TestExecCgroup(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		name := v.cgroup(b.id)
		top := "/sys/fs/cgroup/pids" + name
		options, line := []string{"--cgroup", "pids:sub"}, "pids:"+name+"/sub\n"
		if v.v2 {
			top = "/sys/fs/cgroup" + name
			options, line = []string{"--cgroup", "sub"}, "0::"+name+"/sub\n"
		}
		err := v.do(func() error { return os.Mkdir(top+"/sub", 0o755) })
		if err != nil {
			t.Fatal(err)
		}
		f := b.execFacts(options...)
		equal(t, "cgroup", strings.Contains(f.Cgroup, line), true)
		f = b.execFacts()
		equal(t, "cgroup without the option", strings.Contains(f.Cgroup, strings.TrimSuffix(line, "/sub\n")+"\n"), true)
		b.fails(255, "exec", "exec", "--cgroup", "missing", b.id, "/inside", "exit", "0")
		b.fails(255, "exec", "exec", "--cgroup", "../..", b.id, "/inside", "exit", "0")
		b.must("delete", "--force", b.id)
	})
}

func TestExecRefused(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("wait")
		b.fails(255, "exec args cannot be empty", "exec", b.id)
		b.fails(255, "Cwd", "exec", "--cwd", "relative", b.id, "/inside")
		b.fails(255, "", "exec", "--user", "nobody", b.id, "/inside")
		b.fails(255, "", "exec", "--process", "/nowhere", b.id)
		b.fails(255, "cannot allocate tty if runc will detach without setting console socket", "exec", "-t", "-d", b.id, "/inside")
		b.write("bad.json", `{"args": ["x"], "cwd": 3}`)
		b.fails(255, "/cwd", "exec", "--process", b.path("bad.json"), b.id)
		b.must("delete", "--force", b.id)
	})
}

// A container that shares the host's cgroups can move its processes away, and what is empty then can be removed.
func TestExecAfterInit(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if !v.v2 {
			t.Skip("cgroup v1 has a cgroup for each controller, of which some may be there")
		}
		if v.user != nil {
			t.Skip("a user can't leave what systemd has delegated")
		}
		b := newBundle(t, v)
		b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
		pid := b.detached("wait")
		top, other := "/sys/fs/cgroup"+v.cgroup(b.id), "/"+b.id+"-other"
		defer func() {
			b.must("delete", "--force", b.id)
			if err := v.do(func() error { return os.Remove("/sys/fs/cgroup" + other) }); err != nil {
				t.Error(err)
			}
		}()
		b.fails(255, "adding pid to its cgroup", "exec", "--cgroup", "gone", b.id, "/inside", "exit", "0")
		err := v.do(func() error {
			err := errors.Join(os.Mkdir("/sys/fs/cgroup"+other, 0o755), os.WriteFile("/sys/fs/cgroup"+other+"/cgroup.procs", []byte(itoa(pid)), 0))
			if rm := os.Remove(top); !errors.Is(rm, fs.ErrNotExist) { // systemd may have been first
				err = errors.Join(err, rm)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "cgroup", strings.Contains(b.execFacts().Cgroup, "0::"+other+"\n"), true)
		b.fails(255, "adding pid to its cgroup", "exec", "--cgroup", "sub", b.id, "/inside", "exit", "0")
	})
}

// A first process that has gone into a chroot(2), as servers of names and mail do, has gone there alone.
func TestExecAfterChroot(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		caps := []string{"CAP_SYS_CHROOT"}
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		b.makeDirs("rootfs/jail/deep/etc", "rootfs/place", "data")
		b.write("rootfs/etc/passwd", "root:x:0:0::/of/all:/\n")
		b.write("rootfs/jail/deep/etc/passwd", "root:x:0:0::/of/the/jail:/\n")
		b.detached("chroot", "/jail/deep")
		f := b.execFacts()
		equal(t, "cwd", f.Cwd, "/")
		includes(t, "env", f.Env, "HOME=/of/all")
		equal(t, "cwd", b.execFacts("--cwd", "/place").Cwd, "/place")
		b.must("delete", "--force", b.id)
	})
}

// A container whose root is a directory of the host's, which it was given as a descriptor, gets no further with the help of husk.
func TestExecAfterEscape(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the directory is on the way of others")
		b := newBundle(t, v)
		caps := []string{"CAP_SYS_CHROOT"}
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		b.makeDirs("data/deep")
		data, err := os.Open(b.path("data/deep"))
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		b.Process.Args = []string{"/inside", "chroot", "/proc/self/fd/3"}
		b.save()
		out := b.pipe()
		cmd := b.command("run", "--detach", "--preserve-fds", "1", "--bundle", b.dir, b.id)
		cmd.Stdout, cmd.ExtraFiles = out.w, []*os.File{data}
		b.spawn(cmd)
		out.w.Close()
		equal(t, "run --detach", wait(t, cmd), 0)
		out.expect("ready\n")
		for _, options := range [][]string{{}, {"--cwd", b.path("data")}, {"--tty", "--detach"}} {
			r := b.husk(slices.Concat([]string{"exec"}, options, []string{b.id, "/inside", "facts"})...)
			if r.status == 0 && !strings.Contains(r.stdout, `"cwd":"/"`) {
				t.Errorf("exec %v: %v", options, r)
			}
		}
		made := "/made-by-" + b.id
		b.write("mounts.json", `[{"destination": "`+made+`", "type": "tmpfs", "source": "tmpfs"}]`)
		b.fails(1, "/mounts/0: mount ", "mounts", "add", b.id, b.path("mounts.json"))
		if _, err := os.Stat(made); !os.IsNotExist(err) {
			os.Remove(made)
			t.Errorf("%s on the host: %v", made, err)
		}
		b.must("delete", "--force", b.id)
	})
}

// A container that has passed a controller on to cgroups below its own can't have processes in that any more.
func TestExecBesideInit(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if !v.v2 {
			t.Skip("cgroup v1 lets a cgroup with others below it have processes")
		}
		b := newBundle(t, v)
		// Which has the controller enabled. Beside v1 hierarchies v2 has the first, and a user is given the second.
		controller := "hugetlb"
		b.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1 << 30}}
		if v.user != nil {
			controller, b.Linux.Resources.HugepageLimits = "memory", nil
			b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: value[int64](1 << 30)}
		}
		pid := b.detached("wait")
		top := "/sys/fs/cgroup" + v.cgroup(b.id)
		err := v.do(func() error {
			err := os.Mkdir(top+"/sub", 0o755)
			if v.user != nil { // as if the container had made it
				err = errors.Join(err, os.Chown(top+"/sub/cgroup.procs", int(b.user.Uid), int(b.user.Gid)))
			}
			return errors.Join(err, os.WriteFile(top+"/sub/cgroup.procs", []byte(itoa(pid)), 0),
				os.WriteFile(top+"/cgroup.subtree_control", []byte("+"+controller), 0))
		})
		if err != nil {
			t.Fatal(err)
		}
		if f := b.execFacts(); !strings.Contains(f.Cgroup, v.cgroup(b.id)+"/sub\n") {
			t.Errorf("cgroup of exec: %q", f.Cgroup)
		}
		b.fails(255, "adding pid of the process to cgroups", "exec", "--cgroup", "/", b.id, "/inside", "exit", "0")
		b.must("delete", "--force", b.id)
	})
}
