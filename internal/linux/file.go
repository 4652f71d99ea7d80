// Package linux is the thin layer between husk and the kernel: every call is
// retried when a signal interrupts it, every descriptor is close-on-exec from
// birth, every error is an *os.PathError or *os.SyscallError that names the
// call. Descriptors are plain ints: who opens one closes it, and the garbage
// collector never does.
package linux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// raceRetry bounds how long Openat2 repeats a look-up that the kernel gave up
// because something was renamed meanwhile (EAGAIN, openat2(2)).
const raceRetry = 10 * time.Millisecond

// Openat opens name below dirfd (unix.AT_FDCWD: the working directory), as
// openat(2) does; O_CLOEXEC is always added.
func Openat(dirfd int, name string, flags int, mode uint32) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, mode)
	})
	return fd, pathError("openat", name, err)
}

// Openat2 opens name below dirfd with the resolution rules in how, as
// openat2(2) does (Linux 5.6); O_CLOEXEC is always added. A look-up that loses
// a race against renames is repeated for up to 10 ms.
func Openat2(dirfd int, name string, how unix.OpenHow) (int, error) {
	how.Flags |= unix.O_CLOEXEC
	var deadline time.Time
	for {
		fd, err := retry(func() (int, error) { return unix.Openat2(dirfd, name, &how) })
		if err != unix.EAGAIN {
			return fd, pathError("openat2", name, err)
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(raceRetry)
		} else if time.Now().After(deadline) {
			return -1, pathError("openat2", name, err)
		}
	}
}

// Close closes fd. It is never repeated: after EINTR the descriptor is gone on
// Linux, and its number may already belong to somebody else (close(2)).
func Close(fd int) error {
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return os.NewSyscallError("close", err)
	}
	return nil
}

// Mkdirat makes the directory name below dirfd, as mkdirat(2) does.
func Mkdirat(dirfd int, name string, mode uint32) error {
	return pathError("mkdirat", name, repeat(func() error { return unix.Mkdirat(dirfd, name, mode) }))
}

// Renameat renames oldname below olddir to newname below newdir, replacing
// what stood there, as renameat(2) does.
func Renameat(olddir int, oldname string, newdir int, newname string) error {
	err := repeat(func() error { return unix.Renameat(olddir, oldname, newdir, newname) })
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: oldname, New: newname, Err: err}
	}
	return nil
}

// Unlinkat removes the file name below dirfd, or with unix.AT_REMOVEDIR the
// empty directory, as unlinkat(2) does.
func Unlinkat(dirfd int, name string, flags int) error {
	return pathError("unlinkat", name, repeat(func() error { return unix.Unlinkat(dirfd, name, flags) }))
}

// Fstat describes the open file fd, as fstat(2) does.
func Fstat(fd int) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := repeat(func() error { return unix.Fstat(fd, &st) })
	return st, os.NewSyscallError("fstat", err)
}

// Fstatat describes name below dirfd, as fstatat(2) does; flags are AT_*.
func Fstatat(dirfd int, name string, flags int) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := repeat(func() error { return unix.Fstatat(dirfd, name, &st, flags) })
	return st, pathError("fstatat", name, err)
}

// MountID is the id of the mount that the open file lies on, as statx(2) gives it for a mask.
func MountID(fd, mask int) (uint64, error) {
	var st unix.Statx_t
	err := repeat(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &st) })
	return st.Mnt_id, os.NewSyscallError("statx", err)
}

// Fstatfs returns the magic number of the file system that holds fd, such as
// unix.TMPFS_MAGIC (statfs(2)).
func Fstatfs(fd int) (magic int64, err error) {
	var st unix.Statfs_t
	err = repeat(func() error { return unix.Fstatfs(fd, &st) })
	return int64(st.Type), os.NewSyscallError("fstatfs", err)
}

// Readlinkat returns where the symbolic link name below dirfd points, as
// readlinkat(2) does.
func Readlinkat(dirfd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Readlinkat(dirfd, name, buf) })
	if err != nil {
		return "", pathError("readlinkat", name, err)
	}
	return string(buf[:n]), nil
}

// ReadFileAt returns the content of the regular file name below dirfd. It
// follows no symbolic link, never waits (O_NONBLOCK: a fifo in its place
// cannot stall the caller), and refuses files of more than limit bytes.
func ReadFileAt(dirfd int, name string, limit int64) ([]byte, error) {
	fd, err := Openat(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	st, err := Fstat(fd)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if st.Size > limit {
		return nil, &os.PathError{Op: "read", Path: name, Err: fmt.Errorf("%d bytes, the limit is %d", st.Size, limit)}
	}
	buf := make([]byte, st.Size)
	n, err := readFull(fd, buf)
	return buf[:n], pathError("read", name, err)
}

// readFull reads until buf is full or the file ends.
func readFull(fd int, buf []byte) (int, error) {
	done := 0
	for done < len(buf) {
		n, err := retry(func() (int, error) { return unix.Read(fd, buf[done:]) })
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

// WriteFileAt makes or empties the regular file name below dirfd (no symbolic
// link is followed) and writes data to it. Who needs the old or the new
// content at every instant writes another name and calls Renameat.
func WriteFileAt(dirfd int, name string, data []byte, mode uint32) error {
	fd, err := Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	if err != nil {
		return err
	}
	err = WriteFull(fd, data)
	if cerr := unix.Close(fd); err == nil && cerr != unix.EINTR {
		err = cerr // NFS and quotas report a full disk here
	}
	return pathError("write", name, err)
}

// WriteFull writes all of data to fd.
func WriteFull(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := retry(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data = data[n:]
	}
	return nil
}

// Names returns the entries of the directory open at fd, without "." and "..",
// in the order of the file system.
func Names(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return nil, os.NewSyscallError("lseek", err)
	}
	buf := make([]byte, 32<<10)
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return names, os.NewSyscallError("getdents", err)
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// pathError wraps err, if there is one, with the call and the name.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// retry calls f again as long as a signal interrupts it.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// repeat is retry for calls that return nothing but an error.
func repeat(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
