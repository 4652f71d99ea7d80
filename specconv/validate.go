package specconv

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Pointer string // JSON pointer (RFC 6901) into the document that was checked
	Section string // of the runtime specification, like "config-linux.md#namespaces"
	Msg     string
}

// Problems is everything that is wrong with a configuration.
type Problems []Problem

// Error returns all problems in one line, like
// "/process/cwd: Cwd must be an absolute path (config.md#process); ...".
func (p Problems) Error() string {
	var b strings.Builder
	for i, problem := range p {
		if i > 0 {
			b.WriteString("; ")
		}
		if problem.Pointer != "" {
			b.WriteString(jsonscan.Printable(problem.Pointer) + ": ")
		}
		b.WriteString(problem.Msg)
		if problem.Section != "" {
			b.WriteString(" (" + problem.Section + ")")
		}
	}
	return b.String()
}

// specChecks are the rules for a whole configuration, by section.
var specChecks = []struct {
	section string
	check   func(*report, *specs.Spec)
}{
	{"config.md#specification-version", checkVersion},
	{"config.md#root", checkRoot},
	{"config.md#mounts", checkMounts},
	{"config.md#hostname", checkHostname},
	{"config.md#domainname", checkDomainname},
	{"config.md#posix-platform-hooks", checkHooks},
	{"config.md#annotations", checkAnnotations},
	{"config.md#user", checkMappedUser},
}

// processChecks are the rules for /process, or for a process object of its own.
var processChecks = []struct {
	section string
	check   func(*report, *specs.Process)
}{
	{"config.md#process", checkCommand},
	{"config.md#posix-process", checkRlimits},
	{"config.md#linux-process", checkLinuxProcess},
	{"config.md#linux-process", checkScheduler},
	{"config.md#user", checkUser},
}

// linuxChecks are the rules for /linux, where an absent section counts as an
// empty one.
var linuxChecks = []struct {
	section string
	check   func(*report, *specs.Linux)
}{
	{"config-linux.md#namespaces", checkNamespaces},
	{"config-linux.md#user-namespace-mappings", checkIDMappings},
	{"config-linux.md#offset-for-time-namespace", checkTimeOffsets},
	{"config-linux.md#devices", checkDevices},
	{"config-linux.md#network-devices", checkNetDevices},
	{"config-linux.md#cgroups-path", checkCgroupsPath},
	{"config-linux.md#intelrdt", checkIntelRdt},
	{"config-linux.md#memory-policy", checkMemoryPolicy},
	{"config-linux.md#sysctl", checkSysctl},
	{"config-linux.md#seccomp", checkSeccomp},
	{"config-linux.md#rootfs-mount-propagation", checkPropagation},
	{"config-linux.md#masked-paths", checkMaskedPaths},
	{"config-linux.md#readonly-paths", checkReadonlyPaths},
	{"config-linux.md#mount-label", checkMountLabel},
	{"config-linux.md#personality", checkPersonality},
}

// resourceChecks are the rules for /linux/resources, or for a resources object
// of its own.
var resourceChecks = []struct {
	section string
	check   func(*report, *specs.LinuxResources)
}{
	{"config-linux.md#allowed-device-list", checkDeviceRules},
	{"config-linux.md#memory", checkMemory},
	{"config-linux.md#cpu", checkCPU},
	{"config-linux.md#block-io", checkBlockIO},
	{"config-linux.md#huge-page-limits", checkHugepages},
	{"config-linux.md#network", checkNetworkClasses},
	{"config-linux.md#rdma", checkRdma},
	{"config-linux.md#unified", checkUnified},
}

// Validate checks a configuration against the runtime specification 1.3 and
// against what this release supports. It returns Problems, all of them, or
// nil. It looks at nothing but the document: what depends on the host shows
// when the container is made.
//
// Sections for other platforms (solaris, windows, zos, freebsd) are ignored
// like unknown members: they are meant for runtimes there. A vm section is
// not, since it asks for something on this platform.
func Validate(spec *specs.Spec) error {
	if spec == nil {
		return errors.New("validate configuration: there is none")
	}
	r := new(report)
	for _, c := range specChecks {
		r.section = c.section
		c.check(r, spec)
	}
	r.base = "/process"
	r.process(spec.Process)
	r.base = "/linux"
	linux := spec.Linux
	if linux == nil {
		linux = new(specs.Linux)
	}
	for _, c := range linuxChecks {
		r.section = c.section
		c.check(r, linux)
	}
	if linux.Resources != nil {
		r.base = "/linux/resources"
		r.resources(linux.Resources)
	}
	r.base = ""
	r.later(spec)
	return r.err()
}

// ValidateProcess does the same for a process object that comes by itself;
// pointers are relative to it.
func ValidateProcess(p *specs.Process) error {
	r := new(report)
	r.process(p)
	return r.err()
}

// ValidateResources does the same for a resources object that comes by itself;
// pointers are relative to it.
func ValidateResources(res *specs.LinuxResources) error {
	r := new(report)
	r.resources(res)
	return r.err()
}

// ValidateIntelRdt does the same for an intelRdt object that comes by itself.
func ValidateIntelRdt(rdt *specs.LinuxIntelRdt) error {
	r := &report{base: "/linux", section: "config-linux.md#intelrdt"}
	checkIntelRdt(r, &specs.Linux{IntelRdt: rdt})
	return r.err()
}

// report collects problems.
type report struct {
	base     string // JSON pointer to the object that is checked
	section  string
	problems Problems
}

func (r *report) process(p *specs.Process) {
	if p == nil {
		r.section = "config.md#process"
		r.add("", "process property must not be empty")
		return
	}
	for _, c := range processChecks {
		r.section = c.section
		c.check(r, p)
	}
}

func (r *report) resources(res *specs.LinuxResources) {
	for _, c := range resourceChecks {
		r.section = c.section
		c.check(r, res)
	}
}

func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.problems
}

// add notes a problem at a pointer relative to r.base.
func (r *report) add(pointer, format string, args ...any) {
	const limit = 100 // a hostile document must not fill the log
	switch n := len(r.problems); {
	case n < limit:
		r.problems = append(r.problems, Problem{r.base + pointer, r.section, fmt.Sprintf(format, args...)})
	case n == limit:
		r.problems = append(r.problems, Problem{Msg: "and more problems than are listed"})
	}
}

// at makes a JSON pointer of member names and indices.
func at(parts ...any) string {
	b := make([]byte, 0, 48)
	for _, part := range parts {
		b = append(b, '/')
		switch part := part.(type) {
		case int:
			b = strconv.AppendInt(b, int64(part), 10)
		case string:
			b = append(b, jsonscan.EscapePointer(part)...)
		}
	}
	return string(b)
}

// text checks a string that becomes a C string. Cut short at a NUL byte, it
// would mean something else than what was read.
func (r *report) text(s string, parts ...any) {
	if strings.IndexByte(s, 0) >= 0 {
		r.add(at(parts...), `contains nul byte (\x00)`)
	}
}

// texts checks a list of such strings.
func (r *report) texts(list []string, parts ...any) {
	for i, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			r.add(at(parts...)+at(i), `contains nul byte (\x00)`)
		}
	}
}

// line checks a string that is written to a file of the kernel, where a new
// line would be another record.
func (r *report) line(s string, parts ...any) {
	if strings.ContainsAny(s, "\x00\n") {
		r.add(at(parts...), "contains nul byte or new line")
	}
}

// absolute checks a path that must be absolute.
func (r *report) absolute(path string, parts ...any) {
	if !strings.HasPrefix(path, "/") {
		r.add(at(parts...), "%.100q is not an absolute path", path)
	}
	r.path(path, parts...)
}

// path checks a path for what no file can be named.
func (r *report) path(path string, parts ...any) {
	if len(path) >= unix.PathMax {
		r.add(at(parts...), "is longer than %d bytes", unix.PathMax-1)
	}
	r.text(path, parts...)
}

// count checks the length of a list. The limit is far beyond honest use and
// keeps the work for one document bounded.
func (r *report) count(n int, parts ...any) {
	const limit = 10_000
	if n > limit {
		r.add(at(parts...), "%d entries exceed the limit of %d", n, limit)
	}
}

// oneOf checks a string against a list of words separated by spaces.
func (r *report) oneOf(s, words string, parts ...any) {
	if s == "" {
		r.add(at(parts...), "is required: one of %s", words)
		return
	}
	if !containsWord(words, s) {
		r.add(at(parts...), "%.100q is not one of %s", s, words)
	}
}

// code checks a name that the kernel has a number for.
func (r *report) code(table codes, name string, parts ...any) {
	if _, known := table.number(name); !known {
		r.oneOf(name, strings.Join(table.names(), " "), parts...)
	}
}

// containsWord reports whether word is one of those, which spaces separate.
func containsWord(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

// sortedKeys gives problems of a map's members an order.
func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// between checks a number.
func (r *report) between(n, low, high int64, parts ...any) {
	if n < low || n > high {
		r.add(at(parts...), "%d is out of range (%d to %d)", n, low, high)
	}
}
