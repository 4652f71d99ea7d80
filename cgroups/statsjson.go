package cgroups

import "husk/internal/jsonscan"

// Append writes the statistics as one JSON object in the form of runc's events (types/events.go there), with members that
// runc does not have. cpu, memory, pids, blkio and hugetlb are always there, because its clients expect that.
func (s *Stats) Append(w *jsonscan.Writer, key string) {
	w.Object(key)
	s.appendCPU(w)
	if s.Cpuset != nil {
		s.Cpuset.append(w)
	}
	s.appendMemory(w)
	w.Object("pids")
	if p := s.Pids; p != nil {
		w.Uint("current", p.Current)
		count(w, "limit", p.Limit)
		count(w, "peak", p.Peak)
		p.Events.appendEvents(w)
	}
	w.EndObject()
	s.appendIO(w)
	s.appendHugetlb(w)
	if s.RDMA != nil {
		w.Object("rdma")
		for i := range s.RDMA {
			w.Object(s.RDMA[i].Device)
			s.RDMA[i].Current.append(w, "current")
			s.RDMA[i].Limit.append(w, "limit")
			w.EndObject()
		}
		w.EndObject()
	}
	if s.Misc != nil {
		w.Object("misc")
		for _, m := range s.Misc {
			w.Object(m.Resource)
			w.Uint("usage", m.Usage)
			count(w, "peak", m.Peak)
			w.Uint("limit", m.Limit)
			w.Uint("events", m.Events)
			w.EndObject()
		}
		w.EndObject()
	}
	s.IRQPressure.append(w, "irqPsi")
	w.Object("intel_rdt")
	w.EndObject()
	w.Null("network_interfaces")
	w.EndObject()
}

// count writes a number that is not 0: for runc's clients a missing one is the same.
func count(w *jsonscan.Writer, key string, n uint64) {
	if n != 0 {
		w.Uint(key, n)
	}
}

func (v Values) append(w *jsonscan.Writer, key string) {
	if v == nil {
		return
	}
	w.Object(key)
	for i := range v {
		w.Uint(v[i].Key, v[i].N)
	}
	w.EndObject()
}

// appendEvents writes how often something has happened that has: who looks for "oom" in a line (runc's own tests do) must
// not find it before there was one.
func (v Values) appendEvents(w *jsonscan.Writer) {
	if v == nil {
		return
	}
	w.Object("events")
	for i := range v {
		count(w, v[i].Key, v[i].N)
	}
	w.EndObject()
}

func (p *Pressure) append(w *jsonscan.Writer, key string) {
	if p == nil {
		return
	}
	w.Object(key)
	for i, s := range [...]*Stall{&p.Some, &p.Full} {
		w.Object([...]string{"some", "full"}[i])
		w.Float("avg10", s.Avg10)
		w.Float("avg60", s.Avg60)
		w.Float("avg300", s.Avg300)
		w.Uint("total", s.Total)
		w.EndObject()
	}
	w.EndObject()
}

func (s *Stats) appendCPU(w *jsonscan.Writer) {
	c := s.CPU
	if c == nil {
		c = &CPUStats{}
	}
	w.Object("cpu")
	w.Object("usage")
	count(w, "total", c.Total)
	perCPU(w, "percpu", c.PerCPU)
	perCPU(w, "percpu_kernel", c.PerCPUKernel)
	perCPU(w, "percpu_user", c.PerCPUUser)
	w.Uint("kernel", c.Kernel)
	w.Uint("user", c.User)
	w.EndObject()
	w.Object("throttling")
	count(w, "periods", c.Periods)
	count(w, "throttledPeriods", c.ThrottledPeriods)
	count(w, "throttledTime", c.ThrottledTime)
	w.EndObject()
	w.Object("burst")
	count(w, "burstPeriods", c.BurstPeriods)
	count(w, "burstTime", c.BurstTime)
	w.EndObject()
	s.CPUPressure.append(w, "psi")
	w.EndObject()
}

func perCPU(w *jsonscan.Writer, key string, list []uint64) {
	if list == nil {
		return
	}
	w.Array(key)
	for _, n := range list {
		w.Uint("", n)
	}
	w.EndArray()
}

func (c *CpusetStats) append(w *jsonscan.Writer) {
	w.Object("cpuset")
	for i, list := range [...][]uint16{c.CPUs, c.Mems} {
		w.Array([...]string{"cpus", "mems"}[i])
		for _, n := range list {
			w.Uint("", uint64(n))
		}
		w.EndArray()
	}
	for _, f := range c.Flags {
		w.Int(f.Name, f.N)
	}
	w.EndObject()
}

func (s *Stats) appendMemory(w *jsonscan.Writer) {
	w.Object("memory")
	if m := s.Memory; m != nil {
		count(w, "cache", m.Cache)
		m.Usage.append(w, "usage")
		m.Swap.append(w, "swap")
		m.Kernel.append(w, "kernel")
		m.KernelTCP.append(w, "kernelTCP")
		m.Raw.append(w, "raw")
		m.Events.appendEvents(w)
		m.SwapEvents.append(w, "swapEvents")
	}
	s.MemoryPressure.append(w, "psi")
	w.EndObject()
}

func (u *Usage) append(w *jsonscan.Writer, key string) {
	if u == nil {
		return
	}
	w.Object(key)
	w.Uint("limit", u.Limit)
	count(w, "usage", u.Usage)
	count(w, "max", u.Max)
	w.Uint("failcnt", u.Failcnt)
	w.EndObject()
}

func (s *Stats) appendIO(w *jsonscan.Writer) {
	w.Object("blkio")
	if o := s.IO; o != nil {
		for _, t := range [...]struct {
			name  string
			table IOTable
		}{
			{"ioServiceBytesRecursive", o.Bytes},
			{"ioServicedRecursive", o.Ops},
			{"ioQueueRecursive", o.Queued},
			{"ioServiceTimeRecursive", o.ServiceTime},
			{"ioWaitTimeRecursive", o.WaitTime},
			{"ioMergedRecursive", o.Merged},
			{"ioTimeRecursive", o.Time},
			{"sectorsRecursive", o.Sectors},
			{"ioCostUsage", o.CostUsage},
			{"ioCostWait", o.CostWait},
			{"ioCostIndebt", o.CostIndebt},
			{"ioCostIndelay", o.CostIndelay},
		} {
			appendTable(w, t.name, t.table)
		}
	}
	s.IOPressure.append(w, "psi")
	w.EndObject()
}

func appendTable(w *jsonscan.Writer, key string, table IOTable) {
	if len(table) == 0 {
		return
	}
	w.Array(key)
	for i := range table {
		e := &table[i]
		w.Object("")
		count(w, "major", e.Major)
		count(w, "minor", e.Minor)
		if e.Op != "" {
			w.Text("op", e.Op)
		}
		count(w, "value", e.Value)
		w.EndObject()
	}
	w.EndArray()
}

// appendHugetlb: runc's numbers are those of reservations where the kernel counts them.
func (s *Stats) appendHugetlb(w *jsonscan.Writer) {
	w.Object("hugetlb")
	for i := range s.Hugetlb {
		h := &s.Hugetlb[i]
		main := h.Reserved
		if main == nil {
			main = &h.Used
		}
		w.Object(h.Size)
		count(w, "usage", main.Usage)
		count(w, "max", main.Max)
		w.Uint("failcnt", main.Failcnt)
		h.Used.append(w, "used")
		h.Reserved.append(w, "rsvd")
		w.EndObject()
	}
	w.EndObject()
}
