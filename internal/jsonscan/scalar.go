package jsonscan

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string and returns it unescaped.
func (d *Decoder) String() (string, error) {
	if d.peek() != '"' {
		return "", d.unexpected("a string")
	}
	d.pos++
	start := d.pos
	var seen byte // all bytes or-ed together
	for i := start; i < len(d.text); i++ {
		c := d.text[i]
		switch {
		case c == '"':
			s := d.text[start:i]
			if seen >= utf8.RuneSelf && !utf8.ValidString(s) {
				return "", d.invalidUTF8(start)
			}
			d.pos = i + 1
			return s, nil
		case c == '\\':
			return d.unescape(start, i)
		case c < ' ':
			d.pos = i
			return "", d.Fail("control character " + strconv.QuoteRune(rune(c)) + " in a string, which must be escaped")
		}
		seen |= c
	}
	d.pos = len(d.text)
	return "", d.Fail("string without an end")
}

// unescape reads the rest of a string that began at start and has its first
// backslash at i.
func (d *Decoder) unescape(start, i int) (string, error) {
	out := append(make([]byte, 0, 2*(i-start)+16), d.text[start:i]...)
	for d.pos = i; d.pos < len(d.text); {
		switch c := d.text[d.pos]; {
		case c == '"':
			if !utf8.ValidString(d.text[start:d.pos]) {
				return "", d.invalidUTF8(start)
			}
			d.pos++
			return string(out), nil
		case c == '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < ' ':
			return "", d.Fail("control character " + strconv.QuoteRune(rune(c)) + " in a string, which must be escaped")
		default:
			out = append(out, c)
			d.pos++
		}
	}
	return "", d.Fail("string without an end")
}

// escape reads one escape sequence, or the two of a surrogate pair.
func (d *Decoder) escape() (rune, error) {
	if d.pos+1 >= len(d.text) {
		return 0, d.Fail("string without an end")
	}
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	c := d.text[d.pos+1]
	if i := strings.IndexByte(letters, c); i >= 0 {
		d.pos += 2
		return rune(meanings[i]), nil
	}
	if c != 'u' {
		return 0, d.Fail("unknown escape " + strconv.Quote(`\`+string(rune(c))) + " in a string")
	}
	r, ok := hex4(d.text[d.pos:])
	if !ok {
		return 0, d.Fail(`\u without four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(r) {
		d.pos += len(`\uXXXX`)
		return r, nil
	}
	low, ok := hex4(d.text[d.pos+len(`\uXXXX`):])
	pair := utf16.DecodeRune(r, low)
	if !ok || pair == utf8.RuneError {
		return 0, d.Fail("surrogate escape without its other half")
	}
	d.pos += 2 * len(`\uXXXX`)
	return pair, nil
}

// hex4 returns the value of the \uXXXX that s begins with.
func hex4(s string) (rune, bool) {
	if len(s) < len(`\uXXXX`) || s[:2] != `\u` {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// invalidUTF8 reports the first bad byte after start.
func (d *Decoder) invalidUTF8(start int) error {
	for d.pos = start; ; {
		r, n := utf8.DecodeRuneInString(d.text[d.pos:])
		if r == utf8.RuneError && n <= 1 {
			return d.Fail("text that is not UTF-8 in a string")
		}
		d.pos += n
	}
}

// Bool reads true or false.
func (d *Decoder) Bool() (bool, error) {
	switch c := d.peek(); {
	case c == 't' && d.literal("true"):
		return true, nil
	case c == 'f' && d.literal("false"):
		return false, nil
	}
	return false, d.unexpected("true or false")
}

// Int64 reads an integer.
func (d *Decoder) Int64() (int64, error) { return d.int(64) }

// Uint64 reads an integer that is not negative.
func (d *Decoder) Uint64() (uint64, error) { return d.uint(64) }

// int reads an integer that fits a signed type of so many bits.
func (d *Decoder) int(bits int) (int64, error) {
	start, text, err := d.integer()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		d.pos = start
		return 0, d.Fail(shorten(text) + " is out of range for a signed integer of " + strconv.Itoa(bits) + " bits (int" + strconv.Itoa(bits) + ")")
	}
	return n, nil
}

// uint reads an integer that fits an unsigned type of so many bits.
func (d *Decoder) uint(bits int) (uint64, error) {
	start, text, err := d.integer()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		d.pos = start
		return 0, d.Fail(shorten(text) + " is out of range for an unsigned integer of " + strconv.Itoa(bits) + " bits (uint" + strconv.Itoa(bits) + ")")
	}
	return n, nil
}

// integer reads a number without fraction and exponent: 1.0 and 1e3 have
// integral values, but readers disagree about them.
func (d *Decoder) integer() (start int, text string, err error) {
	if c := d.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, "", d.unexpected("an integer")
	}
	start = d.pos
	if text, err = d.number(); err != nil {
		return 0, "", err
	}
	if strings.ContainsAny(text, ".eE") {
		d.pos = start
		return 0, "", d.Fail(shorten(text) + " is not written as an integer")
	}
	return start, text, nil
}

// number reads any number and returns its text.
func (d *Decoder) number() (string, error) {
	start := d.pos
	if d.text[d.pos] == '-' {
		d.pos++
	}
	if d.pos < len(d.text) && d.text[d.pos] == '0' {
		d.pos++ // no digit may follow; whatever reads on will say so
	} else if !d.digits() {
		return "", d.unexpected("a digit")
	}
	if d.pos < len(d.text) && d.text[d.pos] == '.' {
		d.pos++
		if !d.digits() {
			return "", d.unexpected("a digit")
		}
	}
	if d.pos < len(d.text) && d.text[d.pos]|0x20 == 'e' {
		d.pos++
		if d.pos < len(d.text) && (d.text[d.pos] == '+' || d.text[d.pos] == '-') {
			d.pos++
		}
		if !d.digits() {
			return "", d.unexpected("a digit")
		}
	}
	return d.text[start:d.pos], nil
}

// digits reads over digits and reports whether there was one.
func (d *Decoder) digits() bool {
	start := d.pos
	for d.pos < len(d.text) && '0' <= d.text[d.pos] && d.text[d.pos] <= '9' {
		d.pos++
	}
	return d.pos > start
}
