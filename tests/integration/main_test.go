// Package integration runs husk as an engine would and looks at its containers from inside: the program of the container is
// tests/inside, which prints what it finds. Every test runs against the machine's own cgroups and against cgroup v2 alone,
// and afterwards nothing may be left: no process, mount, cgroup, descriptor or file.
//
// It needs root and a C compiler. HUSK names the program to be tested, else it is ../../bin/husk.
package integration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// environment is what all tests share: read-only once TestMain has set it up.
type environment struct {
	husk   string // the program to be tested
	inside string // the program that looks around, static
	dir    string // temporary, below it all that tests make
	name   string // in the names of containers and cgroups, unique on this machine
	skip   string // why nothing can be tested
	views  []*view
}

var env environment

func TestMain(m *testing.M) {
	flag.Parse()
	if err := env.open(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := env.close(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func (e *environment) open() (err error) {
	if os.Geteuid() != 0 {
		e.skip = "needs root"
		return nil
	}
	if e.husk = os.Getenv("HUSK"); e.husk == "" {
		e.husk = "../../bin/husk"
	}
	if e.husk, err = filepath.Abs(e.husk); err != nil {
		return err
	}
	if _, err := os.Stat(e.husk); err != nil {
		e.skip = "no program to test: " + err.Error()
		return nil
	}
	if e.dir, err = os.MkdirTemp("", "husk-integration-"); err != nil {
		return err
	}
	if err := os.Chmod(e.dir, 0o755); err != nil { // users of containers must get to their files
		return err
	}
	e.name = fmt.Sprintf("husk-it-%d", os.Getpid())
	if err := e.compileInside(); err != nil {
		return err
	}
	// What a container leaves behind becomes a child of this process, and is found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	return e.openViews()
}

// compileInside makes the program that looks around, or takes $HUSK_INSIDE: a machine for tests may have no compiler.
func (e *environment) compileInside() error {
	e.inside = filepath.Join(e.dir, "inside")
	if ready := os.Getenv("HUSK_INSIDE"); ready != "" {
		data, err := os.ReadFile(ready)
		if err != nil {
			return err
		}
		return os.WriteFile(e.inside, data, 0o755)
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		e.skip = "no C compiler for tests/inside: " + err.Error()
		return nil
	}
	sources, err := filepath.Glob("../inside/*.c")
	if err != nil {
		return err
	}
	if out, err := exec.Command(cc, append([]string{"-O1", "-static", "-s", "-o", e.inside}, sources...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile tests/inside: %w\n%s", err, out)
	}
	return nil
}

// close removes what the tests made together.
func (e *environment) close() (err error) {
	if e.dir == "" {
		return nil
	}
	for _, v := range e.views {
		if left := v.units(); left != "" {
			err = errors.Join(err, fmt.Errorf("units are left: %s", left))
		}
		for _, dir := range v.hierarchies {
			gone := v.do(func() error { return os.Remove(filepath.Join(dir, e.name)) })
			if gone != nil && !os.IsNotExist(gone) {
				err = errors.Join(err, gone)
			}
		}
		v.close()
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

// eachView runs a test once for each layout of cgroups.
func eachView(t *testing.T, test func(*testing.T, *view)) {
	t.Helper()
	if env.skip != "" {
		t.Skip(env.skip)
	}
	for _, v := range env.views {
		t.Run(v.name, func(t *testing.T) {
			if v.skip != "" {
				t.Skip(v.skip)
			}
			test(t, v)
		})
	}
}
