package main

func (a *app) startCommand() *command {
	return &command{
		name:    "start",
		summary: "start the program of a created container",
		usage:   "<container-id>",
		details: "Starts the program of a container that the command create has made.",
		min:     1, max: 1,
		run: a.onContainer(containers.Start),
	}
}
