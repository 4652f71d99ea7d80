package jsonscan

import (
	"strings"
	"unsafe"
)

// The functions here read the value of a struct's field; generated code is made of
// them. For a field, null is the same as not being there: it is left alone.
// An element of a list or map can't be absent, so null is an error there.

// Text reads a string into v.
func Text[T ~string](d *Decoder, v *T) error {
	if d.Null() {
		return nil
	}
	s, err := d.String()
	*v = T(s)
	return err
}

// Bool reads true or false into v.
func Bool[T ~bool](d *Decoder, v *T) error {
	if d.Null() {
		return nil
	}
	b, err := d.Bool()
	*v = T(b)
	return err
}

// Any reads true or false into v, which several members share: one true is
// enough.
func Any[T ~bool](d *Decoder, v *T) error {
	b := *v
	err := Bool(d, v)
	*v = *v || b
	return err
}

// Int reads an integer into v; one that v can't hold is an error.
func Int[T ~int | ~int8 | ~int16 | ~int32 | ~int64](d *Decoder, v *T) error {
	if d.Null() {
		return nil
	}
	n, err := d.int(int(unsafe.Sizeof(*v)) * 8)
	*v = T(n)
	return err
}

// Uint reads an integer into v; one that v can't hold is an error.
func Uint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](d *Decoder, v *T) error {
	if d.Null() {
		return nil
	}
	n, err := d.uint(int(unsafe.Sizeof(*v)) * 8)
	*v = T(n)
	return err
}

// Struct reads into v with read.
func Struct[T any](d *Decoder, v *T, read func(*Decoder, *T) error) error {
	if d.Null() {
		return nil
	}
	return read(d, v)
}

// Ptr reads into a new T with read and points v at it.
func Ptr[T any](d *Decoder, v **T, read func(*Decoder, *T) error) error {
	if d.Null() {
		return nil
	}
	*v = new(T)
	return read(d, *v)
}

// Slice reads an array into v, each element with read. An empty array is a slice that
// is not nil.
func Slice[T any](d *Decoder, v *[]T, read func(*Decoder, *T) error) error {
	if d.Null() {
		return nil
	}
	s := make([]T, 0, d.lengthHint())
	err := d.Array(func(i int) error {
		if err := d.element(); err != nil {
			return err
		}
		s = append(s, *new(T))
		return read(d, &s[i])
	})
	*v = s
	return err
}

// lengthHint guesses the number of elements of the array that is next, which
// saves growing the long lists of strings that documents have. Being wrong is
// harmless, and the guess stays below the number of bytes that are left.
func (d *Decoder) lengthHint() int {
	if d.peek() != '[' {
		return 0
	}
	rest := strings.TrimLeft(d.text[d.pos+1:], " \n\r\t")
	switch {
	case strings.HasPrefix(rest, "]"):
		return 0
	case !strings.HasPrefix(rest, `"`):
		return 4
	}
	end := max(strings.IndexByte(rest, ']'), 0)
	return strings.Count(rest[:end], `",`) + 1
}

// Map reads an object into v, each value with read. An empty object is a map
// that is not nil.
func Map[T any](d *Decoder, v *map[string]T, read func(*Decoder, *T) error) error {
	if d.Null() {
		return nil
	}
	m := make(map[string]T)
	err := d.Object(func(key string) error {
		if err := d.element(); err != nil {
			return err
		}
		var e T
		if err := read(d, &e); err != nil {
			return err
		}
		m[key] = e
		return nil
	})
	*v = m
	return err
}

// Present notes in v that the field has a value, which it reads over: for
// objects of which only the presence matters.
func Present[T any](d *Decoder, v **T) error {
	if d.Null() {
		return nil
	}
	*v = new(T)
	if d.peek() != '{' {
		return d.unexpected("an object")
	}
	return d.Skip()
}

// element checks that the next value of a list or map is not null.
func (d *Decoder) element() error {
	if d.peek() == 'n' {
		return d.unexpected("a value")
	}
	return nil
}
