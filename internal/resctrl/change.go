package resctrl

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Change writes the schemata of rdt to a group that exists. If one is refused, those before it are put back; undo does the same
// with all of them.
func (g *Group) Change(rdt *specs.LinuxIntelRdt) (undo func() error, err error) {
	g.root = path.Dir(g.Path)
	if _, err := os.Stat(g.Path + "/info"); err == nil {
		return nil, fmt.Errorf("/linux/intelRdt: change the default group %s: all other processes of the machine are in it: %w", g.Path, unix.EPERM)
	}
	if err := g.supports(rdt); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(g.Path + "/schemata")
	if err != nil {
		return nil, fmt.Errorf("/linux/intelRdt: read the schemata of the group: %w", err)
	}
	old := &specs.LinuxIntelRdt{}
	for l := range strings.Lines(string(data)) {
		name := resourceOf(l)
		if slices.ContainsFunc(lines(rdt), func(l line) bool { return resourceOf(l.line) == name }) {
			old.Schemata = append(old.Schemata, strings.TrimSpace(l))
		}
	}
	undo = func() error { return g.write(old) }
	if err := g.write(rdt); err != nil {
		if failed := undo(); failed != nil {
			err = fmt.Errorf("%w; and put back what was there before: %w", err, failed)
		}
		return nil, err
	}
	return undo, nil
}

func resourceOf(schema string) string {
	name, _, _ := strings.Cut(schema, ":")
	return strings.TrimSpace(name)
}
