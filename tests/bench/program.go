package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/specconv"
)

// makeBundles writes a bundle whose program is /bin/true, and one beside it ("-long") whose program stays. All runtimes get
// the same ones.
func makeBundles(o *options, dir string, filtered bool) error {
	if err := makeBundle(o, dir, filtered, "/bin/true"); err != nil {
		return err
	}
	return makeBundle(o, dir+"-long", filtered, "/bin/sleep", "1000000")
}

func makeBundle(o *options, dir string, filtered bool, args ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	spec := specconv.Example()
	spec.Version = "1.0.2" // what the older runtimes take
	spec.Root.Path = filepath.Join(o.work, "rootfs")
	spec.Process.Terminal = false
	spec.Process.Args = args
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	if filtered {
		profile, err := moby.GetDefaultProfile(spec)
		if err != nil {
			return fmt.Errorf("make Docker's profile: %w", err)
		}
		spec.Linux.Seccomp = profile
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

// program is a runtime, used with the command line that engines use.
type program struct {
	name, path, root, bundle string
	serial                   int
	id                       string // of the current container
}

// next begins a new container.
func (p *program) next() {
	p.serial++
	p.id = fmt.Sprintf("bench-%s-%d-%d", p.name, os.Getpid(), p.serial)
}

// command runs one command of the runtime and returns how long it took.
func (p *program) command(args ...string) (time.Duration, error) {
	return timed(p.path, append([]string{"--root", p.root}, args...)...)
}

func (p *program) pidFile() string { return filepath.Join(p.root, p.id+".pid") }

func (p *program) create() (time.Duration, error) {
	return p.command("create", "--bundle", p.bundle, "--pid-file", p.pidFile(), p.id)
}

// wait returns when the container's process has ended.
func (p *program) wait() error {
	text, err := os.ReadFile(p.pidFile())
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	for {
		_, err = unix.Wait4(pid, nil, 0, nil)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	return os.Remove(p.pidFile())
}

// trial runs one container, so that a runtime that can't do it here is told apart.
func (p *program) trial() error {
	if err := os.MkdirAll(p.root, 0o700); err != nil {
		return err
	}
	p.next()
	_, err := p.command("run", "--bundle", p.bundle, p.id)
	if err != nil {
		p.command("delete", "--force", p.id)
	}
	return err
}

// timed runs a command with /dev/null as its standard input and a file for the rest: a pipe would stay open for as long as
// the container's process lives.
func timed(name string, args ...string) (time.Duration, error) {
	output, err := os.CreateTemp("", "bench")
	if err != nil {
		return 0, err
	}
	defer output.Close()
	os.Remove(output.Name())
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = output, output
	started := time.Now()
	err = cmd.Run()
	took := time.Since(started)
	if err != nil {
		text := make([]byte, 600)
		n, _ := output.ReadAt(text, 0)
		return 0, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(string(text[:n])))
	}
	return took, nil
}
