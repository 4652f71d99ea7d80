package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// created makes a container whose program is not started yet.
func (b *bundle) created(options ...string) *pipe {
	b.t.Helper()
	b.save()
	out := b.pipe()
	cmd := b.command(slices.Concat([]string{"create", "--bundle", b.dir}, options, []string{b.id})...)
	cmd.Stdout, cmd.Stderr = out.w, out.w
	b.spawn(cmd)
	out.w.Close()
	if status := wait(b.t, cmd); status != 0 {
		b.t.Fatalf("create: status %d, %s", status, out.rest())
	}
	return out
}

// gone waits for the end of the container's program.
func (b *bundle) gone(pid int) {
	b.t.Helper()
	if !awaitEnd(pid, limit) {
		b.t.Fatalf("process %d goes on", pid)
	}
}

func TestLifecycle(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Annotations = map[string]string{"a": "1", "quote\"": "\\"}
		b.Process.Args = []string{"/inside", "wait"}
		pidFile := b.path("pid")
		out := b.created("--pid-file", pidFile)
		s := b.state()
		equal(t, "status", string(s.Status), "created")
		equal(t, "ociVersion", s.Version, b.Version)
		equal(t, "id", s.ID, b.id)
		equal(t, "bundle", s.Bundle, b.dir)
		equal(t, "rootfs", s.Rootfs, b.path("rootfs"))
		equal(t, "annotation", s.Annotations["quote\""], "\\")
		if age := time.Since(s.Created); age < 0 || age > limit {
			t.Errorf("created %v ago", age)
		}
		data, err := os.ReadFile(pidFile)
		equal(t, "pid file", string(data), itoa(s.Pid))
		equal(t, "error of the pid file", err, nil)
		equal(t, "parent of the program", parentOf(t, s.Pid), os.Getpid()) // the subreaper
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.Pid)); err != nil || strings.Contains(exe, env.husk) {
			t.Errorf("the waiting process is %q, %v", exe, err)
		}
		b.fails(1, "container with given ID already exists", "create", "--bundle", b.dir, b.id)
		b.status("created")

		b.must("start", b.id)
		out.expect("ready\n")
		b.status("running")
		equal(t, "pid after start", b.state().Pid, s.Pid)
		b.fails(1, "cannot start an already running container", "start", b.id)
		b.fails(1, "cannot delete container "+b.id+" that is not stopped: running", "delete", b.id)
		b.must("kill", b.id, "0")
		b.must("kill", b.id) // TERM
		b.gone(s.Pid)
		s = b.state()
		equal(t, "status", string(s.Status), "stopped")
		equal(t, "pid", s.Pid, 0)
		b.fails(1, "cannot start a container that has stopped", "start", b.id)
		b.fails(1, "container not running", "kill", b.id)
		b.fails(1, "container not running", "kill", b.id, "KILL")
		b.must("kill", "--all", b.id, "9")
		b.must("kill", "-a", b.id, "TERM")
		b.fails(255, "cannot exec in a stopped container", "exec", b.id, "/inside", "exit", "0")
		b.must("delete", b.id)
		for _, command := range []string{"state", "start", "kill", "delete", "ps"} {
			b.fails(1, "container does not exist", command, b.id)
		}
		b.fails(255, "container does not exist", "exec", b.id, "x")
		b.must("delete", "--force", b.id)
	})
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	parent, _ := strconv.Atoi(f[1])
	return parent
}

// A container that was created and not started is not stopped, so delete wants force or a kill before it (runtime.md#delete).
func TestDeleteCreated(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, option := range []string{"--force", "-f"} {
			b := newBundle(t, v)
			b.created()
			b.fails(1, "cannot delete container "+b.id+" that is not stopped: created", "delete", b.id)
			b.status("created")
			b.must("delete", option, b.id)
			b.fails(1, "container does not exist", "state", b.id)
		}
		b := newBundle(t, v)
		b.created()
		pid := b.state().Pid
		b.must("kill", b.id, "KILL")
		b.gone(pid)
		b.status("stopped")
		b.must("delete", b.id)
	})
}

// Every spelling of a signal reaches the program, in every state in which there is one.
// Signals that others than husk send end a container that waits to be started, though its process is the first of its namespace.
func TestKillCreated(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, 64} {
			b := newBundle(t, v)
			b.created()
			pid := b.state().Pid
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
			b.gone(pid)
			b.status("stopped")
			b.must("delete", b.id)
		}
		b := newBundle(t, v)
		b.created()
		pid := b.state().Pid
		for _, signal := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP} {
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
		}
		b.status("created")
		b.must("delete", "--force", b.id)
	})
}

func TestKill(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "signals"}
		out := b.created()
		b.must("start", b.id)
		out.expect("ready\n")
		for word, number := range map[string]int{
			"HUP": 1, "SIGHUP": 1, "1": 1, "hup": 1, "SigUsr1": 10, "10": 10, "WINCH": 28, "RTMIN": 34, "34": 34, "64": 64,
		} {
			r := b.husk("kill", b.id, word)
			if word == "RTMIN" { // no signal of that name for runc either
				continue
			}
			equal(t, "kill "+word, r.status, 0)
			out.expect(fmt.Sprintf("signal %d ", number))
		}
		b.fails(1, "signal", "kill", b.id, "NOPE")
		b.fails(1, "signal", "kill", b.id, "65")
		b.must("kill", b.id, "TERM")
		out.expect("signal 15 ")
		b.must("delete", "--force", b.id)

		b = newBundle(t, v)
		pid := b.detached("children", "20")
		var pids []int
		if err := json.Unmarshal([]byte(b.must("ps", "--format", "json", b.id)), &pids); err != nil {
			t.Fatal(err)
		}
		equal(t, "processes", len(pids), 21)
		equal(t, "the first of them", slices.Contains(pids, pid), true)
		b.must("kill", "--all", b.id, "KILL")
		for _, pid := range pids {
			b.gone(pid)
		}
		b.status("stopped")
		b.must("delete", b.id)
	})
}

// Without a pid namespace of its own all of a container's processes must end with it.
func TestSharedPidNamespace(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, how := range [][]string{{"delete", "--force"}, {"kill", "KILL"}, {"init dies", ""}} {
			t.Run(how[0], func(t *testing.T) {
				b := newBundle(t, v)
				without(b, specs.PIDNamespace)
				pid := b.detached("children", "5")
				var pids []int
				if err := json.Unmarshal([]byte(b.must("ps", "-f", "json", b.id)), &pids); err != nil {
					t.Fatal(err)
				}
				equal(t, "processes", len(pids), 6)
				switch how[0] {
				case "delete":
					b.must("delete", "--force", b.id)
				case "kill":
					b.must("kill", b.id, "KILL")
				default:
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
					b.gone(pid)
					b.status("stopped")
					b.must("kill", "--all", b.id, "9")
				}
				for _, pid := range pids {
					b.gone(pid)
				}
				if how[0] != "delete" {
					b.must("delete", b.id)
				}
			})
		}
	})
}

// Without a pid namespace of its own a container's orphans become children of the command in the foreground. Nobody else reaps them,
// and one that is not reaped counts against the limit of processes.
func TestOrphans(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		without(b, specs.PIDNamespace)
		b.Process.Args = []string{"/inside", "orphans", "5"}
		equal(t, "run", b.run().String(), result{stdout: "reaped\n"}.String())
		equal(t, "run --keep", b.run("--keep").String(), result{stdout: "reaped\n"}.String())
		b.must("delete", b.id)
		b.adopt(b.detached("wait"))
		equal(t, "exec", b.must("exec", b.id, "/inside", "orphans", "5"), "reaped\n")
		b.must("delete", "--force", b.id)
	})
}

// The exit status of run is that of the program also where the container can't be removed after it.
func TestRunThatStays(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		cmd, out := b.foreground("wait")
		b.makeDirs("state/" + b.id + "/strange/1/2/3/4/5/6/7/8/9") // deeper than anything that husk makes
		b.must("kill", b.id, "USR1")
		equal(t, "exit status", wait(t, cmd), 110)
		if said := out.rest(); !strings.Contains(said, "strange: is a directory; the container stays, delete it later") {
			t.Errorf("said %q", said)
		}
		b.status("stopped")
		if s := b.must("state", b.id); !strings.Contains(s, `"exitStatus": 110`) {
			t.Error(s)
		}
		if err := os.RemoveAll(b.path("state/" + b.id + "/strange")); err != nil {
			t.Fatal(err)
		}
		b.must("delete", b.id)
	})
}

func TestListAndPs(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		pid := b.detached("wait")
		var list []struct {
			ID, Status, Bundle, Rootfs, Owner string
			Pid                               int
			OCIVersion                        string
			Created                           time.Time
		}
		if err := json.Unmarshal([]byte(b.must("list", "--format", "json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 {
			t.Fatalf("list: %+v", list)
		}
		equal(t, "id", list[0].ID, b.id)
		equal(t, "status", list[0].Status, "running")
		equal(t, "pid", list[0].Pid, pid)
		owner := "root"
		if v.user != nil {
			owner = v.user.name
		}
		equal(t, "owner", list[0].Owner, owner)
		equal(t, "quiet list", b.must("list", "-q"), b.id+"\n")
		table := b.must("list")
		for i, word := range []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"} {
			equal(t, "heading", strings.Fields(table)[i], word)
		}
		table = b.must("ps", b.id)
		if strings.Count(table, "\n") != 2 || !strings.Contains(table, "/inside wait") {
			t.Errorf("ps: %q", table)
		}
		table = b.must("ps", "-f", "table", b.id, "-e", "-o", "comm,pid", "--sort=-pid")
		if lines := strings.Fields(table); !slices.Equal(lines, []string{"COMMAND", "PID", "inside", itoa(pid)}) {
			t.Errorf("ps with options: %q", table)
		}
		b.fails(1, "couldn't find PID field in ps output", "ps", b.id, "-o", "comm")
		b.fails(1, "invalid format option", "ps", "-f", "xml", b.id)
		b.must("kill", b.id, "KILL")
		b.gone(pid)
		if table = b.must("ps", b.id); strings.Count(table, "\n") != 1 || b.must("ps", "-f", "json", b.id) != "[]\n" {
			t.Errorf("ps of a stopped container: %q", table)
		}
		if table = b.must("list", "-f", "table"); strings.Count(table, "\n") != 2 || !strings.Contains(table, " 0           stopped ") {
			t.Errorf("list: %q", table)
		}
		b.must("delete", "--force", b.id)
		equal(t, "empty list", b.must("list", "-q"), "")
		equal(t, "empty list as JSON", strings.TrimSpace(b.must("list", "--format", "json")), "[]")
	})
}

// Ids that are no file names of their own are refused.
func TestIDs(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.save()
		for _, id := range []string{"..", ".", "a/b", "a b", "ä", "/x", "a\n"} {
			b.fails(1, "invalid container ID format", "create", "--bundle", b.dir, id)
		}
		b.fails(1, "container id cannot be empty", "create", "--bundle", b.dir, "")
		b.id = env.name + "-A_b+c.d-" + filepath.Base(b.dir)
		b.facts()
		b.fails(1, "config.json", "run", "--bundle", "/nowhere", b.id)
	})
}

// Options and paths may be relative to the caller's directory.
func TestRelativePaths(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.save()
		cmd := b.command("run", "--pid-file", "pid", b.id)
		cmd.Dir = b.dir
		r := b.finish(cmd)
		equal(t, "status", r.status, 0)
		data, err := os.ReadFile(b.path("pid"))
		if _, bad := strconv.Atoi(string(data)); err != nil || bad != nil {
			t.Errorf("pid file %q, %v", data, err)
		}
		if info, err := os.Stat(b.path("pid")); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("pid file: %v, %v", info, err)
		}
	})
}
