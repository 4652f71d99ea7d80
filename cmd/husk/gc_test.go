package main

import (
	"errors"
	"io/fs"
	"testing"

	"husk/libct"
)

func TestGC(t *testing.T) {
	f := &fake{garbage: []libct.Leftover{
		{ID: "a", Why: "because", Removed: true},
		{ID: "b", Why: "because"},
		{ID: "c", Why: "because", Err: errors.New("no")},
	}}
	status, out, stderr := f.husk("gc", "--dry-run")
	if status != 1 || !f.flag || out != "a: because: removed\nb: because: would be removed\n" {
		t.Errorf("status %d, %q", status, out)
	}
	if want := "1 left-over(s) can't be removed by gc\n"; len(stderr) < len(want) || stderr[len(stderr)-len(want):] != want {
		t.Errorf("standard error %q", stderr)
	}
	f = &fake{err: fs.ErrNotExist}
	if status, _, _ := f.husk("gc"); status != 0 || f.flag {
		t.Errorf("without the default root: status %d", status)
	}
	if status, _, _ := f.husk("--root", "/x", "gc"); status != 1 {
		t.Errorf("without the given root: status %d", status)
	}
}
