package libct

import (
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/cgroups"
	"husk/specconv"
)

// makeCgroup writes the record, then makes the cgroup that it names.
func (k *creation) makeCgroup() (err error) {
	rec := &k.c.rec
	rec.OCIVersion, rec.Bundle, rec.Rootfs, rec.Annotations = k.spec.Version, k.o.Bundle, k.host.Rootfs, k.spec.Annotations
	rec.OwnPidns = specconv.IsNew(k.spec, specs.PIDNamespace)
	st, err := stat(rec.Rootfs)
	if err != nil {
		return fmt.Errorf("/root/path: look at rootfs %q: %w", rec.Rootfs, err)
	}
	rec.RootDev, rec.RootIno = st.Dev, st.Ino
	if rec.HostMount = !specconv.Has(k.spec, specs.MountNamespace); rec.HostMount {
		if rec.RootMount, err = mountAt(rec.Rootfs); err != nil {
			return fmt.Errorf("/root/path: look at the mount of rootfs %q: %w", rec.Rootfs, err)
		}
	}
	rec.NoKeyring, rec.Listener = k.o.NoNewKeyring, hasListener(k.host)
	if h := k.spec.Hooks; h != nil {
		rec.Poststart, rec.Poststop = len(h.Poststart) > 0, len(h.Poststop) > 0
	}
	cfg := k.r.cgroupConfig(k.spec, k.o.ID)
	rec.Rootless = cfg.Rootless
	if k.r.opts.NoCgroup {
		return k.stayInCgroup()
	}
	if k.cgroup, err = cgroups.New(cfg); err != nil {
		return err
	}
	rec.Cgroup = k.cgroup.State()
	k.r.warnResources(cfg.Resources, rec.Cgroup)
	// A record names what delete will kill: never a cgroup that somebody lives in.
	if pids, err := k.cgroup.Pids(true); err == nil && len(pids) > 0 {
		k.cgroup = nil
		return fmt.Errorf("container's cgroup is not empty: %d process(es) found", len(pids)) // runc's words
	}
	k.planned, k.cgroupConfig = k.cgroup, cfg
	k.cgroup = nil // until it is ours
	if err := k.c.save(); err != nil {
		return err
	}
	if err := k.c.saveConfig(k.config); err != nil {
		return err
	}
	stopPoint("create-recorded")
	if cfg.Systemd { // makes it around the process, which waits at a gate meanwhile
		k.place = &cgroups.Placement{}
		k.host.Cgroup = cgroupFacts(rec.Cgroup, k.place)
		k.host.Cgroup.Gate = true
		return nil
	}
	if err := k.createCgroup(); err != nil {
		return err
	}
	if k.place, err = k.cgroup.Place(); err != nil {
		return err
	}
	k.host.Cgroup = cgroupFacts(rec.Cgroup, k.place)
	return nil
}

// stayInCgroup leaves the process in our own cgroup, of which it gets to see no more than where it is.
func (k *creation) stayInCgroup() error {
	if res := k.spec.Linux.Resources; res != nil && hasLimits(res) {
		k.r.warn("leave out the limits of /linux/resources: there is to be no cgroup")
	}
	if withoutFilter(k.spec, k.spec.Process) {
		k.r.warn("leave out CAP_MKNOD and the rules of /linux/resources/devices: there is to be no cgroup that keeps the process from devices; those that it finds in the rootfs are open to it")
	}
	k.place = &cgroups.Placement{}
	k.c.rec.Cgroup = k.r.noCgroup()
	k.host.Cgroup = cgroupFacts(k.c.rec.Cgroup, k.place)
	if err := k.c.save(); err != nil {
		return err
	}
	return k.c.saveConfig(k.config)
}

// withoutFilter takes from a process the right to make device nodes where config.json forbids devices and there is no cgroup to do it.
// In a user namespace nobody has it anyway. It says whether there was something to take.
func withoutFilter(spec *specs.Spec, p *specs.Process) (taken bool) {
	res := spec.Linux.Resources
	if res == nil || specconv.Has(spec, specs.UserNamespace) || !slices.ContainsFunc(res.Devices, func(d specs.LinuxDeviceCgroup) bool { return !d.Allow }) {
		return false
	}
	if c := p.Capabilities; c != nil {
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Inheritable, &c.Ambient} {
			taken = taken || slices.Contains(*set, "CAP_MKNOD")
			*set = slices.DeleteFunc(*set, func(name string) bool { return name == "CAP_MKNOD" })
		}
	}
	return taken
}

// noCgroup is the record of a container that has none.
func (r *Runtime) noCgroup() cgroups.State {
	layout, err := cgroups.DetectLayout()
	if err != nil {
		r.debug("%v", err) // a machine without cgroups has none to show
	}
	return cgroups.State{Version: layout.Version}
}

// hasLimits says whether there is more than device rules, which come by themselves in every configuration.
func hasLimits(r *specs.LinuxResources) bool {
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil || r.Network != nil ||
		len(r.HugepageLimits) > 0 || len(r.Rdma) > 0 || len(r.Unified) > 0
}

// cgroupConfig is what config.json and the options say about the cgroup.
func (r *Runtime) cgroupConfig(spec *specs.Spec, id string) *cgroups.Config {
	return &cgroups.Config{
		Path: spec.Linux.CgroupsPath, ID: id, Resources: spec.Linux.Resources, Annotations: spec.Annotations, Owner: specconv.CgroupOwner(spec),
		Rootless: r.rootless(), Systemd: r.opts.SystemdCgroup, UserManager: r.opts.SystemdCgroup && rootless(),
	}
}

// createCgroup makes the cgroup that the record names. If that fails it has undone itself.
func (k *creation) createCgroup() error {
	err := k.planned.Create(k.cgroupConfig)
	switch {
	case err != nil && k.cgroupConfig.Rootless && errors.Is(err, os.ErrPermission):
		return fmt.Errorf("unable to apply cgroup configuration: %w", err) // runc's words
	case err != nil:
		return err
	}
	k.cgroup = k.planned
	k.c.rec.Cgroup = k.cgroup.State()
	k.r.debug("made the cgroup, %s: %v", k.c.rec.Cgroup.Version, k.c.rec.Cgroup.Paths)
	if len(k.c.rec.Cgroup.Paths) == 0 && !k.c.rec.OwnPidns {
		// The first sentence and "strongly discouraged" are runc's words.
		k.r.warn("Creating a rootless container with no cgroup and no private pid namespace. Such configuration is strongly discouraged: nothing finds all of its processes to end them")
	}
	stopPoint("create-cgroup")
	return nil
}
