package cgroups

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// dir is one cgroup directory. Its descriptor is opened on first use and stays until close.
type dir struct {
	path  string
	fd    int    // -1: not open
	above *dir   // nil: path is the way; else the last part of it is, from there
	ino   uint64 // what it has to be to be opened; 0: anything
}

// replacedError: somebody has removed a cgroup and given its name away.
type replacedError struct{}

func (replacedError) Error() string {
	return "the container's is gone, another has its name: " + unix.ENOENT.Error()
}
func (replacedError) Unwrap() error { return unix.ENOENT }

func newDir(p string) dir { return dir{path: p, fd: -1} }

// sub is a cgroup below. It is reached by way of d, because containers can make paths that are longer than the kernel takes; the
// beginning of such a path is left out of messages.
func (d *dir) sub(name string) dir {
	p := d.path + "/" + name
	if len(p) >= unix.PathMax {
		p = "..." + p[len(p)-unix.PathMax/2:]
	}
	return dir{path: p, fd: -1, above: d}
}

// open gets an O_PATH descriptor of the directory. No component may be a symlink: the mount point was resolved before.
func (d *dir) open() error {
	if d.fd >= 0 {
		return nil
	}
	at, name := unix.AT_FDCWD, d.path
	if d.above != nil {
		if err := d.above.open(); err != nil {
			return err
		}
		at, name = d.above.fd, path.Base(d.path)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := openat2(at, name, how)
	if err != nil {
		return &os.PathError{Op: "open cgroup", Path: d.path, Err: err}
	}
	d.fd = fd
	if d.ino == 0 {
		return nil
	}
	ino, err := d.inode()
	if err == nil && ino != d.ino {
		err = &os.PathError{Op: "open cgroup", Path: d.path, Err: replacedError{}}
	}
	if err != nil {
		d.close()
	}
	return err
}

// same tells whether what is at the path is still the cgroup, if anything is.
func (d *dir) same() bool {
	var st unix.Stat_t
	return d.ino == 0 || unix.Stat(d.path, &st) != nil || st.Ino == d.ino
}

func (d *dir) close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
		d.fd = -1
	}
}

// file opens a file of the cgroup. RESOLVE_BENEATH and NO_XDEV keep a name that comes from config.json inside the cgroup.
func (d *dir) file(name string, flags int) (int, error) {
	if err := d.open(); err != nil {
		return -1, err
	}
	how := unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := openat2(d.fd, name, how)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: d.path + "/" + name, Err: err}
	}
	return fd, nil
}

// write hands value to the file in one write(2): for the kernel each write is one command.
func (d *dir) write(name, value string) error {
	fd, err := d.file(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return d.writeFD(fd, name, value)
}

func (d *dir) writeFD(fd int, name, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return &os.PathError{Op: "write " + strconv.Quote(value) + " to", Path: d.path + "/" + name, Err: err}
		}
	}
}

// read returns a file that fits into one read(2), which is all but the lists of processes.
func (d *dir) read(name string) (string, error) {
	fd, err := d.file(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [4096]byte
	n, err := readFD(fd, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "read", Path: d.path + "/" + name, Err: err}
	}
	return string(buf[:n]), nil
}

// number reads a file that holds one number; "max" is the largest.
func (d *dir) number(name string) (uint64, error) {
	s, err := d.read(name)
	if err != nil {
		return 0, err
	}
	if s = strings.TrimSpace(s); s == "max" {
		return 1<<64 - 1, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s/%s: %q is not a number", d.path, name, s)
	}
	return n, nil
}

// value finds "key value" in a file of such lines (cgroup.events, memory.events).
func (d *dir) value(name, key string) (uint64, error) {
	s, err := d.read(name)
	if err != nil {
		return 0, err
	}
	n, ok := flatValue(s, key)
	if !ok {
		return 0, fmt.Errorf("read %s/%s: no number for %q", d.path, name, key)
	}
	return n, nil
}

func flatValue(s, key string) (uint64, bool) {
	for line := range strings.Lines(s) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// waitEvent waits until key of cgroup.events has the value want; the kernel raises POLLPRI at each change. A cgroup that
// vanishes meanwhile satisfies every wait. Of that the kernel says nothing, and it forgets a change that it would have told
// a moment later (two within 10 ms are told as one), so there is a look now and then: systemd removes a scope as soon as it is empty.
func (d *dir) waitEvent(key string, want uint64, deadline time.Time) error {
	fd, err := d.file("cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var buf [256]byte
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		n, err := unix.Pread(fd, buf[:], 0)
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "read", Path: d.path + "/cgroup.events", Err: err}
		}
		if v, ok := flatValue(string(buf[:max(n, 0)]), key); ok && v == want {
			return nil
		}
		look := time.Now().Add(pause)
		if look.After(deadline) {
			look = deadline
		}
		err = poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, look)
		if err != nil && (look.Equal(deadline) || !errors.Is(err, unix.ETIMEDOUT)) {
			return &os.PathError{Op: "wait for " + key + " " + strconv.FormatUint(want, 10) + " in", Path: d.path + "/cgroup.events", Err: err}
		}
	}
}

// pids lists the processes of the cgroup alone. In a threaded cgroup cgroup.procs can't be read; its threads stand in.
func (d *dir) pids() ([]int, error) {
	s, err := d.readAll("cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		s, err = d.readAll("cgroup.threads")
	}
	if err != nil {
		return nil, err
	}
	return parsePids(s), nil
}

// parsePids reads one pid a line and leaves out 0, which stands for a process that the caller's pid namespace does not show.
func parsePids(s []byte) []int {
	var pids []int
	for line := range bytes.Lines(s) {
		if n, err := strconv.Atoi(string(bytes.TrimSuffix(line, []byte{'\n'}))); err == nil && n > 0 {
			pids = append(pids, n)
		}
	}
	return pids
}

func (d *dir) readAll(name string) ([]byte, error) {
	fd, err := d.file(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var out []byte
	buf := make([]byte, 4096)
	for {
		n, err := readFD(fd, buf)
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: d.path + "/" + name, Err: err}
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, buf[:n]...)
	}
}

// children names the sub-cgroups. It is the one place that lists a directory.
func (d *dir) children() ([]dir, error) {
	fd, err := d.file(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var subs []dir
	for _, e := range entries {
		if e.IsDir() {
			subs = append(subs, d.sub(e.Name()))
		}
	}
	return subs, nil
}

// allPids lists the processes of the cgroup and of those below. Sub-cgroups that vanish meanwhile are skipped.
func (d *dir) allPids() ([]int, error) {
	pids, err := d.pids()
	if err != nil {
		return nil, err
	}
	subs, err := d.children()
	if err != nil {
		return nil, err
	}
	for i := range subs {
		more, err := subs[i].allPids()
		subs[i].close()
		if err != nil && !isGone(err) {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

func (d *dir) inode() (uint64, error) {
	if err := d.open(); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return 0, &os.PathError{Op: "stat cgroup", Path: d.path, Err: err}
	}
	return st.Ino, nil
}

// isGone tells that a cgroup does not exist (any more): a file of a removed cgroup that is still open gives ENODEV.
func isGone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) }

// openat2 returns the bare errno: its callers know the full path.
func openat2(at int, name string, how unix.OpenHow) (int, error) {
	fd, err := linux.Openat2(at, name, how)
	if pe, ok := err.(*os.PathError); ok {
		err = pe.Err
	}
	return fd, err
}

func readFD(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// poll waits for one of fds until the deadline, then it returns ETIMEDOUT.
func poll(fds []unix.PollFd, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		ts := unix.NsecToTimespec(left.Nanoseconds())
		n, err := unix.Ppoll(fds, &ts, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}
