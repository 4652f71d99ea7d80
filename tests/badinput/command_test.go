package badinput

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// TestBundles: bundles that are not what they should be.
func TestBundles(t *testing.T) { check(t, bundles) }

// TestCommandLines: commands that make no sense.
func TestCommandLines(t *testing.T) { check(t, commandLines) }

// TestExec: processes that can't be started in a running container.
func TestExec(t *testing.T) {
	for i := range execs {
		execs[i].prepare = func(b *harness.Box, bundle string) {
			b.Configure(bundle, `/process/args ["/bin/sleep", "1000"]`)
			b.Must("run", "--detach", "--bundle", bundle, "box")
			b.Write("not-json", "hello", 0o600)
			b.Write("no-args.json", `{"cwd": "/"}`, 0o600)
			b.Write("no-cwd.json", `{"args": ["/bin/true"]}`, 0o600)
			b.Write("bad.json", `{"args": ["/bin/true"], "cwd": "/", "user": {"umask": 512}, "oomScoreAdj": 2000, "rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}],
				"scheduler": {"policy": "SCHED_BEST"}, "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": -1}, "execCPUAffinity": {"initial": "a"}}`, 0o600)
			b.Write("mounts.json", `[{}, {"destination": "/x"}, {"destination": "/data", "type": "proc"}, {"destination": "/dev", "type": "none", "options": ["remount", "ro"]}]`, 0o600)
			b.Write("no-source.json", `[{"destination": "/data", "type": "tmpfs"}, {"destination": "/tmp", "source": "/no/such", "options": ["bind"]}]`, 0o600)
			b.Write("dev.json", `[{"destination": "/dev"}]`, 0o600)
			b.Write("scheduler.json", `{"args": ["/bin/true"], "cwd": "/", "scheduler": {"policy": "SCHED_ISO"}}`, 0o600)
			b.Write("affinity.json", `{"args": ["/bin/true"], "cwd": "/", "execCPUAffinity": {"initial": "9000"}}`, 0o600)
			b.Write("rlimit.json", `{"args": ["/bin/true"], "cwd": "/", "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615}]}`, 0o600)
			b.T.Cleanup(func() { b.Must("delete", "--force", "box") })
		}
	}
	check(t, execs)
}

func text(name, content string) func(*harness.Box, string) {
	return func(b *harness.Box, bundle string) { b.Write(filepath.Join(bundle, name), content, 0o644) }
}

func program(content string, mode os.FileMode) func(*harness.Box, string) {
	return func(b *harness.Box, bundle string) { b.Write(filepath.Join(bundle, "rootfs/program"), content, mode) }
}

func try(b *harness.Box, errs ...error) {
	b.T.Helper()
	for _, err := range errs {
		if err != nil {
			b.T.Fatal(err)
		}
	}
}

// elf is the beginning of a 64-bit program for a machine.
func elf(machine uint16, class, order byte) string {
	h := make([]byte, 120)
	copy(h, "\x7fELF")
	h[4], h[5], h[6] = class, order, 1
	le := binary.LittleEndian
	le.PutUint16(h[16:], 2)
	le.PutUint16(h[18:], machine)
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[32:], 64)
	le.PutUint16(h[52:], 64)
	le.PutUint16(h[54:], 56)
	le.PutUint16(h[56:], 1)
	return string(h)
}

// loader is a program of this machine that asks for a loader.
func loader(path string) string {
	h := []byte(elf(62, 2, 1))
	le := binary.LittleEndian
	le.PutUint32(h[64:], 3) // PT_INTERP
	le.PutUint64(h[72:], 120)
	le.PutUint64(h[96:], uint64(len(path)+1))
	return string(h) + path + "\x00"
}

var (
	runIt     = []string{"run", "--bundle", "${bundle}", "c"}
	asProgram = `/process/args ["/program"]`
)

var bundles = []bad{
	{name: "no bundle", args: []string{"create", "--bundle", "${box}/nothing", "c"}, want: "JSON specification file config.json not found"},
	{name: "bundle is a file", args: []string{"create", "--bundle", "/etc/passwd", "c"}, want: "open /etc/passwd/config.json: not a directory"},
	{name: "no config", prepare: func(b *harness.Box, d string) { try(b, os.Remove(d+"/config.json")) }, want: "JSON specification file config.json not found"},
	{name: "config is a directory", prepare: func(b *harness.Box, d string) { try(b, os.Remove(d+"/config.json"), os.Mkdir(d+"/config.json", 0o755)) }, want: "open & /config.json: not a regular file"},
	{name: "config is a fifo", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/config.json"), unix.Mkfifo(d+"/config.json", 0o644))
	}, want: "open & /config.json: not a regular file"},
	{name: "config is a device", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/config.json"), os.Symlink("/dev/zero", d+"/config.json"))
	}, want: "open & /config.json: not a regular file"},
	{name: "config is a loop", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/config.json"), os.Symlink("config.json", d+"/config.json"))
	}, want: "open & /config.json: too many levels of symbolic links"},
	{name: "config too large", prepare: func(b *harness.Box, d string) { try(b, os.Truncate(d+"/config.json", 33<<20)) }, want: "read & /config.json: larger than 32 MiB"},
	{name: "config empty", prepare: text("config.json", ""), want: "parse config.json: expected an object, found the end of the document"},
	{name: "config of blanks", prepare: text("config.json", "  \n\t "), want: "parse config.json: expected an object, found the end of the document"},
	{name: "config cut short", prepare: text("config.json", `{"ociVersion": "1.0.0", "process": {"args": ["/bin/tr`), want: "parse config.json: /process/args/0: string without an end"},
	{name: "config with a comma too many", prepare: text("config.json", `{"ociVersion": "1.0.0",}`), want: "parse config.json: /ociVersion: expected a member name, found '}'"},
	{name: "config with comments", prepare: text("config.json", "{ // mine\n}"), want: "parse config.json: expected a member name, found '/'"},
	{name: "config twice", prepare: text("config.json", "{}\n{}"), want: "parse config.json: expected the end of the document, found an object"},
	{name: "config is a list", prepare: text("config.json", "[]"), want: "parse config.json: expected an object, found an array"},
	{name: "config is null", prepare: text("config.json", "null"), want: "parse config.json: expected an object, found null"},
	{name: "config empty object", prepare: text("config.json", "{}"), want: "/ociVersion: is required & /root: root must be specified & /process: process property must not be empty"},
	{name: "config with a byte order mark", prepare: text("config.json", "\xef\xbb\xbf{}"), want: `parse config.json: expected an object, found '\ufeff'`},
	{name: "config in UTF-16", prepare: text("config.json", "{\x00}\x00"), want: `parse config.json: expected a member name, found '\x00'`},
	{name: "config that is no UTF-8", prepare: text("config.json", "{\"ociVersion\": \"\xff\xfe\"}"), want: "parse config.json: /ociVersion: text that is not UTF-8 in a string"},
	{name: "config with half a surrogate", prepare: text("config.json", `{"ociVersion": "\ud800"}`), want: "parse config.json: /ociVersion: surrogate escape without its other half"},
	{name: "config with a control character", prepare: text("config.json", "{\"ociVersion\": \"1\x1b[31m\"}"), want: `parse config.json: /ociVersion: control character '\x1b' in a string, which must be escaped`},
	{name: "config a program", prepare: text("config.json", elf(62, 2, 1)), want: `parse config.json: expected an object, found '\x7f'`},
	{name: "config in yaml", prepare: text("config.json", "ociVersion: 1.0.0\n"), want: "parse config.json: expected an object, found 'o'"},
	{name: "config with a key twice", prepare: text("config.json", `{"ociVersion": "1.0.0", "ociVersion": "1.0.1"}`), want: `parse config.json: /ociVersion: member "ociVersion" appears twice in one object`},
	{name: "config with a key in another case", prepare: text("config.json", `{"ociVersion": "1.0.0", "Process": {}}`), want: `parse config.json: /Process: unknown member "Process" differs only in case from "process"`},
	{name: "config nested too deep", prepare: text("config.json", `{"x":`+strings.Repeat("[", 100000)), want: "parse config.json: /x & : nested deeper than 64 levels"},
	{name: "config with a number that is none", prepare: text("config.json", `{"process": {"user": {"uid": 01}}}`), want: "parse config.json: /process/user/uid: expected ',' or '}', found a number"},
	{name: "config with a huge number", prepare: text("config.json", `{"linux": {"resources": {"memory": {"limit": 1e400}}}}`), want: "parse config.json: /linux/resources/memory/limit: 1e400 is not written as an integer"},
	{name: "no rootfs", changes: `/root/path "nothing"`, want: `/root/path: open rootfs & /nothing": no such file or directory`},
	{name: "rootfs is a file", changes: `/root/path "config.json"`, want: `/root/path: open rootfs & /config.json": not a directory`},
	{name: "rootfs is a loop", changes: `/root/path "loop"`, prepare: func(b *harness.Box, d string) { try(b, os.Symlink("loop", d+"/loop")) }, want: `/root/path: open rootfs & /loop": too many levels of symbolic links`},
	{name: "rootfs empty", changes: `/root/path "empty"`, prepare: func(b *harness.Box, d string) {
		try(b, os.MkdirAll(d+"/empty/proc", 0o755), os.Mkdir(d+"/empty/dev", 0o755), os.Mkdir(d+"/empty/sys", 0o755))
	}, want: `/process/args/0: exec: "/bin/true": stat /bin/true: no such file or directory`},
	{name: "proc is a link", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/rootfs/proc"), os.Symlink("data", d+"/rootfs/proc"))
	}, want: `/mounts/0/destination: open mount point: "/proc" must be mounted on ordinary directory: not a directory`},
	{name: "proc is a file", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/rootfs/proc"), os.WriteFile(d+"/rootfs/proc", nil, 0o644))
	}, want: `/mounts/0/destination: open mount point: "/proc" must be mounted on ordinary directory: not a directory`},
	{name: "sys is a link", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/rootfs/sys"), os.Symlink("data", d+"/rootfs/sys"))
	}, want: `/mounts/3/destination: open mount point: "/sys" must be mounted on ordinary directory: not a directory`},
	{name: "dev is a file", prepare: func(b *harness.Box, d string) {
		try(b, os.Remove(d+"/rootfs/dev"), os.WriteFile(d+"/rootfs/dev", nil, 0o644))
	}, want: `/mounts/1: open mount point "/dev": not a directory`},
	{name: "destination is a loop", changes: `/mounts/- {"destination": "/data/loop", "type": "tmpfs", "source": "tmpfs"}`, prepare: func(b *harness.Box, d string) { try(b, os.Symlink("loop", d+"/rootfs/data/loop")) }, want: `/mounts/4: open mount point "/data/loop": too many levels of symbolic links`},
	{name: "destination in proc by a link", changes: `/mounts/- {"destination": "/data/link", "type": "tmpfs", "source": "tmpfs"}`, prepare: func(b *harness.Box, d string) { try(b, os.Symlink("/proc/self", d+"/rootfs/data/link")) }, want: "/mounts/4: check that the place is not in procfs: invalid cross-device link"},
	{name: "read-only root without a mount point", changes: "/root/path \"${bundle}/ro\"\n/mounts/- {\"destination\": \"/missing\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"}", prepare: func(b *harness.Box, d string) {
		try(b, os.Mkdir(d+"/ro", 0o755), unix.Mount(d+"/rootfs", d+"/ro", "", unix.MS_BIND, ""), unix.Mount("", d+"/ro", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		b.T.Cleanup(func() { unix.Unmount(d+"/ro", unix.MNT_DETACH) })
	}, want: `/mounts/4: make "/missing" in the rootfs: mkdirat missing: read-only file system`},

	// The program.
	{name: "program missing", changes: asProgram, want: `/process/args/0: exec: "/program": stat /program: no such file or directory`},
	{name: "program not in PATH", changes: `/process/args ["nothing"]`, want: `/process/args/0: exec: "nothing": executable file not found in $PATH`},
	{name: "program without a PATH", changes: "/process/args [\"true\"]\n/process/env []", want: `/process/args/0: exec: "true": executable file not found in $PATH`},
	{name: "program with an empty PATH", changes: "/process/args [\"nothing\"]\n/process/env [\"PATH=\"]", want: `/process/args/0: exec: "nothing": executable file not found in $PATH`},
	{name: "program is a directory", changes: `/process/args ["/data"]`, args: runIt, want: `"/data" is a directory: /process/args/0: exec /data: permission denied`},
	{name: "program below a file", changes: `/process/args ["/etc/passwd/x"]`, want: `/process/args/0: exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory`},
	{name: "program is a dead link", changes: asProgram, prepare: func(b *harness.Box, d string) { try(b, os.Symlink("nothing", d+"/rootfs/program")) }, want: `/process/args/0: exec: "/program": stat /program: no such file or directory`},
	{name: "program is a loop", changes: asProgram, prepare: func(b *harness.Box, d string) { try(b, os.Symlink("program", d+"/rootfs/program")) }, want: `/process/args/0: exec: "/program": stat /program: too many levels of symbolic links`},
	{name: "program not executable", changes: asProgram, prepare: program("#!/bin/sh\n", 0o644), want: `/process/args/0: exec: "/program": stat /program: permission denied`},
	{name: "program of another user", changes: asProgram + "\n/process/user {\"uid\": 1000, \"gid\": 1000}\n/process/capabilities", prepare: program("#!/bin/sh\n", 0o700), want: `/process/args/0: exec: "/program": stat /program: permission denied`},
	{name: "program empty", changes: asProgram, prepare: program("", 0o755), args: runIt, want: `"/program" is empty: /process/args/0: exec /program: exec format error`},
	{name: "program of text", changes: asProgram, prepare: program("hello\n", 0o755), args: runIt, want: `"/program" is neither a program nor a script that begins with #!: /process/args/0: exec /program: exec format error`},
	{name: "script without interpreter", changes: asProgram, prepare: program("#!/bin/perl\n", 0o755), args: runIt, want: `script "/program" needs the interpreter "/bin/perl", which does not exist in the container: /process/args/0: exec /program: no such file or directory`},
	{name: "script with an empty first line", changes: asProgram, prepare: program("#!\n", 0o755), args: runIt, want: `script "/program" names no interpreter after #!: /process/args/0: exec /program: exec format error`},
	{name: "script with CRLF", changes: asProgram, prepare: program("#!/bin/sh\r\necho\r\n", 0o755), args: runIt, want: `the first line of script "/program" ends in a carriage return (CRLF): save it with Unix line ends: /process/args/0: exec /program: no such file or directory`},
	{name: "script whose interpreter is a directory", changes: asProgram, prepare: program("#!/data\n", 0o755), args: runIt, want: `script "/program" needs the interpreter "/data", which is no program: /process/args/0: exec /program: permission denied`},
	{name: "program for aarch64", changes: asProgram, prepare: program(elf(183, 2, 1), 0o755), args: runIt, want: `"/program" is a program for aarch64, this machine is`},
	{name: "program for arm", changes: asProgram, prepare: program(elf(40, 1, 1), 0o755), args: runIt, want: `"/program" is a program for arm, this machine is`},
	{name: "program for s390x", changes: asProgram, prepare: program(elf(22, 2, 2), 0o755), args: runIt, want: `"/program" is a damaged or foreign ELF program: /process/args/0: exec /program: exec format error`},
	{name: "program for riscv", changes: asProgram, prepare: program(elf(243, 2, 1), 0o755), args: runIt, want: `"/program" is a program for riscv, this machine is`},
	{name: "program cut short", changes: asProgram, prepare: program("\x7fELF\x02\x01\x01", 0o755), args: runIt, want: `"/program" is a damaged or foreign ELF program: /process/args/0: exec /program: exec format error`},
	{name: "program without its loader", changes: asProgram, prepare: program(loader("/lib64/ld-linux-x86-64.so.2"), 0o755), args: runIt, want: `"/program" needs the loader "/lib64/ld-linux-x86-64.so.2", which does not exist in the container: /process/args/0: exec /program: no such file or directory`},
	{name: "program on a mount with noexec", changes: "/process/args [\"/data/program\"]\n/mounts/- {\"destination\": \"/data\", \"source\": \"${box}\", \"options\": [\"bind\", \"noexec\"]}", prepare: func(b *harness.Box, d string) { b.Write("program", "#!/bin/sh\n", 0o755) }, want: `/process/args/0: exec: "/data/program": stat /data/program: permission denied`},
	{name: "program is a fifo", changes: asProgram, prepare: func(b *harness.Box, d string) { try(b, unix.Mkfifo(d+"/rootfs/program", 0o755)) }, args: runIt, want: `"/program" is not a regular file: /process/args/0: exec /program: permission denied`},
	{name: "arguments too long", changes: `/process/args ["/bin/true", "` + strings.Repeat("x", 200000) + `"]`, args: runIt, want: "/process/args/0: exec /bin/true: argument list too long"},

	// Hooks.
	{name: "hook missing", changes: `/hooks/prestart [{"path": "/no/such/hook"}]`, want: "error running prestart hook #0: exec /no/such/hook: no such file or directory"},
	{name: "hook not executable", changes: `/hooks/createRuntime [{"path": "/etc/passwd"}]`, want: "error running createRuntime hook #0: exec /etc/passwd: permission denied"},
	{name: "hook is a directory", changes: `/hooks/createRuntime [{"path": "/tmp"}]`, want: "error running createRuntime hook #0: exec /tmp: permission denied"},
	{name: "hook fails", changes: `/hooks/createContainer [{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck; echo at all >&2; exit 3"]}]`, want: "error running createContainer hook #0: exit status 3, output: no luck at all"},
	{name: "hook dies", changes: `/hooks/prestart [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $$"]}]`, want: "error running prestart hook #0: signal: killed, output:"},
	{name: "hook too slow", changes: `/hooks/prestart [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]`, want: "error running prestart hook #0: hook ran past specified timeout of 1.0s"},
	{name: "hook with a terminal escape", changes: `/hooks/prestart [{"path": "/bin/sh", "args": ["sh", "-c", "printf '\\033]0;pwned\\007two\\nlines'; exit 1"]}]`, want: "error running prestart hook #0: exit status 1, output: ]0;pwned two lines"},
	{name: "hook that talks without end", changes: `/hooks/prestart [{"path": "/bin/sh", "args": ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 1"]}]`, want: "error running prestart hook #0: exit status 1, output:"},
	{name: "hook inside missing", changes: `/hooks/startContainer [{"path": "/no/such/hook"}]`, args: runIt, want: `error running startContainer hook #0: /process/args/0: exec: "/no/such/hook": stat /no/such/hook: no such file or directory`},
	{name: "hook inside fails", changes: `/hooks/startContainer [{"path": "/bin/false"}]`, args: runIt, want: "error running startContainer hook #0: exit status 1, output:"},
	{name: "hook after the start fails", changes: "/process/args [\"/bin/sleep\", \"100\"]\n/hooks/poststart [{\"path\": \"/bin/false\"}]", args: runIt, want: "error running poststart hook #0: exit status 1, output:"},

	// Files and sockets of the command.
	{name: "pid file into nowhere", args: []string{"create", "--bundle", "${bundle}", "--pid-file", "/no/such/dir/pid", "c"}, want: "write pid file /no/such/dir/pid: open /no/such/dir/.pid: no such file or directory"},
	{name: "pid file onto a directory", args: []string{"create", "--bundle", "${bundle}", "--pid-file", "${box}", "c"}, want: "write pid file & : rename & : file exists"},
	{name: "console socket missing", changes: `/process/terminal true`, args: []string{"create", "--bundle", "${bundle}", "--console-socket", "${box}/nothing", "c"}, want: "send the terminal: connect to socket & /nothing: no such file or directory"},
	{name: "console socket is a file", changes: `/process/terminal true`, args: []string{"create", "--bundle", "${bundle}", "--console-socket", "/etc/passwd", "c"}, want: "send the terminal: connect to socket /etc/passwd: connection refused"},
	{name: "console socket path too long", changes: `/process/terminal true`, args: []string{"create", "--bundle", "${bundle}", "--console-socket", "/tmp/" + strings.Repeat("s", 300), "c"}, want: "send the terminal: connect to socket /tmp/ & : file name too long"},
	{name: "console socket that nobody listens on", changes: `/process/terminal true`, prepare: func(b *harness.Box, d string) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.Dir + "/s"})
		try(b, err)
		l.SetUnlinkOnClose(false)
		l.Close()
	}, args: []string{"create", "--bundle", "${bundle}", "--console-socket", "${box}/s", "c"}, want: "send the terminal: connect to socket & /s: connection refused"},
	{name: "console socket without terminal", args: []string{"create", "--bundle", "${bundle}", "--console-socket", "${box}/s", "c"}, want: "cannot use console socket if runc will not detach or allocate tty"},
	{name: "terminal without devpts", changes: "/process/terminal true\n/mounts/2", args: []string{"create", "--bundle", "${bundle}", "--console-socket", "${box}/s", "c"}, want: "/process/terminal: open a terminal: no file system of type devpts is mounted at /dev/pts"},
	{name: "pidfd socket missing", args: []string{"create", "--bundle", "${bundle}", "--pidfd-socket", "${box}/nothing", "c"}, want: "send the pidfd: connect to socket & /nothing: no such file or directory"},
	{name: "preserved descriptors that are not open", args: []string{"create", "--bundle", "${bundle}", "--preserve-fds", "3", "c"}, want: "unable to stat preserved-fd 0 (of 3): bad file descriptor"},
	{name: "cgroups that are read-only", prepare: func(b *harness.Box, d string) {
		dir := "/sys/fs/cgroup/memory"
		if _, err := os.Stat(dir); err != nil {
			dir = "/sys/fs/cgroup"
		}
		try(b, unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		b.T.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}, want: "make cgroup /sys/fs/cgroup/ & : read-only file system"},
}

var commandLines = []bad{
	{name: "unknown command", args: []string{"levitate"}, code: 3, want: "No help topic for 'levitate'"},
	{name: "unknown option", args: []string{"create", "--colour", "c"}, want: "flag provided but not defined: -colour"},
	{name: "unknown global option", args: []string{"--colour", "create", "c"}, want: "flag provided but not defined: -colour"},
	{name: "option without value", args: []string{"create", "--bundle"}, want: "flag needs an argument: --bundle"},
	{name: "no id", args: []string{"create", "--bundle", "${bundle}"}, want: `"create" requires exactly 1 argument(s)`},
	{name: "two ids", args: []string{"create", "--bundle", "${bundle}", "a", "b"}, want: `"create" requires exactly 1 argument(s)`},
	{name: "id empty", args: []string{"create", "--bundle", "${bundle}", ""}, want: "container id cannot be empty"},
	{name: "id with a slash", args: []string{"create", "--bundle", "${bundle}", "a/b"}, want: "invalid container ID format"},
	{name: "id dot dot", args: []string{"create", "--bundle", "${bundle}", ".."}, want: "invalid container ID format"},
	{name: "id dot", args: []string{"create", "--bundle", "${bundle}", "."}, want: "invalid container ID format"},
	{name: "id of the cache", args: []string{"create", "--bundle", "${bundle}", ".cache"}, want: "invalid container ID format"},
	{name: "id with a blank", args: []string{"create", "--bundle", "${bundle}", "a b"}, want: "invalid container ID format"},
	{name: "id with a line end", args: []string{"create", "--bundle", "${bundle}", "a\nb"}, want: "invalid container ID format"},
	{name: "id with an escape", args: []string{"create", "--bundle", "${bundle}", "\x1b[2J"}, want: "invalid container ID format"},
	{name: "id not ASCII", args: []string{"create", "--bundle", "${bundle}", "größe"}, want: "invalid container ID format"},
	{name: "id too long", args: []string{"create", "--bundle", "${bundle}", strings.Repeat("i", 300)}, want: "invalid container ID format"},
	{name: "preserve-fds negative", args: []string{"create", "--bundle", "${bundle}", "--preserve-fds", "-1", "c"}, want: `invalid value "-1" for flag -preserve-fds: want a whole number, 0 or more`},
	{name: "preserve-fds huge", args: []string{"create", "--bundle", "${bundle}", "--preserve-fds", "99999999999", "c"}, want: `invalid value "99999999999" for flag -preserve-fds: want a whole number, 0 or more`},
	{name: "preserve-fds many", args: []string{"create", "--bundle", "${bundle}", "--preserve-fds", "2000000000", "c"}, want: "verify plan: inputs begin at descriptor 2000000003"},
	{name: "log format unknown", args: []string{"--log-format", "xml", "state", "c"}, want: "invalid log-format: xml"},
	{name: "log into nowhere", args: []string{"--log", "/no/such/dir/log", "state", "c"}, want: "open log /no/such/dir/log: no such file or directory"},
	{name: "log on a directory", args: []string{"--log", "/tmp", "state", "c"}, want: "open log /tmp: is a directory"},
	{name: "log level unknown", args: []string{"--log-level", "loud", "state", "c"}, want: "invalid log-level: loud"},
	{name: "cgroup manager unknown", args: []string{"--cgroup-manager", "cgmanager", "create", "c"}, want: `invalid value "cgmanager" for flag -cgroup-manager: want cgroupfs, systemd or disabled`},
	{name: "configuration elsewhere missing", args: []string{"create", "--bundle", "${bundle}", "--config", "${box}/nothing", "c"}, want: "JSON specification file & /nothing not found"},
	{name: "configuration elsewhere a directory", args: []string{"run", "--bundle", "${bundle}", "--config", "${bundle}", "c"}, want: "open & : not a regular file"},
	{name: "regular expression open", args: []string{"delete", "--force", "--regex", "(c"}, want: `read regular expression "(c": a ( without )`},
	{name: "regular expression too large", args: []string{"kill", "-r", "((c{255}){255}){255}"}, want: "it takes more than 10000 steps"},
	{name: "rootless maybe", args: []string{"--rootless", "maybe", "state", "c"}, want: `invalid value "maybe" for flag -rootless: want true, false or auto`},
	{name: "root slash", args: []string{"--root", "/", "state", "c"}, want: "Option --root argument should not be set to /"},
	{name: "root is a file", args: []string{"--root", "/etc/passwd", "create", "--bundle", "${bundle}", "c"}, want: "open state root /etc/passwd: not a directory"},
	{name: "root below a file", args: []string{"--root", "/etc/passwd/x", "create", "--bundle", "${bundle}", "c"}, want: "open state root /etc/passwd/x: not a directory"},
	{name: "root writable for all", args: []string{"--root", "/tmp", "create", "--bundle", "${bundle}", "c"}, want: "check state root /tmp: others may write to it (mode 1777); take that away (chmod go-w) or choose another with --root"},
	{name: "root in procfs", args: []string{"--root", "/proc/husk", "create", "--bundle", "${bundle}", "c"}, want: "make state root /proc/husk: no such file or directory"},
	{name: "state of nothing", args: []string{"state", "c"}, want: "container does not exist"},
	{name: "state without id", args: []string{"state"}, want: `"state" requires exactly 1 argument(s)`},
	{name: "state of dot dot", args: []string{"state", ".."}, want: "invalid container ID format"},
	{name: "start without id", args: []string{"start"}, want: `"start" requires exactly 1 argument(s)`},
	{name: "start of nothing", args: []string{"start", "c"}, want: "container does not exist"},
	{name: "kill without id", args: []string{"kill"}, want: `"kill" requires`},
	{name: "kill of nothing", args: []string{"kill", "c", "KILL"}, want: "container does not exist"},
	{name: "kill with an unknown signal", args: []string{"kill", "c", "SIGNOTHING"}, want: `unknown signal "SIGNOTHING"`},
	{name: "kill with signal 65", args: []string{"kill", "c", "65"}, want: `unknown signal "65"`},
	{name: "kill with signal -1", args: []string{"kill", "c", "-1"}, want: `unknown signal "-1"`},
	{name: "kill with signal 2^32+9", args: []string{"kill", "c", "4294967305"}, want: `unknown signal "4294967305"`},
	{name: "delete without id", args: []string{"delete"}, want: `"delete" requires exactly 1 argument(s)`},
	{name: "delete of nothing", args: []string{"delete", "c"}, want: "container does not exist"},
	{name: "delete of dot dot", args: []string{"delete", "--force", ".."}, want: "invalid container ID format"},
	{name: "delete of a path", args: []string{"delete", "--force", "../../etc"}, want: "invalid container ID format"},
	{name: "exec in nothing", args: []string{"exec", "c", "true"}, want: "container does not exist"},
	{name: "ps of nothing", args: []string{"ps", "c"}, want: "container does not exist"},
	{name: "list in an unknown format", args: []string{"list", "--format", "xml"}, want: "invalid format option"},
	{name: "update of nothing", args: []string{"update", "c"}, want: "container does not exist"},
	{name: "update of memory in an unknown unit", args: []string{"update", "--memory", "5y", "c"}, want: `invalid value "5y" for flag -memory: want a number of bytes, as 67108864 or 64m, or -1`},
	{name: "update from a missing file", args: []string{"update", "--resources", "/no/such/file", "c"}, want: "open /no/such/file: no such file or directory"},
	{name: "update from a directory", args: []string{"update", "-r", "/tmp", "c"}, want: "read /tmp: is a directory"},
	{name: "update from an endless file", args: []string{"update", "-r", "/dev/zero", "c"}, want: "read /dev/zero: longer than 33554432 bytes"},
	{name: "update from an empty file", args: []string{"update", "-r", "/dev/null", "c"}, want: "parse /dev/null: expected an object, found the end of the document"},
	{name: "mounts without a file", args: []string{"mounts", "add", "c"}, want: `"mounts" requires exactly 3 argument(s)`},
	{name: "mounts changed otherwise", args: []string{"mounts", "move", "c", "-"}, want: `change mounts: "move" is neither add nor remove`},
	{name: "mounts from a missing file", args: []string{"mounts", "add", "c", "/no/such/file"}, want: "open /no/such/file: no such file or directory"},
	{name: "mounts from a directory", args: []string{"mounts", "remove", "c", "/tmp"}, want: "read /tmp: is a directory"},
	{name: "mounts from an endless file", args: []string{"mounts", "add", "c", "/dev/zero"}, want: "read /dev/zero: longer than 33554432 bytes"},
	{name: "mounts from an empty file", args: []string{"mounts", "add", "c", "/dev/null"}, want: "parse /dev/null: expected an array, found the end of the document"},
	{name: "mounts of no list", args: []string{"mounts", "add", "c", "${bundle}/config.json"}, want: "parse & /config.json: expected an array"},
	{name: "mounts of nothing", args: []string{"mounts", "add", "c", "${bundle}/list"}, prepare: text("list", "[]"), want: "container does not exist"},
	{name: "checkpoint", args: []string{"checkpoint", "c"}, want: "the command checkpoint is not implemented in this release of husk"},
	{name: "restore", args: []string{"restore", "c"}, want: "the command restore is not implemented in this release of husk"},
	{name: "spec into nowhere", args: []string{"spec", "--bundle", "/no/such/dir"}, want: "open /no/such/dir/config.json: no such file or directory"},
	{name: "plan of nothing", args: []string{"plan", "/no/such/dir"}, want: "JSON specification file config.json not found"},
}

var execs = []bad{
	{name: "no command", args: []string{"exec", "box"}, want: "exec args cannot be empty"},
	{name: "program missing", args: []string{"exec", "box", "/nothing"}, want: `/process/args/0: exec: "/nothing": stat /nothing: no such file or directory`},
	{name: "program not in PATH", args: []string{"exec", "box", "nothing"}, want: `/process/args/0: exec: "nothing": executable file not found in $PATH`},
	{name: "program empty", args: []string{"exec", "box", ""}, want: `/process/args/0: exec: "": executable file not found in $PATH`},
	{name: "program is a directory", args: []string{"exec", "box", "/data"}, want: `"/data" is a directory: /process/args/0: exec /data: permission denied`},
	{name: "program not executable", args: []string{"exec", "box", "/etc/passwd"}, want: `/process/args/0: exec: "/etc/passwd": stat /etc/passwd: permission denied`},
	{name: "cwd missing", args: []string{"exec", "--cwd", "/nothing", "box", "true"}, want: `/process/cwd: change to directory "/nothing": no such file or directory (the container has no such directory)`},
	{name: "cwd relative", args: []string{"exec", "--cwd", "tmp", "box", "true"}, want: "/cwd: Cwd must be an absolute path"},
	{name: "cwd is a file", args: []string{"exec", "--cwd", "/etc/passwd", "box", "true"}, want: `/process/cwd: change to directory "/etc/passwd": not a directory`},
	{name: "env without equals sign", args: []string{"exec", "--env", "X", "box", "true"}, want: "/env/1: invalid environment variable: missing '='"},
	{name: "user by name", args: []string{"exec", "--user", "root", "box", "true"}, want: `bad uid: parse id "root": want a number from 0 to 4294967294`},
	{name: "user 2^32", args: []string{"exec", "--user", "4294967296", "box", "true"}, want: `bad uid: parse id "4294967296": want a number from 0 to 4294967294`},
	{name: "user -1", args: []string{"exec", "--user", "-1", "box", "true"}, want: `bad uid: parse id "-1": want a number from 0 to 4294967294`},
	{name: "user with a blank", args: []string{"exec", "--user", " 0", "box", "true"}, want: `bad uid: parse id " 0": want a number from 0 to 4294967294`},
	{name: "group empty", args: []string{"exec", "--user", "0:", "box", "true"}, want: `bad gid: parse id "": want a number from 0 to 4294967294`},
	{name: "group is a name", args: []string{"exec", "--user", "0:wheel", "box", "true"}, want: `bad gid: parse id "wheel": want a number from 0 to 4294967294`},
	{name: "further group 2^32", args: []string{"exec", "--additional-gids", "4294967296", "box", "true"}, code: 1, want: `invalid value "4294967296" for flag -additional-gids: parse id "4294967296": want a number from 0 to 4294967294`},
	{name: "terminal without socket", args: []string{"exec", "--detach", "--tty", "box", "true"}, want: "cannot allocate tty if runc will detach without setting console socket"},
	{name: "socket without terminal", args: []string{"exec", "--console-socket", "/s", "box", "true"}, want: "cannot use console socket if runc will not detach or allocate tty"},
	{name: "cgroup missing", args: []string{"exec", "--cgroup", "nothing", "box", "true"}, want: "open cgroup & /nothing: no such file or directory"},
	{name: "cgroup outside", args: []string{"exec", "--cgroup", "..", "box", "true"}, want: `exec stops at adding pid to its cgroup: enter sub-cgroup "..": bad sub cgroup path`},
	{name: "process file missing", args: []string{"exec", "--process", "${box}/nothing", "box"}, want: "open & /nothing: no such file or directory"},
	{name: "process file is no JSON", args: []string{"exec", "--process", "${box}/not-json", "box"}, want: "parse & /not-json: expected an object, found 'h'"},
	{name: "process file without args", args: []string{"exec", "--process", "${box}/no-args.json", "box"}, want: "/args: args must not be empty"},
	{name: "process file without cwd", args: []string{"exec", "--process", "${box}/no-cwd.json", "box"}, want: "/cwd: Cwd property must not be empty"},
	{name: "process file full of mistakes", args: []string{"exec", "--process", "${box}/bad.json", "box"}, want: "/rlimits/0/soft: 2 exceeds & /oomScoreAdj: 2000 is out of range & " +
		"/ioPriority/priority: -1 is out of range & /execCPUAffinity/initial: & /scheduler/policy: & /user/umask: 512"},
	{name: "scheduler that Linux lacks", args: []string{"exec", "--process", "${box}/scheduler.json", "box"}, want: "/process/scheduler: set the scheduler SCHED_ISO: invalid argument (no version of Linux has this policy)"},
	{name: "affinity of no CPU", args: []string{"exec", "--process", "${box}/affinity.json", "box"}, want: "/process/execCPUAffinity/initial: set the CPU affinity 9000: invalid argument (none of these CPUs exists"},
	{name: "rlimit beyond fs.nr_open", args: []string{"exec", "--process", "${box}/rlimit.json", "box"}, want: "/process/rlimits/0: set RLIMIT_NOFILE: operation not permitted"},
	{name: "process file is a directory", args: []string{"exec", "--process", "/tmp", "box"}, want: "read /tmp: is a directory"},
	{name: "AppArmor", args: []string{"exec", "--apparmor", "x", "box", "true"}, want: `/process/apparmorProfile: set the profile "x": AppArmor is not enabled on this host`},
	{name: "SELinux", args: []string{"exec", "--process-label", "x", "box", "true"}, want: `/process/selinuxLabel: set the label "x": SELinux is not enabled on this host`},
	{name: "pid file into nowhere", args: []string{"exec", "--detach", "--pid-file", "/no/such/dir/p", "box", "sleep", "100"}, want: "write pid file /no/such/dir/p: open /no/such/dir/.p: no such file or directory"},
	{name: "pid file into nowhere, in the foreground", args: []string{"exec", "--pid-file", "/no/such/dir/p", "box", "sleep", "100"}, want: "write pid file /no/such/dir/p: open /no/such/dir/.p: no such file or directory"},
	{name: "pidfd socket missing", args: []string{"exec", "--detach", "--pidfd-socket", "/no/such/socket", "box", "sleep", "100"}, want: "send the pidfd: connect to socket /no/such/socket: no such file or directory"},
	{name: "update to nonsense", args: []string{"update", "--memory", "9", "--memory-swap", "8", "--cpu-idle", "2", "box"}, want: "/memory/swap: memory and swap together (8) can't be limited below memory alone (9) (config-linux.md#memory); /cpu/idle: 2 is out of range"},
	{name: "update of Intel RDT", args: []string{"update", "--mem-bw-schema", "MB:0=20", "box"}, want: "updating a non-existent Intel RDT configuration is not supported"},
	{name: "update to a CPU that is not there", args: []string{"update", "--cpuset-cpus", "4000", "box"}, want: "(/linux/resources/cpu/cpus)"},
	{name: "mounts full of mistakes", args: []string{"mounts", "add", "box", "${box}/mounts.json"}, want: "/mounts/0/destination: is required & /mounts/1/type: is required unless it is a bind mount & " +
		`/mounts/2/type: file system "proc" can't come into a running container: masked and read-only paths would not be so in it & /mounts/3/options: a mount that is in place can't be changed`},
	{name: "mounts that can't be made", args: []string{"mounts", "add", "box", "${box}/no-source.json"}, want: `add mounts of container box: /mounts/1: open source "/no/such": no such file or directory`},
	{name: "mounts that nobody has added", args: []string{"mounts", "remove", "box", "${box}/dev.json"}, want: `remove mounts of container box: /mounts/0: nothing was added at "/dev"; what config.json has mounted stays`},
	{name: "start again", args: []string{"start", "box"}, want: "cannot start an already running container"},
	{name: "delete while running", args: []string{"delete", "box"}, want: "cannot delete container box that is not stopped: running"},
	{name: "create again", args: []string{"create", "--bundle", "${bundle}", "box"}, want: "container with given ID already exists"},
}
