// Package resctrl puts processes into groups of the resctrl file system, the kernel's interface to the allocation and the
// monitoring of caches and memory bandwidth (config-linux.md#intelrdt; Documentation/filesystems/resctrl.rst of Linux).
package resctrl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// Group is what a container has in the resctrl file system. Nothing of it needs to exist.
type Group struct {
	Path    string // its control group, absolute; "": none
	Own     bool   // the control group was made for this container and goes with it
	Monitor string // its monitoring group, which always goes with it, absolute; "": none

	root string
	made bool // the control group is new since Make
}

// ErrNotMounted says that there is no resctrl file system.
var ErrNotMounted = errors.New("it is not mounted (mount -t resctrl resctrl /sys/fs/resctrl, where processor and kernel have it)")

// find returns where the file system is mounted: in its usual place, or the first one in the table of mounts.
func find() (root string, err error) {
	if root := testRoot(); root != "" {
		return root, nil
	}
	const usual = "/sys/fs/resctrl"
	if isResctrl(usual) {
		return usual, nil
	}
	mounts, err := linux.MountsOf("resctrl")
	if err != nil {
		return "", err
	}
	for _, root := range mounts {
		if isResctrl(root) {
			return root, nil
		}
	}
	return "", ErrNotMounted
}

func isResctrl(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.RDTGROUP_SUPER_MAGIC
}

// name says which groups a container gets; it looks at nothing.
func name(root string, rdt *specs.LinuxIntelRdt, id string) Group {
	g := Group{root: root}
	switch rdt.ClosID {
	case "/":
		g.Path = root
	case "":
		g.Path = root + "/" + id
	default:
		g.Path = root + "/" + rdt.ClosID
	}
	if rdt.EnableMonitoring {
		g.Monitor = g.Path + "/mon_groups/" + id
	}
	return g
}

// Guess names the groups of a container of which nothing but the configuration is known, for their removal.
func Guess(rdt *specs.LinuxIntelRdt, id string) (Group, error) {
	root, err := find()
	if err != nil {
		return Group{}, err
	}
	g := name(root, rdt, id)
	g.Own = rdt.ClosID == ""
	return g, nil
}

// Prepare says which groups container id gets, and changes nothing. What can be known to go wrong is an error, which begins
// with the place in config.json.
func Prepare(rdt *specs.LinuxIntelRdt, id string) (Group, error) {
	root, err := find()
	if err != nil {
		return Group{}, fmt.Errorf("/linux/intelRdt: find the resctrl file system: %w", err)
	}
	return prepare(root, rdt, id)
}

func prepare(root string, rdt *specs.LinuxIntelRdt, id string) (Group, error) {
	g := name(root, rdt, id)
	if err := g.supports(rdt); err != nil {
		return Group{}, err
	}
	_, err := os.Stat(g.Path + "/tasks") // there are other directories beside the groups
	switch {
	case err == nil:
		if err := g.agrees(rdt); err != nil {
			return Group{}, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return Group{}, fmt.Errorf("/linux/intelRdt: look for group %q: %w", g.Path, err)
	case rdt.ClosID != "" && rdt.L3CacheSchema == "" && rdt.MemBwSchema == "" && len(rdt.Schemata) == 0:
		return Group{}, fmt.Errorf("/linux/intelRdt/closID: look for group %q, which must be there if no schema is given: %w", rdt.ClosID, unix.ENOENT)
	default:
		g.Own = rdt.ClosID == ""
		g.made = true
	}
	if g.Monitor != "" {
		if _, err := os.Stat(g.Monitor); err == nil {
			return Group{}, fmt.Errorf("/linux/intelRdt/enableMonitoring: make group %q: %w", g.Monitor, unix.EEXIST)
		}
	}
	return g, nil
}

// supports looks for what the hardware must have. With code and data prioritization L3 is two resources.
func (g *Group) supports(rdt *specs.LinuxIntelRdt) error {
	for _, need := range []struct {
		wanted  bool
		pointer string
		infos   string
		what    string
	}{
		{rdt.L3CacheSchema != "", "l3CacheSchema", "L3 L3CODE", "allocation of the L3 cache"},
		{rdt.MemBwSchema != "", "memBwSchema", "MB", "allocation of memory bandwidth"},
		{rdt.EnableMonitoring, "enableMonitoring", "L3_MON", "monitoring"},
	} {
		there := !need.wanted
		for info := range strings.FieldsSeq(need.infos) {
			if _, err := os.Stat(g.root + "/info/" + info); err == nil {
				there = true
			}
		}
		if !there {
			return fmt.Errorf("/linux/intelRdt/%s: look for %s in %s/info: the machine has no %s", need.pointer, strings.ReplaceAll(need.infos, " ", " or "), g.root, need.what)
		}
	}
	return nil
}

// Make makes the groups that Prepare has named and writes the schemata. If it fails it has made nothing.
func (g *Group) Make(rdt *specs.LinuxIntelRdt) error {
	if g.made {
		if err := os.Mkdir(g.Path, 0o755); err != nil {
			g.made, g.Own = false, false
			return g.explain("/linux/intelRdt/closID: make group", g.Path, err)
		}
	}
	err := g.write(rdt)
	if err == nil && g.Monitor != "" {
		if err = os.Mkdir(g.Monitor, 0o755); err != nil {
			err = g.explain("/linux/intelRdt/enableMonitoring: make group", g.Monitor, err)
			g.Monitor = ""
		}
	}
	if err != nil {
		if undo := g.Undo(); undo != nil {
			err = fmt.Errorf("%w; and %w", err, undo)
		}
	}
	return err
}

// write writes the schemata: of the L3 cache first, of memory bandwidth second, the general ones last. Each line is one call:
// the kernel refuses a resource twice in one, and a later call may override an earlier one.
func (g *Group) write(rdt *specs.LinuxIntelRdt) error {
	for _, s := range lines(rdt) {
		fd, err := linux.Openat(unix.AT_FDCWD, g.Path+"/schemata", unix.O_WRONLY, 0)
		if err == nil {
			err = linux.WriteFull(fd, []byte(s.line+"\n"))
			unix.Close(fd)
		}
		if err != nil {
			return g.explain(s.pointer+": write to "+g.Path+"/schemata:", s.line, err)
		}
	}
	return nil
}

// explain adds to an error what the kernel says about its last refusal.
func (g *Group) explain(step, object string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	status, _ := os.ReadFile(g.root + "/info/last_cmd_status")
	if text := strings.Join(strings.Fields(string(status)), " "); text != "" && text != "ok" {
		return fmt.Errorf("%s %q: %w (%s)", step, object, err, text)
	}
	return fmt.Errorf("%s %q: %w", step, object, err)
}

// Names are those of the files that Tasks opens.
func (g *Group) Names() (list []string) {
	for _, dir := range []string{g.Path, g.Monitor} {
		if dir != "" {
			list = append(list, dir+"/tasks")
		}
	}
	return list
}

// Tasks opens the files that a process writes "0" to, in this order, to enter the groups. Groups that somebody has removed
// meanwhile are left out: their processes have been moved to the default group.
func (g *Group) Tasks() (files []*os.File, err error) {
	for _, name := range g.Names() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("/linux/intelRdt: open the tasks of a group: %w", err)
		}
		if err == nil {
			files = append(files, file)
		}
	}
	return files, nil
}

// Remove removes what goes with the container. Once the processes have ended nothing is in it. What is gone is no error.
func (g *Group) Remove() error {
	if g.Monitor != "" {
		if err := unix.Rmdir(g.Monitor); err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove resctrl group %s: %w", g.Monitor, err)
		}
	}
	if g.Own {
		if err := unix.Rmdir(g.Path); err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove resctrl group %s: %w", g.Path, err)
		}
	}
	return nil
}

// Undo removes what Make has made: a control group with a name of its own as well, unless somebody uses it already.
func (g *Group) Undo() error {
	if err := g.Remove(); err != nil || !g.made || g.Own {
		return err
	}
	if tasks, err := os.ReadFile(g.Path + "/tasks"); err != nil || len(tasks) > 0 {
		return nil
	}
	if err := unix.Rmdir(g.Path); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove resctrl group %s: %w", g.Path, err)
	}
	return nil
}
