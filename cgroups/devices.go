package cgroups

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// access is a set of what a process may do with a device. The values are the kernel's (BPF_DEVCG_ACC_*).
type access uint8

const (
	mknod access = 1 << iota
	read
	write
	fullAccess = mknod | read | write
)

func (a access) String() string {
	s := ""
	for _, c := range []struct {
		bit  access
		name string
	}{{read, "r"}, {write, "w"}, {mknod, "m"}} {
		if a&c.bit != 0 {
			s += c.name
		}
	}
	return s
}

// any stands for all majors or minors.
const anyNumber = -1

// rule allows or denies some access to a set of devices.
type rule struct {
	kind         byte // 'c' or 'b'
	major, minor int64
	access       access
	allow        bool
	at           int // index in the list of config.json, or beyond it for a default rule
}

func (r *rule) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return itoa(n)
	}
	return string(r.kind) + " " + number(r.major) + ":" + number(r.minor) + " " + r.access.String()
}

// covers tells whether every device of o is one of r, overlaps whether there is any that is in both.
func (r *rule) covers(o *rule) bool {
	return r.kind == o.kind && (r.major == anyNumber || r.major == o.major) && (r.minor == anyNumber || r.minor == o.minor)
}

func (r *rule) overlaps(o *rule) bool {
	meet := func(a, b int64) bool { return a == b || a == anyNumber || b == anyNumber }
	return r.kind == o.kind && meet(r.major, o.major) && meet(r.minor, o.minor)
}

func (r *rule) all() bool {
	return r.major == anyNumber && r.minor == anyNumber
}

// DefaultDeviceRules are appended to the rules of config.json, as runc does, so that a container can't be without the devices of
// the specification (config-linux.md#default-devices) and its terminals. They can't be turned off. mknod alone opens nothing.
func DefaultDeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"}}
	for _, d := range [...]struct{ major, minor int64 }{
		{1, 3},           // null
		{1, 8},           // random
		{1, 7},           // full
		{5, 0},           // tty
		{1, 5},           // zero
		{1, 9},           // urandom
		{136, anyNumber}, // pts/*
		{5, 2},           // ptmx
		{10, 200},        // net/tun: runc took it out once and put it back, too much depends on it
	} {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d.major, Access: "rwm"}
		if d.minor != anyNumber {
			r.Minor = &d.minor
		}
		rules = append(rules, r)
	}
	return rules
}

// deviceRules turns rules of config.json with the default ones into the shortest list of the same meaning: nothing is allowed
// at first, then for each device and each kind of access the last rule that names both decides.
func deviceRules(in []specs.LinuxDeviceCgroup) ([]rule, error) {
	var rules []rule
	for i, d := range slices.Concat(in, DefaultDeviceRules()) {
		kinds := d.Type
		switch d.Type {
		case "", "a":
			kinds = "cb"
		case "c", "b":
		case "u":
			kinds = "c"
		default:
			return nil, fmt.Errorf("read device rule: type %q is none of a, b, c, u (%s/devices/%d/type)", d.Type, resourcesAt, i)
		}
		acc, err := parseAccess(d.Access)
		if err != nil {
			return nil, fmt.Errorf("read device rule: %w (%s/devices/%d/access)", err, resourcesAt, i)
		}
		major, ok1 := deviceNumber(d.Major)
		minor, ok2 := deviceNumber(d.Minor)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("read device rule: device number out of range (%s/devices/%d)", resourcesAt, i)
		}
		for _, kind := range []byte(kinds) {
			rules = append(rules, rule{kind, major, minor, acc, d.Allow, i})
		}
	}
	return minimal(rules), nil
}

func parseAccess(s string) (access, error) {
	var a access
	for _, c := range s {
		switch c {
		case 'r':
			a |= read
		case 'w':
			a |= write
		case 'm':
			a |= mknod
		default:
			return 0, fmt.Errorf("access %q holds more than r, w and m", s)
		}
	}
	if a == 0 {
		return 0, fmt.Errorf("access is empty")
	}
	return a, nil
}

// deviceNumber takes an absent number and -1 for all. The filter of v2 sees 32 bits; the largest number is the v1 kernel's own
// word for all.
func deviceNumber(n *int64) (int64, bool) {
	if n == nil || *n == anyNumber {
		return anyNumber, true
	}
	return *n, 0 <= *n && *n < 1<<32-1
}

// minimal drops what a later rule overrides, then what changes nothing, and joins rules for the same devices.
func minimal(rules []rule) []rule {
	return join(effective(visible(rules)))
}

// visible leaves of each rule the access that no single later rule of the other verdict overrides for all its devices. One of the
// same verdict changes nothing, and devices.list (v1) shows people the rules that they have written.
func visible(rules []rule) []rule {
	var out []rule
	for i, r := range rules {
		for j := i + 1; j < len(rules); j++ {
			if rules[j].allow != r.allow && rules[j].covers(&r) {
				r.access &^= rules[j].access
			}
		}
		if r.access != 0 {
			out = append(out, r)
		}
	}
	return out
}

// effective leaves of each rule the access that would be decided otherwise without it.
func effective(rules []rule) []rule {
	var out []rule
	for _, r := range rules {
		for _, bit := range []access{mknod, read, write} {
			if r.access&bit != 0 && decided(out, &r, bit) {
				r.access &^= bit
			}
		}
		if r.access != 0 {
			out = append(out, r)
		}
	}
	return out
}

// decided tells whether before (with the denial of everything at its head) has r's verdict for all devices of r.
func decided(before []rule, r *rule, bit access) bool {
	for j := len(before) - 1; j >= 0; j-- {
		b := &before[j]
		if b.access&bit == 0 || !b.overlaps(r) {
			continue
		}
		if b.allow != r.allow {
			return false
		}
		if b.covers(r) {
			return true
		}
	}
	return !r.allow
}

// join merges rules of one verdict for the same devices when no rule between them says the opposite of any of those.
func join(rules []rule) []rule {
	var out []rule
next:
	for _, r := range rules {
		for j := len(out) - 1; j >= 0; j-- {
			o := &out[j]
			if o.allow == r.allow && o.covers(&r) && r.covers(o) {
				o.access |= r.access
				continue next
			}
			if o.allow != r.allow && o.overlaps(&r) {
				break
			}
		}
		out = append(out, r)
	}
	return out
}

// allowsAll tells whether the rules mean no restriction at all.
func allowsAll(rules []rule) bool {
	return len(rules) == 2 && rules[0].kind != rules[1].kind &&
		!slices.ContainsFunc(rules, func(r rule) bool { return !r.allow || !r.all() || r.access != fullAccess })
}

// pointer names the place of a rule.
func (r *rule) pointer() string { return resourcesAt + "/devices/" + strconv.Itoa(r.at) }

// DeviceList writes rules, completed by those of DefaultDeviceRules, in a short form for comparisons.
func DeviceList(in []specs.LinuxDeviceCgroup) (string, error) {
	rules, err := deviceRules(in)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i := range rules {
		verdict := "-"
		if rules[i].allow {
			verdict = "+"
		}
		b.WriteString(verdict + rules[i].String() + "\n")
	}
	return b.String(), nil
}
