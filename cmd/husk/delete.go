package main

func (a *app) deleteCommand() *command {
	var force bool
	return &command{
		name:    "delete",
		summary: "delete a container that is not running",
		usage:   "[options] <container-id>",
		details: `Deletes what is left of a container: cgroups and recorded state. The container must have stopped;
with --force it is killed if it has not, and it is no error if it does not exist.`,
		flags: []flag{
			{name: "force", short: "f", to: &force, help: "kill the container if it is still running"},
		},
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			if err := runtime.Delete(args[0], force); err != nil {
				return 0, err
			}
			return 0, nil
		},
	}
}
