package main

import (
	"time"

	"husk/libct"
)

func (a *app) eventsCommand() *command {
	interval, once, lifecycle := 5*time.Second, false, false
	c := &command{
		name:    "events",
		summary: "report statistics of a container, and what happens to containers",
		usage:   "[options] <container-id>\n   " + a.name + " events --lifecycle [container-id...]",
		details: `Writes a line of JSON with statistics of a container after every interval, and one each time that
the kernel has killed a process in it for want of memory, until the container stops.

With --lifecycle, writes a line when something happens to a container: created, started, paused,
resumed, oom, stopped, deleted; first one with the state of each, and then "watching". It ends when
the containers that were named are deleted.`,
		flags: []flag{
			{name: "interval", to: &interval, help: "time between two lines of statistics"},
			{name: "stats", to: &once, help: "write the statistics once, then end"},
			{name: "lifecycle", to: &lifecycle, help: "write what happens to the named containers, or to all"},
		},
		max: -1,
	}
	c.run = func(args []string) (int, error) {
		if !lifecycle {
			c.min, c.max = 1, 1
			if err := c.checkCount(a.name, args); err != nil {
				return 0, err
			}
		}
		runtime, err := a.containers()
		if err != nil {
			return 0, err
		}
		if lifecycle {
			return 0, runtime.Lifecycle(args, func(e *libct.Change) error {
				_, err := a.print(e.AppendJSON(nil))
				return err
			})
		}
		return 0, a.statistics(runtime, args[0], interval, once)
	}
	return c
}

// statistics are the events of one container.
func (a *app) statistics(runtime containers, id string, interval time.Duration, once bool) error {
	tell := func(e *libct.Event) error {
		_, err := a.print(e.AppendJSON(nil))
		return err
	}
	if !once {
		return runtime.Events(id, interval, tell)
	}
	s, err := runtime.Stats(id)
	if err != nil {
		return err
	}
	return tell(&libct.Event{Type: "stats", ID: id, Stats: s})
}
