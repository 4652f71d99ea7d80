package cgroups

import (
	"math"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	minShares, defaultShares, maxShares = 2, 1024, 262144
	defaultWeight, maxWeight            = 100, 10000
	defaultPeriod                       = 100000 // µs
)

// cpuV1 keeps the order that the kernel's checks demand: a new period, burst or real-time period may only be valid together
// with the new quota or runtime, and shares can't be set while the cgroup is idle.
func (c *convert) cpuV1(cpu *specs.LinuxCPU) {
	if cpu == nil {
		return
	}
	c.idleAround(cpu, func() {
		if !isSet(cpu.Shares) {
			return
		}
		// The kernel would clamp without a word.
		switch n := *cpu.Shares; {
		case n > maxShares:
			c.fail("/cpu/shares", "the maximum allowed cpu-shares is %d", maxShares)
		case n < minShares:
			c.fail("/cpu/shares", "the minimum allowed cpu-shares is %d", minShares)
		default:
			c.add("cpu", "cpu.shares", utoa(n), "/cpu/shares").noop = n == defaultShares
		}
	})
	quota := isSet(cpu.Quota)
	if isSet(cpu.Period) {
		s := c.add("cpu", "cpu.cfs_period_us", utoa(*cpu.Period), "/cpu/period")
		s.retry, s.noop = quota, *cpu.Period == defaultPeriod
	}
	if cpu.Burst != nil {
		s := c.add("cpu", "cpu.cfs_burst_us", utoa(*cpu.Burst), "/cpu/burst")
		s.retry, s.noop = quota, *cpu.Burst == 0
	}
	if quota {
		// The kernel takes -1 for no limit and refuses the other negative numbers.
		c.add("cpu", "cpu.cfs_quota_us", itoa(max(*cpu.Quota, -1)), "/cpu/quota").noop = *cpu.Quota < 0
	}
	if isSet(cpu.RealtimePeriod) {
		c.add("cpu", "cpu.rt_period_us", utoa(*cpu.RealtimePeriod), "/cpu/realtimePeriod").retry = isSet(cpu.RealtimeRuntime)
	}
	if isSet(cpu.RealtimeRuntime) {
		c.add("cpu", "cpu.rt_runtime_us", itoa(*cpu.RealtimeRuntime), "/cpu/realtimeRuntime")
	}
}

func (c *convert) cpuV2(cpu *specs.LinuxCPU, quotaNow string) {
	if cpu == nil {
		return
	}
	c.idleAround(cpu, func() {
		if isSet(cpu.Shares) {
			c.add("cpu", "cpu.weight", utoa(weightFromShares(*cpu.Shares)), "/cpu/shares").noop = *cpu.Shares == defaultShares
		}
	})
	max, at := "", "/cpu/quota"
	switch {
	case isSet(cpu.Quota) && isSet(cpu.Period):
		max = limitOrMax(*cpu.Quota) + " " + utoa(*cpu.Period)
	case isSet(cpu.Quota): // one number alone leaves the period as it is
		max = limitOrMax(*cpu.Quota)
	case isSet(cpu.Period): // the file takes no period alone
		max, at = quotaNow+" "+utoa(*cpu.Period), "/cpu/period"
	}
	if max != "" {
		s := c.add("cpu", "cpu.max", max, at)
		s.retry, s.noop = cpu.Burst != nil, strings.HasPrefix(max, "max")
	}
	if cpu.Burst != nil { // behind the quota, which divides it by 1000 before Linux 6.10
		c.add("cpu", "cpu.max.burst", utoa(*cpu.Burst), "/cpu/burst").noop = *cpu.Burst == 0
	}
	if isSet(cpu.RealtimePeriod) {
		c.v1only("/cpu/realtimePeriod")
	}
	if isSet(cpu.RealtimeRuntime) {
		c.v1only("/cpu/realtimeRuntime")
	}
}

// quotaNow is the quota that a period has to be written with.
func (m *v2) quotaNow(cpu *specs.LinuxCPU, old bool) string {
	if old && cpu != nil && isSet(cpu.Period) && !isSet(cpu.Quota) {
		if s, err := m.read("cpu.max"); err == nil { // else the write tells what is wrong
			quota, _, _ := strings.Cut(s, " ")
			return quota
		}
	}
	return "max"
}

// idleAround puts cpu.idle (Linux 5.15) on the right side of the shares: the kernel refuses shares for an idle cgroup.
func (c *convert) idleAround(cpu *specs.LinuxCPU, shares func()) {
	idle := func() {
		c.add("cpu", "cpu.idle", itoa(*cpu.Idle), "/cpu/idle").noop = *cpu.Idle == 0
	}
	if cpu.Idle != nil && *cpu.Idle == 0 {
		idle()
	}
	shares()
	if isSet(cpu.Idle) {
		idle()
	}
}

// weightFromShares maps v1 shares [2, 262144] to a v2 weight [1, 10000] by the quadratic exponent that runc 1.3.2 and crun 1.23
// introduced: it fits the minimum, the maximum and the default (1024 to 100).
func weightFromShares(shares uint64) uint64 {
	if shares <= minShares {
		return 1
	}
	if shares >= maxShares {
		return maxWeight
	}
	if shares == defaultShares {
		return defaultWeight // exactly, however this machine rounds
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612.0-7.0/34.0)))
}
