package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// v2 manages a cgroup of the unified hierarchy.
type v2 struct {
	dir
	mount, inner string // of a new cgroup: dir.path is mount/inner
	absent       bool   // rootless without permission: the container stays in the caller's cgroup
	enableErr    error  // why a controller could not be passed on to the cgroup
}

var errAbsent = errors.New("use the container's cgroup: there is none, because a rootless caller had no permission to make one")

func newV2(lay Layout, inner string, relative bool) (*v2, error) {
	h := lay.Hierarchies[0]
	if relative {
		below, err := belowMount(h)
		if err != nil {
			return nil, err
		}
		inner = strings.TrimPrefix(path.Join(path.Dir(below), inner), "/")
	}
	return &v2{mount: h.Mountpoint, inner: inner, dir: newDir(h.Mountpoint + "/" + inner)}, nil
}

func loadV2(s State) *v2 {
	m := &v2{dir: newDir(s.Paths[""]), absent: s.Paths[""] == ""}
	m.ino = s.Inode
	return m
}

func (m *v2) Create(cfg *Config) (err error) {
	made, err := mkdirs(m.mount, m.inner)
	if err != nil {
		return m.rootless(cfg, err)
	}
	defer func() {
		if err != nil {
			m.close()
			made.undo()
		}
	}()
	if made.exists {
		if err := m.refuseUsed(); err != nil {
			return err
		}
	}
	return m.fill(cfg, made.exists)
}

// fill makes an empty directory the cgroup that cfg asks for. used says that it may have a device filter of ours.
func (m *v2) fill(cfg *Config, used bool) (err error) {
	if err := m.enable(); err != nil {
		return err
	}
	if m.ino, err = m.inode(); err != nil {
		return err
	}
	r := cfg.Resources
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := m.limit(r, nil); err != nil {
		return err
	}
	filter, err := m.filterDevices(r.Devices, used)
	filter.close()
	if err != nil && !cfg.Rootless {
		return err
	}
	if cfg.Owner == 0 {
		return nil
	}
	if err := m.delegate(int(cfg.Owner)); err != nil && !(cfg.Rootless && isPermission(err)) {
		return fmt.Errorf("give the cgroup to user %d: %w", cfg.Owner, err)
	}
	return nil
}

// rootless decides what a missing permission means.
func (m *v2) rootless(cfg *Config, err error) error {
	if !cfg.Rootless || !isPermission(err) || cfg.Path != "" {
		return err
	}
	list, cerr := settingsV2(cfg.Resources, "max")
	if cerr != nil {
		return cerr
	}
	if i := slices.IndexFunc(list, func(s setting) bool { return !s.noop }); i >= 0 {
		return fmt.Errorf("rootless needs no limits + no cgrouppath when no permission is granted for cgroups (%s): %w", list[i].at, err)
	}
	m.absent = true
	return nil
}

// refuseUsed looks at a cgroup that was there before.
func (m *v2) refuseUsed() error {
	events, err := m.read("cgroup.events")
	if err != nil {
		return err
	}
	if n, _ := flatValue(events, "populated"); n != 0 {
		pids, err := m.allPids()
		if err != nil {
			return err
		}
		if len(pids) > 0 {
			return notEmpty(m.path, len(pids))
		}
	}
	if n, _ := flatValue(events, "frozen"); n != 0 {
		return unexpectedlyFrozen(m.path)
	}
	return nil
}

// Both texts begin as runc's, which tests of engines look for.
func notEmpty(p string, n int) error {
	return fmt.Errorf("container's cgroup is not empty: %d process(es) found in %s (end them, or choose another cgroupsPath)", n, p)
}

func unexpectedlyFrozen(p string) error {
	return fmt.Errorf("container's cgroup unexpectedly frozen: %s (thaw it, or choose another cgroupsPath)", p)
}

func (m *v2) Set(r *specs.LinuxResources) error { return m.setAnd(r, func() error { return nil }) }

func (m *v2) setAnd(r *specs.LinuxResources, tell func() error) error {
	if r == nil {
		return nil
	}
	if m.absent {
		return errAbsent
	}
	defer m.close()
	err := m.open()
	if err != nil {
		return err
	}
	u := new(undo)
	err = m.limit(r, u)
	if err == nil && len(r.Devices) > 0 {
		var filter filterChange
		filter, err = m.filterDevices(r.Devices, true)
		defer filter.close()
		if err == nil {
			u.last = filter.back
		}
	}
	if err == nil {
		err = tell()
	}
	return u.after(err)
}

func (m *v2) Pids(recursive bool) ([]int, error) {
	defer m.close()
	if m.absent {
		return nil, nil
	}
	if recursive {
		return m.allPids()
	}
	return m.pids()
}

func (m *v2) Kill() error {
	defer m.close()
	if m.absent || !m.same() {
		return nil
	}
	return m.killUnified()
}

func (m *v2) Freeze(freeze bool) error {
	if m.absent {
		return errAbsent
	}
	defer m.close()
	return m.freezeUnified(freeze)
}

func (m *v2) Frozen() (bool, error) {
	defer m.close()
	if m.absent {
		return false, nil
	}
	return m.frozenUnified()
}

func (m *v2) OOMKills() (uint64, error) {
	if m.absent {
		return 0, nil
	}
	defer m.close()
	n, err := m.value("memory.events", "oom_kill")
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return n, err
}

func (m *v2) Delete(timeout time.Duration) error {
	defer m.close()
	if m.absent || !m.same() {
		return nil
	}
	return m.remove(true, time.Now().Add(timeout))
}

func (m *v2) State() State {
	if m.absent {
		return State{Version: V2}
	}
	return State{Version: V2, Paths: map[string]string{"": m.path}, Inode: m.ino}
}
