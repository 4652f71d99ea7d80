package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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

// --debug says what has been done, in this order, and when. Nothing of it is on standard error where there is a log.
func TestDebugLog(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "wait"}
		b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: env.inside, Args: []string{"inside", "hook", b.path("hook.json")}}}}
		b.save()
		log := b.path("log")
		for _, c := range []struct {
			args, steps []string
		}{
			{
				[]string{"create", "--bundle", b.dir, b.id},
				[]string{"husk ", "config.json is valid", "compiled a plan of ", " executes the plan", "createRuntime hook #0 has ended", "gate: ", "created: ", "create: exit status 0"},
			},
			{[]string{"start", b.id}, []string{"husk ", " goes on", " has executed the program", "start: exit status 0"}},
			{[]string{"exec", b.id, "/inside", "exit", "0"}, []string{"husk ", " executes a plan of ", " has executed the program", "exec: exit status 0"}},
			{[]string{"kill", b.id, "KILL"}, []string{"husk ", "sent signal 9 to ", "kill: exit status 0"}},
			{[]string{"delete", "--force", b.id}, []string{"husk ", "removed the cgroup", "removed directory ", "delete: exit status 0"}},
		} {
			os.Remove(log)
			if r := b.husk(append([]string{"--debug", "--log", log, "--log-format", "json"}, c.args...)...); r.status != 0 || r.stderr != "" {
				t.Fatal(r)
			}
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			last, rest := 0.0, string(data)
			for line := range strings.Lines(rest) {
				var entry struct {
					Level string
					MS    float64
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "debug" {
					t.Errorf("%v: %v in %q", c.args[0], err, line)
				}
				if entry.MS <= last {
					t.Errorf("%v: the time in %q", c.args[0], line)
				}
				last = entry.MS
			}
			if c.args[0] == "create" && !strings.Contains(rest, "made the cgroup") { // before the process is born, or by systemd around it
				t.Errorf("no cgroup in the log:\n%s", data)
			}
			for _, step := range c.steps {
				_, after, ok := strings.Cut(rest, step)
				if !ok {
					t.Errorf("%v: no %q in its place in the log:\n%s", c.args[0], step, data)
					continue
				}
				rest = after
			}
		}
	})
}
