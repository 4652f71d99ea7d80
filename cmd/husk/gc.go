package main

import (
	"errors"
	"fmt"
	"io/fs"
)

func (a *app) gcCommand() *command {
	dryRun := false
	return &command{
		name:    "gc",
		summary: "remove what was left behind by commands that were killed",
		usage:   "[options]",
		details: `Removes from the state directory, with their cgroups, what nobody will delete any more: containers
whose create was killed, containers of an earlier boot, and directories without a container. What
lives, what has stopped, and what other programs have put there stays.`,
		flags: []flag{
			{name: "dry-run", to: &dryRun, help: "remove nothing, print what would be removed"},
		},
		talks: true,
		run: func([]string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			list, err := runtime.CollectGarbage(dryRun)
			if errors.Is(err, fs.ErrNotExist) && a.global.root == "" {
				err = nil // nothing was ever created there
			}
			if err != nil {
				return 0, err
			}
			var out []byte
			failed := 0
			for _, l := range list {
				switch {
				case l.Err != nil:
					failed++
					a.log.warn(l.ID + ": " + l.Why + ": " + l.Err.Error())
				case l.Removed:
					out = fmt.Appendf(out, "%s: %s: removed\n", l.ID, l.Why)
				default:
					out = fmt.Appendf(out, "%s: %s: would be removed\n", l.ID, l.Why)
				}
			}
			if _, err := a.print(out); err != nil {
				return 0, err
			}
			if failed > 0 {
				return 0, fmt.Errorf("%d left-over(s) can't be removed by gc", failed)
			}
			return 0, nil
		},
	}
}
