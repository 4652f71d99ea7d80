package security

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// CVE-2024-21626: no working directory is outside, whatever descriptor or link leads there.
func TestWorkingDirectory(t *testing.T) {
	b := newBox(t)
	dir, _ := outside(b)
	climb := `cat ` + strings.Repeat("../", 20) + dir[1:] + `/secret 2>/dev/null; pwd`
	bundle := b.Bundle()
	seen := func(what string, res harness.Result) {
		t.Helper()
		if strings.Contains(res.Out, "of the host") {
			t.Errorf("%s: %s", what, res.Out)
		}
		if res.Code == 0 && !strings.HasPrefix(res.Out, "/") {
			t.Errorf("%s: the working directory is %q", what, res.Out)
		}
	}
	for fd := range 20 {
		name := "/proc/self/fd/" + strconv.Itoa(fd)
		b.Configure(bundle, shell(climb), `/process/cwd "`+name+`"`)
		seen("cwd "+name, run(b, bundle))
		b.Configure(bundle, `/process/args ["`+name+strings.Repeat("/..", 10)+`/bin/sh", "-c", "echo ran"]`)
		if res := run(b, bundle); strings.Contains(res.Out, "ran") {
			t.Errorf("%s leads to a program", name)
		}
		link(b, bundle, "data/fd"+strconv.Itoa(fd), name)
	}
	b.Configure(bundle, sleeps)
	detached(b, bundle)
	for fd := range 20 {
		for _, name := range []string{"/proc/self/fd/" + strconv.Itoa(fd), "/data/fd" + strconv.Itoa(fd), "/proc/1/cwd/data/fd" + strconv.Itoa(fd)} {
			seen("exec --cwd "+name, b.Husk("exec", "--cwd", name, "c", "/bin/sh", "-c", climb))
		}
	}
}

// descriptors are the links below /proc/PID/fd.
func descriptors(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	names, err := os.ReadDir(dir)
	try(t, err)
	all := map[string]string{}
	for _, n := range names {
		all[n.Name()], _ = os.Readlink(filepath.Join(dir, n.Name()))
	}
	return all
}

// A created container has its streams and sockets, a running one its streams: no descriptor of the caller's or of husk's.
func TestDescriptors(t *testing.T) {
	b := newBox(t)
	extra, err := os.Open(b.Dir)
	try(t, err)
	defer extra.Close()
	bundle := b.Bundle(sleeps, `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}`)
	r := b.Command("create", "--bundle", bundle, "c")
	r.ExtraFiles = []*os.File{extra, extra, nil, extra} // left open by a careless caller
	try(t, r.Start())
	if res := b.End(r); res.Code != 0 {
		t.Fatal(res.Err)
	}
	t.Cleanup(func() { b.Husk("delete", "--force", "c") })
	pid := b.Pid("c")
	for fd, link := range descriptors(t, pid) {
		if n, _ := strconv.Atoi(fd); n > 2 && !strings.HasPrefix(link, "socket:") {
			t.Errorf("created: descriptor %s is %s", fd, link)
		}
	}
	for _, name := range []string{"cwd", "root"} {
		if link, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/" + name); link != "/" {
			t.Errorf("created: %s is %s", name, link)
		}
	}
	b.Must("start", "c")
	if all := descriptors(t, pid); len(all) != 3 {
		t.Errorf("running: %v", all)
	}
	res := b.Husk("exec", "c", "/bin/sh", "-c", "ls /proc/self/fd | wc -l")
	want(t, res, "4") // and the directory itself
}

// Nothing of the host shows in the process that waits for its start: no environment, no path, no program that is a file.
func TestCreatedProcess(t *testing.T) {
	b := newBox(t)
	b.Env = []string{"SECRET_OF_THE_CALLER=x"}
	b.Must("create", "--bundle", b.Bundle(sleeps), "c")
	t.Cleanup(func() { b.Husk("delete", "--force", "c") })
	dir := "/proc/" + strconv.Itoa(b.Pid("c"))
	for _, name := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		try(t, err)
		if strings.Contains(string(text), b.Dir) || strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "/") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if exe, _ := os.Readlink(dir + "/exe"); !strings.HasPrefix(exe, "/memfd:") {
		t.Errorf("the program is %s", exe)
	}
	fd, err := unix.Open(dir+"/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	try(t, err)
	defer unix.Close(fd)
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if all := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; err != nil || seals&all != all {
		t.Errorf("seals %#x: %v", seals, err)
	}
	status, err := os.ReadFile(dir + "/status")
	try(t, err)
	if strings.Contains(string(status), "Threads:\t1\n") == false {
		t.Errorf("more than one thread: %s", status)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/mem", &st); err != nil || st.Uid != 0 {
		t.Errorf("%v: %d", err, st.Uid)
	}
}

// stopper ends an inside program and returns what it has said.
func stopper(b *harness.Box, bundle, name string, changes ...string) func() string {
	b.T.Helper()
	helper(b, bundle)
	b.Configure(bundle, append(changes, `/process/args ["/helper"]`, `/process/env ["PATH=/bin", "`+insideEnv+`=`+name+`"]`)...)
	r := b.Start("run", "--bundle", bundle, "c")
	b.T.Cleanup(func() { b.Husk("delete", "--force", "c") })
	ready := filepath.Join(bundle, "rootfs/ready")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		} else if time.Now().After(end) {
			r.Process.Kill()
			b.T.Fatalf("the program inside did not start: %+v", b.End(r))
		}
	}
	return func() string {
		b.T.Helper()
		b.Write(filepath.Join(bundle, "rootfs/stop"), "", 0o644)
		res := b.End(r)
		if res.Code != 0 {
			b.T.Errorf("exit status %d: %s", res.Code, res.Err)
		}
		return res.Out
	}
}

const allCapabilities = `/process/capabilities {"bounding": ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"], "effective": ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"], "permitted": ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]}`

// CVE-2016-9962: who joins a container shows its processes nothing of the host, even if they may trace.
func TestExecIsWatched(t *testing.T) {
	for name, changes := range map[string]string{"plain": "", "may trace": allCapabilities} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			stop := stopper(b, b.Bundle(), "watch", changes)
			for range harness.Count("HUSK_RACES", 200) {
				if res := b.Husk("exec", "--env", insideEnv+"=", "c", "/bin/true"); res.Code != 0 {
					t.Fatal(res.Err)
				}
			}
			for line := range strings.Lines(stop()) {
				line = strings.TrimSpace(line)
				if line != "done" && !strings.HasPrefix(line, "exe /memfd:") {
					t.Errorf("seen from inside: %s", line)
				}
				if name == "plain" && strings.HasPrefix(line, "exe /memfd:") {
					t.Errorf("the process can be traced while it joins: %s", line)
				}
			}
		})
	}
}

// CVE-2019-5736: the program that enters the container is not the host's file, and can't be written.
func TestOverwriteProgram(t *testing.T) {
	b := newBox(t)
	data, err := os.ReadFile(b.Binary)
	try(t, err)
	b.Binary = b.Write("runtime", string(data), 0o755)
	bundle := b.Bundle()
	b.Write(filepath.Join(bundle, "rootfs/bin/evil"), "#!/proc/self/exe\n", 0o755)
	stop := stopper(b, bundle, "overwrite", allCapabilities)
	for range 50 {
		b.Husk("exec", "--env", insideEnv+"=", "c", "/bin/evil")
		b.Husk("exec", "--env", insideEnv+"=", "c", "/proc/self/exe", "--version")
	}
	if out := strings.TrimSpace(stop()); out != "written 0" {
		t.Errorf("from inside: %s", out)
	}
	b.Configure(bundle, `/process/args ["/proc/self/exe", "--version"]`)
	if res := run(b, bundle); strings.Contains(res.Out, "version") {
		t.Errorf("the runtime runs inside: %s", res.Out)
	}
	b.Configure(bundle, `/process/args ["/bin/evil"]`)
	run(b, bundle)
	now, err := os.ReadFile(b.Binary)
	try(t, err)
	if sha256.Sum256(now) != sha256.Sum256(data) {
		t.Error("the runtime's program was changed")
	}
}

// CVE-2020-15257: what a container waits on has no name in the abstract name space, which all containers of a network share.
func TestAbstractSockets(t *testing.T) {
	b := newBox(t)
	b.Must("create", "--bundle", b.Bundle(sleeps), "c")
	t.Cleanup(func() { b.Husk("delete", "--force", "c") })
	dir := "/proc/" + strconv.Itoa(b.Pid("c"))
	table, err := os.ReadFile("/proc/self/net/unix")
	try(t, err)
	inside, err := os.ReadFile(dir + "/net/unix")
	try(t, err)
	for _, link := range descriptors(t, b.Pid("c")) {
		inode := strings.Trim(strings.TrimPrefix(link, "socket:"), "[]")
		for line := range strings.Lines(string(table) + string(inside)) {
			if f := strings.Fields(line); len(f) > 7 && f[6] == inode && strings.HasPrefix(f[7], "@") {
				t.Errorf("abstract socket %s", line)
			}
		}
	}
}

// CVE-2021-41103: nobody but root sees what is in the state directory.
func TestStateModes(t *testing.T) {
	b := newBox(t)
	b.Root = filepath.Join(b.Dir, "fresh/state")
	b.Must("create", "--bundle", b.Bundle(sleeps, `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}`), "c")
	filepath.Walk(b.Root, func(path string, info os.FileInfo, err error) error {
		try(t, err)
		var st unix.Stat_t
		try(t, unix.Lstat(path, &st))
		open := info.Mode().Perm() & 0o077
		if info.Mode()&os.ModeSocket != 0 {
			open = 0 // the directory guards it
		}
		if open != 0 || st.Uid != 0 {
			t.Errorf("%s: %v, uid %d", path, info.Mode(), st.Uid)
		}
		return nil
	})
	b.Must("delete", "--force", "c")
	for _, mode := range []os.FileMode{0o777, 0o720, 0o702, 0o1777} {
		root := filepath.Join(b.Dir, "root"+strconv.Itoa(int(mode)))
		try(t, os.Mkdir(root, 0o700), os.Chmod(root, mode))
		b.Root = root
		if res := b.Husk("create", "--bundle", b.Bundle(), "c"); res.Code == 0 {
			t.Errorf("a root of mode %o is used", mode)
			b.Husk("delete", "--force", "c")
		}
	}
	b.Root = filepath.Join(b.Dir, "others")
	try(t, os.Mkdir(b.Root, 0o700), os.Chown(b.Root, 1000, 1000))
	if res := b.Husk("create", "--bundle", b.Bundle(), "c"); res.Code == 0 {
		t.Error("a root of another user is used")
		b.Husk("delete", "--force", "c")
	}
}

// CVE-2025-52565: exec -t takes a terminal of a devpts only, whatever is at /dev/pts.
func TestForeignTerminals(t *testing.T) {
	b := newBox(t)
	dir, look := outside(b)
	bundle := b.Bundle("/mounts/2", sleeps, `/mounts/- {"destination": "/dev/pts", "source": "`+dir+`", "options": ["bind"]}`)
	before := look()
	detached(b, bundle)
	if res := b.Husk("exec", "--tty", "c", "/bin/true"); res.Code == 0 {
		t.Error("it works")
	}
	untouched(t, before, look)
}

// CVE-2025-24965: nothing of the runtime's own is written into the image.
func TestImageStaysAsItIs(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle()
	before := b.Look()
	run(b, bundle)
	before.Same(t, b)
}
