package main

import (
	"fmt"

	"husk/libct"
)

func (a *app) runCommand() *command {
	var o libct.RunOptions
	return &command{
		name:    "run",
		summary: "create and start a container",
		usage:   "[options] <container-id>",
		details: `Makes a container from a bundle and starts its program. Without --detach it stays in the
foreground: signals go on to the program, its exit status becomes that of the command, what it tells
the service manager goes on to $NOTIFY_SOCKET (see sd_notify(3)), and the container is deleted at the
end.

` + aboutBundle,
		flags: append(bundleFlags(&o.CreateOptions),
			flag{name: "detach", short: "d", to: &o.Detach, help: "return as soon as the program runs"},
			flag{name: "keep", to: &o.Keep, help: "do not delete the container when it has ended"},
			flag{name: "no-subreaper", to: &o.NoSubreaper, help: "do not adopt processes that the container leaves behind"},
		),
		min: 1, max: 1,
		talks: true,
		run: func(args []string) (int, error) {
			status, err := a.runContainer(args[0], &o)
			if err != nil {
				return 0, fmt.Errorf(runFailed, err)
			}
			return status, nil
		},
	}
}

func (a *app) runContainer(id string, o *libct.RunOptions) (int, error) {
	runtime, err := a.managed()
	if err != nil {
		return 0, err
	}
	if err := complete(&o.CreateOptions, id); err != nil {
		return 0, err
	}
	if o.Detach {
		return runtime.Run(*o)
	}
	front, err := newForeground(o.Stdio, func() (bool, error) { return wantsTerminal(o) })
	if err != nil {
		return 0, err
	}
	defer front.close()
	o.Stdio, o.OnConsole, o.Signals = front.child, front.attach, front.signals
	return runtime.Run(*o)
}

// wantsTerminal reports whether the program of a configuration gets a terminal.
func wantsTerminal(o *libct.RunOptions) (bool, error) {
	spec, _, err := o.Load()
	if err != nil {
		return false, err
	}
	return spec.Process != nil && spec.Process.Terminal, nil
}
