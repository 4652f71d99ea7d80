package libct

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/specconv"
)

// mountAt finds the mount that a gate is about.
func (k *mounting) mountAt(pointer string) (i int, m *specs.Mount, err error) {
	rest, _ := strings.CutPrefix(pointer, "/mounts/")
	rest, _, _ = strings.Cut(rest, "/")
	if i, err = strconv.Atoi(rest); err != nil || i >= len(k.spec.Mounts) {
		return 0, nil, fmt.Errorf("answer the interpreter: no mount %q", pointer)
	}
	return i, &k.spec.Mounts[i], nil
}

// sendSource opens the rootfs or the source of a bind mount, where the container's root has no way to it: on a thread of its own
// that has entered the container's mount namespace with our rights. The copy that the container makes of it there keeps the locks
// that its kernel has set (mount_namespaces(7)); one made out here would come without.
func (k *mounting) sendSource(e nsenter.Event) error {
	name, how := k.host.Rootfs, unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY}
	if strings.HasPrefix(e.Gate.Pointer, "/mounts/") {
		i, m, err := k.mountAt(e.Gate.Pointer)
		if err != nil {
			return err
		}
		name, how.Flags = k.host.Sources[i].Path, unix.O_PATH
		if k.host.Sources[i].NoLinks {
			how.Resolve = unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS
		}
		if bound, _ := specconv.SourceLinks(m); bound {
			how.Flags |= unix.O_NOFOLLOW
		}
	}
	var file *os.File
	open := func() error {
		fd, err := linux.Openat2(unix.AT_FDCWD, name, how)
		if err == nil {
			file = os.NewFile(uintptr(fd), name)
		}
		return err
	}
	if err := inMountNamespace(k.process.Pidfd, open); err != nil {
		return fmt.Errorf("%s: open %q for a container in a user namespace: %w", e.Gate.Pointer, name, cause(err))
	}
	defer file.Close()
	return k.process.AnswerFile(file)
}

// inMountNamespace runs f on a thread that has entered the mount namespace of a process.
func inMountNamespace(pidfd *os.File, f func() error) error {
	return onThread(func() error {
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(int(pidfd.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = f()
		}
		return err
	})
}

// onThread runs f on a thread of its own, which ends with it: whatever f has changed about the thread is gone.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// mapMount gives the detached mount that was sent an id map: mount_setattr(2), MOUNT_ATTR_IDMAP.
func (k *mounting) mapMount(e nsenter.Event) error {
	i, m, err := k.mountAt(e.Gate.Pointer)
	if err != nil {
		return err
	}
	if len(e.Files) != 1 {
		return errors.New("map the ids of a mount: no mount came with the request")
	}
	user, err := k.mapOf(m)
	if err != nil {
		return fmt.Errorf("/mounts/%d/uidMappings: make the id map: %w", i, err)
	}
	defer user.Close()
	mount := int(e.Files[0].Fd())
	flags := uint(unix.AT_EMPTY_PATH)
	if _, recursive := specconv.IDMapped(m); recursive {
		flags |= unix.AT_RECURSIVE
	}
	err = unix.MountSetattr(mount, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user.Fd())})
	if err != nil {
		return fmt.Errorf("/mounts/%d: map the ids of mount %q: %w (%s)", i, m.Destination, err, idMapHint(mount, err))
	}
	return nil
}

// mapOf is a user namespace with the map of a mount: the container's own, if the map is the same.
func (k *mounting) mapOf(m *specs.Mount) (*os.File, error) {
	l := k.spec.Linux
	own := len(m.UIDMappings) == 0 || slices.Equal(m.UIDMappings, l.UIDMappings) && slices.Equal(m.GIDMappings, l.GIDMappings)
	if own && specconv.Has(k.spec, specs.UserNamespace) {
		return os.Open("/proc/" + strconv.Itoa(k.process.Pid) + "/ns/user")
	}
	return nsenter.UserNamespace(idMap(m.UIDMappings), idMap(m.GIDMappings))
}

func idMap(list []specs.LinuxIDMapping) (maps []syscall.SysProcIDMap) {
	for _, m := range list {
		maps = append(maps, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return maps
}

// idMapped are file systems whose mounts can be id-mapped, and the version of Linux that brought it (mount_setattr(2)).
var idMapped = []struct {
	magic       int64
	name, since string
}{
	{unix.EXT4_SUPER_MAGIC, "ext4", "5.12"},
	{unix.XFS_SUPER_MAGIC, "xfs", "5.12"},
	{unix.MSDOS_SUPER_MAGIC, "vfat", "5.12"},
	{unix.BTRFS_SUPER_MAGIC, "btrfs", "5.15"},
	{0x7366746e, "ntfs3", "5.15"},
	{unix.F2FS_SUPER_MAGIC, "f2fs", "5.18"},
	{unix.EROFS_SUPER_MAGIC_V1, "erofs", "5.19"},
	{unix.SQUASHFS_MAGIC, "squashfs", "6.2"},
	{unix.TMPFS_MAGIC, "tmpfs", "6.3"},
	{0x00c36400, "ceph", "6.7"},
	{unix.HUGETLBFS_MAGIC, "hugetlbfs", "6.9"},
	{unix.FUSE_SUPER_MAGIC, "fuse", "6.12"},
}

// idMapHint says what the file system of a mount would need.
func idMapHint(mount int, err error) string {
	if err == unix.EPERM {
		return "it takes CAP_SYS_ADMIN in the user namespace of the file system, and nothing in it may be id-mapped already"
	}
	magic, fserr := linux.Fstatfs(mount)
	if fserr != nil {
		return "what file system it is can't be found out"
	}
	if magic == unix.OVERLAYFS_SUPER_MAGIC {
		return "an overlay can't be id-mapped; its layers can, since Linux 5.19"
	}
	for _, f := range idMapped {
		if f.magic == magic {
			return "file system " + f.name + " can do it since Linux " + f.since + ", unless it was made in a user namespace"
		}
	}
	return fmt.Sprintf("no version of Linux that is known here does it for file system %#x", magic)
}
