package libct

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"husk/plan"
	"husk/specconv"
)

// The records in testdata were written by builds as early as the first one that could make a container. A later husk reads
// them, whatever it writes itself.
func TestRecordsOfEarlierBuilds(t *testing.T) {
	paths, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(paths) < 7 {
		t.Fatalf("%v %v", paths, err)
	}
	for _, path := range paths {
		_, kind, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json"), "-")
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var rec record
			if err := rec.decode(data); err != nil {
				t.Fatal(err)
			}
			var gates []string
			for _, origin := range slices.Sorted(maps.Values(rec.StartOps)) {
				_, step, _ := strings.Cut(origin, "\n")
				gates = append(gates, step)
			}
			ended := kind == "stopped"
			switch {
			case rec.ID != "web" || rec.Bundle != "/srv/web" || rec.Rootfs != "/srv/web/rootfs" || rec.OCIVersion != "1.0.2" || rec.Created.IsZero():
				t.Errorf("%+v", rec)
			case rec.Pid == 0 || rec.StartTime == 0 || rec.BootID == "" || !rec.OwnPidns || !rec.Poststop || rec.Poststart || rec.HostMount || rec.Rootless:
				t.Errorf("%+v", rec)
			case rec.Cgroup.Version != "hybrid" || rec.Cgroup.Inode == 0 || rec.Cgroup.Paths["memory"] != "/sys/fs/cgroup/memory/web" || rec.Cgroup.Unit != "":
				t.Errorf("%+v", rec.Cgroup)
			case rec.Annotations["org.example.pod"] != `a "b"`:
				t.Errorf("%+v", rec.Annotations)
			case ended && (rec.Phase != phaseStopped || rec.End != End{Known: true, Status: 3 << 8}):
				t.Errorf("phase %s, end %+v", rec.Phase, rec.End)
			case !ended && (rec.Phase != phaseCreated || !slices.Contains(gates, "exec /bin/sh")):
				t.Errorf("phase %s, start ops %q", rec.Phase, rec.StartOps)
			case rec.Listener != (kind == "notify") || rec.Listener != slices.Contains(gates, specconv.GateListener):
				t.Errorf("listener %v, start ops %q", rec.Listener, rec.StartOps)
			}
			// What this husk writes is what it has read.
			var again record
			if err := again.decode(rec.append(nil)); err != nil || !reflect.DeepEqual(rec, again) {
				t.Errorf("written and read again: %v\n%+v\n%+v", err, rec, again)
			}
		})
	}
}

// What the commands of one build say to a container that another has made: files, the interpreter's name, messages, and names of
// the gates behind the start, which are in the records. Whoever changes one of them raises recordSchema, and reads the old ones on.
func TestWordsBetweenBuilds(t *testing.T) {
	for _, words := range [][2]any{
		{recordFile, "state.json"},
		{configFile, "config.json"},
		{gateSocket, "start.sock"},
		{interpreterExe, "/memfd:husk"},
		{specconv.GateStart, "run the startContainer hooks"},
		{specconv.GateListener, "hand the seccomp listener over"},
		{plan.MessageSize, 16},
		{plan.MessageGate, 1},
		{plan.MessageFail, 2},
		{plan.MessageFD, 4},
		{[]phase{phaseCreating, phaseCreated, phaseRunning, phaseStopped}, []phase{"creating", "created", "running", "stopped"}},
	} {
		if !reflect.DeepEqual(words[0], words[1]) {
			t.Errorf("%v was %v in schema %d", words[0], words[1], recordSchema)
		}
	}
}
