package linux

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/fdtest"
)

func TestMain(m *testing.M) { fdtest.Main(m) }

func openDir(t *testing.T, dir string) int {
	t.Helper()
	fd, err := Openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(fd) })
	return fd
}

func TestOpenSetsCloexec(t *testing.T) {
	dir := t.TempDir()
	fd := openDir(t, dir)
	fd2, err := Openat2(fd, ".", unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_BENEATH})
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd2)
	for _, fd := range []int{fd, fd2} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
		}
	}
}

func TestOpenat2KeepsToItsRules(t *testing.T) {
	fd := openDir(t, t.TempDir())
	_, err := Openat2(fd, "..", unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_BENEATH})
	var pe *os.PathError
	if !errors.As(err, &pe) || pe.Op != "openat2" || pe.Path != ".." || pe.Err != unix.EXDEV {
		t.Errorf("got %v, want openat2 ..: EXDEV", err)
	}
}

func TestReadFileAt(t *testing.T) {
	dir := t.TempDir()
	fd := openDir(t, dir)
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("five"), []byte("12345"), 0o600))
	must(os.WriteFile(path("empty"), nil, 0o600))
	must(os.WriteFile(path("huge"), nil, 0o600))
	must(os.Truncate(path("huge"), 1<<30))
	must(os.Symlink("five", path("link")))
	must(os.Mkdir(path("dir"), 0o700))
	must(unix.Mkfifo(path("fifo"), 0o600))
	for _, tc := range []struct {
		name  string
		limit int64
		want  string
		err   string
	}{
		{"five", 5, "12345", ""},
		{"five", 4, "", "read five: 5 bytes, the limit is 4"},
		{"empty", 5, "", ""},
		{"huge", 4 << 20, "", "read huge: 1073741824 bytes, the limit is 4194304"},
		{"link", 5, "", "openat link: too many levels of symbolic links"},
		{"dir", 5, "", "read dir: not a regular file"},
		{"fifo", 5, "", "read fifo: not a regular file"},
		{"none", 5, "", "openat none: no such file or directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ReadFileAt(fd, tc.name, tc.limit)
			if string(got) != tc.want {
				t.Errorf("content %q, want %q", got, tc.want)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || err.Error() != tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
}

func TestWriteRenameUnlink(t *testing.T) {
	fd := openDir(t, t.TempDir())
	for _, data := range []string{"a long first text", "short"} {
		if err := WriteFileAt(fd, "tmp", []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Renameat(fd, "tmp", fd, "file"); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFileAt(fd, "file", 100); string(got) != data || err != nil {
			t.Errorf("read back %q, %v, want %q", got, err, data)
		}
	}
	if err := Mkdirat(fd, "dir", 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second list starts from the beginning again
		names, err := Names(fd)
		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"dir", "file"}) {
			t.Errorf("names %q, %v", names, err)
		}
	}
	if err := Unlinkat(fd, "dir", unix.AT_REMOVEDIR); err != nil {
		t.Error(err)
	}
	if err := Unlinkat(fd, "dir", unix.AT_REMOVEDIR); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove again: %v, want ErrNotExist", err)
	}
	if err := Renameat(fd, "none", fd, "file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of nothing: %v, want ErrNotExist", err)
	}
}

func TestFlock(t *testing.T) {
	dir := t.TempDir()
	a, b := openDir(t, dir), openDir(t, dir)
	if err := Flock(a, unix.LOCK_SH, 0); err != nil {
		t.Fatal(err)
	}
	if err := Flock(b, unix.LOCK_SH, 0); err != nil {
		t.Errorf("a second reader: %v", err)
	}
	start := time.Now()
	if err := Flock(b, unix.LOCK_EX, 30*time.Millisecond); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a writer beside a reader: %v, want EWOULDBLOCK", err)
	}
	if d := time.Since(start); d < 30*time.Millisecond || d > 5*time.Second {
		t.Errorf("gave up after %v, want 30ms", d)
	}
	done := make(chan error)
	go func() { done <- Flock(b, unix.LOCK_EX, 10*time.Second) }()
	if err := Unlock(a); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a writer after the reader: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " 1 9 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 774411 1000 2 18446744073709551615\n"
	for _, tc := range []struct {
		name, line string
		want       Process
		ok         bool
	}{
		{"plain", "9 (sleep) S" + tail, Process{'S', 3, 774411, "sleep"}, true},
		{"hostile name", "9 (a) Z 1 (b) R" + tail, Process{'R', 3, 774411, "a) Z 1 (b"}, true},
		{"empty name", "9 () S" + tail, Process{'S', 3, 774411, ""}, true},
		{"newline in name", "9 (a\n) S" + tail, Process{'S', 3, 774411, "a\n"}, true},
		{"empty", "", Process{}, false},
		{"no name", "9 S 1", Process{}, false},
		{"nothing after the name", "9 (x)", Process{Name: "x"}, false},
		{"cut", "9 (x) S 1 2 3", Process{State: 'S', Name: "x"}, false},
		{"no number", "9 (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x", Process{State: 'S', Threads: 1, Name: "x"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, ok := parseStat([]byte(tc.line))
			if p != tc.want || ok != tc.ok {
				t.Errorf("got %+v %v, want %+v %v", p, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestProcessLife(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Skipf("no sleep(1) to watch: %v", err)
	}
	pid := cmd.Process.Pid
	p, err := Stat(pid)
	if err != nil || p.Dead() || p.StartTime == 0 || p.Threads != 1 {
		t.Errorf("living process: %+v, %v", p, err)
	}
	pidfd, err := PidfdOpen(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(pidfd)
	if ended, err := PollIn(pidfd, 5*time.Millisecond); ended || err != nil {
		t.Errorf("wait for a living process: %v, %v", ended, err)
	}
	if err := PidfdSendSignal(pidfd, 0); err != nil {
		t.Error(err)
	}
	if err := PidfdSendSignal(pidfd, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if ended, err := PollIn(pidfd, -1); !ended || err != nil {
		t.Errorf("wait for a killed process: %v, %v", ended, err)
	}
	if z, err := Stat(pid); err != nil || !z.Dead() || z.StartTime != p.StartTime {
		t.Errorf("zombie: %+v, %v", z, err)
	}
	cmd.Wait()
	if _, err := Stat(pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: %v, want ErrNotExist", err)
	}
	if err := PidfdSendSignal(pidfd, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to nothing: %v, want ESRCH", err)
	}
	if _, err := PidfdOpen(pid); !errors.Is(err, unix.ESRCH) {
		t.Errorf("open nothing: %v, want ESRCH", err)
	}
}

func TestMountsOf(t *testing.T) {
	places, err := MountsOf("none such", "proc")
	if err != nil || !slices.Contains(places, "/proc") {
		t.Errorf("procfs is mounted on %q, %v", places, err)
	}
	if places, err := MountsOf("none such"); len(places) > 0 || err != nil {
		t.Errorf("a file system that does not exist is mounted on %q, %v", places, err)
	}
}

func TestBootID(t *testing.T) {
	a, err := BootID()
	if b, _ := BootID(); err != nil || len(a) != 36 || a != b {
		t.Errorf("boot ids %q and %q, %v", a, b, err)
	}
}

func TestSignalListed(t *testing.T) {
	var cmds []*exec.Cmd
	var pids []int
	for range 3 {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Skipf("no sleep(1) to signal: %v", err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		cmds, pids = append(cmds, cmd), append(pids, cmd.Process.Pid)
	}
	cmds[2].Process.Kill()
	cmds[2].Wait()
	// The second has left the list when it is read again, the third has ended.
	n, err := SignalListed(pids, unix.SIGKILL, func() ([]int, error) { return []int{pids[0], pids[2]}, nil })
	if n != 1 || err != nil {
		t.Errorf("%d reached, %v, want 1", n, err)
	}
	if err := cmds[0].Wait(); err == nil {
		t.Error("the first did not end by a signal")
	}
	if p, err := Stat(pids[1]); err != nil || p.Dead() {
		t.Errorf("the second got a signal: %+v, %v", p, err)
	}
	want := errors.New("no list")
	if _, err := SignalListed(pids, 0, func() ([]int, error) { return nil, want }); err != want {
		t.Errorf("error %v, want that of the list", err)
	}
}

func TestKilled(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tx\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n":                               true,
		"SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n":                                         true,
		"SigPnd:\t0000000000004000\nShdPnd:\t0000000000000200\nSigBlk:\t0000000000000100\n":              false,
		"Name:\tSigPnd\nSigPnd:\nShdPnd:\t000000000000000g\nSigIgn:\t0000000000000100\nCapEff:\t00100\n": false,
	} {
		if got := parseKilled([]byte(status)); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
	if killed, err := Killed(os.Getpid()); killed || err != nil {
		t.Errorf("this process: %v, %v", killed, err)
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if killed, err := Killed(cmd.Process.Pid); !killed || err != nil {
		t.Errorf("a process that is gone: %v, %v", killed, err)
	}
}
