package specconv

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOption is one word of the specification's table of mount options (config.md#linux-mount-options).
type mountOption struct {
	name        string
	set, clear  uint64 // MOUNT_ATTR_* of the mount
	recursive   bool   // of the mounts below as well (AT_RECURSIVE)
	propagation uint64 // MS_*
	super       string // a flag of the superblock, given to fsconfig(2)
	special     special
}

// special is what an option means that changes neither attributes nor propagation nor superblock.
type special uint8

const (
	plain special = iota
	ignored
	bind
	rbind
	remount
	copyUp
	idmap      // IDMapped looks for the words themselves
	copyLink   // crun's: a source that is a link is made anew at the destination
	sourceLink // crun's: a source that is a link is bound itself
	targetLink // crun's: a destination that is a link is covered itself
)

const (
	atime = unix.MOUNT_ATTR__ATIME
	// flags are the attributes that are either set or not; access times have a policy.
	flags = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
)

// mountOptions is the whole table, sorted, with three words of crun. `silent` and `loud` have no meaning in the mount API of Linux 5.2 and later
// (they kept the kernel from logging); iversion is given to the file system, which is where the kernel looks for it.
var mountOptions = []mountOption{
	{name: "async", super: "async"},
	{name: "atime", clear: unix.MOUNT_ATTR_NOATIME | atime},
	{name: "bind", special: bind},
	{name: "copy-symlink", special: copyLink},
	{name: "defaults", special: ignored},
	{name: "dest-nofollow", special: targetLink},
	{name: "dev", clear: unix.MOUNT_ATTR_NODEV},
	{name: "diratime", clear: unix.MOUNT_ATTR_NODIRATIME},
	{name: "dirsync", super: "dirsync"},
	{name: "exec", clear: unix.MOUNT_ATTR_NOEXEC},
	{name: "idmap", special: idmap},
	{name: "iversion", super: "iversion"},
	{name: "lazytime", super: "lazytime"},
	{name: "loud", special: ignored},
	{name: "mand", super: "mand"},
	{name: "noatime", set: unix.MOUNT_ATTR_NOATIME, clear: atime},
	{name: "nodev", set: unix.MOUNT_ATTR_NODEV},
	{name: "nodiratime", set: unix.MOUNT_ATTR_NODIRATIME},
	{name: "noexec", set: unix.MOUNT_ATTR_NOEXEC},
	{name: "noiversion", super: "noiversion"},
	{name: "nolazytime", super: "nolazytime"},
	{name: "nomand", super: "nomand"},
	{name: "norelatime", clear: atime},
	{name: "nostrictatime", clear: atime},
	{name: "nosuid", set: unix.MOUNT_ATTR_NOSUID},
	{name: "nosymfollow", set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	{name: "private", propagation: unix.MS_PRIVATE},
	{name: "ratime", clear: unix.MOUNT_ATTR_NOATIME | atime, recursive: true},
	{name: "rbind", special: rbind},
	{name: "rdev", clear: unix.MOUNT_ATTR_NODEV, recursive: true},
	{name: "rdiratime", clear: unix.MOUNT_ATTR_NODIRATIME, recursive: true},
	{name: "relatime", set: unix.MOUNT_ATTR_RELATIME, clear: atime},
	{name: "remount", special: remount},
	{name: "rexec", clear: unix.MOUNT_ATTR_NOEXEC, recursive: true},
	{name: "ridmap", special: idmap},
	{name: "rnoatime", set: unix.MOUNT_ATTR_NOATIME, clear: atime, recursive: true},
	{name: "rnodev", set: unix.MOUNT_ATTR_NODEV, recursive: true},
	{name: "rnodiratime", set: unix.MOUNT_ATTR_NODIRATIME, recursive: true},
	{name: "rnoexec", set: unix.MOUNT_ATTR_NOEXEC, recursive: true},
	{name: "rnorelatime", clear: atime, recursive: true},
	{name: "rnostrictatime", clear: atime, recursive: true},
	{name: "rnosuid", set: unix.MOUNT_ATTR_NOSUID, recursive: true},
	{name: "rnosymfollow", set: unix.MOUNT_ATTR_NOSYMFOLLOW, recursive: true},
	{name: "ro", set: unix.MOUNT_ATTR_RDONLY},
	{name: "rprivate", propagation: unix.MS_PRIVATE, recursive: true},
	{name: "rrelatime", set: unix.MOUNT_ATTR_RELATIME, clear: atime, recursive: true},
	{name: "rro", set: unix.MOUNT_ATTR_RDONLY, recursive: true},
	{name: "rrw", clear: unix.MOUNT_ATTR_RDONLY, recursive: true},
	{name: "rshared", propagation: unix.MS_SHARED, recursive: true},
	{name: "rslave", propagation: unix.MS_SLAVE, recursive: true},
	{name: "rstrictatime", set: unix.MOUNT_ATTR_STRICTATIME, clear: atime, recursive: true},
	{name: "rsuid", clear: unix.MOUNT_ATTR_NOSUID, recursive: true},
	{name: "rsymfollow", clear: unix.MOUNT_ATTR_NOSYMFOLLOW, recursive: true},
	{name: "runbindable", propagation: unix.MS_UNBINDABLE, recursive: true},
	{name: "rw", clear: unix.MOUNT_ATTR_RDONLY},
	{name: "shared", propagation: unix.MS_SHARED},
	{name: "silent", special: ignored},
	{name: "slave", propagation: unix.MS_SLAVE},
	{name: "src-nofollow", special: sourceLink},
	{name: "strictatime", set: unix.MOUNT_ATTR_STRICTATIME, clear: atime},
	{name: "suid", clear: unix.MOUNT_ATTR_NOSUID},
	{name: "symfollow", clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	{name: "sync", super: "sync"},
	{name: "tmpcopyup", special: copyUp},
	{name: "unbindable", propagation: unix.MS_UNBINDABLE},
}

// attributes is a change of mount attributes: first Clear, then Set (mount_setattr(2)).
type attributes struct{ set, clear uint64 }

func (a *attributes) add(o mountOption) {
	a.set = a.set&^o.clear&^o.set | o.set
	a.clear |= o.clear
}

// parameter is a file system parameter: fsconfig(2).
type parameter struct {
	key, value string
	flag       bool // without a value
	index      int  // place in the options
}

// join adds another change, which wins.
func (a attributes) join(b attributes) attributes {
	return attributes{set: a.set&^b.clear&^b.set | b.set, clear: a.clear | b.clear}
}

// mountSettings is what the options of one mount amount to. Of words about the mount itself, and of
// those about the tree (rro ...), a later one wins over an earlier one; the tree is changed after the mount itself.
type mountSettings struct {
	attributes
	recursive            attributes
	propagation          uint64
	propagationRecursive bool
	relatime             bool // asked for: it has no bit of its own
	bind, rbind, remount bool
	copyUp               bool
	copyLink             bool
	sourceLink           bool
	targetLink           bool
	copied               bool        // the source is a copy already
	parameters           []parameter // flags of the superblock and what the file system itself understands
}

// findOption looks a word up in the table.
func findOption(word string) (at int, ok bool) {
	return slices.BinarySearchFunc(mountOptions, word, func(o mountOption, w string) int { return strings.Compare(o.name, w) })
}

// NoOption lists the words among the options of a bind mount that mean nothing there: they would be for a file system, and a bind
// mount makes none. Maybe one that is meant to restrict is misspelt.
func NoOption(options []string) (words []string) {
	for _, word := range options {
		if _, ok := findOption(word); !ok && word != "" {
			words = append(words, word)
		}
	}
	return words
}

// parseMountOptions sorts the options of a mount. What the table does not know is for the file system.
func parseMountOptions(options []string) (s mountSettings) {
	for i, word := range options {
		at, ok := findOption(word)
		if !ok {
			if key, value, has := strings.Cut(word, "="); word != "" {
				s.parameters = append(s.parameters, parameter{key, value, !has, i})
			}
			continue
		}
		s.apply(mountOptions[at], i)
	}
	return s
}

func (s *mountSettings) apply(o mountOption, index int) {
	switch o.special {
	case bind, rbind:
		s.bind, s.rbind = true, s.rbind || o.special == rbind
	case remount:
		s.remount = true
	case copyUp:
		s.copyUp = true
	case copyLink:
		s.copyLink = true
	case sourceLink:
		s.sourceLink = true
	case targetLink:
		s.targetLink = true
	}
	switch {
	case o.propagation != 0:
		s.propagation, s.propagationRecursive = o.propagation, o.recursive
	case o.super != "":
		s.parameters = append(s.parameters, parameter{key: o.super, flag: true, index: index})
	case o.recursive:
		s.recursive.add(o)
	default:
		s.attributes.add(o)
		if o.clear&atime != 0 {
			s.relatime = o.name == "relatime"
		}
	}
}

// ofBind is what the options say about a bind mount itself. Without a word the attributes of the source stay. With one the mount has
// the flags that are named and no others, as mount(2) does it with MS_REMOUNT|MS_BIND and hence all runtimes; access times stay as they
// are unless a word chooses a policy. locked: in a user namespace what the host has set stays where no word says otherwise.
func (s *mountSettings) ofBind(locked bool) attributes {
	if s.attributes == (attributes{}) {
		return attributes{}
	}
	const times = atime | unix.MOUNT_ATTR_NODIRATIME
	a := attributes{s.set, s.clear&^times | unix.MOUNT_ATTR_NOSYMFOLLOW} // which is never locked
	if s.relatime || s.set&times != 0 {
		a.clear |= times
	}
	if !locked {
		a.clear |= flags &^ s.set
	}
	return a
}

// MountOptions lists the words of the table: what `features` prints.
func MountOptions() (list []string) {
	for _, o := range mountOptions {
		list = append(list, o.name)
	}
	return list
}
