package libct

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
)

// copyUp fills a new tmpfs with what the directory that it will cover holds: the mount option tmpcopyup. The directory's mode and
// owner are the tmpfs's, too, unless the options say which it is to have: Podman's always give a mode.
func (k *mounting) copyUp(e nsenter.Event) error {
	_, m, err := k.mountAt(e.Gate.Pointer)
	if err != nil {
		return err
	}
	if len(e.Files) != 2 {
		return errors.New("copy a directory up: the directory and the tmpfs did not come with the request")
	}
	from, to := int(e.Files[0].Fd()), int(e.Files[1].Fd())
	st, err := linux.Fstat(from)
	if err == nil {
		err = keepGiven(&st, to, m.Options)
	}
	if err == nil {
		if k.copies == nil {
			k.copies = &copier{left: memoryOf(k.spec.Linux.Resources)}
		}
		err = asOwner(to, func() error { return k.copies.dir(from, to, &st) })
	}
	if err != nil {
		return fmt.Errorf("%s: copy the directory up into the tmpfs: %w", e.Gate.Pointer, err)
	}
	return nil
}

// keepGiven changes st where the options have given the new file system something else. What belongs to another user is an error for
// one without privileges, who has that user's rights only inside the container.
func keepGiven(st *unix.Stat_t, to int, options []string) error {
	made, err := linux.Fstat(to)
	if err != nil {
		return err
	}
	if own := os.Geteuid(); own != 0 && int(made.Uid) != own {
		return fmt.Errorf("it belongs to another user (uid=): %w", unix.EPERM)
	}
	for _, option := range options {
		switch {
		case strings.HasPrefix(option, "mode="):
			st.Mode = made.Mode
		case strings.HasPrefix(option, "uid="):
			st.Uid = made.Uid
		case strings.HasPrefix(option, "gid="):
			st.Gid = made.Gid
		}
	}
	return nil
}

// asOwner runs f as the owner of a file, with all our rights: in a file system of a user namespace nobody makes files whose id is not
// mapped there, as that of the host's root is not.
func asOwner(fd int, f func() error) error {
	st, err := linux.Fstat(fd)
	if err != nil {
		return err
	}
	if int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid() {
		return f()
	}
	return onThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var rights [2]unix.CapUserData
		if err := unix.Capget(&header, &rights[0]); err != nil {
			return err
		}
		unix.Setfsgid(int(st.Gid))
		unix.Setfsuid(int(st.Uid)) // takes rights over files away
		if err := unix.Capset(&header, &rights[0]); err != nil {
			return err
		}
		return f()
	})
}

// beneath names what is in a directory without opening it: one name, no link. What it is, its descriptor says: whoever changes the
// directory meanwhile changes another name, not what is copied.
var beneath = unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}

// copier copies into new file systems, in which everything is memory. It is charged to us and not to the container, so what its limit
// would forbid has to be forbidden here.
type copier struct {
	left int64 // bytes
}

// What a tmpfs needs for a name and its inode, about, and the unit in which it has content; in bytes.
const (
	perInode = 1 << 10
	perPage  = 4 << 10
)

// memoryOf is how much memory a container may have, in bytes.
func memoryOf(r *specs.LinuxResources) int64 {
	if r == nil || r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit <= 0 {
		return math.MaxInt64
	}
	if swap := r.Memory.Swap; swap != nil { // memory and swap together
		return max(*r.Memory.Limit, *swap)
	}
	return *r.Memory.Limit
}

func (c *copier) take(bytes int64) error {
	if c.left -= bytes; c.left < 0 {
		return fmt.Errorf("%w (there is more to copy than the container may have: /linux/resources/memory/limit)", unix.ENOSPC)
	}
	return nil
}

// dir copies the content, the mode and the owner of a directory.
func (c *copier) dir(from, to int, st *unix.Stat_t) error {
	dir, err := linux.Openat(from, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	names, err := linux.Names(dir)
	unix.Close(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.entry(from, to, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	out, err := linux.Openat(to, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	return own(out, st)
}

// own gives a new inode owner and mode; the mode last, because a change of owner clears set-user-ID.
func own(fd int, st *unix.Stat_t) error {
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return &os.SyscallError{Syscall: "fchown", Err: err}
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &os.SyscallError{Syscall: "fchmod", Err: err}
	}
	return nil
}

func (c *copier) entry(from, to int, name string) error {
	in, err := linux.Openat2(from, name, beneath)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	return c.inode(in, to, name)
}

// inode makes something like what a descriptor of beneath names. Only directories and regular files are opened: with a device
// node or a FIFO that may be something that happens.
func (c *copier) inode(in, to int, name string) error {
	st, err := linux.Fstat(in)
	if err == nil {
		err = c.take(perInode)
	}
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdir(in, to, name, &st)
	case unix.S_IFREG:
		return c.file(in, to, name, &st)
	case unix.S_IFLNK:
		target, err := linux.Readlinkat(in, "")
		if err == nil {
			err = unix.Symlinkat(target, to, name)
		}
		if err == nil {
			err = unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		return err
	default: // FIFOs, sockets, device nodes
		if err := unix.Mknodat(to, name, st.Mode, int(st.Rdev)); err != nil {
			return err
		}
		return unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	}
}

func (c *copier) subdir(in, to int, name string, st *unix.Stat_t) error {
	if err := linux.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	out, err := linux.Openat2(to, name, beneath)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	return c.dir(in, out, st)
}

// file copies a regular file: in is open already, so it can be nothing else any more. But it may grow.
func (c *copier) file(in, to int, name string, st *unix.Stat_t) error {
	from, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(in), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := linux.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	n, err := out.ReadFrom(io.LimitReader(from, max(c.left, c.left+1))) // one more than there may be, if that is a number
	if err == nil {
		err = c.take((n + perPage - 1) &^ (perPage - 1))
	}
	if err != nil {
		return err
	}
	return own(fd, st)
}
