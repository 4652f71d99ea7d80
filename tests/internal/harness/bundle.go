package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// plain is a configuration as an engine writes it for a container without special wishes. The program ends at once.
const plain = `{
"ociVersion": "1.0.2",
"process": {
	"user": {"uid": 0, "gid": 0},
	"args": ["/bin/true"],
	"env": ["PATH=/bin"],
	"cwd": "/",
	"capabilities": {
		"bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID"],
		"effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID"],
		"permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID"]
	},
	"noNewPrivileges": true
},
"root": {"path": "rootfs"},
"hostname": "box",
"mounts": [
	{"destination": "/proc", "type": "proc", "source": "proc"},
	{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
	{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
	{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
],
"linux": {
	"resources": {"devices": [{"allow": false, "access": "rwm"}]},
	"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
	"maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
	"readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"]
}}`

// applets are the programs in a root file system.
var applets = []string{
	"sh", "cat", "chmod", "cp", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ln", "ls", "mkdir", "mknod", "mkfifo", "mount", "mv",
	"nsenter", "od", "ps", "pwd", "readlink", "rm", "sed", "sleep", "sort", "stat", "stty", "tail", "test", "touch", "tr", "true", "tty", "umount", "unshare", "wc", "xargs",
}

// Bundle makes a bundle in the box, with a root file system and a configuration that is the plain one with changes:
// lines of a JSON pointer and a value, as in
//
//	/process/args ["/bin/sh", "-c", "id"]
//	/mounts/- {"destination": "/data", ...}     // another element
//	/hostname                                    // no value: without this member
//
// A dollar and a word in braces stands for a path: ${box}, ${bundle}, ${rootfs}.
func (b *Box) Bundle(changes ...string) string {
	b.T.Helper()
	dir, err := os.MkdirTemp(b.Dir, "bundle-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = b.rootfs(filepath.Join(dir, "rootfs"))
	}
	if err != nil {
		b.T.Fatal(err)
	}
	b.Configure(dir, changes...)
	return dir
}

// Configure writes config.json of a bundle anew.
func (b *Box) Configure(bundle string, changes ...string) {
	b.T.Helper()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), b.Config(bundle, changes...), 0o600); err != nil {
		b.T.Fatal(err)
	}
}

// Config is the plain configuration with changes.
func (b *Box) Config(bundle string, changes ...string) []byte {
	b.T.Helper()
	var doc any
	if err := decode(plain, &doc); err != nil {
		b.T.Fatal(err)
	}
	doc, err := set(doc, []string{"linux", "cgroupsPath"}, b.Cgroup())
	if err != nil {
		b.T.Fatal(err)
	}
	paths := strings.NewReplacer("${box}", b.Dir, "${bundle}", bundle, "${rootfs}", filepath.Join(bundle, "rootfs"))
	for _, block := range changes {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(paths.Replace(line))
			if line == "" {
				continue
			}
			pointer, text, has := strings.Cut(line, " ")
			var value any
			if has {
				if err := decode(text, &value); err != nil {
					b.T.Fatalf("change %q: %v", line, err)
				}
			} else {
				value = remove{}
			}
			if doc, err = set(doc, strings.Split(pointer, "/")[1:], value); err != nil {
				b.T.Fatalf("change %q: %v", line, err)
			}
		}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		b.T.Fatal(err)
	}
	return data
}

// decode keeps numbers as they are written.
func decode(text string, to *any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

type remove struct{}

// set returns doc with the value at a JSON pointer.
func set(doc any, pointer []string, value any) (any, error) {
	if len(pointer) == 0 {
		return value, nil
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(pointer[0])
	switch d := doc.(type) {
	case nil:
		return set(map[string]any{}, pointer, value)
	case map[string]any:
		v, err := set(d[name], pointer[1:], value)
		if d[name] = v; v == any(remove{}) {
			delete(d, name)
		}
		return d, err
	case []any:
		if name == "-" {
			v, err := set(nil, pointer[1:], value)
			return append(d, v), err
		}
		i, err := strconv.Atoi(name)
		if err != nil || i >= len(d) {
			return nil, fmt.Errorf("no element %q", name)
		}
		v, err := set(d[i], pointer[1:], value)
		if d[i] = v; v == any(remove{}) {
			return append(d[:i], d[i+1:]...), err
		}
		return d, err
	}
	return nil, fmt.Errorf("no member %q in %v", name, doc)
}

// rootfs makes a root file system of busybox. The program is a hard link to a copy that belongs to this run.
func (b *Box) rootfs(dir string) error {
	program := filepath.Join(Base(), "busybox")
	if _, err := os.Stat(program); err != nil {
		data, err := os.ReadFile(busybox)
		if err == nil {
			err = os.WriteFile(program, data, 0o755)
		}
		if err != nil {
			return err
		}
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	err := errors.Join(
		os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky),
		os.Link(program, filepath.Join(dir, "bin/busybox")),
		os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"), 0o644),
	)
	for _, name := range applets {
		err = errors.Join(err, os.Symlink("busybox", filepath.Join(dir, "bin", name)))
	}
	return err
}

// Write makes a file with a text in the box: name is relative to it, or absolute.
func (b *Box) Write(name, text string, mode os.FileMode) string {
	b.T.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.Dir, name)
	}
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode))
	if err != nil {
		b.T.Fatal(err)
	}
	return name
}
