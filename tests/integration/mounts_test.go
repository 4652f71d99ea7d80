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

// bound are the attributes of a bind mount of a source with these. With a word about the mount itself it has the flags that are named
// and no others, and access times as before unless a word sets them: as mount(2) does it with MS_REMOUNT and MS_BIND.
func (a attrs) bound(words []string) attrs {
	var own []string
	for _, w := range words {
		if ignored := a; ignored.apply(w) {
			own = append(own, w)
		}
	}
	if len(own) > 0 {
		asked := attrs{atime: "nothing"}
		for _, w := range own {
			switch asked.apply(w); w {
			case "atime", "norelatime", "nostrictatime":
				asked.atime = "nothing"
			}
		}
		switch {
		case asked.atime != "nothing":
		case asked.nodiratime:
			asked.atime = "relatime"
		default:
			asked.atime, asked.nodiratime = a.atime, a.nodiratime
		}
		a = asked
	}
	for _, w := range words {
		if w != "" && w[0] == 'r' && !slices.Contains(own, w) { // the whole tree comes last
			a.apply(w[1:])
		}
	}
	return a
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
		v.needsRoot(t, "what the host's root has set on its mounts is locked for others")
		for _, s := range sources {
			for _, file := range []bool{false, true} {
				for _, prefix := range []string{"", "r"} {
					t.Run(s.name+map[bool]string{true: " file"}[file]+map[string]string{"r": " recursive"}[prefix], func(t *testing.T) {
						b := newBundle(t, v)
						from := source(b, "source", s.bits)
						if file {
							from += "/file"
						}
						words := append(superblockWords, "nodev,dev", "ro,rw", "rw,ro", "noatime,strictatime", "ro,nosuid,noexec", "rro,rw", "nodiratime,norelatime", "relatime,atime", "")
						for _, word := range attributeWords {
							words = append(words, prefix+word)
						}
						for _, word := range words {
							options := append([]string{"bind"}, strings.Split(word, ",")...)
							b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: mountPoint(word), Source: from, Type: "bind", Options: options})
						}
						f := b.facts()
						for _, word := range words {
							m := f.mount(mountPoint(word))
							equal(t, "mount with option "+word, attrsOf(m), s.attrs.bound(strings.Split(word, ",")))
						}
					})
				}
			}
		}
	})
}

// In a user namespace the flags and access times of a source are locked: what no word names stays, and a word can't take it away.
func TestBindOptionsLocked(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.inUser()
		from := source(b, "source", hardBits)
		bind := func(word string) {
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: mountPoint(word), Source: from, Type: "bind", Options: []string{"bind", word}})
		}
		kept := hard
		kept.nosymfollow = false // the only flag that is never locked
		words := []string{"ro", "nosuid", "symfollow", "norelatime"}
		for _, word := range words {
			bind(word)
		}
		f := b.facts()
		for _, word := range words {
			equal(t, "mount with option "+word, attrsOf(f.mount(mountPoint(word))), kept)
		}
		mounts := b.Spec.Mounts
		for _, word := range []string{"rw", "dev", "exec", "suid", "relatime", "strictatime"} {
			b.Spec.Mounts = mounts[:len(mounts):len(mounts)]
			bind(word)
			if r := b.run(); r.status != 1 || !strings.Contains(r.stderr, "apply options bind,"+word+": operation not permitted (in a user namespace nobody may take off") {
				t.Errorf("run with %s: %v", word, r)
			}
		}
	})
}

// A tree of mounts: words without "r" are for its top, words with it for all.
// Words that a bind mount has no use for may be misspelt ones: they are named.
func TestBindWithoutOption(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/m", Source: source(b, "source", softBits), Type: "bind", Options: []string{"rbind", "nosiud", "ro", "size=1"}})
		r := b.run()
		if want := `/mounts/7/options [\"nosiud\" \"size=1\"]`; r.status != 0 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v; want a warning with %s", r, want)
		}
	})
}

func TestRbind(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "what the host's root has set on its mounts is locked for others")
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

// Mounts are made in the order of the list: one that covers an earlier one covers what is below it too, and what comes later goes on top.
func TestMountsInOrder(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, cover := range []string{"tmpfs", "bind"} {
			t.Run(cover, func(t *testing.T) {
				b := newBundle(t, v)
				b.makeDirs("cover", "data")
				b.write("data/x", "of the last")
				above := specs.Mount{Destination: "/tmp", Source: "tmpfs", Type: "tmpfs"}
				if cover == "bind" {
					above = specs.Mount{Destination: "/tmp", Source: b.path("cover"), Options: []string{"bind"}}
				}
				b.Spec.Mounts = append(b.Spec.Mounts,
					specs.Mount{Destination: "/tmp/a", Source: "tmpfs", Type: "tmpfs"}, above,
					specs.Mount{Destination: "/tmp/a/b", Source: b.path("data"), Options: []string{"bind"}})
				b.probe("read:/tmp/a/b/x")
				equal(t, "read", b.facts().Probes["read:/tmp/a/b/x"], "of the last")
			})
		}
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
				if fs.fstype == "proc" || fs.fstype == "sysfs" || fs.fstype == "cgroup" {
					v.needsRoot(t, "the kernel takes no options that are weaker than those of the host's mount")
				}
				b := newBundle(t, v)
				words := append(attributeWords[:len(attributeWords):len(attributeWords)], "ro,rw", "nosuid,nodev,noexec", "")
				for _, word := range attributeWords {
					words = append(words, "r"+word)
				}
				if fs.super {
					words = append(words, superblockWords...)
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
				before := soft
				if fs.fstype == "cgroup" && v.v2 { // without a cgroup namespace it is the host's, as a bind mount is
					before = attrsOf(v.mount("/sys/fs/cgroup"))
				}
				for _, word := range words {
					want := before
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
