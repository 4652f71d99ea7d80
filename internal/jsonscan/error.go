package jsonscan

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is a document that could not be read, and where.
type Error struct {
	Pointer      string // JSON pointer (RFC 6901) to the value, "" for the document itself
	Line, Column int    // from 1; columns count code points
	Msg          string
}

// Error returns "/process/args/0: expected a string, found a number (line 3, column 14)".
func (e *Error) Error() string {
	place := " (line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column) + ")"
	if e.Pointer == "" {
		return e.Msg + place
	}
	return Printable(e.Pointer) + ": " + e.Msg + place
}

// Fail returns an *Error with this message for the place that the Decoder has
// reached, and makes it stick.
func (d *Decoder) Fail(msg string) error {
	if d.fault == nil {
		before := d.text[:d.pos]
		lineStart := strings.LastIndexByte(before, '\n') + 1
		d.fault = &Error{
			Pointer: d.pointer(),
			Line:    strings.Count(before, "\n") + 1,
			Column:  utf8.RuneCountInString(before[lineStart:]) + 1,
			Msg:     msg,
		}
		// Nothing is left to read, whatever the caller does with the error.
		d.text, d.pos = "", 0
	}
	return d.fault
}

// unexpected reports that something else than expected comes next.
func (d *Decoder) unexpected(expected string) error {
	if d.pos >= len(d.text) {
		return d.Fail("expected " + expected + ", found the end of the document")
	}
	found := ""
	switch c := d.text[d.pos]; {
	case c == '{':
		found = "an object"
	case c == '[':
		found = "an array"
	case c == '"':
		found = "a string"
	case c == '-', '0' <= c && c <= '9':
		found = "a number"
	case strings.HasPrefix(d.text[d.pos:], "true"), strings.HasPrefix(d.text[d.pos:], "false"):
		found = "a boolean"
	case strings.HasPrefix(d.text[d.pos:], "null"):
		found = "null"
	default:
		r, _ := utf8.DecodeRuneInString(d.text[d.pos:])
		found = strconv.QuoteRune(r)
	}
	return d.Fail("expected " + expected + ", found " + found)
}

// pointer returns the JSON pointer to the current place.
func (d *Decoder) pointer() string {
	var b []byte
	for _, s := range d.path[:d.depth] {
		switch s.index {
		case atStart:
		case atMember:
			b = append(append(b, '/'), EscapePointer(s.key)...)
		default:
			b = strconv.AppendInt(append(b, '/'), int64(s.index), 10)
		}
	}
	return string(b)
}

// EscapePointer returns a member name as it stands in a JSON pointer.
func EscapePointer(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// Printable returns s fit for one line of a log, escaped and of limited
// length: names in a document may hold anything.
func Printable(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	return shorten(quoted[1 : len(quoted)-1])
}

// quote returns s in quotes, fit for a message.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// shorten cuts a text that comes from the document to a length fit for a message.
func shorten(s string) string {
	const limit = 256
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
