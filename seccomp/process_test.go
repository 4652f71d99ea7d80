package seccomp_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"husk/seccomp"
)

// program returns the content of a program of the host.
func program(t *testing.T, name string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no program: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestProcessGetsItsInputAndNothingElse(t *testing.T) {
	input := []byte(strings.Repeat("a long input ", 1<<16))
	if output, err := seccomp.Run(program(t, "cat"), input, time.Minute); err != nil || string(output) != string(input) {
		t.Errorf("%d bytes of %d, %v", len(output), len(input), err)
	}
	if output, err := seccomp.Run(program(t, "env"), nil, time.Minute); err != nil || len(output) != 0 {
		t.Errorf("environment %q, %v", output, err)
	}
}

func TestProcessThatDoesNotEnd(t *testing.T) {
	start := time.Now()
	_, err := seccomp.Run(program(t, "yes"), nil, 0)
	if err == nil || !strings.Contains(err.Error(), "compiler does not end") {
		t.Errorf("got %v", err)
	}
	if _, err = seccomp.Run(program(t, "yes"), nil, time.Minute); err == nil || !strings.Contains(err.Error(), "answers with more than") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestProcessThatIsNoCompiler(t *testing.T) {
	for name, want := range map[string]string{
		"true":  `compile seccomp profile: compiler exited with status 0: ""`,
		"false": `compile seccomp profile: compiler exited with status 1: ""`,
		"sleep": `compile seccomp profile: compiler exited with status 1: "`, // its complaint follows
	} {
		err := seccomp.WaitFor(program(t, name))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := seccomp.WaitFor([]byte("no program at all")); err == nil || !strings.Contains(err.Error(), "execute memfd: exec format error") {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	for range 20 {
		pending, err := seccomp.Start(docker(t))
		if err != nil {
			t.Fatal(err)
		}
		pending.Cancel()
	}
}
