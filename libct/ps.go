package libct

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"husk/cgroups"
)

// Pids lists the processes of container id, those in cgroups below its own
// included, as seen from the caller's pid namespace. A stopped container may
// have some if it shares its pid namespace.
func (r *Runtime) Pids(id string) ([]int, error) {
	c, err := r.open(id, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if len(c.rec.Cgroup.Paths) == 0 {
		alive, err := c.alive()
		if err != nil || !alive {
			return nil, err
		}
		return []int{c.rec.Pid}, nil
	}
	m, err := cgroups.Load(c.rec.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", id, err)
	}
	pids, err := m.Pids(true)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil // the cgroup went with the last process
	}
	if err != nil {
		return nil, fmt.Errorf("list processes of container %s: %w", id, err)
	}
	return pids, nil
}
