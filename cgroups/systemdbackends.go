package cgroups

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/internal/dbus"
)

// inScope proves that systemd has put the process where the scope should be: it has other ideas if a unit file or a drop-in
// says so, and news on a bus may come from anybody.
func inScope(pid int, hierarchy, dir string) error {
	where, err := cgroupsOf(pid)
	if err != nil {
		return err
	}
	if own := where.find(hierarchy); own == "" || !strings.HasSuffix(dir, own) {
		return fmt.Errorf("find the cgroup that systemd has made: process %d is in %q, not in %s", pid, own, dir)
	}
	return nil
}

func (m *v2) adopt(cfg *Config) error {
	defer m.close()
	if err := inScope(cfg.Pid, "", m.path); err != nil {
		return err
	}
	return m.fill(cfg, false)
}

func (m *v2) settings(r *specs.LinuxResources, old bool) ([]setting, error) {
	defer m.close()
	return settingsV2(r, m.quotaNow(r.CPU, old))
}

// deviceProperties: none. The filter that we attach beside systemd's stays as it is over a reload. systemd's own would be less
// exact: it looks devices up by name when it is made, and leaves out those that are not there yet.
func (m *v2) deviceProperties([]specs.LinuxDeviceCgroup) ([]property, error) { return nil, nil }

func (m *v2) told(f func() error) error {
	return keeping(current(&m.dir, "cpu.max", "memory.oom.group"), f)
}

func keeping(files *undo, f func() error) error {
	if err := f(); err != nil {
		return err
	}
	return files.back()
}

// current is what puts files back as they are now.
func current(d *dir, files ...string) *undo {
	u := new(undo)
	for _, file := range files {
		if s, err := d.read(file); err == nil {
			u.writes = append(u.writes, oldValue{dir: d, file: file, value: strings.TrimSpace(s)})
		}
	}
	return u
}

func (m *v2) quota() (quota int64, period uint64) {
	quota, period = -1, defaultPeriod
	s, err := m.read("cpu.max")
	m.close()
	first, second, _ := strings.Cut(strings.TrimSpace(s), " ")
	if n, ok := parseLimit(second); ok && err == nil {
		period = n
	}
	if n, perr := strconv.ParseInt(first, 10, 64); perr == nil && err == nil {
		quota = n
	}
	return quota, period
}

// adopt adds to what systemd has made: the hierarchies that it does not know, which the process joins here.
func (m *v1) adopt(cfg *Config) error {
	defer m.close()
	if d := m.of("name=systemd"); d != nil {
		if err := inScope(cfg.Pid, "name=systemd", d.path); err != nil {
			return err
		}
	}
	if err := m.mkdirs(cfg); err != nil {
		return err
	}
	if err := m.fill(cfg); err != nil {
		return err
	}
	where, err := cgroupsOf(cfg.Pid)
	if err != nil {
		return err
	}
	for i := range m.groups {
		g := &m.groups[i]
		if own := where.find(g.name); own != "" && strings.HasSuffix(g.path, own) && own != "/" {
			continue
		}
		if err := g.write("cgroup.procs", itoa(int64(cfg.Pid))); err != nil {
			return err
		}
	}
	return nil
}

func (m *v1) settings(r *specs.LinuxResources, old bool) ([]setting, error) {
	return settingsV1(r, old)
}

// told also keeps the device rules. For each change systemd denies all devices, and then allows again what it knows; meanwhile the
// processes are frozen, if they can be.
func (m *v1) told(f func() error) error {
	quota := new(undo)
	if d := m.of("cpu"); d != nil {
		quota = current(d, "cpu.cfs_quota_us", "cpu.cfs_period_us")
	}
	d := m.of("devices")
	if d == nil {
		return keeping(quota, f)
	}
	want := m.rules
	if want == nil {
		have, err := d.whitelist()
		if err != nil {
			return err
		}
		want = &have
	}
	if want.allow && len(want.exceptions) == 0 { // so systemd knows it too, or the kernel does not tell what is denied
		return keeping(quota, f)
	}
	goOn, _ := m.stop()
	err := keeping(quota, f)
	now, rerr := d.whitelist()
	if rerr == nil {
		rerr = d.writeDevices(want.changesFrom(now))
	}
	return cmp.Or(err, rerr, goOn())
}

func (m *v1) quota() (quota int64, period uint64) {
	quota, period = -1, defaultPeriod
	d := m.of("cpu")
	if d == nil {
		return quota, period
	}
	if n, err := d.number("cpu.cfs_period_us"); err == nil {
		period = n
	}
	if s, err := d.read("cpu.cfs_quota_us"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
			quota = n
		}
	}
	return quota, period
}

// deviceProperties: on v1 systemd writes to the same files as we, at each reload. What it can't express, such as a minor of
// all majors, is left out and lost then; "all but" becomes the devices that every container has.
func (m *v1) deviceProperties(in []specs.LinuxDeviceCgroup) ([]property, error) {
	rules, err := deviceRules(in)
	if err != nil {
		return nil, err
	}
	w, err := listOf(rules)
	if err != nil {
		return nil, err
	}
	none := property{"DeviceAllow", dbus.Array{Of: "(ss)"}} // those that it has stay otherwise
	switch {
	case w.allow && len(w.exceptions) == 0:
		return []property{{"DevicePolicy", "auto"}, none}, nil
	case w.allow:
		return m.deviceProperties(nil)
	}
	allowed := dbus.Array{Of: "(ss)"}
	var names []byte
	for _, r := range w.exceptions {
		if r.major != anyNumber && r.minor == anyNumber && names == nil {
			if names, err = os.ReadFile("/proc/devices"); err != nil {
				return nil, err
			}
		}
		if node := r.node(string(names)); node != "" {
			allowed.Items = append(allowed.Items, dbus.Struct{node, r.access.String()})
		}
	}
	return []property{{"DevicePolicy", "strict"}, none, {"DeviceAllow", allowed}}, nil
}

// node is systemd's name for the devices of a rule: a device file, or char-NAME with the name of /proc/devices.
func (r *rule) node(names string) string {
	kind, section := "char", "Character devices:"
	if r.kind == 'b' {
		kind, section = "block", "Block devices:"
	}
	switch {
	case r.major != anyNumber && r.minor != anyNumber:
		return "/dev/" + kind + "/" + itoa(r.major) + ":" + itoa(r.minor)
	case r.all():
		return kind + "-*"
	case r.major == anyNumber:
		return ""
	}
	_, names, _ = strings.Cut(names, section)
	names, _, _ = strings.Cut(names, "\n\n")
	for line := range strings.Lines(names) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == itoa(r.major) {
			return kind + "-" + f[1]
		}
	}
	return ""
}
