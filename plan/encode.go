package plan

import (
	"encoding/binary"
	"errors"
)

// A message from the interpreter: u32 kind, u32 op index, i64 value.
const (
	MessageSize = 16
	MessageGate = 1 // stands at a gate; value is the number of its descriptor, if it has one
	MessageFail = 2 // value is the errno
	MessagePid  = 3 // value is the pid of the process that goes on
	MessageFD   = 4 // carries a descriptor (SendFD); op and value are zero
)

// Message is a decoded message.
type Message struct {
	Kind  uint32
	Op    int
	Value int64
}

// ParseMessage decodes a message.
func ParseMessage(p []byte) (Message, error) {
	if len(p) != MessageSize {
		return Message{}, errors.New("message of the interpreter has the wrong size")
	}
	return Message{
		Kind:  binary.LittleEndian.Uint32(p),
		Op:    int(binary.LittleEndian.Uint32(p[4:])),
		Value: int64(binary.LittleEndian.Uint64(p[8:])),
	}, nil
}

// Encode gives the bytes that the interpreter executes. Only a plan that Verify has passed can be encoded.
//
//	header: u32 magic, version, ops, ops' offset, registers, inputs, first descriptor, total size
//	data, padded to 8
//	op:     u8 kind, u8 0, u16 nr, u16 result, u16 jump, u16 operand modes (2 bits each), u8 tolerated[6], u64 operand[6]
func (p *Plan) Encode() ([]byte, error) {
	if !p.verified {
		return nil, errors.New("encode plan: it has not been verified")
	}
	opsAt := HeaderSize + (len(p.Data)+7)&^7
	size := opsAt + OpSize*len(p.Ops)
	if size > MaxSize {
		return nil, errors.New("encode plan: args and env of config.json are too large")
	}
	out := make([]byte, size)
	le := binary.LittleEndian
	for i, v := range []int{Magic, Version, len(p.Ops), opsAt, len(p.Names), len(p.Inputs), p.FirstFD, size} {
		le.PutUint32(out[4*i:], uint32(v))
	}
	copy(out[HeaderSize:], p.Data)
	for i := range p.Ops {
		op, o := &p.Ops[i], out[opsAt+OpSize*i:]
		o[0] = byte(op.Kind)
		le.PutUint16(o[2:], op.Nr)
		le.PutUint16(o[4:], uint16(op.Result))
		le.PutUint16(o[6:], op.Jump)
		var modes uint16
		for j, a := range op.Args {
			modes |= uint16(a.Mode) << (2 * j)
			le.PutUint64(o[16+8*j:], a.Value)
		}
		le.PutUint16(o[8:], modes)
		copy(o[10:16], op.Tolerate[:])
	}
	return out, nil
}
