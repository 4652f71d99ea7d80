package seccomp

import (
	"encoding/binary"
	"slices"

	"husk/seccomp/internal/wire"
)

// An entry of the cache is
//
//	8 bytes  entryMagic
//	8 bytes  sum of all that follows
//	4 bytes  length of the input
//	...      the input: the key, in full
//	...      the filter (package wire)
//
// with all numbers in little-endian order.
const (
	entryMagic  = "huskbpf\x01"
	entryHeader = 8 + 8 + 4
	// maxEntry is more than twice what the longest filter and a long profile
	// take. Larger ones aren't kept.
	maxEntry = 128 << 10
)

func appendEntry(dst []byte, key CacheKey, f *Filter) []byte {
	dst = append(dst, entryMagic...)
	start := len(dst)
	dst = append(dst, make([]byte, 8)...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(key.input)))
	dst = append(dst, key.input...)
	dst = wire.AppendFilter(dst, &wire.Filter{
		Flags: f.Flags, Warnings: f.Warnings, Program: f.Instructions,
	})
	binary.LittleEndian.PutUint64(dst[start:], sum(dst[start+8:]))
	return dst
}

// parseEntry returns the filter of an entry that is complete, undamaged and
// made for exactly this key.
func parseEntry(entry []byte, key CacheKey) (*Filter, bool) {
	if len(entry) < entryHeader || string(entry[:8]) != entryMagic ||
		binary.LittleEndian.Uint64(entry[8:]) != sum(entry[16:]) {
		return nil, false
	}
	n, rest := uint64(binary.LittleEndian.Uint32(entry[16:])), entry[entryHeader:]
	if n > uint64(len(rest)) || string(rest[:n]) != key.input {
		return nil, false
	}
	w, err := wire.ParseFilter(rest[n:])
	if err != nil || len(w.Program) == 0 || len(w.Program) > maxInstructions {
		return nil, false
	}
	return &Filter{Instructions: w.Program, Flags: w.Flags, Warnings: slices.Clip(w.Warnings)}, true
}
