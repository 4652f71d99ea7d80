package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A console is the master of a process's terminal, with the caller's terminal in the modes that fit it.
type console struct {
	master *os.File
	host   *os.File      // terminal of the caller whose size counts; nil: none
	input  *os.File      // standard input, if it is a terminal and now raw
	saved  *unix.Termios // how input was before
	resize chan os.Signal
	follow sync.WaitGroup
}

// openConsole sets the terminals up. The caller may have none, or one on some of the streams only.
func openConsole(master *os.File, stdio [3]*os.File) (*console, error) {
	c := &console{master: master, resize: make(chan os.Signal, 1)}
	if err := clearONLCR(master); err != nil {
		return nil, fmt.Errorf("set up the console of the container: %w", err)
	}
	if isTerminal(stdio[0]) {
		var err error
		if c.saved, err = makeRaw(stdio[0]); err != nil {
			return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		c.input = stdio[0]
	}
	if c.host = findTerminal(stdio); c.host != nil {
		signal.Notify(c.resize, unix.SIGWINCH)
		c.copySize()
		c.follow.Go(func() {
			for range c.resize {
				c.copySize()
			}
		})
	}
	return c, nil
}

// copySize gives the console the size of the caller's terminal, unless that is gone or knows none.
func (c *console) copySize() {
	size, err := unix.IoctlGetWinsize(int(c.host.Fd()), unix.TIOCGWINSZ)
	if err == nil && size.Row != 0 && size.Col != 0 {
		unix.IoctlSetWinsize(int(c.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// endOfInput is what to type when a file or pipe that was typed has ended: the terminal's end-of-file character, which counts
// at the start of a line only, so one more if the last line was not complete.
func (c *console) endOfInput(last byte) []byte {
	termios, err := unix.IoctlGetTermios(int(c.master.Fd()), unix.TCGETS)
	if err != nil || termios.Lflag&unix.ICANON == 0 {
		return nil
	}
	eof := termios.Cc[unix.VEOF]
	if last == '\n' {
		return []byte{eof}
	}
	return []byte{eof, eof}
}

// close gives the caller's terminal its modes back.
func (c *console) close() {
	signal.Stop(c.resize)
	close(c.resize)
	c.follow.Wait()
	if c.input != nil {
		unix.IoctlSetTermios(int(c.input.Fd()), unix.TCSETS, c.saved)
	}
}

// findTerminal returns the terminal of the caller: one of the streams, or else the controlling one, or nil.
func findTerminal(stdio [3]*os.File) *os.File {
	if i := slices.IndexFunc(stdio[:], isTerminal); i >= 0 {
		return stdio[i]
	}
	file, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return file
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// clearONLCR lets a line end in "\n" alone, as programs behind a pipe expect it. A terminal that shows the output makes
// "\r\n" of it itself.
func clearONLCR(master *os.File) error {
	termios, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	termios.Oflag &^= unix.ONLCR
	return unix.IoctlSetTermios(int(master.Fd()), unix.TCSETS, termios)
}

// makeRaw hands every byte that is typed over as it is, and returns the modes before. The output keeps being processed, see
// [clearONLCR].
func makeRaw(terminal *os.File) (*unix.Termios, error) {
	saved, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *saved
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	return saved, unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, &raw)
}
