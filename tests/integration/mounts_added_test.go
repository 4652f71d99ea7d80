package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mounts changes the mounts of the container.
func (b *bundle) mounts(verb string, list ...specs.Mount) result {
	b.t.Helper()
	data, err := json.Marshal(list)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := b.command("mounts", verb, b.id, "-")
	cmd.Stdin = strings.NewReader(string(data))
	return b.finish(cmd)
}

func (b *bundle) mountsMust(verb string, list ...specs.Mount) {
	b.t.Helper()
	if r := b.mounts(verb, list...); r.status != 0 || r.stdout+r.stderr != "" {
		b.t.Fatalf("mounts %s: %v", verb, r)
	}
}

// mountsFail wants one line with the words, and the mounts of the container as they were.
func (b *bundle) mountsFail(words, verb string, list ...specs.Mount) {
	b.t.Helper()
	before := b.mountsInside()
	r := b.mounts(verb, list...)
	if r.status != 1 || !strings.Contains(r.stderr, words) || strings.Count(r.stderr, "\n") != 1 {
		b.t.Errorf("mounts %s: %v; want one line with %q", verb, r, words)
	}
	equal(b.t, "mounts after one that failed", b.mountsInside(), before)
}

// mountsInside is what the first process sees, "" if there is none.
func (b *bundle) mountsInside() string {
	data, _ := os.ReadFile("/proc/" + itoa(b.state().Pid) + "/mountinfo")
	return string(data)
}

// added are the destinations that state tells of.
func (b *bundle) added() string {
	b.t.Helper()
	var s struct{ AddedMounts []string }
	if err := json.Unmarshal([]byte(b.must("state", b.id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(s.AddedMounts, " ")
}

// running starts a container with a root that can be written to and some things to mount.
func (b *bundle) running() {
	b.t.Helper()
	b.Root.Readonly = false
	b.makeDirs("data/below", "rootfs/place")
	b.write("data/file", "content")
	b.write("single", "alone")
	b.own("data", "data/below", "data/file", "single", "rootfs/place")
	b.detached("wait")
}

// look has another process in the container look at something.
func (b *bundle) look(options []string, probes ...string) *facts {
	b.t.Helper()
	return parseFacts(b.t, b.must(slices.Concat([]string{"exec"}, options, []string{b.id, "/inside", "facts"}, probes)...))
}

// own gives files to whom the rootfs belongs.
func (b *bundle) own(names ...string) {
	b.t.Helper()
	var st unix.Stat_t
	err := unix.Stat(b.path("rootfs/etc"), &st)
	for _, name := range names {
		err = errors.Join(err, os.Chown(b.path(name), int(st.Uid), int(st.Gid)))
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func bound(from, to string, options ...string) specs.Mount {
	return specs.Mount{Destination: to, Source: from, Type: "bind", Options: append([]string{"rbind"}, options...)}
}

// Every kind of mount comes into a container that runs, and goes again.
func TestMountsAdd(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			t.Run(s.name, func(t *testing.T) {
				b := s.make(t, v)
				b.running()
				before := b.mountsInside()
				list := []specs.Mount{
					bound("data", "/place", "ro", "nosuid", "nodev"), // relative to the bundle
					bound(b.path("single"), "/new/way/file", "noexec"),
					bound(b.path("data"), "place/below", "rshared"),
					{Destination: "/t", Type: "tmpfs", Source: "a name", Options: []string{"size=64k", "mode=1710", "noexec"}},
					bound(b.path("data"), "/t/in/side", "rro"),
					{Destination: "/ro", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "rslave"}},
					{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "ro"}},
				}
				b.write("rootfs/etc/copied", "up")
				b.own("rootfs/etc/copied")
				b.mountsMust("add", list...)
				equal(t, "state", b.added(), "/place /new/way/file /place/below /t /t/in/side /ro /etc")
				f := b.look(nil, "read:/place/file", "create:/place/x", "read:/new/way/file", "read:/place/below/file", "stat:/t", "create:/t/x", "read:/t/in/side/file",
					"create:/t/in/side/x", "create:/ro/x", "read:/etc/copied", "create:/etc/x")
				for name, want := range map[string]string{
					"read:/place/file": "content", "create:/place/x": "EROFS", "read:/new/way/file": "alone", "read:/place/below/file": "content", "create:/t/x": "ok",
					"read:/t/in/side/file": "content", "create:/t/in/side/x": "EROFS", "create:/ro/x": "EROFS", "read:/etc/copied": "up", "create:/etc/x": "EROFS",
				} {
					equal(t, name, f.Probes[name], want)
				}
				equal(t, "owner and mode of a tmpfs", strings.HasPrefix(f.Probes["stat:/t"], "41710 0 0 "), true)
				equal(t, "/place", attrsOf(f.mount("/place")), attrs{ro: true, nosuid: true, nodev: true, atime: "relatime"})
				equal(t, "/new/way/file", attrsOf(f.mount("/new/way/file")), attrs{noexec: true, atime: "relatime"})
				equal(t, "/t", attrsOf(f.mount("/t")), attrs{noexec: true, atime: "relatime"})
				includes(t, "options of /t", f.mount("/t").super, "size=64k")
				equal(t, "source of /t", f.mount("/t").source, `a\040name`)
				equal(t, "/place/below is shared", strings.Contains(b.mountsInside(), " /place/below rw,relatime shared:"), true)

				b.mountsMust("remove", list[2], list[1])
				equal(t, "state", b.added(), "/place /t /t/in/side /ro /etc")
				b.mountsMust("remove", list[0], list[3], list[4], list[5], list[6])
				equal(t, "mounts when all that was added is removed", b.mountsInside(), before)
				equal(t, "state", b.added(), "")
				b.must("delete", "--force", b.id)
			})
		}
	})
}

// A container that waits for its start has what was added when its program comes.
func TestMountsAddCreated(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			t.Run(s.name, func(t *testing.T) {
				b := s.make(t, v)
				b.Root.Readonly = true
				b.makeDirs("data")
				b.write("data/file", "content")
				b.probe("read:/tmp/file", "create:/tmp/x")
				out := b.created()
				b.mountsMust("add", bound(b.path("data"), "/tmp", "ro"))
				b.mountsFail(`/mounts/0: make "/missing" in the rootfs: mkdirat missing: read-only file system`, "add", bound(b.path("data"), "/missing"))
				b.must("start", b.id)
				f := parseFacts(t, out.rest())
				equal(t, "content", f.Probes["read:/tmp/file"], "content")
				equal(t, "write", f.Probes["create:/tmp/x"], "EROFS")
				awaitEnd(b.state().Pid, limit)
				b.status("stopped")
				equal(t, "state", b.added(), "")
				if r := b.mounts("remove", bound("", "/tmp")); r.status != 1 || !strings.Contains(r.stderr, "container not running") {
					t.Errorf("mounts remove in a stopped container: %v", r)
				}
				b.must("delete", b.id)
			})
		}
	})
}

// Ids are mapped by the parent, and what the host has locked stays locked for a container in a user namespace.
func TestMountsAddInUser(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, mapsIDs)
		mapsTmpfs(t)
		b := newBundle(t, v)
		b.inUser()
		from := source(b, "mapped", unix.MOUNT_ATTR_RDONLY, "below")
		b.running()
		b.mountsMust("add", specs.Mount{Destination: "/place", Source: from, Options: []string{"bind", "idmap"}}, bound(from, "/plain"), bound(b.path("data"), "/plain/below"))
		f := b.look([]string{"--cap", "CAP_SYS_ADMIN"}, "stat:/place/file", "stat:/plain/file", "remount:/plain", "create:/plain/x", "umount:/plain/below")
		equal(t, "owner of a mapped file", fields(f.Probes["stat:/place/file"]), "100644 0 0 7")
		equal(t, "owner of one that is not", fields(f.Probes["stat:/plain/file"]), "100644 65534 65534 7")
		equal(t, "remount of what the host has read-only", f.Probes["remount:/plain"], "EPERM")
		equal(t, "write", f.Probes["create:/plain/x"], "EROFS")
		equal(t, "umount by the container", f.Probes["umount:/plain/below"], "ok")
		b.mountsFail(`find the mount that was added at "/plain/below": stale file handle (something else is in its place)`, "remove", bound("", "/plain/below"))
		b.mountsMust("remove", bound("", "/place"), bound("", "/plain")) // nothing is below it any more
		b.must("delete", "--force", b.id)
	})
}

// Of several mounts all are made or none, whichever fails.
func TestMountsAllOrNothing(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			t.Run(s.name, func(t *testing.T) {
				b := s.make(t, v)
				b.running()
				good, tmpfs := bound(b.path("data"), "/place"), specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}
				for words, bad := range map[string]specs.Mount{
					"/mounts/2: mount the file":                       bound(b.path("single"), "/place/below"),
					`/mounts/2: open source "/no/such": no such file`: bound("/no/such", "/tmp"),
					"/mounts/2: open mount point":                     bound(b.path("data"), "/place/file"),
					"/mounts/2/options/0: set option":                 {Destination: "/tmp", Type: "tmpfs", Options: []string{"size=much"}},
				} {
					b.mountsFail(words, "add", good, tmpfs, bad)
					equal(t, "state", b.added(), "")
				}
				b.mountsMust("add", good, tmpfs)
				b.mountsFail("/mounts/0: open source", "add", bound("/no/such", "/tmp"))
				b.mountsFail("/mounts/1: mount the file", "add", tmpfs, bound(b.path("single"), "/place/below"))
				equal(t, "state", b.added(), "/place /tmp")
				b.mountsFail(`/mounts/1: nothing was added at "/proc"; what config.json has mounted stays`, "remove", good, bound("", "/proc"))
				b.mountsFail(`/mounts/1: "/place" comes twice`, "remove", good, good)
				b.mountsMust("add", bound(b.path("data"), "/place/below/."))
				b.mountsFail(`unmount "/place": device or resource busy: "/place/below" was added below it`, "remove", good)
				equal(t, "state", b.added(), "/place /tmp /place/below")
				b.mountsMust("add", bound(b.path("data"), "/place")) // over the first one
				b.mountsMust("remove", good)
				b.mountsMust("remove", good, bound("", "/place/below"))
				b.mountsMust("remove", tmpfs)
				b.must("delete", "--force", b.id)
			})
		}
	})
}

// Whatever the container has made of its files, nothing is mounted outside of it, over procfs, or unmounted but what was added.
func TestMountsHostileContainer(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.running()
		inside := func(old, name string) {
			t.Helper()
			os.Remove(b.path("rootfs/" + name))
			if err := os.Symlink(old, b.path("rootfs/"+name)); err != nil {
				t.Fatal(err)
			}
		}
		inside("../../../../../.."+b.dir, "out")
		inside("etc", "to-etc")
		inside("/", "to-root")
		inside("/proc/1/attr", "label")
		inside("nowhere", "dangling")
		for _, name := range []string{"/out/in", "/to-etc", "/to-etc/x", "/to-root", "/to-root/new", "/label", "/dangling", "/dangling/x"} {
			b.mountsFail("symbolic links (a part of the path is a symbolic link: name the path that it leads to)", "add", bound(b.path("data"), name))
			b.mountsFail("symbolic links (a part of the path is a symbolic link: name the path that it leads to)", "add", bound(b.path("data"), "/place"),
				specs.Mount{Destination: name, Type: "tmpfs", Source: "tmpfs"})
		}
		for _, name := range []string{"in", "rootfs/etc/x", "rootfs/new", "rootfs/nowhere"} {
			if _, err := os.Lstat(b.path(name)); err == nil {
				t.Errorf("%s was made by way of a link", name)
			}
		}
		b.mountsFail("check that the place is not in procfs: invalid cross-device link", "add", bound(b.path("data"), "/proc/sys"))
		inside("/proc/1/root", "magic")
		b.mountsFail("too many levels of symbolic links", "add", bound(b.path("data"), "/magic/tmp"))
		inside("loop", "loop")
		b.mountsFail("too many levels of symbolic links", "add", bound(b.path("data"), "/loop/x"))
		b.mountsFail("lies in the rootfs, where the container's processes may have put a link to anything", "add", bound("rootfs/tmp", "/place"))

		// What is removed is not what a link leads to now: here to a mask.
		b.makeDirs("rootfs/vol/keys")
		b.mountsMust("add", bound(b.path("data"), "/vol/keys"))
		if err := os.Rename(b.path("rootfs/vol"), b.path("rootfs/moved")); err != nil {
			t.Fatal(err)
		}
		inside("/proc", "vol")
		b.mountsFail(`find the mount that was added at "/vol/keys": too many levels of symbolic links (a part of the path has become a symbolic link)`, "remove", bound("", "/vol/keys"))
		equal(t, "mask", b.look(nil, "read:/proc/keys").Probes["read:/proc/keys"], "")
		os.Remove(b.path("rootfs/vol"))
		if err := os.Rename(b.path("rootfs/moved"), b.path("rootfs/vol")); err != nil {
			t.Fatal(err)
		}
		b.mountsMust("remove", bound("", "/vol/keys"))
		b.must("delete", "--force", b.id)
	})
}

// In a volume the container can make a link to anything of the host, and it is not bound.
func TestMountsSourceInVolume(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			t.Run(s.name, func(t *testing.T) {
				b := s.make(t, v)
				b.makeDirs("volume/sub/dir", "later", "elsewhere/dir")
				b.Mounts = append(b.Mounts, bound(b.path("volume"), "/tmp"))
				b.running()
				link := func(old, name string) {
					t.Helper()
					if err := os.Symlink(old, b.path(name)); err != nil {
						t.Fatal(err)
					}
				}
				link(b.path("elsewhere"), "volume/link")
				link("sub", "volume/sibling")
				link("volume", "way")
				words := "is a symbolic link, and lies where the container's processes may have put it: name the path that it leads to"
				for _, source := range []string{"volume/link", "volume/link/dir", "volume/sibling", "way/link/dir", "volume/sub/../link"} {
					b.mountsFail(words, "add", bound(b.path(source), "/place"))
				}
				b.mountsFail(words, "add", bound("volume/link", "/place")) // relative to the bundle
				b.mountsMust("add", bound(b.path("way/sub/dir"), "/place"), bound("volume", "/new"), bound(b.path("later"), "/more"))
				link(b.path("elsewhere"), "later/link")
				b.mountsFail(words, "add", bound(b.path("later/link/dir"), "/place"))
				b.mountsMust("remove", bound("", "/place"), bound("", "/new"), bound("", "/more"))
				b.mountsMust("add", bound(b.path("later/link/dir"), "/place")) // no volume any more
				b.must("delete", "--force", b.id)
			})
		}
	})
}

func TestMountsRefused(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "it maps the ids of mounts, and has the mounts of the host")
		b := newBundle(t, v)
		b.running()
		for words, m := range map[string]specs.Mount{
			`/mounts/0/type: file system "proc" can't come into a running container`:                             {Destination: "/place", Type: "proc", Source: "proc"},
			`/mounts/0/type: file system "cgroup" can't come`:                                                    {Destination: "/place", Type: "cgroup", Source: "cgroup"},
			"/mounts/0/options: a mount that is in place can't be changed, only removed and added again":         {Destination: "/dev", Options: []string{"remount", "bind", "ro"}, Source: "x"},
			`mountpoint "/" is on the top of rootfs`:                                                             bound(b.path("data"), "/"),
			"/mounts/0/options: idmap without uidMappings and gidMappings":                                       bound(b.path("data"), "/place", "idmap"),
			`/mounts/0/type: open file system "nosuchfs": no such device (the kernel does not know this file sy`: {Destination: "/place", Type: "nosuchfs"},
		} {
			b.mountsFail(words, "add", m)
		}
		b.must("pause", b.id)
		b.mountsFail("container paused: its mounts can be changed when it is resumed", "add", bound(b.path("data"), "/place"))
		b.must("delete", "--force", b.id)

		b = newBundle(t, v)
		without(b, specs.MountNamespace)
		b.Linux.MaskedPaths, b.Linux.ReadonlyPaths, b.Linux.RootfsPropagation = nil, nil, ""
		b.running()
		b.mountsFail("it has no mount namespace of its own, they would be mounts of the host", "add", bound(b.path("data"), "/place"))
		b.start = func(cmd *exec.Cmd) error { // in a mount namespace that is not the host's
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			return cmd.Start()
		}
		b.mountsFail("it has no mount namespace of its own, they would be mounts of the host", "add", bound(b.path("data"), "/place"))
		b.start = nil
		b.must("delete", "--force", b.id)
	})
}
