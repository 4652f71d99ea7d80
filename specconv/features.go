package specconv

import (
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features says which configurations are served, as features.md of the runtime specification wants it. What is left out is
// not known; what is false or an empty list is not served. Seccomp and the annotations are the caller's to add.
func Features() *features.Features {
	yes := true
	return &features.Features{
		OCIVersionMin: versionMin,
		OCIVersionMax: specs.Version,
		Hooks:         hookNames(),
		MountOptions:  slices.Sorted(slices.Values(MountOptions())),
		Linux: &features.Linux{
			Namespaces:      slices.Sorted(slices.Values(namespaceNames())),
			Capabilities:    slices.Clone(Capabilities),
			Cgroup:          &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: memoryModes.names(), Flags: memoryFlags.names()},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
		PotentiallyUnsafeConfigAnnotations: append([]string{"org.systemd.property."}, unsafeAnnotations...),
	}
}

func hookNames() (names []string) {
	for _, list := range hookLists(new(specs.Hooks)) {
		names = append(names, list.name)
	}
	return names
}

// EncodeFeatures writes the document as JSON, indented by four spaces, in the order of features.md. Empty lists are written,
// nil ones are not: they mean different things.
func EncodeFeatures(f *features.Features) []byte {
	d := &document{indent: "    "}
	d.object("", func() {
		d.text("ociVersionMin", f.OCIVersionMin)
		d.text("ociVersionMax", f.OCIVersionMax)
		d.optionalTexts("hooks", f.Hooks)
		d.optionalTexts("mountOptions", f.MountOptions)
		if f.Linux != nil {
			d.object("linux", func() { d.linuxFeatures(f.Linux) })
		}
		if f.Annotations != nil {
			d.object("annotations", func() {
				for _, key := range slices.Sorted(maps.Keys(f.Annotations)) {
					d.text(key, f.Annotations[key])
				}
			})
		}
		d.optionalTexts("potentiallyUnsafeConfigAnnotations", f.PotentiallyUnsafeConfigAnnotations)
	})
	return append(d.out, '\n')
}

func (d *document) linuxFeatures(linux *features.Linux) {
	d.optionalTexts("namespaces", linux.Namespaces)
	d.optionalTexts("capabilities", linux.Capabilities)
	section(d, "cgroup", linux.Cgroup, func(c *features.Cgroup) {
		d.known("v1", c.V1)
		d.known("v2", c.V2)
		d.known("systemd", c.Systemd)
		d.known("systemdUser", c.SystemdUser)
		d.known("rdma", c.Rdma)
	})
	section(d, "seccomp", linux.Seccomp, func(s *features.Seccomp) {
		d.known("enabled", s.Enabled)
		d.optionalTexts("actions", s.Actions)
		d.optionalTexts("operators", s.Operators)
		d.optionalTexts("archs", s.Archs)
		d.optionalTexts("knownFlags", s.KnownFlags)
		d.optionalTexts("supportedFlags", s.SupportedFlags)
	})
	section(d, "apparmor", linux.Apparmor, func(a *features.Apparmor) { d.known("enabled", a.Enabled) })
	section(d, "selinux", linux.Selinux, func(s *features.Selinux) { d.known("enabled", s.Enabled) })
	section(d, "intelRdt", linux.IntelRdt, func(i *features.IntelRdt) {
		d.known("enabled", i.Enabled)
		d.known("schemata", i.Schemata)
		d.known("monitoring", i.Monitoring)
	})
	section(d, "memoryPolicy", linux.MemoryPolicy, func(m *features.MemoryPolicy) {
		d.optionalTexts("modes", m.Modes)
		d.optionalTexts("flags", m.Flags)
	})
	section(d, "mountExtensions", linux.MountExtensions, func(m *features.MountExtensions) {
		section(d, "idmap", m.IDMap, func(i *features.IDMap) { d.known("enabled", i.Enabled) })
	})
	section(d, "netDevices", linux.NetDevices, func(n *features.NetDevices) { d.known("enabled", n.Enabled) })
}

// section writes an object that is left out if it is nil.
func section[T any](d *document, key string, value *T, body func(*T)) {
	if value != nil {
		d.object(key, func() { body(value) })
	}
}
