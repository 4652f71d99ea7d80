package wire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Magic starts every reply: what a crashing compiler prints can't be taken for
// one.
const Magic = "\x7fhusk-seccomp-1\n"

// Reply is what the compiler made of a profile: a program, or an error.
type Reply struct {
	// Err is why there is no program, one line with the place in config.json.
	Err string
	// Version of the libseccomp that did the work, like "2.5.4".
	Version string
	// Newest holds one entry for each architecture of the filter.
	Newest []Newest
	// Numbers holds the system calls with a Choice, on each architecture that
	// has them. They aren't in Program if all architectures have them.
	Numbers []Number
	// Skipped are names of system calls that libseccomp doesn't know.
	Skipped []string
	// Program is libseccomp's classic BPF.
	Program []unix.SockFilter
}

// Newest is the highest number of a system call that the profile names.
type Newest struct {
	Arch   string // as in the profile: SCMP_ARCH_...
	Number uint32 // with the x32 bit, if the architecture has it
}

// Number is one system call of one architecture.
type Number struct {
	Arch, Name string
	Number     uint32
}

// AppendReply appends the encoding of r.
func AppendReply(dst []byte, r *Reply) []byte {
	dst = append(dst, Magic...)
	dst = appendString(dst, r.Err)
	dst = appendString(dst, r.Version)
	dst = appendLen(dst, r.Newest)
	for _, n := range r.Newest {
		dst = appendString(dst, n.Arch)
		dst = binary.LittleEndian.AppendUint32(dst, n.Number)
	}
	dst = appendLen(dst, r.Numbers)
	for _, n := range r.Numbers {
		dst = appendString(appendString(dst, n.Arch), n.Name)
		dst = binary.LittleEndian.AppendUint32(dst, n.Number)
	}
	dst = appendStrings(dst, r.Skipped)
	return AppendProgram(dst, r.Program)
}

// ParseReply decodes what AppendReply encoded.
func ParseReply(record []byte) (*Reply, error) {
	r := &reader{rest: record}
	if string(r.take(len(Magic))) != Magic {
		return nil, errShort
	}
	reply := &Reply{
		Err:     r.string(),
		Version: r.string(),
		Newest: readSlice(r, 8, func() Newest {
			return Newest{Arch: r.string(), Number: r.uint32()}
		}),
		Numbers: readSlice(r, 12, func() Number {
			return Number{Arch: r.string(), Name: r.string(), Number: r.uint32()}
		}),
		Skipped: readStrings[string](r),
		Program: readProgram(r),
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return reply, nil
}

// AppendProgram appends a length and the instructions of a program.
func AppendProgram(dst []byte, program []unix.SockFilter) []byte {
	dst = appendLen(dst, program)
	for _, i := range program {
		dst = binary.LittleEndian.AppendUint16(dst, i.Code)
		dst = append(dst, i.Jt, i.Jf)
		dst = binary.LittleEndian.AppendUint32(dst, i.K)
	}
	return dst
}

func readProgram(r *reader) []unix.SockFilter {
	n := int(r.uint32()) - 1
	if n < 0 || r.err != nil {
		return nil
	}
	b := r.take(n * 8)
	program := make([]unix.SockFilter, len(b)/8)
	for i := range program {
		program[i] = unix.SockFilter{
			Code: binary.LittleEndian.Uint16(b[8*i:]),
			Jt:   b[8*i+2], Jf: b[8*i+3],
			K: binary.LittleEndian.Uint32(b[8*i+4:]),
		}
	}
	return program
}
