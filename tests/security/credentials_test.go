package security

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// CVE-2016-3697: a number is an id, and not a name to be looked up in the image's passwd.
func TestNumericNames(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(sleeps, `/process/user {"uid": 1000, "gid": 1000}`)
	b.Write(filepath.Join(bundle, "rootfs/etc/passwd"), "1000:x:0:0:root:/:/bin/sh\nroot:x:0:0::/:/bin/sh\n", 0o644)
	b.Write(filepath.Join(bundle, "rootfs/etc/group"), "1000:x:0:\n1:x:0:\n", 0o644)
	detached(b, bundle)
	want(t, b.Husk("exec", "c", "/bin/id", "-u"), "1000")
	want(t, b.Husk("exec", "--user", "1000", "c", "/bin/id", "-u"), "1000")
	want(t, b.Husk("exec", "--user", "1000:1", "c", "/bin/id", "-g"), "1")
}

// CVE-2026-30892, and ids beyond 32 bits: what was asked for, or nothing.
func TestExecUser(t *testing.T) {
	b := newBox(t)
	detached(b, b.Bundle(sleeps))
	for _, user := range []string{"1", "1000", "65534", "4294967294"} {
		want(t, b.Husk("exec", "--user", user, "c", "/bin/id", "-u"), user)
	}
	want(t, b.Husk("exec", "--user", "1:2", "c", "/bin/id", "-g"), "2")
	for _, user := range []string{"4294967295", "4294967296", "4294967297", "8589934592", "18446744073709551616", "-1", "-4294967296", "0x1", "1 ", "1:4294967296", "1:-1"} {
		if res := b.Husk("exec", "--user", user, "c", "/bin/id", "-u"); res.Code == 0 {
			t.Errorf("user %q: runs as %s", user, res.Out)
		}
	}
}

// CVE-2024-40635 and its like in the configuration.
func TestConfiguredUser(t *testing.T) {
	b := newBox(t)
	for _, uid := range []string{"4294967295", "4294967296", "-1", "1e10", "18446744073709551616"} {
		if res := run(b, b.Bundle(`/process/args ["/bin/id", "-u"]`, `/process/user {"uid": `+uid+`, "gid": 0}`)); res.Code == 0 {
			t.Errorf("uid %s: runs as %s", uid, res.Out)
		}
	}
	want(t, run(b, b.Bundle(`/process/args ["/bin/id", "-u"]`, `/process/user {"uid": 2147483648, "gid": 0}`)), "2147483648")
}

// CVE-2022-29162, CVE-2022-27650: no inheritable capabilities come with those that exec adds.
func TestInheritableCapabilities(t *testing.T) {
	b := newBox(t)
	detached(b, b.Bundle(sleeps))
	for _, args := range [][]string{{"exec"}, {"exec", "--cap", "CAP_NET_RAW"}, {"exec", "--user", "1000", "--cap", "CAP_NET_RAW"}} {
		res := b.Husk(append(args, "c", "/bin/grep", "-E", "CapInh|CapAmb", "/proc/self/status")...)
		want(t, res, "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000")
	}
	res := b.Husk("exec", "--cap", "CAP_NET_RAW", "c", "/bin/grep", "CapEff", "/proc/self/status")
	if !strings.Contains(res.Out, "0000000008") && !strings.Contains(res.Out, "2") {
		t.Errorf("the capability was not added: %s", res.Out)
	}
}

// CVE-2022-2989 and its like: the groups are exactly those that were asked for, none of the host's.
func TestGroups(t *testing.T) {
	b := newBox(t)
	res := run(b, b.Bundle(`/process/args ["/bin/grep", "Groups", "/proc/self/status"]`, `/process/user {"uid": 1000, "gid": 1000, "additionalGids": [7, 9]}`))
	want(t, res, "Groups:\t7 9")
	res = run(b, b.Bundle(`/process/args ["/bin/grep", "Groups", "/proc/self/status"]`))
	want(t, res, "Groups:")
}

// A copy that is set-user-ID gives nothing to who calls it.
func TestSetuidCopy(t *testing.T) {
	b := newBox(t)
	data, err := os.ReadFile(b.Binary)
	try(t, err)
	program := b.Write("copy", string(data), 0o755)
	try(t, os.Chmod(program, 0o755|os.ModeSetuid), os.Chmod(b.Root, 0o755))
	bundle := b.Bundle()
	b.Binary = program
	for _, args := range [][]string{{"state", "c"}, {"list"}, {"--version"}, {"run", "--bundle", bundle, "c"}} {
		r := b.Command(args...)
		r.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		r.Dir = "/"
		try(t, r.Start())
		if res := b.End(r); res.Code != 1 || strings.Contains(res.Err, "does not exist") {
			t.Errorf("%q: exit status %d: %s%s", args, res.Code, res.Out, res.Err)
		}
	}
	try(t, os.Chmod(b.Root, 0o700))
}

// A reader of JSON that is lenient about case or duplicates takes another value than who has checked the document.
func TestAmbiguousKeys(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/id", "-u"]`, `/process/user {"uid": 1000, "gid": 1000}`)
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	try(t, err)
	for _, change := range [][2]string{
		{`"uid":1000`, `"uid":1000,"uid":0`},
		{`"uid":1000`, `"uid":1000,"Uid":0`},
		{`"user":`, `"User":{"uid":0,"gid":0},"user":`},
		{`"user":{`, `"user":{"uıd":0,`},
		{`"gid":1000,"uid":1000}`, `"gid":1000,"uid":1000},"USER":{"uid":0,"gid":0}`},
		{`"gid":1000,"uid":1000}`, `"gid":1000,"uid":1000},"ſer":0,"uſer":{"uid":0,"gid":0}`},
	} {
		text := strings.Replace(string(data), change[0], change[1], 1)
		if text == string(data) {
			t.Fatalf("no %s in %s", change[0], data)
		}
		b.Write(filepath.Join(bundle, "config.json"), text, 0o600)
		if res := run(b, bundle); res.Code == 0 && strings.TrimSpace(res.Out) != "1000" {
			t.Errorf("%s: runs as %s", change[1], res.Out)
		}
	}
}

// CVE-2022-4318, CVE-2026-47262: what the image says about users is text of a stranger.
func TestPasswd(t *testing.T) {
	for _, c := range []struct {
		name, home string
		make       func(b *harness.Box, path string)
	}{
		{"plain", "/home/user", func(b *harness.Box, p string) { b.Write(p, "user:x:1000:1000::/home/user:/bin/sh\n", 0o644) }},
		{"control characters", "/", func(b *harness.Box, p string) { b.Write(p, "user:x:1000:1000::/a\x1b[2J\rb:/bin/sh\n", 0o644) }},
		{"too many fields", "/", func(b *harness.Box, p string) { b.Write(p, "user:x:1000:1000::/a:/bin/sh:x:y\n", 0o644) }},
		{"relative", "/", func(b *harness.Box, p string) { b.Write(p, "user:x:1000:1000::home:/bin/sh\n", 0o644) }},
		{"huge", "/", func(b *harness.Box, p string) { b.Write(p, "x", 0o644); try(b.T, os.Truncate(p, 1<<40)) }},
		{"fifo", "/", func(b *harness.Box, p string) { try(b.T, unix.Mkfifo(p, 0o644)) }},
		{"directory", "/", func(b *harness.Box, p string) { try(b.T, os.Mkdir(p, 0o755)) }},
		{"device", "/", func(b *harness.Box, p string) { try(b.T, unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))) }},
		{"link to the host", "/", func(b *harness.Box, p string) {
			try(b.T, os.Symlink(b.Write("host-passwd", "u:x:1000:0::/of/the/host:/\n", 0o644), p))
		}},
		{"link to a device", "/", func(b *harness.Box, p string) { try(b.T, os.Symlink("/dev/zero", p)) }},
		{"loop", "/", func(b *harness.Box, p string) { try(b.T, os.Symlink("passwd", p)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(shell("echo $HOME"), `/process/user {"uid": 1000, "gid": 1000}`)
			path := filepath.Join(bundle, "rootfs/etc/passwd")
			try(t, os.Remove(path))
			c.make(b, path)
			res := run(b, bundle)
			want(t, res, c.home)
		})
	}
}

// A device node in the place of passwd is not opened: outside of the container's cgroup nothing forbids it, and there are devices that
// do something when they are opened. The container's processes can make one before an exec.
func TestPasswdIsADevice(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(sleeps)
	path := filepath.Join(bundle, "rootfs/etc/passwd")
	try(t, os.Remove(path), unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11)))) // /dev/kmsg, which the container may not open
	opened, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	try(t, err)
	defer unix.Close(opened)
	_, err = unix.InotifyAddWatch(opened, path, unix.IN_OPEN)
	try(t, err)
	look := func(command string) {
		if _, err := unix.Read(opened, make([]byte, 4096)); err != unix.EAGAIN {
			t.Errorf("%s has opened the device (read from inotify: %v)", command, err)
		}
	}
	detached(b, bundle)
	look("run")
	b.Must("exec", "c", "/bin/true")
	look("exec")
}

// The filter holds what the profile says, with several arguments too.
func TestSeccompArguments(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/helper"]`, `/process/env ["`+insideEnv+`=sockets"]`, `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 15, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}, {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 15, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}]}`)
	helper(b, bundle)
	want(t, run(b, bundle), "2 1 false\n2 2 true\n1 1 true\n1 2 false")
}
