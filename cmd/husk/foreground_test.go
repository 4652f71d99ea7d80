package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kept stay open: what copies from one test's input knows it by its number, and may come to its end only when the next test runs. It
// must not take away what that has to read.
var kept []*os.File

// openPty makes a terminal.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	fd, err = unix.Open("/dev/pts/"+strconv.Itoa(int(n)), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	slave = os.NewFile(uintptr(fd), "pts")
	kept = append(kept, slave)
	return master, slave
}

func openPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	kept = append(kept, r)
	t.Cleanup(func() { w.Close() })
	return r, w
}

// collect reads to the end in the background.
func collect(r io.Reader) <-chan []byte {
	all := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(r)
		all <- data
	}()
	return all
}

// prompt fails the test if a result does not come.
func prompt[T any](t *testing.T, what string, result <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-result:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not come", what)
	}
	return value
}

func modes(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	termios, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *termios
}

// The streams are no terminals: what is piped in is typed, and its end too; all output arrives, with plain line ends.
func TestConsoleOnPipes(t *testing.T) {
	in, typed := openPipe(t)
	shown, out := openPipe(t)
	master, slave := openPty(t)
	f, err := newForeground([3]*os.File{in, out, out}, func() (bool, error) { return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := f.attach(master); err != nil {
		t.Fatal(err)
	}
	output := collect(shown)
	typed.WriteString("one\ntwo")
	typed.Close()
	var got []byte
	buffer := make([]byte, 100)
	for {
		n, err := unix.Read(int(slave.Fd()), buffer)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got = append(got, buffer[:n]...)
	}
	if string(got) != "one\ntwo" {
		t.Errorf("the process read %q", got)
	}
	long := strings.Repeat("x", 3000)
	slave.WriteString(long + "\nend\n")
	slave.Close()
	f.close()
	out.Close()
	text := string(prompt(t, "the output", output))
	if !strings.HasSuffix(text, long+"\nend\n") || strings.Contains(text, "\r") {
		t.Errorf("output %q", text)
	}
}

// Nothing was piped in, as from /dev/null: a shell in the terminal goes on.
func TestConsoleWithoutInput(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, out := openPipe(t)
	master, slave := openPty(t)
	f := &foreground{stdio: [3]*os.File{null, out, out}}
	f.child = f.stdio
	c, err := openConsole(master, f.stdio)
	if err != nil {
		t.Fatal(err)
	}
	f.console = c
	copyInput(int(master.Fd()), int(null.Fd()), c.endOfInput)
	if ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(slave.Fd()), Events: unix.POLLIN}}, 0); ready != 0 {
		t.Error("an end of file was typed")
	}
	f.close()
}

// The caller has a terminal: it is raw meanwhile, gives its size, and is as before in the end.
func TestConsoleOnTerminal(t *testing.T) {
	keyboard, tty := openPty(t)
	master, slave := openPty(t)
	size := func(rows uint16) {
		if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 99}); err != nil {
			t.Fatal(err)
		}
	}
	sized := func(rows uint16) bool {
		got, err := unix.IoctlGetWinsize(int(slave.Fd()), unix.TIOCGWINSZ)
		return err == nil && got.Row == rows && got.Col == 99
	}
	size(33)
	before := modes(t, tty)
	f, err := newForeground([3]*os.File{tty, tty, tty}, func() (bool, error) { return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := f.attach(master); err != nil {
		t.Fatal(err)
	}
	if during := modes(t, tty); during.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || during.Oflag&unix.OPOST == 0 {
		t.Errorf("modes meanwhile: %+v", during)
	}
	until(t, "the first size", func() bool { return sized(33) })
	size(44)
	unix.Kill(os.Getpid(), unix.SIGWINCH)
	until(t, "the second size", func() bool { return sized(44) })

	// ^C is for the process: its terminal makes the signal. Here it is the line that counts.
	keyboard.WriteString("hi\r")
	buffer := make([]byte, 100)
	n, err := unix.Read(int(slave.Fd()), buffer)
	if err != nil || string(buffer[:n]) != "hi\n" {
		t.Errorf("the process read %q, %v", buffer[:n], err)
	}
	slave.WriteString("bye\n")
	slave.Close()
	f.close()
	if after := modes(t, tty); after != before {
		t.Errorf("modes after: %+v, before: %+v", after, before)
	}
	readUntil(t, keyboard, "bye\r\n")
}

// until waits for what another goroutine does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// A process without a terminal gets pipes in place of the caller's terminal.
func TestPipesInPlaceOfTerminal(t *testing.T) {
	keyboard, tty := openPty(t)
	_, w := openPipe(t)
	f, err := newForeground([3]*os.File{tty, w, tty}, func() (bool, error) { return false, nil })
	if err != nil {
		t.Fatal(err)
	}
	if f.child[1] != w {
		t.Error("a pipe of the caller was replaced")
	}
	for _, i := range []int{0, 2} {
		if isTerminal(f.child[i]) {
			t.Errorf("stream %d is a terminal", i)
		}
		flags, err := unix.FcntlInt(f.child[i].Fd(), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("stream %d does not block: flags %#x, %v", i, flags, err)
		}
	}
	keyboard.WriteString("hi\n")
	buffer := make([]byte, 100)
	n, err := unix.Read(int(f.child[0].Fd()), buffer)
	if err != nil || string(buffer[:n]) != "hi\n" {
		t.Errorf("the process read %q, %v", buffer[:n], err)
	}
	f.child[2].WriteString("complaint\n")
	f.close()
	readUntil(t, keyboard, "complaint\r\n")
}

// readUntil reads up to a text that must come.
func readUntil(t *testing.T, file *os.File, end string) {
	t.Helper()
	var all []byte
	buffer := make([]byte, 100)
	for !bytes.HasSuffix(all, []byte(end)) {
		n, err := unix.Read(int(file.Fd()), buffer)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, buffer[:n]...)
	}
}

// A background process keeps the other end of the output open; the command ends all the same, with all that was written.
func TestOutputHeldOpen(t *testing.T) {
	from, held := openPipe(t)
	shown, to := openPipe(t)
	stop, end := openPipe(t)
	done := make(chan bool, 1)
	out, in, halt := int(to.Fd()), int(from.Fd()), int(stop.Fd())
	go func() {
		copyOutput(out, in, halt)
		done <- true
	}()
	held.WriteString("all of it")
	end.Close()
	prompt(t, "the end", done)
	to.Close()
	if text, _ := io.ReadAll(shown); string(text) != "all of it" {
		t.Errorf("got %q", text)
	}
}

// Nobody reads the output any more; the process must be able to write on, and husk must not die of SIGPIPE.
func TestOutputNotWanted(t *testing.T) {
	from, process := openPipe(t)
	gone, to := openPipe(t)
	gone.Close()
	stop, end := openPipe(t)
	done := make(chan bool, 1)
	out, in, halt := int(to.Fd()), int(from.Fd()), int(stop.Fd())
	go func() {
		copyOutput(out, in, halt)
		done <- true
	}()
	for range 64 {
		process.Write(make([]byte, 8<<10))
	}
	end.Close()
	prompt(t, "the end", done)
}

// The caller's pipe may not block; no byte is lost by that.
func TestCopyWithoutBlocking(t *testing.T) {
	from, in := openPipe(t)
	out, to := openPipe(t)
	for _, file := range []*os.File{from, to} {
		if err := unix.SetNonblock(int(file.Fd()), true); err != nil {
			t.Fatal(err)
		}
	}
	data := bytes.Repeat([]byte("0123456789"), 50_000)
	output := collect(out)
	go func() {
		in.Write(data)
		in.Close()
	}()
	copyInput(int(to.Fd()), int(from.Fd()), nil)
	to.Close()
	if got := prompt(t, "the output", output); !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes", len(got), len(data))
	}
}

func TestIncomingSignals(t *testing.T) {
	incoming := incomingSignals()
	unix.Kill(os.Getpid(), unix.SIGWINCH)
	unix.Kill(os.Getpid(), unix.SIGCHLD)
	for _, s := range []unix.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGHUP} {
		unix.Kill(os.Getpid(), s)
		if got := prompt(t, s.String(), incoming); got != s {
			t.Errorf("got %v, want %v", got, s)
		}
	}
	// The rare ones are asked for later; until then they are dropped.
	for end := time.Now().Add(20 * time.Second); ; {
		unix.Kill(os.Getpid(), 40)
		select {
		case got := <-incoming:
			if got != unix.Signal(40) {
				t.Errorf("got %v, want signal 40", got)
			}
			return
		case <-time.After(rareAfter):
			if time.Now().After(end) {
				t.Fatal("signal 40 does not come")
			}
		}
	}
}
