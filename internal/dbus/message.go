package dbus

import (
	"encoding/binary"
	"errors"
)

// Types of messages, and the fields of their headers that are of use here.
const (
	typeCall   = 1
	typeReply  = 2
	typeError  = 3
	typeSignal = 4

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldError       = 4
	fieldReplyTo     = 5
	fieldDestination = 6
	fieldSignature   = 8
)

const (
	// fixedHeader is all up to the array of fields, with the length of that.
	fixedHeader = 16
	// maxMessage is far more than any answer that we ask for; the specification allows 128 MiB.
	maxMessage = 1 << 20
)

// message is what was received.
type message struct {
	kind    byte
	replyTo uint32
	path    string
	iface   string
	member  string
	errname string
	body    []any // as far as it is of types that read knows
}

// encodeCall makes a method call.
func encodeCall(serial uint32, c Call) ([]byte, error) {
	sig, err := signatureOfAll(c.Args)
	if err != nil {
		return nil, err
	}
	var body encoder
	for _, arg := range c.Args {
		body.put(arg)
	}
	if body.err != nil {
		return nil, body.err
	}
	field := func(code byte, v any) any { return Struct{code, Variant{v}} }
	fields := Array{Of: "(yv)", Items: []any{
		field(fieldPath, c.Path), field(fieldInterface, c.Interface),
		field(fieldMember, c.Member), field(fieldDestination, c.Destination),
	}}
	if sig != "" {
		fields.Items = append(fields.Items, field(fieldSignature, Signature(sig)))
	}
	head := encoder{out: []byte{'l', typeCall, 0, 1}}
	head.u32(uint32(len(body.out)))
	head.u32(serial)
	head.put(fields)
	head.align(8)
	return append(head.out, body.out...), head.err
}

var errMalformed = errors.New("a malformed D-Bus message was received")

// size tells how long a message is that begins with these fixedHeader bytes.
func size(head []byte) (int, error) {
	order, err := byteOrder(head[0])
	if err != nil {
		return 0, err
	}
	body, fields := order.Uint32(head[4:]), order.Uint32(head[12:])
	if body > maxMessage || fields > maxMessage {
		return 0, errors.New("a D-Bus message of more than 1 MiB was received")
	}
	return fixedHeader + (int(fields)+7)&^7 + int(body), nil
}

func byteOrder(mark byte) (binary.ByteOrder, error) {
	switch mark {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	}
	return nil, errMalformed
}

// decode reads a whole message.
func decode(data []byte) (m message, err error) {
	order, err := byteOrder(data[0])
	if err != nil {
		return m, err
	}
	d := decoder{data: data, at: fixedHeader, order: order}
	end := fixedHeader + int(order.Uint32(data[12:]))
	sig := ""
	m.kind = data[1]
	for d.at < end && !d.bad {
		d.align(8)
		code := d.byte()
		values := d.read(d.signature())
		if len(values) != 1 {
			continue
		}
		text, _ := values[0].(string)
		switch code {
		case fieldPath:
			m.path = text
		case fieldInterface:
			m.iface = text
		case fieldMember:
			m.member = text
		case fieldError:
			m.errname = text
		case fieldReplyTo:
			m.replyTo, _ = values[0].(uint32)
		case fieldSignature:
			sig = text
		}
	}
	if d.bad {
		return m, errMalformed
	}
	d.align(8)
	if m.body = d.read(sig); d.bad {
		return m, errMalformed
	}
	return m, nil
}

type decoder struct {
	data  []byte
	at    int
	order binary.ByteOrder
	bad   bool
}

func (d *decoder) align(n int) { d.at = (d.at + n - 1) &^ (n - 1) }

// take returns the next n bytes, or zeros behind the end.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.data)-d.at {
		d.bad = true
		return make([]byte, min(max(n, 0), 8))
	}
	d.at += n
	return d.data[d.at-n : d.at]
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) u32() uint32 {
	d.align(4)
	return d.order.Uint32(d.take(4))
}

func (d *decoder) text() string {
	s := string(d.take(int(d.u32())))
	d.take(1)
	return s
}

func (d *decoder) signature() string {
	s := string(d.take(int(d.byte())))
	d.take(1)
	return s
}

// read reads values as long as they are numbers of 32 bits, strings, or variants of those: other answers are not asked for.
// Strings of all three types come out as string.
func (d *decoder) read(sig string) (values []any) {
	for i := 0; i < len(sig) && !d.bad; i++ {
		switch sig[i] {
		case 'u', 'i', 'b':
			values = append(values, d.u32())
		case 's', 'o':
			values = append(values, d.text())
		case 'g':
			values = append(values, d.signature())
		case 'v':
			inner := d.signature()
			if len(inner) != 1 || inner == "v" { // no deeper: nothing asks for it
				return values
			}
			values = append(values, d.read(inner)...)
		default:
			return values
		}
	}
	return values
}
