package specconv

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func checkNamespaces(r *report, l *specs.Linux) {
	r.count(len(l.Namespaces), "namespaces")
	for i, ns := range l.Namespaces {
		if slices.ContainsFunc(l.Namespaces[:min(i, 16)], func(before specs.LinuxNamespace) bool { return before.Type == ns.Type }) {
			r.add(at("namespaces", i), "malformed spec file: duplicated ns %.100q", string(ns.Type))
		}
		if NamespaceKind(ns.Type) == 0 {
			r.oneOf(string(ns.Type), strings.Join(namespaceNames(), " "), "namespaces", i, "type")
		}
		if ns.Path != "" {
			r.absolute(ns.Path, "namespaces", i, "path")
		}
	}
}

func checkIDMappings(r *report, l *specs.Linux) {
	checkMappingList(r, l.UIDMappings, "uidMappings")
	checkMappingList(r, l.GIDMappings, "gidMappings")
	mapped := len(l.UIDMappings) > 0 || len(l.GIDMappings) > 0
	switch {
	case !hasNamespace(l, specs.UserNamespace):
		if mapped {
			r.add("", "user namespace mappings specified, but user namespace isn't enabled in the config")
		}
	case !isNew(l, specs.UserNamespace):
	case !mapped:
		r.add("/namespaces", "user namespaces enabled, but no namespace path to join nor mappings to apply specified")
	case len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0:
		r.add("", "a new user namespace needs both uidMappings and gidMappings")
	}
}

// checkMappedUser refuses ids that the new user namespace does not have: nobody could take them.
func checkMappedUser(r *report, s *specs.Spec) {
	if s.Process == nil || s.Linux == nil || !isNew(s.Linux, specs.UserNamespace) {
		return
	}
	u := s.Process.User
	checkMapped(r, u.UID, s.Linux.UIDMappings, "/linux/uidMappings", "process", "user", "uid")
	checkMapped(r, u.GID, s.Linux.GIDMappings, "/linux/gidMappings", "process", "user", "gid")
	for i, gid := range u.AdditionalGids {
		checkMapped(r, gid, s.Linux.GIDMappings, "/linux/gidMappings", "process", "user", "additionalGids", i)
	}
}

func checkMapped(r *report, id uint32, list []specs.LinuxIDMapping, where string, parts ...any) {
	var has []string
	for i, m := range list {
		if uint64(id) >= uint64(m.ContainerID) && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return
		}
		if i < 4 {
			has = append(has, fmt.Sprintf("%d to %d", m.ContainerID, uint64(m.ContainerID)+uint64(m.Size)-1))
		}
	}
	if len(list) > 0 {
		r.add(at(parts...), "%d is not an id of the user namespace: %s has %s", id, where, strings.Join(has, ", "))
	}
}

// checkMappingList applies the rules of user_namespaces(7).
func checkMappingList(r *report, list []specs.LinuxIDMapping, parts ...any) {
	const limit = 340 // entries, Linux 4.15
	if len(list) > limit {
		r.add(at(parts...), "%d entries exceed the limit of %d", len(list), limit)
		return
	}
	for i, m := range list {
		place := at(parts...) + at(i)
		if m.Size == 0 {
			r.add(place+"/size", "must be greater than zero")
		}
		if uint64(m.ContainerID)+uint64(m.Size) > noID || uint64(m.HostID)+uint64(m.Size) > noID {
			r.add(place, "the mapping goes beyond the last id %d", uint32(noID-1))
		}
		for j, before := range list[:i] {
			if overlap(m.ContainerID, before.ContainerID, m.Size, before.Size) || overlap(m.HostID, before.HostID, m.Size, before.Size) {
				r.add(place, "the mapping overlaps %s", at(parts...)+at(j))
			}
		}
	}
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func checkTimeOffsets(r *report, l *specs.Linux) {
	for _, clock := range sortedKeys(l.TimeOffsets) {
		offset := l.TimeOffsets[clock]
		if clock != "monotonic" && clock != "boottime" {
			r.add(at("timeOffsets", clock), "clock has no offset: only monotonic and boottime have")
		}
		if offset.Nanosecs > 999_999_999 {
			r.add(at("timeOffsets", clock, "nanosecs"), "%d is out of range (0 to 999999999)", offset.Nanosecs)
		}
	}
	switch {
	case len(l.TimeOffsets) == 0:
	case !hasNamespace(l, specs.TimeNamespace):
		r.add("/timeOffsets", "time namespace offsets specified, but time namespace isn't enabled in the config")
	case !isNew(l, specs.TimeNamespace):
		r.add("/timeOffsets", "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one")
	}
}

func checkDevices(r *report, l *specs.Linux) {
	r.count(len(l.Devices), "devices")
	first := make(map[string]int, len(l.Devices))
	for i := range l.Devices {
		d := &l.Devices[i]
		r.absolute(d.Path, "devices", i, "path")
		clean := path.Clean(d.Path)
		if clean == "/" {
			r.add(at("devices", i, "path"), "%.100q is the root directory", d.Path)
		}
		checkDevice(r, d, i)
		if before, again := first[clean]; !again {
			first[clean] = i
		} else if b := l.Devices[before]; b.Type != d.Type || b.Major != d.Major || b.Minor != d.Minor {
			r.add(at("devices", i), "is another device than /linux/devices/%d, which has the same path", before)
		}
	}
}

func checkDevice(r *report, d *specs.LinuxDevice, i int) {
	r.oneOf(d.Type, "c b u p", "devices", i, "type")
	if d.Type != "p" {
		checkDeviceNumber(r, d.Major, d.Minor, 0, at("devices", i))
	}
	if d.FileMode != nil {
		// Engines copy st_mode as it is, so the file type may be there as well.
		const permissions = 0o7777
		mode := uint32(*d.FileMode)
		if typ := mode &^ permissions; typ != 0 && typ != nodeType(d.Type) {
			r.add(at("devices", i, "fileMode"), "%d (%#o) has bits beyond the permissions", mode, mode)
		}
	}
	if d.UID != nil {
		checkID(r, *d.UID, "devices", i, "uid")
	}
	if d.GID != nil {
		checkID(r, *d.GID, "devices", i, "gid")
	}
}

// checkDeviceNumber checks numbers against the kernel's dev_t, 12 and 20 bits.
func checkDeviceNumber(r *report, major, minor, lowest int64, place string) {
	if major < lowest || major >= 1<<12 {
		r.add(place+"/major", "%d is out of range (%d to %d)", major, lowest, 1<<12-1)
	}
	if minor < lowest || minor >= 1<<20 {
		r.add(place+"/minor", "%d is out of range (%d to %d)", minor, lowest, 1<<20-1)
	}
}

func checkNetDevices(r *report, l *specs.Linux) {
	r.count(len(l.NetDevices), "netDevices")
	owner := make(map[string]string, len(l.NetDevices)) // of a name in the container
	for _, name := range sortedKeys(l.NetDevices) {
		if !isInterfaceName(name) {
			r.add(at("netDevices", name), "invalid network device name %.100q", name)
		}
		inside := l.NetDevices[name].Name
		if inside == "" {
			inside = name
		} else if !isInterfaceName(inside) || strings.Contains(strings.Replace(inside, "%d", "", 1), "%") {
			r.add(at("netDevices", name, "name"), "invalid network device name %.100q", inside)
		}
		if before, taken := owner[inside]; taken && !strings.Contains(inside, "%") {
			r.add(at("netDevices", name), "gets the name %.100q, as does /linux/netDevices/%.100s", inside, before)
		}
		owner[inside] = name
	}
	if len(l.NetDevices) > 0 && !hasNamespace(l, specs.NetworkNamespace) {
		r.add("/netDevices", "unable to move network devices without a NET namespace")
	}
}

// isInterfaceName is dev_valid_name() of the kernel, net/core/dev.c.
func isInterfaceName(name string) bool {
	return name != "" && len(name) < unix.IFNAMSIZ && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r\x00") && strings.IndexByte(name, 0xa0) < 0
}

func checkCgroupsPath(r *report, l *specs.Linux) {
	if l.CgroupsPath == "" {
		return
	}
	if len(l.CgroupsPath) >= unix.PathMax {
		r.add("/cgroupsPath", "is longer than %d bytes", unix.PathMax-1)
	}
	if path.Clean("/"+l.CgroupsPath) == "/" {
		// To kill the container is to kill everything in its cgroup.
		r.add("/cgroupsPath", "%.200q is a root of the cgroup hierarchy", l.CgroupsPath)
	}
	for name := range strings.SplitSeq(l.CgroupsPath, "/") {
		switch {
		case name == "..":
			r.add("/cgroupsPath", `%.200q has a ".." in it`, l.CgroupsPath)
		case len(name) > unix.NAME_MAX:
			r.add("/cgroupsPath", "has a name longer than %d bytes", unix.NAME_MAX)
		case strings.ContainsFunc(name, isControl):
			r.add("/cgroupsPath", "%.200q has a control character in it", l.CgroupsPath)
		default:
			continue
		}
		return
	}
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func checkIntelRdt(r *report, l *specs.Linux) {
	rdt := l.IntelRdt
	if rdt == nil {
		return
	}
	if id := rdt.ClosID; id == "." || id == ".." || len(id) > unix.NAME_MAX || id != "/" && strings.Contains(id, "/") {
		r.add("/intelRdt/closID", "invalid intelRdt.ClosID %.100q", id)
	}
	r.line(rdt.ClosID, "intelRdt", "closID")
	r.schema(strings.ReplaceAll(rdt.L3CacheSchema, "\n", " "), "intelRdt", "l3CacheSchema") // older versions let it have lines
	r.schema(rdt.MemBwSchema, "intelRdt", "memBwSchema")
	if s := rdt.MemBwSchema; s != "" && !strings.HasPrefix(s, "MB:") {
		r.add("/intelRdt/memBwSchema", `%.100q does not start with "MB:"`, s)
	}
	r.count(len(rdt.Schemata), "intelRdt", "schemata")
	for i, s := range rdt.Schemata {
		r.schema(s, "intelRdt", "schemata", i)
	}
}

// schema checks a line for a file of resctrl, which the kernel takes in one piece of less than a page.
func (r *report) schema(s string, parts ...any) {
	r.line(s, parts...)
	if len(s) >= 4096 {
		r.add(at(parts...), "is longer than 4095 bytes")
	}
}

// checkMemoryPolicy applies the rules of set_mempolicy(2). The words before the lists are runc's.
func checkMemoryPolicy(r *report, l *specs.Linux) {
	p := l.MemoryPolicy
	if p == nil {
		return
	}
	if _, known := memoryModes.number(string(p.Mode)); !known {
		r.add("/memoryPolicy/mode", "invalid memory policy mode %.100q: it must be one of %s", string(p.Mode), memoryModes.names())
	}
	for i, flag := range p.Flags {
		if _, known := memoryFlags.number(string(flag)); !known {
			r.add(at("memoryPolicy", "flags", i), "invalid memory policy flag %.100q: it must be one of %s", string(flag), memoryFlags.names())
		}
	}
	if slices.Contains(p.Flags, specs.MpolFStaticNodes) && slices.Contains(p.Flags, specs.MpolFRelativeNodes) {
		r.add("/memoryPolicy/flags", "%s and %s exclude each other", specs.MpolFStaticNodes, specs.MpolFRelativeNodes)
	}
	count := 0
	if p.Nodes != "" && !forRanges(p.Nodes, func(from, to int) { count += to - from + 1 }) {
		r.add("/memoryPolicy/nodes", `invalid memory policy nodes %.100q: they must be a list of numbers and ranges like "0-3,7"`, p.Nodes)
		return
	}
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if count > 0 {
			r.add("/memoryPolicy/nodes", "memory policy mode requires 0 nodes but got %d: %s", count, p.Mode)
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolPreferredMany, specs.MpolWeightedInterleave:
		if count == 0 {
			r.add("/memoryPolicy/nodes", "memory policy mode requires at least one node but got 0: %s", p.Mode)
		}
	}
}

func checkPropagation(r *report, l *specs.Linux) {
	if p := l.RootfsPropagation; p != "" && findPropagation(p) == nil {
		r.add("/rootfsPropagation", "rootfsPropagation=%.100q is not supported: one of %s", p, propagationNames())
	}
}

func checkMaskedPaths(r *report, l *specs.Linux) {
	checkPaths(r, l, l.MaskedPaths, "maskedPaths")
	for i, p := range l.MaskedPaths {
		if path.Clean(p) == "/" {
			r.add(at("maskedPaths", i), "%.100q is the root directory", p)
		}
	}
}

func checkReadonlyPaths(r *report, l *specs.Linux) {
	checkPaths(r, l, l.ReadonlyPaths, "readonlyPaths")
}

func checkPaths(r *report, l *specs.Linux, paths []string, field string) {
	r.count(len(paths), field)
	for i, p := range paths {
		r.absolute(p, field, i)
	}
	if len(paths) > 0 && !hasNamespace(l, specs.MountNamespace) {
		r.add(at(field), "unable to restrict sys entries without a private MNT namespace")
	}
}

func checkMountLabel(r *report, l *specs.Linux) { r.line(l.MountLabel, "mountLabel") }

func checkPersonality(r *report, l *specs.Linux) {
	if l.Personality == nil {
		return
	}
	r.code(personalities, string(l.Personality.Domain), "personality", "domain")
	if len(l.Personality.Flags) > 0 {
		r.add("/personality/flags", "no flag is supported: the specification defines none")
	}
}
