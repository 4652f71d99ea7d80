package integration

import (
	"os"
	"path"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupsOf are the cgroups of a process, by what their lines begin with.
func cgroupsOf(t *testing.T, pid string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		paths[f[1]] = f[2]
	}
	return paths
}

// Where cgroupsPath leads: from the top of each hierarchy, or, if it is relative, below (v1) or beside (v2) the caller's own
// cgroup; without one the id is the name.
func TestPlacement(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if v.systemd {
			t.Skip("systemd says where its units are")
		}
		own := cgroupsOf(t, "self")
		for _, form := range []string{"/" + env.name + "/NAME", "/" + env.name + "//./NAME/", env.name + "/NAME", ""} {
			b := newBundle(t, v)
			name := path.Base(b.Linux.CgroupsPath)
			b.Linux.CgroupsPath = strings.Replace(form, "NAME", name, 1)
			pid := b.detached("wait")
			placed := 0
			for controllers, at := range cgroupsOf(t, itoa(pid)) {
				if v.v2 && controllers != "" {
					continue // there is a hierarchy, but not in this view
				}
				want := "/" + env.name + "/" + name
				switch {
				case form == "":
					want = "/" + b.id
				case form[0] != '/' && v.v2:
					want = path.Join("/", path.Dir(own[controllers]), env.name, name)
				case form[0] != '/':
					want = path.Join("/", own[controllers], env.name, name)
				}
				if at == own[controllers] { // one of which husk knows nothing, or that has no mount
					continue
				}
				placed++
				equal(t, form+": cgroup of "+controllers, at, want)
			}
			if placed == 0 {
				t.Errorf("%q: in no cgroup of its own", form)
			}
			b.must("delete", "--force", b.id)
			if form != "" && form[0] != '/' {
				v.do(func() error { // the parent stays, for the next container of the pod
					for _, top := range v.hierarchies {
						for _, at := range own {
							os.Remove(path.Join(top, at, env.name))
							os.Remove(path.Join(top, path.Dir(at), env.name))
						}
					}
					return nil
				})
			}
		}
	})
}

// In a container that has a cgroup namespace, and for a hierarchy what is below its own cgroup, husk makes containers below that.
func TestNested(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if !v.v2 || v.systemd {
			t.Skip("for cgroup v2 by files")
		}
		b := newBundle(t, v)
		outer := "/sys/fs/cgroup" + v.cgroup(b.id) + "-outer"
		fd := -1
		err := v.do(func() (err error) {
			if err := os.MkdirAll(outer, 0o755); err != nil {
				return err
			}
			fd, err = unix.Open(outer, unix.O_PATH|unix.O_CLOEXEC, 0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer v.do(func() error { return os.Remove(outer) })
		defer unix.Close(fd)
		nested := func(args ...string) result {
			cmd := b.command(args...)
			cmd.Args = append([]string{"sh", "-c", `umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"`}, cmd.Args...)
			cmd.Path = "/bin/sh"
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Unshareflags: unix.CLONE_NEWCGROUP | unix.CLONE_NEWNS}
			return b.finish(cmd)
		}
		b.Linux.CgroupsPath = "/inner/" + b.id
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		for _, args := range [][]string{
			{"run", "--detach", "--bundle", b.dir, b.id}, {"exec", b.id, "/inside", "exit", "0"}, {"pause", b.id}, {"resume", b.id}, {"ps", b.id},
		} {
			if r := nested(args...); r.status != 0 || strings.Contains(r.stderr, " ") {
				t.Fatalf("%q: %v", args, r)
			}
			if args[0] == "run" {
				equal(t, "cgroup, from outside", cgroupsOf(t, itoa(b.state().Pid))[""], v.cgroup(b.id)+"-outer/inner/"+b.id)
			}
		}
		if r := nested("delete", "--force", b.id); r.status != 0 {
			t.Fatal(r)
		}
		v.do(func() error { return os.Remove(outer + "/inner") })
	})
}
