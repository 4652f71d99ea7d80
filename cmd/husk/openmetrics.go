package main

import (
	"strconv"
	"strings"

	"husk/libct"
)

// families are the metrics of a document in their order: name, kind, unit, help. One without a value is left out.
var families = [...][4]string{
	{"cpu_seconds", "counter", "seconds", "Processor time"},
	{"cpu_user_seconds", "counter", "seconds", "Processor time in user mode"},
	{"cpu_system_seconds", "counter", "seconds", "Processor time in kernel mode"},
	{"cpu_periods", "counter", "", "Periods of the processor limit"},
	{"cpu_throttled_periods", "counter", "", "Periods in which the processor limit was reached"},
	{"cpu_throttled_seconds", "counter", "seconds", "Time of waiting because of the processor limit"},
	{"cpu_burst_seconds", "counter", "seconds", "Processor time above the limit, saved up before"},
	{"memory_usage_bytes", "gauge", "bytes", "Memory in use"},
	{"memory_limit_bytes", "gauge", "bytes", "Limit of memory, if there is one"},
	{"memory_peak_bytes", "gauge", "bytes", "Most memory that was in use"},
	{"memory_cache_bytes", "gauge", "bytes", "Memory that holds contents of files"},
	{"memory_swap_bytes", "gauge", "bytes", "Memory that was swapped out"},
	{"memory_events", "counter", "", "Events at the limits of memory"},
	{"pids", "gauge", "", "Processes and threads"},
	{"pids_limit", "gauge", "", "Limit of processes and threads, if there is one"},
	{"pids_refused", "counter", "", "Processes and threads that the limit has prevented"},
	{"io_bytes", "counter", "bytes", "Data read from, written to and discarded on a device"},
	{"io_operations", "counter", "", "Operations on a device"},
	{"hugetlb_usage_bytes", "gauge", "bytes", "Huge pages in use"},
	{"hugetlb_reserved_bytes", "gauge", "bytes", "Huge pages that are reserved"},
	{"hugetlb_refused", "counter", "", "Huge pages that the limit has prevented"},
	{"rdma", "gauge", "", "Handles and objects of an RDMA device"},
	{"misc", "gauge", "", "Use of a resource that the kernel counts and nothing else"},
	{"pressure_seconds", "counter", "seconds", "Time in which some, or all (full), processes waited for a resource"},
}

// samples are the lines of each family.
type samples struct {
	id    string // of the container whose values are being added
	lines map[string][]byte
}

// add adds a value to a family, with names and values of labels by turns.
func (s *samples) add(family string, value float64, labels ...string) {
	out := append(s.lines[family], `{id="`+escapeLabel(s.id)+`"`...)
	for i := 0; i < len(labels); i += 2 {
		out = append(out, ","+labels[i]+`="`+escapeLabel(labels[i+1])+`"`...)
	}
	s.lines[family] = append(strconv.AppendFloat(append(out, "} "...), value, 'f', -1, 64), '\n')
}

func escapeLabel(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
}

// openMetrics is a document in the format OpenMetrics 1.0, in which all lines of a family stand together.
func openMetrics(round []libct.Sample) (out []byte) {
	s := &samples{lines: make(map[string][]byte)}
	for i := range round {
		s.id = round[i].ID
		s.use(round[i].Stats)
		s.pressure(round[i].Stats)
	}
	for _, f := range families {
		name, kind, unit, help := "husk_container_"+f[0], f[1], f[2], f[3]
		if s.lines[f[0]] == nil {
			continue
		}
		out = append(out, "# TYPE "+name+" "+kind+"\n"...)
		if unit != "" {
			out = append(out, "# UNIT "+name+" "+unit+"\n"...)
		}
		out = append(out, "# HELP "+name+" "+help+".\n"...)
		if kind == "counter" {
			name += "_total"
		}
		for line := range strings.Lines(string(s.lines[f[0]])) {
			out = append(out, name+line...)
		}
	}
	return append(out, "# EOF\n"...)
}

const inSeconds = 1e-9 // a nanosecond

func (s *samples) use(t *libct.Stats) {
	if c := t.CPU; c != nil {
		s.add("cpu_seconds", float64(c.Total)*inSeconds)
		s.add("cpu_user_seconds", float64(c.User)*inSeconds)
		s.add("cpu_system_seconds", float64(c.Kernel)*inSeconds)
		s.add("cpu_periods", float64(c.Periods))
		s.add("cpu_throttled_periods", float64(c.ThrottledPeriods))
		s.add("cpu_throttled_seconds", float64(c.ThrottledTime)*inSeconds)
		s.add("cpu_burst_seconds", float64(c.BurstTime)*inSeconds)
	}
	s.memory(t)
	if p := t.Pids; p != nil {
		s.add("pids", float64(p.Current))
		if p.Limit != 0 {
			s.add("pids_limit", float64(p.Limit))
		}
		s.add("pids_refused", float64(p.Events.Get("max")))
	}
	if t.IO != nil {
		s.table("io_bytes", t.IO.Bytes)
		s.table("io_operations", t.IO.Ops)
	}
	for _, h := range t.Hugetlb {
		s.add("hugetlb_usage_bytes", float64(h.Used.Usage), "size", h.Size)
		s.add("hugetlb_refused", float64(h.Used.Failcnt), "size", h.Size)
		if h.Reserved != nil {
			s.add("hugetlb_reserved_bytes", float64(h.Reserved.Usage), "size", h.Size)
		}
	}
	for _, r := range t.RDMA {
		for _, v := range r.Current {
			s.add("rdma", float64(v.N), "device", r.Device, "resource", v.Key)
		}
	}
	for _, m := range t.Misc {
		s.add("misc", float64(m.Usage), "resource", m.Resource)
	}
}

func (s *samples) memory(t *libct.Stats) {
	m := t.Memory
	if m == nil || m.Usage == nil {
		return
	}
	s.add("memory_usage_bytes", float64(m.Usage.Usage))
	if limited(m.Usage.Limit) {
		s.add("memory_limit_bytes", float64(m.Usage.Limit))
	}
	if m.Usage.Max != 0 {
		s.add("memory_peak_bytes", float64(m.Usage.Max))
	}
	s.add("memory_cache_bytes", float64(m.Cache))
	if m.Swap != nil && m.Swap.Usage >= m.Usage.Usage {
		s.add("memory_swap_bytes", float64(m.Swap.Usage-m.Usage.Usage))
	}
	for _, v := range m.Events {
		if v.Key != "under_oom" && v.Key != "oom_kill_disable" { // v1 has these beside its counter
			s.add("memory_events", float64(v.N), "event", v.Key)
		}
	}
}

// table adds the operations of each device, without the sums that v1 has beside them.
func (s *samples) table(family string, table libct.IOTable) {
	for _, e := range table {
		switch e.Op {
		case "Read", "Write", "Discard":
			device := strconv.FormatUint(e.Major, 10) + ":" + strconv.FormatUint(e.Minor, 10)
			s.add(family, float64(e.Value), "device", device, "operation", strings.ToLower(e.Op))
		}
	}
}

func (s *samples) pressure(t *libct.Stats) {
	for i, p := range [...]*libct.Pressure{t.CPUPressure, t.MemoryPressure, t.IOPressure, t.IRQPressure} {
		if p == nil {
			continue
		}
		resource := [...]string{"cpu", "memory", "io", "irq"}[i]
		for j, stall := range [...]libct.Stall{p.Some, p.Full} {
			s.add("pressure_seconds", float64(stall.Total)/1e6, "resource", resource, "kind", [...]string{"some", "full"}[j])
		}
	}
}
