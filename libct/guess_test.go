package libct

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// newer is the record of a husk that is not there yet: the schema first, what every one has, and all else of other types.
func newer(rec *record, schema int) []byte {
	var doc map[string]any
	if err := json.Unmarshal(rec.append(nil), &doc); err != nil {
		panic(err)
	}
	delete(doc, "schema")
	doc["phase"], doc["start_ops"], doc["annotations"], doc["nets"] = 7, []string{"x"}, nil, map[string]any{"a": []int{1}}
	data, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return append([]byte(`{"schema":`+strconv.Itoa(schema)+`,`), data[1:]...)
}

// Of a container that a newer husk has made, delete --force finds all processes and the cgroup, wherever they are.
func TestDeleteNewer(t *testing.T) {
	r := newRuntime(t)
	init, child := spawn(t), spawn(t)
	m := cgroup(t, child)
	r.put(t, "c", in(m, init, true))
	c, err := r.open("c", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.file("c", recordFile), newer(&c.rec, recordSchema+1), 0o600); err != nil {
		t.Fatal(err)
	}
	c.close()
	const refusal = "a newer husk has written it: schema 2, this husk knows 1"
	if _, err := r.State("c"); err == nil || !strings.Contains(err.Error(), refusal) || !strings.HasSuffix(err.Error(), "; delete --force removes the container") {
		t.Errorf("state: %v", err)
	}
	for name, err := range map[string]error{"start": r.Start("c"), "kill": r.Kill("c", unix.SIGKILL, true), "pause": r.Pause("c"), "delete": r.Delete("c", false)} {
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !init.alive() || !child.alive() {
		t.Error("a refused command has killed something")
	}
	if err := r.Delete("c", true); err != nil || r.exists("c") {
		t.Fatalf("delete --force: %v, still there %v", err, r.exists("c"))
	}
	if sig := init.ended(); sig != unix.SIGKILL {
		t.Errorf("init ended by %d", sig)
	}
	if sig := child.ended(); sig != unix.SIGKILL {
		t.Errorf("the other process ended by %d", sig)
	}
	for _, dir := range m.State().Paths {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cgroup %s is left: %v", dir, err)
		}
	}
}

// Without a record the form of cgroupsPath tells who has made the cgroup, and not what this command was told.
func TestGuessDriver(t *testing.T) {
	for _, tc := range []struct {
		path string
		flag bool
		unit string
	}{
		{"machine.slice:pre:name", false, "pre-name.scope"},
		{"machine.slice:pre:name", true, "pre-name.scope"},
		{"/pod/name", true, ""},
		{"/a:b:c", true, ""},
		{"", true, "husk-c.scope"},
		{"", false, ""},
	} {
		r := newRuntime(t)
		r.opts.SystemdCgroup = tc.flag
		r.opts.Rootless = "false"
		r.put(t, "c", nil)
		if os.Geteuid() != 0 && tc.unit != "" {
			continue // that is a unit of the user's own systemd, which has to be asked
		}
		c, err := r.find("c", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		data, _ := json.Marshal(map[string]any{"ociVersion": "1.3.0", "linux": map[string]any{"cgroupsPath": tc.path}})
		if err := errors.Join(linux.WriteFileAt(c.dir, configFile, data, 0o600), os.Truncate(r.file("c", recordFile), 20)); err != nil {
			t.Fatal(err)
		}
		if err := c.guess(); err != nil || c.rec.Cgroup.Unit != tc.unit || len(c.rec.Cgroup.Paths) == 0 {
			t.Errorf("%q, --systemd-cgroup %v: %v, unit %q, want %q", tc.path, tc.flag, err, c.rec.Cgroup.Unit, tc.unit)
		}
	}
}
