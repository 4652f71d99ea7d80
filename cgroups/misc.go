package cgroups

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// hugepages limits both the use and, where the kernel (5.7 and newer) counts them, the reservations: a limit on use alone shows as a SIGBUS
// at the first touch instead of a failed mmap(2).
func (c *convert) hugepages(limits []specs.LinuxHugepageLimit, suffix string) {
	for i, l := range limits {
		at := "/hugepageLimits/" + strconv.Itoa(i)
		if !isPageSize(l.Pagesize) {
			c.fail(at+"/pageSize", "limit huge pages of %.32q: a page size reads like 64KB, 2MB or 1GB", l.Pagesize)
			return
		}
		value := utoa(l.Limit)
		c.add("hugetlb", "hugetlb."+l.Pagesize+suffix, value, at)
		c.add("hugetlb", "hugetlb."+l.Pagesize+".rsvd"+suffix, value, at).optional = true
	}
}

// isPageSize accepts ^[1-9][0-9]*[KMG]B$ (config-linux.md#huge-page-limits). The size becomes a part of a file name.
func isPageSize(s string) bool {
	digits := len(s) - 2
	if digits < 1 || digits > 10 || s[0] == '0' || s[digits+1] != 'B' || !strings.ContainsRune("KMG", rune(s[digits])) {
		return false
	}
	return isAll(s[:digits], func(b byte) bool { return '0' <= b && b <= '9' })
}

// rdma is the same in both versions: one line "DEVICE hca_handle=N hca_object=N".
func (c *convert) rdma(limits map[string]specs.LinuxRdma) {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		at, l := "/rdma/"+pointerToken(name), limits[name]
		// A device name of the kernel: at most 63 bytes, here also no separator of the line or of paths.
		if name == "" || len(name) > 63 || !isAll(name, isNameByte) {
			c.fail(at, "limit rdma device %.64q: not a device name", name)
			return
		}
		line := name
		if l.HcaHandles != nil {
			line += " hca_handle=" + utoa(uint64(*l.HcaHandles))
		}
		if l.HcaObjects != nil {
			line += " hca_object=" + utoa(uint64(*l.HcaObjects))
		}
		if line != name {
			c.add("rdma", "rdma.max", line, at)
		}
	}
}

func (c *convert) networkV1(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	if isSet(n.ClassID) {
		c.add("net_cls", "net_cls.classid", utoa(uint64(*n.ClassID)), "/network/classID")
	}
	for i, p := range n.Priorities {
		at := "/network/priorities/" + strconv.Itoa(i)
		// dev_valid_name() of the kernel: no space, slash or colon, at most 15 bytes.
		if p.Name == "" || len(p.Name) > 15 || !isAll(p.Name, func(b byte) bool { return b > ' ' && b != '/' && b != ':' && b != 0x7f }) {
			c.fail(at+"/name", "set network priority of %.32q: not an interface name", p.Name)
			return
		}
		c.add("net_prio", "net_prio.ifpriomap", p.Name+" "+utoa(uint64(p.Priority)), at)
	}
}

func (c *convert) networkV2(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	if isSet(n.ClassID) {
		c.v1only("/network/classID")
	}
	if len(n.Priorities) > 0 {
		c.v1only("/network/priorities")
	}
}

// unified writes any controller's file by name, each line of the value by itself, in place of what another field has for the
// file. Of the files of the core only those are allowed that
// limit: cgroup.procs, kill, freeze, type and subtree_control would move, end or break what the runtime manages.
func (c *convert) unified(files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := "/unified/" + pointerToken(name)
		controller, param, ok := strings.Cut(name, ".")
		if !ok || controller == "" || param == "" || len(name) > 255 || !isAll(name, isNameByte) || strings.Contains(name, "..") {
			c.fail(at, "set unified resource %.64q: the name must be in the form CONTROLLER.PARAMETER", name)
			return
		}
		if controller == "cgroup" && !slices.Contains([]string{"max.depth", "max.descendants", "pressure"}, param) {
			c.fail(at, "set unified resource %q: this file belongs to the runtime", name)
			return
		}
		if _, list := removal(name); !list { // the file has the last word
			c.list = slices.DeleteFunc(c.list, func(s setting) bool { return s.file == name })
		}
		for line := range strings.SplitSeq(files[name], "\n") {
			if line = strings.TrimSpace(line); line != "" {
				c.add(controller, name, line, at)
			}
		}
	}
}

func isNameByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '-' || b == '.'
}

func isAll(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// pointerToken escapes a key for a JSON pointer (RFC 6901).
func pointerToken(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}
