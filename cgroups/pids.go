package cgroups

import "github.com/opencontainers/runtime-spec/specs-go"

// pids writes -1 (and every negative number) as no limit. 0 has been a legal limit since runtime-spec 1.3; 1 stands for it as in
// runc, whose systemd driver can't express 0: the first process enters either way and none can follow.
func (c *convert) pids(p *specs.LinuxPids) {
	if p == nil || p.Limit == nil {
		return
	}
	n := *p.Limit
	if n == 0 {
		n = 1
	}
	c.add("pids", "pids.max", limitOrMax(n), "/pids/limit").noop = n < 0
}
