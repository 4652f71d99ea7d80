package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNewRefusesSlash(t *testing.T) {
	for _, root := range []string{"/", "//", "/..", "/tmp/.."} {
		if _, err := New(Options{Root: root}); err == nil || err.Error() != "Option --root argument should not be set to /" {
			t.Errorf("root %q: %v", root, err)
		}
	}
}

func TestDefaultRoot(t *testing.T) {
	system := os.Geteuid() == 0 && !inUserNamespace()
	for _, tc := range []struct{ xdg, want string }{
		{"", "/run/husk"},
		{"relative", "/run/husk"},
		{"/run/user/1000", "/run/user/1000/husk"},
	} {
		t.Setenv("XDG_RUNTIME_DIR", tc.xdg)
		t.Setenv("USER", "somebody")
		if system {
			tc.want = "/run/husk"
		}
		if got := DefaultRoot(); got != tc.want {
			t.Errorf("XDG_RUNTIME_DIR=%s: %s, want %s", tc.xdg, got, tc.want)
		}
	}
}

func TestRootChecks(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		byName  bool // as the default root, not as --root
		want    string
	}{
		{"missing is made", func(*testing.T, string) {}, false, ""},
		{"own", func(t *testing.T, p string) { os.Mkdir(p, 0o755) }, false, ""},
		{"group may write", func(t *testing.T, p string) { os.Mkdir(p, 0o700); os.Chmod(p, 0o770) }, false, "others may write to it (mode 0770)"},
		{"all may write", func(t *testing.T, p string) { os.Mkdir(p, 0o700); os.Chmod(p, 0o1777|os.ModeSticky) }, false, "others may write to it (mode 1777)"},
		{"a file", func(t *testing.T, p string) { os.WriteFile(p, nil, 0o600) }, false, "not a directory"},
		{"a link, given", func(t *testing.T, p string) { os.Mkdir(p+"2", 0o700); os.Symlink(p+"2", p) }, false, ""},
		{"a link, default", func(t *testing.T, p string) { os.Mkdir(p+"2", 0o700); os.Symlink(p+"2", p) }, true, "not a directory"},
		{"another's", func(t *testing.T, p string) { needRoot(t); os.Mkdir(p, 0o700); os.Chown(p, 12345, 0) }, false, "it belongs to uid 12345, not to uid 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "root")
			tc.prepare(t, path)
			r := &Runtime{opts: Options{Root: path}, path: path}
			if tc.byName {
				r.opts.Root = ""
			}
			fd, err := r.openRoot(true)
			if err == nil {
				unix.Close(fd)
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCheckID(t *testing.T) {
	for _, tc := range []struct {
		id   string
		want error
	}{
		{"", ErrEmptyID},
		{".", ErrInvalidID},
		{"..", ErrInvalidID},
		{"...", nil},
		{"a", nil},
		{"Az09_+-.", nil},
		{"-rf", nil},
		{"a/b", ErrInvalidID},
		{"../a", ErrInvalidID},
		{"a b", ErrInvalidID},
		{"a\x00", ErrInvalidID},
		{"ä", ErrInvalidID},
		{strings.Repeat("x", 255), nil},
		{strings.Repeat("x", 256), ErrInvalidID},
	} {
		if err := checkID(tc.id); err != tc.want {
			t.Errorf("%q: %v, want %v", tc.id, err, tc.want)
		}
	}
}

func TestUnknownContainer(t *testing.T) {
	r := newRuntime(t)
	for _, missing := range []string{"root", "container"} {
		if _, err := r.State("x"); !errors.Is(err, ErrNotExist) {
			t.Errorf("no %s: state: %v", missing, err)
		}
		if err := r.Kill("x", unix.SIGTERM, true); !errors.Is(err, ErrNotExist) {
			t.Errorf("no %s: kill: %v", missing, err)
		}
		if err := r.Delete("x", false); !errors.Is(err, ErrNotExist) {
			t.Errorf("no %s: delete: %v", missing, err)
		}
		if err := r.Delete("x", true); err != nil {
			t.Errorf("no %s: delete --force: %v", missing, err)
		}
		if _, err := r.Pids("x"); !errors.Is(err, ErrNotExist) {
			t.Errorf("no %s: ps: %v", missing, err)
		}
		if missing == "root" {
			if _, err := os.Lstat(r.path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a look made the root: %v", err)
			}
			r.put(t, "other", nil)
		}
	}
}

func TestReserveMakesPrivateFiles(t *testing.T) {
	r := newRuntime(t)
	r.put(t, "c", nil)
	for path, want := range map[string]fs.FileMode{
		r.path: 0o700, r.file("c", ""): 0o700, r.file("c", recordFile): 0o600, r.file("c", configFile): 0o600,
	} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", path, st.Mode(), err, want)
		}
	}
	if _, err := os.Lstat(r.file("c", recordTemp)); err == nil {
		t.Error("the temporary record is left")
	}
	if _, err := r.reserve("c"); !errors.Is(err, ErrExist) {
		t.Errorf("second reserve: %v, want ErrExist", err)
	}
}

func TestReserveHasOneWinner(t *testing.T) {
	r := newRuntime(t)
	for range 20 {
		var won atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				c, err := r.reserve("c")
				if err != nil {
					if !errors.Is(err, ErrExist) {
						t.Error(err)
					}
					return
				}
				defer c.close()
				won.Add(1)
				if err := c.save(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d creators got the id", n)
		}
		if err := r.Delete("c", false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReserveHasOneWinnerAmongProcesses(t *testing.T) {
	r := newRuntime(t)
	for range 5 {
		var cmds []*exec.Cmd
		for i := range 8 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=reserve %s c bundle%d", commandEnv, r.path, i))
			cmd.Stderr = new(strings.Builder)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, cmd)
		}
		var won []string
		for i, cmd := range cmds {
			if cmd.Wait() == nil {
				won = append(won, fmt.Sprintf("bundle%d", i))
			} else if msg := cmd.Stderr.(*strings.Builder).String(); msg != ErrExist.Error()+"\n" {
				t.Errorf("loser says %q", msg)
			}
		}
		if s, err := r.State("c"); err != nil || len(won) != 1 || s.Bundle != won[0] {
			t.Fatalf("winners %q, the record is of %+v, %v", won, s, err)
		}
		if err := r.Delete("c", false); err != nil {
			t.Fatal(err)
		}
	}
}

// A delete that meets the directory before its creator has locked it takes it
// for a left-over; the creator must come through all the same, once.
func TestReserveAgainstDelete(t *testing.T) {
	r := newRuntime(t)
	stop := make(chan struct{})
	var deleter sync.WaitGroup
	for range 2 {
		deleter.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := r.Delete("c", true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 300 {
		c, err := r.reserve("c")
		if err != nil {
			if !errors.Is(err, ErrExist) {
				t.Fatal(err)
			}
			continue // the container of the last round is not deleted yet
		}
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
		if err := c.read(); err != nil {
			t.Fatalf("somebody removed a locked container: %v", err)
		}
		c.close()
	}
	close(stop)
	deleter.Wait()
}

func TestLockDeadline(t *testing.T) {
	r := newRuntime(t)
	r.put(t, "c", nil)
	r.wait = 20 * time.Millisecond
	c, err := r.open("c", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	_, err = r.open("c", unix.LOCK_EX)
	if !errors.Is(err, unix.EWOULDBLOCK) || !strings.HasPrefix(err.Error(), "lock container c: another command ") {
		t.Errorf("got %v", err)
	}
	if _, err := r.State("c"); err != nil {
		t.Errorf("state waits for a lock: %v", err)
	}
}

// Who waits for the lock while the container is deleted and made anew must not
// touch the new one.
func TestLockChecksIdentity(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := newRuntime(t)
		r.put(t, "c", nil)
		old, err := r.find("c", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Delete("c", false); err != nil {
			t.Fatal(err)
		}
		if again {
			r.put(t, "c", nil)
		}
		if err := old.acquire(unix.LOCK_EX, 0); !errors.Is(err, ErrNotExist) {
			t.Errorf("made anew %v: %v, want ErrNotExist", again, err)
		}
		old.close()
	}
}

func TestStateWhileDeleted(t *testing.T) {
	r := newRuntime(t)
	var done atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !done.Load() {
				s, err := r.State("c")
				if err != nil && !errors.Is(err, ErrNotExist) {
					t.Error(err)
					return
				}
				if err == nil && s.Status != Stopped && s.Status != Creating {
					t.Errorf("status %s", s.Status)
					return
				}
				if _, warnings, err := r.List(); err != nil && !errors.Is(err, fs.ErrNotExist) || len(warnings) > 0 {
					t.Errorf("list: %v %v", warnings, err)
					return
				}
			}
		})
	}
	for range 200 {
		r.put(t, "c", nil)
		if err := r.Delete("c", false); err != nil {
			t.Error(err)
		}
	}
	done.Store(true)
	all.Wait()
}
