package cgroups

import (
	"strconv"
	"strings"
)

// Stats reads the v1 hierarchies, and the twin in the v2 tree for pressure and for the controllers that are there.
func (m *v1) Stats() (*Stats, error) {
	defer m.close()
	r, s := &reader{}, &Stats{}
	if len(m.groups) > 0 {
		if err := m.groups[0].open(); err != nil {
			return nil, err
		}
	}
	if d := m.twin(); d != nil {
		r.unified(d, s)
	}
	if d := m.of("cpuacct"); d != nil {
		s.CPU = r.cpuacct(d)
	}
	if d := m.of("cpu"); d != nil {
		if s.CPU == nil {
			s.CPU = &CPUStats{}
		}
		v := r.values(d, "cpu.stat")
		s.CPU.Periods, s.CPU.ThrottledPeriods, s.CPU.ThrottledTime = v.Get("nr_periods"), v.Get("nr_throttled"), v.Get("throttled_time")
		s.CPU.BurstPeriods, s.CPU.BurstTime = v.Get("nr_bursts"), v.Get("burst_time")
	}
	if d := m.of("cpuset"); d != nil {
		s.Cpuset = r.cpusetV1(d)
	}
	if d := m.of("memory"); d != nil {
		s.Memory = r.memoryV1(d)
	}
	if d := m.of("pids"); d != nil {
		s.Pids = r.pids(d)
	}
	if d := m.of("blkio"); d != nil {
		s.IO = r.blkio(d)
	}
	if d := m.of("hugetlb"); d != nil {
		s.Hugetlb = r.hugetlb(d, &usageV1)
	}
	if d := m.of("rdma"); d != nil {
		s.RDMA = r.rdma(d)
	}
	if d := m.of("misc"); d != nil {
		s.Misc = r.misc(d)
	}
	r.count(m.list(), s)
	return s, r.err
}

// cpuacct: cpuacct.stat counts in ticks of 10 ms whatever the kernel's own rate is (USER_HZ).
func (r *reader) cpuacct(d *dir) *CPUStats {
	const tick = 10_000_000
	s := &CPUStats{}
	s.Total, _ = r.number(d, "cpuacct.usage")
	ticks := r.values(d, "cpuacct.stat")
	s.User, s.Kernel = ticks.Get("user")*tick, ticks.Get("system")*tick
	text, _ := r.text(d, "cpuacct.usage_percpu")
	for field := range strings.FieldsSeq(text) {
		n, _ := parseNumber(field)
		s.PerCPU = append(s.PerCPU, n)
	}
	text, _ = r.text(d, "cpuacct.usage_all") // "cpu user system", then a line for each
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "cpu" {
			continue
		}
		user, _ := parseNumber(f[1])
		kernel, _ := parseNumber(f[2])
		s.PerCPUUser, s.PerCPUKernel = append(s.PerCPUUser, user), append(s.PerCPUKernel, kernel)
	}
	return s
}

func (r *reader) cpusetV1(d *dir) *CpusetStats {
	s := &CpusetStats{CPUs: r.list(d, "cpuset.cpus"), Mems: r.list(d, "cpuset.mems")}
	for _, name := range [...]string{
		"cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page", "memory_spread_slab",
		"memory_pressure", "sched_load_balance", "sched_relax_domain_level",
	} {
		text, _ := r.text(d, "cpuset."+name)
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
			s.Flags = append(s.Flags, Flag{name, n})
		}
	}
	return s
}

func (r *reader) memoryV1(d *dir) *MemoryStats {
	s := &MemoryStats{
		Usage: r.usage(d, "memory", &usageV1), Swap: r.usage(d, "memory.memsw", &usageV1),
		Kernel: r.usage(d, "memory.kmem", &usageV1), KernelTCP: r.usage(d, "memory.kmem.tcp", &usageV1),
		Raw: r.values(d, "memory.stat"), Events: r.values(d, "memory.oom_control"),
	}
	s.Cache = s.Raw.Get("cache")
	return s
}

// blkio takes the tables of the scheduler that has counted: bfq, or the older cfq, which counts under no name of its own;
// else those of throttling, which every request passes.
func (r *reader) blkio(d *dir) *IOStats {
	s := &IOStats{}
	for _, prefix := range [...]string{"blkio.bfq.", "blkio.", "blkio.throttle."} {
		s.Bytes = r.table(d, prefix+"io_service_bytes_recursive")
		if len(s.Bytes) == 0 {
			continue
		}
		s.Ops = r.table(d, prefix+"io_serviced_recursive")
		s.Queued = r.table(d, prefix+"io_queued_recursive")
		s.ServiceTime = r.table(d, prefix+"io_service_time_recursive")
		s.WaitTime = r.table(d, prefix+"io_wait_time_recursive")
		s.Merged = r.table(d, prefix+"io_merged_recursive")
		s.Time = r.table(d, prefix+"time_recursive")
		s.Sectors = r.table(d, prefix+"sectors_recursive")
		break
	}
	return s
}

// table reads lines "8:0 Read 4096", or without an operation; the last line is a total without a device.
func (r *reader) table(d *dir, name string) (list IOTable) {
	text, _ := r.text(d, name)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		major, minor, ok := parseDevice(f[0])
		n, number := parseNumber(f[len(f)-1])
		if !ok || !number {
			continue
		}
		e := IOEntry{Major: major, Minor: minor, Value: n}
		if len(f) > 2 {
			e.Op = f[1]
		}
		list = append(list, e)
	}
	return list
}
