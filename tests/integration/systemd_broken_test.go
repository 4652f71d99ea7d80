package integration

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A word of husk's or systemd's at which something happens to a command.
type busWord struct {
	by   string // "husk" or "systemd"
	word string
	pass bool // it still gets to the other side before
}

func (w busWord) String() string {
	if w.pass {
		return "after " + w.by + " " + w.word
	}
	return "before " + w.by + " " + w.word
}

// atWord runs a command whose talk with systemd is passed on, up to a word: then happen is called, with the process.
func (b *bundle) atWord(w busWord, happen func(*os.Process), args ...string) result {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.dir, "bus")
	if err != nil {
		b.t.Fatal(err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/bus", Net: "unix"})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := b.command(args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+dir+"/bus")
	output, err := os.CreateTemp(dir, "output") // a container may keep it open
	if err != nil {
		b.t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	b.spawn(cmd)
	ended := make(chan error)
	go func() {
		err := cmd.Wait()
		listener.Close()
		ended <- err
	}()
	did := false
	for { // a command may try again
		husk, err := listener.Accept()
		if err != nil {
			break
		}
		passOn(b.t, w, husk, &did, func() { happen(cmd.Process) })
	}
	err = <-ended
	said, _ := os.ReadFile(output.Name())
	r := result{status: cmd.ProcessState.ExitCode(), stderr: string(said)}
	if !did {
		b.t.Errorf("%q did not come to %v: %v, %v", args, w, err, r)
	}
	return r
}

// passOn copies both ways between husk and the bus until one side hangs up. The first time that the word comes is told by did.
func passOn(t *testing.T, w busWord, husk net.Conn, did *bool, happen func()) {
	t.Helper()
	systemd, err := net.Dial("unix", systemBus)
	if err != nil {
		husk.Close()
		t.Fatal(err)
	}
	type chunk struct {
		by   string
		data []byte
	}
	chunks := make(chan chunk)
	for by, from := range map[string]net.Conn{"husk": husk, "systemd": systemd} {
		go func() {
			for {
				data := make([]byte, 64<<10)
				n, err := from.Read(data)
				chunks <- chunk{by, data[:n]}
				if err != nil {
					return
				}
			}
		}()
	}
	for ends := 0; ends < 2; {
		c := <-chunks
		if len(c.data) == 0 {
			ends++
			husk.Close()
			systemd.Close()
			continue
		}
		to := map[string]net.Conn{"husk": systemd, "systemd": husk}[c.by]
		if *did || c.by != w.by || !bytes.Contains(c.data, []byte(w.word)) {
			to.Write(c.data)
			continue
		}
		*did = true
		if w.pass {
			to.Write(c.data)
		}
		happen()
		if !w.pass {
			to.Write(c.data)
		}
	}
}

// forgotten waits until systemd has forgotten the unit.
func (b *bundle) forgotten() {
	b.t.Helper()
	for end := time.Now().Add(limit); b.unit("LoadState") != "not-found"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the unit is %s", b.unit("LoadState,ActiveState,SubState"))
		}
	}
}

// What systemd is told and says when a container is made, changed and removed.
var (
	wordsOfCreate = []busWord{{"husk", "StartTransientUnit", false}, {"husk", "StartTransientUnit", true}, {"systemd", "/job/", false}, {"systemd", "JobRemoved", true}}
	wordsOfUpdate = []busWord{{"husk", "SetUnitProperties", false}, {"husk", "SetUnitProperties", true}, {"husk", "Ping", true}}
	wordsOfDelete = []busWord{{"husk", "StopUnit", false}, {"husk", "StopUnit", true}, {"husk", "ResetFailedUnit", false}, {"husk", "ResetFailedUnit", true}}
)

// A command that is killed while systemd is at work for it leaves what delete finds.
func TestSystemdKilled(t *testing.T) {
	kill := func(p *os.Process) { p.Signal(unix.SIGKILL) }
	systemdView(t, func(t *testing.T, v *view) {
		each := func(command string, words []busWord, test func(*bundle, busWord)) {
			for _, w := range words {
				t.Run(command+" "+w.String(), func(t *testing.T) {
					b := newBundle(t, v)
					test(b, w)
					b.must("delete", "--force", b.id)
					equal(t, "unit", b.unit("LoadState"), "not-found")
					b.detached("wait")
					b.must("delete", "--force", b.id)
				})
			}
		}
		each("create", wordsOfCreate, func(b *bundle, w busWord) {
			b.save()
			b.atWord(w, kill, "create", "--bundle", b.dir, b.id)
			b.status("stopped")
		})
		each("update", wordsOfUpdate, func(b *bundle, w busWord) {
			v.needsController(b.t, "pids")
			b.detached("wait")
			b.atWord(w, kill, "update", "--pids-limit", "77", b.id)
			if !v.v2 { // it is frozen while systemd writes the device rules
				b.status("paused")
				b.must("resume", b.id)
			}
			b.status("running")
			b.must("update", "--pids-limit", "88", b.id)
			equal(b.t, "TasksMax", b.unit("TasksMax"), "88")
		})
		each("delete", wordsOfDelete, func(b *bundle, w busWord) {
			b.detached("wait")
			b.atWord(w, kill, "delete", "--force", b.id)
		})
	})
}

// systemd reads its configuration anew, starts itself anew, or the message bus is restarted, while a command waits for an answer.
func TestSystemdInBetween(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		for _, do := range [][]string{{"daemon-reload"}, {"daemon-reexec"}, {"restart", "dbus.service"}} {
			broken := do[0] != "daemon-reload" // one side of the bus breaks with it, and the answer may be lost
			happen := func(*os.Process) {
				if do[0] == "restart" {
					systemctl(t, "reset-failed", "dbus.service", "dbus.socket") // or so many starts are too many
				}
				systemctl(t, do...)
			}
			for _, w := range wordsOfCreate {
				t.Run(do[0]+", create "+w.String(), func(t *testing.T) {
					b := newBundle(t, v)
					b.Process.Args = []string{"/inside", "wait"}
					b.save()
					r := b.atWord(w, happen, "create", "--bundle", b.dir, b.id)
					if broken && r.status != 0 { // it may have heard enough
						// On cgroup v1 a systemd that starts anew denies all devices for a moment, before it allows some again.
						denied := !v.v2 && do[0] == "daemon-reexec" && strings.Contains(r.stderr, "/dev/null") && strings.Contains(r.stderr, "operation not permitted")
						if r.status != 1 || !strings.Contains(r.stderr, b.id+".scope: ") && !denied {
							t.Error(r)
						}
						b.forgotten()
						b.fails(1, "container does not exist", "state", b.id)
						b.created()
					} else {
						equal(t, "status", r.status, 0)
					}
					b.must("start", b.id)
					b.status("running")
					equal(t, "unit", b.unit("ActiveState"), "active")
					b.must("delete", "--force", b.id)
					equal(t, "unit", b.unit("LoadState"), "not-found")
				})
			}
			for _, w := range wordsOfDelete {
				t.Run(do[0]+", delete "+w.String(), func(t *testing.T) {
					b := newBundle(t, v)
					b.detached("wait")
					equal(t, "status", b.atWord(w, happen, "delete", "--force", b.id).status, 0)
					b.forgotten()
					b.fails(1, "container does not exist", "state", b.id)
				})
			}
		}
	})
}
