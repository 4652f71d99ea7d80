package dbus

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Values are those of the D-Bus specification ("Type System"): bool, byte, int16 to int64, uint16 to uint64, float64, string, and:

// ObjectPath is a string of type o.
type ObjectPath string

// Signature is a string of type g.
type Signature string

// Variant is a value that carries its type.
type Variant struct{ Value any }

// Struct is a sequence of values.
type Struct []any

// Array has items of one type, which Of names.
type Array struct {
	Of    string
	Items []any
}

// signatureOf names the type of a value.
func signatureOf(v any) (string, error) {
	switch v := v.(type) {
	case byte:
		return "y", nil
	case bool:
		return "b", nil
	case int16:
		return "n", nil
	case uint16:
		return "q", nil
	case int32:
		return "i", nil
	case uint32:
		return "u", nil
	case int64:
		return "x", nil
	case uint64:
		return "t", nil
	case float64:
		return "d", nil
	case string:
		return "s", nil
	case ObjectPath:
		return "o", nil
	case Signature:
		return "g", nil
	case Variant:
		return "v", nil
	case Array:
		return "a" + v.Of, nil
	case Struct:
		sig, err := signatureOfAll(v)
		return "(" + sig + ")", err
	}
	return "", fmt.Errorf("no D-Bus type for a %T", v)
}

func signatureOfAll(list []any) (string, error) {
	all := ""
	for _, v := range list {
		sig, err := signatureOf(v)
		if err != nil {
			return "", err
		}
		all += sig
	}
	return all, nil
}

// alignment is where a value of the type may begin.
func alignment(sig byte) int {
	switch sig {
	case 'n', 'q':
		return 2
	case 'b', 'i', 'u', 's', 'o', 'a':
		return 4
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 1
}

// encoder writes values in little endian, from an offset that is a multiple of 8.
type encoder struct {
	out []byte
	err error
}

func (e *encoder) align(n int) {
	for len(e.out)%n != 0 {
		e.out = append(e.out, 0)
	}
}

func (e *encoder) u32(n uint32) {
	e.align(4)
	e.out = binary.LittleEndian.AppendUint32(e.out, n)
}

func (e *encoder) u64(n uint64) {
	e.align(8)
	e.out = binary.LittleEndian.AppendUint64(e.out, n)
}

func (e *encoder) u16(n uint16) {
	e.align(2)
	e.out = binary.LittleEndian.AppendUint16(e.out, n)
}

func (e *encoder) text(s string) {
	e.u32(uint32(len(s)))
	e.out = append(append(e.out, s...), 0)
}

// put appends a value; its type is not written, but by a variant.
func (e *encoder) put(v any) {
	switch v := v.(type) {
	case byte:
		e.out = append(e.out, v)
	case bool:
		n := uint32(0)
		if v {
			n = 1
		}
		e.u32(n)
	case int16:
		e.u16(uint16(v))
	case uint16:
		e.u16(v)
	case int32:
		e.u32(uint32(v))
	case uint32:
		e.u32(v)
	case int64:
		e.u64(uint64(v))
	case uint64:
		e.u64(v)
	case float64:
		e.u64(math.Float64bits(v))
	case string:
		e.text(v)
	case ObjectPath:
		e.text(string(v))
	case Signature:
		e.out = append(append(append(e.out, byte(len(v))), v...), 0)
	case Variant:
		sig, err := signatureOf(v.Value)
		if err != nil {
			e.err = err
			return
		}
		e.put(Signature(sig))
		e.put(v.Value)
	case Array:
		e.array(v)
	case Struct:
		e.align(8)
		for _, part := range v {
			e.put(part)
		}
	default:
		e.err = fmt.Errorf("no D-Bus type for a %T", v)
	}
}

// array writes the length in bytes, which does not count the padding before the first item, and the items.
func (e *encoder) array(a Array) {
	e.u32(0)
	length := len(e.out)
	e.align(alignment(a.Of[0]))
	first := len(e.out)
	for _, item := range a.Items {
		if sig, err := signatureOf(item); err != nil || sig != a.Of {
			e.err = fmt.Errorf("a %T in an array of D-Bus type %q", item, a.Of)
			return
		}
		e.put(item)
	}
	binary.LittleEndian.PutUint32(e.out[length-4:], uint32(len(e.out)-first))
}
