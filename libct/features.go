package libct

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"husk/seccomp"
)

// SeccompVersion is the version of the libseccomp that compiles profiles, "" if it is not known.
func SeccompVersion() string { return seccomp.Version() }

// SeccompFeatures says what a seccomp profile may hold here, in the form of the runtime specification's features.md. It has no
// SCMP_ACT_NOTIFY: a filter with it can be compiled, but validation refuses it as long as nobody hands its listener over.
func SeccompFeatures() *features.Seccomp {
	s, enabled := seccomp.Supported(), true
	s.Actions = slices.DeleteFunc(s.Actions, func(name string) bool { return name == string(specs.ActNotify) })
	return &features.Seccomp{
		Enabled:        &enabled,
		Actions:        s.Actions,
		Operators:      s.Operators,
		Archs:          s.Archs,
		KnownFlags:     s.KnownFlags,
		SupportedFlags: s.SupportedFlags,
	}
}
