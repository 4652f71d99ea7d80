package libct

import (
	"maps"

	"golang.org/x/sys/unix"

	"husk/cgroups"
)

// inside lists the processes in the cgroup of m, which is the container's, with those of cgroups below. See heir.
func (c *container) inside(m cgroups.Manager) ([]int, error) {
	pids, err := m.Pids(true)
	if err != nil || len(pids) == 0 {
		return nil, err
	}
	if alive, err := c.alive(); err != nil || alive || c.heir() == "" {
		return pids, err
	}
	return nil, nil
}

// heir is the id of the container that has got the cgroup of c, which is not running: a cgroup in which nobody is left is taken by the
// next container that names the same path, and what is in it is that one's. "" if there is none.
func (c *container) heir() string {
	root, ids, err := c.r.ids()
	if err != nil {
		return ""
	}
	defer unix.Close(root)
	for _, id := range ids {
		if id == c.id {
			continue
		}
		other, err := c.r.enter(root, id, 0)
		if err != nil {
			continue
		}
		err = other.load()
		status := Stopped
		if err == nil && maps.Equal(other.rec.Cgroup.Paths, c.rec.Cgroup.Paths) {
			status, err = other.status()
		}
		unix.Close(other.dir) // root goes on
		if err == nil && status != Stopped {
			c.r.debug("container %s has the cgroup now", id)
			return id
		}
	}
	return ""
}
