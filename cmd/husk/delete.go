package main

import (
	"errors"

	"husk/libct"
)

func (a *app) deleteCommand() *command {
	var force, regex bool
	return &command{
		name:    "delete",
		summary: "delete a container that is not running",
		usage:   "[options] <container-id>",
		details: `Deletes what is left of a container: cgroups and recorded state. The container must have stopped;
with --force it is killed if it has not, and it is no error if it does not exist.`,
		flags: []flag{
			{name: "force", short: "f", to: &force, help: "kill the container if it is still running"},
			{name: "regex", short: "r", to: &regex, help: "delete all containers whose id matches: the argument is an extended regular expression"},
		},
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			return 0, a.each(args[0], regex, func(runtime containers, id string) error {
				err := runtime.Delete(id, force)
				if regex && errors.Is(err, libct.ErrNotExist) {
					return nil // somebody was faster
				}
				return err
			})
		},
	}
}
