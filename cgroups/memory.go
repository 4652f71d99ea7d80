package cgroups

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Of the memory fields 0 means "not asked for", as in runc. `kernel` is deprecated by the specification, which lets a runtime
// ignore it; kernels from 5.16 on have no such limit.

// memoryV1 relies on two checks of the kernel: limit <= memory+swap at any time. Writing the limit first is right when
// both go down; when they go up it gives EINVAL and is written again after memory+swap.
func (c *convert) memoryV1(mem *specs.LinuxMemory, old bool) {
	if mem == nil {
		return
	}
	c.hierarchy(mem)
	if isSet(mem.Limit) {
		s := c.add("memory", "memory.limit_in_bytes", itoa(*mem.Limit), "/memory/limit")
		s.retry, s.noop = isSet(mem.Swap) || *mem.Limit == -1, *mem.Limit == -1
	}
	switch {
	case isSet(mem.Swap):
		s := c.add("memory", "memory.memsw.limit_in_bytes", itoa(*mem.Swap), "/memory/swap")
		s.noop = *mem.Swap == -1
		s.optional = s.noop // swap accounting may be off
	case isSet(mem.Limit) && *mem.Limit == -1: // no memory limit means none on the sum
		s := c.add("memory", "memory.memsw.limit_in_bytes", "-1", "/memory/limit")
		s.noop, s.optional = true, true
	}
	if isSet(mem.Reservation) {
		c.add("memory", "memory.soft_limit_in_bytes", itoa(*mem.Reservation), "/memory/reservation").noop = *mem.Reservation == -1
	}
	if isSet(mem.KernelTCP) { //nolint:staticcheck // not recommended, but asked for
		c.add("memory", "memory.kmem.tcp.limit_in_bytes", itoa(*mem.KernelTCP), "/memory/kernelTCP").noop = *mem.KernelTCP == -1 //nolint:staticcheck // as above
	}
	switch off := mem.DisableOOMKiller; {
	case off != nil && *off:
		c.add("memory", "memory.oom_control", "1", "/memory/disableOOMKiller")
	case off != nil && old: // engines send false for every new container
		c.add("memory", "memory.oom_control", "0", "/memory/disableOOMKiller").noop = true
	}
	if n, ok := swappiness(mem); ok {
		if n > 100 {
			c.fail("/memory/swappiness", "set memory.swappiness: %d is not within 0 and 100", n)
		}
		c.add("memory", "memory.swappiness", utoa(n), "/memory/swappiness")
	}
}

func (c *convert) memoryV2(mem *specs.LinuxMemory) {
	if mem == nil {
		return
	}
	c.hierarchy(mem)
	c.swapV2(mem)
	if isSet(mem.Reservation) {
		c.add("memory", "memory.low", limitOrMax(*mem.Reservation), "/memory/reservation")
	}
	if isSet(mem.KernelTCP) && *mem.KernelTCP != -1 { //nolint:staticcheck // not recommended, but asked for
		c.v1only("/memory/kernelTCP")
	}
	if mem.DisableOOMKiller != nil && *mem.DisableOOMKiller {
		c.v1only("/memory/disableOOMKiller")
	}
	if _, ok := swappiness(mem); ok {
		c.v1only("/memory/swappiness")
	}
	if isSet(mem.Limit) {
		c.add("memory", "memory.max", limitOrMax(*mem.Limit), "/memory/limit").noop = *mem.Limit < 0
	}
}

// swapV2 takes the memory out of memory.swap, which is the sum of both in config.json.
func (c *convert) swapV2(mem *specs.LinuxMemory) {
	var limit, sum int64
	if mem.Limit != nil {
		limit = *mem.Limit
	}
	if mem.Swap != nil {
		sum = *mem.Swap
	}
	at, swap := "/memory/swap", int64(-1)
	switch {
	case sum == 0 && limit < 0: // no memory limit means none on swap, as in v1
		at = "/memory/limit"
	case sum == 0:
		return
	case sum < 0:
	case limit < 0:
		swap = sum
	case limit == 0:
		c.fail(at, "set memory.swap.max: memory+swap of %d needs a memory limit to subtract", sum)
		return
	case sum < limit:
		c.fail(at, "set memory.swap.max: memory+swap of %d is less than the memory limit of %d", sum, limit)
		return
	default:
		swap = sum - limit
	}
	s := c.add("memory", "memory.swap.max", limitOrMax(swap), at)
	s.noop = swap < 0
	s.optional = swap <= 0 // without swap accounting there is no file; no limit and no swap are kept anyway
}

// hierarchy refuses what no kernel from 5.11 on can do.
func (c *convert) hierarchy(mem *specs.LinuxMemory) {
	if mem.UseHierarchy != nil && !*mem.UseHierarchy {
		c.fail("/memory/useHierarchy", "set memory.use_hierarchy: the kernel always counts sub-cgroups in (leave it out)")
	}
}

// swappiness is unset also at -1 (as the largest uint64), which engines send for "default".
func swappiness(mem *specs.LinuxMemory) (uint64, bool) {
	if mem.Swappiness == nil || *mem.Swappiness == 1<<64-1 {
		return 0, false
	}
	return *mem.Swappiness, true
}

// checkMemory serves memory.checkBeforeUpdate: v2 takes a limit below the usage and kills until it fits. (v1 refuses it.)
func (m *v2) checkMemory(mem *specs.LinuxMemory) error {
	if mem == nil || mem.CheckBeforeUpdate == nil || !*mem.CheckBeforeUpdate || !isSet(mem.Limit) || *mem.Limit < 0 {
		return nil
	}
	used, err := m.number("memory.current")
	if errors.Is(err, unix.ENOENT) { // no controller: the write of the limit says so
		return nil
	}
	if err != nil {
		return err
	}
	swapped, err := m.number("memory.swap.current")
	switch {
	case err != nil && !errors.Is(err, unix.ENOENT):
		return err
	case isSet(mem.Swap) && *mem.Swap > 0 && used+swapped >= uint64(*mem.Swap):
		return fmt.Errorf("rejecting memory+swap limit %d: %d is in use (%s/memory/checkBeforeUpdate)", *mem.Swap, used+swapped, resourcesAt)
	case used >= uint64(*mem.Limit):
		return fmt.Errorf("rejecting memory limit %d: %d is in use (%s/memory/checkBeforeUpdate)", *mem.Limit, used, resourcesAt)
	}
	return nil
}
