package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a program ends with is what run and exec end with.
func TestExitStatus(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, status := range []int{0, 1, 42, 127, 255} {
			b := newBundle(t, v)
			b.Process.Args = []string{"/inside", "exit", itoa(status)}
			equal(t, "status", b.run().status, status)
		}
		b := newBundle(t, v)
		b.detached("wait")
		for _, status := range []int{0, 7, 255} {
			equal(t, "status of exec", b.husk("exec", b.id, "/inside", "exit", itoa(status)).status, status)
		}
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV} {
			equal(t, "status of exec after "+signal.String(), b.husk("exec", b.id, "/inside", "die", itoa(int(signal))).status, 128+int(signal))
		}
		b.must("delete", "--force", b.id)

		b = newBundle(t, v)
		without(b, specs.PIDNamespace) // the first process of a namespace can't be ended by its own signal
		b.Process.Args = []string{"/inside", "die", "15"}
		equal(t, "status", b.run().status, 128+15)
	})
}

// In the foreground signals go on to the program.
func TestForeground(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		cmd, out := b.foreground("signals")
		for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT} {
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			out.expect(fmt.Sprintf("signal %d ", signal))
		}
		// Rare signals are asked for a little later, so that they cost short programs nothing: one may be lost.
		rare := time.NewTicker(10 * time.Millisecond)
		arrived := make(chan struct{})
		go func() {
			defer close(arrived)
			out.expect("signal 40 ")
		}()
		for waiting := true; waiting; {
			cmd.Process.Signal(syscall.Signal(40))
			select {
			case <-arrived:
				waiting = false
			case <-rare.C:
			}
		}
		rare.Stop()
		cmd.Process.Signal(syscall.SIGTERM)
		equal(t, "status", wait(t, cmd), 7)
		b.fails(1, "container does not exist", "state", b.id)

		b = newBundle(t, v)
		r := func() result {
			b.Process.Args = []string{"/inside", "cat"}
			b.save()
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Stdin = strings.NewReader("through\x00and\xffthrough")
			return b.finish(cmd)
		}()
		equal(t, "output", r.stdout, "through\x00and\xffthrough")

		b = newBundle(t, v)
		b.Process.Args = []string{"/inside", "exit", "3"}
		equal(t, "run --keep", b.run("--keep").status, 3)
		b.status("stopped")
		b.must("delete", b.id)
	})
}

// A program that can't be started is reported by the command that starts it, with what engines look for.
func TestUnstartable(t *testing.T) {
	cases := []struct {
		name  string
		patch func(*bundle)
		words string
	}{
		{"missing in PATH", func(b *bundle) { b.Process.Args[0] = "nothing" }, `exec: "nothing": executable file not found in $PATH`},
		{"missing", func(b *bundle) { b.Process.Args[0] = "/no/such" }, "no such file or directory"},
		{"directory", func(b *bundle) { b.Process.Args[0] = "/tmp" }, "permission denied"},
		{"not executable", func(b *bundle) { b.Process.Args[0] = "/etc/text"; b.write("rootfs/etc/text", "x") }, "permission denied"},
		{"missing interpreter", func(b *bundle) { script(b, "#!/no/such/sh\n") }, "no such file or directory"},
		{"no format", func(b *bundle) { script(b, "plain") }, "exec format error"},
		{"cwd is a file", func(b *bundle) { b.Process.Cwd = "/inside" }, "not a directory"},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := newBundle(t, v)
				c.patch(b)
				r := b.run()
				if r.status != 1 || !strings.Contains(r.stderr, c.words) || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("run: %v; want %q", r, c.words)
				}
				// With create and start either may notice; then the container can be deleted.
				r = b.husk("create", "--bundle", b.dir, b.id)
				if r.status == 0 {
					if r = b.husk("start", b.id); r.status == 0 {
						t.Error("start: no error")
					}
					b.status("stopped")
					b.must("delete", b.id)
				}
				if !strings.Contains(r.stderr, c.words) {
					t.Errorf("create and start: %v; want %q", r, c.words)
				}
				// And exec.
				args := b.Process.Args
				b.Process.Cwd = "/"
				b.detached("wait")
				if c.name != "cwd is a file" {
					b.fails(255, c.words, append([]string{"exec", b.id}, args...)...)
				} else {
					b.fails(255, c.words, "exec", "--cwd", "/inside", b.id, "/inside")
				}
				b.must("delete", "--force", b.id)
			})
		}
	})
}

func script(b *bundle, text string) {
	b.write("rootfs/bin/script", text)
	if err := os.Chmod(b.path("rootfs/bin/script"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.Process.Args = []string{"script"}
}
