package libct

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/jsonscan"
	"husk/specconv"
)

// UpdateOptions say what is to be changed in the limits of a container.
type UpdateOptions struct {
	// ID names the container.
	ID string
	// Resources hold what is to be changed; a limit that they leave out stays. Device rules take the place of all earlier ones.
	Resources *specs.LinuxResources
	// L3CacheSchema and MemBwSchema replace those of linux.intelRdt unless they are "".
	L3CacheSchema, MemBwSchema string
}

// Update changes the limits of a container that has not stopped. With an error nothing has changed: what was written before the
// kernel refused something is put back.
func (r *Runtime) Update(o UpdateOptions) error {
	c, err := r.open(o.ID, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status == Stopped || status == Creating {
		return ErrNotRunning
	}
	m, err := c.cgroup()
	if err == nil && m == nil {
		err = errors.New("it has no cgroup")
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", c.id, err)
	}
	before := c.rec.Asked
	res, err := c.complete(*o.Resources)
	if err != nil {
		return err
	}
	after := c.rec.Asked
	if len(res.Devices) > 0 {
		c.rec.Asked.DeviceRules = unsettled
	}
	// Saved first: if there is no room for the new record nothing has been changed, and for the old one there is room.
	if err := c.saveAsked(before); err != nil {
		return err
	}
	stopPoint("update-saved")
	if err := c.set(m, res, &specs.LinuxIntelRdt{L3CacheSchema: o.L3CacheSchema, MemBwSchema: o.MemBwSchema}); err != nil {
		now := c.rec.Asked
		c.rec.Asked = before
		if failed := c.saveAsked(now); failed != nil {
			err = fmt.Errorf("%w; and %w", err, failed)
		}
		return fmt.Errorf("update container %s: %w", c.id, err)
	}
	stopPoint("update-set")
	now := c.rec.Asked
	c.rec.Asked = after
	if err := c.saveAsked(now); err != nil { // the next update will set the device rules whatever they are
		r.warn("update container %s: %v", c.id, err)
	}
	return nil
}

// unsettled stands for device rules in the record of a container while they are being changed. No others are the same.
const unsettled = "?"

// set changes the groups of resctrl first: of these a change can be taken back whole.
func (c *container) set(m cgroups.Manager, res *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error {
	if rdt.L3CacheSchema == "" && rdt.MemBwSchema == "" {
		return m.Set(res)
	}
	if c.rec.Resctrl.Path == "" {
		return errors.New("updating a non-existent Intel RDT configuration is not supported") // runc's words
	}
	if err := specconv.ValidateIntelRdt(rdt); err != nil {
		return err
	}
	undo, err := c.rec.Resctrl.Change(rdt)
	if err != nil {
		return err
	}
	if err := m.Set(res); err != nil {
		if failed := undo(); failed != nil {
			err = fmt.Errorf("%w; and %w", err, failed)
		}
		return err
	}
	return nil
}

// saveAsked writes the record if it says something else than the one on disk.
func (c *container) saveAsked(onDisk asked) error {
	if c.rec.Asked == onDisk {
		return nil
	}
	return c.save()
}

// complete validates what is to be changed, fills in what else the kernel has to be told, and notes in the record what the next
// update will need.
func (c *container) complete(res specs.LinuxResources) (*specs.LinuxResources, error) {
	spec, err := c.spec()
	if err != nil {
		return nil, err
	}
	specconv.ReadPids(spec.Version, &res)
	created := new(specs.LinuxResources)
	if spec.Linux != nil && spec.Linux.Resources != nil {
		created = spec.Linux.Resources
	}
	if res.Memory != nil {
		res.Memory = c.completeMemory(*res.Memory, created.Memory)
	}
	if _, set := res.Unified["memory.swap.max"]; set {
		c.rec.Asked.MemorySwap = -1
	}
	if err := specconv.ValidateResources(&res); err != nil {
		return nil, fmt.Errorf("validate resources: %w", err)
	}
	c.r.warnResources(&res, c.rec.Cgroup)
	if len(res.Devices) > 0 {
		same, err := c.sameDevices(res.Devices, created.Devices)
		if err != nil {
			return nil, err
		}
		if same {
			res.Devices = nil
		}
	}
	return &res, nil
}

// completeMemory knows that memory and memory+swap belong together. The kernel keeps both on v1; v2 is told the difference, so
// there the one that is not given is what was asked for last.
func (c *container) completeMemory(m specs.LinuxMemory, created *specs.LinuxMemory) *specs.LinuxMemory {
	if created == nil {
		created = new(specs.LinuxMemory)
	}
	limit := cmp.Or(number(m.Limit), c.rec.Asked.MemoryLimit, number(created.Limit))
	swap := cmp.Or(number(m.Swap), c.rec.Asked.MemorySwap, number(created.Swap))
	if number(m.Limit) < 0 && number(m.Swap) == 0 {
		swap = -1 // no limit on memory means none on the sum
	}
	c.rec.Asked.MemoryLimit, c.rec.Asked.MemorySwap = limit, swap
	if c.rec.Cgroup.Version == cgroups.V2 {
		switch {
		case number(m.Swap) == 0 && number(m.Limit) > 0 && swap > 0:
			m.Swap = &swap
		case number(m.Limit) == 0 && number(m.Swap) > 0 && limit != 0:
			m.Limit = &limit
		}
	}
	return &m
}

func number(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// sameDevices tells whether rules mean the same as those asked for last. Engines send all that they know with each update, and
// others, like the drivers of GPUs, may have added to the rules in the meantime: they are left alone then.
func (c *container) sameDevices(rules, created []specs.LinuxDeviceCgroup) (bool, error) {
	was, err := c.rec.Asked.DeviceRules, error(nil)
	if was == "" {
		if was, err = cgroups.DeviceList(created); err != nil {
			return false, err
		}
	}
	c.rec.Asked.DeviceRules, err = cgroups.DeviceList(rules)
	return c.rec.Asked.DeviceRules == was, err
}

// warnResources names what has no effect and is no reason to refuse a container.
func (r *Runtime) warnResources(res *specs.LinuxResources, state cgroups.State) {
	if res == nil {
		return
	}
	if res.Memory != nil && number(res.Memory.Kernel) > 0 { //nolint:staticcheck // deprecated, but people set it
		r.warn("/linux/resources/memory/kernel: ignored, the kernel has no such limit any more")
	}
	if state.Unit != "" && state.Version == cgroups.V2 && weighsIdle(res) {
		r.warn("unable to apply both a weight and idle to the unit (/linux/resources/cpu): systemd has one property for them, and it gets idle") // begins as with runc
	}
}

// weighsIdle says whether a cgroup is to be idle and to have a weight, which it then does not use.
func weighsIdle(res *specs.LinuxResources) bool {
	_, weight := res.Unified["cpu.weight"]
	idle := res.Unified["cpu.idle"] == "1"
	if cpu := res.CPU; cpu != nil {
		idle = idle || cpu.Idle != nil && *cpu.Idle == 1
		weight = weight || cpu.Shares != nil && *cpu.Shares != 0
	}
	return weight && idle
}

// asked is what updates have asked for, as far as a later one needs it; zero values mean what config.json says.
type asked struct {
	MemoryLimit, MemorySwap int64  // bytes, as in the specification
	DeviceRules             string // of cgroups.DeviceList
}

func (a *asked) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"memory_limit":`...), a.MemoryLimit, 10)
	dst = strconv.AppendInt(appendKey(dst, "memory_swap"), a.MemorySwap, 10)
	return append(appendText(dst, "device_rules", a.DeviceRules), '}')
}

func (a *asked) field(d *jsonscan.Decoder, key string) error {
	switch key {
	case "memory_limit":
		return jsonscan.Int(d, &a.MemoryLimit)
	case "memory_swap":
		return jsonscan.Int(d, &a.MemorySwap)
	case "device_rules":
		return jsonscan.Text(d, &a.DeviceRules)
	}
	return d.Skip()
}
