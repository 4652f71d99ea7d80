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

// setting is one write to one cgroup file.
type setting struct {
	controller string // must be mounted (v1) or available (v2)
	file       string
	value      string
	at         string // JSON pointer of what asked for it

	noop     bool   // asks for the kernel's default: nothing is lost where the controller is missing
	optional bool   // the file may be missing
	retry    bool   // on EINVAL write it once more after the others, on whose values it depends, and before what is late
	alt      string // the file where `file` is missing
	altValue string
}

// apply writes settings in order and notes in u what was there. find gives the directory that carries a controller, nil for
// none; lacks returns the error to give if a setting's controller is the reason that its file is missing.
func apply(list []setting, find func(controller string) *dir, lacks func(setting) error, u *undo) error {
	var again []setting
	retry := func() error {
		for _, s := range again {
			if err := s.write(find(s.controller), u); err != nil {
				return s.fail(err)
			}
		}
		again = nil
		return nil
	}
	for _, s := range list {
		if s.late() > 0 {
			if err := retry(); err != nil {
				return err
			}
		}
		d := find(s.controller)
		if d == nil {
			if s.noop {
				continue
			}
			return lacks(s)
		}
		err := s.write(d, u)
		switch {
		case err == nil, s.optional && errors.Is(err, unix.ENOENT):
		case s.retry && errors.Is(err, unix.EINVAL):
			again = append(again, s)
		case errors.Is(err, unix.ENOENT):
			why := lacks(s)
			if why == nil {
				return s.fail(err)
			}
			if !s.noop {
				return why
			}
		default:
			return s.fail(err)
		}
	}
	return retry()
}

func (s *setting) write(d *dir, u *undo) error {
	err := u.write(d, s.file, s.value)
	if s.alt != "" && errors.Is(err, unix.ENOENT) {
		return u.write(d, s.alt, s.altValue)
	}
	return err
}

// fail adds the place in config.json and, where the errno alone says too little, what it means.
func (s *setting) fail(err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT):
		hint = ", this kernel does not offer it"
	case errors.Is(err, unix.EBUSY) && strings.HasPrefix(s.file, "memory."):
		hint = ", more is in use and can't be reclaimed"
	case errors.Is(err, unix.EINVAL) && (s.file == "memory.limit_in_bytes" || s.file == "memory.memsw.limit_in_bytes"):
		hint = ", memory can't be limited above memory+swap"
	case errors.Is(err, unix.EINVAL) && (s.file == "cpu.shares" || s.file == "cpu.weight"):
		hint = ", an idle cgroup (cpu.idle is 1) takes no shares"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		hint = ", the kernel refuses the value"
	case errors.Is(err, unix.EOPNOTSUPP) && strings.Contains(s.file, "weight"):
		hint = ", the scheduler of this device knows no weights"
	case errors.Is(err, unix.ENODEV):
		hint = ", no such device"
	}
	return fmt.Errorf("%w%s (%s)", err, hint, s.at)
}

// limit applies everything but the device rules.
func (m *v2) limit(r *specs.LinuxResources, u *undo) error {
	list, err := settingsV2(r, m.quotaNow(r.CPU, u != nil))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	if err := m.checkMemory(r.Memory); err != nil {
		return err
	}
	return apply(list, func(string) *dir { return &m.dir }, m.lacks, u)
}

func (m *v2) lacks(s setting) error {
	have, err := m.read("cgroup.controllers")
	if err != nil {
		return err
	}
	if s.controller == "cgroup" || slices.Contains(strings.Fields(have), s.controller) {
		return nil
	}
	if m.enableErr != nil {
		return fmt.Errorf("set %s: controller %q not available in %s: %w (%s)", s.file, s.controller, m.path, m.enableErr, s.at)
	}
	return fmt.Errorf("set %s: controller %q not available in %s, the kernel or a cgroup above does not offer it (%s)",
		s.file, s.controller, m.path, s.at)
}

// limit applies everything but the device rules.
func (m *v1) limit(r *specs.LinuxResources, rootless bool, u *undo) error {
	list, err := settingsV1(r, u != nil)
	if err != nil {
		return err
	}
	return apply(list, m.of, func(s setting) error {
		switch {
		case m.of(s.controller) != nil:
			return nil
		case rootless:
			return fmt.Errorf("cannot set %s limit: container could not join or create cgroup (%s)", s.controller, s.at)
		}
		return fmt.Errorf("set %s: the cgroup v1 controller %q is not mounted (%s)", s.file, s.controller, s.at)
	}, u)
}

// convert collects settings and keeps the first error.
type convert struct {
	list []setting
	err  error
}

const resourcesAt = "/linux/resources"

func (c *convert) add(controller, file, value, at string) *setting {
	c.list = append(c.list, setting{controller: controller, file: file, value: value, at: resourcesAt + at})
	return &c.list[len(c.list)-1]
}

func (c *convert) fail(at, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format+" ("+resourcesAt+at+")", args...)
	}
}

// v1only refuses a field that cgroup v2 has nothing for.
func (c *convert) v1only(at string) {
	c.fail(at, "convert resources to cgroup v2: this field exists in cgroup v1 only")
}

// settingsV1 is for a new cgroup, or for one whose values may be others than the kernel's defaults.
func settingsV1(r *specs.LinuxResources, old bool) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	var c convert
	c.pids(r.Pids)
	c.memoryV1(r.Memory, old)
	c.blockIOV1(r.BlockIO)
	c.cpuV1(r.CPU)
	c.cpuset(r.CPU)
	c.hugepages(r.HugepageLimits, ".limit_in_bytes")
	c.rdma(r.Rdma)
	c.networkV1(r.Network)
	if len(r.Unified) > 0 {
		c.fail("/unified", "invalid configuration: unified resources need cgroup v2")
	}
	return c.list, c.err
}

// settingsV2 is given the cpu quota that is in force, which the kernel wants to see again with a new period.
func settingsV2(r *specs.LinuxResources, quota string) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	var c convert
	c.pids(r.Pids)
	c.blockIOV2(r.BlockIO)
	c.cpuV2(r.CPU, quota)
	c.cpuset(r.CPU)
	c.hugepages(r.HugepageLimits, ".max")
	c.rdma(r.Rdma)
	c.networkV2(r.Network)
	c.memoryV2(r.Memory)
	c.unified(r.Unified)
	slices.SortStableFunc(c.list, func(a, b setting) int { return a.late() - b.late() })
	return c.list, c.err
}

// late puts what can't be taken back behind what may be refused: the kernel does not let a cgroup with processes go back to no CPUs of
// its own, and a memory limit below what is in use kills. A cgroup that is idle takes no weight, so it is awake first.
func (s *setting) late() int {
	switch s.file {
	case "cpuset.cpus", "cpuset.mems":
		return 1
	case "cpu.idle":
		if s.value == "0" {
			return -1
		}
		return 1
	case "memory.max":
		return 2
	}
	return 0
}

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// limitOrMax writes a v2 limit, where every negative number of config.json means none.
func limitOrMax(n int64) string {
	if n < 0 {
		return "max"
	}
	return itoa(n)
}

func isSet[T int64 | uint64 | uint32 | uint16](p *T) bool { return p != nil && *p != 0 }
