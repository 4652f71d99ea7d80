//go:build stoppoint

package libct

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// stopAt runs a test command in a process that is to end itself at a point.
func stopAt(t *testing.T, point, line string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), commandEnv+"="+line, "HUSK_STOP_AT="+point)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Fatalf("%s did not come to %s: %v %s", line, point, err, out)
	}
}

func TestDeleteKilledAnywhere(t *testing.T) {
	for _, point := range []string{"delete-locked", "delete-killed", "delete-cgroup", "delete-poststop", "delete-files", "delete-record", "delete-done"} {
		for _, force := range []bool{false, true} {
			t.Run(point, func(t *testing.T) {
				r := newRuntime(t)
				init := spawnInterpreter(t)
				m := cgroup(t, init)
				r.put(t, "c", func(rec *record) { in(m, init, true)(rec); rec.Poststop = true })
				if err := os.WriteFile(r.file("c", gateSocket), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				stopAt(t, point, "force "+r.path+" c")
				if s, err := r.State("c"); err == nil && s.Status != Created && s.Status != Stopped {
					t.Errorf("in between: %+v", s)
				} else if err != nil && !errors.Is(err, ErrNotExist) {
					t.Errorf("in between: %v", err)
				}
				if _, warnings, err := r.List(); err != nil || len(warnings) > 0 {
					t.Errorf("in between: %v %v", warnings, err)
				}
				force := force || point == "delete-locked" // its init still lives
				if err := r.Delete("c", force); err != nil && (force || !errors.Is(err, ErrNotExist)) {
					t.Errorf("the next delete: %v", err)
				}
				if r.exists("c") || init.alive() {
					t.Error("something is left")
				}
				for _, dir := range m.State().Paths {
					if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("cgroup %s is left: %v", dir, err)
					}
				}
				r.put(t, "c", nil) // the id is free again
			})
		}
	}
}
