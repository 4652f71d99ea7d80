package libct

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// List returns the containers of the root, sorted by id, with Owner filled in,
// and a warning for each that can't be told about. The error is fs.ErrNotExist
// if there is no root.
func (r *Runtime) List() ([]ContainerState, []error, error) {
	root, ids, err := r.ids()
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(root)
	var (
		states   []ContainerState
		warnings []error
		names    = map[uint32]string{}
	)
	for _, id := range ids {
		s, owner, err := r.peek(root, id)
		switch {
		case errors.Is(err, ErrNotExist), errors.Is(err, unix.ENOTDIR):
			continue // deleted meanwhile, not created yet, or not a container
		case err != nil:
			warnings = append(warnings, fmt.Errorf("list container %s: %w", id, err))
			continue
		}
		if _, ok := names[owner]; !ok {
			names[owner] = userName(owner)
		}
		s.Owner = names[owner]
		states = append(states, *s)
	}
	return states, warnings, nil
}

// IDs lists the containers of the root by id, sorted, also those that are damaged or being made. Where there is no root there are
// none.
func (r *Runtime) IDs() ([]string, error) {
	root, ids, err := r.ids()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	return slices.DeleteFunc(ids, func(id string) bool {
		st, err := linux.Fstatat(root, id, unix.AT_SYMLINK_NOFOLLOW)
		return err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR
	}), nil
}

// ids opens the root and lists what may be containers in it, sorted.
func (r *Runtime) ids() (root int, ids []string, err error) {
	if root, err = r.openRoot(false); err != nil {
		return -1, nil, err
	}
	if ids, err = linux.Names(root); err != nil {
		unix.Close(root)
		return -1, nil, fmt.Errorf("list state root %s: %w", r.path, err)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return checkID(id) != nil })
	slices.Sort(ids)
	return root, ids, nil
}

// peek returns the state of container id and the uid of its owner.
func (r *Runtime) peek(root int, id string) (*ContainerState, uint32, error) {
	c, err := r.enter(root, id, 0)
	if err != nil {
		return nil, 0, err
	}
	defer unix.Close(c.dir) // root is the caller's
	if err := c.load(); err != nil {
		return nil, 0, err
	}
	s, err := c.state()
	return s, c.rec.Owner, err
}

// userName returns the name of uid in /etc/passwd, or "#uid", as runc does.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	passwd, _ := os.ReadFile("/etc/passwd")
	for line := range bytes.Lines(passwd) {
		// name:password:uid:gid:... (passwd(5))
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) == 4 && string(fields[2]) == number {
			return string(fields[0])
		}
	}
	return "#" + number
}
