// Package wire is what husk and its seccomp compiler say to each other: a
// profile goes in, a reply comes out, each as one length-prefixed record.
//
// The encoding of a profile is injective (two different profiles never encode
// to the same bytes), so it is also what identifies a filter in the cache.
package wire

import (
	"encoding/binary"
	"errors"
)

// errShort says that a record ended early, went on after its end or holds a
// length that can't be true.
var errShort = errors.New("malformed record")

func appendString(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// appendLen writes a slice's length plus one; 0 stands for a nil slice, which
// isn't the same as an empty one (`flags`).
func appendLen[T any](dst []byte, s []T) []byte {
	if s == nil {
		return binary.LittleEndian.AppendUint32(dst, 0)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(len(s))+1)
}

func appendStrings[S ~string](dst []byte, list []S) []byte {
	dst = appendLen(dst, list)
	for _, s := range list {
		dst = appendString(dst, string(s))
	}
	return dst
}

func appendOptional(dst []byte, v *uint) []byte {
	if v == nil {
		return append(dst, 0)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 1), uint64(*v))
}

// reader takes a record apart. After its first error it returns zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.err = errShort
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string { return string(r.take(int(r.uint32()))) }

func (r *reader) optional() *uint {
	b := r.take(1)
	if b == nil || b[0] == 0 {
		return nil
	}
	v := uint(r.uint64())
	return &v
}

// readSlice reads what appendLen announced. Each element takes at least min
// bytes, which bounds the allocation by the size of the record.
func readSlice[T any](r *reader, minSize int, element func() T) []T {
	n := int(r.uint32()) - 1
	if n < 0 || r.err != nil {
		return nil
	}
	if n > len(r.rest)/minSize {
		r.err = errShort
		return nil
	}
	list := make([]T, 0, n)
	for range n {
		list = append(list, element())
	}
	return list
}

func readStrings[S ~string](r *reader) []S {
	return readSlice(r, 4, func() S { return S(r.string()) })
}

// end reports the reader's error, or that something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.err = errShort
	}
	return r.err
}
