package linux

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InotifyInit returns a descriptor for watches (inotify(7)), which does not
// block.
func InotifyInit() (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	return fd, os.NewSyscallError("inotify_init1", err)
}

// InotifyAdd watches the file that fd is open on, whatever happens to its name,
// for the events of mask (IN_*). The same file has the same watch.
func InotifyAdd(inotify, fd int, mask uint32) (watch int, err error) {
	watch, err = retry(func() (int, error) {
		return unix.InotifyAddWatch(inotify, "/proc/self/fd/"+strconv.Itoa(fd), mask)
	})
	return watch, os.NewSyscallError("inotify_add_watch", err)
}

// InotifyRead passes on the events that wait; name is that of the entry in a
// watched directory, if the event is about one.
func InotifyRead(inotify int, event func(watch int, mask uint32, name string)) error {
	const header = unix.SizeofInotifyEvent
	var buf [64 * (header + unix.NAME_MAX + 1)]byte
	for {
		n, err := retry(func() (int, error) { return unix.Read(inotify, buf[:]) })
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("read inotify", err)
		}
		for at := 0; at+header <= n; {
			var e unix.InotifyEvent
			copy((*[header]byte)(unsafe.Pointer(&e))[:], buf[at:])
			name := buf[at+header : at+header+int(e.Len)]
			at += header + int(e.Len)
			event(int(e.Wd), e.Mask, unix.ByteSliceToString(name))
		}
	}
}
