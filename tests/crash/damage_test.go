package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// TestDamagedRecord: a running container whose record is of no use can be listed, named and deleted.
func TestDamagedRecord(t *testing.T) {
	rewrite := func(old, new string) func(string) error {
		return func(path string) error {
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
			}
			return err
		}
	}
	content := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	replace := func(make func(string) error) func(string) error {
		return func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return make(path)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(path string) error
	}{
		{"empty", content("")},
		{"cut short", func(path string) error { return os.Truncate(path, 100) }},
		{"one byte short", func(path string) error {
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, []byte(strings.TrimRight(string(text), "}\n")), 0o600)
			}
			return err
		}},
		{"garbage", content("\x00\xff\x1b[2Jnonsense")},
		{"a list", content("[]")},
		{"no members", content("{}")},
		{"newer", rewrite(`"schema":1`, `"schema":2`)},
		{"wrong type", rewrite(`"init_process_pid":`, `"init_process_pid":"x`)},
		{"negative pid", rewrite(`"init_process_pid":`, `"init_process_pid":-`)},
		{"huge pid", rewrite(`"init_process_pid":`, `"init_process_pid":99999999999999999999`)},
		{"phase unknown", rewrite(`"phase":"`, `"phase":"half-`)},
		{"of another container", rewrite(`"id":"c"`, `"id":"d"`)},
		{"twice the same member", rewrite(`"id":"c"`, `"id":"c","id":"c"`)},
		{"huge", func(path string) error { return os.Truncate(path, 1<<30) }},
		{"a fifo", replace(func(path string) error { return unix.Mkfifo(path, 0o600) })},
		{"a directory", replace(func(path string) error { return os.Mkdir(path, 0o700) })},
		{"a link", replace(func(path string) error { return os.Symlink("/etc/passwd", path) })},
		{"a link to nowhere", replace(func(path string) error { return os.Symlink("/nothing", path) })},
		{"missing", os.Remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
			healthy := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
			before := b.Look()
			b.Must("run", "--detach", "--bundle", bundle, "c")
			b.Must("run", "--detach", "--bundle", healthy, "healthy")
			path := filepath.Join(b.Root, "c/state.json")
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			if res := b.Husk("list"); res.Code != 0 || !strings.Contains(res.Out, "healthy") || strings.Contains(res.Out+res.Err, "\x1b") {
				t.Errorf("list: exit status %d: %s%s", res.Code, res.Out, res.Err)
			}
			for _, args := range [][]string{{"state", "c"}, {"start", "c"}, {"exec", "c", "true"}, {"kill", "c", "KILL"}, {"ps", "c"}, {"delete", "c"}} {
				res := b.Husk(args...)
				if res.Code == 0 || !strings.Contains(res.Err, path) && !strings.Contains(res.Err, "does not exist") {
					t.Errorf("%s: exit status %d: %s", args[0], res.Code, res.Err)
				}
				if strings.Count(res.Err, "\n") != 1 {
					t.Errorf("%s took %v: %q", args[0], res.Took, res.Err)
				}
			}
			b.Must("delete", "--force", "c")
			if s := b.Status("healthy"); s != "running" {
				t.Errorf("the other container is %s", s)
			}
			b.Must("delete", "--force", "healthy")
			before.Same(t, b)
			again(b, bundle)
		})
	}
}

// TestOtherBoot: a record of another boot names processes and cgroups that are somebody else's now.
func TestOtherBoot(t *testing.T) {
	b := newBox(t)
	var st unix.Statfs_t
	if err := unix.Statfs(b.Root, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type == unix.TMPFS_MAGIC {
		t.Skip("the directory for temporary files lives in memory: no record outlives a boot there")
	}
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	pid := b.Pid("c")
	path := filepath.Join(b.Root, "c/state.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), strings.TrimSpace(string(boot)), "01234567-89ab-cdef-0123-456789abcdef", 1)
	if other == string(text) {
		t.Fatalf("no boot id in %s", text)
	}
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := b.Status("c"); s != "stopped" {
		t.Errorf("state is %q", s)
	}
	if res := b.Husk("kill", "c", "KILL"); res.Code == 0 {
		t.Error("a process of another boot was killed")
	}
	b.Must("delete", "c")
	if unix.Kill(pid, 0) != nil {
		t.Error("delete has killed a process that has the pid now")
	}
	// By way of the old record the container is found again.
	if err := os.Mkdir(filepath.Join(b.Root, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Must("delete", "--force", "c")
}

// TestOtherStart: a process that has got the pid of a container's later is not the container.
func TestOtherStart(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	pid := b.Pid("c")
	path := filepath.Join(b.Root, "c/state.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"init_process_start":`, `"init_process_start":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := b.Status("c"); s != "stopped" {
		t.Errorf("state is %q", s)
	}
	if res := b.Husk("kill", "c", "KILL"); res.Code == 0 || unix.Kill(pid, 0) != nil {
		t.Errorf("kill: exit status %d", res.Code)
	}
	if res := b.Husk("exec", "c", "true"); res.Code != 255 {
		t.Errorf("exec: exit status %d", res.Code)
	}
	b.Must("delete", "--force", "c")
}

// TestFullDisk: create fails and leaves nothing, what needs no room works.
func TestFullDisk(t *testing.T) {
	for _, option := range []string{"size=64k", "nr_inodes=12"} {
		t.Run(option, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
			if err := unix.Mount("tmpfs", b.Root, "tmpfs", 0, option+",mode=0700"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Unmount(b.Root, unix.MNT_DETACH) })
			b.Must("create", "--bundle", bundle, "c")
			other := b.Bundle()
			before := b.Look()
			b.Must("create", "--bundle", other, "probe")
			b.Must("delete", "--force", "probe")
			before.Same(t, b)
			fill := filepath.Join(b.Root, "fill")
			if strings.HasPrefix(option, "size") {
				f, err := os.Create(fill)
				if err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = f.Write(make([]byte, 4096))
				}
				f.Close()
			} else {
				for i, err := 0, error(nil); err == nil; i++ {
					err = os.WriteFile(fill+strings.Repeat("x", i), nil, 0o600)
				}
			}
			full := b.Look()
			res := b.Husk("create", "--bundle", other, "d")
			if res.Code != 1 || !strings.Contains(res.Err, "no space left on device") || strings.Count(res.Err, "\n") != 1 {
				t.Errorf("create: exit status %d: %s", res.Code, res.Err)
			}
			full.Same(t, b)
			if s := b.Status("c"); s != "created" {
				t.Errorf("state is %q", s)
			}
			b.Must("list")
			b.Must("start", "c")
			b.Must("exec", "c", "/bin/true")
			b.Must("kill", "c", "KILL")
			await(b, "c", []string{"stopped"}, []string{"running"})
			b.Must("delete", "c")
		})
	}
}

// TestReadOnlyRoot: what only looks works, the rest says why it does not.
func TestReadOnlyRoot(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sleep", "1000"]`)
	b.Must("run", "--detach", "--bundle", bundle, "c")
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", b.Root, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(b.Root, b.Root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.Root, unix.MNT_DETACH) })
	remount(unix.MS_RDONLY)
	before := b.Look()
	if s := b.Status("c"); s != "running" {
		t.Errorf("state is %q", s)
	}
	b.Must("list")
	b.Must("exec", "c", "/bin/true")
	res := b.Husk("create", "--bundle", b.Bundle(), "d")
	if res.Code != 1 || !strings.Contains(res.Err, "read-only file system") {
		t.Errorf("create: exit status %d: %s", res.Code, res.Err)
	}
	before.Files = nil
	before.Same(t, b)
	if res := b.Husk("delete", "--force", "c"); res.Code != 1 || !strings.Contains(res.Err, "read-only file system") {
		t.Errorf("delete: exit status %d: %s", res.Code, res.Err)
	}
	remount(0)
	b.Must("delete", "--force", "c")
}

// freezer is the cgroup directory whose freezer a container's cgroup has, and how to freeze it.
func freezer(b *harness.Box, path string) (dir, file, on string) {
	if dir = filepath.Join("/sys/fs/cgroup/freezer", path); os.Mkdir(dir, 0o755) == nil {
		return dir, "freezer.state", "FROZEN"
	}
	if dir = filepath.Join("/sys/fs/cgroup", path); os.Mkdir(dir, 0o755) == nil {
		return dir, "cgroup.freeze", "1"
	}
	b.T.Fatal("no freezer")
	return "", "", ""
}

// TestUsedCgroup: a cgroup that is frozen, or in which somebody lives, becomes no container's; and stays as it is.
func TestUsedCgroup(t *testing.T) {
	t.Run("frozen", func(t *testing.T) {
		b := newBox(t)
		path := b.Cgroup()
		bundle := b.Bundle(`/linux/cgroupsPath "` + path + `"`)
		dir, file, on := freezer(b, path)
		defer os.Remove(dir)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(on), 0); err != nil {
			t.Fatal(err)
		}
		before := b.Look()
		for _, command := range []string{"create", "run"} {
			res := b.Husk(command, "--bundle", bundle, "c")
			if res.Code != 1 || !strings.Contains(res.Err, "frozen") {
				t.Errorf("%s: exit status %d after %v: %s", command, res.Code, res.Took, res.Err)
			}
			before.Same(t, b)
		}
		if text, _ := os.ReadFile(filepath.Join(dir, file)); strings.TrimSpace(string(text)) != on {
			t.Errorf("the cgroup was thawed: %s", text)
		}
	})
	t.Run("lived in", func(t *testing.T) {
		b := newBox(t)
		path := b.Cgroup()
		bundle := b.Bundle("/linux/cgroupsPath \""+path+"\"", `/process/args ["/bin/sleep", "1000"]`)
		b.Must("run", "--detach", "--bundle", bundle, "first")
		before := b.Look()
		for _, command := range []string{"create", "run"} {
			res := b.Husk(command, "--bundle", bundle, "c")
			if res.Code != 1 || !strings.Contains(res.Err, "not empty") {
				t.Errorf("%s: exit status %d: %s", command, res.Code, res.Err)
			}
			before.Same(t, b)
		}
		if s := b.Status("first"); s != "running" {
			t.Errorf("the first container is %s", s)
		}
		b.Must("delete", "--force", "first")
	})
	t.Run("frozen sub-cgroup", func(t *testing.T) {
		b := newBox(t)
		path := b.Cgroup()
		bundle := b.Bundle("/linux/cgroupsPath \""+path+"\"", `/process/args ["/bin/sleep", "1000"]`)
		b.Must("run", "--detach", "--bundle", bundle, "c")
		dir, file, on := freezer(b, path+"/sub")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(on), 0); err != nil {
			t.Fatal(err)
		}
		res := b.Husk("delete", "--force", "c")
		if res.Code != 0 {
			t.Errorf("delete: exit status %d after %v: %s", res.Code, res.Took, res.Err)
		}
	})
	t.Run("paused", func(t *testing.T) {
		b := newBox(t)
		path := b.Cgroup()
		bundle := b.Bundle("/linux/cgroupsPath \""+path+"\"", `/process/args ["/bin/sleep", "1000"]`)
		b.Must("run", "--detach", "--bundle", bundle, "c")
		file, on := "/sys/fs/cgroup/freezer"+path+"/freezer.state", "FROZEN"
		if _, err := os.Stat(file); err != nil {
			file, on = "/sys/fs/cgroup"+path+"/cgroup.freeze", "1"
		}
		if err := os.WriteFile(file, []byte(on), 0); err != nil {
			t.Fatal(err)
		}
		await(b, "c", []string{"paused"}, []string{"running"})
		if res := b.Husk("exec", "c", "true"); res.Code != 255 || !strings.Contains(res.Err, "paused") {
			t.Errorf("exec: exit status %d after %v: %s", res.Code, res.Took, res.Err)
		}
		b.Must("kill", "c", "KILL")
		await(b, "c", []string{"stopped"}, []string{"paused", "running"})
		b.Must("delete", "c")
	})
}
