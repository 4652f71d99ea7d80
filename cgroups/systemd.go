package cgroups

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/internal/dbus"
)

// systemd is the cgroup of a container that systemd makes, as a scope: a unit for processes that somebody else has started.
// The scope is delegated, so what is below and inside is ours; everything but making, limiting and removing it is done by the
// files, as for any other cgroup.
type systemd struct {
	backend
	unit  string // "husk-ID.scope"
	slice string // "a-b.slice", "" if the unit was loaded from a record
	user  bool   // of the user's manager

	annotated []property // from the annotations
}

// backend is a manager of cgroup files.
type backend interface {
	Manager
	// adopt limits a cgroup that systemd has made, with the process in it.
	adopt(cfg *Config) error
	// settings are what is written to the files of a new cgroup, or an old one.
	settings(r *specs.LinuxResources, old bool) ([]setting, error)
	// setAnd is Set with a last step, which if it fails has the files put back as well.
	setAnd(r *specs.LinuxResources, tell func() error) error
	// deviceProperties limit devices where systemd would undo what the files say.
	deviceProperties(in []specs.LinuxDeviceCgroup) ([]property, error)
	// told calls f, which tells systemd, and has the files as they were before where systemd writes others: the CPU quota with a period
	// of its own if there is none, and whether all die together of a lack of memory, which can't be told after the start.
	told(f func() error) error
	// same tells whether the cgroup has not been replaced by another of its name.
	same() bool
	// quota is the CPU quota of now, -1 for none, and the period in µs that counts where a quota comes without one.
	quota() (int64, uint64)
}

// jobTimeout bounds all that is asked of systemd for one container. A busy manager takes seconds.
const jobTimeout = 30 * time.Second

const (
	managerName  = "org.freedesktop.systemd1"
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
)

// newSystemd reads cgroupsPath ("slice:prefix:name") and finds out where the scope will be.
func newSystemd(cfg *Config) (Manager, error) {
	m := &systemd{user: cfg.UserManager}
	if err := m.name(cfg); err != nil {
		return nil, err
	}
	slices, err := expandSlice(m.slice)
	if err != nil {
		return nil, err
	}
	if m.annotated, err = annotatedProperties(cfg.Annotations); err != nil {
		return nil, err
	}
	top, err := m.top()
	if err != nil {
		return nil, err
	}
	lay, err := detect(false)
	if err != nil {
		return nil, err
	}
	m.backend, err = newBackend(lay, strings.TrimPrefix(path.Join(top, slices, m.unit), "/"), false)
	return m, err
}

// name finds slice and unit. The defaults are runc's, but for the prefix.
func (m *systemd) name(cfg *Config) error {
	const at = "(/linux/cgroupsPath)"
	slice, prefix, name := "", "husk", strings.ReplaceAll(cfg.ID, "+", `\x2b`)
	if cfg.Path != "" {
		parts := strings.Split(cfg.Path, ":")
		if len(parts) != 3 {
			return fmt.Errorf("name systemd unit: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %.100q instead %s", cfg.Path, at)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	if m.slice = slice; slice == "" {
		m.slice = "system.slice"
		if m.user {
			m.slice = "user.slice"
		}
	}
	if m.unit = name + ".scope"; prefix != "" {
		m.unit = prefix + "-" + m.unit
	}
	if name == "" || strings.HasSuffix(name, ".slice") || len(m.unit) > 255 || !isAll(m.unit, isUnitByte) {
		return fmt.Errorf("name systemd unit %.100q: not a name of a scope %s", m.unit, at)
	}
	return nil
}

// isUnitByte is what systemd has in names of units (systemd.unit(5)).
func isUnitByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte(`:-_.\`, b) >= 0
}

// expandSlice gives the path of a slice, whose name is that of the slices above, joined by dashes: systemd.slice(5).
func expandSlice(slice string) (string, error) {
	base, ok := strings.CutSuffix(slice, ".slice")
	switch {
	case base == "-" && ok:
		return "", nil
	case !ok || base == "" || len(slice) > 255 || !isAll(slice, isUnitByte) || strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--"):
		return "", fmt.Errorf("name systemd unit: invalid slice name %.100q (/linux/cgroupsPath)", slice)
	}
	dir := ""
	for i := range len(base) {
		if base[i] == '-' {
			dir += base[:i] + ".slice/"
		}
	}
	return dir + slice, nil
}

// top is the cgroup below which the manager has its slices. The system's own is in init.scope of it; a user's has to be asked.
func (m *systemd) top() (string, error) {
	if !m.user {
		where, err := readCgroups("/proc/1/cgroup")
		if err != nil {
			return "", err
		}
		own := where.find("name=systemd")
		if own == "" {
			own = where.find("")
		}
		return strings.TrimSuffix(own, "/init.scope"), nil
	}
	bus, err := m.dial()
	if err != nil {
		return "", err
	}
	defer bus.Close()
	answer, err := bus.Do(dbus.Call{
		Destination: managerName, Path: managerPath, Interface: "org.freedesktop.DBus.Properties", Member: "Get",
		Args: []any{managerIface, "ControlGroup"},
	})
	if err != nil {
		return "", fmt.Errorf("ask the user's systemd for its cgroup: %w", err)
	}
	if len(answer) == 1 {
		if p, ok := answer[0].(string); ok && strings.HasPrefix(p, "/") && path.Clean(p) == p {
			return p, nil
		}
	}
	return "", fmt.Errorf("ask the user's systemd for its cgroup: unexpected answer %v", answer)
}

// dial connects to the bus of the manager.
func (m *systemd) dial() (*dbus.Conn, error) {
	address, hint := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "is systemd running? without --systemd-cgroup no bus is needed"
	switch {
	case m.user:
		hint = "is there a session of this user? see loginctl enable-linger"
		dir := os.Getenv("XDG_RUNTIME_DIR")
		if dir == "" {
			dir = "/run/user/" + strconv.Itoa(os.Geteuid())
		}
		if address = os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address == "" {
			address = "unix:path=" + dir + "/bus"
		}
	case address == "":
		address = "unix:path=/run/dbus/system_bus_socket"
	}
	bus, err := dbus.Dial(address, time.Now().Add(jobTimeout))
	if err != nil {
		return nil, fmt.Errorf("ask systemd: %w (%s)", err, hint)
	}
	return bus, nil
}

// Create has systemd start the scope with the process cfg.Pid in it.
func (m *systemd) Create(cfg *Config) error {
	// A process that systemd puts into a frozen cgroup would wait for ever, and we for it.
	if frozen, err := m.Frozen(); err == nil && frozen {
		return unexpectedlyFrozen(m.unit)
	}
	if r := m.wholePercents(cfg.Resources, false); r != cfg.Resources {
		changed := *cfg
		changed.Resources, cfg = r, &changed
	}
	props, err := m.properties(cfg.Resources, false)
	if err != nil {
		return err
	}
	var rules []specs.LinuxDeviceCgroup
	if cfg.Resources != nil {
		rules = cfg.Resources.Devices
	}
	devices, err := m.deviceProperties(rules)
	if err != nil {
		return err
	}
	if err := m.start(append(m.scope(cfg), devices...), props); err != nil {
		return err
	}
	if err := m.adopt(cfg); err != nil {
		_ = m.Kill()
		_ = m.Delete(jobTimeout)
		return err
	}
	return nil
}

// scope is what makes the unit one of ours.
func (m *systemd) scope(cfg *Config) []property {
	io := "IOAccounting"
	if m.State().Version != V2 {
		io = "BlockIOAccounting"
	}
	return []property{
		{"Description", "libcontainer container " + cfg.ID}, // runc's words
		{"Slice", m.slice},
		{"Delegate", true},
		{"DefaultDependencies", false},
		{"PIDs", dbus.Array{Of: "u", Items: []any{uint32(cfg.Pid)}}},
		{"CPUAccounting", true},
		{"MemoryAccounting", true},
		{io, true},
		{"TasksAccounting", true},
	}
}

// Attach has systemd move a process. The user's manager asks the system's, which may.
func (m *systemd) Attach(p *Placement, pid int) error {
	dir, top := p.Into.Name(), m.backend.State().Paths[""]
	below, ok := strings.CutPrefix(dir, top)
	if !ok || below != "" && below[0] != '/' {
		return fmt.Errorf("have systemd move process %d: %s is not in %s", pid, dir, m.unit)
	}
	bus, err := m.dial()
	if err != nil {
		return err
	}
	defer bus.Close()
	if _, err := bus.Do(managerCall("AttachProcessesToUnit", m.unit, below, dbus.Array{Of: "u", Items: []any{uint32(pid)}})); err != nil {
		return fmt.Errorf("have systemd move process %d into %s: %w", pid, m.unit, err)
	}
	return inScope(pid, "", dir)
}

// Set changes the files, which refuse what the kernel does not take, and then the unit, so that systemd does not go back to
// the old limits.
func (m *systemd) Set(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	r = m.wholePercents(m.awake(r), true)
	props, err := m.properties(r, true)
	if err != nil {
		return err
	}
	if len(r.Devices) > 0 {
		devices, err := m.deviceProperties(r.Devices)
		if err != nil {
			return err
		}
		props = append(props, devices...)
	}
	if len(props) == 0 {
		return m.backend.Set(r)
	}
	return m.setAnd(r, func() error {
		return m.told(func() error { return m.change(props) })
	})
}

// awake adds to a change of the weight that the cgroup is no longer idle, and to the end of idleness the weight that the kernel then gives
// it. For systemd these are one property; the kernel refuses a weight for an idle cgroup.
func (m *systemd) awake(r *specs.LinuxResources) *specs.LinuxResources {
	cpu := specs.LinuxCPU{}
	if r.CPU != nil {
		cpu = *r.CPU
	}
	_, weight := r.Unified["cpu.weight"]
	weight = weight || isSet(cpu.Shares)
	idle, asked := r.Unified["cpu.idle"]
	if !asked && cpu.Idle != nil {
		idle, asked = itoa(*cpu.Idle), true
	}
	if weight == asked || asked && idle != "0" || m.State().Version != V2 {
		return r
	}
	d := newDir(m.State().Paths[""])
	defer d.close()
	if now, err := d.read("cpu.idle"); err != nil || strings.TrimSpace(now) != "1" {
		return r
	}
	if weight {
		cpu.Idle = new(int64)
	} else {
		shares := uint64(defaultShares)
		cpu.Shares = &shares
	}
	changed := *r
	changed.CPU = &cpu
	return &changed
}

// Delete removes the cgroup first, which is the end of the scope, and then makes sure that systemd has noticed: the unit's
// name is free for the next container when it returns. A systemd that can't be asked is no error as long as the cgroup is gone.
// If the name is another container's by now, systemd has noticed long ago.
func (m *systemd) Delete(timeout time.Duration) error {
	if !m.same() {
		return nil
	}
	bus, err := m.dial()
	if err != nil {
		m.awaitNotice()
		return m.backend.Delete(timeout)
	}
	if err := m.backend.Delete(timeout); err != nil {
		bus.Close()
		return err
	}
	for end := time.Now().Add(restartTime); m.forget(bus) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		if bus, err = m.dial(); err != nil {
			return nil
		}
	}
	return nil
}

// awaitNotice leaves it to systemd to remove the cgroup, for a moment: nobody else can tell it that the scope has ended, and the
// kernel drops the news that a cgroup is empty if it is removed within 10 ms of the last news.
func (m *systemd) awaitNotice() {
	paths := m.backend.State().Paths
	dir := paths[""]
	if own := paths["name=systemd"]; own != "" {
		dir = own
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(dir); err != nil {
			return
		}
	}
}

// restartTime is how long a message bus that was restarted, and systemd's return to it, are waited for.
const restartTime = 2 * time.Second

// forget has systemd forget the unit. It says whether the bus broke meanwhile, or was there without systemd.
func (m *systemd) forget(bus *dbus.Conn) (again bool) {
	defer bus.Close()
	if err := watchJobs(bus, m.unit); err != nil {
		return true
	}
	job, err := bus.Do(managerCall("StopUnit", m.unit, "replace"))
	if err == nil {
		err = m.wait(bus, job)
	}
	if !unanswered(err) {
		_, err = bus.Do(managerCall("ResetFailedUnit", m.unit)) // most often there is nothing left of it
	}
	return unanswered(err)
}

func (m *systemd) State() State {
	s := m.backend.State()
	s.Unit, s.UserManager = m.unit, m.user
	return s
}
