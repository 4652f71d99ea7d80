package integration

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A deaf is a file system whose server reads each question about a name in it and never answers: whoever asks sleeps in the
// kernel and hears no signal (fs/fuse/dev.c, request_wait_answer), as with a disk or a server that has died.
type deaf struct {
	fd    int
	asked chan int // pids, as in the test's namespace
}

// newDeaf mounts a deaf file system in the view. Everybody wakes up when release is called, or the test ends.
func newDeaf(b *bundle, at string) (d *deaf, release func()) {
	b.t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Skipf("needs /dev/fuse for a file system that does not answer: %v", err)
	}
	err = b.v.do(func() error {
		return unix.Mount("deaf", at, "fuse.deaf", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd))
	})
	if err != nil {
		unix.Close(fd)
		b.t.Fatal(err)
	}
	d = &deaf{fd: fd, asked: make(chan int, 64)}
	var served sync.WaitGroup
	served.Go(d.serve)
	release = sync.OnceFunc(func() {
		if err := b.v.do(func() error { return unix.Unmount(at, unix.MNT_FORCE|unix.MNT_DETACH) }); err != nil { // aborts all requests
			b.t.Error(err)
		}
		served.Wait()
		unix.Close(fd)
	})
	b.t.Cleanup(release)
	return d, release
}

// serve answers what a mount needs (fuse(4), linux/fuse.h).
func (d *deaf) serve() {
	const lookup, getattr, initialize, interrupt = 1, 3, 26, 36
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(d.fd, buffer)
		if err == unix.EINTR || err == unix.EAGAIN || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 { // unmounted
			return
		}
		order := binary.NativeEndian
		var body []byte
		errno := unix.ENOSYS
		switch order.Uint32(buffer[4:]) {
		case lookup:
			d.asked <- int(order.Uint32(buffer[32:]))
			continue
		case interrupt:
			continue
		case initialize:
			body, errno = make([]byte, 64), 0
			order.PutUint32(body, 7)
			order.PutUint32(body[4:], 31)
			order.PutUint32(body[12:], 1<<18) // FUSE_PARALLEL_DIROPS: one who asks holds up nobody else
			order.PutUint32(body[20:], 4096)
		case getattr:
			body, errno = make([]byte, 16+88), 0
			order.PutUint64(body[16:], 1)
			order.PutUint32(body[16+60:], unix.S_IFDIR|0o755)
			order.PutUint32(body[16+64:], 2)
		}
		reply := order.AppendUint32(nil, uint32(16+len(body)))
		reply = order.AppendUint32(reply, uint32(-int32(errno)))
		reply = append(append(reply, buffer[8:16]...), body...)
		unix.Write(d.fd, reply)
	}
}

// next is the pid of who asks. For a name that somebody asks for already nobody asks again.
func (d *deaf) next(t *testing.T) int {
	t.Helper()
	select {
	case pid := <-d.asked:
		return pid
	case <-time.After(limit):
		t.Fatal("nobody asks the deaf file system")
		return 0
	}
}

// A process that no signal reaches: every command ends by its deadline and says who it is, and when the process has ended at last
// the container can be removed.
func TestStuck(t *testing.T) {
	type stuckCase struct {
		what    string
		hosts   bool   // the container has the host's pid namespace
		init    bool   // its first process is the one that is stuck
		after   string // what the state is then
		command string // it has ten seconds, and so all of them wait together
		refusal string

		b          *bundle
		pid, stuck int
		waits      *exec.Cmd
		output     *pipe
	}
	eachView(t, func(t *testing.T, v *view) {
		cases := []*stuckCase{
			{what: "init", init: true, after: "running", command: "delete --force", refusal: "container init still running: pid "},
			{what: "another", after: "running", command: "delete --force", refusal: "container init still running: pid "},
			{what: "another, host's pids", hosts: true, after: "stopped", command: "delete --force", refusal: "1 process(es) still inside"},
			{what: "init to be paused", init: true, after: "running", command: "pause", refusal: "pause container "},
		}
		for _, c := range cases {
			c.b = newBundle(t, v)
		}
		at := cases[0].b.path("deaf")
		cases[0].b.makeDirs("deaf")
		d, release := newDeaf(cases[0].b, at)
		for _, c := range cases {
			b := c.b
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/deaf", Source: at, Options: []string{"bind"}})
			if c.hosts {
				without(b, specs.PIDNamespace)
			}
			if c.init {
				b.Process.Args = []string{"/inside", "facts", "open:/deaf/" + b.id}
				b.save()
				b.must("run", "--detach", "--bundle", b.dir, b.id)
				c.pid = b.state().Pid
				c.stuck = d.next(t)
			} else {
				c.pid = b.detached("wait")
				b.must("exec", "--detach", b.id, "/inside", "facts", "open:/deaf/"+b.id)
				c.stuck = d.next(t)
				b.adopt(c.stuck)
			}
			equal(t, c.what+": init asks", c.stuck == c.pid, c.init)

			// Those that wait for nobody.
			if c.command != "pause" {
				b.must("kill", b.id, "KILL")
				if c.hosts {
					b.gone(c.pid)
				}
				b.must("kill", "--all", b.id, "KILL")
			}
			b.status(c.after)
			if list := b.must("list"); !strings.Contains(list, c.after) {
				t.Errorf("%s: list: %q", c.what, list)
			}
			if list := b.must("ps", b.id); !strings.Contains(list, itoa(c.stuck)) {
				t.Errorf("%s: ps: %q", c.what, list)
			}
			c.waits, c.output = b.command(append(strings.Fields(c.command), b.id)...), b.pipe()
			c.waits.Stdout, c.waits.Stderr = c.output.w, c.output.w
			b.spawn(c.waits)
			c.output.w.Close()
		}
		for _, c := range cases {
			equal(t, c.what+": status of "+c.command, wait(t, c.waits), 1)
			said := c.output.rest()
			for _, want := range []string{c.refusal, itoa(c.stuck) + " (in "} {
				if !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
					t.Errorf("%s: %q in one line is not in %q", c.what, want, said)
				}
			}
			c.b.status(c.after)
		}
		release()
		for _, c := range cases {
			if c.command != "pause" {
				c.b.gone(c.pid)
			}
			c.b.must("delete", "--force", c.b.id)
		}
	})
}

// What never stops to make processes is ended all the same, in its own pid namespace and in the host's.
func TestForkBomb(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, command := range []string{"delete --force", "kill KILL", "kill --all KILL"} {
			for _, hosts := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, host's pids %v", command, hosts), func(t *testing.T) {
					b := newBundle(t, v)
					if hosts {
						without(b, specs.PIDNamespace)
					}
					b.detached("bomb", "16")
					verb, rest, _ := strings.Cut(command, " ")
					args := append([]string{verb}, strings.Fields(rest)...)
					if verb == "kill" {
						args = append(args[:len(args)-1], b.id, "KILL")
					} else {
						args = append(args, b.id)
					}
					pid := b.state().Pid
					b.must(args...)
					b.gone(pid)
					if verb == "kill" {
						b.status("stopped")
						b.must("delete", b.id)
					}
				})
			}
		}
	})
}
