package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// attrs are the options of a mount as mountinfo shows them: a set, with one of the three words about access times.
type attrs struct {
	ro, nosuid, nodev, noexec, nosymfollow, nodiratime bool
	atime                                              string // "relatime", "noatime" or "" for strictatime
}

var (
	soft   = attrs{atime: "relatime"}
	hard   = attrs{ro: true, nosuid: true, nodev: true, noexec: true, nosymfollow: true, nodiratime: true, atime: "noatime"}
	strict = attrs{}
)

func attrsOf(m mount) attrs {
	has := func(word string) bool { return slices.Contains(m.options, word) }
	a := attrs{ro: has("ro"), nosuid: has("nosuid"), nodev: has("nodev"), noexec: has("noexec"), nosymfollow: has("nosymfollow"), nodiratime: has("nodiratime")}
	for _, word := range []string{"relatime", "noatime"} {
		if has(word) {
			a.atime = word
		}
	}
	return a
}

// apply is what a word of the specification's table does to a mount (config.md#linux-mount-options), written down once more,
// independently of how husk does it. It reports whether the word is about mount attributes at all.
func (a *attrs) apply(word string) bool {
	switch word {
	case "ro", "rw":
		a.ro = word == "ro"
	case "nosuid", "suid":
		a.nosuid = word == "nosuid"
	case "nodev", "dev":
		a.nodev = word == "nodev"
	case "noexec", "exec":
		a.noexec = word == "noexec"
	case "nosymfollow", "symfollow":
		a.nosymfollow = word == "nosymfollow"
	case "nodiratime", "diratime":
		a.nodiratime = word == "nodiratime"
	case "noatime", "relatime":
		a.atime = word
	case "strictatime":
		a.atime = ""
	case "atime", "norelatime", "nostrictatime": // the kernel's default
		a.atime = "relatime"
	default:
		return false
	}
	return true
}

// attributeWords come in two forms: for the mount, and with an "r" before them for the mounts below as well.
var attributeWords = []string{
	"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nosymfollow", "symfollow", "nodiratime", "diratime",
	"noatime", "relatime", "strictatime", "atime", "norelatime", "nostrictatime",
}

// superblockWords are about a file system and not about a mount.
var superblockWords = []string{"sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "iversion", "noiversion", "loud", "silent", "defaults"}

// mountPoint is where the mount with an option goes.
func mountPoint(option string) string { return "/m/with " + strings.ReplaceAll(option, ",", "+") }

// source makes a mount of a directory of the bundle in the view, to be bound into containers. It goes with the test.
func source(b *bundle, name string, set uint64, below ...string) string {
	b.t.Helper()
	b.makeDirs(name)
	dir := b.path(name)
	err := b.v.do(func() error {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		for _, sub := range below {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644); err != nil {
			return err
		}
		return setAttr(dir, set)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.v.do(func() error { return unix.Unmount(dir, unix.MNT_DETACH) }) })
	return dir
}

func setAttr(dir string, set uint64) error {
	return unix.MountSetattr(unix.AT_FDCWD, dir, 0, &unix.MountAttr{Attr_set: set, Attr_clr: unix.MOUNT_ATTR__ATIME})
}

// attrBits of soft, hard and strict.
const (
	softBits   = 0
	hardBits   = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOATIME
	strictBits = unix.MOUNT_ATTR_STRICTATIME
)

// Each word about attributes on bind mounts of directories and files whose source has none, all, or other attributes.
func TestBindOptions(t *testing.T) {
	sources := []struct {
		name  string
		attrs attrs
		bits  uint64
	}{{"soft", soft, softBits}, {"hard", hard, hardBits}, {"strict", strict, strictBits}}
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range sources {
			for _, file := range []bool{false, true} {
				for _, prefix := range []string{"", "r"} {
					t.Run(s.name+map[bool]string{true: " file"}[file]+map[string]string{"r": " recursive"}[prefix], func(t *testing.T) {
						b := newBundle(t, v)
						from := source(b, "source", s.bits)
						if file {
							from += "/file"
						}
						words := append(superblockWords, "nodev,dev", "ro,rw", "rw,ro", "noatime,strictatime", "ro,nosuid,noexec", "rro,rw", "")
						for _, word := range attributeWords {
							words = append(words, prefix+word)
						}
						for _, word := range words {
							options := append([]string{"bind"}, strings.Split(word, ",")...)
							b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: mountPoint(word), Source: from, Type: "bind", Options: options})
						}
						f := b.facts()
						for _, word := range words {
							want := s.attrs
							for _, w := range strings.Split(word, ",") {
								if !want.apply(w) && strings.HasPrefix(w, "r") {
									want.apply(w[1:])
								}
							}
							if word == "rro,rw" { // recursive words come after the others
								want.ro = true
							}
							m := f.mount(mountPoint(word))
							equal(t, "mount with option "+word, attrsOf(m), want)
						}
					})
				}
			}
		}
	})
}

// A tree of mounts: words without "r" are for its top, words with it for all.
func TestRbind(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		from := source(b, "source", softBits)
		err := v.do(func() error {
			for _, name := range []string{"/below", "/below/deeper"} {
				if err := os.MkdirAll(from+name, 0o755); err != nil {
					return err
				}
				if err := unix.Mount("tmpfs", from+name, "tmpfs", 0, ""); err != nil {
					return err
				}
			}
			return setAttr(from+"/below/deeper", hardBits)
		})
		if err != nil {
			t.Fatal(err)
		}
		words := attributeWords
		for _, word := range attributeWords {
			words = append(words[:len(words):len(words)], "r"+word)
		}
		for _, word := range words {
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: mountPoint(word), Source: from, Type: "none", Options: []string{"rbind", word}})
		}
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/m/single", Source: from, Type: "bind", Options: []string{"bind"}})
		f := b.facts()
		for _, word := range words {
			top, below, deeper := soft, soft, hard
			if !top.apply(word) {
				for _, a := range []*attrs{&top, &below, &deeper} {
					a.apply(word[1:])
				}
			}
			point := mountPoint(word)
			equal(t, "top with "+word, attrsOf(f.mount(point)), top)
			equal(t, "below with "+word, attrsOf(f.mount(point+"/below")), below)
			equal(t, "deeper with "+word, attrsOf(f.mount(point+"/below/deeper")), deeper)
		}
		equal(t, "mount below one that is not recursive", f.mount("/m/single/below").point, "")
	})
}

// Each word on new file systems of all types that need no device.
func TestFilesystemOptions(t *testing.T) {
	types := []struct {
		fstype  string
		options []string
		super   bool // takes the words about superblocks
	}{
		{"tmpfs", []string{"size=64k", "mode=700"}, true},
		{"proc", nil, false},
		{"sysfs", nil, false},
		{"devpts", []string{"newinstance", "ptmxmode=0666"}, false},
		{"mqueue", nil, false},
		{"cgroup", nil, false},
		{"overlay", []string{"lowerdir=LOWER", "upperdir=UPPER", "workdir=WORK"}, false},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, fs := range types {
			t.Run(fs.fstype, func(t *testing.T) {
				b := newBundle(t, v)
				words := append(attributeWords[:len(attributeWords):len(attributeWords)], "ro,rw", "nosuid,nodev,noexec", "")
				if fs.super {
					words = append(words, superblockWords...)
					for _, word := range attributeWords {
						words = append(words, "r"+word)
					}
				}
				if fs.fstype == "overlay" { // the work directory belongs to one mount
					b.makeDirs("lower")
					b.write("lower/name", "lower")
				}
				for i, word := range words {
					options := append(slices.Clone(fs.options), strings.Split(word, ",")...)
					if fs.fstype == "overlay" {
						n := string(rune('a' + i))
						b.makeDirs("upper"+n, "work"+n)
						options = slices.Concat([]string{"lowerdir=" + b.path("lower"), "upperdir=" + b.path("upper"+n), "workdir=" + b.path("work"+n)}, strings.Split(word, ","))
					}
					b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: mountPoint(word), Source: fs.fstype, Type: fs.fstype, Options: options})
				}
				f := b.facts()
				for _, word := range words {
					want := soft
					for _, w := range strings.Split(word, ",") {
						if !want.apply(w) && strings.HasPrefix(w, "r") {
							want.apply(w[1:])
						}
					}
					m := f.mount(mountPoint(word))
					equal(t, "mount with option "+word, attrsOf(m), want)
					equal(t, "type of "+word, m.fstype, typeInside(fs.fstype, v))
					if word == "sync" || word == "dirsync" || word == "lazytime" || word == "mand" {
						includes(t, "options of the superblock of "+word, m.super, word)
					}
				}
			})
		}
	})
}

// typeInside is what a mount of a type is in the container.
func typeInside(fstype string, v *view) string {
	switch {
	case fstype == "cgroup" && v.v2:
		return "cgroup2"
	case fstype == "cgroup":
		return "tmpfs" // with the hierarchies below it
	}
	return fstype
}

func TestMounts(t *testing.T) {
	runAll(t, []kase{
		{"options of file systems", func(b *bundle) {
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
		{"devices and defaults", func(b *bundle) {}, func(t *testing.T, b *bundle, f *facts) {
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
		{"overlay", func(b *bundle) {
			b.makeDirs("lower", "upper", "work")
			b.write("lower/a", "lower")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{
				"lowerdir=" + b.path("lower"), "upperdir=" + b.path("upper"), "workdir=" + b.path("work"), "index=off", "nosuid",
			}})
			b.probe("read:/o/a", "create:/o/b")
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "content", f.Probes["read:/o/a"], "lower")
			equal(t, "write", f.Probes["create:/o/b"], "ok")
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

// Propagation: what the words say, what mountinfo shows, and which mounts get through.
func TestPropagation(t *testing.T) {
	words := map[string]string{
		"private": "", "rprivate": "", "slave": "master", "rslave": "master", "shared": "shared", "rshared": "shared",
		"unbindable": "unbindable", "runbindable": "unbindable",
	}
	eachView(t, func(t *testing.T, v *view) {
		for word, want := range words {
			t.Run(word, func(t *testing.T) {
				b := newBundle(t, v)
				from := source(b, "source", softBits, "host", "container")
				b.Spec.Mounts = append(b.Spec.Mounts,
					specs.Mount{Destination: "/bound", Source: from, Type: "bind", Options: []string{"rbind", word}},
					specs.Mount{Destination: "/new", Source: "tmpfs", Type: "tmpfs", Options: []string{word}})
				b.detached("wait")
				pid := b.state().Pid
				err := v.do(func() error { return unix.Mount("tmpfs", from+"/host", "tmpfs", 0, "") })
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "mountinfo"))
				if err != nil {
					t.Fatal(err)
				}
				f := &facts{Mountinfo: string(data)}
				for _, point := range []string{"/bound", "/new"} {
					got := strings.Join(f.mount(point).optional, " ")
					wanted := want
					if point == "/new" && want == "master" { // there is nobody to be a slave of
						wanted = ""
					}
					if before, _, _ := strings.Cut(got, ":"); before != wanted {
						t.Errorf("%s is %q, want %q", point, got, wanted)
					}
				}
				through := want == "master" || want == "shared"
				equal(t, "a mount of the host gets through", f.mount("/bound/host").point != "", through)
				b.must("delete", "--force", b.id)
				if err := v.do(func() error { return unix.Unmount(from+"/host", unix.MNT_DETACH) }); err != nil {
					t.Fatal(err)
				}
			})
		}
		for word, want := range map[string]string{"": "master", "private": "", "slave": "master", "rslave": "master", "rprivate": "", "unbindable": "unbindable", "shared": "shared", "rshared": "shared"} {
			t.Run("rootfs "+word, func(t *testing.T) {
				b := newBundle(t, v)
				b.Linux.RootfsPropagation = word
				f := b.facts()
				got, _, _ := strings.Cut(strings.Join(f.mount("/").optional, " "), ":")
				equal(t, "propagation of the root", got, want)
			})
		}
	})
}
