package wire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Filter is the record of a finished filter, as the cache keeps it.
type Filter struct {
	Flags    uint32
	Warnings []string
	Program  []unix.SockFilter
}

// AppendFilter appends the encoding of f.
func AppendFilter(dst []byte, f *Filter) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, f.Flags)
	dst = appendStrings(dst, f.Warnings)
	return AppendProgram(dst, f.Program)
}

// ParseFilter decodes what AppendFilter encoded.
func ParseFilter(record []byte) (*Filter, error) {
	r := &reader{rest: record}
	f := &Filter{Flags: r.uint32()}
	f.Warnings = readStrings[string](r)
	f.Program = readProgram(r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return f, nil
}
