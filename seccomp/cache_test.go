package seccomp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
)

// profile returns one of many cheap profiles.
func profile(n int) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{strconv.Itoa(n)}}}}
}

// filter returns a filter that says for which profile it is.
func filter(n int) *seccomp.Filter {
	return &seccomp.Filter{
		Instructions: []unix.SockFilter{{Code: 0x20, K: 4}, {Code: 6, Jt: 1, Jf: 2, K: uint32(n)}},
		Flags:        6, Warnings: []string{"a warning", strconv.Itoa(n)},
	}
}

func open(t testing.TB, dir string) *seccomp.Cache {
	t.Helper()
	c, err := seccomp.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func put(t testing.TB, c *seccomp.Cache, n int) {
	t.Helper()
	if err := c.Put(seccomp.Key(profile(n)), filter(n)); err != nil {
		t.Fatal(err)
	}
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c := open(t, dir)
	if _, ok := c.Get(seccomp.Key(profile(1))); ok {
		t.Error("a new cache hits")
	}
	put(t, c, 1)
	put(t, c, 2)
	put(t, c, 1) // in the place of the other
	for n := range 3 {
		got, ok := open(t, dir).Get(seccomp.Key(profile(n)))
		if ok != (n > 0) || ok && !reflect.DeepEqual(got, filter(n)) {
			t.Errorf("%d: %v %+v", n, ok, got)
		}
	}
	for _, name := range []string{"", "a"} {
		if st, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(dir)), "a", name)); err == nil && st.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files", len(files))
	}
}

func TestNilCache(t *testing.T) {
	var c *seccomp.Cache
	if _, ok := c.Get(seccomp.Key(profile(1))); ok {
		t.Error("hit")
	}
	if err := c.Put(seccomp.Key(profile(1)), filter(1)); err != nil {
		t.Error(err)
	}
	c.Close()
}

// Whatever is done to an entry, it is a miss, and Put repairs it.
func TestTampering(t *testing.T) {
	key := seccomp.Key(profile(1))
	for name, harm := range map[string]func(path string) error{
		"flipped bit": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)-1] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"truncated":       func(path string) error { return os.Truncate(path, 100) },
		"empty":           func(path string) error { return os.Truncate(path, 0) },
		"longer":          func(path string) error { return os.Truncate(path, 3000) },
		"huge":            func(path string) error { return os.Truncate(path, 1<<30) },
		"group may write": func(path string) error { return os.Chmod(path, 0o620) },
		"all may read":    func(path string) error { return os.Chmod(path, 0o604) },
		"setuid":          func(path string) error { return os.Chmod(path, 0o600|os.ModeSetuid) },
		"other entry": func(path string) error {
			return os.Rename(filepath.Join(filepath.Dir(path), seccomp.Key(profile(2)).File()), path)
		},
		"symbolic link": func(path string) error {
			if err := os.Rename(path, path+"x"); err != nil {
				return err
			}
			return os.Symlink(path+"x", path)
		},
		"fifo": func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) },
		"foreign": func(path string) error {
			if os.Geteuid() != 0 {
				return os.Remove(path) // can't give it away; a missing one is a miss, too
			}
			return os.Chown(path, 1000, -1)
		},
	} {
		dir := filepath.Join(t.TempDir(), "cache")
		c := open(t, dir)
		put(t, c, 1)
		put(t, c, 2)
		if err := harm(filepath.Join(dir, key.File())); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, ok := c.Get(key); ok {
			t.Errorf("%s: hit", name)
		}
		put(t, c, 1)
		if got, ok := c.Get(key); !ok || !reflect.DeepEqual(got, filter(1)) {
			t.Errorf("%s: not repaired", name)
		}
	}
}

func TestEveryFlippedBitIsAMiss(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c, key := open(t, dir), seccomp.Key(profile(1))
	put(t, c, 1)
	path := filepath.Join(dir, key.File())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(good) {
		bad := append([]byte{}, good...)
		bad[i/8] ^= 1 << (i % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Get(key); ok {
			t.Fatalf("hit with bit %d flipped", i)
		}
	}
}

func TestDirectoryMustBeOurs(t *testing.T) {
	dir := t.TempDir()
	loose, target, link := filepath.Join(dir, "loose"), filepath.Join(dir, "target"), filepath.Join(dir, "link")
	foreign, file := filepath.Join(dir, "foreign"), filepath.Join(dir, "file")
	err := errors.Join(os.Mkdir(loose, 0o700), os.Chmod(loose, 0o710), os.Mkdir(target, 0o700), os.Symlink(target, link),
		os.Mkdir(foreign, 0o700), os.WriteFile(file, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		loose: `has mode 0710, which lets others in: remove it`, link: "not a directory", file: "not a directory",
	}
	if os.Geteuid() == 0 {
		want[foreign] = "belongs to user 1000, not to 0: remove it"
		if err := os.Chown(foreign, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range want {
		c, err := seccomp.OpenCache(path)
		if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		c.Close()
	}
}

func TestLimits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir)
	old := time.Now().Add(-time.Hour)
	for n := range seccomp.MaxEntries {
		put(t, c, n)
		at := old.Add(time.Duration(n) * time.Second)
		if err := os.Chtimes(filepath.Join(dir, seccomp.Key(profile(n)).File()), at, at); err != nil {
			t.Fatal(err)
		}
	}
	stale, fresh := filepath.Join(dir, "new-1"), filepath.Join(dir, "new-2")
	if err := errors.Join(os.WriteFile(stale, nil, 0o600), os.Chtimes(stale, old, old), os.WriteFile(fresh, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	put(t, c, 1000)
	for n, want := range map[int]bool{0: false, 1: true, 2: true, seccomp.MaxEntries - 1: true, 1000: true} {
		if _, ok := c.Get(seccomp.Key(profile(n))); ok != want {
			t.Errorf("entry %d: %v", n, ok)
		}
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the left-over of a dead writer: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("another writer's file: %v", err)
	}
}

func TestByteLimit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir)
	p := profile(0)
	for n := range 60 {
		p.Syscalls[0].Names[0] = strings.Repeat("x", 60<<10) + strconv.Itoa(n)
		if err := c.Put(seccomp.Key(p), filter(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := c.Get(seccomp.Key(p)); !ok {
		t.Error("the newest entry is gone")
	}
	var total int64
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			total += info.Size()
		}
	}
	if total > seccomp.MaxBytes || total < seccomp.MaxBytes/2 {
		t.Errorf("%d bytes in %d files", total, len(files))
	}
	p.Syscalls[0].Names[0] = strings.Repeat("x", 200<<10) // an entry nobody wants to keep
	if err := c.Put(seccomp.Key(p), filter(1)); err != nil {
		t.Error(err)
	}
	if _, ok := c.Get(seccomp.Key(p)); ok {
		t.Error("kept a very large entry")
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			c, err := seccomp.OpenCache(dir)
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			for i := range 200 {
				n := i % 80
				if got, ok := c.Get(seccomp.Key(profile(n))); ok && !reflect.DeepEqual(got, filter(n)) {
					errs <- fmt.Errorf("%d gives %+v", n, got)
				}
				if err := c.Put(seccomp.Key(profile(n)), filter(n)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) > seccomp.MaxEntries+8 {
		t.Errorf("%d files", len(files))
	}
}

// tmpfs returns a path into a file system that is mounted nowhere.
func tmpfs(t *testing.T, size string, attributes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a file system")
	}
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skipf("no fsopen(2): %v", err)
	}
	defer unix.Close(fs)
	if err := errors.Join(unix.FsconfigSetString(fs, "size", size), unix.FsconfigCreate(fs)); err != nil {
		t.Fatal(err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(mount) })
	return "/proc/self/fd/" + strconv.Itoa(mount) + "/cache"
}

func TestFullFileSystem(t *testing.T) {
	dir := tmpfs(t, "8k", 0)
	c := open(t, dir)
	if c == nil {
		t.Fatal("no cache")
	}
	if err := os.WriteFile(dir+"/ballast", make([]byte, 8<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, c, 1)
	if _, ok := c.Get(seccomp.Key(profile(1))); ok {
		t.Error("hit")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left %v", files)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	c := open(t, tmpfs(t, "64k", unix.MOUNT_ATTR_RDONLY))
	put(t, c, 1)
	if _, ok := c.Get(seccomp.Key(profile(1))); ok {
		t.Error("hit")
	}
}

func BenchmarkKey(b *testing.B) {
	p := docker(b)
	for b.Loop() {
		seccomp.Key(p)
	}
}

func BenchmarkGet(b *testing.B) {
	p := docker(b)
	c, key := open(b, b.TempDir()+"/x"), seccomp.Key(p)
	if err := c.Put(key, compile(b, p)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := c.Get(key); !ok {
			b.Fatal("miss")
		}
	}
}
