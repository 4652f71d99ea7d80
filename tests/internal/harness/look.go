package harness

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Sight is all on the host that a container can leave a trace in.
type Sight struct {
	Mounts    []string
	Cgroups   []string // of this run
	Units     []string // of this run
	Processes []string
	Files     []string // in the box: names, types, modes; nil: not to be compared
}

// Look looks at the host. Zombies count as gone.
func (b *Box) Look() Sight {
	b.T.Helper()
	return Sight{Mounts: mounts(b.T), Cgroups: cgroupDirs(os.Getenv(prefixEnv)), Units: units(b.T), Processes: processes(), Files: files(b)}
}

// Same fails the test if the host does not become as it was within a moment: what husk kills on its own death takes one.
func (s Sight) Same(t testing.TB, b *Box) {
	t.Helper()
	var diff []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		now := b.Look()
		if s.Files == nil {
			now.Files = nil
		}
		diff = slices.Concat(changes("mount", s.Mounts, now.Mounts), changes("cgroup", s.Cgroups, now.Cgroups),
			changes("unit", s.Units, now.Units), changes("process", s.Processes, now.Processes), changes("file", s.Files, now.Files))
		if len(diff) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, d := range diff {
		t.Error(d)
	}
	if len(diff) > 0 {
		b.clean()
	}
}

func changes(what string, before, after []string) (list []string) {
	for _, x := range after {
		if !slices.Contains(before, x) {
			list = append(list, what+" is left: "+x)
		}
	}
	for _, x := range before {
		if !slices.Contains(after, x) {
			list = append(list, what+" is gone: "+x)
		}
	}
	return list
}

// clean ends what a failed test has left, for the sake of the next one.
func (b *Box) clean() {
	for _, p := range processes() {
		if pid, err := strconv.Atoi(strings.Fields(p)[0]); err == nil {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	thaw(os.Getenv(prefixEnv))
	for end := time.Now().Add(time.Second); len(processes()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	removeCgroups(os.Getenv(prefixEnv))
}

func mounts(t testing.TB) (list []string) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		list = append(list, strings.TrimSpace(line))
	}
	return list
}

// units lists what systemd knows of the containers of this run.
func units(t testing.TB) (list []string) {
	if !Systemd() {
		return nil
	}
	out, err := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", os.Getenv(prefixEnv)+"-*").CombinedOutput()
	if err != nil {
		t.Fatalf("ask systemd for units: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		list = append(list, strings.TrimSpace(line))
	}
	return list
}

// processes lists "pid name" of all processes but the test's own.
func processes() (list []string) {
	entries, _ := os.ReadDir("/proc")
	reaper, _ := strconv.Atoi(os.Getenv(reaperEnv))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || pid == reaper || Systemd() && !descends(pid, reaper) {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		if len(f) > 0 && (f[0] == "Z" || f[0] == "X") {
			continue
		}
		list = append(list, name+")")
	}
	return list
}

// descends says whether a process descends from another.
func descends(pid, from int) bool {
	for pid > 1 && pid != from {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return false
		}
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		pid, _ = strconv.Atoi(f[1]) // its parent
	}
	return pid == from
}

const cgroupRoot = "/sys/fs/cgroup"

// cgroupDirs finds the cgroups of a run: by name, in every hierarchy.
func cgroupDirs(prefix string) []string {
	v1, _ := filepath.Glob(cgroupRoot + "/*/" + prefix + "-*")
	v2, _ := filepath.Glob(cgroupRoot + "/" + prefix + "-*")
	v2 = append(v1, v2...)
	if Systemd() {
		scopes, _ := filepath.Glob(cgroupRoot + "/system.slice/" + prefix + "-*")
		v2 = append(v2, scopes...)
	}
	return v2
}

func thaw(prefix string) {
	for _, dir := range cgroupDirs(prefix) {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				os.WriteFile(path+"/freezer.state", []byte("THAWED"), 0)
				os.WriteFile(path+"/cgroup.freeze", []byte("0"), 0)
			}
			return nil
		})
	}
}

// removeCgroups removes the cgroups of a run that has gone wrong.
func removeCgroups(prefix string) {
	for range 20 {
		for _, dir := range cgroupDirs(prefix) {
			var dirs []string
			filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, d := range slices.Backward(dirs) {
				unix.Rmdir(d)
			}
		}
		if len(cgroupDirs(prefix)) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// files lists what is in the box. The cache of compiled filters may stay.
func files(b *Box) (list []string) {
	filepath.WalkDir(b.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if path == filepath.Join(b.Root, ".cache") {
			return fs.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err == nil {
			list = append(list, fmt.Sprintf("%s %o %d:%d", path, st.Mode, st.Uid, st.Gid))
		}
		return nil
	})
	return list
}
