package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// A failed command leaves one JSON object in its log, which Podman decodes as a whole and containerd's shim line by line, and one line
// on standard error; a command that succeeds says nothing at all.
func TestLogOfFailures(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.MountLabel = "system_u:object_r:x_t:s0" // a warning, where there is no SELinux
		b.write("rootfs/no-program", "no interpreter")
		if err := os.Chmod(b.path("rootfs/no-program"), 0o755); err != nil {
			t.Fatal(err)
		}
		logged := func(args ...string) (result, string) {
			t.Helper()
			os.Remove(b.path("log"))
			r := b.husk(append([]string{args[0], "--log", b.path("log"), "--log-format=json"}, args[1:]...)...)
			data, err := os.ReadFile(b.path("log"))
			if err != nil {
				t.Fatal(err)
			}
			return r, string(data)
		}
		fails := func(status int, words string, args ...string) {
			t.Helper()
			r, text := logged(args...)
			var line struct{ Level, Msg, Time string }
			if err := json.Unmarshal([]byte(text), &line); err != nil || !strings.HasSuffix(text, "}\n") || strings.Count(text, "\n") != 1 {
				t.Errorf("%q: %v in the log %q", args, err, text)
			}
			if _, err := time.Parse(time.RFC3339, line.Time); err != nil || line.Level != "error" || !strings.Contains(line.Msg, words) {
				t.Errorf("%q: %v, logged %+v, want %q", args, err, line, words)
			}
			// Warnings of what has failed may come first on standard error, never behind the cause.
			if !strings.HasSuffix(r.stderr, line.Msg+"\n") || r.status != status || r.stdout != "" && !strings.HasPrefix(r.stdout, "Incorrect Usage: ") {
				t.Errorf("%q: %v", args, r)
			}
		}
		succeeds := func(args ...string) {
			t.Helper()
			r, text := logged(args...)
			if r.status != 0 || r.stderr != "" || strings.Contains(text, `"error"`) {
				t.Errorf("%q: %v, logged %q", args, r, text)
			}
		}
		fails(1, "JSON specification file config.json not found", "create", "--bundle", b.dir, b.id)
		b.Process.Args = []string{"/missing"}
		b.save()
		fails(1, "runc create failed: ", "create", "--bundle", b.dir, b.id)
		fails(1, "runc run failed: ", "run", "--bundle", b.dir, b.id)
		b.Process.Args = []string{"/no-program"}
		b.save()
		succeeds("create", "--bundle", b.dir, b.id)
		fails(1, "container with given ID already exists", "create", "--bundle", b.dir, b.id)
		fails(1, "exec /no-program", "start", b.id)
		fails(255, "exec failed: cannot exec in a stopped container", "exec", b.id, "/inside")
		fails(1, "container not running", "kill", b.id, "TERM")
		succeeds("delete", b.id)
		for _, command := range [][]string{{"state"}, {"start"}, {"kill"}, {"delete"}, {"ps", "--format", "json"}, {"pause"}, {"resume"}, {"events", "--stats"}, {"update", "--pids-limit", "1"}} {
			fails(1, "container does not exist", append(command, b.id)...)
		}
		fails(255, "exec failed: container does not exist", "exec", b.id, "/inside")
		succeeds("delete", "--force", b.id)
		fails(1, "invalid value", "create", "--preserve-fds", "x", b.id)
	})
}
