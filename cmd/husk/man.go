package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// manCommand prints the manual page, which says what --help of all commands says.
func (a *app) manCommand() *command {
	return &command{
		name:    "man",
		summary: "print the manual page, husk(8)",
		details: `Prints the manual page as man(7) describes its form. To read it where it is not installed:

    ` + a.name + ` man | man -l -`,
		run: func([]string) (int, error) {
			var page strings.Builder
			u := a.untouched()
			writeMan(&page, u.program(), slices.Concat(u.options, u.help, u.program().flags), u.shownCommands())
			return a.print([]byte(page.String()))
		},
	}
}

// writeMan prints the manual page of the program.
func writeMan(w io.Writer, program *command, globals []flag, commands []*command) {
	fmt.Fprintf(w, ".TH HUSK 8 \"\" \"husk %s\" \"System Administration\"\n.SH NAME\nhusk \\- %s\n", roff(version), roff(program.summary))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B husk\n%s\n.SH DESCRIPTION\n", roff(program.usage))
	writeManText(w, program.details)
	fmt.Fprint(w, ".PP\nGlobal options may also follow the command. An option has one or two dashes; its value is the next word,\n"+
		"or follows an equals sign.\n.SH \"GLOBAL OPTIONS\"\n")
	writeManFlags(w, globals)
	fmt.Fprint(w, ".SH COMMANDS\n")
	for _, c := range commands {
		fmt.Fprintf(w, ".SS %s\n", c.name)
		for line := range strings.Lines("husk " + c.name + " " + c.usage) {
			fmt.Fprintf(w, ".br\n%s\n", roff(strings.TrimSpace(line)))
		}
		fmt.Fprintf(w, ".PP\n%s.\n", roff(strings.ToUpper(c.summary[:1])+c.summary[1:]))
		writeManText(w, c.details)
		writeManFlags(w, c.flags)
	}
	fmt.Fprintf(w, `.SH "EXIT STATUS"
0 on success, 1 on failure, %d if there is no such command. A
.B run
or
.B exec
in the foreground ends with the exit status of the process, and
.B exec
with %d if it could not start it.
.SH "SEE ALSO"
.UR https://github.com/opencontainers/runtime\-spec
OCI runtime specification
.UE
`, exitNoCommand, exitExec)
}

// writeManText prints paragraphs. Indented ones are examples, whose lines stay as they are.
func writeManText(w io.Writer, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		before, after := ".PP\n", ""
		if strings.HasPrefix(paragraph, "    ") {
			before, after = ".PP\n.RS 4\n.EX\n", ".EE\n.RE\n"
		} else if paragraph == "" {
			continue
		}
		fmt.Fprint(w, before)
		for line := range strings.SplitSeq(paragraph, "\n") {
			fmt.Fprintf(w, "%s\n", roff(strings.TrimPrefix(line, "    ")))
		}
		fmt.Fprint(w, after)
	}
}

func writeManFlags(w io.Writer, flags []flag) {
	for _, row := range flagRows(flags) {
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(row[0]), roff(row[1]))
	}
}

// roff is a line of text without meaning to the formatter. All dashes stay what they are, so that commands can be copied.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`, `"`, `\(dq`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
