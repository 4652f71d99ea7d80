package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/libct"
)

// containers is what the commands need of a [libct.Runtime].
type containers interface {
	Create(libct.CreateOptions) error
	Run(libct.RunOptions) (exit int, err error)
	Start(id string) error
	Exec(libct.ExecOptions) (exit int, err error)
	State(id string) (*libct.ContainerState, error)
	List() ([]libct.ContainerState, []error, error)
	Kill(id string, sig unix.Signal, all bool) error
	Delete(id string, force bool) error
	Pause(id string) error
	Resume(id string) error
	Wait(id string) (*libct.End, error)
	Pids(id string) ([]int, error)
	Stats(id string) (*libct.Stats, error)
	Samples(o libct.Samples, tell func([]libct.Sample) error) error
	IDs() ([]string, error)
	Lifecycle(ids []string, tell func(*libct.Change) error) error
	Events(id string, interval time.Duration, tell func(*libct.Event) error) error
	Update(libct.UpdateOptions) error
	AddMounts(id string, mounts []specs.Mount) error
	RemoveMounts(id string, mounts []specs.Mount) error
	Plan(bundle string) (string, error)
	CollectGarbage(dryRun bool) ([]libct.Leftover, error)
}

// An app is one call of the program.
type app struct {
	name           string // as which the program was called
	stdout, stderr io.Writer
	open           func(libct.Options) (containers, error)
	log            *logger
	global         globals
	options, help  []flag // the options of all commands; --help is shown with each command's own
}

// globals are the values of the options that every command has.
type globals struct {
	debug         bool
	log           string
	logFormat     string
	logLevel      string
	root          string // "" if not given
	systemdCgroup bool
	noCgroup      bool
	rootless      string
	help          bool
	version       bool
}

// Exit statuses. Those of the caller's own process come on top for a run or exec in the foreground.
const (
	exitFailure   = 1
	exitNoCommand = 3   // what runc's command line library chose
	exitExec      = 255 // exec could not start the process; lower numbers are statuses of the process
)

// globalFlags are the options that may stand before and behind the command.
func (a *app) globalFlags() []flag {
	g := &a.global
	g.logFormat, g.logLevel, g.rootless = "text", "warning", "auto"
	return []flag{
		{name: "debug", to: &g.debug, help: "log what has been done, and after how many milliseconds"},
		{name: "log", to: &g.log, help: "file to append the log to, or journald:TAG, or syslog:TAG; without it, errors go to standard error"},
		{name: "log-format", to: &g.logFormat, help: "format of the log: text or json"},
		{name: "log-level", to: &g.logLevel, help: "what is logged: error, warning or debug"},
		{
			name: "root", to: &g.root,
			help: `directory for the state of containers, on a tmpfs (default: "/run/husk", or "$XDG_RUNTIME_DIR/husk" without root)`,
		},
		{name: "systemd-cgroup", to: &g.systemdCgroup, help: `let systemd make cgroups; cgroupsPath has the form "slice:prefix:name"`},
		{name: "cgroup-manager", to: a.setCgroupManager, help: `who makes cgroups: cgroupfs (husk itself), systemd, or disabled (nobody: no limits, no pause)`},
		{name: "rootless", to: a.setRootless, help: `tolerate cgroups that may not be changed: true, false, or auto (default: "auto")`},
	}
}

// makeFlags makes the options that all commands have.
func (a *app) makeFlags() {
	a.options = a.globalFlags()
	a.help = []flag{{name: "help", short: "h", to: &a.global.help, help: "show help"}}
}

// untouched is the program before its options were read. What is told of them holds for all calls, so it must not show the values
// of this one as defaults.
func (a *app) untouched() *app {
	u := &app{name: a.name}
	u.makeFlags()
	return u
}

// main runs one command and returns the exit status.
func (a *app) main(args []string) int {
	a.log = &logger{stderr: a.stderr}
	a.makeFlags()
	program := a.program()
	words, err := program.parse(args, a.options, a.help)
	switch {
	case err != nil:
		a.log.open(&a.global, a.name, "") // as far as the options were understood; there is an error to report anyway
		return a.misuse(err, func() { a.programHelp(program) })
	case a.global.version:
		a.printVersion()
		return 0
	case a.global.help || len(words) == 0:
		a.programHelp(program)
		return 0
	}
	commands := a.commands()
	i := slices.IndexFunc(commands, func(c *command) bool { return c.name == words[0] })
	if i < 0 {
		if err := a.log.open(&a.global, a.name, ""); err != nil {
			return a.fail(err, exitFailure)
		}
		return a.fail(fmt.Errorf("No help topic for '%s'", words[0]), exitNoCommand)
	}
	return a.command(commands[i], words[1:])
}

// command parses the rest of the command line, opens the log, and runs the command.
func (a *app) command(c *command, args []string) int {
	args, misuse := c.parse(args, a.options, a.help)
	if misuse == nil && !a.global.help {
		misuse = c.checkCount(a.name, args)
	}
	a.log.talks = c.talks
	if err := a.log.open(&a.global, a.name, c.container(args)); err != nil {
		return a.fail(err, exitFailure)
	}
	showHelp := func() { a.commandHelp(c.name) }
	switch {
	case misuse != nil:
		return a.misuse(misuse, showHelp)
	case a.global.help:
		showHelp()
		return 0
	}
	a.log.debug(fmt.Sprintf("husk %s: %s %q", version, c.name, args))
	status, err := c.run(args)
	if err != nil {
		return a.fail(err, cmp.Or(c.failed, exitFailure))
	}
	a.log.debug(fmt.Sprintf("%s: exit status %d", c.name, status))
	a.log.close()
	return status
}

// misuse reports a command line that is wrong, with help on standard output.
func (a *app) misuse(err error, help func()) int {
	fmt.Fprintf(a.stdout, "Incorrect Usage: %v\n\n", err)
	help()
	return a.fail(err, exitFailure)
}

// print writes the answer of a command. An answer that did not arrive whole is a failure.
func (a *app) print(answer []byte) (int, error) {
	if _, err := a.stdout.Write(answer); err != nil {
		return 0, fmt.Errorf("write the answer: %w", err)
	}
	return 0, nil
}

// fail reports the error that ends the program.
func (a *app) fail(err error, status int) int {
	a.log.fatal(err)
	return status
}

func (a *app) programHelp(program *command) {
	u := a.untouched()
	writeHelp(a.stdout, u.name, program, nil, slices.Concat(u.options, u.help, program.flags), u.commands())
}

func (a *app) commandHelp(name string) {
	u := a.untouched()
	commands := u.commands()
	c := commands[slices.IndexFunc(commands, func(c *command) bool { return c.name == name })]
	writeHelp(a.stdout, u.name+" "+c.name, c, append(c.flags, u.help...), u.options, nil)
}

// containers is what the commands work on, as the options say. Nothing is opened yet.
func (a *app) containers() (containers, error) { return a.open(a.shared()) }

// managed is containers for a command that starts a program of which the service manager wants to hear.
func (a *app) managed() (containers, error) {
	o := a.shared()
	o.NotifySocket, o.WatchdogUsec = os.Getenv("NOTIFY_SOCKET"), watchdog()
	return a.open(o)
}

// shared are the options that all calls of the library have.
func (a *app) shared() libct.Options {
	o := libct.Options{
		Root:          a.global.root,
		SystemdCgroup: a.global.systemdCgroup,
		NoCgroup:      a.global.noCgroup && !a.global.systemdCgroup,
		Rootless:      a.global.rootless,
		Warn:          a.log.warn,
	}
	if a.log.verbose {
		o.Debug = a.log.debug
	}
	return o
}

// setCgroupManager takes the value of --cgroup-manager, which crun has beside --systemd-cgroup: the later of the two counts.
func (a *app) setCgroupManager(value string) error {
	switch value {
	case "cgroupfs", "systemd", "disabled":
		a.global.systemdCgroup, a.global.noCgroup = value == "systemd", value == "disabled"
		return nil
	}
	return errors.New("want cgroupfs, systemd or disabled")
}

// setRootless takes the value of --rootless.
func (a *app) setRootless(value string) error {
	value = strings.ToLower(value)
	if value != "" && value != "auto" {
		on, err := parseBool(value)
		if err != nil {
			return errors.New("want true, false or auto")
		}
		value = strconv.FormatBool(on)
	}
	a.global.rootless = value
	return nil
}
