package seccomp

import (
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	Generation = generation
	MaxEntries = maxEntries
	MaxBytes   = maxBytes
)

var (
	Finish          = finish
	Sum             = sum
	CompilerProgram = compilerProgram
)

func Note(name string, kind uint32) string { return note(identity(), name, kind) }

func (k CacheKey) File() string { return k.file() }

// Audits returns the table of architectures.
func Audits() map[specs.Arch]uint32 {
	m := map[specs.Arch]uint32{}
	for _, a := range architectures() {
		m[a.name] = a.audit
	}
	return m
}

// Run starts any program like the compiler.
func Run(program, input []byte, timeout time.Duration) ([]byte, error) {
	p, err := startProcess(program, input, timeout)
	if err != nil {
		return nil, err
	}
	output, _, err := p.wait()
	return output, err
}

// WaitFor is what Pending.Wait says about a program that isn't the compiler.
func WaitFor(program []byte) error {
	p, err := startProcess(program, nil, time.Minute)
	if err != nil {
		return err
	}
	_, err = (&Pending{profile: &specs.LinuxSeccomp{}, process: p}).Wait()
	return err
}
