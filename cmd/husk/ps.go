package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
)

func (a *app) psCommand() *command {
	format := "table"
	return &command{
		name:    "ps",
		summary: "list the processes of a container",
		usage:   "[options] <container-id> [ps options]",
		details: `Lists the processes of a container. As a table, it is what the program ps prints with the given
options, -ef if there are none, less the lines of other processes; there must be a column PID.`,
		flags: []flag{
			{name: "format", short: "f", to: &format, help: "table, or json for a list of process ids"},
		},
		min: 1, max: -1,
		stops: true,
		run: func(args []string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			pids, err := runtime.Pids(args[0])
			if err != nil {
				return 0, err
			}
			switch format {
			case "table":
			case "json":
				return a.print(pidList(pids))
			default:
				return 0, errFormat
			}
			table, err := psTable(args[1:], pids)
			if err != nil {
				return 0, err
			}
			return a.print(table)
		},
	}
}

func pidList(pids []int) []byte {
	out := []byte{'['}
	for i, pid := range pids {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(pid), 10)
	}
	return append(out, "]\n"...)
}

// psTable runs ps and keeps the lines of the given processes.
func psTable(options []string, pids []int) ([]byte, error) {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	output, err := exec.Command("ps", options...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run ps: %w: %s", err, bytes.TrimSpace(output))
	}
	return filterPs(output, pids)
}

// filterPs keeps the heading and the lines whose column PID holds one of the given numbers.
func filterPs(output []byte, pids []int) ([]byte, error) {
	heading, body, _ := bytes.Cut(output, []byte("\n"))
	column := slices.IndexFunc(bytes.Fields(heading), func(name []byte) bool { return string(name) == "PID" })
	if column < 0 {
		return nil, errors.New("couldn't find PID field in ps output")
	}
	ours := make(map[int]bool, len(pids))
	for _, pid := range pids {
		ours[pid] = true
	}
	out := append(slices.Clone(heading), '\n')
	for line := range bytes.Lines(body) {
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) <= column {
			return nil, fmt.Errorf("read the output of ps: no PID in line %q", line)
		}
		pid, err := strconv.Atoi(string(fields[column]))
		if err != nil {
			return nil, fmt.Errorf("read the output of ps: %q in column PID", fields[column])
		}
		if ours[pid] {
			out = append(out, line...)
		}
	}
	return out, nil
}
