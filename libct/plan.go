package libct

import (
	"fmt"

	"husk/cgroups"
	"husk/seccomp"
	"husk/specconv"
)

// Plan returns what would be executed for a bundle, as text, and executes nothing.
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
	m, err := cgroups.New(&cgroups.Config{Path: spec.Linux.CgroupsPath, ID: "ID"})
	if err != nil {
		return "", err
	}
	h.Cgroup = cgroupFacts(m.State(), &cgroups.Placement{})
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
