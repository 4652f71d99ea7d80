package upgrade

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// A kind of container: what a build leaves to a later command beside the process itself.
type kind struct {
	name    string
	builds  []string // that can make it; nil: all
	changes string   // of the configuration
	hooks   []string // files that hooks make, in the box
}

const seccomp = `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "LISTENER", "syscalls": [{"names": ["umount2"], "action": "ACTION"}]}`

var kinds = []kind{
	{"plain", nil, "", nil},
	{"limits", nil, `/linux/resources/memory {"limit": 67108864}
		/linux/resources/pids {"limit": 64}`, nil},
	{
		"hooks", nil, `/hooks/startContainer [{"path": "/bin/touch", "args": ["touch", "/data/startContainer"]}]
		/hooks/poststart [{"path": "${rootfs}/bin/busybox", "args": ["touch", "${box}/poststart"]}]
		/hooks/poststop [{"path": "${rootfs}/bin/busybox", "args": ["touch", "${box}/poststop"]}]`,
		[]string{"${rootfs}/data/startContainer", "${box}/poststart", "${box}/poststop"},
	},
	{"host's pids", nil, `/linux/namespaces [{"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]`, nil},
	{"filter", nil, strings.NewReplacer(`"listenerPath": "LISTENER", `, "", "ACTION", "SCMP_ACT_ERRNO").Replace(seccomp), nil},
	{"listener", []string{"listener"}, strings.NewReplacer("LISTENER", "${box}/agent", "ACTION", "SCMP_ACT_NOTIFY").Replace(seccomp), nil},
	{"user namespace", []string{"listener"}, `/linux/namespaces/- {"type": "user"}
		/linux/uidMappings [{"containerID": 0, "hostID": 0, "size": 65536}]
		/linux/gidMappings [{"containerID": 0, "hostID": 0, "size": 65536}]`, nil},
}

// turns are who does what, the earlier (o) or the present build (n): create, start, exec, exec, kill, delete.
var turns = []string{"onnnnn", "ononon", "nooooo", "nonono"}

// each runs a test for each earlier build and each kind that it can make.
func each(t *testing.T, test func(t *testing.T, e earlier, k kind)) {
	for _, e := range builds {
		t.Run(e.name, func(t *testing.T) {
			for _, k := range kinds {
				if k.builds == nil || slices.Contains(k.builds, e.name) {
					t.Run(k.name, func(t *testing.T) { test(t, e, k) })
				}
			}
		})
	}
}

// Every step of a container's life by either build.
func TestLife(t *testing.T) {
	each(t, func(t *testing.T, e earlier, k kind) {
		for _, who := range turns {
			t.Run(who, func(t *testing.T) {
				p := newPair(t, e)
				bundle := p.container(k)
				p.must(who[0], "create", "--bundle", bundle, "c")
				p.is("created")
				p.must(who[1], "start", "c")
				p.is("running")
				p.appears(filepath.Join(bundle, "rootfs/data/ran"))
				pid := p.Pid("c")
				for _, build := range []byte(who[2:4]) {
					if out := p.must(build, "exec", "c", "hostname"); out != "box\n" {
						t.Errorf("exec: %q", out)
					}
				}
				p.must(who[4], "kill", "c", "KILL")
				p.gone(pid)
				p.is("stopped")
				p.must(who[5], "delete", "c")
				p.is("absent")
				for _, name := range k.hooks {
					p.appears(strings.NewReplacer("${box}", p.Dir, "${rootfs}", filepath.Join(bundle, "rootfs")).Replace(name))
				}
			})
		}
	})
}

// A container that waits for its start, and one that runs, are ended and removed by the other build.
func TestEnd(t *testing.T) {
	each(t, func(t *testing.T, e earlier, k kind) {
		for _, who := range []string{"on", "no"} {
			p := newPair(t, e)
			bundle := p.container(k)
			p.must(who[0], "create", "--bundle", bundle, "c")
			p.must(who[1], "delete", "--force", "c")
			p.is("absent")

			p.must(who[0], "create", "--bundle", bundle, "c")
			pid := p.Pid("c")
			p.must(who[1], "kill", "c") // TERM
			p.gone(pid)
			p.is("stopped")
			p.must(who[1], "delete", "c")

			p.must(who[0], "run", "--detach", "--bundle", bundle, "c")
			p.must(who[1], "delete", "--force", "c")
			p.is("absent")
		}
	})
}

// What the present build alone can do, it does with a container of an earlier one as well.
func TestPresentCommands(t *testing.T) {
	for _, e := range builds {
		t.Run(e.name, func(t *testing.T) {
			p := newPair(t, e)
			bundle := p.container(kinds[1])
			p.must('o', "create", "--bundle", bundle, "c")
			if out := p.must('n', "gc"); out != "" {
				t.Errorf("gc: %s", out)
			}
			p.must('n', "start", "c")
			p.appears(filepath.Join(bundle, "rootfs/data/ran"))
			p.must('n', "pause", "c")
			p.is("paused")
			p.must('n', "resume", "c")
			p.is("running")
			p.must('n', "update", "--memory", "33554432", "c")
			for _, args := range [][]string{{"events", "--stats", "c"}, {"stats", "--no-stream", "--format", "json", "c"}} {
				if out := p.must('n', args...); !strings.Contains(out, "33554432") {
					t.Errorf("%q does not show the limit: %s", args, out)
				}
			}
			p.must('n', "ps", "c")
			waiting := p.Start("wait", "c")
			p.must('n', "kill", "c", "KILL")
			if res := p.End(waiting); res.Code != 0 && !strings.Contains(res.Err, "not known") {
				t.Errorf("wait: %+v", res)
			}
			p.must('n', "list")
			p.must('n', "delete", "c")
		})
	}
}

// A run in the foreground goes on in the build that has begun it, while the other works on its container.
func TestForeground(t *testing.T) {
	for _, e := range builds {
		t.Run(e.name, func(t *testing.T) {
			for _, who := range []string{"on", "no"} {
				p := newPair(t, e)
				bundle := p.container(kinds[0])
				p.Binary = map[byte]string{'o': p.old, 'n': p.present}[who[0]]
				run := p.Start("run", "--bundle", bundle, "c")
				p.appears(filepath.Join(bundle, "rootfs/data/ran"))
				p.is("running")
				if out := p.must(who[1], "exec", "c", "hostname"); out != "box\n" {
					t.Errorf("exec: %q", out)
				}
				p.must(who[1], "kill", "c", "KILL")
				if res := p.End(run); res.Code != 128+9 || res.Err != "" {
					t.Errorf("%s: run: %+v", who, res)
				}
				p.is("absent")
			}
		})
	}
}

// How a container has ended may stand in its record, in a phase that the first build does not know. It says so and what to do.
func TestEndWrittenDown(t *testing.T) {
	for _, e := range builds {
		t.Run(e.name, func(t *testing.T) {
			p := newPair(t, e)
			bundle := p.Bundle(`/process/args ["/bin/sh", "-c", "exit 3"]`)
			if res := p.by('n', "run", "--keep", "--bundle", bundle, "c"); res.Code != 3 {
				t.Fatalf("run: %+v", res)
			}
			res := p.by('o', "state", "c")
			if res.Code != 0 && !strings.Contains(res.Err, `unknown phase "stopped"; delete --force removes the container`) {
				t.Errorf("state: %+v", res)
			}
			p.must('o', "delete", "--force", "c")
			p.is("absent")
		})
	}
}

// Why a program does not start is known to the process that waits, of the one build, and told by start, of the other.
func TestStartFails(t *testing.T) {
	for _, e := range builds {
		t.Run(e.name, func(t *testing.T) {
			p := newPair(t, e)
			for _, who := range []string{"on", "no"} {
				bundle := p.Bundle(`/process/args ["/data/program"]`)
				p.Write(filepath.Join(bundle, "rootfs/data/program"), "\x7fELF, but not further", 0o755)
				p.must(who[0], "create", "--bundle", bundle, "c")
				res := p.by(who[1], "start", "c")
				if res.Code != 1 || !strings.Contains(res.Err, "/process/args") || !strings.Contains(res.Err, "exec format error") {
					t.Errorf("%s: start: %+v", who, res)
				}
				p.must(who[1], "delete", "--force", "c")
			}
		})
	}
}

// A record of a later version is refused by a sentence with both versions, and delete --force ends the container all the same,
// without its configuration too.
func TestNewerRecord(t *testing.T) {
	b := harness.New(t)
	for _, status := range []string{"created", "running", "running without a cgroup"} {
		b.Globals = nil
		if strings.HasSuffix(status, "without a cgroup") {
			b.Globals = []string{"--cgroup-manager", "disabled"}
		}
		b.Must("create", "--bundle", b.Bundle(`/process/args ["/bin/sleep", "1000"]`), "c")
		b.Globals = nil // of create alone
		if status != "created" {
			b.Must("start", "c")
		}
		record := filepath.Join(b.Root, "c/state.json")
		data, err := os.ReadFile(record)
		if err == nil {
			err = os.WriteFile(record, bytes.Replace(data, []byte(`{"schema":1,`), []byte(`{"schema":99,"asked":0,`), 1), 0o600)
		}
		if err = errors.Join(err, os.Remove(filepath.Join(b.Root, "c/config.json"))); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"state", "c"}, {"start", "c"}, {"exec", "c", "true"}, {"kill", "c", "KILL"}, {"delete", "c"}} {
			if res := b.Husk(args...); res.Code == 0 || !strings.Contains(res.Err, "schema 99, this husk knows 1") {
				t.Errorf("%s: %+v", args, res)
			}
		}
		if res := b.Husk("list"); res.Code != 0 || !strings.Contains(res.Err, "schema 99") {
			t.Errorf("list: %+v", res)
		}
		b.Must("delete", "--force", "c")
	}
}

// container makes a bundle for a container of kind k, and what else it needs. Its program makes a file and goes on.
func (p *pair) container(k kind) string {
	p.T.Helper()
	p.listen(filepath.Join(p.Dir, "agent"))
	return p.Bundle(`/process/args ["/bin/sh", "-c", "touch /data/ran; exec sleep 1000"]`, k.changes)
}

// listen is an agent for filters: it holds the listeners that it is sent.
func (p *pair) listen(path string) {
	p.T.Helper()
	agent, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		p.T.Fatal(err)
	}
	done := make(chan []int)
	go func() {
		var fds []int
		defer func() { done <- fds }()
		for {
			conn, err := agent.AcceptUnix()
			if err != nil {
				return
			}
			data, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
			_, n, _, _, err := conn.ReadMsgUnix(data, control)
			conn.Close()
			if messages, err2 := unix.ParseSocketControlMessage(control[:n]); err == nil && err2 == nil && len(messages) == 1 {
				got, _ := unix.ParseUnixRights(&messages[0])
				fds = append(fds, got...)
			}
		}
	}()
	p.T.Cleanup(func() {
		agent.Close()
		for _, fd := range <-done {
			unix.Close(fd)
		}
	})
}

// is asks both builds how the container is.
func (p *pair) is(status string) {
	p.T.Helper()
	for _, p.Binary = range []string{p.old, p.present} {
		if got := p.Status("c"); got != status {
			p.T.Fatalf("%s says %q, want %q", p.Binary, got, status)
		}
	}
}

// appears waits for a file.
func (p *pair) appears(path string) {
	p.T.Helper()
	p.until(path+" is not there", func() bool { _, err := os.Stat(path); return err == nil })
}

// gone waits for the end of a process.
func (p *pair) gone(pid int) {
	p.T.Helper()
	p.until("process "+strconv.Itoa(pid)+" goes on", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
}

func (p *pair) until(complaint string, done func() bool) {
	p.T.Helper()
	for end := time.Now().Add(5 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.T.Fatal(complaint)
		}
	}
}
