package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// writeHelp prints what is known of a command, in the layout of runc. The path is how the command is called, own and
// inherited are its options, and commands are those below it, nil if it has none.
func writeHelp(w io.Writer, path string, c *command, own, inherited []flag, commands []*command) {
	fmt.Fprintf(w, "NAME:\n   %s - %s\n\nUSAGE:\n   %s", path, c.summary, path)
	if c.usage != "" {
		fmt.Fprintf(w, " %s", c.usage)
	}
	fmt.Fprintln(w)
	if c.details != "" {
		fmt.Fprintf(w, "\nDESCRIPTION:\n%s\n", indent(c.details))
	}
	var rows [][2]string
	for _, each := range commands {
		if !each.hidden {
			rows = append(rows, [2]string{each.name, each.summary})
		}
	}
	writeRows(w, "COMMANDS", rows)
	writeRows(w, "OPTIONS", flagRows(own))
	writeRows(w, "GLOBAL OPTIONS", flagRows(inherited))
}

// writeRows prints a heading and two columns below it, or nothing.
func writeRows(w io.Writer, heading string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	fmt.Fprintf(w, "\n%s:\n", heading)
	for _, row := range rows {
		fmt.Fprintf(w, "   %-*s  %s\n", width, row[0], row[1])
	}
}

func flagRows(flags []flag) [][2]string {
	var rows [][2]string
	for i := range flags {
		if f := &flags[i]; !f.hidden {
			rows = append(rows, [2]string{f.names(), f.help + f.fallback()})
		}
	}
	return rows
}

// names are all spellings of the flag with the kind of its value, as "--bundle string, -b string".
func (f *flag) names() string {
	value := ""
	switch f.to.(type) {
	case *bool, **bool:
	case *int, *[]uint32, **int64, **uint64, **uint16:
		value = " int"
	case *time.Duration:
		value = " duration"
	default:
		value = " string"
	}
	text := "--" + f.name + value
	if f.short != "" {
		text += ", -" + f.short + value
	}
	switch f.to.(type) {
	case *[]string, *[]uint32:
		text += " [ " + text + " ]"
	}
	return text
}

// fallback says what counts if the flag is not given, if that is worth saying.
func (f *flag) fallback() string {
	switch to := f.to.(type) {
	case *int:
		return " (default: " + strconv.Itoa(*to) + ")"
	case *time.Duration:
		return " (default: " + to.String() + ")"
	case *string:
		if *to != "" {
			return " (default: " + strconv.Quote(*to) + ")"
		}
	}
	return ""
}

// indent puts three spaces before every line that is not empty.
func indent(text string) string {
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		if line != "" {
			out.WriteString("   " + line)
		}
	}
	return out.String()
}
