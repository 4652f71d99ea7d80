package main

func (a *app) stateCommand() *command {
	return &command{
		name:    "state",
		summary: "print the state of a container",
		usage:   "<container-id>",
		details: `Prints the state of a container as JSON: its id, process id, status (creating, created,
running, paused or stopped), bundle, root file system, time of creation and annotations.`,
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			state, err := runtime.State(args[0])
			if err != nil {
				return 0, err
			}
			return a.print(state.AppendJSON(nil))
		},
	}
}
