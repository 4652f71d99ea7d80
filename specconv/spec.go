package specconv

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Example returns the configuration that the command spec writes: a shell in a container with its own namespaces. It is the
// one of runc, since people edit it by scripts that know it.
func Example() *specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Terminal: true,
			Args:     []string{"sh"},
			Env: []string{
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"TERM=xterm",
			},
			Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  caps,
				Effective: slices.Clone(caps),
				Permitted: slices.Clone(caps),
			},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			NoNewPrivileges: true,
		},
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: "runc",
		Mounts:   exampleMounts(),
		Linux: &specs.Linux{
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func exampleMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{
			Destination: "/dev", Type: "tmpfs", Source: "tmpfs",
			Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"},
		},
		{
			Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
		},
		{
			Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
			Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
		},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{
			Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
			Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"},
		},
	}
}

// AddCgroupNamespace gives a configuration a cgroup namespace, as is usual where there is cgroup v2 alone.
func AddCgroupNamespace(spec *specs.Spec) {
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
}

// MakeRootless changes [Example] into what a user without privileges can have: a user namespace with that user as root, the
// network and sysfs of the host, no mount options about other ids, no limits.
func MakeRootless(spec *specs.Spec, uid, gid uint32) {
	linux := spec.Linux
	linux.Namespaces = slices.DeleteFunc(linux.Namespaces, func(ns specs.LinuxNamespace) bool {
		return ns.Type == specs.NetworkNamespace
	})
	linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uid, Size: 1}}
	linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: gid, Size: 1}}
	linux.Resources = nil
	for i := range spec.Mounts {
		mount := &spec.Mounts[i]
		if path.Clean(mount.Destination) == "/sys" {
			// sysfs shows the network namespace it was mounted from, and only root of that namespace may mount it.
			mount.Type, mount.Source = "none", "/sys"
			mount.Options = []string{"rbind", "nosuid", "noexec", "nodev", "ro"}
		}
		mount.Options = slices.DeleteFunc(mount.Options, func(option string) bool {
			return strings.HasPrefix(option, "uid=") || strings.HasPrefix(option, "gid=")
		})
	}
}

// EncodeExample writes a configuration as config.json, with tabs, in the order of the specification. It knows the members
// that [Example], [AddCgroupNamespace] and [MakeRootless] set, and no others.
func EncodeExample(spec *specs.Spec) []byte {
	d := &document{indent: "\t"}
	d.object("", func() {
		d.text("ociVersion", spec.Version)
		d.object("process", func() { d.process(spec.Process) })
		d.object("root", func() {
			d.text("path", spec.Root.Path)
			d.yes("readonly", spec.Root.Readonly)
		})
		d.text("hostname", spec.Hostname)
		list(d, "mounts", spec.Mounts, func(mount specs.Mount) {
			d.object("", func() {
				d.text("destination", mount.Destination)
				d.text("type", mount.Type)
				d.text("source", mount.Source)
				d.optionalTexts("options", mount.Options)
			})
		})
		d.object("linux", func() { d.linux(spec.Linux) })
	})
	return d.out
}

func (d *document) process(process *specs.Process) {
	d.yes("terminal", process.Terminal)
	d.object("user", func() {
		d.number("uid", uint64(process.User.UID))
		d.number("gid", uint64(process.User.GID))
	})
	d.texts("args", process.Args)
	d.texts("env", process.Env)
	d.text("cwd", process.Cwd)
	d.object("capabilities", func() {
		d.texts("bounding", process.Capabilities.Bounding)
		d.texts("effective", process.Capabilities.Effective)
		d.texts("permitted", process.Capabilities.Permitted)
	})
	list(d, "rlimits", process.Rlimits, func(limit specs.POSIXRlimit) {
		d.object("", func() {
			d.text("type", limit.Type)
			d.number("hard", limit.Hard)
			d.number("soft", limit.Soft)
		})
	})
	d.yes("noNewPrivileges", process.NoNewPrivileges)
}

func (d *document) linux(linux *specs.Linux) {
	d.mappings("uidMappings", linux.UIDMappings)
	d.mappings("gidMappings", linux.GIDMappings)
	if linux.Resources != nil {
		d.object("resources", func() {
			list(d, "devices", linux.Resources.Devices, func(rule specs.LinuxDeviceCgroup) {
				d.object("", func() {
					d.boolean("allow", rule.Allow)
					d.optional("access", rule.Access)
				})
			})
		})
	}
	list(d, "namespaces", linux.Namespaces, func(ns specs.LinuxNamespace) {
		d.object("", func() { d.text("type", string(ns.Type)) })
	})
	d.texts("maskedPaths", linux.MaskedPaths)
	d.texts("readonlyPaths", linux.ReadonlyPaths)
}

func (d *document) mappings(key string, mappings []specs.LinuxIDMapping) {
	if mappings == nil {
		return
	}
	list(d, key, mappings, func(mapping specs.LinuxIDMapping) {
		d.object("", func() {
			d.number("containerID", uint64(mapping.ContainerID))
			d.number("hostID", uint64(mapping.HostID))
			d.number("size", uint64(mapping.Size))
		})
	})
}
