package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The three layouts of a host.
const (
	V1     = "v1"     // v1 hierarchies only
	Hybrid = "hybrid" // v1 hierarchies and cgroup2 at /sys/fs/cgroup/unified
	V2     = "v2"     // cgroup2 at /sys/fs/cgroup
)

const root = "/sys/fs/cgroup"

// Hierarchy is one mounted cgroup tree.
type Hierarchy struct {
	Name       string // "cpu,cpuacct" or "name=systemd" as in /proc/self/cgroup; "" is cgroup2
	Mountpoint string // "/sys/fs/cgroup/cpu,cpuacct", never a symlink
	OwnPath    string // cgroup of the calling process, from the root of its cgroup namespace; "" when not asked for
}

// Layout is how the host has its cgroups mounted.
type Layout struct {
	Version     string // V1, Hybrid or V2
	Hierarchies []Hierarchy
}

// DetectLayout looks at /sys/fs/cgroup and /proc/self/cgroup, and at mountinfo only where the first has no known shape.
func DetectLayout() (Layout, error) { return detect(true) }

// detect leaves out the own path on v2 when it is not needed, which saves reading /proc/self/cgroup.
func detect(needOwn bool) (Layout, error) {
	magic, err := fsMagic(root)
	if err == nil && magic == unix.CGROUP2_SUPER_MAGIC {
		h := Hierarchy{Mountpoint: root}
		if needOwn {
			own, err := ownCgroups()
			if err != nil {
				return Layout{}, err
			}
			h.OwnPath = own.find("")
		}
		return Layout{Version: V2, Hierarchies: []Hierarchy{h}}, nil
	}
	own, err := ownCgroups()
	if err != nil {
		return Layout{}, err
	}
	lay := Layout{Version: V1}
	if magic == unix.TMPFS_MAGIC {
		for _, c := range own {
			if mnt := usualMount(c.name); mnt != "" {
				lay.add(Hierarchy{Name: c.name, Mountpoint: mnt, OwnPath: c.path})
			}
		}
	}
	if len(lay.Hierarchies) == 0 {
		if lay, err = fromMountinfo(own); err != nil {
			return Layout{}, err
		}
	}
	if len(lay.Hierarchies) == 0 {
		return Layout{}, errors.New("find cgroups: no cgroup file system is mounted (mount cgroup2 at " + root + ")")
	}
	return lay, nil
}

func (l *Layout) add(h Hierarchy) {
	if h.Name == "" && l.Version == V1 {
		l.Version = Hybrid
	}
	l.Hierarchies = append(l.Hierarchies, h)
}

// usualMount returns where systemd and its likes mount a hierarchy, or "" when it is not there. The type is checked because a
// directory that waits for its mount would otherwise be filled with plain ones.
func usualMount(name string) string {
	base, magic := strings.TrimPrefix(name, "name="), uint32(unix.CGROUP_SUPER_MAGIC)
	if name == "" {
		base, magic = "unified", unix.CGROUP2_SUPER_MAGIC
	}
	mnt := root + "/" + base
	if got, err := fsMagic(mnt); err == nil && got == magic {
		return mnt
	}
	// "cpu,cpuacct" may also be mounted as either name, with a symlink for the other.
	for part := range strings.SplitSeq(base, ",") {
		mnt := root + "/" + part
		if part == base {
			break
		}
		if got, err := fsMagic(mnt); err == nil && got == magic {
			if to, err := os.Readlink(mnt); err == nil {
				mnt = path.Join(root, to)
			}
			return mnt
		}
	}
	return ""
}

func fsMagic(p string) (uint32, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(p, &st)
		if !errors.Is(err, unix.EINTR) {
			return uint32(st.Type), err
		}
	}
}

// membership is one line of /proc/PID/cgroup.
type membership struct{ name, path string }

type memberships []membership

func (ms memberships) find(name string) string {
	for _, m := range ms {
		if m.name == name {
			return m.path
		}
	}
	return ""
}

func ownCgroups() (memberships, error) { return readCgroups("/proc/self/cgroup") }

func readCgroups(file string) (memberships, error) {
	data, err := readWhole(file)
	if err != nil {
		return nil, err
	}
	return parseMemberships(string(data))
}

// parseMemberships reads lines "ID:NAMES:PATH" (cgroups(7)). A path may hold colons but no newline. The kernel marks the path
// of a removed cgroup with " (deleted)"; that is no place to go, so the line is left out.
func parseMemberships(s string) (memberships, error) {
	var ms memberships
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		_, rest, ok := strings.Cut(line, ":")
		name, p, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("read cgroups of a process: unexpected line %q", line)
		}
		if !strings.HasSuffix(p, " (deleted)") {
			ms = append(ms, membership{name, p})
		}
	}
	return ms, nil
}

// fromMountinfo finds hierarchies that are mounted at unusual places.
func fromMountinfo(own memberships) (Layout, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return Layout{}, err
	}
	lay := Layout{Version: V1}
	for _, c := range own {
		if i := findMount(mounts, c.name); i >= 0 {
			lay.add(Hierarchy{Name: c.name, Mountpoint: mounts[i].point, OwnPath: c.path})
		}
	}
	if len(lay.Hierarchies) == 1 && lay.Hierarchies[0].Name == "" {
		lay.Version = V2
	}
	return lay, nil
}

// belowMount returns own as a path below the mount point of h. The two differ where only a part of the tree is mounted and no
// cgroup namespace hides that (docker in docker on v1): then the mount's root has to be cut off, which mountinfo knows.
func belowMount(h Hierarchy) (string, error) {
	own := h.OwnPath
	if own == "" || strings.HasPrefix(own, "/..") {
		return "", fmt.Errorf("place cgroup below the own one: the caller's cgroup %q is outside of its cgroup namespace", own)
	}
	var st unix.Stat_t
	if err := unix.Stat(h.Mountpoint+own, &st); err == nil {
		return own, nil
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if rest, ok := strings.CutPrefix(own, m.root); m.point == h.Mountpoint && ok && (rest == "" || rest[0] == '/') {
			return path.Join("/", rest), nil
		}
	}
	return "", fmt.Errorf("place cgroup below the own one: %q does not show the caller's cgroup %q", h.Mountpoint, own)
}

// cgroupMount is a line of /proc/self/mountinfo: the part of the tree that is mounted, where, and with which v1 options.
type cgroupMount struct {
	root, point string
	unified     bool
	options     []string
}

func findMount(mounts []cgroupMount, name string) int {
	want := strings.Split(name, ",")
	for i, m := range mounts {
		if m.unified {
			if name == "" {
				return i
			}
			continue
		}
		n := 0
		for _, o := range m.options {
			for _, w := range want {
				if o == w {
					n++
				}
			}
		}
		if n == len(want) {
			return i
		}
	}
	return -1
}

func cgroupMounts() ([]cgroupMount, error) {
	data, err := readWhole("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMountinfo(string(data)), nil
}

// parseMountinfo keeps the cgroup file systems (proc_pid_mountinfo(5)).
func parseMountinfo(s string) []cgroupMount {
	var mounts []cgroupMount
	for line := range strings.Lines(s) {
		head, tail, ok := strings.Cut(line, " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 3 || (t[0] != "cgroup" && t[0] != "cgroup2") {
			continue
		}
		mounts = append(mounts, cgroupMount{unescape(h[3]), unescape(h[4]), t[0] == "cgroup2", strings.Split(t[2], ",")})
	}
	return mounts
}

// unescape undoes the octal escapes of mountinfo (space, tab, newline, backslash).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func readWhole(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for have := 0; ; {
		n, err := readFD(fd, buf[have:])
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if have += n; n == 0 {
			return buf[:have], nil
		}
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}
