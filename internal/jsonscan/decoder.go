// Package jsonscan reads JSON (RFC 8259) without reflection.
//
// It is stricter than most readers, because two programs that read one
// document must not see different things in it: a member name that comes
// twice in an object is refused, names match by exact case only, text must be
// valid UTF-8, surrogate escapes must pair, and integers are exact or an error.
// Every error says where it is: JSON pointer, line and column.
package jsonscan

import (
	"strconv"
	"strings"
)

// Limits on a document. They are far above what any honest one needs and keep
// time and memory for a hostile one bounded.
const (
	MaxSize     = 32 << 20 // bytes of text
	MaxDepth    = 64       // objects and arrays around a value
	MaxElements = 1 << 20  // members of one object, elements of one array
)

// A Decoder reads one JSON text from front to back: each method consumes the
// next value. The first error sticks: every later call returns it again.
type Decoder struct {
	text  string
	pos   int
	fault *Error

	depth int
	path  [MaxDepth]step
	keys  []string // member names so far of every open object, outermost first
}

// step is the place inside one open object or array: an index, or one of these.
type step struct {
	index int
	key   string // of atMember
}

const (
	atStart  = -1 // nothing read yet
	atMember = -2
)

// NewDecoder returns a Decoder for the text in data, of which it keeps a copy.
// A text above MaxSize makes every read fail.
func NewDecoder(data []byte) *Decoder {
	d := new(Decoder)
	if len(data) > MaxSize {
		d.fault = &Error{Line: 1, Column: 1, Msg: "document of " + strconv.Itoa(len(data)) + " bytes exceeds the limit of " + strconv.Itoa(MaxSize)}
		return d
	}
	// One copy serves all strings of the document as substrings.
	d.text = string(data)
	d.keys = make([]string, 0, 64)
	return d
}

// Object reads an object and calls f for each member, in order, with its name;
// f must read the member's value. Names are unescaped. An error of f ends the
// reading and is returned as it is.
func (d *Decoder) Object(f func(key string) error) error {
	if err := d.open('{', "an object"); err != nil {
		return err
	}
	names := nameSet{first: len(d.keys)}
	for more := d.peek() != '}'; more; {
		if err := d.memberName(&names); err != nil {
			return err
		}
		if err := f(d.path[d.depth-1].key); err != nil {
			return err
		}
		var err error
		if more, err = d.separator('}'); err != nil {
			return err
		}
	}
	d.keys = d.keys[:names.first]
	d.close()
	return nil
}

// memberName reads `"name":` and makes it the current place.
func (d *Decoder) memberName(names *nameSet) error {
	if d.peek() != '"' {
		return d.unexpected("a member name")
	}
	start := d.pos
	key, err := d.String()
	if err != nil {
		return err
	}
	d.path[d.depth-1] = step{index: atMember, key: key}
	if !names.add(d, key) {
		d.pos = start
		return d.Fail("member " + quote(key) + " appears twice in one object")
	}
	if len(d.keys)-names.first > MaxElements {
		return d.Fail("object of more than " + strconv.Itoa(MaxElements) + " members")
	}
	if d.peek() != ':' {
		return d.unexpected("':'")
	}
	d.pos++
	return nil
}

// nameSet finds repeated member names of one object. Small objects, which is
// nearly all of them, are searched in the decoder's stack of names; only a
// large one pays for a map.
type nameSet struct {
	first int
	large map[string]struct{}
}

func (n *nameSet) add(d *Decoder, key string) bool {
	const small = 24
	names := d.keys[n.first:]
	d.keys = append(d.keys, key)
	if len(names) < small {
		for _, name := range names {
			if name == key {
				return false
			}
		}
		return true
	}
	if n.large == nil {
		n.large = make(map[string]struct{}, 4*small)
		for _, name := range names {
			n.large[name] = struct{}{}
		}
	}
	if _, dup := n.large[key]; dup {
		return false
	}
	n.large[key] = struct{}{}
	return true
}

// Array reads an array and calls f for each element, in order, with its
// index; f must read the element. An error of f ends the reading and is
// returned as it is.
func (d *Decoder) Array(f func(i int) error) error {
	if err := d.open('[', "an array"); err != nil {
		return err
	}
	at := &d.path[d.depth-1]
	at.index = 0
	for more := d.peek() != ']'; more; at.index++ {
		if at.index == MaxElements {
			return d.Fail("array of more than " + strconv.Itoa(MaxElements) + " elements")
		}
		if err := f(at.index); err != nil {
			return err
		}
		var err error
		if more, err = d.separator(']'); err != nil {
			return err
		}
	}
	d.close()
	return nil
}

// open reads the first byte of an object or array.
func (d *Decoder) open(bracket byte, what string) error {
	if d.peek() != bracket {
		return d.unexpected(what)
	}
	if d.depth == MaxDepth {
		return d.Fail("nested deeper than " + strconv.Itoa(MaxDepth) + " levels")
	}
	d.pos++
	d.path[d.depth] = step{index: atStart}
	d.depth++
	return nil
}

// separator reads the comma after an element or stops in front of the bracket.
func (d *Decoder) separator(bracket byte) (more bool, err error) {
	switch d.peek() {
	case ',':
		d.pos++
		return true, nil
	case bracket:
		return false, nil
	}
	return false, d.unexpected("',' or '" + string(bracket) + "'")
}

// close reads the last byte of an object or array, which is known to be next.
func (d *Decoder) close() {
	d.pos++
	d.depth--
}

// Skip reads over the next value of whatever kind. The value must still be
// well-formed, duplicate member names included.
func (d *Decoder) Skip() error {
	switch c := d.peek(); {
	case c == '{':
		return d.Object(func(string) error { return d.Skip() })
	case c == '[':
		return d.Array(func(int) error { return d.Skip() })
	case c == '"':
		_, err := d.String()
		return err
	case c == 't', c == 'f':
		_, err := d.Bool()
		return err
	case c == '-', '0' <= c && c <= '9':
		_, err := d.number()
		return err
	case d.Null():
		return nil
	}
	return d.unexpected("a value")
}

// Unknown reads over the value of a member that the caller does not know.
// known lists, separated by spaces, the names that it does know: a name that
// differs from one of them only in case is refused, because a reader that
// ignores case would take it for that one.
func (d *Decoder) Unknown(key, known string) error {
	for name := range strings.FieldsSeq(known) {
		if strings.EqualFold(name, key) {
			return d.Fail("unknown member " + quote(key) + " differs only in case from " + quote(name))
		}
	}
	return d.Skip()
}

// Null reads a null if that is the next value, and reports whether it was.
func (d *Decoder) Null() bool { return d.peek() == 'n' && d.literal("null") }

// End checks that nothing but white space is left.
func (d *Decoder) End() error {
	if d.peek(); d.pos < len(d.text) {
		return d.unexpected("the end of the document")
	}
	if d.fault != nil {
		return d.fault
	}
	return nil
}

// peek skips white space and returns the next byte, 0 at the end.
func (d *Decoder) peek() byte {
	for ; d.pos < len(d.text); d.pos++ {
		switch c := d.text[d.pos]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

func (d *Decoder) literal(word string) bool {
	if !strings.HasPrefix(d.text[d.pos:], word) {
		return false
	}
	d.pos += len(word)
	return true
}
