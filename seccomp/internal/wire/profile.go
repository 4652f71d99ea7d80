package wire

import (
	"encoding/binary"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// AppendProfile appends the encoding of p. It holds every field but those about
// the agent behind a listener, of which the filter knows nothing: the metadata
// may be another one for each container.
func AppendProfile(dst []byte, p *specs.LinuxSeccomp) []byte {
	dst = appendString(dst, string(p.DefaultAction))
	dst = appendOptional(dst, p.DefaultErrnoRet)
	dst = appendStrings(dst, p.Architectures)
	dst = appendStrings(dst, p.Flags)
	dst = appendLen(dst, p.Syscalls)
	for i := range p.Syscalls {
		dst = appendSyscall(dst, &p.Syscalls[i])
	}
	return dst
}

func appendSyscall(dst []byte, s *specs.LinuxSyscall) []byte {
	dst = appendStrings(dst, s.Names)
	dst = appendString(dst, string(s.Action))
	dst = appendOptional(dst, s.ErrnoRet)
	dst = appendLen(dst, s.Args)
	for _, a := range s.Args {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a.Index))
		dst = binary.LittleEndian.AppendUint64(dst, a.Value)
		dst = binary.LittleEndian.AppendUint64(dst, a.ValueTwo)
		dst = appendString(dst, string(a.Op))
	}
	return dst
}

// ParseProfile decodes what AppendProfile encoded.
func ParseProfile(record []byte) (*specs.LinuxSeccomp, error) {
	r := &reader{rest: record}
	p := &specs.LinuxSeccomp{
		DefaultAction:   specs.LinuxSeccompAction(r.string()),
		DefaultErrnoRet: r.optional(),
		Architectures:   readStrings[specs.Arch](r),
		Flags:           readStrings[specs.LinuxSeccompFlag](r),
		Syscalls:        readSlice(r, 13, func() specs.LinuxSyscall { return readSyscall(r) }),
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

func readSyscall(r *reader) specs.LinuxSyscall {
	return specs.LinuxSyscall{
		Names:    readStrings[string](r),
		Action:   specs.LinuxSeccompAction(r.string()),
		ErrnoRet: r.optional(),
		Args: readSlice(r, 28, func() specs.LinuxSeccompArg {
			return specs.LinuxSeccompArg{
				Index:    uint(r.uint64()),
				Value:    r.uint64(),
				ValueTwo: r.uint64(),
				Op:       specs.LinuxSeccompOperator(r.string()),
			}
		}),
	}
}
