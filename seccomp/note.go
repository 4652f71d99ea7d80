package seccomp

import (
	_ "embed"
	"encoding/binary"
)

// compilerProgram is the static program of ./compiler, which is built before
// this package (see its doc comment).
//
//go:embed compiler/compiler.bin
var compilerProgram []byte

const noteProgramHeader = 4 // PT_NOTE

// Version returns the version of the embedded libseccomp, like "2.5.4", or ""
// for a compiler without the note of compiler/note.c. It starts nothing.
func Version() string {
	const libseccomp = 1
	return note(identity(), "husk", libseccomp)
}

// identity returns all ELF notes of the compiler. They hold its Go build ID,
// which is a hash of the whole file, libseccomp's code included, so they stand
// for it without 2.7 MB having to be read.
func identity() string { return notes(compilerProgram) }

// notes returns the PT_NOTE segments of a little-endian 64-bit ELF file, the
// only kind husk is built for, or "".
func notes(elf []byte) string {
	if len(elf) < 64 || string(elf[:6]) != "\x7fELF\x02\x01" {
		return ""
	}
	offset := binary.LittleEndian.Uint64(elf[32:])
	size, count := uint64(binary.LittleEndian.Uint16(elf[54:])), uint64(binary.LittleEndian.Uint16(elf[56:]))
	total := uint64(len(elf))
	var found string
	for i := range count {
		at := offset + i*size
		if size < 56 || at > total || size > total-at {
			return found
		}
		h := elf[at : at+size]
		start, length := binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[32:])
		if binary.LittleEndian.Uint32(h) == noteProgramHeader && start <= total && length <= total-start {
			found += string(elf[start : start+length])
		}
	}
	return found
}

// note returns the description of the note with a name and type, or "". The
// fields of a note are aligned to 4 bytes, also in the 8-byte aligned segment
// of x86's property note, whose sizes are multiples of 8. (elf(5))
func note(list, name string, kind uint32) string {
	for len(list) >= 12 {
		h := []byte(list[:12])
		nameSize, descSize := uint64(binary.LittleEndian.Uint32(h)), uint64(binary.LittleEndian.Uint32(h[4:]))
		desc := 12 + (nameSize+3)&^3
		end := desc + (descSize+3)&^3
		if desc+descSize > uint64(len(list)) {
			return ""
		}
		if binary.LittleEndian.Uint32(h[8:]) == kind && list[12:12+nameSize] == name+"\x00" {
			return list[desc : desc+descSize]
		}
		list = list[min(end, uint64(len(list))):]
	}
	return ""
}
