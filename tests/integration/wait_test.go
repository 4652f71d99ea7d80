package integration

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The exit status of a detached container, whose parent is another process.
func TestWait(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		pid := b.detached("wait")
		cmd, next := b.stream("wait", b.id)
		json, nextJSON := b.stream("wait", "--format", "json", b.id)
		b.must("kill", b.id, "USR1")
		equal(t, "exit status", next(), "110")
		equal(t, "as JSON", nextJSON(), `{"id":"`+b.id+`","exitStatus":110}`)
		equal(t, "status of wait", wait(t, cmd)+wait(t, json), 0)
		b.gone(pid)
		b.status("stopped")
		equal(t, "afterwards", b.must("wait", b.id), "110\n")
		if state := b.must("state", b.id); !strings.Contains(state, `"exitStatus": 110`) {
			t.Errorf("state: %s", state)
		}
		if list := b.must("list", "-f", "json"); !strings.Contains(list, `"exitStatus":110`) {
			t.Errorf("list: %s", list)
		}
		b.must("delete", b.id)
		b.fails(1, "container does not exist", "wait", b.id)

		b = newBundle(t, v)
		b.Process.Args = []string{"/inside", "exit", "5"}
		equal(t, "run --keep", b.run("--keep").status, 5)
		equal(t, "wait after run --keep", b.must("wait", b.id), "5\n")
		b.must("delete", b.id)
	})
}

func TestWaitOOM(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsController(t, "memory")
		b := newBundle(t, v)
		b.Linux.Resources.Memory = &specs.LinuxMemory{Limit: value[int64](16 << 20), Swap: value[int64](16 << 20)}
		b.Process.Args = []string{"/inside", "hog"}
		equal(t, "run", b.run("--keep").status, 128+9)
		end := b.must("wait", "--format", "json", b.id)
		if v.systemd && end == `{"id":"`+b.id+`","exitStatus":137,"signal":9}`+"\n" {
			b.must("delete", b.id)
			t.Skip("systemd has removed the cgroup before its count of killed processes could be read")
		}
		equal(t, "wait", end, `{"id":"`+b.id+`","exitStatus":137,"signal":9,"oomKilled":true}`+"\n")
		if state := b.must("state", b.id); !strings.Contains(state, `"oomKilled": true`) {
			t.Errorf("state: %s", state)
		}
		b.must("delete", b.id)
	})
}
