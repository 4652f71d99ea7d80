// Package crash ends husk where it stands, as kill -9 would: at each of its stop points, at random times, in the middle of
// commands that run at the same time, and with a state directory that is full, read-only or damaged. Whatever happens, the
// state that is reported must be the truth, no program may run that nobody has started, and delete --force must leave the
// host as it was before create.
package crash

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"husk/tests/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// stoppable builds a husk that ends itself at stop points: $HUSK_STOPPOINT, or from the sources of this work tree.
var stoppable = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HUSK_STOPPOINT"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(harness.Base(), "husk-stoppoint")
	cmd := exec.Command("go", "build", "-tags", "stoppoint", "-o", path, "husk/cmd/husk")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out), err
	}
	return path, nil
})

func newBox(t *testing.T) *harness.Box {
	b := harness.New(t)
	path, err := stoppable()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs the go command, or $HUSK_STOPPOINT, for a husk with stop points")
	} else if err != nil {
		t.Fatalf("build a husk with stop points: %v %s", err, path)
	}
	b.Binary = path
	return b
}

// await polls the state until it is one of those, and returns it. On the way there it must be one of passing.
func await(b *harness.Box, id string, wanted, passing []string) string {
	b.T.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s := b.Status(id)
		if slices.Contains(wanted, s) {
			return s
		}
		if !slices.Contains(passing, s) || time.Now().After(end) {
			b.T.Errorf("state is %q, want %s", s, strings.Join(wanted, " or "))
			return s
		}
	}
}

// ran reports whether the program of a container has run: it makes this file.
func ran(bundle string) bool {
	_, err := os.Stat(filepath.Join(bundle, "rootfs/data/ran"))
	return err == nil
}

// forget makes the bundle as it was before a container.
func forget(bundle string) {
	os.Remove(filepath.Join(bundle, "rootfs/data/ran"))
	os.RemoveAll(filepath.Join(bundle, "rootfs/missing"))
}

// again proves that the id is free, and a container of this name as good as any.
func again(b *harness.Box, bundle string) {
	b.T.Helper()
	b.Must("create", "--bundle", bundle, "c")
	if s := b.Status("c"); s != "created" {
		b.T.Errorf("state is %q after another create", s)
	}
	b.Must("start", "c")
	b.Must("delete", "--force", "c")
	forget(bundle)
}
