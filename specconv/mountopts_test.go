package specconv

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// specified are the words of config.md#linux-mount-options in runtime-spec 1.3, and rnodev, which stands in features.md only.
const specified = `async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev nodiratime noexec
	noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount
	rexec ridmap rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw
	rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable`

// crunsOwn are those of crun that no specification has.
const crunsOwn = "copy-symlink dest-nofollow src-nofollow"

func TestMountOptionTable(t *testing.T) {
	words := strings.Fields(specified + " " + crunsOwn)
	var names []string
	for _, o := range mountOptions {
		names = append(names, o.name)
		if o.set&^(unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR__ATIME|
			unix.MOUNT_ATTR_NODIRATIME|unix.MOUNT_ATTR_NOSYMFOLLOW) != 0 {
			t.Errorf("%s sets %#x", o.name, o.set)
		}
		// mount_setattr(2): the bits of atime are one number, which is replaced as a whole.
		if touched := (o.set | o.clear) & unix.MOUNT_ATTR__ATIME; touched != 0 && o.clear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME {
			t.Errorf("%s changes a part of atime", o.name)
		}
		kinds := 0
		for _, is := range []bool{o.set|o.clear != 0, o.propagation != 0, o.super != "", o.special != plain} {
			if is {
				kinds++
			}
		}
		if kinds != 1 && o.name != "relatime" && o.name != "rrelatime" {
			t.Errorf("%s means %d things", o.name, kinds)
		}
	}
	if !slices.IsSorted(names) {
		t.Error("the table is not sorted, so words are not found")
	}
	for _, w := range words {
		if !slices.Contains(names, w) {
			t.Errorf("%s is missing", w)
		}
	}
	for _, n := range names {
		if !slices.Contains(words, n) {
			t.Errorf("%s is not in the specification", n)
		}
	}
	if list := MountOptions(); !slices.Equal(list, names) {
		t.Errorf("features would print %q", list)
	}
}

// TestMountOptionPairs: a recursive word does to the whole tree what the plain one does to the mount.
func TestMountOptionPairs(t *testing.T) {
	for _, o := range mountOptions {
		if !o.recursive {
			continue
		}
		i := slices.IndexFunc(mountOptions, func(p mountOption) bool { return p.name == o.name[1:] })
		if i < 0 {
			t.Errorf("%s has no plain word", o.name)
			continue
		}
		if p := mountOptions[i]; p.set != o.set || p.clear != o.clear || p.propagation != o.propagation {
			t.Errorf("%s is not %s of the tree", o.name, p.name)
		}
	}
}

func TestParseMountOptions(t *testing.T) {
	const (
		ro, nosuid, nodev, noexec = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NODEV, unix.MOUNT_ATTR_NOEXEC
		noatime, strict           = unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME
		nodiratime, nosymfollow   = unix.MOUNT_ATTR_NODIRATIME, unix.MOUNT_ATTR_NOSYMFOLLOW
	)
	for _, c := range []struct {
		options        string
		attrs, recurse attributes
	}{
		{"", attributes{}, attributes{}},
		{"ro", attributes{ro, 0}, attributes{}},
		{"ro,rw", attributes{0, ro}, attributes{}},
		{"rw,ro", attributes{ro, ro}, attributes{}},
		{"nosuid,suid", attributes{0, nosuid}, attributes{}},
		{"suid,nosuid", attributes{nosuid, nosuid}, attributes{}},
		{"nodev,noexec,dev", attributes{noexec, nodev}, attributes{}},
		{"exec,noexec,exec", attributes{0, noexec}, attributes{}},
		{"noatime", attributes{noatime, atime}, attributes{}},
		{"noatime,relatime", attributes{0, atime}, attributes{}},
		{"relatime,noatime", attributes{noatime, atime}, attributes{}},
		{"noatime,strictatime", attributes{strict, atime}, attributes{}},
		{"strictatime,noatime", attributes{noatime, atime}, attributes{}},
		{"strictatime,nostrictatime", attributes{0, atime}, attributes{}},
		{"noatime,atime", attributes{0, atime}, attributes{}},
		{"norelatime", attributes{0, atime}, attributes{}},
		{"nodiratime,diratime,nosymfollow,symfollow", attributes{0, nodiratime | nosymfollow}, attributes{}},
		{"rro", attributes{}, attributes{ro, 0}},
		{"rro,rrw", attributes{}, attributes{0, ro}},
		{"rrw,rro", attributes{}, attributes{ro, ro}},
		{"rnosuid,rsuid,rnodev", attributes{}, attributes{nodev, nosuid}},
		{"rnoatime,rstrictatime", attributes{}, attributes{strict, atime}},
		{"rstrictatime,rrelatime", attributes{}, attributes{0, atime}},
		{"rnoatime,ratime", attributes{}, attributes{0, atime}},
		{"rnodiratime,rnosymfollow", attributes{}, attributes{nodiratime | nosymfollow, 0}},
		{"ro,rrw", attributes{ro, 0}, attributes{0, ro}}, // the tree is changed last: it wins, as with runc
	} {
		s := parseMountOptions(strings.Split(c.options, ","))
		if s.attributes != c.attrs || s.recursive != c.recurse {
			t.Errorf("%q: %+v and for the tree %+v, want %+v and %+v", c.options, s.attributes, s.recursive, c.attrs, c.recurse)
		}
		// What the kernel makes of it, on a mount with all attributes and on one with none.
		for _, before := range []uint64{0, ro | nosuid | nodev | noexec | noatime | nodiratime | nosymfollow} {
			if after := before&^s.clear | s.set; after&atime != 0 && after&atime != noatime && after&atime != strict {
				t.Errorf("%q makes %#x of %#x: no kind of atime", c.options, after, before)
			}
		}
	}
}

func TestParseMountOptionsOther(t *testing.T) {
	for _, c := range []struct {
		options string
		want    mountSettings
	}{
		{"rshared,private", mountSettings{propagation: unix.MS_PRIVATE}},
		{"private,rslave", mountSettings{propagation: unix.MS_SLAVE, propagationRecursive: true}},
		{"unbindable", mountSettings{propagation: unix.MS_UNBINDABLE}},
		{"bind", mountSettings{bind: true}},
		{"rbind,bind", mountSettings{bind: true, rbind: true}},
		{"remount,bind", mountSettings{bind: true, remount: true}},
		{"tmpcopyup", mountSettings{copyUp: true}},
		{"defaults,silent,loud", mountSettings{}},
		{"sync,async,mand", mountSettings{parameters: []parameter{{"sync", "", true, 0}, {"async", "", true, 1}, {"mand", "", true, 2}}}},
		{"size=1%,newinstance,,a=b=c", mountSettings{parameters: []parameter{{"size", "1%", false, 0}, {"newinstance", "", true, 1}, {"a", "b=c", false, 3}}}},
		{"RO,Ro", mountSettings{parameters: []parameter{{"RO", "", true, 0}, {"Ro", "", true, 1}}}},
	} {
		got := parseMountOptions(strings.Split(c.options, ","))
		if !slices.Equal(got.parameters, c.want.parameters) {
			t.Errorf("%q: parameters %+v, want %+v", c.options, got.parameters, c.want.parameters)
		}
		got.parameters, c.want.parameters = nil, nil
		if got.attributes != c.want.attributes || got.propagation != c.want.propagation || got.propagationRecursive != c.want.propagationRecursive ||
			got.bind != c.want.bind || got.rbind != c.want.rbind || got.remount != c.want.remount || got.copyUp != c.want.copyUp {
			t.Errorf("%q: %+v, want %+v", c.options, got, c.want)
		}
	}
	// A comma in an option stays in it: every option is a parameter of its own.
	if s := parseMountOptions([]string{"context=a,ro"}); len(s.parameters) != 1 || s.parameters[0].value != "a,ro" || s.set != 0 {
		t.Errorf("%+v", s)
	}
}
