package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// One container of the default configuration, looked at from all sides.
func TestDefault(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.Domainname = "example.org"
		f := b.facts()
		checkIsolation(t, v, f)
		equal(t, "hostname", f.Hostname, "inside")
		equal(t, "domainname", f.Domainname, "example.org")
		equalList(t, "argv", f.Argv, []string{"/inside", "facts"})
		equalList(t, "env", f.Env, append(b.Process.Env, "HOME=/"))
		equal(t, "cwd", f.Cwd, "/")
		equal(t, "umask", f.Umask, 0o022)
		equal(t, "exe", f.Exe, "/inside")
		equal(t, "comm", f.Comm, "inside\n")
		equal(t, "Uid", f.status("Uid"), "0 0 0 0")
		equal(t, "Gid", f.status("Gid"), "0 0 0 0")
		equalList(t, "groups", f.Groups, nil)
		equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "1")
		equal(t, "Seccomp", f.status("Seccomp"), "0")
		equal(t, "pid", f.Pid, 1)
		equal(t, "parent", f.Ppid, 0)
		equal(t, "session", f.Sid, 1)
		equal(t, "process group", f.Pgid, 1)
		equal(t, "limit of open files", f.Limits[7], [2]uint64{1024, 1024})
		equal(t, "keyring", strings.HasSuffix(f.Keyring, ";_ses."+b.id), true)
		equal(t, "cgroup seen through the namespace", strings.Count(f.Cgroup, ":/\n"), strings.Count(f.Cgroup, "\n"))
		equal(t, "propagation of the root", strings.HasPrefix(strings.Join(f.mount("/").optional, " "), "master:"), true)
		for name, number := range map[string]int{"stdin": 0, "stdout": 1, "stderr": 2} {
			equal(t, "/dev/"+name, f.Nodes["/dev/"+name].Link, fmt.Sprintf("/proc/self/fd/%d", number))
		}
	})
}

// The section linux is optional. Without it the container shares all namespaces with the host.
func TestNoLinuxSection(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "without it there is no user namespace")
		b := newBundle(t, v)
		b.Linux, b.Mounts, b.Hostname = nil, nil, ""
		f := b.facts()
		equal(t, "root is its own parent", f.Rooted, 1)
		equal(t, "uid", f.UID, 0)
		equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	})
}

// What can't be granted is left out, and said on standard error (config.md#linux-process).
func TestUngrantedCapabilities(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding:    []string{"CAP_KILL", "CAP_OF_TOMORROW"},
			Permitted:   []string{"CAP_KILL"},
			Effective:   []string{"CAP_KILL", "CAP_CHOWN"},
			Inheritable: []string{"CAP_CHOWN", "CAP_KILL"},
			Ambient:     []string{"CAP_CHOWN"},
		}
		b.Process.User.UID = 1 // execve gives root what is bounding
		r := b.run()
		equal(t, "status", r.status, 0)
		f := parseFacts(t, r.stdout)
		kill := bits("CAP_KILL")
		capabilities(t, f, kill, 0, 0, kill, 0)
		for _, words := range []string{
			"leave out CAP_CHOWN of /process/capabilities/effective", "leave out CAP_CHOWN of /process/capabilities/inheritable",
			"can't raise ambient capability CAP_CHOWN: ", "leave out CAP_OF_TOMORROW of /process/capabilities: unknown",
		} {
			equal(t, "the warning "+words, strings.Contains(r.stderr, "level=warning msg=\""+words), true)
		}
		equal(t, "lines on standard error", strings.Count(r.stderr, "\n"), 4)

		b.Process.Capabilities = nil
		b.detached("wait")
		r = b.husk("exec", "--cap", "CAP_OF_TOMORROW", b.id, "/inside", "facts")
		equal(t, "status of exec", r.status, 0)
		equal(t, "a warning of exec", strings.Contains(r.stderr, "leave out CAP_OF_TOMORROW"), true)
		b.must("delete", "--force", b.id)
	})
}

// checkIsolation looks for anything of the host or of the runtime in a container of the default shape.
func checkIsolation(t *testing.T, v *view, f *facts) {
	t.Helper()
	equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	equal(t, "pending and blocked signals", f.status("SigBlk")+f.status("SigPnd")+f.status("ShdPnd"), strings.Repeat("0", 48))
	equal(t, "ignored and caught signals", f.status("SigIgn")+f.status("SigCgt"), strings.Repeat("0", 32))
	equal(t, "threads", f.status("Threads"), "1")
	equal(t, "tracer", f.status("TracerPid"), "0")
	equal(t, "root is its own parent", f.Rooted, 1)
	equal(t, "parent-death signal", f.Pdeathsig, 0)
	equal(t, "dumpable", f.Dumpable, 1)
	equal(t, "securebits", f.Securebits, 0)
	equal(t, "keepcaps", f.Keepcaps, 0)
	equal(t, "subreaper", f.Subreaper, 0)
	if strings.Contains(f.Maps, "memfd") || strings.Contains(f.Maps, "husk") {
		t.Errorf("the interpreter is left in memory: %s", f.Maps)
	}
	for _, name := range f.Proc {
		if name[0] >= '0' && name[0] <= '9' && name != "1" {
			t.Errorf("the container sees process %s", name)
		}
	}
	for kind, ns := range f.NS {
		host, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if own := kind != "user" && kind != "time" || kind == "user" && v.user != nil; (ns != host) != own {
			t.Errorf("%s namespace: %s, the host's is %s", kind, ns, host)
		}
	}
	for _, m := range f.mounts() {
		if strings.Contains(m.point, env.dir) || strings.Contains(fmt.Sprint(m.optional), "shared") {
			t.Errorf("mount %+v is the host's or reaches it", m)
		}
	}
	if f.Mounts >= 0 {
		equal(t, "mounts that listmount(2) knows", f.Mounts, len(f.mounts()))
	}
}
