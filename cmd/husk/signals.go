package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// incomingSignals returns the signals that a command in the foreground passes on to the process it stands for: all that can
// be caught, less those that are meant for this process. A signal that was ignored when husk was started (nohup, or a shell's
// background job) stays ignored.
func incomingSignals() <-chan os.Signal {
	var list []os.Signal
	for s := unix.Signal(1); s <= maxSignal; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP:
			// cannot be caught
		case 32, 33:
			// belong to the C library (nptl(7))
		case unix.SIGCHLD, unix.SIGPIPE:
			// tell of our own children and our own output
		case unix.SIGURG:
			// comes from the Go scheduler all the time
		case unix.SIGWINCH:
			// is answered by resizing the console, which tells the process
		case unix.SIGTTIN, unix.SIGTTOU:
			// stop a background job that uses its terminal; caught, the call on the terminal would start over for ever
		default:
			if !signal.Ignored(s) {
				list = append(list, s)
			}
		}
	}
	// More than fit are dropped; nobody sends that many before they are read.
	incoming := make(chan os.Signal, 256)
	signal.Notify(incoming, list...)
	return incoming
}
