package cgroups

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func (m *v2) Place() (*Placement, error) {
	if m.absent {
		return &Placement{}, nil
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(m.fd), m.path)
	m.fd = -1
	return &Placement{Into: f}, nil
}

func (m *v1) Place() (*Placement, error) { return m.place(func(g *group) string { return g.path }) }

func (m *v2) Joins() []string { return nil }

func (m *v1) Joins() (list []string) {
	for i := range m.groups {
		if g := &m.groups[i]; !g.unified() && g.path != "" {
			list = append(list, g.path+"/tasks")
		}
	}
	return list
}

// place opens the cgroup at the path that at gives for each hierarchy ("": none there).
func (m *v1) place(at func(*group) string) (*Placement, error) {
	if err := m.ours(); err != nil {
		return nil, err
	}
	p := &Placement{Caller: m.caller}
	for i := range m.groups {
		g := &m.groups[i]
		where := at(g)
		if where == "" {
			continue
		}
		d := newDir(where)
		if g.unified() {
			if err := d.open(); err != nil {
				p.Close()
				return nil, err
			}
			p.Into = os.NewFile(uintptr(d.fd), where)
			continue
		}
		how := unix.OpenHow{Flags: unix.O_WRONLY, Resolve: unix.RESOLVE_NO_SYMLINKS}
		fd, err := openat2(unix.AT_FDCWD, where+"/tasks", how)
		if err != nil {
			p.Close()
			return nil, &os.PathError{Op: "open", Path: where + "/tasks", Err: err}
		}
		p.Tasks = append(p.Tasks, os.NewFile(uintptr(fd), where+"/tasks"))
	}
	return p, nil
}

// subPath checks a path of `exec --cgroup`: it stays below the container's cgroup.
func subPath(sub string) (string, error) {
	if strings.ContainsAny(sub, "\x00\n") || slices.Contains(strings.Split(sub, "/"), "..") {
		return "", fmt.Errorf("enter sub-cgroup %q: bad sub cgroup path", sub)
	}
	return strings.TrimPrefix(path.Clean("/"+sub), "/"), nil
}

func (m *v2) PlaceSub(paths []string) (*Placement, error) {
	if len(paths) == 0 {
		return m.Place()
	}
	if len(paths) > 1 || strings.Contains(paths[0], ":") {
		return nil, fmt.Errorf("enter sub-cgroup %q: cgroup v2 has one path for all controllers", strings.Join(paths, " "))
	}
	sub, err := subPath(paths[0])
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err := m.open(); err != nil {
		return nil, err
	}
	below := v2{dir: newDir(path.Join(m.path, sub))}
	return below.Place()
}

func (m *v1) PlaceSub(paths []string) (*Placement, error) {
	subs := make(map[string]string)
	for _, p := range paths {
		names, sub, ok := strings.Cut(p, ":")
		if !ok {
			names, sub = "", p
		}
		sub, err := subPath(sub)
		if err != nil {
			return nil, err
		}
		for name := range strings.SplitSeq(names, ",") {
			if name != "" && m.of(name) == nil {
				return nil, fmt.Errorf("enter sub-cgroup %q: unknown controller %q", p, name)
			}
			subs[name] = sub
		}
	}
	return m.place(func(g *group) string {
		for name := range strings.SplitSeq(g.name, ",") {
			if sub, ok := subs[name]; ok {
				return path.Join(g.path, sub)
			}
		}
		// Without a controller list the path holds for every v1 hierarchy; the twin has no sub-cgroups unless someone made them.
		if sub, ok := subs[""]; ok && !g.unified() {
			return path.Join(g.path, sub)
		}
		return g.path
	})
}

func (m *v2) PlaceBeside(pid int) (*Placement, error) {
	if m.absent {
		return &Placement{}, nil
	}
	where, err := cgroupsOf(pid)
	if err != nil {
		return nil, err
	}
	own := where.find("")
	p, err := within(m.path, own)
	defer m.close()
	if gone := m.open(); gone != nil {
		p, err = abandoned(own), gone
	}
	if p == "" {
		return nil, err
	}
	beside := v2{dir: newDir(p)}
	return beside.Place()
}

// abandoned finds the directory of a process that has left a cgroup that is gone by now, or "". A container that shares the host's cgroup
// namespace and may write to its cgroups can have done that; then there is no other place for more of its processes, as in runc.
func abandoned(own string) string {
	if own == "" || strings.HasPrefix(own, "/..") {
		return ""
	}
	lay, err := detect(false)
	if err != nil || lay.Version != V2 {
		return ""
	}
	return path.Join(lay.Hierarchies[0].Mountpoint, own)
}

func (m *v1) PlaceBeside(pid int) (*Placement, error) {
	where, err := cgroupsOf(pid)
	if err != nil {
		return nil, err
	}
	var bad error
	p, err := m.place(func(g *group) string {
		p, err := within(g.path, where.find(g.name))
		if err != nil {
			bad = err
		}
		return p
	})
	if bad != nil && err == nil {
		p.Close()
		err = bad
	}
	return p, err
}

func cgroupsOf(pid int) (memberships, error) {
	return readCgroups("/proc/" + itoa(int64(pid)) + "/cgroup")
}

// within finds the directory of a process that should be in the cgroup at dir or below. The process's path has the same
// tail: it starts at the root of the hierarchy (or of our cgroup namespace), dir at the mount point.
func within(dir, own string) (string, error) {
	for at := own; at != "/" && at != "." && at != ""; at = path.Dir(at) {
		if strings.HasSuffix(dir, at) {
			return dir + strings.TrimPrefix(own, at), nil
		}
	}
	return "", fmt.Errorf("enter the cgroup of the container's process: it is in %q, not below %s", own, dir)
}
