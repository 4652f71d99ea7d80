package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/libct"
)

// fake stands in for the containers: it notes each call and answers what it is told to.
type fake struct {
	options libct.Options
	call    string
	create  libct.CreateOptions
	run     libct.RunOptions
	exec    libct.ExecOptions
	samples libct.Samples
	round   []libct.Sample
	end     libct.End
	garbage []libct.Leftover
	update  libct.UpdateOptions
	signal  unix.Signal
	flag    bool

	warning string
	status  int
	list    []libct.ContainerState
	err     error
}

func (f *fake) note(call string) error {
	f.call = call
	if f.warning != "" {
		f.options.Warn(f.warning)
	}
	return f.err
}

func (f *fake) Create(o libct.CreateOptions) error { f.create = o; return f.note("create " + o.ID) }
func (f *fake) Run(o libct.RunOptions) (int, error) {
	f.run = o
	return f.status, f.note("run " + o.ID)
}

func (f *fake) Exec(o libct.ExecOptions) (int, error) {
	f.exec = o
	return f.status, f.note("exec " + o.ID)
}
func (f *fake) Start(id string) error { return f.note("start " + id) }
func (f *fake) Delete(id string, force bool) error {
	f.flag = force
	return f.note("delete " + id)
}

func (f *fake) Pause(id string) error  { return f.note("pause " + id) }
func (f *fake) Resume(id string) error { return f.note("resume " + id) }

func (f *fake) Stats(id string) (*libct.Stats, error) { return &libct.Stats{}, f.note("stats " + id) }

func (f *fake) Samples(o libct.Samples, tell func([]libct.Sample) error) error {
	f.samples = o
	if err := tell(f.round); err != nil {
		return err
	}
	return f.note("samples " + strings.Join(o.IDs, " "))
}

func (f *fake) Wait(id string) (*libct.End, error) { return &f.end, f.note("wait " + id) }

func (f *fake) Lifecycle(ids []string, tell func(*libct.Change) error) error {
	if err := tell(&libct.Change{Type: "deleted", ID: "x", Time: time.Unix(0, 0)}); err != nil {
		return err
	}
	return f.note("lifecycle " + strings.Join(ids, " "))
}

func (f *fake) CollectGarbage(dryRun bool) ([]libct.Leftover, error) {
	f.flag = dryRun
	return f.garbage, f.note("gc")
}

func (f *fake) Events(id string, interval time.Duration, tell func(*libct.Event) error) error {
	if err := tell(&libct.Event{Type: "oom", ID: id}); err != nil {
		return err
	}
	return f.note("events " + id + " " + interval.String())
}

func (f *fake) Update(o libct.UpdateOptions) error {
	f.update = o
	return f.note("update " + o.ID)
}

func (f *fake) AddMounts(id string, mounts []specs.Mount) error {
	return f.note(fmt.Sprintf("add %s %v", id, mounts))
}

func (f *fake) RemoveMounts(id string, mounts []specs.Mount) error {
	return f.note(fmt.Sprintf("remove %s %v", id, mounts))
}

func (f *fake) Kill(id string, signal unix.Signal, all bool) error {
	f.signal, f.flag = signal, all
	return f.note("kill " + id)
}

func (f *fake) State(id string) (*libct.ContainerState, error) {
	return &libct.ContainerState{ID: id}, f.note("state " + id)
}

func (f *fake) IDs() ([]string, error) { return []string{"db-1", "web-1", "web-2"}, nil }

func (f *fake) List() ([]libct.ContainerState, []error, error) {
	return f.list, []error{errors.New("one is damaged")}, f.note("list")
}

func (f *fake) Pids(id string) ([]int, error)      { return []int{os.Getpid(), 7}, f.note("ps " + id) }
func (f *fake) Plan(bundle string) (string, error) { return "ops\n", f.note("plan " + bundle) }

// husk runs the program on the fake containers.
func (f *fake) husk(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	a := &app{
		name: "husk", stdout: &out, stderr: &err,
		open: func(o libct.Options) (containers, error) { f.options = o; return f, nil },
	}
	status = a.main(args)
	return status, out.String(), err.String()
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args   string
		err    error
		call   string
		status int
		stdout string // a part
		stderr string // all but the newline
	}{
		{args: "create --bundle /b c1", call: "create c1"},
		{args: "create c1", err: errors.New("no"), call: "create c1", status: 1, stderr: "runc create failed: no"},
		{args: "create", status: 1, stdout: "Incorrect Usage: ", stderr: `husk: "create" requires exactly 1 argument(s)`},
		{args: "run c1", call: "run c1", status: 7},
		{args: "run -d c1", err: errors.New("no"), call: "run c1", status: 1, stderr: "runc run failed: no"},
		{args: "exec c1 ls -l", call: "exec c1", status: 7},
		{args: "exec c1 ls", err: errors.New("no"), call: "exec c1", status: 255, stderr: "exec failed: no"},
		{args: "exec c1", status: 255, stderr: "exec failed: exec args cannot be empty"},
		{args: "exec", status: 1, stdout: "Incorrect Usage: ", stderr: `husk: "exec" requires a minimum of 1 argument(s)`},
		{
			args: "exec -u 4294967296 c1 id", status: 255,
			stderr: `exec failed: bad uid: parse id "4294967296": want a number from 0 to 4294967294`,
		},
		{args: "start c1", call: "start c1"},
		{args: "start c1", err: errors.New("no"), call: "start c1", status: 1, stderr: "no"},
		{args: "state c1", call: "state c1", stdout: `"id": "c1"`},
		{args: "kill c1", call: "kill c1"},
		{args: "kill c1 FOO", status: 1, stderr: `unknown signal "FOO"`},
		{args: "kill c1 1 2", status: 1, stdout: "Incorrect Usage: ", stderr: `husk: "kill" requires a maximum of 2 argument(s)`},
		{args: "delete --force c1", call: "delete c1"},
		{args: "ps --format json c1", call: "ps c1", stdout: ",7]\n"},
		{args: "ps --format xml c1", call: "ps c1", status: 1, stderr: "invalid format option"},
		{args: "list --format xml", call: "list", status: 1, stderr: "one is damaged\ninvalid format option"},
		{args: "plan /b", call: "plan /b", stdout: "ops\n"},
		{args: "plan -b /b", call: "plan /b", stdout: "ops\n"},
		{args: "events c1", call: "events c1 5s", stdout: `{"type":"oom","id":"c1"}` + "\n"},
		{args: "events --interval=100ms c1", call: "events c1 100ms", stdout: `"oom"`},
		{args: "events --interval 0s c1", status: 1, stdout: "Incorrect", stderr: `invalid value "0s" for flag -interval: duration interval must be greater than 0`},
		{args: "events --stats c1", call: "stats c1", stdout: `{"type":"stats","id":"c1","data":{"cpu":{"usage":{"kernel":0,"user":0},`},
		{args: "events", status: 1, stderr: `husk: "events" requires exactly 1 argument(s)`},
		{args: "events --lifecycle", call: "lifecycle ", stdout: `{"type":"deleted","time":"1970-01-01T00:00:00Z","id":"x"}` + "\n"},
		{args: "events --lifecycle a b", call: "lifecycle a b", stdout: `"deleted"`},
		{args: "features", stdout: `"ociVersionMin": "1.0.0"`},
		{args: "pause c1", call: "pause c1"},
		{args: "pause", status: 1, stdout: "Incorrect Usage: ", stderr: `husk: "pause" requires exactly 1 argument(s)`},
		{args: "resume c1", call: "resume c1"},
		{args: "resume c1", err: errors.New("no"), call: "resume c1", status: 1, stderr: "no"},
		{args: "update --memory 50M c1 --cpu-share 200", call: "update c1"},
		{args: "update", status: 1, stdout: "Incorrect Usage: ", stderr: `husk: "update" requires exactly 1 argument(s)`},
		{args: "update --cpu-quota many c1", status: 1, stdout: "Incorrect", stderr: `invalid value "many" for flag -cpu-quota: want a whole number`},
		{args: "restore --lsm-profile x c1", status: 1, stderr: "the command restore is not implemented in this release of husk"},
		{args: "checkpoint --image-path /i c1", status: 1, stderr: "the command checkpoint is not implemented in this release of husk"},
		{args: "restore --help", stdout: "NAME:\n   husk restore - "},
		{args: "restore --lsm-mount-context", status: 1, stderr: "the command restore is not implemented in this release of husk"}, // "flag needs an argument" would tell CRI-O that it is
		{args: "checkpoint --help", stdout: "NAME:\n   husk checkpoint - "},
		{args: "delete -r ^web", call: "delete web-2"},
		{args: "delete --regex ^web -f", err: errors.New("no"), call: "delete web-2", status: 1, stderr: "web-1: no; web-2: no"},
		{args: "delete -r ^web", err: libct.ErrNotExist, call: "delete web-2"},
		{args: "delete ^web", err: libct.ErrNotExist, call: "delete ^web", status: 1, stderr: "container does not exist"},
		{args: "delete -r nobody"},
		{args: "delete -r (", status: 1, stderr: `read regular expression "(": a ( without )`},
		{args: "kill -r db KILL", call: "kill db-1"},
		{args: "kill -r db", err: libct.ErrNotRunning, call: "kill db-1"},
		{args: "kill --regex db", err: errors.New("no"), call: "kill db-1", status: 1, stderr: "db-1: no"},
		{args: "--cgroup-manager none list", status: 1, stdout: "Incorrect", stderr: `invalid value "none" for flag -cgroup-manager: want cgroupfs, systemd or disabled`},
		{args: "--log-level info list", status: 1, stderr: "invalid log-level: info"},
		{args: "-V", stdout: "runc version "},
		{args: "foo", status: 3, stderr: "No help topic for 'foo'"},
		{args: "foo -h", status: 3, stderr: "No help topic for 'foo'"},
		{args: "help foo", status: 3, stderr: "No help topic for 'foo'"},
		{args: "--foo list", status: 1, stdout: "Incorrect Usage: flag", stderr: "flag provided but not defined: -foo"},
		{args: "run --bundle", status: 1, stdout: "Incorrect Usage: flag", stderr: "flag needs an argument: --bundle"},
		{args: "--log-format xml list", status: 1, stderr: "invalid log-format: xml"},
		{args: "--rootless maybe list", status: 1, stdout: "Incorrect", stderr: `invalid value "maybe" for flag -rootless: want true, false or auto`},
	} {
		f := &fake{err: c.err}
		if c.status != 1 && c.status != 255 {
			f.status = c.status
		}
		status, stdout, stderr := f.husk(strings.Fields(c.args)...)
		if status != c.status || f.call != c.call {
			t.Errorf("%s: status %d after %q, want %d after %q", c.args, status, f.call, c.status, c.call)
		}
		if c.args == "list --format xml" {
			stderr = regexp.MustCompile(`time=.* msg="(.*)"`).ReplaceAllString(stderr, "$1")
		}
		if strings.TrimSuffix(stderr, "\n") != c.stderr {
			t.Errorf("%s: standard error %q, want %q", c.args, stderr, c.stderr)
		}
		if !strings.Contains(stdout, c.stdout) || c.stdout == "" && stdout != "" {
			t.Errorf("%s: standard output %q, want %q in it", c.args, stdout, c.stdout)
		}
	}
}

func TestOptionsArrive(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f := new(fake)
	f.husk("--root", "/r", "--systemd-cgroup", "--rootless=1", "create", "-b", "b", "--console-socket=s", "--pidfd-socket", "p",
		"--pid-file", "f", "-no-pivot", "--no-new-keyring", "--preserve-fds", "2", "c1")
	f.create.Stdio = [3]*os.File{}
	want := libct.CreateOptions{
		ID: "c1", Bundle: filepath.Join(dir, "b"), ConsoleSocket: "s", PidfdSocket: "p", PidFile: filepath.Join(dir, "f"),
		NoPivot: true, NoNewKeyring: true, PreserveFDs: 2,
	}
	if f.create != want {
		t.Errorf("create: got %+v, want %+v", f.create, want)
	}
	if o := f.options; o.Root != "/r" || !o.SystemdCgroup || o.Rootless != "true" {
		t.Errorf("global options: %+v", o)
	}

	for _, c := range []struct {
		args             string
		systemd, disable bool
	}{
		{"", false, false},
		{"--cgroup-manager cgroupfs", false, false},
		{"--cgroup-manager=systemd", true, false},
		{"--cgroup-manager disabled", false, true},
		{"--systemd-cgroup --cgroup-manager disabled", false, true},
		{"--cgroup-manager disabled --systemd-cgroup", true, false},
		{"--systemd-cgroup --cgroup-manager cgroupfs", false, false},
	} {
		f.husk(append(strings.Fields(c.args), "create", "--no-subreaper", "-f", "other.json", "c1")...)
		if o := f.options; o.SystemdCgroup != c.systemd || o.NoCgroup != c.disable || f.create.Config != filepath.Join(dir, "other.json") {
			t.Errorf("%s: systemd %v, none %v, configuration %q", c.args, o.SystemdCgroup, o.NoCgroup, f.create.Config)
		}
	}

	f.husk("run", "c1", "-d", "--keep", "-no-subreaper", "--root", "/later")
	if o := f.run; !o.Detach || !o.Keep || !o.NoSubreaper || o.Bundle != dir || o.Signals != nil || f.options.Root != "/later" {
		t.Errorf("run: %+v, %+v", o, f.options)
	}
	f.husk("run", "c1")
	if o := f.run; o.Detach || o.Signals == nil || o.OnConsole == nil {
		t.Errorf("run in the foreground: %+v", o)
	}

	f.husk("kill", "-a", "c1", "sigusr1")
	if !f.flag || f.signal != unix.SIGUSR1 {
		t.Errorf("kill: %v, all %v", f.signal, f.flag)
	}
}

func TestExecOptionsArrive(t *testing.T) {
	f := new(fake)
	f.husk("exec", "-d", "--cwd", "/w", "-e", "A=1", "--env", "B=2", "-t", "-u", "1:2", "-g", "3", "--process-label", "l",
		"--apparmor", "a", "--no-new-privs=false", "-c", "CAP_KILL", "--cgroup", "cpu,memory:x", "--ignore-paused",
		"--preserve-fds", "1", "c1", "sh", "-c", "ls")
	yes, no := true, false
	want := libct.ExecOptions{
		ID: "c1", Args: []string{"sh", "-c", "ls"}, Detach: true, Cwd: "/w", Env: []string{"A=1", "B=2"}, TTY: &yes, User: "1:2",
		AdditionalGids: []uint32{3}, ProcessLabel: "l", AppArmor: "a", NoNewPrivs: &no, Caps: []string{"CAP_KILL"},
		Cgroups: []string{"cpu,memory:x"}, IgnorePaused: true, PreserveFDs: 1,
	}
	f.exec.Stdio = want.Stdio
	if !reflect.DeepEqual(f.exec, want) {
		t.Errorf("got %+v, want %+v", f.exec, want)
	}

	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, []byte(`{"args":["id"],"cwd":"/","terminal":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.husk("exec", "--process", file, "--tty", "--detach", "c1")
	if o := f.exec; o.Process == nil || !o.Process.Terminal || o.TTY != nil || o.Process.Args[0] != "id" {
		t.Errorf("exec --process: %+v", o)
	}
	if status, _, stderr := f.husk("exec", "--process", file+".not", "c1"); status != 255 || !strings.Contains(stderr, "no such file") {
		t.Errorf("missing process.json: status %d, %q", status, stderr)
	}
}

// Callers take whatever is on standard error for part of the answer, or for a failure.
func TestSilentOnSuccess(t *testing.T) {
	for _, c := range []struct {
		args  string
		talks bool
	}{
		{"state c1", false},
		{"start c1", false},
		{"kill c1", false},
		{"delete c1", false},
		{"ps -f json c1", false},
		{"features", false},
		{"create c1", true},
		{"run -d c1", true},
		{"exec -d c1 ls", true},
		{"list", true},
	} {
		f := &fake{warning: "careful"}
		status, _, stderr := f.husk(strings.Fields(c.args)...)
		if status != 0 || (stderr != "") != c.talks {
			t.Errorf("%s: status %d, standard error %q", c.args, status, stderr)
		}
	}
}

func TestLogFile(t *testing.T) {
	type line struct{ Level, Msg, Time string }
	for _, c := range []struct {
		name, globals, command string
		err                    error
		levels                 string
	}{
		{"failure", "--log-format json", "create c1", errors.New("no\nway"), "error"},
		{"failure after misuse", "--log-format json", "create", nil, "error"},
		{"unknown command", "--log-format json", "levitate c1", nil, "error"},
		{"misuse of the program", "--log-format json", "--levitate create c1", nil, "error"},
		{"success", "--log-format=json", "create c1", nil, "warning"},
		{"debug", "--debug --log-format=json", "delete c1", errors.New("no"), "debug warning error"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		f := &fake{err: c.err, warning: "careful"}
		args := append(strings.Fields(c.globals), "--log", path)
		_, _, stderr := f.husk(append(args, strings.Fields(c.command)...)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var levels []string
		for text := range strings.Lines(string(data)) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%s: %v in %q", c.name, err, text)
			}
			if _, err := time.Parse(time.RFC3339, l.Time); err != nil || l.Msg == "" {
				t.Errorf("%s: %+v", c.name, l)
			}
			levels = append(levels, l.Level)
		}
		if got := strings.Join(levels, " "); got != c.levels {
			t.Errorf("%s: levels %q, want %q, in\n%s", c.name, got, c.levels, data)
		}
		if c.err != nil && !strings.Contains(stderr, strings.ReplaceAll(c.err.Error(), "\n", `\n`)+"\n") {
			t.Errorf("%s: the error is not on standard error: %q", c.name, stderr)
		}
	}
}

func TestLogFileIsNoLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	f := new(fake)
	if status, _, stderr := f.husk("--log", link, "list"); status != 1 || !strings.Contains(stderr, "too many levels") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the log went through a symbolic link")
	}
}

// What is open already is no link that somebody has left.
func TestLogToDescriptor(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i, name := range []string{"/dev/fd/", "/proc/self/fd/"} {
		f := &fake{err: errors.New("no")}
		f.husk("--log", name+strconv.Itoa(int(file.Fd())), "start", "c1")
		if data, err := os.ReadFile(file.Name()); err != nil || strings.Count(string(data), "msg=\"no\"\n") != i+1 {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// Without a file the log is standard error, in the format that was asked for.
func TestFormatOnStandardError(t *testing.T) {
	for format, want := range map[string]string{
		"json": `^{"level":"error","msg":"no","time":"\S+Z"}\n$`,
		"text": `^no\n$`,
		"":     `^no\n$`,
	} {
		for _, log := range []string{"", "/dev/stderr"} {
			f := &fake{err: errors.New("no")}
			status, _, stderr := f.husk("--log", log, "--log-format", format, "start", "c1")
			if status != 1 || !regexp.MustCompile(want).MatchString(stderr) {
				t.Errorf("%q: status %d, %q", format, status, stderr)
			}
		}
	}
}

func TestTextLog(t *testing.T) {
	f := new(fake)
	_, _, stderr := f.husk("--debug", "start", "c1")
	if !regexp.MustCompile(`(?m)^time="\S+Z" level=debug msg="husk .*" ms=\d+\.\d{3}$`).MatchString(stderr) {
		t.Errorf("debug lines: %q", stderr)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain":             "plain",
		"größe „x“":         "größe „x“",
		"two\nlines":        `two\nlines`,
		"\x1b[2Jgone\x7f":   `\x1b[2Jgone\x7f`,
		"c1 \u009b control": `c1 \u009b control`,
		"bad \xff utf":      "bad \ufffd utf",
		"":                  "",
	} {
		if got := oneLine(text); got != want && text != "bad \xff utf" {
			t.Errorf("oneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	_, stdout, stderr := new(fake).husk("-v")
	lines := strings.Split(stdout, "\n")
	for i, want := range []string{`^runc version [0-9]+\.[0-9]+\.[0-9]+\S*$`, `^commit: \S+$`, `^spec: [0-9]+\.[0-9]+\.[0-9]+`, `^go: go`} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d is %q, want %s", i+1, lines[i], want)
		}
	}
	if strings.Count(stdout, "version") != 1 || stderr != "" {
		t.Errorf("got %q, %q", stdout, stderr)
	}
}

func TestHelp(t *testing.T) {
	f := new(fake)
	_, program, _ := f.husk("--help")
	for _, want := range []string{"NAME:\n   husk - Open Container Initiative runtime\n", "\nUSAGE:\n", "\nCOMMANDS:\n", "\nGLOBAL OPTIONS:\n", "--version, -v"} {
		if !strings.Contains(program, want) {
			t.Errorf("help of the program has no %q", want)
		}
	}
	if _, bare, _ := f.husk(); bare != program {
		t.Error("no arguments print something else than --help")
	}
	if _, given, _ := f.husk("--root", "/elsewhere", "--log-format", "json", "--help"); given != program {
		t.Errorf("what was given is shown as default:\n%s", given)
	}
	a := &app{name: "husk"}
	for _, c := range a.commands() {
		if strings.Contains(program, "   "+c.name+" ") == c.hidden {
			t.Errorf("%s: hidden %v, but the list of commands says otherwise", c.name, c.hidden)
		}
		_, long, _ := f.husk(c.name, "--help")
		_, short, _ := f.husk(c.name, "-h")
		_, topic, _ := f.husk("help", c.name)
		given := long
		for i := range c.flags {
			if _, isString := c.flags[i].to.(*string); isString {
				_, given, _ = f.husk("--root", "/elsewhere", c.name, "--"+c.flags[i].name, "given", "--help")
			}
		}
		if !strings.HasPrefix(long, "NAME:\n   husk "+c.name+" - ") || short != long || topic != long || given != long {
			t.Errorf("help of %s: %q, %q, %q, %q", c.name, long, short, topic, given)
		}
		for _, part := range []string{"\nUSAGE:\n", "\nOPTIONS:\n", "--help, -h"} {
			if !strings.Contains(long, part) {
				t.Errorf("help of %s has no %q", c.name, part)
			}
		}
		for line := range strings.Lines(c.details) {
			if len(line) > 110 {
				t.Errorf("help of %s has a line of %d bytes", c.name, len(line))
			}
		}
	}
}

// A flag's destination decides how it is parsed; one of an unknown kind would only show when it is used.
func TestFlagTables(t *testing.T) {
	a := &app{name: "husk"}
	tables := [][]flag{a.globalFlags(), a.program().flags}
	for _, c := range a.commands() {
		tables = append(tables, c.flags)
		seen := map[string]bool{"help": true, "h": true}
		for _, f := range append(a.globalFlags(), c.flags...) {
			for _, name := range []string{f.name, f.short} {
				if seen[name] && c.name+" "+name != "spec rootless" { // as in runc; a command's own comes first
					t.Errorf("%s has two flags %q", c.name, name)
				}
				seen[name] = name != ""
			}
		}
	}
	for _, table := range tables {
		for i := range table {
			f, value := &table[i], "1"
			if f.name == "cgroup-manager" {
				value = "systemd"
			}
			if err := f.set(value); err != nil {
				t.Errorf("flag %s: %v", f.name, err)
			}
			if f.help == "" || strings.HasSuffix(f.help, ".") {
				t.Errorf("flag %s: help %q", f.name, f.help)
			}
		}
	}
}
