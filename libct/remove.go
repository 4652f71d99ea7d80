package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// treeDepth bounds how deep a directory below a container's is followed when
// it is removed; husk itself makes one level.
const treeDepth = 8

// remove takes the directory away, the record last: until then the container
// can be found and deleted again. It is no error if something is gone already.
func (c *container) remove() error {
	if err := c.removeFiles(); err != nil {
		return err
	}
	stopPoint("delete-files")
	if err := removeTree(c.dir, recordFile, treeDepth); err != nil {
		return fmt.Errorf("remove %s: %w", c.path(recordFile), cause(err))
	}
	stopPoint("delete-record")
	if err := gone(linux.Unlinkat(c.root, c.id, unix.AT_REMOVEDIR)); err != nil {
		return fmt.Errorf("remove directory %s: %w", c.path(""), cause(err))
	}
	return nil
}

// removeFiles empties the directory, except for the record.
func (c *container) removeFiles() error {
	names, err := linux.Names(c.dir)
	if err != nil {
		return fmt.Errorf("list directory %s: %w", c.path(""), err)
	}
	slices.Sort(names) // the config goes before the gate: so who watches tells it from a start
	for _, name := range names {
		if name == recordFile {
			continue
		}
		if err := removeTree(c.dir, name, treeDepth); err != nil {
			return fmt.Errorf("remove %s: %w", c.path(name), cause(err))
		}
	}
	return nil
}

// removeTree removes name below dirfd, and what is in it if it is a directory.
// It follows no symbolic link.
func removeTree(dirfd int, name string, depth int) error {
	err := gone(linux.Unlinkat(dirfd, name, 0))
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	if depth == 0 {
		return err
	}
	fd, err := linux.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return gone(err)
	}
	defer unix.Close(fd)
	names, err := linux.Names(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeTree(fd, n, depth-1); err != nil {
			return err
		}
	}
	return gone(linux.Unlinkat(dirfd, name, unix.AT_REMOVEDIR))
}

// gone lets pass that what was to be removed is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
