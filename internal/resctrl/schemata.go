package resctrl

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// line is one line for the file schemata, "L3:0=7ff;1=1f", and where it is in config.json.
type line struct{ pointer, line string }

// lines are those of a configuration, in the order in which they are written.
func lines(rdt *specs.LinuxIntelRdt) (list []line) {
	list = append(list, fixed(rdt)...)
	for i, s := range rdt.Schemata {
		list = append(list, line{"/linux/intelRdt/schemata/" + strconv.Itoa(i), s})
	}
	return list
}

// fixed are the lines that an existing group must have already. Older versions of the specification let l3CacheSchema have
// several (code and data).
func fixed(rdt *specs.LinuxIntelRdt) (list []line) {
	for s := range strings.SplitSeq(rdt.L3CacheSchema, "\n") {
		if s != "" {
			list = append(list, line{"/linux/intelRdt/l3CacheSchema", s})
		}
	}
	if rdt.MemBwSchema != "" {
		list = append(list, line{"/linux/intelRdt/memBwSchema", rdt.MemBwSchema})
	}
	return list
}

// agrees compares an existing group with the schemata of a configuration (config-linux.md#intelrdt).
func (g *Group) agrees(rdt *specs.LinuxIntelRdt) error {
	wanted := fixed(rdt)
	if len(wanted) == 0 {
		return nil
	}
	data, err := os.ReadFile(g.Path + "/schemata")
	if err != nil {
		return fmt.Errorf("/linux/intelRdt: read the schemata of the group that exists: %w", err)
	}
	step, _ := os.ReadFile(g.root + "/info/MB/bandwidth_gran")
	granularity, err := strconv.ParseUint(strings.TrimSpace(string(step)), 10, 32)
	if err != nil || granularity == 0 {
		granularity = 1
	}
	for _, w := range wanted {
		resource, domains, _ := strings.Cut(w.line, ":")
		has, found := "", false
		for l := range strings.Lines(string(data)) {
			name, value, _ := strings.Cut(strings.TrimSpace(l), ":")
			if strings.TrimSpace(name) == strings.TrimSpace(resource) {
				has, found = value, true
			}
		}
		if !found || !same(strings.TrimSpace(resource), domains, has, granularity) {
			return fmt.Errorf("%s: compare with the group %q that exists: it has %q, not %q", w.pointer, g.Path, strings.TrimSpace(resource)+":"+has, w.line)
		}
	}
	return nil
}

// same reports whether each domain that is wanted ("0=7ff;1=1f") has that value: bits of a cache in hexadecimal, all else in
// decimal. The kernel rounds a bandwidth up to a multiple of the granularity.
func same(resource, wanted, has string, granularity uint64) bool {
	base := 10
	if strings.HasPrefix(resource, "L") {
		base, granularity = 16, 1
	}
	values := make(map[string]uint64)
	for id, v := range domains(has, base) {
		values[id] = v
	}
	n := 0
	for id, v := range domains(wanted, base) {
		n++
		now, ok := values[id]
		if !ok || v != now && (v+granularity-1)/granularity*granularity != now {
			return false
		}
	}
	return n == len(strings.Split(wanted, ";"))
}

// domains walks over "id=value;...". It ends at one that is malformed.
func domains(list string, base int) func(yield func(string, uint64) bool) {
	return func(yield func(string, uint64) bool) {
		for domain := range strings.SplitSeq(list, ";") {
			id, value, ok := strings.Cut(domain, "=")
			value = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(value)), "0x")
			n, err := strconv.ParseUint(value, base, 64)
			if !ok || err != nil || !yield(strings.TrimSpace(id), n) {
				return
			}
		}
	}
}
