package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// DefaultRoot returns where state lives when no root is given: /run/husk, or
// $XDG_RUNTIME_DIR/husk for a user other than root. Root inside a user
// namespace counts as that user unless $USER says "root", as with runc.
func DefaultRoot() string {
	const system = "/run/husk"
	xdg := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case !filepath.IsAbs(xdg):
		return system
	case os.Geteuid() != 0:
	case os.Getenv("USER") == "root" || !inUserNamespace():
		return system
	}
	return filepath.Join(xdg, "husk")
}

// inUserNamespace reports whether this process is outside the initial user
// namespace, from which all others come. Only there device nodes can be made.
func inUserNamespace() bool {
	st, err := stat("/proc/self/ns/user")
	return err != nil || st.Ino != initUserNS
}

// rootless reports whether the caller is not the machine's root: another user,
// or root of a user namespace, as Podman is for a user.
func rootless() bool { return os.Geteuid() != 0 || inUserNamespace() }

// openRoot opens the state root. It must belong to the caller and be writable
// by nobody else: whoever can write there decides which processes husk kills.
// With create it is made, mode 0700, when it is missing; otherwise the error is
// fs.ErrNotExist then.
func (r *Runtime) openRoot(create bool) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY
	if r.opts.Root == "" {
		// Nobody chose this path, so nothing excuses a link in its place. A
		// root that was given may be one: it counts what it leads to.
		flags |= unix.O_NOFOLLOW
	}
	fd, err := linux.Openat(unix.AT_FDCWD, r.path, flags, 0)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := r.makeRoot(); err != nil {
			return -1, err
		}
		fd, err = linux.Openat(unix.AT_FDCWD, r.path, flags, 0)
	}
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return -1, fmt.Errorf("open state root %s: not a directory", r.path)
		}
		return -1, fmt.Errorf("open state root %s: %w", r.path, cause(err))
	}
	if err := r.checkRoot(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (r *Runtime) makeRoot() error {
	if err := os.MkdirAll(r.path, 0o700); err != nil {
		return fmt.Errorf("make state root %s: %w", r.path, cause(err))
	}
	if r.opts.Root == "" && os.Geteuid() != 0 {
		// The sticky bit keeps tools that tidy $XDG_RUNTIME_DIR away from it
		// (XDG base directory specification).
		if err := unix.Chmod(r.path, unix.S_ISVTX|0o700); err != nil {
			return fmt.Errorf("set mode of state root %s: %w", r.path, err)
		}
	}
	return nil
}

func (r *Runtime) checkRoot(fd int) error {
	st, err := linux.Fstat(fd)
	if err != nil {
		return fmt.Errorf("check state root %s: %w", r.path, err)
	}
	if euid := os.Geteuid(); int(st.Uid) != euid {
		return fmt.Errorf("check state root %s: it belongs to uid %d, not to uid %d who runs husk; choose another with --root", r.path, st.Uid, euid)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("check state root %s: others may write to it (mode %04o); take that away (chmod go-w) or choose another with --root", r.path, st.Mode&0o7777)
	}
	return nil
}

// cause strips the call and the partial name off err, for messages that tell
// the step and the whole path themselves.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
