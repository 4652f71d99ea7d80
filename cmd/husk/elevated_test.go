package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The test program stands in for husk where the kernel has to look at its file.
func TestMain(m *testing.M) {
	if os.Getenv("HUSK_TEST_ELEVATED") != "" {
		if elevated() {
			os.Exit(42)
		}
		os.Exit(43)
	}
	os.Exit(m.Run())
}

func TestElevated(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file with the set-user-id bit that means anything")
	}
	dir, err := os.MkdirTemp("", "husk") // unlike t.TempDir, one step away from what others may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		mode os.FileMode
		uid  uint32
		want int
	}{
		{"plain, by root", 0o755, 0, 43},
		{"plain, by a user", 0o755, 65534, 43},
		{"set-user-id, by root", 0o755 | os.ModeSetuid, 0, 43},
		{"set-user-id, by a user", 0o755 | os.ModeSetuid, 65534, 42},
		{"set-group-id, by a user", 0o755 | os.ModeSetgid, 65534, 42},
	} {
		path := filepath.Join(dir, "husk")
		copyProgram(t, path, c.mode)
		cmd := exec.Command(path)
		cmd.Env = []string{"HUSK_TEST_ELEVATED=1"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.uid}}
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := cmd.ProcessState.ExitCode(); got != c.want {
			t.Errorf("%s: exit status %d, want %d", c.name, got, c.want)
		}
	}
}

func copyProgram(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	os.Remove(path)
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, self); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
