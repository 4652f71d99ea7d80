package libct

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/resctrl"
	"husk/specconv"
)

func fullRecord() record {
	return record{
		Schema:      recordSchema,
		ID:          "c1",
		OCIVersion:  "1.3.0",
		Bundle:      "/run/b\"1\"",
		Rootfs:      "/run/b/rootfs\nx",
		Created:     time.Date(2026, 8, 23, 10, 11, 12, 123456789, time.UTC),
		Owner:       4294967294,
		Annotations: map[string]string{"b": "2", "a": "<1>", "": "\x01"},
		Phase:       phaseStopped,
		End:         End{Known: true, Status: 9, OOMKilled: true},
		Pid:         4711,
		StartTime:   18446744073709551615,
		BootID:      "f0f0f0f0-0000-4000-8000-000000000000",
		Cgroup: cgroups.State{
			Version: cgroups.Hybrid,
			Paths:   map[string]string{"": "/sys/fs/cgroup/unified/c1", "cpu": "/sys/fs/cgroup/cpu/c1"},
			Inode:   77,

			Unit: "husk-c1.scope", UserManager: true,
		},
		Resctrl:   resctrl.Group{Path: "/sys/fs/resctrl/c1", Own: true, Monitor: "/sys/fs/resctrl/c1/mon_groups/c1"},
		OwnPidns:  true,
		Rootless:  true,
		Poststart: true,
		Poststop:  true,
		HostMount: true,
		RootMount: 1<<63 + 5,
		RootDev:   1<<63 + 6,
		RootIno:   1<<63 + 7,
		NoKeyring: true,
		Listener:  true,
		Mounts:    []specconv.AddedMount{{Destination: "/a \"b\"", ID: 1<<63 + 1, Source: "/srv/\"s\""}, {Destination: "/c", ID: 2}},
		Asked:     asked{MemoryLimit: -1, MemorySwap: 5, DeviceRules: "+c 1:3 rw\n"},
		StartOps:  map[string]string{"7": "/process/args/0\nexec /bin/sh"},
	}
}

// What has been added to a container is told after everything that runc tells.
func TestStateTellsOfAddedMounts(t *testing.T) {
	s := ContainerState{AddedMounts: []string{"/a", "/b \"c\""}}
	var got struct{ AddedMounts []string }
	for _, text := range [][]byte{s.AppendJSON(nil), s.AppendCompactJSON(nil)} {
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got.AddedMounts, s.AddedMounts) {
			t.Errorf("%v: %s", err, text)
		}
	}
	if text := string(s.AppendJSON(nil)); !strings.HasSuffix(text, ",\n  \"addedMounts\": [\n    \"/a\",\n    \"/b \\\"c\\\"\"\n  ]\n}") {
		t.Errorf("the end of %s", text)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	full := fullRecord()
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("fullRecord leaves %s empty: the test would not notice its loss", v.Type().Field(i).Name)
		}
	}
	for name, rec := range map[string]record{
		"full":  full,
		"small": {Schema: recordSchema, ID: "c", Phase: phaseCreating, Annotations: map[string]string{}, StartOps: map[string]string{}, Cgroup: cgroups.State{Paths: map[string]string{}}},
	} {
		var got record
		if err := got.decode(rec.append(nil)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, rec) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, rec)
		}
	}
}

// Agents on the node read these members, as runc writes them.
func TestRecordHasRuncKeys(t *testing.T) {
	rec := fullRecord()
	var got struct {
		ID             string            `json:"id"`
		Pid            int               `json:"init_process_pid"`
		Start          uint64            `json:"init_process_start"`
		Created        time.Time         `json:"created"`
		CgroupPaths    map[string]string `json:"cgroup_paths"`
		NamespacePaths map[string]string `json:"namespace_paths"`
	}
	if err := json.Unmarshal(rec.append(nil), &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != rec.ID || got.Pid != rec.Pid || got.Start != rec.StartTime || !got.Created.Equal(rec.Created) ||
		!reflect.DeepEqual(got.CgroupPaths, rec.Cgroup.Paths) {
		t.Errorf("got %+v", got)
	}
	if len(got.NamespacePaths) != 8 || got.NamespacePaths["NEWNS"] != "/proc/4711/ns/mnt" || got.NamespacePaths["NEWNET"] != "/proc/4711/ns/net" {
		t.Errorf("namespace_paths %v", got.NamespacePaths)
	}
}

func TestSaveRefusesWhatCouldNotBeRead(t *testing.T) {
	r := newRuntime(t)
	r.put(t, "c", nil)
	c, err := r.open("c", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.rec.Annotations = map[string]string{"a": strings.Repeat("x", recordLimit)}
	if err := c.save(); err == nil || !strings.Contains(err.Error(), "the limit is 4194304") {
		t.Errorf("got %v", err)
	}
	if err := c.read(); err != nil {
		t.Errorf("the old record is lost: %v", err)
	}
}

func TestDamagedRecords(t *testing.T) {
	whole := string((&record{Schema: recordSchema, ID: "bad", Phase: phaseCreated}).append(nil))
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for _, tc := range []struct {
		name   string
		damage func(path string) error
		want   string
	}{
		{"empty", write(""), ""},
		{"cut", write(whole[:len(whole)/2]), ""},
		{"garbage", write("\x00\xff\x13"), ""},
		{"no object", write("[]"), ""},
		{"null", write("null"), ""},
		{"empty object", write("{}"), "no schema"},
		{"text behind", write(whole + "x"), ""},
		{"newer schema", write(`{"schema":2,"id":{"new":"form"}}`), "a newer husk has written it: schema 2, this husk knows 1"},
		{"no schema", write(`{"schema":0}`), "no schema"},
		{"negative schema", write(`{"schema":-1}`), "no schema"},
		{"wrong type", write(strings.Replace(whole, `"init_process_pid":0`, `"init_process_pid":"0"`, 1)), "/init_process_pid"},
		{"negative pid", write(strings.Replace(whole, `"init_process_pid":0`, `"init_process_pid":-1`, 1)), "init_process_pid is -1"},
		{"pid above all", write(strings.Replace(whole, `"init_process_pid":0`, `"init_process_pid":99999999999999999999`, 1)), "/init_process_pid"},
		{"twice", write(strings.Replace(whole, `"owner":0`, `"owner":0,"owner":0`, 1)), "owner"},
		{"unknown phase", write(strings.Replace(whole, `"created"`, `"melted"`, 1)), `unknown phase "melted"`},
		{"bad time", write(strings.Replace(whole, "0001-01-01T00", "yesterday", 1)), "/created"},
		{"another's", write(strings.Replace(whole, `"bad"`, `"good"`, 1)), `it is the record of container "good"`},
		{"huge", func(p string) error { return os.Truncate(p, 1<<30) }, "1073741824 bytes, the limit is 4194304"},
		{"missing", os.Remove, "no such file or directory"},
		{"fifo", func(p string) error { os.Remove(p); return unix.Mkfifo(p, 0o600) }, "not a regular file"},
		{"directory", func(p string) error { os.Remove(p); return os.Mkdir(p, 0o700) }, "not a regular file"},
		{"link", func(p string) error { os.Remove(p); return os.Symlink("config.json", p) }, "symbolic link"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(t)
			r.put(t, "bad", nil)
			r.put(t, "good", nil)
			path := r.file("bad", recordFile)
			if err := tc.damage(path); err != nil {
				t.Fatal(err)
			}
			_, err := r.State("bad")
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.Path != path || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("state: %v, want a damaged record, %q", err, tc.want)
			}
			states, warnings, err := r.List()
			if err != nil || len(states) != 1 || states[0].ID != "good" || len(warnings) != 1 {
				t.Errorf("list: %v %v %v, want the good one and one warning", states, warnings, err)
			}
			if err := r.Kill("bad", unix.SIGKILL, true); !errors.As(err, &damaged) {
				t.Errorf("kill: %v", err)
			}
			if err := r.Delete("bad", false); !errors.As(err, &damaged) || !r.exists("bad") {
				t.Errorf("delete: %v", err)
			}
			if err := r.Delete("bad", true); err != nil || r.exists("bad") {
				t.Errorf("delete --force: %v", err)
			}
			if err := r.Delete("good", false); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAppendJSON(t *testing.T) {
	type runcState struct { // the fields and the order of runc's output
		Version     string            `json:"ociVersion"`
		ID          string            `json:"id"`
		Pid         int               `json:"pid"`
		Status      string            `json:"status"`
		Bundle      string            `json:"bundle"`
		Rootfs      string            `json:"rootfs"`
		Created     time.Time         `json:"created"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Owner       string            `json:"owner"`
	}
	created := time.Date(2026, 8, 23, 10, 11, 12, 120000000, time.UTC)
	for _, annotations := range []map[string]string{nil, {}, {"b": "2", "a\"": "1\n", "c": "ü"}} {
		s := ContainerState{"1.3.0", "c", 7, Running, "/b", "/b/rootfs", created, annotations, "root", End{}, nil}
		want, err := json.MarshalIndent(runcState{"1.3.0", "c", 7, "running", "/b", "/b/rootfs", created, annotations, "root"}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.AppendJSON([]byte("x"))); got != "x"+string(want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, want); err != nil {
			t.Fatal(err)
		}
		if got := string(s.AppendCompactJSON(nil)); got != compact.String() {
			t.Errorf("got %s\nwant %s", got, &compact)
		}
	}
}

func FuzzRecord(f *testing.F) {
	full := fullRecord()
	f.Add(full.append(nil))
	f.Add([]byte(`{"schema":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var rec, again record
		if rec.decode(data) != nil {
			return
		}
		if err := again.decode(rec.append(nil)); err != nil {
			t.Fatalf("own text refused: %v", err)
		}
		if string(again.append(nil)) != string(rec.append(nil)) {
			t.Fatal("the text changes when it is read and written again")
		}
	})
}

// The state is what the schema of the specification describes (schema/state-schema.json): required members, types, values.
func TestStateSchema(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema/state-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct {
			Type string
			Ref  string `json:"$ref"`
			Enum []string
		}
		Required []string
	}
	if err := json.Unmarshal(text, &schema); err != nil || len(schema.Properties) < 6 || len(schema.Required) < 4 {
		t.Fatal(err, schema)
	}
	types := map[string]reflect.Kind{"string": reflect.String, "integer": reflect.Float64, "defs.json#/definitions/ociVersion": reflect.String, "defs.json#/definitions/annotations": reflect.Map}
	for _, status := range []Status{Creating, Created, Running, Stopped} {
		s := ContainerState{OCIVersion: "1.3.0", ID: "x", Pid: 7, Status: status, Bundle: "/b", Annotations: map[string]string{"a": ""}}
		for _, data := range [][]byte{s.AppendJSON(nil), s.AppendCompactJSON(nil)} {
			var got map[string]any
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			for _, name := range schema.Required {
				if got[name] == nil {
					t.Errorf("%s is missing in %s", name, data)
				}
			}
			for name, p := range schema.Properties {
				if kind := types[p.Type+p.Ref]; kind == reflect.Invalid || reflect.TypeOf(got[name]).Kind() != kind {
					t.Errorf("%s is %v, want %s%s", name, got[name], p.Type, p.Ref)
				}
				if p.Enum != nil && !slices.Contains(p.Enum, fmt.Sprint(got[name])) {
					t.Errorf("%s is %v, want one of %q", name, got[name], p.Enum)
				}
			}
		}
	}
}
