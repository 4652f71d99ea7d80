package integration

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// powerful gives the program the capabilities to try what restrictions forbid.
func powerful(b *bundle) {
	caps := []string{"CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_CHOWN", "CAP_FOWNER"}
	b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	b.ownCgroupNamespace()
}

func TestPaths(t *testing.T) {
	runAll(t, []kase{
		{"masked", func(b *bundle) {
			b.makeDirs("rootfs/secret/sub")
			b.write("rootfs/secret/sub/x", "secret")
			b.write("rootfs/key", "secret")
			if err := os.Symlink("/key", b.path("rootfs/linked")); err != nil {
				b.t.Fatal(err)
			}
			b.Linux.MaskedPaths = append(b.Linux.MaskedPaths, "/secret", "/secret/sub", "/key", "/linked", "/missing", "/key/below")
			b.probe("list:/secret", "read:/secret/sub/x", "create:/secret/x", "read:/key", "write:/key", "read:/linked", "read:/proc/kcore", "list:/sys/firmware", "read:/proc/keys", "stat:/missing", "umount:/secret", "umount:/key", "exec:/inside")
		}, func(t *testing.T, b *bundle, f *facts) {
			for probe, want := range map[string]string{
				"list:/secret": "", "read:/secret/sub/x": "ENOENT", "create:/secret/x": "EROFS", "read:/key": "",
				"read:/linked": "", "list:/sys/firmware": "", "read:/proc/keys": "", "stat:/missing": "ENOENT",
				"umount:/secret": "EPERM", "umount:/key": "EPERM", "exec:/inside": "ok",
			} {
				equal(t, probe, f.Probes[probe], want)
			}
			content, err := os.ReadFile(b.path("rootfs/key"))
			equal(t, "the masked file", string(content), "secret")
			equal(t, "its error", err, nil)
		}},
		{"masks hold", func(b *bundle) {
			b.v.needsRoot(b.t, "the files of /proc/sys are the host root's, nobody else gets as far as to be told that they are read-only")
			powerful(b)
			b.write("rootfs/key", "secret")
			b.Linux.MaskedPaths = append(b.Linux.MaskedPaths, "/key")
			b.probe("mknod:/tmp/n", "write:/proc/sys/kernel/core_pattern")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "write to a read-only path", f.Probes["write:/proc/sys/kernel/core_pattern"], "EROFS")
			equal(t, "mknod in a read-only root", f.Probes["mknod:/tmp/n"], "EROFS")
			m := f.mount("/key")
			if m.point == "" || attrsOf(m).ro != true {
				t.Errorf("the mask of /key: %+v", m)
			}
		}},
		{"read-only paths", func(b *bundle) {
			b.v.needsRoot(b.t, "the files of /proc/sys are the host root's, nobody else gets as far as to be told that they are read-only")
			powerful(b)
			b.Root.Readonly = false
			b.makeDirs("rootfs/data/sub")
			b.write("rootfs/data/sub/x", "x")
			b.write("rootfs/file", "x")
			b.Linux.ReadonlyPaths = append(b.Linux.ReadonlyPaths, "/data", "/file", "/missing")
			b.probe("write:/data/sub/x", "create:/data/y", "write:/file", "create:/free", "write:/proc/sys/kernel/hostname", "read:/data/sub/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			for probe, want := range map[string]string{
				"write:/data/sub/x": "EROFS", "create:/data/y": "EROFS", "write:/file": "EROFS", "create:/free": "ok",
				"write:/proc/sys/kernel/hostname": "EROFS", "read:/data/sub/x": "x",
			} {
				equal(t, probe, f.Probes[probe], want)
			}
		}},
		{"read-only root", func(b *bundle) {
			b.makeDirs("data")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/data", Source: b.path("data"), Options: []string{"bind"}})
			b.probe("create:/x", "write:/inside", "create:/dev/x", "create:/tmp/x", "create:/data/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			for probe, want := range map[string]string{"create:/x": "EROFS", "create:/dev/x": "ok", "create:/tmp/x": "EROFS", "create:/data/x": "ok"} {
				equal(t, probe, f.Probes[probe], want)
			}
			equal(t, "options of the root", attrsOf(f.mount("/")).ro, true)
		}},
		{"writable root", func(b *bundle) {
			b.Root.Readonly = false
			b.probe("create:/x")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "write", f.Probes["create:/x"], "ok")
			os.Remove(b.path("rootfs/x"))
		}},
		{"read-only /dev", func(b *bundle) {
			for i := range b.Spec.Mounts {
				if b.Spec.Mounts[i].Destination == "/dev" {
					b.Spec.Mounts[i].Options = append(b.Spec.Mounts[i].Options, "ro")
				}
			}
			b.probe("create:/dev/x", "write:/dev/null")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "write", f.Probes["create:/dev/x"], "EROFS")
			equal(t, "write to null", f.Probes["write:/dev/null"], "ok")
		}},
		{"root is a mount with mounts in it", func(b *bundle) {
			b.makeDirs("rootfs/inner")
			err := b.v.do(func() error { return unix.Mount("tmpfs", b.path("rootfs/inner"), "tmpfs", unix.MS_NOSUID, "size=16k") })
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() {
				b.v.do(func() error { return unix.Unmount(b.path("rootfs/inner"), unix.MNT_DETACH) })
			})
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "type", f.mount("/inner").fstype, "tmpfs")
		}},
		{"root is a link", func(b *bundle) {
			if err := os.Symlink("rootfs", b.path("link")); err != nil {
				b.t.Fatal(err)
			}
			b.Root.Path = "link"
		}, func(t *testing.T, b *bundle, f *facts) {}},
		{"root is absolute", func(b *bundle) {
			b.Root.Path = b.path("rootfs")
		}, func(t *testing.T, b *bundle, f *facts) {}},
	})
}

// Without a mount namespace of its own a container can't pivot; nothing may be left on the host.
func TestNoPivot(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the host's mounts, which have to be detached, are locked in a user namespace")
		b := newBundle(t, v)
		powerful(b)
		f := b.facts("--no-pivot")
		equal(t, "root is its own parent", f.Rooted, 1)
		includes(t, "the root directory", f.Root, "inside", "!work", "!usr")
	})
}

// boundNodes is what is different for whoever can't make device nodes.
const boundNodes = "the nodes are the host's own, by bind mounts"

func TestDevices(t *testing.T) {
	runAll(t, []kase{
		{"default", func(b *bundle) {
			b.v.needsRoot(b.t, boundNodes)
		}, func(t *testing.T, b *bundle, f *facts) {
			for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
				equal(t, name, f.Nodes["/dev/"+name], device{Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: minor})
			}
			equal(t, "tty", f.Nodes["/dev/tty"], device{Mode: unix.S_IFCHR | 0o666, Major: 5, Minor: 0})
			for name, link := range map[string]string{
				"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx", "core": "/proc/kcore",
			} {
				equal(t, name, f.Nodes["/dev/"+name].Link, link)
			}
			equal(t, "/dev/pts/ptmx", f.Nodes["/dev/pts/ptmx"].Mode, unix.S_IFCHR|0o666)
			if _, is := f.Nodes["/dev/console"]; is {
				t.Error("/dev/console is there without a terminal")
			}
		}},
		{"given", func(b *bundle) {
			b.v.needsRoot(b.t, boundNodes)
			b.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: value[os.FileMode](0o600), UID: value[uint32](7), GID: value[uint32](8)},
				{Path: "/dev/block", Type: "b", Major: 7, Minor: 3},
				{Path: "/dev/sub/dir/fifo", Type: "p", FileMode: value[os.FileMode](0o640)},
				{Path: "/dev/unbuffered", Type: "u", Major: 1, Minor: 3, FileMode: value[os.FileMode](0o4222)},
				{Path: "/dev/null", Type: "c", Major: 1, Minor: 3, FileMode: value[os.FileMode](0o622)},
				{Path: "/elsewhere/zero", Type: "c", Major: 1, Minor: 5},
			}
			b.probe("stat:/elsewhere/zero", "stat:/dev/sub/dir/fifo")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "fuse", f.Nodes["/dev/fuse"], device{Mode: unix.S_IFCHR | 0o600, Major: 10, Minor: 229, UID: 7, GID: 8})
			equal(t, "block", f.Nodes["/dev/block"], device{Mode: unix.S_IFBLK | 0o666, Major: 7, Minor: 3})
			equal(t, "fifo", strings.HasPrefix(f.Probes["stat:/dev/sub/dir/fifo"], "10640 0 0"), true)
			equal(t, "unbuffered", f.Nodes["/dev/unbuffered"], device{Mode: unix.S_IFCHR | 0o4222, Major: 1, Minor: 3})
			equal(t, "null", f.Nodes["/dev/null"], device{Mode: unix.S_IFCHR | 0o622, Major: 1, Minor: 3})
			equal(t, "elsewhere", strings.HasPrefix(f.Probes["stat:/elsewhere/zero"], "20666 0 0"), true)
		}},
		{"rules", func(b *bundle) {
			b.v.needsRoot(b.t, boundNodes)
			// Nobody drives 120:1 (LOCAL/EXPERIMENTAL USE), so whoever may open it gets ENXIO.
			for name, minor := range map[string]int64{"none": 1, "read": 2, "both": 3} {
				b.Linux.Devices = append(b.Linux.Devices, specs.LinuxDevice{Path: "/dev/" + name, Type: "c", Major: 120, Minor: minor})
			}
			rules := &b.Linux.Resources.Devices
			*rules = append(*rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: value[int64](120), Minor: value[int64](2), Access: "r"})
			*rules = append(*rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: value[int64](120), Minor: value[int64](3), Access: "rwm"})
			b.probe("open:/dev/none", "open:/dev/read", "write:/dev/read", "open:/dev/both", "write:/dev/both", "write:/dev/null", "open:/dev/zero", "open:/dev/tty")
		}, func(t *testing.T, b *bundle, f *facts) {
			for probe, want := range map[string]string{
				"open:/dev/none": "EPERM", "open:/dev/read": "ENXIO", "write:/dev/read": "EPERM", "open:/dev/both": "ENXIO", "write:/dev/both": "ENXIO",
				"write:/dev/null": "ok", "open:/dev/zero": "ok", "open:/dev/tty": "ENXIO",
			} {
				equal(t, probe, f.Probes[probe], want)
			}
		}},
		// As with -v /dev/urandom:/dev/random, or for a user's privileged container.
		{"mounted in the place of default nodes", func(b *bundle) {
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/dev/random", Source: "/dev/urandom", Options: []string{"bind"}})
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/dev/null", Source: "/dev/null", Options: []string{"bind"}})
			b.probe("write:/dev/null")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "random", f.Nodes["/dev/random"].Minor, 9)
			equal(t, "urandom", f.Nodes["/dev/urandom"].Minor, 9)
			equal(t, "null", f.Nodes["/dev/null"].Minor, 3)
			equal(t, "write to /dev/null", f.Probes["write:/dev/null"], "ok")
		}},
		{"mounted in the place of default nodes, in a user namespace", func(b *bundle) {
			b.inUser()
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/dev/random", Source: "/dev/urandom", Options: []string{"bind"}})
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/dev/null", Source: "/dev/null", Options: []string{"bind"}})
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "random", f.Nodes["/dev/random"].Minor, 9)
			equal(t, "null", f.Nodes["/dev/null"].Minor, 3)
		}},
		{"/dev of the root", func(b *bundle) {
			b.v.needsRoot(b.t, boundNodes)
			b.Root.Readonly = false
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "null", f.Nodes["/dev/null"], device{Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3})
		}},
	})
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, boundNodes)
		t.Run("another device in the place", func(t *testing.T) {
			v.needsRoot(t, "it makes device nodes")
			b := newBundle(t, v)
			b.makeDirs("rootfs/dev")
			if err := unix.Mknod(b.path("rootfs/dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
				t.Fatal(err)
			}
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, "/dev/null") {
				t.Error(r)
			}
		})
	})
}
