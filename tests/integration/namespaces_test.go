package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type namespaceKind struct {
	kind specs.LinuxNamespaceType
	file string
}

// kinds of namespaces, with the names of their files in /proc/PID/ns.
var kinds = []namespaceKind{
	{specs.NetworkNamespace, "net"},
	{specs.IPCNamespace, "ipc"},
	{specs.UTSNamespace, "uts"},
	{specs.PIDNamespace, "pid"},
	{specs.CgroupNamespace, "cgroup"},
	{specs.MountNamespace, "mnt"},
}

// holder is a process with a namespace of each kind, to be joined.
func holder(b *bundle) int {
	b.t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		b.t.Skip("no unshare(1)")
	}
	out := b.pipe()
	cmd := exec.Command(unshare, "--net", "--ipc", "--uts", "--pid", "--cgroup", "--mount", "--propagation", "unchanged", "--fork", "--kill-child", env.inside, "wait")
	cmd.Stdout, cmd.Stderr = out.w, out.w
	b.spawn(cmd)
	out.expect("ready\n")
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		b.t.Fatal(err)
	}
	return pid
}

func nsOf(t *testing.T, pid int, file string) string {
	t.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// combination is how a container gets its namespaces: one letter for each of kinds, "n" for new, "j" for joined by path, "h"
// for the host's.
func (b *bundle) namespaces(letters string, holder int) {
	b.Linux.Namespaces = nil
	for i, k := range kinds {
		switch letters[i] {
		case 'n':
			b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: k.kind})
		case 'j':
			path := fmt.Sprintf("/proc/%d/ns/%s", holder, k.file)
			b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: k.kind, Path: path})
		}
	}
	if letters[0] == 'h' { // sysfs belongs to a network namespace
		for i := range b.Spec.Mounts {
			if b.Spec.Mounts[i].Destination == "/sys" {
				b.Spec.Mounts[i] = specs.Mount{Destination: "/sys", Source: "/sys", Type: "none", Options: []string{"rbind", "rro", "rprivate"}}
			}
		}
		b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
	}
	if letters[2] == 'h' {
		b.Hostname = ""
	}
}

// The letters are for net, ipc, uts, pid, cgroup, mnt.
func TestNamespaces(t *testing.T) {
	combinations := []string{
		"nnnnnn", "nnnnhn", "jnnnnn", "njnnnn", "nnjnnn", "nnnjnn", "nnnnjn", "jjjnnn", "jjjjjn", "jjjjnn", "jjnjhn", "hnnnnn",
		"nhnnnn", "nnhnnn", "nnnhnn", "hhhhhn", "jhhjhn", "hhhjjn", "nnnnnj", "jjjjjj",
	}
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the namespaces that the container joins are root's")
		for _, letters := range combinations {
			t.Run(letters, func(t *testing.T) {
				b := newBundle(t, v)
				from := 0
				if strings.Contains(letters, "j") {
					from = holder(b)
				}
				b.namespaces(letters, from)
				f := b.facts()
				self := os.Getpid()
				for i, k := range kinds {
					got := f.NS[k.file]
					switch letters[i] {
					case 'n':
						if got == nsOf(t, self, k.file) {
							t.Errorf("%s namespace is the host's", k.kind)
						}
					case 'h':
						equal(t, k.file, got, nsOf(t, self, k.file))
					case 'j':
						equal(t, k.file, got, nsOf(t, from, k.file))
					}
				}
				equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
				if letters[3] == 'n' {
					equal(t, "pid", f.Pid, 1)
				}
				if letters[3] == 'j' { // /proc shows the namespace that was joined
					includes(t, "processes", f.Proc, "1", itoa(f.Pid))
				}
				equal(t, "session", f.Sid, f.Pid)
				includes(t, "the root directory", f.Root, "inside", "!work", "!usr")
				if letters[4] == 'n' {
					for line := range strings.Lines(f.Cgroup) {
						if !strings.HasSuffix(line, ":/\n") {
							t.Errorf("cgroup %q is not the root of its namespace", line)
						}
					}
				}
			})
		}
		t.Run("exec and kill in a joined pid namespace", func(t *testing.T) {
			b := newBundle(t, v)
			b.namespaces("nnnjnn", holder(b))
			pid := b.detached("children", "3")
			out := b.must("exec", b.id, "/inside", "facts")
			f := parseFacts(t, out)
			equal(t, "pid namespace", f.NS["pid"], nsOf(t, pid, "pid"))
			b.must("kill", b.id, "KILL") // ends all of it: no pid namespace's end does
			b.must("delete", "--force", b.id)
		})
		t.Run("the cgroup", func(t *testing.T) {
			b := newBundle(t, v)
			f := b.facts()
			for line := range strings.Lines(f.Cgroup) {
				if name := v.cgroup(b.id) + "\n"; !strings.HasSuffix(line, name) && (v.v2 == strings.HasPrefix(line, "0:")) {
					t.Errorf("cgroup %q, want %q", line, name)
				}
			}
		})
		t.Run("relative and no cgroupsPath", func(t *testing.T) {
			if v.systemd {
				t.Skip("systemd has names of its own: TestSystemd")
			}
			for _, path := range []string{env.name + "/" + "rel", ""} {
				b := newBundle(t, v)
				b.Linux.CgroupsPath = path
				if path != "" {
					b.Linux.CgroupsPath += b.id
				}
				f := b.facts()
				name := b.id
				if path != "" {
					name = path + b.id
				}
				equal(t, "cgroup has the name", strings.Contains(f.Cgroup, "/"+name+"\n"), true)
			}
		})
	})
}

// What is not a namespace, or not of the kind, is refused, and nothing is left.
func TestWrongNamespaces(t *testing.T) {
	cases := []struct {
		name, words string
		patch       func(*bundle)
	}{
		{"another kind", "/linux/namespaces", func(b *bundle) { join(b, specs.NetworkNamespace, "/proc/self/ns/ipc") }},
		{"no namespace", "/linux/namespaces", func(b *bundle) { join(b, specs.NetworkNamespace, "/etc/hostname") }},
		{"missing", "/linux/namespaces", func(b *bundle) { join(b, specs.UTSNamespace, "/nowhere") }},
		{"twice", "/linux/namespaces", func(b *bundle) { join(b, specs.UTSNamespace, "") }},
		{"no mounts of its own, but paths", "/linux", func(b *bundle) { without(b, specs.MountNamespace) }},
		{"hostname of the host", "/hostname", func(b *bundle) { without(b, specs.UTSNamespace) }},
		{"sysctl of the host by path", `/linux/sysctl: sysctl "net.ipv4.ip_forward" not allowed in host network namespace`, func(b *bundle) {
			join(b, specs.NetworkNamespace, "/proc/self/ns/net")
			b.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "a value that does no harm if it is written"}
		}},
		{"sysctl of the host", "/linux/sysctl", func(b *bundle) {
			without(b, specs.NetworkNamespace)
			b.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := newBundle(t, v)
				c.patch(b)
				r := b.run()
				if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, c.words) {
					t.Errorf("run: %v; want status 1 and one line with %q", r, c.words)
				}
			})
		}
	})
}

func join(b *bundle, kind specs.LinuxNamespaceType, path string) {
	if path != "" {
		without(b, kind)
	}
	b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

func without(b *bundle, kind specs.LinuxNamespaceType) {
	b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}

// Without a mount namespace the root is mounted on the host and unmounted at the end. What the caller has mounted there, an image mostly,
// stays, also where the container never came to its own.
func TestMountedImage(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "it has the mounts of the host")
		b := newBundle(t, v)
		without(b, specs.MountNamespace)
		b.Linux.MaskedPaths, b.Linux.ReadonlyPaths, b.Linux.RootfsPropagation = nil, nil, ""
		b.Process.Args = []string{"/inside", "exit", "0"}
		b.makeDirs("image")
		b.Root.Path = b.path("image")
		mount := func() error { return unix.Mount(b.path("rootfs"), b.Root.Path, "", unix.MS_BIND, "") }
		if err := v.do(mount); err != nil {
			t.Fatal(err)
		}
		defer v.do(func() error { return unix.Unmount(b.Root.Path, unix.MNT_DETACH) })
		before := take(v)
		stays := func(when string, r result, status int) {
			t.Helper()
			if now := take(v); r.status != status || now.mounts != before.mounts {
				t.Errorf("%s: %v, mounts before:\n%s\nand now:\n%s", when, r, before.mounts, now.mounts)
			}
		}
		stays("a run", b.run(), 0)
		b.Process.Args = []string{"/nowhere"}
		stays("no program", b.run(), 1)
		b.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"}
		stays("no cgroup", b.run(), 1)
	})
}

// A network namespace that is kept by a bind mount, as CNI does it.
func TestBoundNamespace(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the namespaces that the container joins are root's")
		b := newBundle(t, v)
		pid := holder(b)
		b.write("netns", "")
		v.mountFor(t, fmt.Sprintf("/proc/%d/ns/net", pid), b.path("netns"))
		join(b, specs.NetworkNamespace, b.path("netns"))
		f := b.facts()
		equal(t, "net", f.NS["net"], nsOf(t, pid, "net"))
		equal(t, "the file is bound", filepath.Base(b.path("netns")), "netns")
	})
}
