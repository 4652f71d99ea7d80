package main

import (
	"fmt"

	"husk/specconv"
)

func (a *app) mountsCommand() *command {
	return &command{
		name:    "mounts",
		summary: "add mounts to a container, or remove them",
		usage:   "add|remove <container-id> <file>",
		details: `Mounts something in a container that is created or running, or unmounts what was added so: all that is
in the file or, with an error, nothing. The file, - for standard input, holds a list of mounts as
config.json has it:

    [{"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]}]

For remove the destinations alone count. What config.json has mounted can't be removed. The container
needs a mount namespace of its own and must not be paused.`,
		min: 3, max: 3,
		run: func(args []string) (int, error) {
			if args[0] != "add" && args[0] != "remove" {
				return 0, fmt.Errorf("change mounts: %q is neither add nor remove", args[0])
			}
			mounts, err := readFile(args[2], specconv.ParseMounts)
			if err != nil {
				return 0, err
			}
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			if args[0] == "add" {
				return 0, runtime.AddMounts(args[1], mounts)
			}
			return 0, runtime.RemoveMounts(args[1], mounts)
		},
	}
}
