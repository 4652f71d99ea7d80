package main

import (
	"errors"
	"fmt"

	"husk/internal/ere"
)

// program is what the command line consists of outside of the commands.
func (a *app) program() *command {
	return &command{
		summary: "Open Container Initiative runtime",
		usage:   "[global options] command [command options] [arguments]",
		details: `Creates and runs containers on Linux as the OCI runtime specification describes them. A
container comes from a bundle: a directory with a file config.json, which says all about the
container, and mostly a root file system.

To run one, in the directory of the bundle, under a name that is free on this machine:

    ` + a.name + ` run <container-id>`,
		stops: true,
		max:   -1,
		flags: []flag{
			{name: "version", short: "v", to: &a.global.version, help: "print the version"},
			{name: "V", to: &a.global.version, hidden: true, help: "print the version, as crun spells it"},
		},
	}
}

// commands are all commands in the order of --help.
func (a *app) commands() []*command {
	list := []*command{
		a.createCommand(),
		a.deleteCommand(),
		a.eventsCommand(),
		a.execCommand(),
		a.gcCommand(),
		a.killCommand(),
		a.listCommand(),
		a.mountsCommand(),
		a.pauseCommand(),
		a.planCommand(),
		a.psCommand(),
		a.resumeCommand(),
		a.runCommand(),
		a.specCommand(),
		a.startCommand(),
		a.stateCommand(),
		a.statsCommand(),
		a.waitCommand(),
		a.updateCommand(),
		a.featuresCommand(),
		a.helpCommand(),
		a.completionCommand(),
		a.manCommand(),
	}
	for _, later := range [...][2]string{
		{"checkpoint", "save the state of a running container"},
		{"restore", "start a container from a checkpoint"},
	} {
		list = append(list, laterCommand(later[0], later[1]))
	}
	return list
}

// onContainer runs a command that needs nothing but a container's id.
func (a *app) onContainer(call func(containers, string) error) func([]string) (int, error) {
	return func(args []string) (int, error) {
		runtime, err := a.containers()
		if err != nil {
			return 0, err
		}
		return 0, call(runtime, args[0])
	}
}

// each calls for the container of an id or, if regex is set, for all containers whose id matches it. Those for which it fails do not
// keep it from the others.
func (a *app) each(id string, regex bool, call func(containers, string) error) error {
	runtime, err := a.containers()
	if err != nil {
		return err
	}
	if !regex {
		return call(runtime, id)
	}
	expression, err := ere.Compile(id)
	if err != nil {
		return err
	}
	ids, err := runtime.IDs()
	if err != nil {
		return err
	}
	var failed error
	for _, id := range ids {
		if !expression.Match(id) {
			continue
		}
		switch err := call(runtime, id); {
		case err == nil:
		case failed == nil:
			failed = fmt.Errorf("%s: %w", id, err)
		default:
			failed = fmt.Errorf("%w; %s: %w", failed, id, err)
		}
	}
	return failed
}

// laterCommand is one that runc has and husk has not yet: it says so, whatever the arguments are.
func laterCommand(name, summary string) *command {
	const sentence = " is not implemented in this release of husk"
	return &command{
		name:    name,
		summary: summary + " (not implemented)",
		usage:   "[options] <container-id>",
		details: "The command " + name + sentence + ".",
		max:     -1,
		lenient: true,
		hidden:  true,
		run: func([]string) (int, error) {
			return 0, errors.New("the command " + name + sentence)
		},
	}
}

// helpCommand prints the help of the program or of one command.
func (a *app) helpCommand() *command {
	return &command{
		name:    "help",
		summary: "show the list of commands, or the help of one",
		usage:   "[command]",
		max:     1,
		run: func(args []string) (int, error) {
			if len(args) == 0 {
				return a.main([]string{"--help"}), nil
			}
			return a.main([]string{args[0], "--help"}), nil
		},
	}
}
