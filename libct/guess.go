package libct

import (
	"fmt"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/cgroups"
	"husk/internal/jsonscan"
	"husk/internal/linux"
	"husk/internal/resctrl"
	"husk/specconv"
)

// guess makes up a record for a container whose own is of no use: from what every husk writes into a record, if that can be
// read, or else from the directory's name and the copy of config.json, by the rule that create names a cgroup by.
func (c *container) guess() error {
	c.rec = record{Schema: recordSchema, ID: c.id, Phase: phaseCreating}
	kept := c.salvage()
	cfg := cgroups.Config{ID: c.id, Rootless: c.r.rootless(), Systemd: c.r.opts.SystemdCgroup}
	if data, err := c.config(); err == nil {
		if spec, err := specconv.ParseSpec(data); err == nil {
			if spec.Linux != nil && spec.Linux.CgroupsPath != "" {
				cfg.Path = spec.Linux.CgroupsPath
				cfg.Systemd = isUnit(cfg.Path)
			}
			c.rec.OCIVersion = spec.Version
			c.rec.Annotations = spec.Annotations
			if spec.Root != nil && filepath.IsAbs(spec.Root.Path) {
				c.rec.Rootfs = filepath.Clean(spec.Root.Path)
				c.rec.HostMount = spec.Linux != nil && !specconv.Has(spec, specs.MountNamespace)
			}
			if spec.Linux != nil && spec.Linux.IntelRdt != nil {
				c.rec.Resctrl, _ = resctrl.Guess(spec.Linux.IntelRdt, c.id) // without the file system there is nothing to remove
			}
			c.rec.Poststop = spec.Hooks != nil && len(spec.Hooks.Poststop) > 0
		}
	}
	if kept {
		return nil
	}
	cfg.UserManager = cfg.Systemd && rootless()
	m, err := cgroups.New(&cfg)
	if err != nil {
		return fmt.Errorf("find cgroup of container %s: %w", c.id, err)
	}
	c.rec.Cgroup = m.State()
	return nil
}

// isUnit says whether a cgroupsPath is one for systemd, "slice:prefix:name". Whether create was told --systemd-cgroup is not known,
// but then it takes no other form.
func isUnit(path string) bool { return path[0] != '/' && strings.Count(path, ":") == 2 }

// salvage reads what every schema has from a record that is whole but can't be used: which process is the first one, and where
// the cgroup is. It says whether that is there; if not it has changed nothing.
func (c *container) salvage() bool {
	data, err := linux.ReadFileAt(c.dir, recordFile, recordLimit)
	if err != nil {
		return false
	}
	var kept record
	d := jsonscan.NewDecoder(data)
	err = d.Object(func(key string) error {
		switch key {
		case "id", "init_process_pid", "init_process_start", "boot_id",
			"cgroup_version", "cgroup_inode", "cgroup_paths", "systemd_unit", "systemd_user":
			return kept.field(d, key)
		}
		return d.Skip()
	})
	places := len(kept.Cgroup.Paths)
	if err != nil || d.End() != nil || kept.ID != c.id || kept.Pid < 0 || kept.Pid == 0 && places == 0 {
		return false
	}
	if _, err := cgroups.Load(kept.Cgroup); err != nil && places > 0 {
		return false
	}
	c.rec.Pid, c.rec.StartTime, c.rec.BootID, c.rec.Cgroup = kept.Pid, kept.StartTime, kept.BootID, kept.Cgroup
	return true
}
