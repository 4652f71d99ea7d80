package libct

import (
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"husk/seccomp"
)

// SeccompVersion is the version of the libseccomp that compiles profiles, "" if it is not known.
func SeccompVersion() string { return seccomp.Version() }

// SeccompFeatures says what a seccomp profile may hold here, in the form of the runtime specification's features.md.
func SeccompFeatures() *features.Seccomp {
	s, enabled := seccomp.Supported(), true
	return &features.Seccomp{
		Enabled:        &enabled,
		Actions:        s.Actions,
		Operators:      s.Operators,
		Archs:          s.Archs,
		KnownFlags:     s.KnownFlags,
		SupportedFlags: s.SupportedFlags,
	}
}
