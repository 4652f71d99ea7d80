package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	r := newRuntime(t)
	if _, _, err := r.List(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no root: %v, want ErrNotExist", err)
	}
	p := spawn(t)
	r.put(t, "b", p.own)
	r.put(t, "a", nil)
	r.put(t, "c", func(rec *record) { rec.Owner = 4294967294 })
	for _, err := range []error{
		os.WriteFile(filepath.Join(r.path, "file"), nil, 0o600),
		os.Symlink("a", filepath.Join(r.path, "link")),
		os.Mkdir(filepath.Join(r.path, "empty"), 0o700),
		os.Mkdir(filepath.Join(r.path, "not an id"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	list, warnings, err := r.List()
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	var got []string
	for _, s := range list {
		got = append(got, fmt.Sprint(s.ID, " ", s.Status, " ", s.Pid != 0))
	}
	if want := []string{"a stopped false", "b running true", "c stopped false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := userName(uint32(os.Geteuid())); list[0].Owner != want {
		t.Errorf("owner %q, want %q", list[0].Owner, want)
	}
	if list[2].Owner != "#4294967294" {
		t.Errorf("owner without a name: %q", list[2].Owner)
	}
}

func TestUserName(t *testing.T) {
	if got := userName(0); got != "root" {
		t.Errorf("uid 0 is %q", got)
	}
}

func BenchmarkList3000(b *testing.B) {
	r := newRuntime(b)
	p := spawn(b)
	p.Process.Kill()
	p.Wait()
	for i := range 3000 {
		r.put(b, fmt.Sprintf("c%04d", i), p.own)
	}
	for b.Loop() {
		list, _, err := r.List()
		if err != nil || len(list) != 3000 {
			b.Fatal(len(list), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/3000, "µs/entry")
}

func BenchmarkState(b *testing.B) {
	r := newRuntime(b)
	r.put(b, "c", spawn(b).own)
	for b.Loop() {
		if _, err := r.State("c"); err != nil {
			b.Fatal(err)
		}
	}
}
