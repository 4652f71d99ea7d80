package main

func (a *app) pauseCommand() *command {
	return &command{
		name:    "pause",
		summary: "suspend all processes of a container",
		usage:   "<container-id>",
		details: `Stops all processes of a created or running container where they are, until the command resume.
The state is "paused" then, and only exec --ignore-paused puts another process into it.`,
		min: 1, max: 1,
		run: a.onContainer(containers.Pause),
	}
}

func (a *app) resumeCommand() *command {
	return &command{
		name:    "resume",
		summary: "let the processes of a paused container go on",
		usage:   "<container-id>",
		details: "Lets the processes of a container go on that the command pause has stopped.",
		min:     1, max: 1,
		run: a.onContainer(containers.Resume),
	}
}
