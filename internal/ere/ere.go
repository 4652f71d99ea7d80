// Package ere matches extended regular expressions of POSIX (regex(7)): what `delete --regex` takes, for names of containers. It
// leaves out what names have no use for: collating elements, equivalence classes and back references.
//
// It is there because package regexp costs every start of the program, used or not (docs/decisions.md).
package ere

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxRepeat is the highest number in a bound, RE_DUP_MAX of POSIX.
const MaxRepeat = 255

const (
	maxDepth = 100   // of groups in groups
	maxSteps = 10000 // of a program: what bounds multiply
)

// Expression is a compiled expression: a program for a machine that is in several places of it at once, so that the time is bounded
// by the length of the program and of the text (Thompson 1968).
type Expression []step

// step is one step of a program. Which of its fields counts says op.
type step struct {
	op   op
	set  *set
	x, y int // where to go on
}

type op uint8

const (
	take  op = iota // a character of the set, then x
	begin           // x at the beginning of the text
	end             // x at its end
	fork            // x and y
	done
)

// set is a set of characters.
type set [256]bool

// Compile reads an expression.
func Compile(pattern string) (Expression, error) {
	p := parser{rest: pattern}
	top, err := p.alternatives(0)
	if err == nil && p.rest != "" {
		err = errors.New("a ) without (")
	}
	var e Expression
	if err == nil {
		top.emit(&e)
		if e.add(step{op: done}); len(e) > maxSteps {
			err = fmt.Errorf("it takes more than %d steps", maxSteps)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read regular expression %q: %w", pattern, err)
	}
	return e, nil
}

// add appends a step, whose place it returns. A program that is too long is not made any longer.
func (e *Expression) add(s step) int {
	if len(*e) <= maxSteps {
		*e = append(*e, s)
	}
	return len(*e) - 1
}

// Match reports whether some part of the text matches.
func (e Expression) Match(text string) bool {
	now, next := make([]bool, len(e)), make([]bool, len(e))
	for at := range len(text) + 1 {
		e.enter(now, 0, text, at) // a match may begin anywhere
		if now[len(e)-1] {
			return true
		}
		if at == len(text) {
			break
		}
		for i, s := range e {
			if now[i] && s.op == take && s.set[text[at]] {
				e.enter(next, s.x, text, at+1)
			}
		}
		now, next = next, now
		clear(next)
	}
	return false
}

// enter adds a place, and all to which the machine gets from there without a character.
func (e Expression) enter(places []bool, i int, text string, at int) {
	for !places[i] {
		places[i] = true
		switch s := e[i]; {
		case s.op == begin && at == 0, s.op == end && at == len(text):
			i = s.x
		case s.op == fork:
			e.enter(places, s.y, text, at)
			i = s.x
		}
	}
}

// A node is a part of an expression as it is written; emit appends its steps, which lead to what comes behind them.
type node interface{ emit(e *Expression) }

func (s *set) emit(e *Expression) { e.add(step{op: take, set: s, x: len(*e) + 1}) }

// anchor is begin or end.
type anchor op

func (a anchor) emit(e *Expression) { e.add(step{op: op(a), x: len(*e) + 1}) }

type sequence []node

func (s sequence) emit(e *Expression) {
	for _, n := range s {
		n.emit(e)
	}
}

type choice []node

func (c choice) emit(e *Expression) {
	var ends []int
	for i, n := range c {
		if i == len(c)-1 {
			n.emit(e)
			break
		}
		at := e.add(step{op: fork, x: len(*e) + 1})
		n.emit(e)
		ends = append(ends, e.add(step{op: fork})) // over the others
		(*e)[at].y = len(*e)
	}
	for _, at := range ends {
		(*e)[at].x, (*e)[at].y = len(*e), len(*e)
	}
}

// repeat is a node at least min times, at most max times if that is not negative.
type repeat struct {
	node
	min, max int
}

func (r repeat) emit(e *Expression) {
	last := len(*e) // the node's last copy so far
	for range r.min {
		last = len(*e)
		if r.node.emit(e); last > maxSteps {
			return // bounds of bounds multiply
		}
	}
	switch {
	case r.max < 0 && r.min > 0:
		at := e.add(step{op: fork, x: last})
		(*e)[at].y = len(*e)
	case r.max < 0:
		at := e.add(step{op: fork, x: len(*e) + 1})
		r.node.emit(e)
		e.add(step{op: fork, x: at, y: at})
		(*e)[at].y = len(*e)
	default:
		r.optional(e)
	}
}

// optional appends the copies that may be left out, each of which leads to the end.
func (r repeat) optional(e *Expression) {
	var over []int
	for range r.max - r.min {
		over = append(over, e.add(step{op: fork, x: len(*e) + 1}))
		if r.node.emit(e); len(*e) > maxSteps {
			return
		}
	}
	for _, at := range over {
		(*e)[at].y = len(*e)
	}
}

type parser struct{ rest string }

// alternatives reads up to the end or the ) of the group.
func (p *parser) alternatives(depth int) (node, error) {
	if depth > maxDepth {
		return nil, errors.New("groups are nested too deep")
	}
	var list choice
	for {
		n, err := p.sequence(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.take('|') {
			return list, nil
		}
	}
}

// take skips a character if it is the next one.
func (p *parser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) sequence(depth int) (node, error) {
	var list sequence
	for p.rest != "" && p.rest[0] != '|' && (p.rest[0] != ')' || depth == 0) {
		n, err := p.one(depth)
		for err == nil && p.rest != "" && strings.IndexByte("*+?{", p.rest[0]) >= 0 {
			n, err = p.repeated(n)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// one reads what may be repeated.
func (p *parser) one(depth int) (node, error) {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case '(':
		n, err := p.alternatives(depth + 1)
		if err == nil && !p.take(')') {
			err = errors.New("a ( without )")
		}
		return n, err
	case ')':
		return nil, errors.New("a ) without (")
	case '[':
		return p.bracket()
	case '^', '$':
		if c == '^' {
			return anchor(begin), nil
		}
		return anchor(end), nil
	case '.':
		s := new(set)
		s.span(1, 255)
		return s, nil
	case '*', '+', '?', '{':
		return nil, fmt.Errorf("a %c with nothing to repeat", c)
	case '\\':
		if p.rest == "" {
			return nil, errors.New(`a \ at the end`)
		}
		if c, p.rest = p.rest[0], p.rest[1:]; isWord(c) {
			return nil, fmt.Errorf(`\%c, which POSIX does not know`, c)
		}
	}
	return literal(c), nil
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func literal(c byte) node {
	s := new(set)
	s[c] = true
	return s
}

// span adds characters, the last one included.
func (s *set) span(from, to byte) {
	for c := int(from); c <= int(to); c++ {
		s[c] = true
	}
}

// repeated reads *, +, ? or a bound, {n}, {n,} or {n,m}.
func (p *parser) repeated(n node) (node, error) {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case '*':
		return repeat{n, 0, -1}, nil
	case '+':
		return repeat{n, 1, -1}, nil
	case '?':
		return repeat{n, 0, 1}, nil
	}
	bound, rest, ok := strings.Cut(p.rest, "}")
	if !ok {
		return nil, errors.New("a { without }")
	}
	p.rest = rest
	low, high, isRange := strings.Cut(bound, ",")
	from, err := strconv.ParseUint(low, 10, 16)
	to := int(from)
	if isRange && err == nil {
		if to = -1; high != "" {
			var n uint64
			n, err = strconv.ParseUint(high, 10, 16)
			to = int(n)
		}
	}
	if err != nil || from > MaxRepeat || to > MaxRepeat || to >= 0 && to < int(from) {
		return nil, fmt.Errorf("{%s} is no bound", bound)
	}
	return repeat{n, int(from), to}, nil
}

// classes are the character classes of the POSIX locale.
var classes = [...][2]string{
	{"alnum", "09AZaz"},
	{"alpha", "AZaz"},
	{"blank", "\t\t  "},
	{"cntrl", "\x00\x1f\x7f\x7f"},
	{"digit", "09"},
	{"graph", "!~"},
	{"lower", "az"},
	{"print", " ~"},
	{"punct", "!/:@[`{~"},
	{"space", "\t\r  "},
	{"upper", "AZ"},
	{"xdigit", "09AFaf"},
}

// bracket reads what follows a [.
func (p *parser) bracket() (node, error) {
	s := new(set)
	not := p.take('^')
	for first := true; ; first = false {
		switch {
		case p.rest == "":
			return nil, errors.New("a [ without ]")
		case p.rest[0] == ']' && !first:
			p.rest = p.rest[1:]
			if not {
				for c := range s {
					s[c] = !s[c]
				}
				s[0] = false
			}
			return s, nil
		case strings.HasPrefix(p.rest, "[:"):
			if err := p.class(s); err != nil {
				return nil, err
			}
		case strings.HasPrefix(p.rest, "[.") || strings.HasPrefix(p.rest, "[="):
			return nil, errors.New("collating elements are not served")
		default:
			if err := p.span(s); err != nil {
				return nil, err
			}
		}
	}
}

func (p *parser) class(s *set) error {
	name, rest, ok := strings.Cut(p.rest[2:], ":]")
	i := slices.IndexFunc(classes[:], func(c [2]string) bool { return c[0] == name })
	if !ok || i < 0 {
		return fmt.Errorf("[:%.16s is no character class", name)
	}
	p.rest = rest
	for spans := classes[i][1]; spans != ""; spans = spans[2:] {
		s.span(spans[0], spans[1])
	}
	return nil
}

// span reads one character of a bracket, or two with a - between them.
func (p *parser) span(s *set) error {
	from := p.rest[0]
	p.rest = p.rest[1:]
	if len(p.rest) < 2 || p.rest[0] != '-' || p.rest[1] == ']' {
		s[from] = true
		return nil
	}
	to := p.rest[1]
	if p.rest = p.rest[2:]; to < from || to == '[' && p.rest != "" && strings.IndexByte(":.=", p.rest[0]) >= 0 {
		return fmt.Errorf("%c-%c is no range", from, to)
	}
	s.span(from, to)
	return nil
}
