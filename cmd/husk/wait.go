package main

import (
	"errors"
	"strconv"
)

func (a *app) waitCommand() *command {
	format := "text"
	return &command{
		name:    "wait",
		summary: "wait until a container has stopped",
		usage:   "[options] <container-id>",
		details: `Waits until a container has stopped, and prints its exit status: 128 and the signal's number if a
signal has ended it. As JSON, members tell of the signal, and whether the kernel has killed a process
in it for want of memory.

The exit status of a container that had stopped before is known if "run --keep" or a "wait" has
seen the end. Otherwise, as text, that is an error; JSON leaves out what is not known.`,
		flags: []flag{
			{name: "format", short: "f", to: &format, help: "text or json"},
		},
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			if format != "text" && format != "json" {
				return 0, errFormat
			}
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			end, err := runtime.Wait(args[0])
			switch {
			case err != nil:
				return 0, err
			case format == "json":
				return a.print(end.AppendJSON(nil, args[0]))
			case !end.Known:
				return 0, errors.New("container " + args[0] + " has stopped, but its exit status is not known: nobody has asked for it in time, or the kernel does not keep it (Linux 6.15)")
			}
			return a.print(append(strconv.AppendInt(nil, int64(end.Exit()), 10), '\n'))
		},
	}
}
