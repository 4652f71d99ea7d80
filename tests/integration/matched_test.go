package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// How engines read what a runtime says. Each of them takes an error for what its words say, and has its own words.

// shimNotFound is when containerd's shim takes a failed kill for "there is no such process or container" (go-runc's caller,
// checkKillError), and CRI-O likewise (isContainerNotRunning and the like).
func shimNotFound(said string) bool {
	for _, words := range []string{"os: process already finished", "container not running", "does not exist"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(said), "no such process")
}

// podmanStatus is the exit status that Podman gives a start that failed (libpod, getOCIRuntimeError).
func podmanStatus(said string) int {
	switch {
	case regexp.MustCompile(`(?i).*permission denied.*|.*operation not permitted.*`).MatchString(said):
		return 126
	case regexp.MustCompile(`(?i).*executable file not found in.*|.*no such file or directory.*`).MatchString(said):
		return 127
	}
	return 125
}

// dockerStatus is that of Docker's daemon, which knows the command (daemon/start.go, setExitCodeFromError).
func dockerStatus(said, command string) int {
	for _, words := range []string{"executable file not found", "no such file or directory", "system cannot find the file specified"} {
		if strings.Contains(said, command) && strings.Contains(said, words) {
			return 127
		}
	}
	switch {
	case strings.Contains(said, "not a directory"): // and a hint at a mount
		return 127
	case strings.Contains(said, "permission denied"):
		return 126
	}
	return 128
}

// lastError is what the shim shows: of the log, the last line at level error, if all of it are lines of JSON; what Podman shows is
// the only one.
func lastError(t *testing.T, path string) (last string, lines int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(data)) {
		var line struct {
			Level, Msg string
			Time       time.Time
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Time.IsZero() {
			t.Errorf("line of the log: %v: %q", err, text)
		}
		if line.Level == "error" {
			last = line.Msg
		}
		lines++
	}
	return last, lines
}

// A start that fails, as the engines tell it to their users.
func TestFailuresAsEnginesReadThem(t *testing.T) {
	for _, c := range []struct {
		name           string
		patch          func(*bundle)
		podman, docker int
	}{
		{"missing in PATH", func(b *bundle) { b.Process.Args[0] = "nothing" }, 127, 127},
		{"missing", func(b *bundle) { b.Process.Args[0] = "/no/such" }, 127, 127},
		{"missing interpreter", func(b *bundle) { script(b, "#!/no/such/sh\n") }, 127, 127},
		{"directory", func(b *bundle) { b.Process.Args[0] = "/tmp" }, 126, 126},
		{"not executable", func(b *bundle) { b.Process.Args[0] = "/etc/text"; b.write("rootfs/etc/text", "x") }, 126, 126},
		{"directory on a file", func(b *bundle) {
			b.makeDirs("volume")
			b.write("rootfs/etc/text", "x")
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/etc/text", Source: b.path("volume"), Options: []string{"bind"}})
		}, 125, 127},
		{"sysctl of the host", func(b *bundle) { b.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, 125, 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachView(t, func(t *testing.T, v *view) {
				b := newBundle(t, v)
				b.Process.Capabilities.Bounding = append(b.Process.Capabilities.Bounding, "CAP_UNKNOWN") // which is worth a warning
				c.patch(b)
				b.save()
				// Create or start; each has its log.
				log := b.path("log.json")
				logged := func(args ...string) result {
					cmd := b.command(args...)
					cmd.Args = slices.Insert(cmd.Args, 1, "--log-format=json", "--log", log)
					return b.finish(cmd)
				}
				r := logged("create", "--bundle", b.dir, b.id)
				if r.status == 0 {
					os.Remove(log)
					r = logged("start", b.id)
					b.must("delete", "--force", b.id)
				}
				if r.status != 1 {
					t.Fatal(r)
				}
				said, lines := lastError(t, log)
				equal(t, "lines in the log", lines, 1)
				equal(t, "the log and standard error agree", strings.Contains(r.stderr, said) && said != "", true)
				equal(t, "Podman's exit status for "+said, podmanStatus(said), c.podman)
				equal(t, "Docker's exit status for "+said, dockerStatus(said, b.Process.Args[0]), c.docker)
			})
		})
	}
}

// What is gone, or was never there: words and exit status by which engines know.
func TestGoneAsEnginesReadIt(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		for _, args := range [][]string{{"kill", b.id, "15"}, {"kill", b.id, "KILL"}, {"delete", b.id}, {"state", b.id}} {
			r := b.husk(args...)
			if r.status != 1 || !strings.Contains(r.stderr, "does not exist") || r.stdout != "" {
				t.Errorf("%q of no container: %v", args, r)
			}
		}
		b.must("delete", "--force", b.id) // containerd-shim delete, when all is gone
		b.must("delete", "-f", b.id)

		pid := b.detached("wait")
		b.must("kill", b.id, "9")
		b.gone(pid)
		for _, signal := range []string{"9", "15", "KILL", "SIGTERM", "0"} {
			r := b.husk("kill", b.id, signal)
			if r.status != 1 || !shimNotFound(r.stderr) || strings.Contains(r.stderr, "does not exist") || !strings.Contains(r.stderr, "container not running") {
				t.Errorf("kill %s of a stopped container: %v", signal, r)
			}
		}
		for _, args := range [][]string{{"kill", "--all", b.id, "9"}, {"kill", "-a", b.id, "9"}, {"kill", "-a", b.id, "KILL"}, {"--systemd-cgroup", "kill", "--all", b.id, "9"}} {
			cmd := b.command("kill")
			cmd.Args = append(cmd.Args[:len(cmd.Args)-1], args...)
			if r := b.finish(cmd); r.status != 0 || r.stderr+r.stdout != "" {
				t.Errorf("%q of a stopped container: %v", args, r)
			}
		}
		b.must("delete", b.id)
	})
}

// Podman asks for a container's state without --root, and so looks where the runtime keeps states by itself.
func TestDefaultRoots(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		withoutRoot := func(b *bundle, args ...string) *exec.Cmd {
			cmd := b.command(args...)
			i := slices.Index(cmd.Args, "--root")
			cmd.Args = slices.Delete(cmd.Args, i, i+2)
			return cmd
		}
		// Podman's own calls as root have it, but empty.
		b := newBundle(t, v)
		for _, xdg := range []string{"", b.dir} {
			cmd := withoutRoot(b, "state", b.id)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+xdg)
			r := b.finish(cmd)
			if r.status != 1 || !strings.Contains(r.stderr, "does not exist") {
				t.Errorf("state with XDG_RUNTIME_DIR=%s: %v", xdg, r)
			}
		}
		if _, err := os.Stat(b.path("husk")); err == nil {
			t.Error("root's default is below XDG_RUNTIME_DIR")
		}
		// A user without privileges has the one below XDG_RUNTIME_DIR.
		b = rootless(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		if r := b.finish(withoutRoot(b, "run", "--detach", "--bundle", b.dir, b.id)); r.status != 0 {
			t.Fatal(r)
		}
		if _, err := os.Stat(filepath.Join(b.path("run"), "husk", b.id, "state.json")); err != nil {
			t.Error(err)
		}
		b.status("running") // by --root
		for _, args := range [][]string{{"state", b.id}, {"kill", b.id, "KILL"}, {"delete", "--force", b.id}} {
			if r := b.finish(withoutRoot(b, args...)); r.status != 0 || r.stderr != "" {
				t.Errorf("%q: %v", args, r)
			}
		}
	})
}
