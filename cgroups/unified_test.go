package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnified covers what only cgroup2 can do or refuse. It runs where there is no v1 file system in sight.
func TestUnified(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		base := scratch(t)
		all, err := os.ReadFile(root + "/cgroup.controllers")
		if err != nil {
			t.Fatal(err)
		}
		m := create(t, &Config{Path: base, Owner: 1000, Resources: resources(t, `{"cpu":{"shares":1024},"pids":{"limit":-1},"memory":{"disableOOMKiller":false}}`)})
		if got := file(t, m, "", "cgroup.controllers"); got != strings.TrimSpace(string(all)) {
			t.Errorf("controllers %q of %q", got, all)
		}
		dir := m.State().Paths[""]
		for name, want := range map[string]uint32{"": 1000, "/cgroup.procs": 1000, "/cgroup.subtree_control": 1000, "/cgroup.threads": 1000, "/cgroup.max.depth": 0} {
			var st unix.Stat_t
			if err := unix.Stat(dir+name, &st); err != nil || st.Uid != want {
				t.Errorf("owner of %s%s is %d, %v; want %d", dir, name, st.Uid, err, want)
			}
		}
		if err := m.Set(resources(t, `{"unified":{"cgroup.max.depth":"3"}}`)); err != nil || file(t, m, "", "cgroup.max.depth") != "3" {
			t.Errorf("unified: %v", err)
		}
		if strings.Contains(string(all), "hugetlb") {
			if err := m.Set(resources(t, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)); err != nil {
				t.Error(err)
			}
			if a, b := file(t, m, "", "hugetlb.2MB.max"), file(t, m, "", "hugetlb.2MB.rsvd.max"); a != "4194304" || b != a {
				t.Errorf("hugetlb limits %q and %q", a, b)
			}
		}
		if !strings.Contains(string(all), "memory") {
			err := m.Set(resources(t, `{"memory":{"limit":67108864}}`))
			if err == nil || !strings.Contains(err.Error(), `controller "memory" not available`) || !strings.Contains(err.Error(), "/linux/resources/memory/limit") {
				t.Errorf("limit without controller: %v", err)
			}
		}
	})
}

// TestInternalProcesses asks for a limit below a cgroup that has processes.
func TestInternalProcesses(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		if all, err := os.ReadFile(root + "/cgroup.controllers"); err != nil || !strings.Contains(string(all), "hugetlb") {
			t.Skipf("needs the hugetlb controller in cgroup2, there is %q, %v", all, err)
		}
		base := scratch(t)
		parent := create(t, &Config{Path: base})
		place(t, parent)
		cfg := &Config{Path: base + "/c", Resources: resources(t, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Create(cfg); err == nil || !strings.Contains(err.Error(), base+" has processes of its own") {
			t.Errorf("limit below a cgroup with processes: %v", err)
		}
		if _, err := os.Stat(root + base + "/c"); err == nil {
			t.Error("the cgroup is left")
		}
		cfg.Resources = nil // nothing is asked of the controller: fine
		create(t, cfg)
	})
}

// theirs makes cgroups as somebody else would: base and some below it.
func theirs(t *testing.T, base string, below ...string) {
	t.Helper()
	for _, name := range append([]string{""}, below...) {
		if err := os.MkdirAll(root+base+name, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(root + base + name) })
	}
}

// TestThreaded asks for cgroups in which no process can be started: below a threaded one, and beside it, where the parent has
// become the root of a threaded subtree.
func TestThreaded(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		base := scratch(t)
		theirs(t, base, "/threaded")
		if err := os.WriteFile(root+base+"/threaded/cgroup.type", []byte("threaded"), 0); err != nil {
			t.Skipf("no threaded cgroup here: %v", err)
		}
		for _, inner := range []string{"/threaded/c", "/c", "/made/c"} {
			cfg := &Config{Path: base + inner}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = m.Create(cfg)
			if err == nil || !strings.Contains(err.Error(), `it is "domain invalid" because a cgroup above is threaded`) {
				t.Errorf("create %s: %v", inner, err)
			}
			for _, name := range []string{inner, "/made"} {
				if _, err := os.Stat(root + base + name); err == nil {
					t.Errorf("%s is left after %s", name, inner)
				}
			}
		}
		if err := os.Remove(root + base + "/threaded"); err != nil {
			t.Fatal(err)
		}
		create(t, &Config{Path: base + "/c"}) // the parent is an ordinary one again
	})
}

// TestPassOn makes cgroups below some that others have made and that pass on nothing. What Create has made goes when it fails;
// what they pass on since then stays, as a sibling may have limits by it already.
func TestPassOn(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		all, err := os.ReadFile(root + "/cgroup.controllers")
		if err != nil {
			t.Fatal(err)
		}
		base := scratch(t)
		theirs(t, base, "/theirs", "/theirs/too")
		look := func(want string) {
			t.Helper()
			for _, inner := range []string{"", "/theirs", "/theirs/too"} {
				data, err := os.ReadFile(root + base + inner + "/cgroup.subtree_control")
				if got := strings.TrimSpace(string(data)); err != nil || got != strings.TrimSpace(want) {
					t.Errorf("%s passes on %q, %v; want %q", inner, got, err, want)
				}
			}
		}
		look("")
		cfg := &Config{Path: base + "/theirs/too/ours/c", Resources: resources(t, `{"hugepageLimits":[{"pageSize":"7MB","limit":1}]}`)}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Create(cfg); err == nil || !strings.Contains(err.Error(), "/linux/resources/hugepageLimits/0") {
			t.Fatalf("create with a page size that no machine has: %v", err)
		}
		if _, err := os.Stat(root + base + "/theirs/too/ours"); err == nil {
			t.Error("a directory is left")
		}
		look(string(all))
		m = create(t, &Config{Path: base + "/theirs/too/c"})
		if got := file(t, m, "", "cgroup.controllers"); got != strings.TrimSpace(string(all)) {
			t.Errorf("controllers %q of %q", got, all)
		}
	})
}

func TestDelegated(t *testing.T) {
	list := filepath.Join(t.TempDir(), "delegate")
	look := func(want ...string) {
		t.Helper()
		if got, err := delegated(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	look("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
	if err := os.WriteFile(list, []byte("cgroup.procs\nmemory.oom.group\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look("cgroup.procs", "memory.oom.group")
}

// TestRefusedCpuset: a cgroup with processes can't go back to the CPUs that it inherits, so it gets the same ones by number.
func TestRefusedCpuset(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		if os.Getenv(unifiedEnv) == "" {
			t.Skip("the unified layout has its own run")
		}
		m := create(t, &Config{Path: scratch(t)})
		if _, err := os.Stat(m.State().Paths[""] + "/cpuset.cpus"); err != nil {
			t.Skipf("needs the cpuset controller in cgroup2: %v", err)
		}
		place(t, m)
		before := file(t, m, "", "cpuset.cpus.effective")
		err := m.Set(resources(t, `{"cpu":{"cpus":"0","mems":"4000"}}`))
		if err == nil || !strings.Contains(err.Error(), "(/linux/resources/cpu/mems)") || strings.Contains(err.Error(), "put back") {
			t.Error(err)
		}
		if after := file(t, m, "", "cpuset.cpus.effective"); after != before {
			t.Errorf("from CPUs %q to %q", before, after)
		}
	})
}
