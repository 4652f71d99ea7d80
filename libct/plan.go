package libct

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/cgroups"
	"husk/internal/resctrl"
	"husk/seccomp"
	"husk/specconv"
)

// Plan returns what would be executed to create a container with the name ID from a bundle, as text, and executes nothing.
func (r *Runtime) Plan(bundle string) (string, error) {
	spec, _, err := specconv.Load(bundle)
	if err != nil {
		return "", err
	}
	if err := specconv.Validate(spec); err != nil {
		return "", fmt.Errorf("validate config.json: %w", err)
	}
	h, err := r.hostFacts(spec, &CreateOptions{ID: "ID", Bundle: bundle})
	if err != nil {
		return "", err
	}
	if err := r.placementFacts(spec, h); err != nil {
		return "", err
	}
	h.StartGate = true
	if seccomp.Enabled(spec.Linux.Seccomp) {
		h.FilterPending = true
		if h.FilterFlags, err = seccomp.Flags(spec.Linux.Seccomp); err != nil {
			return "", err
		}
		if h.SendListener, err = mustSend(h, specconv.CloneFlags(spec)); err != nil {
			return "", err
		}
	}
	p, err := specconv.Compile(spec, h)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// placementFacts says where the process would be put: the names are known before there is anything of the kind.
func (r *Runtime) placementFacts(spec *specs.Spec, h *specconv.Host) error {
	if err := r.plannedCgroup(spec, h); err != nil {
		return err
	}
	if rdt := spec.Linux.IntelRdt; rdt != nil {
		g, err := resctrl.Prepare(rdt, h.ID)
		if err != nil {
			return err
		}
		h.Resctrl = g.Names()
	}
	if !slices.ContainsFunc(specconv.Joined(spec), func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace }) {
		return nil // the plan does not depend on what the namespaces are, nor on whether they exist by now
	}
	files, err := joinedNamespaces(spec)
	defer closeAll(files)
	if err == nil {
		h.Inside, err = insideUser(spec, files)
	}
	return err
}

func (r *Runtime) plannedCgroup(spec *specs.Spec, h *specconv.Host) error {
	if r.opts.NoCgroup {
		h.Cgroup = cgroupFacts(r.noCgroup(), &cgroups.Placement{})
		return nil
	}
	cfg := r.cgroupConfig(spec, h.ID)
	m, err := cgroups.New(cfg)
	if err != nil {
		return err
	}
	h.Cgroup = cgroupFacts(m.State(), &cgroups.Placement{})
	if h.Cgroup.Gate = cfg.Systemd; !cfg.Systemd {
		h.Cgroup.Joins = m.Joins()
	}
	return nil
}
