package specconv

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUngranted(t *testing.T) {
	if w := Ungranted(&specs.Process{}, 0); w != nil {
		t.Errorf("without capabilities: %q", w)
	}
	p := &specs.Process{Capabilities: &specs.LinuxCapabilities{
		Bounding:    []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"},
		Permitted:   []string{"CAP_CHOWN", "CAP_TOMORROW", "CAP_NET_RAW"},
		Effective:   []string{"CAP_CHOWN", "CAP_KILL", "CAP_KILL", "kill"},
		Inheritable: []string{"CAP_CHOWN", "CAP_FOWNER"},
		Ambient:     []string{"CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"},
	}}
	want := []string{
		"leave out CAP_KILL of /process/capabilities/effective: they are not permitted",
		"leave out CAP_FOWNER of /process/capabilities/inheritable: they are not in the bounding set",
		"can't raise ambient capability CAP_KILL: it is not both permitted and inheritable",
		"can't raise ambient capability CAP_FOWNER: it is not both permitted and inheritable",
		"leave out CAP_NET_RAW of /process/capabilities: the runtime does not have them itself",
		"leave out CAP_TOMORROW, kill of /process/capabilities: unknown",
	}
	if got := Ungranted(p, mask([]string{"CAP_CHOWN", "CAP_KILL", "CAP_FOWNER"})); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	p.Capabilities = &specs.LinuxCapabilities{Bounding: Capabilities, Permitted: Capabilities, Effective: Capabilities, Inheritable: Capabilities, Ambient: Capabilities}
	if got := Ungranted(p, 1<<len(Capabilities)-1); got != nil {
		t.Errorf("all, of a runtime that has all: %q", got)
	}
}
