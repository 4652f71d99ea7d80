package main

import (
	"slices"
	"strings"
	"testing"
)

// parsed is where a command for tests stores its options.
type parsed struct {
	detach, all bool
	privs       *bool
	bundle      string
	fds         int
	env         []string
	gids        []uint32
	upper       string
	debug       bool
}

func (p *parsed) command() (*command, []flag) {
	c := &command{
		name: "test",
		max:  -1,
		flags: []flag{
			{name: "detach", short: "d", to: &p.detach},
			{name: "all", to: &p.all},
			{name: "no-new-privs", to: &p.privs},
			{name: "bundle", short: "b", to: &p.bundle},
			{name: "preserve-fds", to: &p.fds},
			{name: "env", short: "e", to: &p.env},
			{name: "additional-gids", short: "g", to: &p.gids},
			{name: "upper", to: func(value string) error { p.upper = strings.ToUpper(value); return nil }},
		},
	}
	return c, []flag{{name: "debug", to: &p.debug}}
}

func TestParse(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		args  string // separated by spaces; "''" stands for an empty word
		stops bool
		want  parsed
		words string
		err   string
	}{
		{args: ""},
		{args: "id", words: "id"},
		{args: "--bundle b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "-bundle b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "--b b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "-b b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "--bundle=b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "-b=b id", want: parsed{bundle: "b"}, words: "id"},
		{args: "-b= id", words: "id"},
		{args: "-b '' id", words: "id"},
		{args: "--bundle=a=b", want: parsed{bundle: "a=b"}},
		{args: "--bundle a --bundle b", want: parsed{bundle: "b"}},
		{args: "--bundle --detach", want: parsed{bundle: "--detach"}},
		{args: "--bundle --", want: parsed{bundle: "--"}},
		{args: "id --bundle b", want: parsed{bundle: "b"}, words: "id"},
		{args: "id -d more", want: parsed{detach: true}, words: "id more"},
		{args: "id --debug", want: parsed{debug: true}, words: "id"},
		{args: "-- -d --bundle", words: "-d --bundle"},
		{args: "id -- -d -- x", words: "id -d -- x"},
		{args: "- -1 -9x", words: "- -1 -9x"},
		{args: "'' id", words: "'' id"},
		{args: "--detach=false --all=1", want: parsed{all: true}},
		{args: "-d=true", want: parsed{detach: true}},
		{args: "--detach=", want: parsed{detach: true}},
		{args: "--detach false", want: parsed{detach: true}, words: "false"},
		{args: "--no-new-privs", want: parsed{privs: &yes}},
		{args: "--no-new-privs=false", want: parsed{privs: &no}},
		{args: "--preserve-fds 3", want: parsed{fds: 3}},
		{args: "-e A=1,B=2 --env C=", want: parsed{env: []string{"A=1,B=2", "C="}}},
		{args: "--env=A=1", want: parsed{env: []string{"A=1"}}},
		{args: "-g 5 -g 4294967294", want: parsed{gids: []uint32{5, 4294967294}}},
		{args: "--upper x", want: parsed{upper: "X"}},

		{args: "-d id sh -c -d", stops: true, want: parsed{detach: true}, words: "id sh -c -d"},
		{args: "id -d", stops: true, words: "id -d"},
		{args: "id --unknown -- x", stops: true, words: "id --unknown -- x"},
		{args: "id -- ls -l", stops: true, words: "id ls -l"},
		{args: "-- id ls", stops: true, words: "id ls"},

		{args: "--nope", err: "flag provided but not defined: -nope"},
		{args: "-nope=1", err: "flag provided but not defined: -nope"},
		{args: "-da", err: "flag provided but not defined: -da"},
		{args: "--=x", err: "flag provided but not defined: -"},
		{args: "---detach", err: "flag provided but not defined: --detach"},
		{args: "id --bundle", err: "flag needs an argument: --bundle"},
		{args: "-b", err: "flag needs an argument: -b"},
		{args: "--detach=maybe", err: `invalid value "maybe" for flag -detach: want true or false`},
		{args: "--preserve-fds -1", err: `invalid value "-1" for flag -preserve-fds: want a whole number, 0 or more`},
		{args: "--preserve-fds 4294967296", err: `invalid value "4294967296" for flag -preserve-fds: want a whole number, 0 or more`},
		{args: "-g 4294967295", err: `invalid value "4294967295" for flag -g: parse id "4294967295": want a number from 0 to 4294967294`},
		{args: "-g -1", err: `invalid value "-1" for flag -g: parse id "-1": want a number from 0 to 4294967294`},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			if args[i] == "''" {
				args[i] = ""
			}
		}
		var got parsed
		command, inherited := got.command()
		command.stops = c.stops
		words, err := command.parse(args, inherited)
		if err != nil {
			if err.Error() != c.err {
				t.Errorf("%q: error %q, want %q", c.args, err, c.err)
			}
			continue
		}
		if c.err != "" {
			t.Errorf("%q: no error, want %q", c.args, c.err)
			continue
		}
		for i := range words {
			if words[i] == "" {
				words[i] = "''"
			}
		}
		if joined := strings.Join(words, " "); joined != c.words {
			t.Errorf("%q: words %q, want %q", c.args, joined, c.words)
		}
		if !got.equal(&c.want) {
			t.Errorf("%q: got %+v, want %+v", c.args, got, c.want)
		}
	}
}

func (p *parsed) equal(q *parsed) bool {
	return p.detach == q.detach && p.all == q.all && p.bundle == q.bundle && p.fds == q.fds && p.upper == q.upper &&
		p.debug == q.debug && slices.Equal(p.env, q.env) && slices.Equal(p.gids, q.gids) &&
		(p.privs == nil) == (q.privs == nil) && (p.privs == nil || *p.privs == *q.privs)
}

func TestParseLenient(t *testing.T) {
	var p parsed
	c, inherited := p.command()
	c.lenient = true
	words, err := c.parse([]string{"--image-path", "x", "--debug", "id", "--nope=1"}, inherited)
	if err != nil || !slices.Equal(words, []string{"--image-path", "x", "id", "--nope=1"}) || !p.debug {
		t.Errorf("words %q, error %v, debug %v", words, err, p.debug)
	}
}

// Every word of a command line must go somewhere: to an option as its name or value, or to the arguments, in order.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"id", "--bundle\nb\nid", "-b=b", "--\n-d", "-d\nid\n--env\nA=1\n-e", "-\n-1\n---\n--=", "-g\n5"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, line string, stops bool) {
		args := strings.Split(line, "\n")
		var p parsed
		c, inherited := p.command()
		c.stops = stops
		words, err := c.parse(slices.Clone(args), inherited)
		if err != nil {
			return
		}
		rest := args
		for _, word := range words {
			i := slices.Index(rest, word)
			if i < 0 {
				t.Fatalf("%q: %q is no word of it, or in another place", args, word)
			}
			rest = rest[i+1:]
		}
		if stops && len(words) > 0 {
			tail := args[len(args)-len(words)+1:]
			if !slices.Equal(words[1:], tail) {
				t.Fatalf("%q: words %q behind the first argument are not as given", args, words)
			}
		}
	})
}

func TestCheckCount(t *testing.T) {
	for _, c := range []struct {
		min, max, n int
		err         string
	}{
		{0, 0, 0, ""},
		{1, 1, 1, ""},
		{1, -1, 9, ""},
		{1, 2, 2, ""},
		{0, 0, 1, `husk: "x" requires exactly 0 argument(s)`},
		{1, 1, 0, `husk: "x" requires exactly 1 argument(s)`},
		{1, 1, 2, `husk: "x" requires exactly 1 argument(s)`},
		{1, -1, 0, `husk: "x" requires a minimum of 1 argument(s)`},
		{1, 2, 3, `husk: "x" requires a maximum of 2 argument(s)`},
	} {
		command := &command{name: "x", min: c.min, max: c.max}
		got := ""
		if err := command.checkCount("husk", make([]string, c.n)); err != nil {
			got = err.Error()
		}
		if got != c.err {
			t.Errorf("%d to %d, given %d: %q, want %q", c.min, c.max, c.n, got, c.err)
		}
	}
}
