package cgroups

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func (c *convert) cpuset(cpu *specs.LinuxCPU) {
	if cpu == nil {
		return
	}
	if cpu.Cpus != "" {
		c.add("cpuset", "cpuset.cpus", cpu.Cpus, "/cpu/cpus")
	}
	if cpu.Mems != "" {
		c.add("cpuset", "cpuset.mems", cpu.Mems, "/cpu/mems")
	}
}

// fillCpuset gives the v1 cpuset, which starts empty and takes no process while it is, the cpus and mems of its parent. What
// config.json sets itself is not copied, because the parent's set may be exclusive to it.
func (m *v1) fillCpuset(cpu *specs.LinuxCPU) error {
	i := slices.IndexFunc(m.groups, func(g group) bool { return g.has("cpuset") })
	if i < 0 {
		return nil
	}
	g := &m.groups[i]
	_, err := g.inheritCpuset(&g.dir, [2]bool{cpu != nil && cpu.Cpus != "", cpu != nil && cpu.Mems != ""})
	return err
}

// inheritCpuset fills what is empty in d, after the same for its parents, and returns cpus and mems.
func (g *group) inheritCpuset(d *dir, skip [2]bool) (have [2]string, err error) {
	files := [2]string{"cpuset.cpus", "cpuset.mems"}
	if !slices.Contains(g.made.dirs, d.path) { // a new one is known to be empty
		for i, f := range files {
			s, err := d.read(f)
			if err != nil {
				return have, err
			}
			have[i] = strings.TrimSpace(s)
		}
	}
	if have[0] != "" && have[1] != "" || d.path == g.mount {
		return have, nil
	}
	parent := newDir(path.Dir(d.path))
	defer parent.close()
	above, err := g.inheritCpuset(&parent, [2]bool{})
	if err != nil {
		return have, err
	}
	for i, f := range files {
		if have[i] == "" && !skip[i] {
			have[i] = above[i]
			if err := d.write(f, have[i]); err != nil {
				return have, err
			}
		}
	}
	return have, nil
}
