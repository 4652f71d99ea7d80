package integration

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// facts is what the program in the container prints; see tests/inside.
type facts struct {
	Fds        map[string]string
	Argv, Env  []string
	Status     string
	Umask      int
	Cwd        string
	Hostname   string
	Domainname string
	UID, GID   int
	Groups     []int
	Pid, Ppid  int
	Pgid, Sid  int
	Limits     [][2]uint64
	Scheduling scheduling
	NS         map[string]string
	Mountinfo  string
	Mounts     int
	Cgroup     string
	Oom        string
	Maps       string
	Comm       string
	Exe        string
	Nodes      map[string]device
	Proc, Root []string
	Rooted     int
	Pdeathsig  int
	Dumpable   int
	Securebits int
	Subreaper  int
	Keepcaps   int
	Keyring    string
	TTY        *struct {
		Rows, Cols, Session, Foreground, Major, Minor, UID, Mode, Onlcr, Controlling int
		Name                                                                         string
	}
	Probes map[string]string
}

// scheduling is what sched_getattr(2), ioprio_get(2), get_mempolicy(2), personality(2) and uname(2) say.
type scheduling struct {
	Policy, Flags, Nice, Priority, Runtime, Deadline, Period int
	Ioprio, Memory, Nodes, Personality                       int
	Machine                                                  string
}

// device is a file in /dev.
type device struct {
	Mode, Major, Minor, UID, GID uint32
	Link                         string
}

func parseFacts(t *testing.T, out string) *facts {
	t.Helper()
	f := new(facts)
	if err := json.Unmarshal([]byte(out), f); err != nil {
		t.Fatalf("the program in the container says %q: %v", out, err)
	}
	return f
}

// status is a field of /proc/self/status.
func (f *facts) status(name string) string {
	for line := range strings.Lines(f.Status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// capabilities is a set of them as a number.
func (f *facts) capabilities(set string) uint64 {
	n, err := strconv.ParseUint(f.status(set), 16, 64)
	if err != nil {
		return 1<<64 - 1
	}
	return n
}

// mounts are all mounts in the order in which they were made.
func (f *facts) mounts() []mount { return parseMounts(f.Mountinfo) }

// mount is the topmost mount at a place; its point is "" if there is none.
func (f *facts) mount(point string) (found mount) {
	for _, m := range f.mounts() {
		if m.point == point {
			found = m
		}
	}
	return found
}

// numbers are those of all open descriptors, sorted.
func (f *facts) numbers() []string { return slices.Sorted(maps.Keys(f.Fds)) }

// equal checks one fact.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// equalList checks a list.
func equalList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// includes checks that a list holds all the words, and none of those with an exclamation mark.
func includes(t *testing.T, what string, got []string, words ...string) {
	t.Helper()
	for _, word := range words {
		unwanted, not := strings.CutPrefix(word, "!")
		if slices.Contains(got, unwanted) == not {
			t.Errorf("%s: %v, want %s", what, got, word)
		}
	}
}
