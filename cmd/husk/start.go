package main

func (a *app) startCommand() *command {
	return &command{
		name:    "start",
		summary: "start the program of a created container",
		usage:   "<container-id>",
		details: "Lets the program of a container run that was made by the command create.",
		min:     1, max: 1,
		run: a.onContainer(containers.Start),
	}
}
