package libct

import (
	"slices"
	"testing"

	"husk/cgroups"
	"husk/specconv"
)

// Controllers that share a hierarchy are one mount in the container too: the kernel refuses to mount one of them alone.
func TestCgroupFacts(t *testing.T) {
	got := cgroupFacts(cgroups.State{Version: cgroups.Hybrid, Paths: map[string]string{
		"": "/u/x", "cpuacct": "/cpu,cpuacct/x", "cpu": "/cpu,cpuacct/x", "memory": "/memory/x", "name=systemd": "/systemd/x",
	}}, &cgroups.Placement{}).Hierarchies
	want := []specconv.Hierarchy{{Name: "cpu,cpuacct", Own: "/cpu,cpuacct/x"}, {Name: "memory", Own: "/memory/x"}, {Name: "systemd", Own: "/systemd/x"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
