package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"husk/libct"
)

// A command is one word of the command line as data: it is parsed by it, and --help is printed from it.
type command struct {
	name    string
	summary string // half a line for lists
	usage   string // what follows the name and the options, as "<container-id> [signal]"
	details string // paragraphs for --help, without a final newline
	flags   []flag

	// min and max bound the number of arguments; max < 0 is no bound.
	min, max int
	// stops is true if options end at the first argument, because the rest belongs to another program.
	stops bool
	// lenient takes unknown options for arguments.
	lenient bool
	// hidden keeps the command out of the list of commands.
	hidden bool
	// talks allows warnings on standard error. Other commands are silent there unless they fail: callers parse their
	// standard output and error as one text.
	talks bool

	// run does the work with the arguments. The status is that of a process it stood for, else 0; failed is the status after
	// an error, with 0 for the usual 1.
	run    func(args []string) (status int, err error)
	failed int
}

// A flag is one option. Its destination says both of which kind it is and, before parsing, what the default is.
type flag struct {
	name  string
	short string // another name, "" for none
	// to is where the value goes:
	//
	//	*bool, **bool    an option without a value, or with =true or =false; the latter stays nil unless it is given
	//	*string          the last one counts
	//	*int             0 or more
	//	*time.Duration   more than 0, a bare number is seconds
	//	**int64, **uint64, **uint16    a number; nil unless it is given, and not empty
	//	*[]string        may be repeated; a value is never split
	//	*[]uint32        ids, may be repeated
	//	func(string) error
	to     any
	help   string
	hidden bool
}

// parse stores the options among args, which are those of the command and of the given tables, and returns the other words.
//
// The rules are those that callers know from runc: an option has one or two dashes, its value is the next word or follows an
// equals sign; short options are not bundled; options may follow arguments unless the command stops at the first; "--" ends
// the options.
func (c *command) parse(args []string, tables ...[]flag) ([]string, error) {
	var words []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return append(words, args[i+1:]...), nil
		case c.stops && len(words) > 0:
			return append(words, args[i:]...), nil
		case !isOption(arg):
			words = append(words, arg)
			continue
		}
		name, value, inline := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := c.find(name, tables)
		switch {
		case f == nil && c.lenient:
			words = append(words, arg)
			continue
		case f == nil:
			return nil, errors.New("flag provided but not defined: -" + name)
		case f.isSwitch():
			if value == "" {
				value = "true"
			}
		case !inline:
			if i++; i == len(args) {
				return nil, errors.New("flag needs an argument: " + arg)
			}
			value = args[i]
		}
		if value == "" && f.isLimit() {
			continue
		}
		if err := f.set(value); err != nil {
			return nil, fmt.Errorf("invalid value %q for flag -%s: %w", value, name, err)
		}
	}
	return words, nil
}

// isOption reports whether a word is an option, and not an argument such as "-" (a stream) or "-9" (a number).
func isOption(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	second := word[1] | 0x20 // lower case
	return second >= 'a' && second <= 'z' || word[1] == '-'
}

// find looks a name up among the flags of the command, then in the tables.
func (c *command) find(name string, tables [][]flag) *flag {
	if name == "" { // the short name of many
		return nil
	}
	named := func(f flag) bool { return f.name == name || f.short == name }
	if i := slices.IndexFunc(c.flags, named); i >= 0 {
		return &c.flags[i]
	}
	for _, table := range tables {
		if i := slices.IndexFunc(table, named); i >= 0 {
			return &table[i]
		}
	}
	return nil
}

// isSwitch reports whether the flag is complete without a value.
func (f *flag) isSwitch() bool {
	switch f.to.(type) {
	case *bool, **bool:
		return true
	}
	return false
}

// isLimit reports whether an empty value is as good as none: runc takes most limits as strings, and scripts hand on variables that
// may be empty.
func (f *flag) isLimit() bool {
	switch f.to.(type) {
	case **int64, **uint64, **uint16:
		return true
	}
	return false
}

// set stores a value. The error completes the sentence "invalid value ...: ".
func (f *flag) set(value string) error {
	switch to := f.to.(type) {
	case *string:
		*to = value
	case *[]string:
		*to = append(*to, value)
	case *bool:
		on, err := parseBool(value)
		*to = on
		return err
	case **bool:
		on, err := parseBool(value)
		*to = &on
		return err
	case *int:
		n, err := parseUint(value, 31)
		*to = int(n)
		return err
	case *time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			d, err = time.ParseDuration(value + "s")
		}
		if err != nil {
			return errors.New("want a time as 500ms, 5s or 1m30s")
		}
		if d <= 0 {
			return errors.New("duration interval must be greater than 0") // runc's words
		}
		*to = d
	case **int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return errors.New("want a whole number")
		}
		*to = &n
	case **uint64:
		n, err := parseUint(value, 64)
		*to = &n
		return err
	case **uint16:
		n, err := parseUint(value, 16)
		small := uint16(n)
		*to = &small
		return err
	case *[]uint32:
		id, err := libct.ParseID(value)
		if err != nil {
			return err
		}
		*to = append(*to, id)
	case func(string) error:
		return to(value)
	default:
		panic("flag " + f.name + " has a destination of an unknown kind")
	}
	return nil
}

func parseUint(value string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, bits)
	if err != nil {
		return 0, errors.New("want a whole number, 0 or more")
	}
	return n, nil
}

func parseBool(value string) (bool, error) {
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return on, nil
}

// container is the id among the arguments, "" for none.
func (c *command) container(args []string) string {
	if len(args) == 0 || !strings.Contains(c.usage, "container-id") {
		return ""
	}
	return args[0]
}

// checkCount complains, in words known from runc, if there are too few or too many arguments.
func (c *command) checkCount(program string, args []string) error {
	var bound string
	n := c.min
	switch {
	case len(args) >= c.min && (c.max < 0 || len(args) <= c.max):
		return nil
	case c.min == c.max:
		bound = "exactly"
	case len(args) < c.min:
		bound = "a minimum of"
	default:
		bound, n = "a maximum of", c.max
	}
	return fmt.Errorf("%s: %q requires %s %d argument(s)", program, c.name, bound, n)
}
