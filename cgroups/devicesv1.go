package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// whitelist is what the v1 devices controller can express: one verdict for all devices and exceptions without order.
type whitelist struct {
	allow      bool // the verdict for everything that is no exception
	exceptions []rule
}

// listOf brings rules into that form, or names the rule that makes a hole in an exception.
func listOf(rules []rule) (whitelist, error) {
	w := whitelist{}
	if n := len(rules); n >= 2 && allowsAll(rules[:2]) {
		w.allow, rules = true, rules[2:]
	}
	for _, r := range rules {
		if r.allow == w.allow {
			return w, fmt.Errorf("convert device rules to cgroup v1: %q is an exception from an exception, which only v2 can express (%s)", r.String(), r.pointer())
		}
		w.exceptions = append(w.exceptions, r)
	}
	return w, nil
}

// allowDevices sets the rules of a new cgroup, which started with a copy of its parent's.
func (m *v1) allowDevices(in []specs.LinuxDeviceCgroup) error {
	rules, err := deviceRules(in)
	if err != nil {
		return err
	}
	d := m.of("devices")
	switch {
	case d == nil && allowsAll(rules):
		return nil
	case d == nil:
		return errors.New("set device rules: the cgroup v1 controller \"devices\" is not mounted, so nothing would keep the container from the host's devices (" + resourcesAt + "/devices)")
	}
	w, err := listOf(rules)
	if err != nil {
		return err
	}
	return d.writeDevices(w.reset())
}

// updateDevices changes the rules of a running container, and puts them back if the kernel refuses one.
//
// Between two lists of what is allowed no process sees a gap: new exceptions are allowed before old ones are denied, so what both
// lists allow is allowed all the time, and nothing ever is that neither allows. The kernel can change the verdict for everything else
// only by dropping all exceptions, in one write; those of the new list follow one by one. The cgroup is frozen meanwhile.
func (m *v1) updateDevices(in []specs.LinuxDeviceCgroup) (back func() error, err error) {
	d := m.of("devices")
	if d == nil {
		return nil, m.allowDevices(in) // which says what is missing
	}
	rules, err := deviceRules(in)
	if err != nil {
		return nil, err
	}
	want, err := listOf(rules)
	if err != nil {
		return nil, err
	}
	have, err := d.whitelist()
	if err != nil {
		return nil, err
	}
	change := func(from, to whitelist) error {
		if !from.allow && !to.allow {
			return d.changeDevices(from, to)
		}
		return m.still(func() error { return d.changeDevices(from, to) })
	}
	if err := change(have, want); err != nil {
		return nil, err
	}
	m.rules = &want
	return func() error {
		now, err := d.whitelist()
		if err != nil {
			return err
		}
		return change(now, have)
	}, nil
}

func (d *dir) changeDevices(have, want whitelist) error {
	err := d.writeDevices(want.changesFrom(have))
	if err != nil {
		if now, rerr := d.whitelist(); rerr == nil {
			_ = d.writeDevices(have.changesFrom(now))
		}
	}
	return err
}

func (d *dir) whitelist() (whitelist, error) {
	list, err := d.readAll("devices.list")
	return parseDevicesList(string(list)), err
}

// change is a line for devices.allow or devices.deny.
type change struct {
	allow bool
	line  string
}

func (w *whitelist) reset() []change {
	list := []change{{w.allow, "a"}}
	for _, e := range w.exceptions {
		list = append(list, change{e.allow, e.String()})
	}
	return list
}

func (w *whitelist) changesFrom(have whitelist) []change {
	if w.allow || have.allow { // the kernel does not list exceptions from "all"
		return w.reset()
	}
	var grants, denials []change
	for _, e := range w.exceptions {
		if !slices.ContainsFunc(have.exceptions, func(h rule) bool { return same(&h, &e) && h.access == e.access }) {
			grants = append(grants, change{true, e.String()})
		}
	}
	for _, h := range have.exceptions {
		for _, e := range w.exceptions {
			if same(&h, &e) {
				h.access &^= e.access
			}
		}
		if h.access != 0 {
			denials = append(denials, change{false, h.String()})
		}
	}
	return append(grants, denials...)
}

func same(a, b *rule) bool { return a.covers(b) && b.covers(a) }

func (d *dir) writeDevices(list []change) error {
	fds := [2]int{-1, -1}
	defer func() {
		for _, fd := range fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}()
	for _, c := range list {
		i, name := 0, "devices.deny"
		if c.allow {
			i, name = 1, "devices.allow"
		}
		if fds[i] < 0 {
			fd, err := d.file(name, unix.O_WRONLY)
			if err != nil {
				return err
			}
			fds[i] = fd
		}
		if err := d.writeFD(fds[i], name, c.line); err != nil {
			return fmt.Errorf("%w (%s/devices)", err, resourcesAt)
		}
	}
	return nil
}

// parseDevicesList reads devices.list: "a *:* rwm", or exceptions like "c 136:* rwm".
func parseDevicesList(s string) whitelist {
	var w whitelist
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) != 3 || len(f[0]) != 1 {
			continue
		}
		if f[0] == "a" {
			return whitelist{allow: true}
		}
		major, minor, _ := strings.Cut(f[1], ":")
		acc, err := parseAccess(f[2])
		if err != nil {
			continue
		}
		w.exceptions = append(w.exceptions, rule{f[0][0], listNumber(major), listNumber(minor), acc, true, 0})
	}
	return w
}

func listNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return anyNumber // "*"
	}
	return n
}
