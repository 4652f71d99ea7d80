package main

import (
	"fmt"
	"os"
	"path/filepath"

	"husk/libct"
)

// Openings of errors that tests and support pages for runc look for; callers of a drop-in expect them as they are.
const (
	createFailed = "runc create failed: %w"
	runFailed    = "runc run failed: %w"
	execFailed   = "exec failed: %w"
)

const aboutBundle = `The bundle is a directory with a file config.json and, usually, a root file system. The
program to start is process.args in config.json; the command spec writes a file to begin with.`

func (a *app) createCommand() *command {
	var o libct.CreateOptions
	var ignored bool
	return &command{
		name:    "create",
		summary: "create a container",
		usage:   "[options] <container-id>",
		details: `Makes a container from a bundle. Its program waits for the command start. The name must be
free among the containers of the same --root.

` + aboutBundle,
		flags: append(bundleFlags(&o), flag{name: "no-subreaper", to: &ignored, hidden: true, help: "has no effect, as with crun"}),
		min:   1, max: 1,
		talks: true,
		run: func(args []string) (int, error) {
			if err := a.create(args[0], &o); err != nil {
				return 0, fmt.Errorf(createFailed, err)
			}
			return 0, nil
		},
	}
}

func (a *app) create(id string, o *libct.CreateOptions) error {
	runtime, err := a.managed()
	if err != nil {
		return err
	}
	if err := complete(o, id); err != nil {
		return err
	}
	return runtime.Create(*o)
}

// complete fills in what the options do not say, and makes paths independent of the working directory.
func complete(o *libct.CreateOptions, id string) (err error) {
	o.ID = id
	o.Stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	if o.Bundle, err = filepath.Abs(o.Bundle); err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	if o.ListenFDs, err = listenFDs(); err != nil {
		return err
	}
	if o.Config, err = absolute(o.Config); err != nil {
		return err
	}
	o.PidFile, err = absolute(o.PidFile)
	return err
}

// absolute is filepath.Abs for a path that may be left out.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	return path, nil
}

// bundleFlags are the options of commands that make a container from a bundle.
func bundleFlags(o *libct.CreateOptions) []flag {
	return append([]flag{
		{name: "bundle", short: "b", to: &o.Bundle, help: "directory of the bundle; the working directory if not given"},
		{name: "config", short: "f", to: &o.Config, help: "file with the configuration; config.json in the bundle if not given"},
		{name: "no-pivot", to: &o.NoPivot, help: "move the root file system instead of calling pivot_root, for a host that runs from a ramdisk"},
		{name: "no-new-keyring", to: &o.NoNewKeyring, help: "stay in the session keyring of the caller"},
	}, processFlags(&o.ConsoleSocket, &o.PidfdSocket, &o.PidFile, &o.PreserveFDs)...)
}

// processFlags are the options of commands that make a process in a container.
func processFlags(consoleSocket, pidfdSocket, pidFile *string, preserveFDs *int) []flag {
	return []flag{
		{name: "console-socket", to: consoleSocket, help: "path of an AF_UNIX socket that is sent the master of the process's terminal"},
		{name: "pidfd-socket", to: pidfdSocket, help: "path of an AF_UNIX socket that is sent a pidfd of the process"},
		{name: "pid-file", to: pidFile, help: "file to write the process id to"},
		{name: "preserve-fds", to: preserveFDs, help: "number of file descriptors above standard error and those of $LISTEN_FDS to pass on"},
	}
}
