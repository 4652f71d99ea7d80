package libct

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// opens tells whether a file is opened while f runs.
func opens(t *testing.T, name string, f func()) bool {
	t.Helper()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, name, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	f()
	n, err := unix.Read(watch, make([]byte, 4096))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return n > 0
}

func pathDir(t *testing.T, name string) int {
	t.Helper()
	fd, err := linux.Openat(unix.AT_FDCWD, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

var plenty = &copier{left: math.MaxInt64}

// Between the look at a file and its copy a container may put something else in its place: what was looked at is copied, and a FIFO or a
// device node is never opened.
func TestCopyUpSwapped(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, name := range []string{from, to} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file, other := filepath.Join(from, "file"), filepath.Join(dir, "other")
	if err := os.WriteFile(file, []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(other, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := linux.Openat2(pathDir(t, from), "file", beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(in)
	if err := os.Rename(other, file); err != nil {
		t.Fatal(err)
	}
	if opens(t, file, func() { err = plenty.inode(in, pathDir(t, to), "file") }) {
		t.Error("the FIFO that has taken the place of the file was opened")
	}
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(to, "file")); err != nil || string(data) != "content" {
		t.Errorf("the copy: %q, %v", data, err)
	}
}

// What is no file and no directory is made anew, and not opened.
func TestCopyUpNodes(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, name := range []string{from, to} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO | 0o600, "socket": unix.S_IFSOCK | 0o600} {
		old := filepath.Join(from, name)
		if err := unix.Mknod(old, mode, 0); err != nil {
			t.Fatal(err)
		}
		var err error
		if opens(t, old, func() { err = plenty.entry(pathDir(t, from), pathDir(t, to), name) }) {
			t.Errorf("%s was opened", name)
		}
		var st unix.Stat_t
		if err = errors.Join(err, unix.Lstat(filepath.Join(to, name), &st)); err != nil || st.Mode != mode {
			t.Errorf("%s: mode %o, %v", name, st.Mode, err)
		}
	}
	if err := os.Symlink("fifo", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := plenty.entry(pathDir(t, from), pathDir(t, to), "link"); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); err != nil || target != "fifo" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

// What is copied is memory: more than the container may have is not, however the directory holds it.
func TestCopyUpLimit(t *testing.T) {
	const size = 25 * perPage
	sparse := func(name string) error { return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)) }
	many := func(name string) error { return os.MkdirAll(name+strings.Repeat("/x", size/perInode), 0o700) }
	for name, fill := range map[string]func(string) error{"sparse": sparse, "many": many} {
		for limit, want := range map[int64]error{size - perInode: unix.ENOSPC, size + perInode: nil, math.MaxInt64: nil} {
			from, to := t.TempDir(), t.TempDir()
			if err := fill(filepath.Join(from, name)); err != nil {
				t.Fatal(err)
			}
			c := &copier{left: limit}
			if err := c.entry(pathDir(t, from), pathDir(t, to), name); !errors.Is(err, want) {
				t.Errorf("%s, at most %d bytes: %v, want %v", name, limit, err, want)
			}
		}
	}
}
