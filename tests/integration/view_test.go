package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A view is a mount namespace in which husk runs: one with the machine's cgroups as they are, one that has cgroup v2 alone,
// with the controllers that no v1 hierarchy holds, where systemd runs one in which that makes the cgroups, and if it is asked for
// (see viewsEnv) one in which a user's systemd does. All mounts in it are shared, as systemd sets up a machine, so that
// a mount that gets out of a container is seen. It belongs to one thread, from which all programs are started.
type view struct {
	name        string
	v2          bool
	systemd     bool
	user        *session // nil: root
	skip        string
	calls       chan func()
	hierarchies []string // as seen in this view
}

const cgroup2Magic = unix.CGROUP2_SUPER_MAGIC

// viewsEnv names the views to be tested, out of "v1 v2 systemd user". The usual ones are all but the last, as far as the machine
// has them.
const viewsEnv = "HUSK_TEST_VIEWS"

func (e *environment) openViews() error {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err != nil {
		return fmt.Errorf("look at /sys/fs/cgroup: %w", err)
	}
	pure := fs.Type == cgroup2Magic
	names := strings.Fields(os.Getenv(viewsEnv))
	if len(names) == 0 {
		names = []string{"v1", "v2"}
		if hasFile("/run/systemd/system") { // sd_booted(3)
			names = append(names, "systemd")
		}
	}
	for _, name := range names {
		v := &view{name: name}
		e.views = append(e.views, v)
		switch name {
		case "v1":
			if pure {
				v.skip = "this machine has cgroup v2 alone"
			}
		case "v2":
			v.v2 = true
		case "systemd":
			v.v2, v.systemd = pure, true
		case "user":
			v.v2, v.systemd = true, true
			if v.user, v.skip = openSession(); !pure {
				v.skip = "cgroup v1 delegates nothing to users"
			}
		default:
			return fmt.Errorf("%s: no view %q", viewsEnv, name)
		}
		if v.skip != "" {
			continue
		}
		if err := v.open(e.dir, pure); err != nil {
			return fmt.Errorf("make the view %s: %w", v.name, err)
		}
	}
	return nil
}

// open makes the mount namespace on a thread of its own.
func (v *view) open(dir string, pure bool) error {
	v.calls = make(chan func())
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := v.enter(dir, pure)
		ready <- err
		if err != nil {
			return
		}
		for f := range v.calls {
			f()
		}
	}()
	return <-ready
}

func (v *view) enter(dir string, pure bool) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	// Runtimes change the owner of what a container gets as stdin: never the machine's /dev/null.
	null := filepath.Join(dir, "null-"+v.name)
	if err := unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return err
	}
	if err := os.Chmod(null, 0o666); err != nil {
		return err
	}
	if err := unix.Mount(null, "/dev/null", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if v.v2 && !pure {
		if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
			return err
		}
		if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			return err
		}
	}
	for _, m := range parseMounts(v.mountinfo()) {
		if strings.HasPrefix(m.fstype, "cgroup") {
			v.hierarchies = append(v.hierarchies, m.point)
		}
	}
	return unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, "")
}

// cgroupsPath is what config.json says for a container, and cgroup where that is in each hierarchy.
func (v *view) cgroupsPath(id string) string {
	if v.user != nil {
		return "user.slice::" + id
	}
	if v.systemd {
		return "system.slice::" + id
	}
	return v.cgroup(id)
}

func (v *view) cgroup(id string) string {
	if v.user != nil {
		return v.user.slice + "/" + id + ".scope"
	}
	if v.systemd {
		return "/system.slice/" + id + ".scope"
	}
	return "/" + env.name + "/" + id
}

func (v *view) close() {
	if v.calls != nil {
		close(v.calls)
	}
}

// do runs a function in the view.
func (v *view) do(f func() error) error {
	done := make(chan error)
	v.calls <- func() { done <- f() }
	return <-done
}

// mountinfo is the view's table of mounts; to be called on its thread.
func (v *view) mountinfo() string {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		panic(err)
	}
	return string(data)
}

// needsController skips the test where cgroup v2 lacks a controller: a hierarchy of v1 has it.
func (v *view) needsController(t *testing.T, name string) {
	t.Helper()
	if !v.v2 {
		return
	}
	dir := "/sys/fs/cgroup"
	if v.user != nil {
		dir += filepath.Dir(v.user.slice)
	}
	var data []byte
	if err := v.do(func() (err error) { data, err = os.ReadFile(dir + "/cgroup.controllers"); return err }); err != nil {
		t.Fatal(err)
	}
	if have := strings.Fields(string(data)); !slices.Contains(have, name) {
		t.Skipf("cgroup v2 has only the controllers %q here", have)
	}
}

// mount finds a mount of the view.
func (v *view) mount(point string) (found mount) {
	v.do(func() error {
		for _, m := range parseMounts(v.mountinfo()) {
			if m.point == point {
				found = m
			}
		}
		return nil
	})
	return found
}

// mount is one line of a mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	root, point string
	options     []string // of the mount
	optional    []string // shared:N, master:N, unbindable
	fstype      string
	source      string
	super       []string // options of the superblock
}

func parseMounts(mountinfo string) (list []mount) {
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+4 {
			panic("mountinfo: " + line)
		}
		list = append(list, mount{
			root: unescape(f[3]), point: unescape(f[4]), options: strings.Split(f[5], ","), optional: f[6:dash],
			fstype: f[dash+1], source: f[dash+2], super: strings.Split(f[dash+3], ","),
		})
	}
	return list
}

// unescape undoes the octal escapes of names.
func unescape(name string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(name)
}

// mountFor bind-mounts in the view for as long as a test runs.
func (v *view) mountFor(t *testing.T, from, to string, flags ...uintptr) {
	t.Helper()
	bind := func() error {
		err := unix.Mount(from, to, "", unix.MS_BIND, "")
		for _, flag := range flags {
			err = errors.Join(err, unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|flag, ""))
		}
		return err
	}
	if err := v.do(bind); err != nil {
		t.Fatalf("bind %s to %s: %v", from, to, err)
	}
	t.Cleanup(func() { v.do(func() error { return unix.Unmount(to, unix.MNT_DETACH) }) })
}
