package libct

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// listen makes the start gate's socket. Its path goes through the directory's descriptor: a path of its own may be longer
// than a socket address, and the directory may be renamed.
func (c *container) listen() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: c.gatePath()}); err == nil {
			err = unix.Listen(fd, 1)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the start gate %s: %w", c.path(gateSocket), err)
	}
	return os.NewFile(uintptr(fd), gateSocket), nil
}

func (c *container) gatePath() string {
	return "/proc/self/fd/" + strconv.Itoa(c.dir) + "/" + gateSocket
}
