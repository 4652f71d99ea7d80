package main

import (
	"fmt"
	"path/filepath"
)

func (a *app) planCommand() *command {
	var bundle string
	return &command{
		name:    "plan",
		summary: "print the kernel calls that would make a container",
		usage:   "[options] [bundle]",
		details: `Compiles config.json of a bundle and prints the list of kernel calls that the new process would
make, in their order, each with the place in config.json that it comes from. Nothing is executed.`,
		flags: []flag{
			{name: "bundle", short: "b", to: &bundle, help: "directory of the bundle; the working directory if not given"},
		},
		max:   1,
		talks: true,
		run: func(args []string) (int, error) {
			if len(args) == 1 {
				bundle = args[0]
			}
			bundle, err := filepath.Abs(bundle)
			if err != nil {
				return 0, fmt.Errorf("find the working directory: %w", err)
			}
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			text, err := runtime.Plan(bundle)
			if err != nil {
				return 0, err
			}
			return a.print([]byte(text))
		},
	}
}
