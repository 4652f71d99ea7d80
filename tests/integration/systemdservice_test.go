package integration

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A service is a unit of systemd that calls husk.
type service struct {
	t    *testing.T
	name string
}

// start makes and starts the unit, and returns when systemd says that it is up.
func (b *bundle) serve(options []string, args ...string) *service {
	b.t.Helper()
	u := &service{b.t, b.id + ".service"}
	line := slices.Concat([]string{"--quiet", "--unit=" + u.name}, options, []string{env.husk, "--root", b.root}, args)
	out, err := exec.Command("systemd-run", line...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("systemd-run %q: %v, %s", line, err, out)
	}
	b.t.Cleanup(func() {
		exec.Command("systemctl", "stop", u.name).Run()
		exec.Command("systemctl", "reset-failed", u.name).Run()
	})
	return u
}

// show is a property as systemctl prints it.
func (u *service) show(property string) string {
	u.t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "--property="+property, u.name).Output()
	if err != nil {
		u.t.Fatalf("systemctl show %s: %v", property, err)
	}
	return strings.TrimSpace(string(out))
}

// until waits for a property to have a value.
func (u *service) until(property, want string) {
	u.t.Helper()
	got := ""
	for deadline := time.Now().Add(3 * limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = u.show(property); got == want {
			return
		}
	}
	u.t.Fatalf("%s is %q, want %q; %s, %s", property, got, want, u.show("ActiveState"), u.show("StatusText"))
}

// hangUp sends SIGHUP to the main process.
func (u *service) hangUp() {
	u.t.Helper()
	if out, err := exec.Command("systemctl", "kill", "--kill-who=main", "--signal=HUP", u.name).CombinedOutput(); err != nil {
		u.t.Fatalf("systemctl kill: %v, %s", err, out)
	}
}

// What husk passes on is what systemd takes from a service.
func TestSystemdNotify(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{
			"/inside", "notify", "STATUS=starting", "READY=1\nSTATUS=up", "barrier", "hup", "RELOADING=1\nSTATUS=reloading", "barrier", "hup",
			"READY=1\nSTATUS=reloaded", "barrier", "hup", "STOPPING=1\nSTATUS=stopping", "barrier", "hup",
		}
		b.save()
		u := b.serve([]string{"--property=Type=notify", "--property=WatchdogSec=300"}, "--systemd-cgroup", "run", "--bundle", b.dir, b.id)
		equal(t, "state", u.show("ActiveState"), "active")
		u.until("StatusText", "up")
		main := u.show("MainPID")
		exe, err := os.Readlink("/proc/" + main + "/exe")
		if err != nil || filepath.Base(exe) != filepath.Base(env.husk) {
			t.Errorf("the main process is %q, %v", exe, err)
		}
		b.status("running")
		u.hangUp()
		u.until("ActiveState", "reloading")
		u.until("StatusText", "reloading")
		u.hangUp()
		u.until("ActiveState", "active")
		u.until("StatusText", "reloaded")
		u.hangUp()
		u.until("ActiveState", "deactivating")
		u.until("StatusText", "stopping")
		equal(t, "main process", u.show("MainPID"), main)
		u.hangUp()
		u.until("ActiveState", "inactive")
		b.fails(1, "container does not exist", "state", b.id)
	})
}

// With create and start systemd watches the container's own process.
func TestSystemdNotifyStart(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "notify", "STATUS=starting", "READY=1\nSTATUS=up", "hup"}
		b.save()
		script := `husk=$1 root=$2 bundle=$3 id=$4; "$husk" --root "$root" --systemd-cgroup create --bundle "$bundle" "$id" && "$husk" --root "$root" start "$id"`
		u := &service{t, b.id + ".service"}
		out, err := exec.Command("systemd-run", "--quiet", "--unit="+u.name, "--property=Type=notify", "--property=NotifyAccess=all", "/bin/sh", "-c", script, "sh",
			env.husk, b.root, b.dir, b.id).CombinedOutput()
		if err != nil {
			t.Fatalf("systemd-run: %v, %s", err, out)
		}
		t.Cleanup(func() { exec.Command("systemctl", "stop", u.name).Run() })
		u.until("StatusText", "up")
		equal(t, "main process", u.show("MainPID"), itoa(b.state().Pid))
		b.must("kill", b.id, "HUP")
		u.until("ActiveState", "inactive")
		b.must("delete", "--force", b.id)
	})
}

// A program that does not speak in time is ended by the manager's watchdog.
func TestSystemdWatchdog(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "notify", "READY=1", "WATCHDOG=trigger", "hup"}
		b.save()
		u := b.serve([]string{"--property=Type=notify", "--property=WatchdogSec=300", "--property=WatchdogSignal=TERM", "--property=TimeoutStopSec=2"},
			"--systemd-cgroup", "run", "--bundle", b.dir, b.id)
		u.until("Result", "watchdog")
		u.until("ActiveState", "failed")
		b.must("delete", "--force", b.id)
	})
}

// A socket of systemd's arrives in the container as sd_listen_fds(3) wants it.
func TestSystemdSocket(t *testing.T) {
	systemdView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Args = []string{"/inside", "facts"}
		b.save()
		b.serve([]string{
			"--socket-property=ListenStream=" + b.path("listen.sock"), "--socket-property=FileDescriptorName=web",
			"--property=StandardOutput=file:" + b.path("facts"),
		}, "--systemd-cgroup", "run", "--bundle", b.dir, b.id)
		t.Cleanup(func() { exec.Command("systemctl", "stop", b.id+".socket").Run() })
		conn, err := net.Dial("unix", b.path("listen.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var f facts
		for deadline := time.Now().Add(3 * limit); ; time.Sleep(50 * time.Millisecond) {
			data, err := os.ReadFile(b.path("facts"))
			if err == nil && json.Unmarshal(data, &f) == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the service did not start: %v", err)
			}
		}
		for _, want := range []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=web", "LISTEN_PID=1"} {
			if !slices.Contains(f.Env, want) {
				t.Errorf("no %s in %q", want, f.Env)
			}
		}
		if !strings.HasPrefix(f.Fds["3"], "socket:") || len(f.Fds) < 4 {
			t.Errorf("descriptors %q", f.Fds)
		}
	})
}
