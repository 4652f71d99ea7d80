package libct

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// collected runs the collection and returns what it says, in short.
func collected(t *testing.T, r *testRuntime, dryRun bool) (list []string) {
	t.Helper()
	garbage, err := r.CollectGarbage(dryRun)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range garbage {
		list = append(list, fmt.Sprintf("%s: %s: %v %v", l.ID, l.Why, l.Removed, l.Err != nil))
	}
	return list
}

func TestCollectGarbage(t *testing.T) {
	r := newRuntime(t)
	init, other := spawn(t), spawn(t)
	creating := func(rec *record) { rec.Phase = phaseCreating }
	r.put(t, "running", init.own)
	r.put(t, "stopped", nil)
	r.put(t, "killed", creating)
	r.put(t, "mounted", func(rec *record) { rec.Phase, rec.HostMount = phaseCreating, true })
	r.put(t, "reboot", func(rec *record) { other.own(rec); rec.BootID = "00000000-0000-4000-8000-000000000000" })
	r.put(t, "damaged", nil)
	busy, err := r.reserve("busy")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.close()
	mkdir := func(id string, files ...string) {
		t.Helper()
		if err := os.Mkdir(r.file(id, ""), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if err := os.WriteFile(r.file(id, name), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mkdir("empty")
	mkdir("temporary", recordTemp)
	mkdir("foreign", "data")
	mkdir("odd name")
	mkdir(cacheDir)
	for _, name := range []string{r.file("damaged", recordFile), filepath.Join(r.path, "file")} {
		if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	const create, boot, none = "its create was killed", "it is of an earlier boot", "there is no container in it"
	wanted := func(removed bool) []string {
		return []string{
			"damaged: its record is damaged: false true",
			fmt.Sprintf("empty: %s: %v false", none, removed),
			fmt.Sprintf("killed: %s: %v false", create, removed),
			fmt.Sprintf("mounted: %s: false true", create),
			fmt.Sprintf("reboot: %s: %v false", boot, removed),
			fmt.Sprintf("temporary: %s: %v false", none, removed),
		}
	}
	for _, dryRun := range []bool{true, false} {
		if got := collected(t, r, dryRun); !slices.Equal(got, wanted(!dryRun)) {
			t.Errorf("dry run %v:\n%s\nwant\n%s", dryRun, strings.Join(got, "\n"), strings.Join(wanted(!dryRun), "\n"))
		}
		for _, id := range []string{"empty", "killed", "reboot", "temporary"} {
			if r.exists(id) != dryRun {
				t.Errorf("dry run %v: %s exists: %v", dryRun, id, !dryRun)
			}
		}
	}
	for _, id := range []string{"running", "stopped", "busy", "damaged", "mounted", "foreign", "odd name", cacheDir, "file"} {
		if !r.exists(id) {
			t.Errorf("%s is gone", id)
		}
	}
	if !init.alive() || !other.alive() {
		t.Error("a process was killed")
	}
}

// The cgroup of a create that was killed goes, unless somebody lives in it.
func TestCollectCgroup(t *testing.T) {
	r := newRuntime(t)
	inside := spawn(t)
	m := cgroup(t, inside)
	r.put(t, "c", func(rec *record) { rec.Phase, rec.Cgroup = phaseCreating, m.State() })
	want := "c: its create was killed: false true"
	if got := collected(t, r, false); len(got) != 1 || got[0] != want || !inside.alive() {
		t.Errorf("%q, want %q; the process lives: %v", got, want, inside.alive())
	}
	if err := inside.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	inside.Wait()
	want = "c: its create was killed: true false"
	if got := collected(t, r, false); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	for name, path := range m.State().Paths {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("cgroup %s %s is left: %v", name, path, err)
		}
	}
}
