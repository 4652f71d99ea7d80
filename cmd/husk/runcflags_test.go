package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"husk/libct"
)

// runcFlag is one option of a command of runc 1.5: from its sources, which know more than its manual pages.
type runcFlag struct {
	name, short string
	value       string // "": it is a switch
	quiet       bool   // it changes nothing that could be seen here
}

// runcCommands are runc's commands with all of their options. Those that stop take what follows the first argument as it is.
var runcCommands = []struct {
	name  string
	args  string
	stops bool
	flags []runcFlag
}{
	{name: "create", args: "c1", flags: []runcFlag{
		{name: "bundle", short: "b", value: "/b"},
		{name: "console-socket", value: "/s"},
		{name: "pidfd-socket", value: "/s"},
		{name: "pid-file", value: "/p"},
		{name: "no-pivot"},
		{name: "no-new-keyring"},
		{name: "preserve-fds", value: "2"},
	}},
	{name: "delete", args: "c1", flags: []runcFlag{{name: "force", short: "f"}}},
	{name: "events", args: "c1", flags: []runcFlag{{name: "interval", value: "3s"}, {name: "stats"}}},
	{name: "exec", args: "c1 true", stops: true, flags: []runcFlag{
		{name: "console-socket", value: "/s"},
		{name: "pidfd-socket", value: "/s"},
		{name: "cwd", value: "/w"},
		{name: "env", short: "e", value: "A=b,c=d"},
		{name: "tty", short: "t"},
		{name: "user", short: "u", value: "1:2"},
		{name: "additional-gids", short: "g", value: "7"},
		{name: "process", short: "p", value: "process.json"},
		{name: "detach", short: "d"},
		{name: "pid-file", value: "/p"},
		{name: "process-label", value: "l"},
		{name: "apparmor", value: "a"},
		{name: "no-new-privs"},
		{name: "cap", short: "c", value: "CAP_KILL"},
		{name: "preserve-fds", value: "1"},
		{name: "cgroup", value: "cpu,memory:x"},
		{name: "ignore-paused"},
	}},
	{name: "features"},
	{name: "kill", args: "c1 KILL", stops: true, flags: []runcFlag{{name: "all", short: "a"}}},
	{name: "list", flags: []runcFlag{{name: "format", short: "f", value: "json"}, {name: "quiet", short: "q"}}},
	{name: "pause", args: "c1"},
	{name: "ps", args: "c1", stops: true, flags: []runcFlag{{name: "format", short: "f", value: "json"}}},
	{name: "resume", args: "c1"},
	{name: "run", args: "c1", flags: []runcFlag{
		{name: "bundle", short: "b", value: "/b"},
		{name: "console-socket", value: "/s"},
		{name: "pidfd-socket", value: "/s"},
		{name: "detach", short: "d"},
		{name: "keep"},
		{name: "pid-file", value: "/p"},
		{name: "no-subreaper"},
		{name: "no-pivot"},
		{name: "no-new-keyring"},
		{name: "preserve-fds", value: "2"},
	}},
	{name: "spec", flags: []runcFlag{{name: "bundle", short: "b", value: "below", quiet: true}, {name: "rootless", quiet: true}}},
	{name: "start", args: "c1"},
	{name: "state", args: "c1"},
	{name: "update", args: "c1", flags: []runcFlag{
		{name: "resources", short: "r", value: "resources.json"},
		{name: "blkio-weight", value: "20"},
		{name: "cpu-period", value: "1000"},
		{name: "cpu-quota", value: "-1"},
		{name: "cpu-burst", value: "1"},
		{name: "cpu-share", value: "2"},
		{name: "cpu-rt-period", value: "1"},
		{name: "cpu-rt-runtime", value: "1"},
		{name: "cpuset-cpus", value: "0-1,3"},
		{name: "cpuset-mems", value: "0"},
		{name: "kernel-memory", value: "1M"},
		{name: "kernel-memory-tcp", value: "1M"},
		{name: "memory", value: "64M"},
		{name: "cpu-idle", value: "1"},
		{name: "memory-reservation", value: "64M"},
		{name: "memory-swap", value: "-1"},
		{name: "pids-limit", value: "-1"},
		{name: "l3-cache-schema", value: "L3:0=f"},
		{name: "mem-bw-schema", value: "MB:0=50"},
	}},
}

// runcGlobals are the options of all commands.
var runcGlobals = []runcFlag{
	{name: "debug"},
	{name: "log", value: "log"},
	{name: "log-format", value: "json", quiet: true},
	{name: "root", value: "/elsewhere"},
	{name: "systemd-cgroup"},
	{name: "rootless", value: "true"},
}

// spellings are the ways to give an option: with one or two dashes, and the value behind a space or an equals sign.
func (f *runcFlag) spellings() (list [][]string) {
	names := []string{"--" + f.name, "-" + f.name}
	if f.short != "" {
		names = append(names, "-"+f.short)
	}
	for _, name := range names {
		if f.value == "" {
			list = append(list, []string{name}, []string{name + "=true"})
		} else {
			list = append(list, []string{name, f.value}, []string{name + "=" + f.value})
		}
	}
	return list
}

// seen is all that a call does as far as it shows; times and addresses are left out.
func seen(args []string) (status int, trace string) {
	f := &fake{list: []libct.ContainerState{{ID: "c1"}}}
	status, stdout, stderr := f.husk(args...)
	f.options.Warn, f.options.Debug = nil, nil
	f.create.Stdio, f.run.Stdio, f.exec.Stdio = [3]*os.File{}, [3]*os.File{}, [3]*os.File{}
	f.run.Signals, f.run.OnConsole, f.exec.Signals, f.exec.OnConsole = nil, nil, nil, nil
	update := f.update.Resources
	f.update.Resources = nil
	exec := f.exec
	process, tty, privileges := exec.Process != nil, exec.TTY != nil && *exec.TTY, exec.NoNewPrivs != nil
	exec.Process, exec.TTY, exec.NoNewPrivs = nil, nil, nil
	trace = fmt.Sprintln(f.options, f.call, f.create, f.run, exec, process, tty, privileges, f.update, f.signal, f.flag, strings.Contains(stderr, "level=debug"), hasLog())
	if update != nil {
		text, err := json.Marshal(update)
		trace += fmt.Sprintln(string(text), err)
	}
	if strings.Contains(stdout, "Incorrect Usage") {
		trace = "Incorrect Usage: " + stderr
	}
	return status, trace + stdout
}

// hasLog takes away the file of --log.
func hasLog() bool { return os.Remove("log") == nil }

// Every option of runc is taken in each of its spellings, before and behind the arguments, and does something.
func TestRuncFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"process.json": `{"args": ["id"], "cwd": "/"}`, "resources.json": `{"memory": {"limit": 1}}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("below", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range runcCommands {
		args := strings.Fields(c.args)
		_, plain := seen(append([]string{c.name}, args...))
		check := func(f *runcFlag, line []string) {
			t.Helper()
			for _, file := range []string{"config.json", "below/config.json"} {
				os.Remove(file)
			}
			status, trace := seen(line)
			if status != 0 || strings.HasPrefix(trace, "Incorrect Usage") {
				t.Errorf("%q: status %d, %s", line, status, trace)
			} else if !f.quiet && trace == plain {
				t.Errorf("%q: --%s makes no difference", line, f.name)
			}
		}
		for i := range c.flags {
			f := &c.flags[i]
			for _, words := range f.spellings() {
				check(f, slices.Concat([]string{c.name}, words, args))
				if !c.stops {
					check(f, slices.Concat([]string{c.name}, args, words))
				}
			}
		}
		for i := range runcGlobals {
			f := &runcGlobals[i]
			quiet := runcFlag{name: f.name, quiet: f.quiet || slices.Contains([]string{"features", "spec"}, c.name)}
			for _, words := range f.spellings() {
				check(&quiet, slices.Concat(words, []string{c.name}, args))
				if c.name == "spec" && f.name == "rootless" {
					continue // the command's own
				}
				check(&quiet, slices.Concat([]string{c.name}, words, args))
				if !c.stops {
					check(&quiet, slices.Concat([]string{c.name}, args, words))
				}
			}
		}
	}
	if hasLog() || fileExists(filepath.Join("below", "log")) {
		t.Error("a log is left")
	}
}

func fileExists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// Options of exec, ps and kill end at the container's id: what follows is another program's.
func TestRuncStops(t *testing.T) {
	f := new(fake)
	f.husk("exec", "c1", "ls", "--tty", "--root", "x")
	if got := f.exec.Args; !slices.Equal(got, []string{"ls", "--tty", "--root", "x"}) || f.exec.TTY == nil || *f.exec.TTY {
		t.Errorf("exec: %q, %v", got, f.exec.TTY)
	}
	if status, _, stderr := f.husk("kill", "c1", "--all"); status != 1 || stderr != "unknown signal \"--all\"\n" {
		t.Errorf("kill: status %d, %q", status, stderr)
	}
}

// What cannot be done yet is refused by name, whatever is asked; help is there for those who only want to know (CRI-O).
func TestRuncCheckpoint(t *testing.T) {
	for command, flags := range map[string]string{
		"checkpoint": "--image-path=/i --work-path /w --parent-path p --leave-running --tcp-established --tcp-skip-in-flight --link-remap --ext-unix-sk " +
			"--shell-job --lazy-pages --status-fd 3 --page-server a:1 --file-locks --pre-dump --manage-cgroups-mode soft --empty-ns network --auto-dedup",
		"restore": "--console-socket s --image-path /i --work-path=/w --tcp-established --ext-unix-sk --shell-job --file-locks --manage-cgroups-mode ignore " +
			"-b /b --detach -d --pid-file p --no-subreaper -no-subreaper --no-pivot --empty-ns network --auto-dedup --lazy-pages " +
			"--lsm-profile selinux:x --lsm-mount-context x",
	} {
		for _, line := range [][]string{{command}, {command, "c1"}, slices.Concat([]string{command}, strings.Fields(flags), []string{"c1"})} {
			f := new(fake)
			status, stdout, stderr := f.husk(append([]string{"--root", "/r", "--log-format", "text", "--systemd-cgroup"}, line...)...)
			if want := "the command " + command + " is not implemented in this release of husk\n"; status != 1 || stdout != "" || stderr != want || f.call != "" {
				t.Errorf("%q: status %d, %q, %q", line, status, stdout, stderr)
			}
			if status, stdout, stderr := f.husk(append(line, "--help")...); status != 0 || !strings.HasPrefix(stdout, "NAME:\n") || stderr != "" {
				t.Errorf("%q --help: status %d, %q, %q", line, status, stdout, stderr)
			}
		}
	}
}
