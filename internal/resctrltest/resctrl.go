// Package resctrltest is a file system for tests that behaves like resctrl (Documentation/filesystems/resctrl.rst of Linux) as
// far as a runtime sees it: hardly any machine that tests run on has the real one.
package resctrltest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// machine has two L3 caches of 11 bits, bandwidth in steps of 10 percent, and a number of groups beside the default one.
type machine struct {
	nodes  map[uint64]*node
	root   *group
	groups int // there
	limit  int
	status string
	member map[int][2]*group // control group and monitoring group of a process
}

// group is a control group, or a monitoring group in one.
type group struct {
	*node
	schemata map[string][2]uint64
}

const (
	requestEnv = "HUSK_RESCTRLTEST" // makes the test binary a server: "DIR LIMIT RESOURCE..."
	ready      = "ready"
)

// The server is a process of its own: one that serves itself would wait for itself when it ends with a file open.
func init() {
	request := strings.Fields(os.Getenv(requestEnv))
	if len(request) == 0 {
		return
	}
	f := &machine{nodes: map[uint64]*node{}, member: map[int][2]*group{}, status: "ok"}
	f.limit, _ = strconv.Atoi(request[1])
	f.build(request[2:])
	if err := f.serve(request[0]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Missing says why there can't be one on this machine, "" if there can.
func Missing() string {
	if os.Geteuid() != 0 {
		return "mounting a file system needs root"
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return "the stand-in for resctrl needs fuse: " + err.Error()
	}
	return ""
}

// Mount mounts a resctrl file system for the time of a test, and returns the directory. It has room for a number of groups
// beside the default one, and as many monitoring groups in each; and the resources that are named in place of all: L3, MB, L3_MON.
func Mount(t testing.TB, limit int, resources ...string) string {
	t.Helper()
	if why := Missing(); why != "" {
		t.Skip(why)
	}
	if len(resources) == 0 {
		resources = []string{"L3", "MB", "L3_MON"}
	}
	dir, err := os.MkdirTemp("", "resctrl-")
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command("/proc/self/exe")
	server.Env = []string{fmt.Sprintf("%s=%s %d %s", requestEnv, dir, limit, strings.Join(resources, " "))}
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != ready {
		t.Fatalf("the server says %q", line)
	}
	return dir
}

func (f *machine) build(resources []string) {
	monitors := slices.Contains(resources, "L3_MON")
	info := f.directory()
	for _, r := range resources {
		info.names[r] = f.directory()
	}
	if mb := info.names["MB"]; mb != nil {
		mb.names["bandwidth_gran"] = f.file(func() string { return "10\n" }, nil)
	}
	info.names["last_cmd_status"] = f.file(func() string { return f.status + "\n" }, nil)
	f.root = f.control(monitors)
	for name := range f.root.schemata {
		if !slices.Contains(resources, name) {
			delete(f.root.schemata, name)
		}
	}
	root := f.root.node
	root.names["info"] = info
	root.mkdir = func(string) (*node, unix.Errno) {
		if f.groups == f.limit {
			return nil, f.fail(unix.ENOSPC, "Out of CLOSIDs")
		}
		f.groups++
		g := f.control(monitors)
		for name := range g.schemata {
			if _, ok := f.root.schemata[name]; !ok {
				delete(g.schemata, name)
			}
		}
		return g.node, 0
	}
	root.rmdir = func(name string) unix.Errno {
		f.forget(root.names[name])
		f.groups--
		return 0
	}
	root.id = rootNode
	f.nodes[rootNode] = root
}

func (f *machine) add(n *node) *node {
	n.id = uint64(len(f.nodes) + 10)
	f.nodes[n.id] = n
	return n
}

func (f *machine) directory() *node { return f.add(&node{names: map[string]*node{}}) }

func (f *machine) file(read func() string, write func(int, string) unix.Errno) *node {
	return f.add(&node{read: read, write: write})
}

// control makes a control group with all of every resource.
func (f *machine) control(monitors bool) *group {
	g := &group{node: f.directory(), schemata: map[string][2]uint64{"L3": {0x7ff, 0x7ff}, "MB": {100, 100}}}
	g.names["schemata"] = f.file(func() string { return g.print() }, func(_ int, text string) unix.Errno { return f.set(g, text) })
	g.names["tasks"] = f.file(func() string { return f.tasks(g) }, func(pid int, text string) unix.Errno { return f.enter(pid, text, g, nil) })
	if monitors {
		mons := f.directory()
		mons.mkdir = func(string) (*node, unix.Errno) {
			if len(mons.names) == f.limit {
				return nil, f.fail(unix.ENOSPC, "Out of RMIDs")
			}
			m := &group{node: f.directory()}
			m.names["tasks"] = f.file(func() string { return f.tasks(m) }, func(pid int, text string) unix.Errno { return f.enter(pid, text, g, m) })
			return m.node, 0
		}
		mons.rmdir = func(name string) unix.Errno { f.forget(mons.names[name]); return 0 }
		g.names["mon_groups"] = mons
	}
	return g
}

func (f *machine) fail(errno unix.Errno, status string) unix.Errno {
	f.status = status
	return errno
}

// forget moves the processes of a group that is removed: those of a monitoring group to its control group, the others to the
// default group.
func (f *machine) forget(n *node) {
	for pid, m := range f.member {
		switch {
		case m[0].node == n:
			delete(f.member, pid)
		case m[1] != nil && m[1].node == n:
			f.member[pid] = [2]*group{m[0], nil}
		}
	}
}

// enter is a write to tasks.
func (f *machine) enter(pid int, text string, control, monitor *group) unix.Errno {
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err != nil || n < 0 {
		return f.fail(unix.EINVAL, "Task list parsing error")
	} else if n > 0 {
		pid = n
	}
	if now := f.member[pid][0]; monitor != nil && now != control && (now != nil || control != f.root) {
		return f.fail(unix.EINVAL, "Can't move task to different control group")
	}
	f.member[pid] = [2]*group{control, monitor}
	return 0
}

// tasks lists the living members of a group. (Of the default group they are those that were put there.)
func (f *machine) tasks(g *group) string {
	var b strings.Builder
	for pid, m := range f.member {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil && (m[0] == g || m[1] == g) {
			fmt.Fprintln(&b, pid)
		}
	}
	return b.String()
}

func (g *group) print() string {
	var b strings.Builder
	if v, ok := g.schemata["MB"]; ok {
		fmt.Fprintf(&b, "    MB:0=%d;1=%d\n", v[0], v[1])
	}
	if v, ok := g.schemata["L3"]; ok {
		fmt.Fprintf(&b, "    L3:0=%x;1=%x\n", v[0], v[1])
	}
	return b.String()
}

// set is a write to schemata.
func (f *machine) set(g *group, text string) unix.Errno {
	text, ok := strings.CutSuffix(text, "\n")
	if !ok {
		return unix.EINVAL
	}
	for line := range strings.SplitSeq(text, "\n") {
		name, list, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		values, ok := g.schemata[name]
		if !ok {
			return f.fail(unix.EINVAL, "Unknown or unsupported resource name '"+name+"'")
		}
		for domain := range strings.SplitSeq(list, ";") {
			id, text, _ := strings.Cut(domain, "=")
			i, err := strconv.Atoi(strings.TrimSpace(id))
			if err != nil || i > 1 {
				return f.fail(unix.EINVAL, "Missing '=' or non-numeric domain")
			}
			base, low, high := 10, uint64(10), uint64(100)
			if name == "L3" {
				base, low, high = 16, 1, 0x7ff
			}
			v, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(text), "0x"), base, 64)
			if err != nil || v < low || v > high {
				return f.fail(unix.EINVAL, "Value "+text+" out of range")
			}
			if name == "MB" {
				v = (v + 9) / 10 * 10
			}
			values[i] = v
		}
		g.schemata[name] = values
	}
	return 0
}
