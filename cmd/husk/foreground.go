package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A foreground connects the caller's standard streams with a process for which run or exec waits. The process never gets a
// descriptor of the caller's terminal: it could change its modes or read what is typed later. It gets a terminal of its own,
// or pipes in place of a terminal; streams that are no terminals are inherited as they are.
type foreground struct {
	child   [3]*os.File             // standard streams for a process without a terminal
	signals func() <-chan os.Signal // for the process; caught from the first call on

	stdio   [3]*os.File // the caller's
	console *console    // nil: the process has no terminal
	stop    [2]*os.File // the relays of output see the second one closed when the process has ended
	relays  sync.WaitGroup
}

// newForeground prepares the streams. Whether the process gets a terminal is asked only if it makes a difference.
func newForeground(stdio [3]*os.File, terminal func() (bool, error)) (*foreground, error) {
	f := &foreground{child: stdio, stdio: stdio, signals: sync.OnceValue(incomingSignals)}
	if !isTerminal(stdio[0]) && !isTerminal(stdio[1]) && !isTerminal(stdio[2]) {
		return f, nil
	}
	if has, err := terminal(); err != nil || has {
		return f, err
	}
	for i := range stdio {
		if !isTerminal(stdio[i]) {
			continue
		}
		if err := f.substitute(i); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// substitute gives the process a pipe in place of a stream of the caller.
func (f *foreground) substitute(i int) error {
	r, w, err := pipe()
	if err != nil {
		return err
	}
	if i == 0 {
		f.child[i] = r
		from := int(f.stdio[i].Fd())
		go func() {
			copyInput(int(w.Fd()), from, nil)
			w.Close()
		}()
		return nil
	}
	f.child[i] = w
	return f.relay(f.stdio[i], r)
}

// relay starts to copy output, until its end or until the process has ended and there is no more.
func (f *foreground) relay(to, from *os.File) (err error) {
	if f.stop[0] == nil {
		if f.stop[0], f.stop[1], err = pipe(); err != nil {
			return err
		}
	}
	out, in, stop := int(to.Fd()), int(from.Fd()), int(f.stop[0].Fd())
	f.relays.Go(func() {
		copyOutput(out, in, stop)
		runtime.KeepAlive(from)
	})
	return nil
}

// attach takes over the master of the process's console.
func (f *foreground) attach(master *os.File) error {
	f.signals() // from here on none may end the program: the terminal would stay as it is now
	c, err := openConsole(master, f.stdio)
	if err != nil {
		master.Close()
		return err
	}
	f.console = c
	end := c.endOfInput
	if c.input != nil {
		end = nil // the terminal is gone, and nobody typed that
	}
	go copyInput(int(master.Fd()), int(f.stdio[0].Fd()), end)
	return f.relay(f.stdio[1], master)
}

// close ends it all after the process has: what was written is passed on to the last byte, then the terminal is as before.
// The program is about to end, which closes the console.
func (f *foreground) close() {
	for i := range f.child {
		if f.child[i] != f.stdio[i] {
			f.child[i].Close()
		}
	}
	if f.stop[1] != nil {
		f.stop[1].Close()
	}
	f.relays.Wait()
	if f.console != nil {
		f.console.close()
	}
}

// pipe is os.Pipe with descriptors that block: a process that inherits one expects that.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// copyInput copies until the end of the input or until the reader is gone. Then it writes what end returns, given how the
// last copied bytes ended; end may be nil.
func copyInput(to, from int, end func(last byte) []byte) {
	var last byte
	some := false
	buffer := make([]byte, 32<<10)
	for {
		n := read(from, buffer)
		if n <= 0 {
			break
		}
		if !write(to, buffer[:n]) {
			return
		}
		some, last = true, buffer[n-1]
	}
	if some && end != nil {
		write(to, end(last))
	}
}

// copyOutput copies until the end of the output, or, once the other end of stop is closed, until there is nothing left. It
// goes on reading if nobody takes the output: the process must not be blocked by that.
func copyOutput(to, from, stop int) {
	buffer := make([]byte, 32<<10)
	fds := []unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	wanted, wait := true, -1
	for {
		ready, err := unix.Poll(fds, wait)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || ready == 0:
			return
		case len(fds) > 1 && fds[1].Revents != 0:
			// Poll also brings out what a terminal's line discipline still holds, so "nothing" is final from here.
			fds, wait = fds[:1], 0
			continue
		}
		n := read(from, buffer)
		if n <= 0 {
			return
		}
		wanted = wanted && write(to, buffer[:n])
	}
}

// read returns the number of bytes, 0 at the end of the file and less after an error, which for a console is how it ends.
func read(from int, buffer []byte) int {
	for {
		n, err := unix.Read(from, buffer)
		if err == nil {
			return n
		}
		if !again(err, from, unix.POLLIN) {
			return -1
		}
	}
}

// write writes all, and reports whether it could. It does not go through os.File, which would end the program by SIGPIPE.
func write(to int, data []byte) bool {
	for len(data) > 0 {
		n, err := unix.Write(to, data)
		if err != nil && !again(err, to, unix.POLLOUT) {
			return false
		}
		data = data[max(n, 0):]
	}
	return true
}

// again reports whether a call is to be repeated, after waiting if the file does not block: the caller may have set that, and
// shares the setting.
func again(err error, fd int, event int16) bool {
	if err == unix.EAGAIN {
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: event}}, -1)
		return true
	}
	return err == unix.EINTR
}
