package integration

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMounts(t *testing.T) {
	runAll(t, []kase{
		{"options of file systems", func(b *bundle) {
			b.v.needsRoot(b.t, "mountinfo shows the host's ids")
			b.Spec.Mounts = append(b.Spec.Mounts,
				specs.Mount{Destination: "/t", Type: "tmpfs", Source: "a name", Options: []string{"size=123k", "nr_inodes=77", "mode=1750", "uid=12", "gid=34"}},
				specs.Mount{Destination: "/p", Type: "proc", Source: "proc", Options: []string{"hidepid=2", "gid=7"}},
			)
			b.probe("stat:/t")
		}, func(t *testing.T, b *bundle, f *facts) {
			includes(t, "tmpfs", f.mount("/t").super, "size=124k", "nr_inodes=77", "mode=1750", "uid=12", "gid=34")
			equal(t, "source", f.mount("/t").source, `a\040name`)
			equal(t, "owner and mode", strings.HasPrefix(f.Probes["stat:/t"], "41750 12 34 "), true)
			includes(t, "proc", f.mount("/p").super, "hidepid=invisible", "gid=7")
		}},
		{"devices and defaults", func(b *bundle) {
			b.v.needsRoot(b.t, "mountinfo shows the host's ids")
		}, func(t *testing.T, b *bundle, f *facts) {
			includes(t, "/dev", f.mount("/dev").super, "size=65536k", "mode=755")
			equal(t, "/dev", attrsOf(f.mount("/dev")), attrs{nosuid: true})
			includes(t, "/dev/pts", f.mount("/dev/pts").super, "gid=5", "mode=620", "ptmxmode=666")
			equal(t, "/dev/shm", attrsOf(f.mount("/dev/shm")), attrs{nosuid: true, noexec: true, nodev: true, atime: "relatime"})
			equal(t, "/sys", attrsOf(f.mount("/sys")), attrs{ro: true, nosuid: true, noexec: true, nodev: true, atime: "relatime"})
		}},
		{"a file, made on the way", func(b *bundle) {
			b.write("a file", "hello")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/new/place/file", Source: b.path("a file"), Options: []string{"bind", "ro"}})
			b.probe("read:/new/place/file", "write:/new/place/file")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/new/place/file"], "hello")
			equal(t, "write", f.Probes["write:/new/place/file"], "EROFS")
		}},
		{"noexec", func(b *bundle) {
			link(b, "inside", "inside")
			for destination, options := range map[string][]string{"/may": {"bind"}, "/may not": {"bind", "noexec"}} {
				b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: destination, Source: b.path("inside"), Options: options})
			}
			b.probe("exec:/may", "exec:/may not")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "exec", f.Probes["exec:/may"], "ok")
			equal(t, "exec with noexec", f.Probes["exec:/may not"], "EACCES")
		}},
		{"relative source", func(b *bundle) {
			b.makeDirs("data")
			b.write("data/x", "relative")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/data", Source: "data", Options: []string{"rbind"}})
			b.probe("read:/data/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/data/x"], "relative")
		}},
		{"over a link", func(b *bundle) {
			b.makeDirs("data", "rootfs/real")
			b.write("data/x", "linked")
			if err := os.Symlink("/real", b.path("rootfs/name")); err != nil {
				b.t.Fatal(err)
			}
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/name/../name/sub", Source: b.path("data"), Options: []string{"bind"}})
			b.probe("read:/real/sub/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/real/sub/x"], "linked")
		}},
		{"a link out of the root", func(b *bundle) {
			b.makeDirs("data")
			b.write("data/x", "stays")
			if err := os.Symlink("../../../../../../../"+b.dir, b.path("rootfs/out")); err != nil {
				b.t.Fatal(err)
			}
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/out/in", Source: b.path("data"), Options: []string{"bind"}})
			b.probe("read:" + b.dir + "/in/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:"+b.dir+"/in/x"], "stays")
			if _, err := os.Stat(b.path("in")); err == nil {
				t.Error("a mount point was made outside of the root")
			}
		}},
		{"copied up", func(b *bundle) {
			b.v.needsRoot(b.t, "only root gives files to others")
			b.makeDirs("rootfs/up/sub")
			b.write("rootfs/up/sub/file", "copied")
			if err := os.Chmod(b.path("rootfs/up/sub/file"), 0o604); err != nil {
				b.t.Fatal(err)
			}
			if err := os.Chown(b.path("rootfs/up/sub/file"), 3, 4); err != nil {
				b.t.Fatal(err)
			}
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
			b.probe("read:/up/sub/file", "stat:/up/sub/file", "create:/up/new")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/up/sub/file"], "copied")
			equal(t, "owner and mode", f.Probes["stat:/up/sub/file"], "100604 3 4 6")
			equal(t, "write", f.Probes["create:/up/new"], "ok")
			equal(t, "type", f.mount("/up").fstype, "tmpfs")
		}},
		{"copied up with a mode and an owner", func(b *bundle) {
			if b.v.user != nil {
				b.t.Skip("without privileges nothing can be copied into a tmpfs of another user: TestRootless")
			}
			b.makeDirs("rootfs/up/sub", "rootfs/none")
			for _, name := range []string{"/up", "/none"} { // Podman gives a mode always
				b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: name, Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1775", "uid=7", "gid=8", "rw", "tmpcopyup"}})
			}
			b.probe("stat:/up", "stat:/up/sub", "stat:/none")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "given", strings.HasPrefix(f.Probes["stat:/up"], "41775 7 8 "), true)
			equal(t, "below", strings.HasPrefix(f.Probes["stat:/up/sub"], "40755 0 0 "), true)
			equal(t, "empty", strings.HasPrefix(f.Probes["stat:/none"], "41775 7 8 "), true)
		}},
		{"overlay of long paths", func(b *bundle) { // longer than a value may be for fsconfig(2)
			if olderThan(6, 7) {
				b.t.Skip("layers can be given one by one since Linux 6.7")
			}
			one, two := strings.Repeat("one", 40)+":1", strings.Repeat("two", 40)
			b.makeDirs(one, two)
			b.write(one+"/a", "first")
			b.write(two+"/a", "second")
			b.write(two+"/b", "second")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{
				"lowerdir=" + strings.ReplaceAll(b.path(one), ":", `\:`) + ":" + b.path(two),
			}})
			b.probe("read:/o/a", "read:/o/b")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "of the upper layer", f.Probes["read:/o/a"], "first")
			equal(t, "of the lower layer", f.Probes["read:/o/b"], "second")
		}},
		{"below what is copied up", func(b *bundle) { // as with Podman's --tmpfs /etc
			b.makeDirs("rootfs/up/sub", "shared")
			b.write("shared/file", "shared")
			b.Spec.Mounts = append(
				b.Spec.Mounts, specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "ro"}},
				specs.Mount{Destination: "/up/new/file", Source: b.path("shared/file"), Options: []string{"bind"}},
				specs.Mount{Destination: "/up/sub/dir", Source: b.path("shared"), Options: []string{"bind"}})
			b.probe("read:/up/new/file", "read:/up/sub/dir/file", "create:/up/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "file", f.Probes["read:/up/new/file"], "shared")
			equal(t, "directory", f.Probes["read:/up/sub/dir/file"], "shared")
			equal(t, "write", f.Probes["create:/up/x"], "EROFS")
			if _, err := os.Lstat(b.path("rootfs/up/new")); err == nil {
				t.Error("the mount point was made in the rootfs")
			}
		}},
		{"overlay", func(b *bundle) {
			b.makeDirs("lower", "upper", "work")
			b.write("lower/a", "lower")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{
				"lowerdir=" + b.path("lower"), "upperdir=" + b.path("upper"), "workdir=" + b.path("work"), "index=off", "nosuid",
			}})
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/o/new/dir", Source: b.path("lower"), Options: []string{"bind"}})
			b.probe("read:/o/a", "create:/o/b", "read:/o/new/dir/a")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/o/a"], "lower")
			equal(t, "write", f.Probes["create:/o/b"], "ok")
			equal(t, "a mount below", f.Probes["read:/o/new/dir/a"], "lower")
			if _, err := os.Stat(b.path("upper/b")); err != nil {
				t.Error(err)
			}
		}},
		{"one over the other", func(b *bundle) {
			b.makeDirs("one", "two")
			b.write("one/x", "one")
			b.write("two/x", "two")
			for _, name := range []string{"one", "two"} {
				b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/same", Source: b.path(name), Options: []string{"bind"}})
			}
			b.probe("read:/same/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/same/x"], "two")
		}},
		{"remount", func(b *bundle) {
			bind(b, "data", "/data", "bind", "rw")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/data", Source: "none", Type: "none", Options: []string{"remount", "bind", "ro", "nosuid"}})
			b.probe("create:/data/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "write", f.Probes["create:/data/x"], "EROFS")
			equal(t, "options", attrsOf(f.mount("/data")), attrs{ro: true, nosuid: true, atime: "relatime"})
		}},
		{"cgroup, read-only", func(b *bundle) {
			b.ownCgroupNamespace()
			b.probe("list:/sys/fs/cgroup", "mkdir:/sys/fs/cgroup/x", "mkdir:/sys/fs/cgroup/pids/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			if b.v.v2 {
				equal(t, "type", f.mount("/sys/fs/cgroup").fstype, "cgroup2")
				equal(t, "root", f.mount("/sys/fs/cgroup").root, "/")
			} else {
				equal(t, "root", f.mount("/sys/fs/cgroup/pids").root, "/")
				equal(t, "write in pids", f.Probes["mkdir:/sys/fs/cgroup/pids/x"], "EROFS")
				includes(t, "hierarchies", strings.Fields(f.Probes["list:/sys/fs/cgroup"]), "pids", "memory", "cpu", "systemd")
			}
			equal(t, "write", f.Probes["mkdir:/sys/fs/cgroup/x"], "EROFS")
		}},
		{"cgroup of the host's namespace", func(b *bundle) {
			b.probe("list:/sys/fs/cgroup", "read:/sys/fs/cgroup/pids/cgroup.procs", "list:/sys/fs/cgroup/"+env.name)
		}, func(t *testing.T, b *bundle, f *facts) {
			if !b.v.v2 {
				equal(t, "processes in the container's cgroup", f.Probes["read:/sys/fs/cgroup/pids/cgroup.procs"], "1\n")
				equal(t, "the cgroups beside it", f.Probes["list:/sys/fs/cgroup/"+env.name], "ENOENT")
			}
		}},
	})
}
