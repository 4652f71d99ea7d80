package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"husk/specconv"
)

func (a *app) specCommand() *command {
	var bundle, file string
	var rootless bool
	return &command{
		name:    "spec",
		summary: "write a config.json to begin with",
		usage:   "[options]",
		details: `Writes a file config.json for a new bundle: a container with its own namespaces that runs sh in
a terminal, from a root file system in the directory rootfs. It is meant to be edited: process.args
is the program to run, root.path its root file system. An existing config.json is never replaced.

To run a program from a directory tree in hello/rootfs:

    cd hello
    ` + a.name + ` spec
    sed -i 's;"sh";"/hello";' config.json
    ` + a.name + ` run hello1`,
		flags: []flag{
			{name: "bundle", short: "b", to: &bundle, help: "directory to write to; the working directory if not given"},
			{name: "file", short: "f", to: &file, help: "file to write in place of config.json, below --bundle; one that exists is replaced"},
			{name: "rootless", to: &rootless, help: "describe a container for a user without privileges"},
		},
		run: func([]string) (int, error) {
			spec := specconv.Example()
			if unified() {
				specconv.AddCgroupNamespace(spec)
			}
			if rootless {
				specconv.MakeRootless(spec, uint32(os.Geteuid()), uint32(os.Getegid()))
			}
			if file == "" {
				return 0, writeNew(filepath.Join(bundle, "config.json"), specconv.EncodeExample(spec))
			}
			if !filepath.IsAbs(file) {
				file = filepath.Join(bundle, file)
			}
			return 0, os.WriteFile(file, specconv.EncodeExample(spec), 0o666)
		},
	}
}

// unified reports whether cgroup v2 is the only one here. There a cgroup namespace does what v1 does by hiding.
func unified() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// writeNew writes a file that must not exist.
func writeNew(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("File %s exists. Remove it first", filepath.Base(path))
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}
