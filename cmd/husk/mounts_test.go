package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMountsCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mounts.json")
	if err := os.WriteFile(file, []byte(`[{"destination": "/a", "type": "tmpfs", "unknown": 7}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"add c1 " + file:    "add c1 [{/a tmpfs  [] [] []}]",
		"remove c1 " + file: "remove c1 [{/a tmpfs  [] [] []}]",
		"move c1 " + file:   "",
		"add c1":            "",
		"add c1 c2 " + file: "",
	} {
		f := &fake{}
		status, _, stderr := f.husk(append([]string{"mounts"}, strings.Fields(args)...)...)
		if f.call != want || (status == 0) != (want != "") || (stderr == "") != (want != "") {
			t.Errorf("%s: %d, call %q, want %q; %s", args, status, f.call, want, stderr)
		}
	}
}
