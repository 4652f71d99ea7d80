package libct

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/cgroups"
	"husk/specconv"
)

func resources(t *testing.T, doc string) *specs.LinuxResources {
	t.Helper()
	r, err := specconv.ParseResources([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Memory and memory+swap after one another: what was asked for, an update, and what the kernel is told of it.
func TestCompleteMemory(t *testing.T) {
	for _, tt := range []struct {
		created, update string
		v1, v2          [2]int64 // limit and swap, 0 for none
		later           [2]int64 // the record
	}{
		{created: `{}`, update: `{"limit":5}`, v1: [2]int64{5}, v2: [2]int64{5}, later: [2]int64{5}},
		{created: `{"limit":5}`, update: `{"limit":6}`, v1: [2]int64{6}, v2: [2]int64{6}, later: [2]int64{6}},
		{created: `{"limit":5,"swap":9}`, update: `{"limit":6}`, v1: [2]int64{6}, v2: [2]int64{6, 9}, later: [2]int64{6, 9}},
		{created: `{"limit":5,"swap":9}`, update: `{"limit":-1}`, v1: [2]int64{-1}, v2: [2]int64{-1}, later: [2]int64{-1, -1}},
		{created: `{"limit":5,"swap":-1}`, update: `{"limit":6}`, v1: [2]int64{6}, v2: [2]int64{6}, later: [2]int64{6, -1}},
		{created: `{"limit":5,"swap":9}`, update: `{"swap":8}`, v1: [2]int64{0, 8}, v2: [2]int64{5, 8}, later: [2]int64{5, 8}},
		{created: `{"limit":5,"swap":9}`, update: `{"swap":-1}`, v1: [2]int64{0, -1}, v2: [2]int64{0, -1}, later: [2]int64{5, -1}},
		{created: `{"limit":5,"swap":9}`, update: `{"limit":7,"swap":8}`, v1: [2]int64{7, 8}, v2: [2]int64{7, 8}, later: [2]int64{7, 8}},
		{created: `{"limit":5,"swap":9}`, update: `{"reservation":4}`, later: [2]int64{5, 9}},
		{created: `{}`, update: `{"swap":9}`, v1: [2]int64{0, 9}, v2: [2]int64{0, 9}, later: [2]int64{0, 9}},
	} {
		for version, want := range map[string][2]int64{cgroups.V1: tt.v1, cgroups.Hybrid: tt.v1, cgroups.V2: tt.v2} {
			c := &container{rec: record{Cgroup: cgroups.State{Version: version}}}
			created, update := resources(t, `{"memory":`+tt.created+`}`).Memory, resources(t, `{"memory":`+tt.update+`}`).Memory
			m := c.completeMemory(*update, created)
			if got := [2]int64{number(m.Limit), number(m.Swap)}; got != want {
				t.Errorf("%s, then %s on %s: %d, want %d", tt.created, tt.update, version, got, want)
			}
			if got := [2]int64{c.rec.Asked.MemoryLimit, c.rec.Asked.MemorySwap}; got != tt.later {
				t.Errorf("%s, then %s on %s: recorded %d, want %d", tt.created, tt.update, version, got, tt.later)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	m := cgroup(t, init)
	r.put(t, "c", in(m, init, true))
	pids := m.State().Paths["pids"]
	if m.State().Version == cgroups.V2 {
		pids = m.State().Paths[""]
	}
	if _, err := os.Stat(pids + "/pids.max"); err != nil {
		t.Skipf("needs the pids controller: %v", err)
	}
	expect := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(pids + "/pids.max"); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("pids.max is %q, %v; want %s", got, err, want)
		}
	}
	update := func(doc string) error {
		return r.Update(UpdateOptions{ID: "c", Resources: resources(t, doc)})
	}
	deny := `"devices":[{"allow":false,"access":"rwm"}]`
	for _, doc := range []string{`{}`, `{"pids":{"limit":30}}`, `{"memory":{"kernel":5}}`, `{"pids":{"limit":31},` + deny + `}`} {
		if err := update(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	expect("31")
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "/memory/kernel") {
		t.Errorf("warnings %q", r.warnings)
	}
	before, err := os.ReadFile(r.file("c", recordFile))
	if err != nil {
		t.Fatal(err)
	}
	for doc, words := range map[string]string{
		`{"pids":{"limit":5},"memory":{"limit":-7,"swap":-8}}`:                    "/memory/limit: -7 is neither a number of bytes nor -1 for unlimited (config-linux.md#memory); /memory/swap: -8",
		`{"pids":{"limit":5},"memory":{"limit":9,"swap":8}}`:                      "/memory/swap: memory and swap together (8)",
		`{"pids":{"limit":5},"memory":{"limit":1048576},"cpu":{"cpus":"4000"}}`:   "(/linux/resources/cpu/cpus)",
		`{"pids":{"limit":5},"devices":[{"allow":true,"type":"c","access":"q"}]}`: `/devices/0/access: "q" is not made of`,
	} {
		if err := update(doc); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", doc, err)
		}
		if after, err := os.ReadFile(r.file("c", recordFile)); err != nil || string(after) != string(before) {
			t.Errorf("%s: the record has changed to %s, %v", doc, after, err)
		}
		expect("31")
	}
	if err := r.Update(UpdateOptions{ID: "c", Resources: resources(t, `{}`), L3CacheSchema: "L3:0=f"}); err == nil || !strings.Contains(err.Error(), "Intel RDT") {
		t.Errorf("schema for a container without intelRdt: %v", err)
	}
	if err := r.Kill("c", 9, false); err != nil {
		t.Fatal(err)
	}
	init.ended()
	if err := update(`{}`); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a stopped container: %v", err)
	}
	r.put(t, "bare", nil)
	if err := r.Update(UpdateOptions{ID: "none", Resources: resources(t, `{}`)}); !errors.Is(err, ErrNotExist) {
		t.Errorf("an unknown container: %v", err)
	}
}

// Rules that mean what was asked for last are left alone, whatever has been done to the cgroup meanwhile.
func TestSameDevices(t *testing.T) {
	c := &container{}
	deny := `{"allow":false,"access":"rwm"}`
	fuse := `{"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"}`
	created := resources(t, `{"devices":[`+deny+`]}`).Devices
	for _, step := range []struct {
		rules string
		same  bool
	}{{deny, true}, {deny + "," + deny, true}, {deny + "," + fuse, false}, {deny + "," + fuse, true}, {deny, false}} {
		same, err := c.sameDevices(resources(t, `{"devices":[`+step.rules+`]}`).Devices, created)
		if same != step.same || err != nil {
			t.Errorf("%s: %v, %v; want %v", step.rules, same, err, step.same)
		}
	}
}
