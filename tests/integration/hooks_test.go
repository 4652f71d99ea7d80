package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hookFacts is what a hook has written.
type hookFacts struct {
	State     string
	Fds       map[string]string
	Argv, Env []string
	Cwd       string
	NS        map[string]string
	Root      []string
}

var hookKinds = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// hook adds one; what it sees it writes to a file that has the same name on the host and in the container.
func (b *bundle) hook(kind string, does ...string) *specs.Hook {
	b.t.Helper()
	if b.Hooks == nil {
		b.Hooks = new(specs.Hooks)
		b.makeDirs("log")
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: b.path("log"), Source: b.path("log"), Options: []string{"bind"}})
	}
	path := env.inside
	if kind == "startContainer" {
		path = "/inside"
	}
	h := specs.Hook{Path: path, Args: append([]string{kind, "hook", b.path("log/hooks")}, does...), Env: []string{"KIND=" + kind}}
	list := map[string]*[]specs.Hook{
		"prestart": &b.Hooks.Prestart, "createRuntime": &b.Hooks.CreateRuntime, "createContainer": &b.Hooks.CreateContainer, //nolint:staticcheck // prestart is deprecated
		"startContainer": &b.Hooks.StartContainer, "poststart": &b.Hooks.Poststart, "poststop": &b.Hooks.Poststop,
	}[kind]
	*list = append(*list, h)
	return &(*list)[len(*list)-1]
}

// ran returns what the hooks have written so far.
func (b *bundle) ran() (list []hookFacts) {
	b.t.Helper()
	data, err := os.ReadFile(b.path("log/hooks"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var f hookFacts
		if err := json.Unmarshal(line, &f); err != nil {
			b.t.Fatalf("%v: %s", err, line)
		}
		list = append(list, f)
	}
	return list
}

// ranKinds are the names of the hooks that have run, in order.
func (b *bundle) ranKinds() (list []string) {
	for _, f := range b.ran() {
		list = append(list, f.Argv[0])
	}
	return list
}

// All six hooks: when, where, with what.
func TestHooks(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.Annotations = map[string]string{"org.example": "yes"}
		for _, kind := range hookKinds {
			b.hook(kind)
			second := b.hook(kind)
			second.Timeout = value(30)
		}
		b.Hooks.Poststart[1].Env = nil
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		out := b.pipe()
		cmd := b.command("create", "--bundle", b.dir, b.id)
		cmd.Stdout, cmd.Stderr = out.w, out.w
		for _, name := range []string{"secret", "other"} { // not for hooks
			b.write(name, "")
			f, err := os.Open(b.path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		b.spawn(cmd)
		out.w.Close()
		if status := wait(t, cmd); status != 0 {
			t.Fatalf("create: status %d, %s", status, out.rest())
		}
		equalList(t, "hooks after create", b.ranKinds(), []string{"prestart", "prestart", "createRuntime", "createRuntime", "createContainer", "createContainer"})
		pid := b.state().Pid
		b.must("start", b.id)
		out.expect("ready\n")
		equalList(t, "hooks after start", b.ranKinds()[6:], []string{"startContainer", "startContainer", "poststart", "poststart"})
		container := map[string]string{}
		for _, k := range kinds {
			container[k.file] = nsOf(t, pid, k.file)
		}
		b.must("kill", b.id, "KILL")
		awaitEnd(pid, limit)
		b.must("delete", b.id)
		all := b.ran()
		equalList(t, "hooks after delete", b.ranKinds()[10:], []string{"poststop", "poststop"})
		status := map[string][]string{
			"prestart": {"created", "creating"}, "createRuntime": {"creating", "created"}, "createContainer": {"creating", "created"},
			"startContainer": {"created"}, "poststart": {"running"}, "poststop": {"stopped"},
		}
		for i, f := range all {
			kind := hookKinds[i/2]
			var s specs.State
			if err := json.Unmarshal([]byte(f.State), &s); err != nil {
				t.Fatalf("%s: state %q: %v", kind, f.State, err)
			}
			equal(t, kind+": id", s.ID, b.id)
			equal(t, kind+": bundle", s.Bundle, b.dir)
			equal(t, kind+": version", s.Version, b.Version)
			equal(t, kind+": annotation", s.Annotations["org.example"], "yes")
			if !slices.Contains(status[kind], string(s.Status)) {
				t.Errorf("%s: status %s, want one of %v", kind, s.Status, status[kind])
			}
			wantPid := pid
			switch kind {
			case "createContainer", "startContainer":
				wantPid = 1 // as it is seen there (runtime.md#state)
			case "poststop":
				wantPid = 0
			}
			equal(t, kind+": pid", s.Pid, wantPid)
			wantEnv := []string{"KIND=" + kind}
			if kind == "poststart" && i%2 == 1 {
				wantEnv = nil
			}
			if kind == "startContainer" {
				includes(t, kind+": environment", f.Env, wantEnv...)
			} else {
				equalList(t, kind+": environment", f.Env, wantEnv)
			}
			equalList(t, kind+": descriptors", slices.Sorted(keys(f.Fds)), []string{"0", "1", "2"})
			inside := kind == "createContainer" || kind == "startContainer"
			for _, k := range kinds {
				want := nsOf(t, os.Getpid(), k.file)
				if k.file == "mnt" { // the view's
					v.do(func() error { want, _ = os.Readlink("/proc/thread-self/ns/mnt"); return nil })
				}
				if inside {
					want = container[k.file]
				}
				equal(t, fmt.Sprintf("%s: %s namespace", kind, k.file), f.NS[k.file], want)
			}
			includes(t, kind+": root directory", f.Root, map[bool]string{true: "!usr", false: "usr"}[kind == "startContainer"])
		}
	})
}

// Where the root does not change by pivot_root, a createContainer hook sees the host as well.
func TestHookNoPivot(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the host's mounts, which have to be detached, are locked in a user namespace")
		b := newBundle(t, v)
		b.hook("createContainer")
		b.facts("--no-pivot")
		all := b.ran()
		if len(all) != 1 {
			t.Fatalf("%d hooks have run", len(all))
		}
		equal(t, "cwd", all[0].Cwd, b.path("rootfs"))
		includes(t, "the root directory", all[0].Root, "usr", "!inside")
	})
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A failing hook ends the operation: with what error, and what has run and what is left then.
func TestFailingHooks(t *testing.T) {
	cases := []struct {
		kind   string
		does   []string
		failed string // the command that reports it
		words  string
		after  []string // hooks that have run besides the one that failed
	}{
		{"prestart", []string{"exit", "3"}, "create", "error running prestart hook #0: exit status 3, output: hook says no", []string{"poststop"}},
		{"createRuntime", []string{"exit", "1"}, "create", "error running createRuntime hook #0: exit status 1", []string{"prestart", "poststop"}},
		{"createContainer", []string{"exit", "1"}, "create", "error running createContainer hook #0: exit status 1", []string{"prestart", "createRuntime", "poststop"}},
		{"startContainer", []string{"exit", "1"}, "start", "error running startContainer hook #0: exit status 1", []string{"prestart", "createRuntime", "createContainer", "poststop"}},
		{"poststart", []string{"exit", "1"}, "start", "error running poststart hook #0: exit status 1", []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststop"}},
		{"createRuntime", []string{"sleep", "60"}, "create", "hook ran past specified timeout of 1.0s", []string{"prestart", "poststop"}},
		{"startContainer", []string{"sleep", "60"}, "start", "hook ran past specified timeout of 1.0s", []string{"prestart", "createRuntime", "createContainer", "poststop"}},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range cases {
			t.Run(c.kind+" "+c.does[0], func(t *testing.T) {
				b := newBundle(t, v)
				for _, kind := range hookKinds {
					if kind == c.kind {
						h := b.hook(kind, c.does...)
						if c.does[0] == "sleep" {
							h.Timeout = value(1)
						}
					}
					if kind != c.kind {
						b.hook(kind)
					}
				}
				b.Process.Args = []string{"/inside", "wait"}
				b.save()
				started := time.Now()
				create := b.husk("create", "--bundle", b.dir, b.id)
				r := create
				if c.failed == "start" {
					if create.status != 0 {
						t.Fatal(create)
					}
					r = b.husk("start", b.id)
				}
				if r.status != 1 || !strings.Contains(r.stderr, c.words) || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("%s: %v; want %q", c.failed, r, c.words)
				}
				if took := time.Since(started); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
				got := slices.DeleteFunc(b.ranKinds(), func(kind string) bool { return kind == c.kind })
				equalList(t, "hooks that have run", got, c.after)
				b.fails(1, "container does not exist", "state", b.id)
			})
		}
		t.Run("poststop", func(t *testing.T) {
			b := newBundle(t, v)
			b.hook("poststop", "exit", "4")
			b.hook("poststop", "flood")
			b.detached("wait")
			b.must("kill", b.id, "TERM")
			awaitEnd(b.state().Pid, limit)
			r := b.husk("delete", "--force", b.id)
			equal(t, "status of delete", r.status, 0)
			equal(t, "hooks that have run", len(b.ran()), 2)
			b.fails(1, "container does not exist", "state", b.id)
		})
		t.Run("missing program", func(t *testing.T) {
			b := newBundle(t, v)
			b.hook("createRuntime").Path = "/nowhere/hook"
			r := b.run()
			if r.status != 1 || !strings.Contains(r.stderr, "/nowhere/hook") {
				t.Error(r)
			}
		})
		t.Run("run", func(t *testing.T) {
			b := newBundle(t, v)
			for _, kind := range hookKinds {
				b.hook(kind)
			}
			b.facts()
			equalList(t, "hooks that have run", b.ranKinds(), hookKinds)
		})
	})
}

// The container runs when its poststart hooks do, and they may be commands on it.
func TestPoststartCommands(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, verb := range []string{"start", "run"} {
			t.Run(verb, func(t *testing.T) {
				b := newBundle(t, v)
				b.Process.Args = []string{"/inside", "wait"}
				command := func(args ...string) {
					h := b.hook("poststart")
					h.Path, h.Args, h.Timeout = env.husk, slices.Concat([]string{"husk", "--root", b.root}, args), value(5)
				}
				begin := func() (r result) {
					b.save()
					if verb == "run" {
						return b.husk("run", "--detach", "--bundle", b.dir, b.id)
					}
					b.must("create", "--bundle", b.dir, b.id)
					return b.husk("start", b.id)
				}
				command("exec", b.id, "/inside", "exit", "0")
				command("pause", b.id)
				command("resume", b.id)
				equal(t, "hooks that succeed", begin().status, 0)
				b.status("running")
				b.must("delete", "--force", b.id)

				fails := func(words string) {
					t.Helper()
					if r := begin(); r.status != 1 || !strings.Contains(r.stderr, words) {
						t.Errorf("%v; want %q", r, words)
					}
					b.fails(1, "container does not exist", "state", b.id)
				}
				command("exec", b.id, "/inside", "exit", "3")
				fails("error running poststart hook #3: exit status 3")
				b.Hooks.Poststart = b.Hooks.Poststart[:2] // it stays paused
				b.hook("poststart", "exit", "1")
				fails("error running poststart hook #2: exit status 1")
				b.Hooks.Poststart = b.Hooks.Poststart[:0]
				command("delete", "--force", b.id)
				b.hook("poststart", "exit", "1")
				fails("error running poststart hook #1: exit status 1")
			})
		}
	})
}
