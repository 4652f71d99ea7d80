package cgroups

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stats is what the kernel has counted for a cgroup and those below it. Of a controller that the cgroup does not have, nothing is set.
// Times are in nanoseconds, amounts of memory and data in bytes; NoLimit stands for "max".
type Stats struct {
	CPU     *CPUStats
	Cpuset  *CpusetStats
	Memory  *MemoryStats
	Pids    *PidsStats
	IO      *IOStats
	Hugetlb []HugetlbStats // one for each page size of the machine
	RDMA    []RDMAStats
	Misc    []MiscStats

	// Pressure on the processes, nil where the kernel does not count it: before Linux 4.20 (IRQ: 6.1), without cgroup v2,
	// or when it was turned off.
	CPUPressure, MemoryPressure, IOPressure, IRQPressure *Pressure
}

// NoLimit is the value of a limit that is not set.
const NoLimit = math.MaxUint64

// Value is one line "key number" of a file.
type Value struct {
	Key string
	N   uint64
}

// Values are the lines of a flat keyed file in the kernel's order.
type Values []Value

// Get returns the number of a key, 0 if there is none.
func (v Values) Get(key string) uint64 {
	for i := range v {
		if v[i].Key == key {
			return v[i].N
		}
	}
	return 0
}

// Pressure is a file of pressure stall information (accounting/psi.rst).
type Pressure struct {
	Some, Full Stall
}

// Stall says how much time tasks have lost: as percentages over the last 10, 60 and 300 seconds, and in total in µs.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// CPUStats are those of cpu, and on v1 cpuacct.
type CPUStats struct {
	Total, User, Kernel                      uint64
	PerCPU, PerCPUUser, PerCPUKernel         []uint64 // v1 alone
	Periods, ThrottledPeriods, ThrottledTime uint64
	BurstPeriods, BurstTime                  uint64 // Linux 5.14
}

// CpusetStats say where the processes may run.
type CpusetStats struct {
	CPUs, Mems []uint16
	Flags      []Flag // v1 alone
}

// Flag is the number in the file cpuset.NAME.
type Flag struct {
	Name string
	N    int64
}

// MemoryStats are those of memory. What is not counted (swap, kernel memory) is nil.
type MemoryStats struct {
	Cache                    uint64
	Usage, Kernel, KernelTCP *Usage
	Swap                     *Usage // memory and swap together, also on v2
	Raw                      Values // memory.stat
	Events, SwapEvents       Values // memory.events and memory.swap.events; of v1 the lines of memory.oom_control
}

// Usage is one resource with its limit; Max is the highest usage so far, Failcnt how often the limit stood in the way.
type Usage struct{ Limit, Usage, Max, Failcnt uint64 }

// PidsStats are those of pids. Without the controller only Current is known, by counting.
type PidsStats struct {
	Current, Limit, Peak uint64 // Limit 0: none
	Events               Values
}

// IOStats are tables as in v1's blkio; v2 has Bytes, Ops and, where io.cost works, Cost.
type IOStats struct {
	Bytes, Ops, Queued, ServiceTime, WaitTime, Merged, Time, Sectors IOTable
	CostUsage, CostWait, CostIndebt, CostIndelay                     IOTable
}

// IOEntry is one number of one device. Op is "Read", "Write", "Discard" and others, or "".
type IOEntry struct {
	Major, Minor uint64
	Op           string
	Value        uint64
}

// IOTable is one kind of numbers.
type IOTable []IOEntry

// Sum adds up what the table says about an operation on all devices.
func (t IOTable) Sum(op string) (n uint64) {
	for i := range t {
		if t[i].Op == op {
			n += t[i].Value
		}
	}
	return n
}

// HugetlbStats are those of one page size. Reserved is nil before Linux 5.7.
type HugetlbStats struct {
	Size     string // "2MB"
	Used     Usage
	Reserved *Usage
}

// RDMAStats are those of one device: hca_handle and hca_object.
type RDMAStats struct {
	Device         string
	Current, Limit Values
}

// MiscStats are those of one resource that the kernel only counts (cgroup-v2.rst, "Misc").
type MiscStats struct {
	Resource                   string
	Usage, Limit, Peak, Events uint64
}

// reader reads files of cgroups into one buffer. A file that is missing, or that can't be read because the kernel was told
// not to count (EOPNOTSUPP), is no error; err keeps the first of another kind.
type reader struct {
	buf []byte
	err error
}

// text reads a file. The kernel makes up these files whole, so what does not fill the buffer is all.
func (r *reader) text(d *dir, name string) (string, bool) {
	if d == nil || r.err != nil {
		return "", false
	}
	fd, err := d.file(name, unix.O_RDONLY)
	if err == nil {
		defer unix.Close(fd)
		if r.buf == nil {
			r.buf = make([]byte, 16<<10)
		}
		n := 0
		for {
			var m int
			if m, err = readFD(fd, r.buf[n:]); err != nil {
				err = &os.PathError{Op: "read", Path: d.path + "/" + name, Err: err}
				break
			}
			if n += m; m == 0 || n < len(r.buf) {
				return string(r.buf[:n]), true
			}
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
	}
	if !isGone(err) && !errors.Is(err, unix.EOPNOTSUPP) && r.err == nil {
		r.err = err
	}
	return "", false
}

// number reads a file with one number, or "max".
func (r *reader) number(d *dir, name string) (n uint64, ok bool) {
	text, ok := r.text(d, name)
	if !ok {
		return 0, false
	}
	return parseNumber(strings.TrimSuffix(text, "\n"))
}

func parseNumber(s string) (uint64, bool) {
	if s == "max" {
		return NoLimit, true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// The files of one resource: how the names of usage, limit, highest usage and failures end.
var (
	usageV1 = [4]string{".usage_in_bytes", ".limit_in_bytes", ".max_usage_in_bytes", ".failcnt"}
	usageV2 = [4]string{".current", ".max", ".peak", ""}
)

// usage reads the files of one resource, nil if it is not counted.
func (r *reader) usage(d *dir, resource string, files *[4]string) *Usage {
	u := &Usage{}
	for i, to := range [...]*uint64{&u.Usage, &u.Limit, &u.Max, &u.Failcnt} {
		if files[i] == "" {
			continue
		}
		n, ok := r.number(d, resource+files[i])
		if !ok && i == 0 {
			return nil
		}
		*to = n
	}
	return u
}

// values reads a file of lines "key number".
func (r *reader) values(d *dir, name string) Values {
	text, _ := r.text(d, name)
	var list Values
	for line := range strings.Lines(text) {
		key, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if n, ok := parseNumber(number); ok {
			list = append(list, Value{key, n})
		}
	}
	return list
}

// pressure reads a file of pressure stall information, nil if there is none.
func (r *reader) pressure(d *dir, name string) *Pressure {
	text, ok := r.text(d, name)
	if !ok {
		return nil
	}
	p := &Pressure{}
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(line, " ")
		s := &p.Some
		if kind == "full" {
			s = &p.Full
		}
		for field := range strings.FieldsSeq(rest) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "avg10":
				s.Avg10, _ = strconv.ParseFloat(value, 64)
			case "avg60":
				s.Avg60, _ = strconv.ParseFloat(value, 64)
			case "avg300":
				s.Avg300, _ = strconv.ParseFloat(value, 64)
			case "total":
				s.Total, _ = parseNumber(value)
			}
		}
	}
	return p
}

// list reads a list of numbers and ranges, as "0-2,5" (cpuset(7), "List format").
func (r *reader) list(d *dir, name string) (list []uint16) {
	text, _ := r.text(d, name)
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		for ; err1 == nil && err2 == nil && a <= b; a++ {
			list = append(list, uint16(a))
		}
	}
	return list
}

// pageSizes are the sizes of huge pages that the kernel has, in the words of the controller's files: "2MB".
func pageSizes() (sizes []string) {
	entries, err := os.ReadDir("/sys/kernel/mm/hugepages")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		if err != nil {
			continue
		}
		unit := "KB"
		for _, larger := range []string{"MB", "GB"} {
			if n >= 1024 && n%1024 == 0 {
				n, unit = n/1024, larger
			}
		}
		sizes = append(sizes, utoa(n)+unit)
	}
	slices.Sort(sizes)
	return sizes
}
