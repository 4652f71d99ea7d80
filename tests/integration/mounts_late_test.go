package integration

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// In a file system that never answers nothing holds the container's lock for ever, and what was mounted before it goes again.
func TestMountsLate(t *testing.T) {
	tried := false
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "it mounts FUSE")
		if tried {
			t.Skip("the time was waited for in another view")
		}
		tried = true
		b := newBundle(t, v)
		fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			t.Skipf("no FUSE: %v", err)
		}
		b.makeDirs("volume/hang")
		if err := v.do(func() error {
			return unix.Mount("nobody", b.path("volume/hang"), "fuse", 0, "fd="+itoa(int(fuse.Fd()))+",rootmode=40000,user_id=0,group_id=0")
		}); err != nil {
			fuse.Close()
			t.Fatal(err)
		}
		t.Cleanup(func() {
			fuse.Close() // ends it: all that waits gets an error
			if err := v.do(func() error { return unix.Unmount(b.path("volume/hang"), unix.MNT_DETACH) }); err != nil {
				t.Error(err)
			}
		})
		b.Mounts = append(b.Mounts, bound(b.path("volume"), "/tmp"))
		b.running()
		b.mountsFail("wait for the interpreter: connection timed out: nothing in 10s; a file system in the container may not answer", "add",
			bound(b.path("data"), "/place"), bound(b.path("data"), "/tmp/hang/below"))
		equal(t, "state", b.added(), "")
		b.mountsMust("add", bound(b.path("data"), "/place"))
		b.must("delete", "--force", b.id)
	})
}
