package specconv

import (
	"strconv"

	"husk/internal/jsonscan"
)

// document writes indented JSON, members in the order of the calls. Members of an object are given with their key, elements
// of an array with the key "".
type document struct {
	out    []byte
	indent string
	depth  int
	filled bool // there is a member or element before the next one
}

// next puts what belongs between the last value and the next.
func (d *document) next(key string) {
	if d.filled {
		d.out = append(d.out, ',')
	}
	d.filled = true
	if d.depth > 0 {
		d.line()
	}
	if key != "" {
		d.out = append(jsonscan.AppendString(d.out, key), ": "...)
	}
}

func (d *document) line() {
	d.out = append(d.out, '\n')
	for range d.depth {
		d.out = append(d.out, d.indent...)
	}
}

func (d *document) nest(key string, brackets string, body func()) {
	d.next(key)
	d.out = append(d.out, brackets[0])
	d.depth, d.filled = d.depth+1, false
	body()
	d.depth--
	if d.filled {
		d.line()
	}
	d.out = append(d.out, brackets[1])
	d.filled = true
}

func (d *document) object(key string, body func()) { d.nest(key, "{}", body) }

func (d *document) text(key, value string) {
	d.next(key)
	d.out = jsonscan.AppendString(d.out, value)
}

func (d *document) number(key string, value uint64) {
	d.next(key)
	d.out = strconv.AppendUint(d.out, value, 10)
}

func (d *document) boolean(key string, value bool) {
	d.next(key)
	d.out = strconv.AppendBool(d.out, value)
}

// yes writes a member that is left out if it is false.
func (d *document) yes(key string, value bool) {
	if value {
		d.boolean(key, true)
	}
}

// known writes a member that is left out if nothing is known about it.
func (d *document) known(key string, value *bool) {
	if value != nil {
		d.boolean(key, *value)
	}
}

// optional writes a member that is left out if it is empty.
func (d *document) optional(key, value string) {
	if value != "" {
		d.text(key, value)
	}
}

// texts writes an array of strings.
func (d *document) texts(key string, values []string) {
	list(d, key, values, func(value string) { d.text("", value) })
}

// optionalTexts writes an array that is left out if it is nil.
func (d *document) optionalTexts(key string, values []string) {
	if values != nil {
		d.texts(key, values)
	}
}

// list writes an array of anything.
func list[T any](d *document, key string, values []T, element func(T)) {
	d.nest(key, "[]", func() {
		for _, value := range values {
			element(value)
		}
	})
}
