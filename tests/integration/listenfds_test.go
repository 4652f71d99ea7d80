package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// activated has a shell set LISTEN_PID to its pid, which becomes husk's, and open descriptors from 3 on: those of names.
func (b *bundle) activated(env []string, names []string, args ...string) *exec.Cmd {
	cmd := b.command(args...)
	script := `LISTEN_PID=$$; export LISTEN_PID; exec "$@"`
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", script, "sh"}, cmd.Args...)
	cmd.Env = append(os.Environ(), env...)
	for _, name := range names {
		b.write(name, name)
		f, err := os.Open(b.path(name))
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// listened checks what a process has got: descriptors by name, and variables that name its own pid.
func listened(t *testing.T, f *facts, n int, names ...string) {
	t.Helper()
	var want, got []string
	for fd, name := range names {
		want = append(want, itoa(fd+3))
		equal(t, "descriptor "+itoa(fd+3), filepath.Base(f.Fds[itoa(fd+3)]), name)
	}
	equalList(t, "descriptors", f.numbers(), append([]string{"0", "1", "2"}, want...))
	for _, entry := range f.Env {
		if strings.HasPrefix(entry, "LISTEN_") {
			got = append(got, entry)
		}
	}
	slices.Sort(got)
	equalList(t, "variables", got, []string{"LISTEN_FDNAMES=a:b", "LISTEN_FDS=" + itoa(n), "LISTEN_PID=" + itoa(f.Pid)})
}

func TestListenFDs(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.Env = append(b.Process.Env, "LISTEN_PID=77", "LISTEN_FDS=9", "LISTEN_FDNAMES=x")
		b.save()
		env, files := []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:b"}, []string{"three", "four", "five", "six"}
		run := []string{"run", "--bundle", b.dir, "--preserve-fds", "1", b.id}
		facts := func(cmd *exec.Cmd) *facts {
			t.Helper()
			r := b.finish(cmd)
			if r.status != 0 || r.stderr != "" {
				t.Fatal(r)
			}
			return parseFacts(t, r.stdout)
		}
		listened(t, facts(b.activated(env, files, run...)), 2, files[:3]...)

		out := b.pipe()
		create := b.activated(env, files, "create", "--bundle", b.dir, b.id)
		create.Stdout = out.w
		b.spawn(create)
		out.w.Close()
		equal(t, "create", wait(t, create), 0)
		b.must("start", b.id)
		listened(t, parseFacts(t, out.rest()), 2, files[:2]...)
		b.must("delete", "--force", b.id)

		b.detached("wait")
		f := facts(b.activated(env, files, "exec", "--preserve-fds", "2", b.id, "/inside", "facts"))
		listened(t, f, 2, files...)
		if f.Pid == 1 {
			t.Error("exec is pid 1")
		}
		b.must("delete", "--force", b.id)

		// Without a pid namespace of its own the process has another pid than 1.
		b.Process.Args = []string{"/inside", "facts"}
		b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.PIDNamespace })
		b.save()
		listened(t, facts(b.activated(env, files, run...)), 2, files[:3]...)

		// Names are those of the manager, or there are none.
		f = facts(b.activated(env[:1], files, run...))
		equal(t, "LISTEN_FDNAMES", strings.Contains(strings.Join(f.Env, " "), "LISTEN_FDNAMES"), false)
	})
}

// LISTEN_FDS counts if it is meant for husk, and then all of them must be there.
func TestListenFDsRefused(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.save()
		for _, env := range [][]string{{"LISTEN_FDS=1", "LISTEN_PID=1"}, {"LISTEN_FDS=1"}, {"LISTEN_FDS=x", "LISTEN_PID=2"}} {
			cmd := b.activated(env, []string{"three"}, "run", "--bundle", b.dir, b.id)
			cmd.Path, cmd.Args = cmd.Args[4], cmd.Args[4:] // not by the shell
			r := b.finish(cmd)
			if r.status != 0 || r.stderr != "" {
				t.Fatal(r)
			}
			f := parseFacts(t, r.stdout)
			equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
			equal(t, "LISTEN_ in the environment", strings.Contains(strings.Join(f.Env, " "), "LISTEN_"), false)
		}
		for _, tc := range []struct{ fds, words string }{
			{"2", "LISTEN_FDS: unable to stat preserved-fd 1 (of 2): bad file descriptor"},
			{"-1", `read LISTEN_FDS "-1": want a whole number, 0 or more`},
			{"99999999999", `read LISTEN_FDS "99999999999": want a whole number, 0 or more`},
			{"two", `read LISTEN_FDS "two": want a whole number, 0 or more`},
		} {
			for _, args := range [][]string{{"create", "--bundle", b.dir, b.id}, {"run", "--bundle", b.dir, b.id}} {
				r := b.finish(b.activated([]string{"LISTEN_FDS=" + tc.fds}, []string{"three"}, args...))
				if r.status != 1 || !strings.Contains(r.stderr, tc.words) || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("%s with LISTEN_FDS=%s: %v", args[0], tc.fds, r)
				}
			}
		}
		b.detached("wait")
		r := b.finish(b.activated([]string{"LISTEN_FDS=2"}, []string{"three"}, "exec", b.id, "/inside", "facts"))
		if r.status != 255 || !strings.Contains(r.stderr, "LISTEN_FDS: unable to stat preserved-fd 1 (of 2)") {
			t.Error(r)
		}
		b.must("delete", "--force", b.id)
	})
}
