package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/specconv"
)

// limit is how long one command may take. Nothing waits for it to pass, unless something is wrong.
const limit = 20 * time.Second

// A bundle is a directory with a rootfs and a configuration, and a state root of its own for the containers made from it.
type bundle struct {
	*specs.Spec
	t    *testing.T
	v    *view
	dir  string // absolute, with config.json and rootfs
	root string // state
	id   string

	user        *syscall.Credential // who runs the commands; nil: root
	environment []string            // of that user
	mapped      bool                // that user is root of a user namespace for each command
	cgroup      int                 // where they run, a descriptor; 0: with us

	start func(*exec.Cmd) error // starts them, on the thread of the view; nil: Cmd.Start
}

// newBundle makes a bundle with the configuration of `husk spec`, less the terminal, and the checker in its rootfs. When the
// test ends the machine must be as it is now.
func newBundle(t *testing.T, v *view) *bundle {
	t.Helper()
	dir, err := os.MkdirTemp(env.dir, "b")
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{Spec: specconv.Example(), t: t, v: v, dir: dir, root: filepath.Join(dir, "state")}
	b.id = env.name + "-" + filepath.Base(dir)
	b.Process.Terminal = false
	b.Process.Args = []string{"/inside", "facts"}
	b.Hostname = "inside"
	b.Linux.CgroupsPath = v.cgroupsPath(b.id)
	b.makeDirs("rootfs/tmp", "rootfs/etc", "rootfs/bin")
	if err := os.Chmod(b.path("rootfs/tmp"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(env.inside, b.path("rootfs/inside")); err != nil {
		t.Fatal(err)
	}
	if v.user != nil {
		v.user.rootless(b)
	}
	before := take(v)
	t.Cleanup(func() { b.close(before) })
	return b
}

func (b *bundle) path(name string) string { return filepath.Join(b.dir, name) }

// makeDirs makes directories of the bundle.
func (b *bundle) makeDirs(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(b.path(name), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
}

// write writes a file of the bundle.
func (b *bundle) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// ownCgroupNamespace adds the namespace that the default configuration lacks.
func (b *bundle) ownCgroupNamespace() {
	b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
}

// save writes config.json.
func (b *bundle) save() {
	b.t.Helper()
	data, err := json.MarshalIndent(b.Spec, "", "\t")
	if err != nil {
		b.t.Fatal(err)
	}
	b.write("config.json", string(data))
}

// close checks that nothing is left, after taking away what a failed test has left.
func (b *bundle) close(before *snapshot) {
	if b.t.Failed() {
		exec.Command(env.husk, "--root", b.root, "delete", "--force", b.id).Run()
	}
	before.compare(b)
	if err := os.RemoveAll(b.dir); err != nil {
		b.t.Error(err)
	}
}

// result is what a command has done.
type result struct {
	status         int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
}

// command prepares a call of husk.
func (b *bundle) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	b.t.Cleanup(cancel)
	all := []string{"--root", b.root}
	if b.v.systemd && (args[0] == "create" || args[0] == "run") { // the other commands know by the record
		all = append(all, "--systemd-cgroup")
	}
	cmd := exec.CommandContext(ctx, env.husk, append(all, args...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

// spawn starts a command in the view.
func (b *bundle) spawn(cmd *exec.Cmd) {
	b.t.Helper()
	b.asUser(cmd)
	err := b.v.do(func() error {
		if cmd.Stdin == nil { // the view's /dev/null, not the machine's
			null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer null.Close()
			cmd.Stdin = null
		}
		if b.start != nil {
			return b.start(cmd)
		}
		return cmd.Start()
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// wait returns the exit status, 128 and more after a signal.
func wait(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	if cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%q: %v", cmd.Args, cmd.ProcessState)
	}
	return cmd.ProcessState.ExitCode()
}

// finish runs a command to its end. Output goes to files, since what the command leaves running may keep it open.
func (b *bundle) finish(cmd *exec.Cmd) (r result) {
	b.t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(b.dir, "output")
		if err != nil {
			b.t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	b.spawn(cmd)
	r.status = wait(b.t, cmd)
	for i, to := range []*string{&r.stdout, &r.stderr} {
		data, err := os.ReadFile(files[i].Name())
		if err != nil {
			b.t.Fatal(err)
		}
		*to = string(data)
	}
	return r
}

// husk runs a command to its end.
func (b *bundle) husk(args ...string) result {
	b.t.Helper()
	return b.finish(b.command(args...))
}

// must runs a command that has to succeed in silence, and returns its answer.
func (b *bundle) must(args ...string) string {
	b.t.Helper()
	r := b.husk(args...)
	if r.status != 0 || r.stderr != "" {
		b.t.Fatalf("husk %q: %v", args, r)
	}
	return r.stdout
}

// fails runs a command that has to fail with a status and with words in one line on stderr.
func (b *bundle) fails(status int, words string, args ...string) {
	b.t.Helper()
	r := b.husk(args...)
	if r.status != status || !strings.Contains(r.stderr, words) || strings.Count(r.stderr, "\n") != 1 {
		b.t.Errorf("husk %q: %v; want status %d and one line with %q", args, r, status, words)
	}
}

// run runs the container in the foreground.
func (b *bundle) run(options ...string) result {
	b.t.Helper()
	b.save()
	return b.husk(slices.Concat([]string{"run", "--bundle", b.dir}, options, []string{b.id})...)
}

// facts runs the container and returns what its program has found.
func (b *bundle) facts(options ...string) *facts {
	b.t.Helper()
	r := b.run(options...)
	if r.status != 0 || r.stderr != "" {
		b.t.Fatalf("run: %v", r)
	}
	return parseFacts(b.t, r.stdout)
}

// probe has the program of the container look at something as well, and returns the words for Facts.probes.
func (b *bundle) probe(probes ...string) {
	b.Process.Args = append(b.Process.Args, probes...)
}

// containerState is what the command state prints.
type containerState struct {
	specs.State
	Rootfs, Owner string
	Created       time.Time
}

// state asks for the container's state.
func (b *bundle) state() (s containerState) {
	b.t.Helper()
	out := b.must("state", b.id)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("state: %v: %s", err, out)
	}
	return s
}

// status checks the container's state.
func (b *bundle) status(want string) {
	b.t.Helper()
	if got := string(b.state().Status); got != want {
		b.t.Errorf("status %q, want %q", got, want)
	}
}

// detached starts a container whose program says that it is ready, and returns the pid of the program.
func (b *bundle) detached(verb ...string) int {
	b.t.Helper()
	b.Process.Args = append([]string{"/inside"}, verb...)
	b.save()
	out := b.pipe()
	cmd := b.command("run", "--detach", "--bundle", b.dir, b.id)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out.w, out.w
	b.spawn(cmd)
	out.w.Close()
	if status := wait(b.t, cmd); status != 0 {
		b.t.Fatalf("run --detach: status %d, %s, %s", status, stderr.String(), out.rest())
	}
	out.expect("ready\n")
	return b.state().Pid
}

// foreground runs a verb of inside in the foreground until it says that it is ready.
func (b *bundle) foreground(verb string) (*exec.Cmd, *pipe) {
	b.t.Helper()
	b.Process.Args = []string{"/inside", verb}
	b.save()
	out := b.pipe()
	cmd := b.command("run", "--bundle", b.dir, b.id)
	cmd.Stdout, cmd.Stderr = out.w, out.w
	b.spawn(cmd)
	out.w.Close()
	out.expect("ready\n")
	return cmd, out
}

// adopt waits for the end of a detached process, whose parent this is now: the end of a pid namespace waits for that.
func (b *bundle) adopt(pid int) {
	done := make(chan error, 1)
	go func() {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		done <- err
	}()
	b.t.Cleanup(func() {
		if err := <-done; err != nil {
			b.t.Errorf("wait for process %d: %v", pid, err)
		}
	})
}

// pipe is one for output of containers. It is closed with the test.
type pipe struct {
	t    *testing.T
	r, w *os.File
	got  []byte
}

func (b *bundle) pipe() *pipe {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &pipe{t: b.t, r: r, w: w}
	b.t.Cleanup(func() { r.Close(); w.Close() })
	return p
}

// expect reads until some words have come.
func (p *pipe) expect(words string) {
	p.t.Helper()
	expect(p.t, p.r, &p.got, words)
}

// rest reads to the end.
func (p *pipe) rest() string {
	p.t.Helper()
	p.r.SetReadDeadline(time.Now().Add(limit))
	data := make([]byte, 4096)
	for {
		n, err := p.r.Read(data)
		p.got = append(p.got, data[:n]...)
		if err != nil {
			return string(p.got)
		}
	}
}

// expect reads until some words have come, and drops what came up to their end.
func expect(t *testing.T, from *os.File, got *[]byte, words string) {
	t.Helper()
	from.SetReadDeadline(time.Now().Add(limit))
	data := make([]byte, 4096)
	for {
		if i := bytes.Index(*got, []byte(words)); i >= 0 {
			*got = (*got)[i+len(words):]
			return
		}
		n, err := from.Read(data)
		*got = append(*got, data[:n]...)
		if err != nil && !bytes.Contains(*got, []byte(words)) {
			t.Fatalf("wait for %q: %v; got %q", words, err, *got)
		}
	}
}
