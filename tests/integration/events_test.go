package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An event as the clients of runc read it.
type event struct {
	Type, ID string
	Data     struct {
		CPU struct {
			Usage struct{ Total, Kernel, User uint64 }
		}
		Memory struct {
			Usage struct{ Usage, Limit uint64 }
			Raw   map[string]uint64
		}
		Pids    struct{ Current, Limit uint64 }
		Blkio   map[string]any
		Hugetlb map[string]struct{ Usage, Max, Failcnt uint64 }
	}
}

// stream starts a command that writes a line for each event.
func (b *bundle) stream(args ...string) (*exec.Cmd, func() (line string)) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { r.Close() })
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = w, w
	b.spawn(cmd)
	w.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	return cmd, func() string {
		b.t.Helper()
		r.SetReadDeadline(time.Now().Add(limit))
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				b.t.Fatalf("%q: %v", args, err)
			}
			return ""
		}
		return lines.Text()
	}
}

func TestEvents(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		if !v.v2 {
			b.Linux.Resources.Pids = &specs.LinuxPids{Limit: value[int64](100)}
			b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: value[int64](64 << 20)}
		}
		b.detached("children", "3")
		out := b.must("events", "--stats", b.id)
		if !strings.HasPrefix(out, `{"type":"stats","id":"`+b.id+`","data":{"cpu":{"usage":{`) || strings.Count(out, "\n") != 1 {
			t.Errorf("events --stats: %q", out)
		}
		var e event
		if err := json.Unmarshal([]byte(out), &e); err != nil {
			t.Fatal(err)
		}
		equal(t, "pids", e.Data.Pids.Current, 4)
		if e.Data.CPU.Usage.Total == 0 {
			t.Errorf("no processor time: %s", out)
		}
		if !v.v2 {
			equal(t, "limit of pids", e.Data.Pids.Limit, 100)
			equal(t, "limit of memory", e.Data.Memory.Usage.Limit, 64<<20)
			if e.Data.Memory.Usage.Usage == 0 || len(e.Data.Memory.Raw) == 0 {
				t.Errorf("memory: %s", out)
			}
		}
		for _, interval := range []string{"--interval=10ms", "--interval=1s"} {
			b.fails(1, "duration interval must be greater than 0", "events", "--interval", "-1s", b.id)
			cmd, next := b.stream("events", interval, b.id)
			if interval == "--interval=10ms" {
				for range 3 {
					if line := next(); json.Unmarshal([]byte(line), &e) != nil || e.Type != "stats" || e.ID != b.id {
						t.Errorf("event %q", line)
					}
				}
				cmd.Process.Kill()
				cmd.Wait()
				continue
			}
			line := next() // from here on it watches
			b.must("kill", b.id, "KILL")
			for strings.Contains(line, `"type":"stats"`) {
				line = next()
			}
			equal(t, "line after the end", line, "")
			equal(t, "status of events", wait(t, cmd), 0)
		}
		b.fails(1, "container with id "+b.id+" is not running", "events", b.id)
		b.fails(1, "container with id "+b.id+" is not running", "events", "--stats", b.id)
		b.must("delete", b.id)
		b.fails(1, "container does not exist", "events", b.id)
	})
}

func TestEventsOOM(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsController(t, "memory")
		b := newBundle(t, v)
		b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: value[int64](16 << 20), Swap: value[int64](16 << 20)}
		b.detached("wait")
		cmd, next := b.stream("events", "--interval=20ms", b.id)
		if line := next(); !strings.Contains(line, `"stats"`) {
			t.Errorf("first event %q", line)
		}
		equal(t, "exec", b.husk("exec", b.id, "/inside", "hog").status, 128+9)
		oom := `{"type":"oom","id":"` + b.id + `"}`
		line := next()
		for line != "" && line != oom {
			line = next()
		}
		equal(t, "event", line, oom)
		b.must("delete", "--force", b.id)
		for line != "" {
			line = next()
		}
		equal(t, "status of events", wait(t, cmd), 0)
	})
}

func TestStats(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.detached("children", "3")
		table := strings.Split(b.must("stats", "--no-stream", "--interval", "10ms"), "\n")
		if len(table) != 3 || !strings.HasPrefix(table[0], "ID ") || !strings.HasPrefix(table[1], b.id+" ") {
			t.Errorf("stats: %q", table)
		}
		cmd, next := b.stream("stats", "--format", "json", "--interval", "10ms", b.id)
		for range 2 {
			var s struct {
				ID         string
				Pids       int
				CPUPercent *float64
			}
			line := next()
			if err := json.Unmarshal([]byte(line), &s); err != nil || s.ID != b.id || s.Pids != 4 || s.CPUPercent == nil {
				t.Errorf("line %q, %v", line, err)
			}
		}
		metrics := b.must("stats", "--format", "openmetrics")
		for _, line := range []string{"\n# EOF\n", "\nhusk_container_pids{id=\"" + b.id + "\"} 4\n", "\nhusk_container_cpu_seconds_total{id=\"" + b.id + "\"} 0."} {
			if !strings.Contains(metrics, line) {
				t.Errorf("no %q in\n%s", line, metrics)
			}
		}
		b.must("delete", "--force", b.id)
		for next() != "" {
		}
		equal(t, "status of stats", wait(t, cmd), 0)
		b.fails(1, "container does not exist", "stats", b.id)
		equal(t, "lines without containers", strings.Count(b.must("stats", "--no-stream", "--interval", "1ms"), "\n"), 1)
	})
}
