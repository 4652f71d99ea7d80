package cgroups

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/internal/dbus"
)

// property is one of a unit (org.freedesktop.systemd1(5)).
type property struct {
	name  string
	value any // as package dbus has them
}

// variants joins lists into the form that systemd takes, a(sv).
func variants(lists ...[]property) dbus.Array {
	all := dbus.Array{Of: "(sv)"}
	for _, list := range lists {
		for _, p := range list {
			all.Items = append(all.Items, dbus.Struct{p.name, dbus.Variant{Value: p.value}})
		}
	}
	return all
}

// A known is what a file is called in the unit.
type known struct{ file, property string }

// numbers are the files with one number that is the same in the unit; "max" is its largest number.
var numbers = [...]known{
	{"pids.max", "TasksMax"},
	{"memory.min", "MemoryMin"},
	{"memory.low", "MemoryLow"},
	{"memory.high", "MemoryHigh"},
	{"memory.max", "MemoryMax"},
	{"memory.swap.max", "MemorySwapMax"},
	{"memory.zswap.max", "MemoryZSwapMax"},
	{"cpu.weight", "CPUWeight"},
	// v1
	{"memory.limit_in_bytes", "MemoryLimit"},
	{"cpu.shares", "CPUShares"},
	{"blkio.weight", "BlockIOWeight"},
}

// perDevice are the files with a number for each device, and their keys on v2.
var perDevice = [...]known{
	{"io.max rbps", "IOReadBandwidthMax"},
	{"io.max wbps", "IOWriteBandwidthMax"},
	{"io.max riops", "IOReadIOPSMax"},
	{"io.max wiops", "IOWriteIOPSMax"},
	{"io.latency target", "IODeviceLatencyTargetUSec"},
	// v1
	{"blkio.throttle.read_bps_device", "BlockIOReadBandwidth"},
	{"blkio.throttle.write_bps_device", "BlockIOWriteBandwidth"},
}

func propertyOf(list []known, file string) string {
	for _, k := range list {
		if k.file == file {
			return k.property
		}
	}
	return ""
}

// unitConvert collects properties from settings.
type unitConvert struct {
	old     bool // the unit is there already
	list    []property
	devices map[string][]any // items of properties for devices
	quota   *int64           // µs in each period, negative for none
	period  uint64           // µs
}

// properties says in terms of the unit what systemd knows of the settings that the files get. What it writes by itself when
// it reloads its configuration is then what we have written. The rest (huge pages, RDMA, cpu.max.burst ...) it never touches.
func (m *systemd) properties(r *specs.LinuxResources, old bool) ([]property, error) {
	if r == nil {
		return nil, nil
	}
	list, err := m.settings(r, old)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	c := unitConvert{old: old, devices: map[string][]any{}}
	v2 := m.State().Version == V2
	for _, s := range list {
		if err := c.add(&s, v2); err != nil {
			return nil, fmt.Errorf("%w (%s)", err, s.at)
		}
	}
	if c.quota != nil || c.period != 0 {
		_, period := m.backend.quota()
		c.cpuQuota(period)
	}
	for _, name := range slices.Sorted(maps.Keys(c.devices)) {
		c.list = append(c.list, property{name, dbus.Array{Of: "(st)", Items: c.devices[name]}})
	}
	return c.list, nil
}

func (c *unitConvert) add(s *setting, v2 bool) error {
	switch s.file {
	case "cpu.idle":
		if s.value == "1" && v2 {
			c.set("CPUWeight", uint64(0)) // systemd's number for it (252)
		}
	case "cpu.max":
		quota, period, _ := strings.Cut(s.value, " ")
		c.setQuota(quota)
		c.setPeriod(strings.TrimSpace(period))
	case "cpu.cfs_quota_us":
		c.setQuota(s.value)
	case "cpu.cfs_period_us":
		c.setPeriod(s.value)
	case "cpuset.cpus", "cpuset.mems":
		if !v2 {
			return nil
		}
		name := "AllowedCPUs"
		if s.file == "cpuset.mems" {
			name = "AllowedMemoryNodes"
		}
		mask, err := bitmask(s.value)
		if err != nil {
			return err
		}
		c.set(name, mask)
	case "io.weight":
		c.weight(s.value)
	case "io.bfq.weight":
		c.weight(s.altValue)
	case "io.max", "io.latency":
		device, limits, _ := strings.Cut(s.value, " ")
		for limit := range strings.FieldsSeq(limits) {
			key, value, _ := strings.Cut(limit, "=")
			c.device(s.file+" "+key, device, value)
		}
	case "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device":
		device, value, _ := strings.Cut(s.value, " ")
		c.device(s.file, device, value)
	case "memory.oom.group":
		if s.value == "1" && !c.old { // from systemd 253 on, and only when the unit is made
			c.set("OOMPolicy", "kill")
		}
	case "memory.zswap.writeback":
		c.set("MemoryZSwapWriteback", s.value == "1")
	default:
		if name := propertyOf(numbers[:], s.file); name != "" {
			n, ok := parseAmount(s.value)
			if !ok {
				return fmt.Errorf("set %s: systemd has to know the limit, and %.64q is neither a number nor max", s.file, s.value)
			}
			c.set(name, n)
		}
	}
	return nil
}

func (c *unitConvert) set(name string, value any) { c.list = append(c.list, property{name, value}) }

// parseLimit reads what a file with one number may be given; -1 is v1's word for no limit.
func parseLimit(s string) (uint64, bool) {
	if s == "max" || s == "-1" {
		return math.MaxUint64, true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// parseAmount also reads what else the kernel takes for a number: 0x1000, or 64M.
func parseAmount(s string) (uint64, bool) {
	if n, ok := parseLimit(s); ok || s == "" {
		return n, ok
	}
	if n, err := strconv.ParseUint(s, 0, 64); err == nil {
		return n, true
	}
	last := len(s) - 1
	shift := 10 * (1 + strings.IndexByte("kmgtpe", s[last]|0x20))
	n, err := strconv.ParseUint(s[:last], 0, 64)
	return n << shift, err == nil && shift > 0 && n<<shift>>shift == n
}

func (c *unitConvert) setQuota(s string) {
	quota := int64(-1)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		quota = n
	}
	c.quota = &quota
}

func (c *unitConvert) setPeriod(s string) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		c.period = n
	}
}

// cpuQuota: systemd has the quota in µs for each second.
func (c *unitConvert) cpuQuota(period uint64) {
	if c.period != 0 {
		period = c.period
		c.set("CPUQuotaPeriodUSec", period)
	}
	if c.quota != nil {
		c.set("CPUQuotaPerSecUSec", perSecond(*c.quota, period))
	}
}

// perSecond is the quota of a period in µs for each second; math.MaxUint64 for none. systemd keeps whole percents over a reload, so it is
// rounded up to one, that the container does not get less than asked for.
func perSecond(quota int64, period uint64) uint64 {
	const percent = 10000
	if quota <= 0 || uint64(quota) >= math.MaxUint64/1000000 || period == 0 {
		return math.MaxUint64
	}
	return (uint64(quota)*1000000/period + percent - 1) / percent * percent
}

// wholePercents has the quota of r as systemd will write it after a reload, so that files and unit say the same: rounded, which a new
// period alone can ask for as well. As in runc; a quota in `unified` stays as it is.
func (m *systemd) wholePercents(r *specs.LinuxResources, old bool) *specs.LinuxResources {
	if r == nil || r.CPU == nil || !isSet(r.CPU.Quota) && !isSet(r.CPU.Period) {
		return r
	}
	quota, period := int64(-1), uint64(defaultPeriod)
	if old {
		quota, period = m.backend.quota()
	}
	if isSet(r.CPU.Quota) {
		quota = *r.CPU.Quota
	}
	if isSet(r.CPU.Period) {
		period = *r.CPU.Period
	}
	each := perSecond(quota, period)
	if high, low := bits.Mul64(each, period); each != math.MaxUint64 && high == 0 {
		if rounded := int64(low / 1000000); rounded > quota {
			changed, cpu := *r, *r.CPU
			cpu.Quota, changed.CPU = &rounded, &cpu
			return &changed
		}
	}
	return r
}

// weight reads a line of io.weight: "N", "default N" or "MAJOR:MINOR N".
func (c *unitConvert) weight(line string) {
	device, value, ok := strings.Cut(line, " ")
	n, isNumber := parseLimit(value)
	switch {
	case !ok:
		if n, ok := parseLimit(line); ok {
			c.set("IOWeight", n)
		}
	case device == "default" && isNumber:
		c.set("IOWeight", n)
	case isNumber:
		c.devices["IODeviceWeight"] = append(c.devices["IODeviceWeight"], dbus.Struct{"/dev/block/" + device, n})
	}
}

func (c *unitConvert) device(key, device, value string) {
	name := propertyOf(perDevice[:], key)
	if n, ok := parseLimit(value); ok && name != "" {
		if n == 0 { // v1's word for no limit
			n = math.MaxUint64
		}
		c.devices[name] = append(c.devices[name], dbus.Struct{"/dev/block/" + device, n})
	}
}

// bitmask turns a list of the kernel ("0-3,7") into systemd's form, a bit for each, the lowest byte first.
func bitmask(list string) (dbus.Array, error) {
	bits := dbus.Array{Of: "y"}
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if part != "" && (err != nil || err2 != nil || b < a) {
			return bits, fmt.Errorf("read list %.64q: not of the form 0-3,7", list)
		}
		for n := a; part != "" && n <= b; n++ {
			for uint64(len(bits.Items)) <= n/8 {
				bits.Items = append(bits.Items, byte(0))
			}
			bits.Items[n/8] = bits.Items[n/8].(byte) | 1<<(n%8)
		}
	}
	return bits, nil
}
