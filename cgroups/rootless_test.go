package cgroups

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// rootlessEnv tells the test binary that it is the unprivileged child of TestRootless.
const rootlessEnv = "HUSK_TEST_ROOTLESS"

// TestRootless creates cgroups as a user who may not.
func TestRootless(t *testing.T) {
	if os.Getenv(rootlessEnv) != "" {
		rootless(t)
		return
	}
	eachLayout(t, func(t *testing.T) {
		// The user may not be able to reach the test binary where go test built it.
		bin := "/dev/shm/husk-test-rootless"
		if err := exec.Command("cp", os.Args[0], bin).Run(); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(bin)
		cmd := exec.Command(bin, "-test.run=^TestRootless$")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), rootlessEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func rootless(t *testing.T) {
	try := func(path, doc string) (Manager, error) {
		cfg := &Config{ID: "husk-test-rootless", Path: path, Rootless: true, Resources: resources(t, doc)}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return m, m.Create(cfg)
	}
	m, err := try("", `{"pids":{"limit":-1},"cpu":{"shares":0}}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // again from the record
		p, err := m.Place()
		if err != nil || p.Into != nil || len(p.Tasks) > 0 {
			t.Errorf("place: %+v, %v", p, err)
		}
		if pids, err := m.Pids(true); len(pids) > 0 || err != nil {
			t.Errorf("pids: %v, %v", pids, err)
		}
		if frozen, err := m.Frozen(); frozen || err != nil {
			t.Errorf("frozen: %v, %v", frozen, err)
		}
		if n, err := m.OOMKills(); n > 0 || err != nil {
			t.Errorf("oom kills: %v, %v", n, err)
		}
		if m.Kill() != nil || m.Delete(0) != nil {
			t.Error("kill or delete of no cgroup")
		}
		if m.Freeze(true) == nil || m.Set(resources(t, `{"pids":{"limit":5}}`)) == nil {
			t.Error("no cgroup was frozen or limited")
		}
		if m, err = Load(m.State()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = try("", `{"pids":{"limit":5}}`)
	if err == nil || !strings.Contains(err.Error(), "rootless needs no limits + no cgrouppath when no permission is granted for cgroups") &&
		!strings.Contains(err.Error(), "cannot set pids limit: container could not join or create cgroup") {
		t.Errorf("limit: %v", err)
	}
	if _, err := try("/husk-test-rootless", `{}`); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("path: %v", err)
	}
}
