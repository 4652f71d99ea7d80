package libct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"husk/nsenter"
)

// handOverConsole gives the pty's master to who asked for it.
func (k *creation) handOverConsole(e nsenter.Event) error {
	if len(e.Files) != 1 {
		return errors.New("/process/terminal: receive the terminal: no descriptor came with it")
	}
	return giveConsole(e.Files[0], k.o.ConsoleSocket, k.console)
}

// giveConsole sends the master to a console socket, or gives a copy of it to the caller of a foreground process. The modes stay as the
// kernel makes them: who shows the output in a raw terminal, as Docker does, counts on lines that end in "\r\n".
func giveConsole(master *os.File, socket string, take func(*os.File) error) error {
	if err := unix.SetNonblock(int(master.Fd()), false); err != nil { // as the ptmx of a bound /dev is opened
		return fmt.Errorf("set the modes of the terminal: %w", err)
	}
	if socket != "" {
		number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		if err != nil {
			return fmt.Errorf("read the terminal's number: %w", err)
		}
		if err := sendFile(socket, "/dev/pts/"+strconv.Itoa(number), master, 0); err != nil {
			return fmt.Errorf("send the terminal: %w", err)
		}
		return nil
	}
	if take == nil {
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	}
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("copy the terminal's descriptor: %w", err)
	}
	return take(os.NewFile(uintptr(fd), "ptmx"))
}

// terminalPeer opens the other end of a pty by its master, which trusts no name: TIOCGPTPEER (Linux 4.13).
func terminalPeer(master *os.File) (*os.File, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, errno
	}
	return os.NewFile(fd, "tty"), nil
}

// sendFile connects to a unix socket and sends one message: the payload and the descriptor. A limit other than 0 is how long
// the other side may keep us waiting.
func sendFile(socket, payload string, file *os.File, limit time.Duration) error {
	fd, err := connect(socket, limit)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	rights := unix.UnixRights(int(file.Fd()))
	for rest := []byte(payload); len(rest) > 0; {
		n, err := unix.SendmsgN(fd, rest, rights, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			rest, rights = rest[n:], nil
		case unix.EINTR:
		default:
			return fmt.Errorf("write to socket %s: %w", socket, orLate(err, limit))
		}
	}
	return nil
}

// orLate names the errno of a socket with a limit by what it means.
func orLate(err error, limit time.Duration) error {
	if err == unix.EAGAIN {
		return fmt.Errorf("nobody takes it within %v", limit)
	}
	return err
}

// connect connects to a unix socket by path, of whatever length: a socket address holds 108 bytes, a descriptor's name in
// /proc fits. A limit other than 0 is how long connecting, and each write after it, may take.
func connect(path string, limit time.Duration) (int, error) {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("connect to socket %s: %w", path, err)
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("connect to socket %s: %w", path, err)
	}
	name := path
	if len(name) > 107 {
		name = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
	}
	if len(filepath.Base(path)) > unix.NAME_MAX {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to socket %s: %w", path, unix.ENAMETOOLONG)
	}
	if limit > 0 {
		tv := unix.NsecToTimeval(int64(limit))
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
	}
	for err == nil || err == unix.EINTR {
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err == nil {
			return fd, nil
		}
	}
	unix.Close(fd)
	return -1, fmt.Errorf("connect to socket %s: %w", path, orLate(err, limit))
}

// writePidFile writes a pid in decimal, without a newline: containerd's reader takes none. The file appears complete.
func writePidFile(path string, pid int) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if errors.Is(err, os.ErrExist) {
		os.Remove(temp) // left by a runtime that was killed
		file, err = os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write pid file %s: %w", path, err)
	}
	_, err = file.WriteString(strconv.Itoa(pid))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("write pid file %s: %w", path, err)
	}
	return nil
}
