package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A session is that of a user without privileges who has a systemd of its own, which makes the cgroups of its containers. The
// user's commands run below what the machine's systemd has delegated to it.
type session struct {
	name     string
	uid, gid int
	slice    string   // the cgroup below which the containers are
	commands *os.File // the cgroup of the commands
}

// sessionUser is the one that tests/vm makes.
const sessionUser = "tester"

// openSession has systemd start the user's.
func openSession() (s *session, why string) {
	if !hasFile("/run/systemd/system") {
		return nil, "systemd does not run on this machine (make test-vm has one where it does)"
	}
	u, err := user.Lookup(sessionUser)
	if err != nil {
		return nil, err.Error()
	}
	s = &session{name: sessionUser}
	s.uid, _ = strconv.Atoi(u.Uid)
	s.gid, _ = strconv.Atoi(u.Gid)
	unit := "user@" + u.Uid + ".service"
	if out, err := exec.Command("systemctl", "start", unit).CombinedOutput(); err != nil {
		return nil, fmt.Sprintf("start %s: %v: %s", unit, err, out)
	}
	out, err := exec.Command("systemctl", "show", "--property=ControlGroup", "--value", unit).Output()
	top := strings.TrimSpace(string(out))
	if err == nil && top == "" {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Sprintf("find the cgroup of %s: %v", unit, err)
	}
	s.slice = top + "/user.slice"
	if s.commands, err = os.Open("/sys/fs/cgroup" + top + "/init.scope"); err != nil {
		return nil, err.Error()
	}
	return s, ""
}

// subordinateIDs is where the ids begin that the user may map besides its own (subuid(5)).
func (s *session) subordinateIDs(file string) (first uint32, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, s.name+":"); ok {
			text, _, _ := strings.Cut(rest, ":")
			n, err := strconv.ParseUint(text, 10, 32)
			return uint32(n), err
		}
	}
	return 0, fmt.Errorf("%s has no ids for %s", file, s.name)
}

// rootless makes the bundle one of the user: in a user namespace with its own id as root and subordinate ids as all others.
func (s *session) rootless(b *bundle) {
	b.t.Helper()
	b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	for file, own := range map[string]int{"/etc/subuid": s.uid, "/etc/subgid": s.gid} {
		first, err := s.subordinateIDs(file)
		if err != nil {
			b.t.Fatal(err)
		}
		list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(own), Size: 1}, {ContainerID: 1, HostID: first, Size: 65535}}
		if file == "/etc/subuid" {
			b.Linux.UIDMappings = list
		} else {
			b.Linux.GIDMappings = list
		}
	}
	b.user = &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}
	b.environment = []string{s.runtimeDir(), "HOME=" + b.dir}
	b.cgroup = int(s.commands.Fd())
}

// giveAway makes the files of the bundle those of the user.
func (b *bundle) giveAway() {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Name() != "inside" {
			var st unix.Stat_t
			if err = unix.Lstat(name, &st); err == nil && st.Uid == 0 {
				err = os.Lchown(name, int(b.user.Uid), int(b.user.Gid))
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // what is the user's already comes and goes, as another command of it removes its state
			err = nil
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// units lists what systemd still knows of the containers of this run.
func (v *view) units() string {
	if !v.systemd || v.skip != "" {
		return ""
	}
	cmd := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", env.name+"*")
	if v.user != nil {
		cmd.Args = append(cmd.Args, "--user")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(v.user.uid), Gid: uint32(v.user.gid)}}
		cmd.Env = append(os.Environ(), v.user.runtimeDir())
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *session) runtimeDir() string { return "XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(s.uid) }

// needsRoot skips the test where the containers are those of a user without privileges.
func (v *view) needsRoot(t *testing.T, why string) {
	t.Helper()
	if v.user != nil {
		t.Skip("not for a user without privileges: " + why)
	}
}
