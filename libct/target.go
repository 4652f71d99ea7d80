package libct

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/specconv"
)

// linkLimit is the kernel's own limit for symbolic links in one look-up (path_resolution(7)).
const linkLimit = 40

// mounting answers the gates at which mounts come into being.
type mounting struct {
	spec    *specs.Spec // its mounts are those that are made
	host    *specconv.Host
	process *nsenter.Process
	noLinks bool // names inside the container lead through no links: its processes may have made them
	copies  *copier
}

// makeTarget makes what a mount or the working directory needs and the rootfs lacks.
func (k *mounting) makeTarget(e nsenter.Event) error {
	name, dir := k.spec.Process.Cwd, true
	if rest, ok := strings.CutPrefix(e.Gate.Pointer, "/mounts/"); ok {
		rest, _, _ = strings.Cut(rest, "/")
		i, err := strconv.Atoi(rest)
		if err != nil || i >= len(k.spec.Mounts) {
			return fmt.Errorf("make a mount point: no mount %q", rest)
		}
		name, dir = specconv.Destination(k.spec.Mounts[i].Destination, k.host.Rootfs), k.host.Sources[i].Path == "" || k.host.Sources[i].Dir
	} else if rest, ok := strings.CutPrefix(e.Gate.Pointer, "/linux/devices/"); ok {
		i, err := strconv.Atoi(rest)
		if err != nil || i >= len(k.spec.Linux.Devices) {
			return fmt.Errorf("make a directory: no device %q", rest)
		}
		name = k.spec.Linux.Devices[i].Path[:strings.LastIndexByte(k.spec.Linux.Devices[i].Path, '/')+1]
	} else if e.Gate.Pointer == "" {
		name = "/dev"
	}
	if len(e.Files) != 1 {
		return errors.New("make a mount point: no root came with the request")
	}
	if err := makeInside(int(e.Files[0].Fd()), name, dir, !k.noLinks); err != nil {
		if k.noLinks && errors.Is(err, unix.ELOOP) {
			err = fmt.Errorf("%w (%s)", err, hintLink)
		}
		return fmt.Errorf("%s: make %q in the rootfs: %w", e.Gate.Pointer, name, err)
	}
	return nil
}

// makeLink makes the symbolic link that a bind mount with copy-symlink stands for. One that is there already must lead to the same.
func (k *mounting) makeLink(e nsenter.Event) error {
	i, m, err := k.mountAt(e.Gate.Pointer)
	if err != nil {
		return err
	}
	if len(e.Files) != 1 {
		return errors.New("make a symbolic link: no root came with the request")
	}
	root, name, link := int(e.Files[0].Fd()), specconv.Destination(m.Destination, k.host.Rootfs), k.host.Sources[i].Link
	if err := makeInside(root, path.Dir(name), true, true); err != nil {
		return fmt.Errorf("/mounts/%d: make %q in the rootfs: %w", i, path.Dir(name), err)
	}
	dir, err := linux.Openat2(root, path.Dir(name), unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err == nil {
		defer unix.Close(dir)
		symlink := func() error { return unix.Symlinkat(link, dir, path.Base(name)) }
		if err = symlink(); err == unix.EOVERFLOW {
			err = asOwner(dir, symlink)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		if there, readErr := linux.Readlinkat(dir, path.Base(name)); readErr == nil && there == link {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("/mounts/%d: make the symbolic link %q to %q: %w", i, name, link, cause(err))
	}
	return nil
}

// makeInside makes a directory, or an empty file, and the directories above it, below a root that somebody else may change
// at the same time. It walks by descriptors, one name at a time, and follows links itself, dangling ones too, or refuses them: each
// name is made in a directory that is held open, so nothing is ever made outside of the root (CVE-2024-45310).
func makeInside(root int, name string, dir, follow bool) (err error) {
	held := []int{root}
	defer func() {
		for _, fd := range held[1:] {
			unix.Close(fd)
		}
	}()
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(held) > 1 {
				unix.Close(held[len(held)-1])
				held = held[:len(held)-1]
			}
			continue
		}
		last := !slices.ContainsFunc(rest, func(s string) bool { return s != "" && s != "." })
		fd, kind, err := makeOne(held[len(held)-1], part, dir || !last)
		if err != nil {
			return err
		}
		if kind == unix.S_IFLNK {
			target, err := linux.Readlinkat(fd, "")
			unix.Close(fd)
			if err != nil {
				return err
			}
			if links++; links > linkLimit || !follow {
				return unix.ELOOP
			}
			if strings.HasPrefix(target, "/") {
				for _, fd := range held[1:] {
					unix.Close(fd)
				}
				held = held[:1]
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		if kind != unix.S_IFDIR {
			unix.Close(fd)
			if !last {
				return unix.ENOTDIR
			}
			return nil
		}
		held = append(held, fd)
	}
	return nil
}

// makeOne opens a name in a directory, and makes it if it is missing.
func makeOne(at int, name string, dir bool) (fd int, kind uint32, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err = linux.Openat2(at, name, how)
	if errors.Is(err, os.ErrNotExist) {
		create := func() error {
			if dir {
				return linux.Mkdirat(at, name, 0o755)
			}
			file, err := linux.Openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o644)
			if err == nil {
				unix.Close(file)
			}
			return err
		}
		if err = create(); errors.Is(err, unix.EOVERFLOW) { // in a tmpfs of a user namespace
			err = asOwner(at, create)
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return -1, 0, err
		}
		fd, err = linux.Openat2(at, name, how)
	}
	if err != nil {
		return -1, 0, err
	}
	st, err := linux.Fstat(fd)
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, st.Mode & unix.S_IFMT, nil
}
