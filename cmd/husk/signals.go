package main

import (
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// commonSignals are those that people and supervisors send.
var commonSignals = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGCONT}

// rareAfter is when the others are asked for. Each costs a round trip between two threads of the Go runtime: all sixty take
// longer than a container needs to start, so one that ends at once does without them.
const rareAfter = 20 * time.Millisecond

// incomingSignals returns the signals that a command in the foreground passes on to the process it stands for: all that can
// be caught, less those that are meant for this process. A signal that was ignored when husk was started (nohup, or a shell's
// background job) stays ignored.
func incomingSignals() <-chan os.Signal {
	// More than fit are dropped; nobody sends that many before they are read.
	incoming := make(chan os.Signal, 256)
	catch(incoming, commonSignals)
	time.AfterFunc(rareAfter, func() { catch(incoming, rareSignals()) })
	return incoming
}

func catch(incoming chan os.Signal, list []os.Signal) {
	list = slices.DeleteFunc(slices.Clone(list), signal.Ignored)
	if len(list) > 0 { // an empty list would mean all of them
		signal.Notify(incoming, list...)
	}
}

func rareSignals() (list []os.Signal) {
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
			if !slices.Contains(commonSignals, os.Signal(s)) {
				list = append(list, s)
			}
		}
	}
	return list
}
