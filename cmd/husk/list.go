package main

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"husk/libct"
)

var errFormat = errors.New("invalid format option")

func (a *app) listCommand() *command {
	format, quiet := "table", false
	return &command{
		name:    "list",
		summary: "list containers",
		usage:   "[options]",
		details: "Lists the containers of the state directory, which the global option --root names.",
		flags: []flag{
			{name: "format", short: "f", to: &format, help: "table or json"},
			{name: "quiet", short: "q", to: &quiet, help: "print ids only"},
		},
		talks: true,
		run: func([]string) (int, error) {
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			list, warnings, err := runtime.List()
			if errors.Is(err, fs.ErrNotExist) && a.global.root == "" {
				err = nil // nothing was ever created there
			}
			if err != nil {
				return 0, err
			}
			for _, warning := range warnings {
				a.log.warn(warning.Error())
			}
			switch {
			case quiet:
				return a.print(idList(list))
			case format == "table":
				return a.print(stateTable(list))
			case format == "json":
				return a.print(stateList(list))
			}
			return 0, errFormat
		},
	}
}

func idList(list []libct.ContainerState) (out []byte) {
	for i := range list {
		out = append(append(out, list[i].ID...), '\n')
	}
	return out
}

func stateTable(list []libct.ContainerState) []byte {
	rows := [][]string{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}}
	for i := range list {
		s := &list[i]
		rows = append(rows, []string{
			s.ID, strconv.Itoa(s.Pid), string(s.Status), s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner,
		})
	}
	return columns(rows)
}

// columns lays out rows of equal length: a column is at least 12 wide and three wider than its longest cell.
func columns(rows [][]string) (out []byte) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell)+3, 12)
		}
	}
	for _, row := range rows {
		last := len(row) - 1
		for i, cell := range row[:last] {
			out = append(out, cell...)
			out = append(out, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))...)
		}
		out = append(append(out, row[last]...), '\n')
	}
	return out
}

// stateList is one line of JSON, as the clients of runc read it.
func stateList(list []libct.ContainerState) []byte {
	out := []byte{'['}
	for i := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = list[i].AppendCompactJSON(out)
	}
	return append(out, "]\n"...)
}
