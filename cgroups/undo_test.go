package cgroups

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPrevious(t *testing.T) {
	const devices = "8:0 rbps=5 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=7 riops=max wiops=max\n"
	for _, tt := range []struct{ file, value, content, want string }{
		{"memory.limit_in_bytes", "5", "9223372036854771712\n", "9223372036854771712"},
		{"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "0"},
		{"memory.oom_control", "0", "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n", "1"},
		{"cpu.max", "50000 100000", "max 100000\n", "max 100000"},
		{"cpu.max", "max 50000", "max 100000\n", "max 100000"},
		{"cpuset.cpus", "0", "\n", "\n"},
		{"pids.max", "5", "max\n", "max"},
		{"io.max", "8:0 rbps=9", devices, "8:0 rbps=5 wbps=max riops=max wiops=max"},
		{"io.max", "8:1 rbps=9", devices, "8:1 rbps=max wbps=max riops=max wiops=max"},
		{"io.max", "8:1 rbps=9", "", "8:1 rbps=max wbps=max riops=max wiops=max"},
		{"io.weight", "500", "default 100\n8:0 50\n", "default 100"},
		{"io.weight", "8:0 500", "default 100\n8:0 50\n", "8:0 50"},
		{"io.weight", "8:16 500", "default 100\n8:0 50\n", "8:16 default"},
		{"io.bfq.weight", "500", "100\n", "100"}, // before Linux 5.4
		{"blkio.bfq.weight", "500", "100\n", "100"},
		{"blkio.bfq.weight_device", "8:0 500", "default 100\n", "8:0 default"},
		{"blkio.throttle.read_bps_device", "8:0 600", "", "8:0 0"},
		{"blkio.throttle.read_bps_device", "8:0 600", "8:0 9\n", "8:0 9"},
		{"rdma.max", "mlx4_0 hca_handle=2", "mlx4_0 hca_handle=max hca_object=5\n", "mlx4_0 hca_handle=max hca_object=5"},
		{"rdma.max", "other hca_handle=2", "mlx4_0 hca_handle=max hca_object=5\n", ""},
		{"net_prio.ifpriomap", "eth0 5", "lo 0\neth0 1\n", "eth0 1"},
		{"dmem.max", "drm/a 5", "drm/a max\ndrm/b 7\n", "drm/a max"},
		{"unknown.list", "5", "a 1\nb 2\n", ""},
	} {
		if got := previous(tt.file, tt.value, tt.content); got != tt.want {
			t.Errorf("%s=%q over %q: %q, want %q", tt.file, tt.value, tt.content, got, tt.want)
		}
	}
}

// TestPutBack has a write refused and looks that those before it are put back.
func TestPutBack(t *testing.T) {
	d := fake(t, "a.one", "a.two", "io.max")
	for name, content := range map[string]string{"a.one": "1\n", "a.two": "2", "io.max": "8:0 rbps=5"} {
		if err := os.WriteFile(d.path+"/"+name, []byte(content), 0); err != nil {
			t.Fatal(err)
		}
	}
	list := []setting{
		{file: "a.one", value: "5"},
		{file: "a.absent", value: "6", alt: "a.two", altValue: "7"},
		{file: "io.max", value: "8:0 rbps=9"},
		{file: "a.one", value: "8"},
	}
	find := func(string) *dir { return &d }
	lacks := func(setting) error { return unix.ENODEV }
	u := new(undo)
	if err := u.after(apply(list, find, lacks, u)); err != nil {
		t.Fatal(err)
	}
	expect := func(name, want string) {
		t.Helper()
		if got, _ := os.ReadFile(d.path + "/" + name); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"a.one": "8", "a.two": "7", "io.max": "8:0 rbps=9"} {
		expect(name, want)
	}
	// As before, and one more that fails. A plain file keeps the tail of a longer value.
	for name, content := range map[string]string{"a.one": "1", "a.two": "2", "io.max": "8:0 rbps=5"} {
		if err := os.WriteFile(d.path+"/"+name, []byte(content), 0); err != nil {
			t.Fatal(err)
		}
	}
	u = new(undo)
	err := u.after(apply(append(list, setting{file: "a.refused", value: "1"}), find, lacks, u))
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("error %v", err)
	}
	for name, want := range map[string]string{"a.one": "1", "a.two": "2", "io.max": "8:0 rbps=5"} {
		expect(name, want)
	}
}

// TestCheckBeforeUpdate has 60 bytes of memory and 10 of swap in use.
func TestCheckBeforeUpdate(t *testing.T) {
	m := &v2{dir: fake(t)}
	for name, content := range map[string]string{"memory.current": "60\n", "memory.swap.current": "10\n"} {
		if err := os.WriteFile(m.path+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for doc, want := range map[string]string{
		`{"limit":61,"checkBeforeUpdate":true}`:           "",
		`{"limit":60,"checkBeforeUpdate":true}`:           "rejecting memory limit 60: 60 is in use",
		`{"limit":60,"checkBeforeUpdate":false}`:          "",
		`{"limit":60}`:                                    "",
		`{"limit":-1,"checkBeforeUpdate":true}`:           "",
		`{"limit":65,"swap":70,"checkBeforeUpdate":true}`: "rejecting memory+swap limit 70: 70 is in use",
		`{"limit":65,"swap":71,"checkBeforeUpdate":true}`: "",
		`{"limit":5,"swap":6,"checkBeforeUpdate":true}`:   "rejecting memory+swap limit 6: 70 is in use",
		`{"limit":65,"swap":-1,"checkBeforeUpdate":true}`: "",
		`{"reservation":5,"checkBeforeUpdate":true}`:      "",
	} {
		err := m.checkMemory(resources(t, `{"memory":`+doc+`}`).Memory)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
	if err := os.Remove(m.path + "/memory.current"); err != nil {
		t.Fatal(err)
	}
	if err := m.checkMemory(resources(t, `{"memory":{"limit":5,"checkBeforeUpdate":true}}`).Memory); err != nil {
		t.Errorf("without the controller: %v", err)
	}
}
