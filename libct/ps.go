package libct

import "fmt"

// Pids lists the processes of container id, those in cgroups below its own
// included, as seen from the caller's pid namespace. A stopped container may
// have some if it shares its pid namespace.
func (r *Runtime) Pids(id string) ([]int, error) {
	c, err := r.open(id, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	m, err := c.cgroup()
	if err != nil {
		return nil, err
	}
	if m == nil {
		alive, err := c.alive()
		if err != nil || !alive {
			return nil, err
		}
		return []int{c.rec.Pid}, nil
	}
	pids, err := c.inside(m)
	if err != nil && !cgroupGone(err) {
		return nil, fmt.Errorf("list processes of container %s: %w", id, err)
	}
	return pids, nil
}
