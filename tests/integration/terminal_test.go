package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// terminal is a pty of the test's own.
type terminal struct {
	t           *testing.T
	master, tty *os.File
	got         []byte
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	control(t, master, unix.TIOCSPTLCK, uintptr(unsafe.Pointer(new(int32))))
	fd := control(t, master, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	tty := os.NewFile(fd, "tty")
	t.Cleanup(func() { tty.Close() })
	return &terminal{t: t, master: master, tty: tty}
}

// control is ioctl(2) on a file that stays as it is; File.Fd would make it block.
func control(t *testing.T, f *os.File, request, argument uintptr) (result uintptr) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	raw.Control(func(fd uintptr) { result, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, request, argument) })
	if errno != 0 {
		t.Fatalf("ioctl %#x: %v", request, errno)
	}
	return result
}

func resize(t *testing.T, master *os.File, rows, cols uint16) {
	t.Helper()
	control(t, master, unix.TIOCSWINSZ, uintptr(unsafe.Pointer(&unix.Winsize{Row: rows, Col: cols})))
}

func (p *terminal) expect(words string) {
	p.t.Helper()
	expect(p.t, p.master, &p.got, words)
}

func (p *terminal) send(text string) {
	p.t.Helper()
	if _, err := p.master.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// underTerminal starts husk as the leader of a session on the terminal.
func (b *bundle) underTerminal(p *terminal, args ...string) func() int {
	b.t.Helper()
	cmd := b.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.tty, p.tty, p.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	b.spawn(cmd)
	return func() int {
		b.t.Helper()
		return wait(b.t, cmd)
	}
}

// factsFrom reads the program's facts from a terminal.
func factsFrom(t *testing.T, from *os.File) *facts {
	t.Helper()
	var got []byte
	for !strings.Contains(string(got), `"probes":{}}`) {
		one := make([]byte, 65536)
		n, err := from.Read(one)
		got = append(got, one[:n]...)
		if err != nil {
			break
		}
	}
	return parseFacts(t, strings.TrimSpace(string(got)))
}

// checkTerminal checks what a process with a terminal has.
func checkTerminal(t *testing.T, f *facts, rows, cols int) {
	t.Helper()
	if f.TTY == nil {
		t.Fatal("stdin is no terminal")
	}
	equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	equal(t, "session of the terminal", f.TTY.Session, f.Sid)
	equal(t, "foreground group of the terminal", f.TTY.Foreground, f.Pgid)
	equal(t, "leader of the session", f.Sid, f.Pid)
	equal(t, "controlling terminal", f.TTY.Controlling, 1)
	equal(t, "rows", f.TTY.Rows, rows)
	equal(t, "columns", f.TTY.Cols, cols)
	equal(t, "major number", f.TTY.Major, 136)
	for _, fd := range []string{"1", "2"} {
		equal(t, "descriptor "+fd, f.Fds[fd], f.Fds["0"])
	}
}

func TestConsoleSocket(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for name, dir := range map[string]string{"short": "sockets", "long": strings.Repeat("long", 30)} {
			t.Run(name+" path", func(t *testing.T) { consoleSocket(t, v, dir) })
		}

		b := newBundle(t, v)
		b.Process.Terminal = true
		b.save()
		b.fails(1, "cannot allocate tty if runc will detach without setting console socket", "create", "--bundle", b.dir, b.id)
		b.fails(1, "socket", "create", "--bundle", b.dir, "--console-socket", "/nowhere/socket", b.id)
		b.Process.Terminal = false
		b.save()
		b.fails(1, "cannot use console socket if runc will not detach or allocate tty", "create", "--bundle", b.dir, "--console-socket", "/x", b.id)
	})
}

// consoleSocket creates a container that sends its terminal to a socket in a directory of the bundle.
func consoleSocket(t *testing.T, v *view, dir string) {
	t.Helper()
	b := newBundle(t, v)
	b.makeDirs(dir)
	b.Process.Terminal = true
	b.Process.ConsoleSize = &specs.Box{Height: 33, Width: 99}
	b.Process.User.UID = 1000
	// Listening through a short name, since an address of a socket has 108 bytes.
	short := b.path("s")
	if err := os.Symlink(dir, short); err != nil {
		t.Fatal(err)
	}
	files, texts := receive(t, b, short+"/c")
	b.created("--console-socket", b.path(dir+"/c"))
	master := <-files
	if master == nil {
		t.Fatal("no terminal came")
	}
	defer master.Close()
	text := <-texts
	if !strings.HasPrefix(text, "/dev/pts/") {
		t.Errorf("message %q", text)
	}
	b.must("start", b.id)
	f := factsFrom(t, master)
	checkTerminal(t, f, 33, 99)
	equal(t, "name", f.TTY.Name, "/dev/pts/0")
	equal(t, "message", text, "/dev/pts/0")
	equal(t, "owner", f.TTY.UID, 1000)
	equal(t, "mode", f.TTY.Mode, unix.S_IFCHR|0o620)
	equal(t, "/dev/console", f.Nodes["/dev/console"].Major, 136)
	equal(t, "mount at /dev/console", f.mount("/dev/console").fstype, "devpts")
	equal(t, "ONLCR, as the kernel makes it", f.TTY.Onlcr, 1)
	b.must("delete", "--force", b.id)
}

func TestTerminal(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		t.Run("run", func(t *testing.T) {
			b := newBundle(t, v)
			b.Process.Terminal = true
			b.Process.Args = []string{"/inside", "signals"}
			b.save()
			p := newTerminal(t)
			resize(t, p.master, 21, 77)
			status := b.underTerminal(p, "run", "--bundle", b.dir, b.id)
			p.expect("ready\r\n")
			resize(t, p.master, 31, 101)
			p.expect("signal 28 101x31\r\n")
			p.send("\x03") // typed: the terminal inside makes a signal of it
			p.expect("signal 2 101x31\r\n")
			p.send("\x1c")
			p.expect("signal 3 ")
			b.must("kill", b.id, "TERM")
			p.expect("signal 15 ")
			equal(t, "status", status(), 7)
			if modes, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS); err != nil || modes.Lflag&unix.ECHO == 0 || modes.Lflag&unix.ICANON == 0 {
				t.Errorf("the terminal is left raw: %+v, %v", modes, err)
			}
		})
		t.Run("exec", func(t *testing.T) {
			b := newBundle(t, v)
			b.detached("wait")
			p := newTerminal(t)
			resize(t, p.master, 20, 60)
			status := b.underTerminal(p, "exec", "--tty", b.id, "/inside", "signals")
			p.expect("ready\r\n")
			resize(t, p.master, 22, 66)
			p.expect("signal 28 66x22\r\n")
			p.send("\x03")
			p.expect("signal 2 ")
			for _, pid := range pids(b) {
				if pid != b.state().Pid {
					if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.expect("signal 15 ")
			equal(t, "status", status(), 7)
			b.must("delete", "--force", b.id)
		})
		t.Run("exec with a console socket", func(t *testing.T) {
			b := newBundle(t, v)
			b.detached("wait")
			files, texts := receive(t, b, b.path("sock"))
			b.write("process.json", `{"terminal": true, "consoleSize": {"height": 12, "width": 34}, "user": {"uid": 7}, "args": ["/inside", "facts"], "cwd": "/"}`)
			b.must("exec", "--detach", "--pid-file", b.path("pid"), "--console-socket", b.path("sock"), "--process", b.path("process.json"), b.id)
			master := <-files
			if master == nil {
				t.Fatal("no terminal came")
			}
			defer master.Close()
			equal(t, "message", <-texts, "/dev/pts/0")
			checkTerminal(t, factsFrom(t, master), 12, 34)
			data, _ := os.ReadFile(b.path("pid"))
			b.adopt(atoi(string(data)))
			b.must("delete", "--force", b.id)
		})
		t.Run("no terminal under one", func(t *testing.T) {
			b := newBundle(t, v) // the caller's terminal must not get into the container
			b.save()
			p := newTerminal(t)
			status := b.underTerminal(p, "run", "--bundle", b.dir, b.id)
			f := factsFrom(t, p.master)
			equal(t, "status", status(), 0)
			if f.TTY != nil {
				t.Error("the program has the caller's terminal")
			}
			equal(t, "session", f.Sid, f.Pid)
			equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
		})
	})
}

// Two containers of one rootfs have terminals of their own.
func TestTwoTerminals(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Terminal = true
		id := b.id
		var ids []string
		for i := range 2 {
			b.id = fmt.Sprint(id, i)
			b.Linux.CgroupsPath = v.cgroupsPath(b.id)
			files, texts := receive(t, b, b.path("sock"+itoa(i)))
			b.created("--console-socket", b.path("sock"+itoa(i)))
			master := <-files
			defer master.Close()
			equal(t, "name", <-texts, "/dev/pts/0")
			ids = append(ids, b.id)
			defer func(master *os.File, id string) {
				b.must("start", id)
				checkTerminal(t, factsFrom(t, master), 0, 0)
				b.must("delete", "--force", id)
			}(master, b.id)
		}
		equal(t, "containers", len(slices.Compact(ids)), 2)
	})
}
