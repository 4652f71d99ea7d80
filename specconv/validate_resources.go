package specconv

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Zero passes in all these checks where an engine may mean "not set" by it.

func checkDeviceRules(r *report, res *specs.LinuxResources) {
	r.count(len(res.Devices), "devices")
	for i, d := range res.Devices {
		if d.Type != "" {
			r.oneOf(d.Type, "a b c", "devices", i, "type")
		}
		if strings.Trim(d.Access, "rwm") != "" {
			r.add(at("devices", i, "access"), "%.100q is not made of r, w and m", d.Access)
		}
		// -1 is the number of "all" in the documents of some engines.
		major, minor := int64(-1), int64(-1)
		if d.Major != nil {
			major = *d.Major
		}
		if d.Minor != nil {
			minor = *d.Minor
		}
		checkDeviceNumber(r, major, minor, -1, at("devices", i))
	}
}

func checkMemory(r *report, res *specs.LinuxResources) {
	m := res.Memory
	if m == nil {
		return
	}
	for _, limit := range []struct {
		name  string
		bytes *int64
	}{
		{"limit", m.Limit},
		{"reservation", m.Reservation},
		{"swap", m.Swap},
		{"kernel", m.Kernel}, //nolint:staticcheck // deprecated, but to be checked
		{"kernelTCP", m.KernelTCP},
	} {
		if limit.bytes != nil && *limit.bytes < -1 {
			r.add(at("memory", limit.name), "%d is neither a number of bytes nor -1 for unlimited", *limit.bytes)
		}
	}
	if m.Limit != nil && m.Swap != nil && *m.Limit > 0 && *m.Swap > 0 && *m.Swap < *m.Limit {
		r.add("/memory/swap", "memory and swap together (%d) can't be limited below memory alone (%d)", *m.Swap, *m.Limit)
	}
	if m.Swappiness != nil && *m.Swappiness > 100 && *m.Swappiness != 1<<64-1 { // -1 is the default of some engines
		r.add("/memory/swappiness", "%d is out of range (0 to 100)", *m.Swappiness)
	}
}

func checkCPU(r *report, res *specs.LinuxResources) {
	c := res.CPU
	if c == nil {
		return
	}
	if c.Quota != nil && c.Burst != nil && *c.Quota > 0 && *c.Burst > uint64(*c.Quota) {
		r.add("/cpu/burst", "%d is larger than the quota %d", *c.Burst, *c.Quota)
	}
	if c.Idle != nil {
		r.between(*c.Idle, 0, 1, "cpu", "idle")
	}
	checkNumberList(r, c.Cpus, "cpu", "cpus")
	checkNumberList(r, c.Mems, "cpu", "mems")
}

func checkBlockIO(r *report, res *specs.LinuxResources) {
	b := res.BlockIO
	if b == nil {
		return
	}
	r.count(len(b.WeightDevice), "blockIO", "weightDevice")
	for i, d := range b.WeightDevice {
		checkDeviceNumber(r, d.Major, d.Minor, 0, at("blockIO", "weightDevice", i))
		if d.Weight == nil && d.LeafWeight == nil {
			r.add(at("blockIO", "weightDevice", i), "at least one of weight and leafWeight is required")
		}
	}
	for _, list := range []struct {
		name    string
		devices []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	} {
		r.count(len(list.devices), "blockIO", list.name)
		for i, d := range list.devices {
			checkDeviceNumber(r, d.Major, d.Minor, 0, at("blockIO", list.name, i))
		}
	}
}

func checkHugepages(r *report, res *specs.LinuxResources) {
	r.count(len(res.HugepageLimits), "hugepageLimits")
	for i, h := range res.HugepageLimits {
		if !isPageSize(h.Pagesize) {
			r.add(at("hugepageLimits", i, "pageSize"), `%.100q is not a size like "64KB", "2MB" or "1GB"`, h.Pagesize)
		}
	}
}

// isPageSize checks the form <size><unit-prefix>B, as it stands in the names
// of the hugetlb controller's files.
func isPageSize(s string) bool {
	digits := strings.TrimLeft(s, "0123456789")
	number := s[:len(s)-len(digits)]
	return number != "" && len(number) < 10 && number[0] != '0' && (digits == "KB" || digits == "MB" || digits == "GB")
}

func checkNetworkClasses(r *report, res *specs.LinuxResources) {
	if res.Network == nil {
		return
	}
	r.count(len(res.Network.Priorities), "network", "priorities")
	for i, p := range res.Network.Priorities {
		if !isInterfaceName(p.Name) {
			r.add(at("network", "priorities", i, "name"), "invalid network device name %.100q", p.Name)
		}
	}
}

func checkRdma(r *report, res *specs.LinuxResources) {
	r.count(len(res.Rdma), "rdma")
	for _, name := range sortedKeys(res.Rdma) {
		limit := res.Rdma[name]
		if !isFileName(name) || strings.ContainsAny(name, " =") {
			r.add(at("rdma", name), "invalid rdma device name %.100q", name)
		}
		if limit.HcaHandles == nil && limit.HcaObjects == nil {
			r.add(at("rdma", name), "at least one of hcaHandles and hcaObjects is required")
		}
	}
}

func checkUnified(r *report, res *specs.LinuxResources) {
	r.count(len(res.Unified), "unified")
	for _, file := range sortedKeys(res.Unified) {
		switch {
		case strings.Contains(file, "/"):
			r.add(at("unified", file), "unified resource %.100q must be a file name (no slashes)", file)
		case !isFileName(file), strings.ContainsFunc(file, func(c rune) bool { return c == ' ' || c > '~' }), !strings.Contains(file, "."):
			r.add(at("unified", file), `unified resource %.100q is not a file name like "memory.high"`, file)
		case file == "cgroup.procs", file == "cgroup.threads":
			r.add(at("unified", file), "unified resource %q moves processes, it is no parameter", file)
		}
		r.text(res.Unified[file], "unified", file)
	}
}

// isFileName reports whether name can be a file in the directory where it is looked for.
func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= unix.NAME_MAX &&
		!strings.Contains(name, "/") && !strings.ContainsFunc(name, isControl)
}
