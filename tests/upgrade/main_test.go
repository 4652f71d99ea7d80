// Package upgrade lives a container's life with two builds of husk by turns, as on a machine where the program is replaced
// while containers run: the present one, and earlier ones, built from the history of the repository. What it proves is
// promised in docs/operating.md.
package upgrade

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"husk/tests/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// An earlier build.
type earlier struct {
	name   string
	commit string
	differ string // what it does not know of what the present one writes or says
}

// builds are the earlier builds. A release belongs here as soon as there is one.
var builds = []earlier{
	{"first", "5dfe341", "how a container has ended, units of systemd, groups of resctrl, listeners of filters, the gate for them behind the start"},
	{"listener", "a9b250a", "a process that sends the listener of its filter by itself"},
}

var made sync.Map // commit → func() (string, error)

// binary builds husk as it was at a commit, once for all tests.
func (e earlier) binary(t *testing.T) string {
	t.Helper()
	build, _ := made.LoadOrStore(e.commit, sync.OnceValues(func() (string, error) { return e.build() }))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	if path == "" {
		t.Skipf("needs the history of the repository, commit %s, to build an earlier husk", e.commit)
	}
	return path
}

// build returns the path of the program, "" where there is no such commit.
func (e earlier) build() (string, error) {
	// The repository may be another user's, which is fine for reading.
	git := func(args ...string) *exec.Cmd {
		return exec.Command("git", append([]string{"-c", "safe.directory=*", "-C", "../.."}, args...)...)
	}
	if git("cat-file", "-e", e.commit+"^{commit}").Run() != nil {
		return "", nil
	}
	dir := filepath.Join(harness.Base(), "husk-"+e.commit)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	archive, tar := git("archive", e.commit), exec.Command("tar", "-x", "-C", dir)
	r, w := io.Pipe()
	archive.Stdout, tar.Stdin = w, r
	if err := tar.Start(); err != nil {
		return "", err
	}
	err := archive.Run()
	w.Close()
	if tarErr := tar.Wait(); err != nil || tarErr != nil {
		return "", fmt.Errorf("unpack commit %s: %w, %w", e.commit, err, tarErr)
	}
	mk := exec.Command("make", "-C", dir, "bin/husk", "VERSION=0.0."+e.name)
	mk.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=0")
	if out, err := mk.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build commit %s: %w\n%s", e.commit, err, tail(string(out)))
	}
	return filepath.Join(dir, "bin/husk"), nil
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// pair is a box with two builds.
type pair struct {
	*harness.Box
	old, present string
}

func newPair(t *testing.T, e earlier) *pair {
	b := harness.New(t)
	return &pair{Box: b, old: e.binary(t), present: b.Binary}
}

// by runs a command with the one ('o') or the other ('n') build.
func (p *pair) by(build byte, args ...string) harness.Result {
	p.T.Helper()
	p.Binary = p.present
	if build == 'o' {
		p.Binary = p.old
	}
	return p.Husk(args...)
}

// must is by for what has to succeed.
func (p *pair) must(build byte, args ...string) string {
	p.T.Helper()
	res := p.by(build, args...)
	if res.Code != 0 || res.Err != "" {
		p.T.Fatalf("%c: %q: exit status %d: %s", build, args, res.Code, res.Err)
	}
	return res.Out
}
