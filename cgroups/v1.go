package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// v1 manages the directories of one cgroup in all v1 hierarchies and, on a hybrid host, its twin in the cgroup2 tree.
type v1 struct {
	groups []group           // the twin, if there is one, comes first: clone-into-cgroup, kill and the populated event work on it
	caller map[string]string // see Placement
	rules  *whitelist        // the device rules of an update
}

// group is the cgroup's directory in one hierarchy.
type group struct {
	dir
	name         string // "cpu,cpuacct", "name=systemd", "" for the twin
	mount, inner string // of a new cgroup
	made         made
}

func (g *group) unified() bool { return g.name == "" }

// has tells whether the hierarchy carries the controller.
func (g *group) has(controller string) bool {
	for name := range strings.SplitSeq(g.name, ",") {
		if name == controller {
			return true
		}
	}
	return false
}

func newV1(lay Layout, inner string, relative bool) (*v1, error) {
	m := &v1{}
	for _, h := range lay.Hierarchies {
		in := inner
		if relative {
			below, err := belowMount(h)
			if err != nil {
				return nil, err
			}
			in = strings.TrimPrefix(path.Join(below, inner), "/")
		}
		m.groups = append(m.groups, group{name: h.Name, mount: h.Mountpoint, inner: in, dir: newDir(h.Mountpoint + "/" + in)})
	}
	m.sort() // as when it is loaded: the first one's inode is in the record
	return m, nil
}

func loadV1(s State) *v1 {
	m := &v1{}
	for name, p := range s.Paths {
		m.groups = append(m.groups, group{name: name, dir: newDir(p)})
	}
	m.sort()
	if len(m.groups) > 0 {
		m.groups[0].ino = s.Inode
	}
	return m
}

// sort brings groups into a fixed order, and hierarchies that were recorded once a controller back into one.
func (m *v1) sort() {
	slices.SortFunc(m.groups, func(a, b group) int { return strings.Compare(a.name, b.name) })
	var out []group
	for _, g := range m.groups {
		if i := slices.IndexFunc(out, func(o group) bool { return o.path == g.path }); i >= 0 {
			out[i].name += "," + g.name
		} else {
			out = append(out, g)
		}
	}
	m.groups = out
}

// of returns the directory that carries a controller, nil if none is mounted.
func (m *v1) of(controller string) *dir {
	for i := range m.groups {
		if m.groups[i].has(controller) {
			return &m.groups[i].dir
		}
	}
	return nil
}

func (m *v1) twin() *dir {
	if len(m.groups) > 0 && m.groups[0].unified() {
		return &m.groups[0].dir
	}
	return nil
}

func (m *v1) close() {
	for i := range m.groups {
		m.groups[i].close()
	}
}

func (m *v1) Create(cfg *Config) (err error) {
	defer func() {
		m.close()
		if err != nil {
			for i := range m.groups {
				m.groups[i].made.undo()
			}
		}
	}()
	if err := m.mkdirs(cfg); err != nil {
		return err
	}
	for i := range m.groups {
		if g := &m.groups[i]; g.made.exists {
			if err := g.refuseUsed(); err != nil {
				return err
			}
		}
	}
	return m.fill(cfg)
}

// fill makes empty directories the cgroup that cfg asks for.
func (m *v1) fill(cfg *Config) error {
	r := cfg.Resources
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := m.fillCpuset(r.CPU); err != nil {
		return err
	}
	if err := m.limit(r, cfg.Rootless, nil); err != nil {
		return err
	}
	if err := m.allowDevices(r.Devices); err != nil && !cfg.Rootless {
		return err
	}
	if len(m.groups) > 0 {
		var st unix.Stat_t
		if err := unix.Stat(m.groups[0].path, &st); err != nil {
			return &os.PathError{Op: "stat cgroup", Path: m.groups[0].path, Err: err}
		}
		m.groups[0].ino = st.Ino
	}
	return nil
}

// mkdirs makes the directories. A rootless caller goes without the hierarchies that it has no right to if it named no path, and without
// the twin in any case: that is husk's wish, nobody has asked for it.
func (m *v1) mkdirs(cfg *Config) error {
	kept := m.groups[:0]
	for i := range m.groups {
		g := m.groups[i]
		var err error
		if g.made, err = mkdirs(g.mount, g.inner); err != nil {
			if cfg.Rootless && isPermission(err) && (cfg.Path == "" || g.unified()) {
				m.stay(&g)
				continue
			}
			m.groups = kept
			return err
		}
		kept = append(kept, g)
	}
	m.groups = kept
	return nil
}

// stay notes that the container remains in the caller's cgroup, below which its own would have been.
func (m *v1) stay(g *group) {
	if m.caller == nil {
		m.caller = make(map[string]string)
	}
	for name := range strings.SplitSeq(g.name, ",") {
		m.caller[name] = path.Dir(g.path)
	}
}

// refuseUsed looks at a directory that was there before.
func (g *group) refuseUsed() error {
	defer g.close()
	pids, err := g.allPids()
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return notEmpty(g.path, len(pids))
	}
	frozen := false
	switch {
	case g.unified():
		frozen, err = g.frozenUnified()
	case g.has("freezer"):
		frozen, err = g.frozenV1()
	}
	if err == nil && frozen {
		err = unexpectedlyFrozen(g.path)
	}
	return err
}

func (m *v1) Set(r *specs.LinuxResources) error { return m.setAnd(r, func() error { return nil }) }

func (m *v1) setAnd(r *specs.LinuxResources, tell func() error) error {
	if r == nil {
		return nil
	}
	if err := m.ours(); err != nil {
		return err
	}
	defer m.close()
	u := new(undo)
	err := m.limit(r, false, u)
	if err == nil && len(r.Devices) > 0 {
		u.last, err = m.updateDevices(r.Devices)
	}
	if err == nil {
		err = tell()
	}
	return u.after(err)
}

// list is the directory whose processes are the container's: the twin where every process starts, else the one of controlled.
func (m *v1) list() *dir {
	if d := m.twin(); d != nil {
		return d
	}
	if d := m.controlled(); d != nil || len(m.groups) == 0 {
		return d
	}
	return &m.groups[0].dir
}

// controlled is the directory in the devices or freezer hierarchy, which nobody leaves for the sake of resource control, or another.
func (m *v1) controlled() *dir {
	for _, name := range []string{"devices", "freezer", "pids", "memory"} {
		if d := m.of(name); d != nil {
			return d
		}
	}
	return nil
}

func (m *v1) Pids(recursive bool) ([]int, error) {
	defer m.close()
	d := m.list()
	if d == nil || !m.same() {
		return nil, nil
	}
	if recursive {
		return d.allPids()
	}
	return d.pids()
}

func (m *v1) Kill() error {
	defer m.close()
	d := m.list()
	if d == nil || !m.same() {
		return nil
	}
	freezer := m.of("freezer")
	if m.twin() == nil {
		return killFrozenV1(d, freezer)
	}
	err := d.killUnified()
	if serr := m.killStrays(); err == nil {
		err = serr
	}
	if freezer != nil { // the kernel can't end a process that the v1 freezer holds
		if terr := freezer.thawTree(); err == nil && !isGone(terr) {
			err = terr
		}
	}
	return err
}

// killStrays ends those that somebody has put elsewhere in the v2 tree, which takes no more than the right to write there. They are still
// in the cgroup of the v1 hierarchies, all of which such a one would have to leave.
func (m *v1) killStrays() error {
	d := m.controlled()
	if d == nil {
		return nil
	}
	pids, err := d.allPids()
	if err != nil && !isGone(err) {
		return err
	}
	dying, err := m.twin().allPids()
	if err != nil && !isGone(err) {
		return err
	}
	if !slices.ContainsFunc(pids, func(pid int) bool { return !slices.Contains(dying, pid) }) {
		return nil
	}
	return d.killEach()
}

func (m *v1) Freeze(freeze bool) error {
	if err := m.ours(); err != nil {
		return err
	}
	defer m.close()
	if d := m.of("freezer"); d != nil {
		return d.freezeV1(freeze)
	}
	if d := m.twin(); d != nil {
		return d.freezeUnified(freeze)
	}
	return errors.New("freeze cgroup: the freezer controller is not mounted (mount it at " + root + "/freezer)")
}

func (m *v1) Frozen() (bool, error) {
	defer m.close()
	if d := m.of("freezer"); d != nil && m.same() {
		return d.frozenV1()
	}
	if d := m.twin(); d != nil {
		return d.frozenUnified()
	}
	return false, nil
}

func (m *v1) OOMKills() (uint64, error) {
	d := m.of("memory")
	if d == nil || !m.same() {
		return 0, nil
	}
	defer m.close()
	return d.value("memory.oom_control", "oom_kill") // the count is there since Linux 4.13
}

func (m *v1) Delete(timeout time.Duration) error {
	defer m.close()
	if !m.same() {
		return nil
	}
	deadline := time.Now().Add(timeout)
	var errs []error
	for i := range m.groups { // the twin first: when its event says empty, the others are empty as well
		g := &m.groups[i]
		if err := g.remove(g.unified(), deadline); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 1 {
		return fmt.Errorf("%w (and %d more hierarchies)", errs[0], len(errs)-1)
	}
	return errors.Join(errs...)
}

func (m *v1) State() State {
	s := State{Version: V1, Paths: make(map[string]string, len(m.groups))}
	if len(m.groups) > 0 {
		s.Inode = m.groups[0].ino
	}
	if m.twin() != nil {
		s.Version = Hybrid
	}
	for i := range m.groups {
		for name := range strings.SplitSeq(m.groups[i].name, ",") {
			s.Paths[name] = m.groups[i].path
		}
	}
	return s
}

// same tells whether the directories are still those that Create made. Somebody may have removed them and given their name away.
func (m *v1) same() bool { return len(m.groups) == 0 || m.groups[0].same() }

// ours is same as an error, for what must not be done to another's.
func (m *v1) ours() error {
	if m.same() {
		return nil
	}
	return &os.PathError{Op: "open cgroup", Path: m.groups[0].path, Err: replacedError{}}
}
