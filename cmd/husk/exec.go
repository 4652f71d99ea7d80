package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/libct"
	"husk/specconv"
)

func (a *app) execCommand() *command {
	e := &execution{app: a}
	o := &e.ExecOptions
	return &command{
		name:    "exec",
		summary: "start another process in a running container",
		usage:   "[options] <container-id> <command> [arguments]\n   " + a.name + " exec [options] --process process.json <container-id>",
		details: `Starts a process in a running container. Either the command is given, and all else comes from
config.json and the options, or a file describes the whole process. Without --detach the command
stays in the foreground and ends with the exit status of the process. If the process cannot be
started the exit status is 255.`,
		flags: append([]flag{
			{name: "process", short: "p", to: &e.processFile, help: "file with the process as JSON, in place of a command and the options about it"},
			{name: "cwd", to: &o.Cwd, help: "working directory in the container"},
			{name: "env", short: "e", to: &o.Env, help: "NAME=value to set in the environment"},
			{name: "tty", short: "t", to: &e.tty, help: "give the process a terminal"},
			{name: "user", short: "u", to: &o.User, help: "user as uid or uid:gid"},
			{name: "additional-gids", short: "g", to: &o.AdditionalGids, help: "supplementary group id"},
			{name: "detach", short: "d", to: &o.Detach, help: "return as soon as the process runs"},
			{name: "process-label", to: &o.ProcessLabel, help: "SELinux label of the process"},
			{name: "apparmor", to: &o.AppArmor, help: "AppArmor profile of the process"},
			{name: "no-new-privs", to: &o.NoNewPrivs, help: "whether execve can no longer give privileges"},
			{name: "cap", short: "c", to: &o.Caps, help: "capability to add"},
			{name: "cgroup", to: &o.Cgroups, help: "existing cgroup below the container's to run in, as [controller[,controller]:]path"},
			{name: "ignore-paused", to: &o.IgnorePaused, help: "allow a paused container; the process waits until it is resumed"},
		}, processFlags(&o.ConsoleSocket, &o.PidfdSocket, &o.PidFile, &o.PreserveFDs)...),
		min: 1, max: -1,
		stops:  true,
		talks:  true,
		failed: exitExec,
		run: func(args []string) (int, error) {
			status, err := e.run(args)
			if err != nil {
				return 0, fmt.Errorf(execFailed, err)
			}
			return status, nil
		},
	}
}

// An execution is one call of exec.
type execution struct {
	libct.ExecOptions
	app         *app
	processFile string
	tty         bool
}

func (e *execution) run(args []string) (_ int, err error) {
	e.ID, e.Args = args[0], args[1:]
	e.Stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	if e.PidFile, err = absolute(e.PidFile); err != nil {
		return 0, err
	}
	if e.ListenFDs, err = listenFDs(); err != nil {
		return 0, err
	}
	switch {
	case e.processFile != "":
		if e.Process, err = readProcess(e.processFile); err != nil {
			return 0, err
		}
		e.tty = e.Process.Terminal
	case len(e.Args) == 0:
		return 0, errors.New("exec args cannot be empty")
	default:
		e.TTY = &e.tty
	}
	if e.User != "" {
		if _, _, err := libct.ParseUser(e.User); err != nil {
			return 0, err
		}
	}
	runtime, err := e.app.containers()
	if err != nil {
		return 0, err
	}
	if e.Detach {
		return runtime.Exec(e.ExecOptions)
	}
	front, err := newForeground(e.Stdio, func() (bool, error) { return e.tty, nil })
	if err != nil {
		return 0, err
	}
	defer front.close()
	e.Stdio, e.OnConsole, e.Signals = front.child, front.attach, front.signals
	return runtime.Exec(e.ExecOptions)
}

// maxDocument bounds the size of a JSON document; a process holds at most what execve takes (2 MiB) in JSON's spelling.
const maxDocument = 32 << 20

// readDocument reads the file of an option, which may be a pipe.
func readDocument(file *os.File, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("read %s: longer than %d bytes", name, maxDocument)
	}
	return data, err
}

func readProcess(path string) (*specs.Process, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := readDocument(file, path)
	if err != nil {
		return nil, err
	}
	process, err := specconv.ParseProcess(data)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return process, nil
}
