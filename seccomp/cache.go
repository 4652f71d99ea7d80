package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

const (
	maxEntries = 64
	maxBytes   = 2 << 20
	tempPrefix = "new-"
	// A file with tempPrefix that is older was left by a writer that died.
	maxTempAge = time.Minute
)

// Cache keeps filters in a directory. Several processes may use it at once, no
// lock is taken: entries appear complete, by rename, and disappear.
//
// What is read back is loaded as a container's filter, so it must come from
// ourselves: the directory and each entry have to belong to the effective user
// and be closed to everybody else. An entry that is anything less than perfect
// is a miss.
//
// A nil *Cache holds nothing and keeps nothing.
type Cache struct {
	dir int
	uid uint32
}

// OpenCache opens a directory and makes it if it isn't there. A directory
// that can't be made because the file system is read-only or full gives a nil
// cache and no error; one that belongs to somebody else, or that others may
// use, is an error.
func OpenCache(dir string) (*Cache, error) {
	fd, err := openDirectory(dir)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			fd, err = openDirectory(dir)
		}
	}
	if err != nil {
		if noRoom(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("open seccomp cache: %w", err)
	}
	st, err := linux.Fstat(fd)
	uid := uint32(unix.Geteuid())
	switch {
	case err != nil:
	case st.Uid != uid:
		err = fmt.Errorf("belongs to user %d, not to %d: remove it", st.Uid, uid)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("has mode %#o, which lets others in: remove it", st.Mode&0o7777)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open seccomp cache %q: %w", dir, err)
	}
	return &Cache{dir: fd, uid: uid}, nil
}

func openDirectory(name string) (int, error) {
	return linux.Openat(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// noRoom reports the errors of a file system that is well but takes nothing.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// Close ends the use of the cache.
func (c *Cache) Close() {
	if c != nil {
		unix.Close(c.dir)
	}
}

// Get returns the filter for key. It makes four system calls.
func (c *Cache) Get(key CacheKey) (*Filter, bool) {
	if c == nil {
		return nil, false
	}
	fd, err := linux.Openat(c.dir, key.file(), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil || st.Mode != unix.S_IFREG|0o600 || st.Uid != c.uid || st.Size < entryHeader || st.Size > maxEntry {
		return nil, false
	}
	entry := make([]byte, st.Size)
	if n, err := unix.Read(fd, entry); err != nil || n != len(entry) {
		return nil, false
	}
	return parseEntry(entry, key)
}

// Put keeps f under key, in the place of what is there, and removes the oldest
// entries beyond the limits. A full or read-only file system isn't an error.
func (c *Cache) Put(key CacheKey, f *Filter) error {
	if c == nil {
		return nil
	}
	entry := appendEntry(nil, key, f)
	if len(entry) > maxEntry {
		return nil
	}
	if err := c.write(key.file(), entry); err != nil {
		if noRoom(err) {
			return nil
		}
		return fmt.Errorf("write seccomp cache: %w", err)
	}
	if err := c.evict(key.file()); err != nil {
		return fmt.Errorf("clean seccomp cache: %w", err)
	}
	return nil
}

// write makes the entry under another name first. It isn't synchronised to the
// disk: what a power failure leaves of it fails its checksum.
func (c *Cache) write(name string, entry []byte) error {
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	temp := tempPrefix + strconv.FormatUint(binary.LittleEndian.Uint64(random[:]), 16)
	fd, err := linux.Openat(c.dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fchmod(fd, 0o600) // whatever the umask is
	if err == nil {
		err = linux.WriteFull(fd, entry)
	}
	if cerr := unix.Close(fd); err == nil && cerr != unix.EINTR {
		err = cerr
	}
	if err == nil {
		err = linux.Renameat(c.dir, temp, c.dir, name)
	}
	if err != nil {
		linux.Unlinkat(c.dir, temp, 0)
	}
	return err
}

// evict removes old temporary files, and the oldest entries until what is left
// is within the limits. It leaves keep alone.
func (c *Cache) evict(keep string) error {
	type file struct {
		name     string
		size     int64
		modified time.Time
	}
	fd, err := openDirectoryAt(c.dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := linux.Names(fd)
	if err != nil {
		return err
	}
	var files []file
	var bytes int64
	for _, name := range names {
		st, err := linux.Fstatat(c.dir, name, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			continue // another process was faster
		}
		f := file{name, st.Size, time.Unix(st.Mtim.Unix())}
		if strings.HasPrefix(name, tempPrefix) {
			if time.Since(f.modified) > maxTempAge {
				linux.Unlinkat(c.dir, name, 0)
			}
			continue // else its writer is about to rename it
		}
		files = append(files, f)
		bytes += f.size
	}
	slices.SortFunc(files, func(a, b file) int { return a.modified.Compare(b.modified) })
	count := len(files)
	for _, f := range files {
		if count <= maxEntries && bytes <= maxBytes {
			break
		}
		if f.name != keep && linux.Unlinkat(c.dir, f.name, 0) == nil {
			count--
			bytes -= f.size
		}
	}
	return nil
}

// openDirectoryAt opens the directory again, for an offset of its own.
func openDirectoryAt(dir int) (int, error) {
	return linux.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
