package cgroups

import (
	"slices"
	"strings"
)

func (m *v2) Stats() (*Stats, error) {
	if m.absent {
		return nil, errAbsent
	}
	defer m.close()
	if err := m.open(); err != nil {
		return nil, err
	}
	r, s := &reader{}, &Stats{}
	r.unified(&m.dir, s)
	r.count(&m.dir, s)
	return s, r.err
}

// count stands in for the controller pids.
func (r *reader) count(d *dir, s *Stats) {
	if s.Pids != nil || d == nil || r.err != nil {
		return
	}
	pids, err := d.allPids()
	if err != nil && !isGone(err) {
		r.err = err
	}
	s.Pids = &PidsStats{Current: uint64(len(pids))}
}

// unified reads what a cgroup of the v2 tree has. It asks first which controllers that are: each has many files.
func (r *reader) unified(d *dir, s *Stats) {
	text, _ := r.text(d, "cgroup.controllers")
	controllers := strings.Fields(text)
	has := func(name string) bool { return slices.Contains(controllers, name) }
	s.CPU = r.cpuV2(d) // there is a cpu.stat even without the controller
	if has("cpuset") {
		s.Cpuset = &CpusetStats{CPUs: r.list(d, "cpuset.cpus.effective"), Mems: r.list(d, "cpuset.mems.effective")}
	}
	if has("memory") {
		s.Memory = r.memoryV2(d)
	}
	if has("pids") {
		s.Pids = r.pids(d)
	}
	if has("io") {
		s.IO = r.ioV2(d)
	}
	if has("hugetlb") {
		s.Hugetlb = r.hugetlb(d, &usageV2)
	}
	if has("rdma") {
		s.RDMA = r.rdma(d)
	}
	if has("misc") {
		s.Misc = r.misc(d)
	}
	s.CPUPressure, s.MemoryPressure = r.pressure(d, "cpu.pressure"), r.pressure(d, "memory.pressure")
	s.IOPressure, s.IRQPressure = r.pressure(d, "io.pressure"), r.pressure(d, "irq.pressure")
}

func (r *reader) cpuV2(d *dir) *CPUStats {
	v := r.values(d, "cpu.stat")
	if v == nil {
		return nil
	}
	const µs = 1000
	return &CPUStats{
		Total: v.Get("usage_usec") * µs, User: v.Get("user_usec") * µs, Kernel: v.Get("system_usec") * µs,
		Periods: v.Get("nr_periods"), ThrottledPeriods: v.Get("nr_throttled"), ThrottledTime: v.Get("throttled_usec") * µs,
		BurstPeriods: v.Get("nr_bursts"), BurstTime: v.Get("burst_usec") * µs,
	}
}

func (r *reader) memoryV2(d *dir) *MemoryStats {
	s := &MemoryStats{
		Usage: r.usage(d, "memory", &usageV2), Raw: r.values(d, "memory.stat"),
		Events: r.values(d, "memory.events"), SwapEvents: r.values(d, "memory.swap.events"),
	}
	s.Cache = s.Raw.Get("file")
	if swap := r.usage(d, "memory.swap", &usageV2); swap != nil && s.Usage != nil {
		// v1 counts memory and swap together; their highest values did not come at the same time.
		swap.Usage += s.Usage.Usage
		swap.Max = 0
		if swap.Limit += s.Usage.Limit; swap.Limit < s.Usage.Limit || s.Usage.Limit == NoLimit {
			swap.Limit = NoLimit
		}
		s.Swap = swap
	}
	return s
}

// ioV2 reads lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7".
func (r *reader) ioV2(d *dir) *IOStats {
	s := &IOStats{}
	type cell struct {
		table *IOTable
		op    string
	}
	cells := map[string]cell{
		"rbytes": {&s.Bytes, "Read"}, "wbytes": {&s.Bytes, "Write"}, "dbytes": {&s.Bytes, "Discard"},
		"rios": {&s.Ops, "Read"}, "wios": {&s.Ops, "Write"}, "dios": {&s.Ops, "Discard"},
		"cost.usage": {&s.CostUsage, "Count"}, "cost.wait": {&s.CostWait, "Count"},
		"cost.indebt": {&s.CostIndebt, "Count"}, "cost.indelay": {&s.CostIndelay, "Count"},
	}
	text, _ := r.text(d, "io.stat")
	for line := range strings.Lines(text) {
		device, rest, _ := strings.Cut(line, " ")
		major, minor, ok := parseDevice(device)
		if !ok {
			continue
		}
		for field := range strings.FieldsSeq(rest) {
			key, value, _ := strings.Cut(field, "=")
			n, ok := parseNumber(value)
			if c := cells[key]; ok && c.table != nil {
				*c.table = append(*c.table, IOEntry{major, minor, c.op, n})
			}
		}
	}
	return s
}

func parseDevice(s string) (major, minor uint64, ok bool) {
	a, b, _ := strings.Cut(s, ":")
	major, ok1 := parseNumber(a)
	minor, ok2 := parseNumber(b)
	return major, minor, ok1 && ok2
}

// Of here on both versions have the same files, or nearly.

func (r *reader) pids(d *dir) *PidsStats {
	s := &PidsStats{Events: r.values(d, "pids.events")}
	current, ok := r.number(d, "pids.current")
	if !ok {
		return nil
	}
	s.Current = current
	s.Peak, _ = r.number(d, "pids.peak")
	if limit, _ := r.number(d, "pids.max"); limit != NoLimit {
		s.Limit = limit
	}
	return s
}

func (r *reader) hugetlb(d *dir, files *[4]string) (list []HugetlbStats) {
	for _, size := range pageSizes() {
		used := r.usage(d, "hugetlb."+size, files)
		if used == nil {
			continue
		}
		h := HugetlbStats{Size: size, Used: *used, Reserved: r.usage(d, "hugetlb."+size+".rsvd", files)}
		if files == &usageV2 {
			h.Used.Failcnt = r.values(d, "hugetlb."+size+".events").Get("max") // of both
			if h.Reserved != nil {
				h.Reserved.Failcnt = h.Used.Failcnt
			}
		}
		list = append(list, h)
	}
	return list
}

// rdma reads lines "DEVICE hca_handle=N hca_object=N".
func (r *reader) rdma(d *dir) (list []RDMAStats) {
	for i, name := range [...]string{"rdma.current", "rdma.max"} {
		text, _ := r.text(d, name)
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			var values Values
			for _, field := range fields[1:] {
				key, value, _ := strings.Cut(field, "=")
				if n, ok := parseNumber(value); ok {
					values = append(values, Value{key, n})
				}
			}
			at := slices.IndexFunc(list, func(s RDMAStats) bool { return s.Device == fields[0] })
			if at < 0 {
				at = len(list)
				list = append(list, RDMAStats{Device: fields[0]})
			}
			if i == 0 {
				list[at].Current = values
			} else {
				list[at].Limit = values
			}
		}
	}
	return list
}

// misc reads lines "RESOURCE N", and of misc.events "RESOURCE.max N".
func (r *reader) misc(d *dir) (list []MiscStats) {
	current, limit, peak, events := r.values(d, "misc.current"), r.values(d, "misc.max"), r.values(d, "misc.peak"), r.values(d, "misc.events")
	for _, v := range current {
		list = append(list, MiscStats{v.Key, v.N, limit.Get(v.Key), peak.Get(v.Key), events.Get(v.Key + ".max")})
	}
	return list
}
