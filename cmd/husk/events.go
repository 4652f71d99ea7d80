package main

import (
	"time"

	"husk/libct"
)

func (a *app) eventsCommand() *command {
	interval, once := 5*time.Second, false
	return &command{
		name:    "events",
		summary: "report statistics of a container, and when it lacks memory",
		usage:   "[options] <container-id>",
		details: `Writes a line of JSON with statistics of a container after every interval, and one each time that
the kernel has killed a process in it for want of memory, until the container stops.`,
		flags: []flag{
			{name: "interval", to: &interval, help: "time between two lines of statistics"},
			{name: "stats", to: &once, help: "write the statistics once, then end"},
		},
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			tell := func(e *libct.Event) error {
				_, err := a.print(e.AppendJSON(nil))
				return err
			}
			if !once {
				return 0, runtime.Events(args[0], interval, tell)
			}
			s, err := runtime.Stats(args[0])
			if err != nil {
				return 0, err
			}
			return 0, tell(&libct.Event{Type: "stats", ID: args[0], Stats: s})
		},
	}
}
