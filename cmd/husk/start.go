package main

func (a *app) startCommand() *command {
	return &command{
		name:    "start",
		summary: "start the program of a created container",
		usage:   "<container-id>",
		details: `Starts the program of a container that the command create has made. With $NOTIFY_SOCKET (see
sd_notify(3)) set for both commands it returns when the program says that it is ready.`,
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			runtime, err := a.managed()
			if err != nil {
				return 0, err
			}
			return 0, runtime.Start(args[0])
		},
	}
}
