package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/libct"
)

func (a *app) killCommand() *command {
	var all, regex bool
	return &command{
		name:    "kill",
		summary: "send a signal to a container",
		usage:   "[options] <container-id> [signal]",
		details: `Sends a signal, SIGTERM if none is given, to the first process of a container. The signal is a
number or a name with or without SIG: 9, KILL and SIGKILL are the same, 37 and RTMIN+3.`,
		flags: []flag{
			{name: "all", short: "a", to: &all, hidden: true, help: "it is no error if the container is not running"},
			{name: "regex", short: "r", to: &regex, help: "send it to all running containers whose id matches: the argument is an extended regular expression"},
		},
		min: 1, max: 2,
		stops: true,
		run: func(args []string) (int, error) {
			signal := unix.SIGTERM
			if len(args) == 2 && args[1] != "" {
				var err error
				if signal, err = parseSignal(args[1]); err != nil {
					return 0, err
				}
			}
			return 0, a.each(args[0], regex, func(runtime containers, id string) error {
				err := runtime.Kill(id, signal, all)
				if regex && (errors.Is(err, libct.ErrNotRunning) || errors.Is(err, libct.ErrNotExist)) {
					return nil
				}
				return err
			})
		},
	}
}

// maxSignal is the highest signal of Linux on the machines we run on: _NSIG in the kernel's asm/signal.h.
const maxSignal = 64

// minRealTime is SIGRTMIN as programs know it: the C library keeps the two below for itself (signal(7)).
const minRealTime = 34

// realTimeSignal reads what a signal above the named ones is called by its distance, as SIGRTMIN+3 that stops systemd. It is 0 for
// other names.
func realTimeSignal(name string) unix.Signal {
	switch name {
	case "SIGRTMIN":
		return minRealTime
	case "SIGRTMAX":
		return maxSignal
	}
	for n := 1; n <= maxSignal-minRealTime; n++ {
		switch name {
		case "SIGRTMIN+" + strconv.Itoa(n):
			return unix.Signal(minRealTime + n)
		case "SIGRTMAX-" + strconv.Itoa(n):
			return unix.Signal(maxSignal - n)
		}
	}
	return 0
}

// parseSignal reads a number or a name. Zero sends nothing and asks whether there is a process (kill(2)).
func parseSignal(text string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n <= maxSignal {
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if signal := unix.SignalNum(name); signal != 0 {
		return signal, nil
	}
	if signal := realTimeSignal(name); signal != 0 {
		return signal, nil
	}
	return 0, fmt.Errorf("unknown signal %q", text)
}
