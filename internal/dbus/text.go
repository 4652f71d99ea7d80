package dbus

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseValue reads a value in the text format of GVariant (docs.gtk.org/glib/gvariant-text-format.html), in which people write
// properties of units: 'text', true, 5, uint64 5, ['a', 'b'], @as []. Tuples, dictionaries and maybe types are refused.
func ParseValue(text string) (any, error) {
	p := parser{rest: text}
	v, err := p.value("")
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, errors.New("something follows the value: " + strconv.Quote(p.rest))
	}
	return v, nil
}

// typeNames are the words that may stand before a value.
var typeNames = [...]struct{ name, sig string }{
	{"boolean", "b"},
	{"byte", "y"},
	{"int16", "n"},
	{"uint16", "q"},
	{"int32", "i"},
	{"uint32", "u"},
	{"int64", "x"},
	{"uint64", "t"},
	{"double", "d"},
	{"string", "s"},
	{"objectpath", "o"},
	{"signature", "g"},
}

type parser struct {
	rest  string
	depth int // of values in values, and of type names before a value
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// value reads one value, of the type sig if that is not empty.
func (p *parser) value(sig string) (any, error) {
	if p.depth++; p.depth > 8 {
		return nil, errors.New("a value in too many others")
	}
	defer func() { p.depth-- }()
	if p.space(); p.rest == "" {
		return nil, errors.New("a value is missing")
	}
	switch c := p.rest[0]; {
	case c == '@':
		word, rest, _ := strings.Cut(p.rest[1:], " ")
		if basic := strings.TrimPrefix(word, "a"); len(basic) != 1 || !strings.Contains("bynqiuxtdsog", basic) {
			return nil, errors.New("an unknown type: " + strconv.Quote(word))
		}
		if p.rest = rest; sig != "" && sig != word {
			return nil, errors.New("type " + word + " where " + sig + " is meant")
		}
		return p.value(word)
	case c == '\'' || c == '"':
		return p.quoted(sig)
	case c == '[':
		return p.list(sig)
	}
	word := p.word()
	for _, t := range typeNames {
		if t.name == word {
			if sig != "" && sig != t.sig {
				return nil, errors.New("a " + word + " where type " + sig + " is meant")
			}
			return p.value(t.sig)
		}
	}
	return scalar(word, sig)
}

// word takes what is neither space nor punctuation.
func (p *parser) word() string {
	end := strings.IndexAny(p.rest, " \t\r\n,[](){}<>'\"")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func scalar(word, sig string) (any, error) {
	bad := errors.New("not a value: " + strconv.Quote(word))
	switch sig {
	case "":
		switch {
		case word == "true" || word == "false":
			sig = "b"
		case strings.ContainsAny(word, ".eE") && !strings.HasPrefix(word, "0x"):
			sig = "d"
		default:
			sig = "i" // as GVariant has it
		}
		return scalar(word, sig)
	case "b":
		if word != "true" && word != "false" {
			return nil, bad
		}
		return word == "true", nil
	case "d":
		f, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return nil, bad
		}
		return f, nil
	}
	bits, signed := 0, false
	switch sig {
	case "y":
		bits = 8
	case "n", "q":
		bits, signed = 16, sig == "n"
	case "i", "u":
		bits, signed = 32, sig == "i"
	case "x", "t":
		bits, signed = 64, sig == "x"
	default:
		return nil, bad
	}
	if signed {
		n, err := strconv.ParseInt(word, 0, bits)
		if err != nil {
			return nil, bad
		}
		return map[string]any{"n": int16(n), "i": int32(n), "x": n}[sig], nil
	}
	n, err := strconv.ParseUint(word, 0, bits)
	if err != nil {
		return nil, bad
	}
	return map[string]any{"y": byte(n), "q": uint16(n), "u": uint32(n), "t": n}[sig], nil
}

// quoted reads a string in either kind of quotes. Of the escapes those of one character are known.
func (p *parser) quoted(sig string) (any, error) {
	quote := p.rest[0]
	var out []byte
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return textOf(string(out), sig)
		case c == 0:
			return nil, errors.New("a NUL in a string")
		case c != '\\':
			out = append(out, c)
		default:
			if i++; i == len(p.rest) {
				break
			}
			at := strings.IndexByte(`abfnrtv\'"`, p.rest[i])
			if at < 0 {
				return nil, errors.New("an unknown escape in a string: \\" + p.rest[i:i+1])
			}
			out = append(out, "\a\b\f\n\r\t\v\\'\""[at])
		}
	}
	return nil, errors.New("a string without end")
}

func textOf(s, sig string) (any, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("a string that is not UTF-8")
	}
	switch sig {
	case "", "s":
		return s, nil
	case "o":
		return ObjectPath(s), nil
	case "g":
		return Signature(s), nil
	}
	return nil, errors.New("a string where type " + sig + " is meant")
}

// list reads an array; the first item says what type the others have.
func (p *parser) list(sig string) (any, error) {
	a := Array{}
	if sig != "" {
		of, ok := strings.CutPrefix(sig, "a")
		if !ok {
			return nil, errors.New("an array where type " + sig + " is meant")
		}
		a.Of = of
	}
	p.rest = p.rest[1:]
	for {
		if p.space(); strings.HasPrefix(p.rest, "]") && len(a.Items) == 0 {
			break
		}
		item, err := p.value(a.Of)
		if err != nil {
			return nil, err
		}
		if a.Of == "" {
			if a.Of, err = signatureOf(item); err != nil {
				return nil, err
			}
		}
		a.Items = append(a.Items, item)
		p.space()
		if rest, ok := strings.CutPrefix(p.rest, ","); ok {
			p.rest = rest
		} else if !strings.HasPrefix(p.rest, "]") {
			return nil, errors.New("an array without end")
		} else {
			break
		}
	}
	if p.rest = p.rest[1:]; a.Of == "" {
		return nil, errors.New("an empty array without its type, as in @as []")
	}
	return a, nil
}
