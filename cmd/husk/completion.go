package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// completionCommand prints what a shell needs to complete command lines of husk.
func (a *app) completionCommand() *command {
	writers := map[string]func(io.Writer, []flag, []*command){"bash": writeBash, "fish": writeFish, "zsh": writeZsh}
	return &command{
		name:    "completion",
		summary: "print completions for a shell",
		usage:   "bash|fish|zsh",
		details: `Prints a script that completes commands, options and the ids of containers. For the running bash:

    source <(` + a.name + ` completion bash)`,
		min: 1, max: 1,
		run: func(args []string) (int, error) {
			write := writers[args[0]]
			if write == nil {
				return 0, fmt.Errorf("no completions for the shell %q: want bash, fish or zsh", args[0])
			}
			var script strings.Builder
			write(&script, slices.Concat(a.options, a.help, a.program().flags), a.shownCommands())
			return a.print([]byte(script.String()))
		},
	}
}

// shownCommands are the commands that --help lists.
func (a *app) shownCommands() []*command {
	return slices.DeleteFunc(a.commands(), func(c *command) bool { return c.hidden })
}

// takesContainers tells which argument is the id of a container that exists, -1 for none, and whether all from there on are.
func (c *command) takesContainers() (at int, all bool) {
	if c.name == "create" || c.name == "run" {
		return -1, false
	}
	words := strings.Fields(strings.TrimPrefix(c.usage, "[options] "))
	at = slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "container-id") })
	return at, at >= 0 && c.max < 0 && !c.stops
}

// choices are the words that the first argument can be, if they are few.
func (c *command) choices(commands []*command) []string {
	first, _, _ := strings.Cut(c.usage, " ")
	switch {
	case c.usage == "[command]":
		return names(commands)
	case strings.Contains(first, "|"):
		return strings.Split(first, "|")
	}
	return nil
}

func names(commands []*command) (list []string) {
	for _, c := range commands {
		list = append(list, c.name)
	}
	return list
}

// spellings are all ways to write those of the flags that are shown and that match.
func spellings(flags []flag, match func(*flag) bool) (list []string) {
	for i := range flags {
		if f := &flags[i]; !f.hidden && match(f) {
			list = append(list, "--"+f.name)
			if f.short != "" {
				list = append(list, "-"+f.short)
			}
		}
	}
	return list
}

func anyFlag(*flag) bool      { return true }
func takesValue(f *flag) bool { return !f.isSwitch() }

// writeBash prints completions for bash. Where they know nothing, bash completes names of files.
func writeBash(w io.Writer, globals []flag, commands []*command) {
	fmt.Fprintf(w, `# bash completion for husk

_husk() {
	local current=${COMP_WORDS[COMP_CWORD]} command='' arguments=0 ids='' words='' root=() option i
	local options=%q values=%q
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		option=${COMP_WORDS[i]}
		case $option in
		-?*)
			[[ " $values " == *" $option "* ]] || continue
			((++i))
			[[ ${COMP_WORDS[i]} != = ]] || ((++i))
			((i < COMP_CWORD)) || return 0 # the word is the value
			[[ $option != --root ]] || root=(--root "${COMP_WORDS[i]}")
			continue
			;;
		esac
		if [[ $command ]]; then
			((++arguments))
			continue
		fi
		command=${COMP_WORDS[i]}
		case $command in
`, strings.Join(spellings(globals, anyFlag), " "), strings.Join(spellings(globals, takesValue), " "))
	for _, c := range commands {
		writeBashCommand(w, c, commands)
	}
	fmt.Fprintf(w, `		esac
	done
	if [[ $current == -* ]]; then
		words=$options
	elif [[ ! $command ]]; then
		words=%q
	elif [[ $ids == all || $ids == "$arguments" ]]; then
		words=$("${COMP_WORDS[0]}" "${root[@]}" list --quiet 2>/dev/null)
	elif ((arguments > 0)); then
		words=''
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o default -F _husk husk
`, strings.Join(names(commands), " "))
}

// writeBashCommand prints what there is to complete behind a command.
func writeBashCommand(w io.Writer, c *command, commands []*command) {
	fmt.Fprintf(w, "\t\t%s)\n", c.name)
	if list := spellings(c.flags, anyFlag); list != nil {
		fmt.Fprintf(w, "\t\t\toptions+=%q\n", " "+strings.Join(list, " "))
	}
	if list := spellings(c.flags, takesValue); list != nil {
		fmt.Fprintf(w, "\t\t\tvalues+=%q\n", " "+strings.Join(list, " "))
	}
	switch at, all := c.takesContainers(); {
	case all:
		fmt.Fprint(w, "\t\t\tids=all\n")
	case at >= 0:
		fmt.Fprintf(w, "\t\t\tids=%d\n", at)
	}
	if list := c.choices(commands); list != nil {
		fmt.Fprintf(w, "\t\t\twords=%q\n", strings.Join(list, " "))
	}
	fmt.Fprint(w, "\t\t\t;;\n")
}

// writeZsh prints completions for zsh.
func writeZsh(w io.Writer, globals []flag, commands []*command) {
	fmt.Fprint(w, `#compdef husk

_husk_containers() {
	local -a ids
	ids=(${(f)"$(command husk $root list --quiet 2>/dev/null)"})
	_describe -t containers container ids
}

_husk() {
	local curcontext=$curcontext state line
	local -A opt_args
	local -a globals commands root
	globals=(
`)
	writeZshFlags(w, "\t\t", globals)
	fmt.Fprint(w, "\t)\n\tcommands=(\n")
	for _, c := range commands {
		fmt.Fprintf(w, "\t\t%s\n", quoted(c.name+":"+c.summary))
	}
	fmt.Fprint(w, `	)
	_arguments -C $globals '1:command:->command' '*::argument:->argument'
	[[ -z $opt_args[--root] ]] || root=(--root "$opt_args[--root]")
	case $state in
	command) _describe -t commands command commands ;;
	argument)
		case $words[1] in
`)
	for _, c := range commands {
		writeZshCommand(w, c, commands)
	}
	fmt.Fprint(w, `		esac
		;;
	esac
}

if [[ $funcstack[1] == _husk ]]; then
	_husk "$@"
else
	compdef _husk husk
fi
`)
}

// writeZshCommand prints what there is to complete behind a command.
func writeZshCommand(w io.Writer, c *command, commands []*command) {
	fmt.Fprintf(w, "\t\t%s)\n\t\t\t_arguments $globals \\\n", c.name)
	writeZshFlags(w, "\t\t\t\t", c.flags, ` \`)
	at, all := c.takesContainers()
	words := c.choices(commands)
	if words != nil {
		fmt.Fprintf(w, "\t\t\t\t'1:argument:(%s)'", strings.Join(words, " "))
	}
	switch {
	case all:
		fmt.Fprint(w, "\t\t\t\t'*:container:_husk_containers'\n")
	case at >= 0:
		fmt.Fprintf(w, "\t\t\t\t'%d:container:_husk_containers' '*:argument:_files'\n", at+1)
	case words != nil:
		fmt.Fprintln(w)
	default:
		fmt.Fprint(w, "\t\t\t\t'*:argument:_files'\n")
	}
	fmt.Fprint(w, "\t\t\t;;\n")
}

// writeZshFlags prints each spelling of the flags as a specification for _arguments, which knows brackets as syntax.
func writeZshFlags(w io.Writer, margin string, flags []flag, end ...string) {
	plain := strings.NewReplacer("[", "(", "]", ")")
	for i := range flags {
		f := &flags[i]
		for _, spelling := range spellings(flags[i:i+1], anyFlag) {
			value := ""
			if takesValue(f) {
				value = ":value:_files"
				if strings.HasPrefix(spelling, "--") {
					spelling += "="
				}
			}
			if strings.Contains(f.names(), "[") { // may be repeated
				spelling = "*" + spelling
			}
			fmt.Fprintf(w, "%s%s%s\n", margin, quoted(spelling+"["+plain.Replace(f.help)+"]"+value), strings.Join(end, ""))
		}
	}
}

// writeFish prints completions for fish.
func writeFish(w io.Writer, globals []flag, commands []*command) {
	fmt.Fprintf(w, `# fish completion for husk

# The command of the command line, if it has one yet.
function __husk_command
    set -l value 0
    for word in (commandline -opc)[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case %s
                set value 1
            case '-*'
            case '*'
                echo $word
                return
        end
    end
end

function __husk_containers
    set -l root (string match --regex --groups-only -- '--root[= ]+(\S+)' (commandline -pc))
    if test -n "$root"
        husk --root $root list --quiet 2>/dev/null
    else
        husk list --quiet 2>/dev/null
    end
end

`, strings.Join(spellings(globals, takesValue), " "))
	writeFishFlags(w, "", globals)
	for _, c := range commands {
		fmt.Fprintf(w, "complete -c husk -n 'not count (__husk_command) >/dev/null' -f -a %s -d %s\n", c.name, fishQuoted(c.summary))
	}
	for _, c := range commands {
		condition := fmt.Sprintf("-n 'contains %s (__husk_command)' ", c.name)
		writeFishFlags(w, condition, c.flags)
		words := c.choices(commands)
		if at, _ := c.takesContainers(); at >= 0 {
			words = append(words, "(__husk_containers)")
		}
		if words != nil {
			fmt.Fprintf(w, "complete -c husk %s-f -a '%s'\n", condition, strings.Join(words, " "))
		}
	}
}

func writeFishFlags(w io.Writer, condition string, flags []flag) {
	for i := range flags {
		f := &flags[i]
		if f.hidden {
			continue
		}
		spelling := "-l " + f.name
		if f.short != "" {
			spelling += " -s " + f.short
		}
		if takesValue(f) {
			spelling += " -r"
		}
		fmt.Fprintf(w, "complete -c husk %s%s -d %s\n", condition, spelling, fishQuoted(f.help))
	}
}

// quoted is a word for bash and zsh that stands for exactly the text.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fishQuoted is quoted for fish, where a backslash escapes within single quotes.
func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
