package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// later lists what the specification has and this release does not do. It is
// refused by name, since a field dropped in silence is a container with less
// isolation, or another, than was asked for. find gets a Spec with Linux set
// and returns JSON pointers to what it found. A row goes when its feature comes.
var later = []struct {
	what    string
	section string
	find    func(*specs.Spec) []string
}{
	{"vm", "config-vm.md", func(s *specs.Spec) []string { return found(s.VM != nil, "/vm") }},
}

// later notes what the table finds.
func (r *report) later(s *specs.Spec) {
	if s.Linux == nil {
		withLinux := *s
		withLinux.Linux = new(specs.Linux)
		s = &withLinux
	}
	for _, row := range later {
		r.section = row.section
		for _, pointer := range row.find(s) {
			r.add(pointer, "%s is not supported by this release", row.what)
		}
	}
}

func found(is bool, pointer string) []string {
	if is {
		return []string{pointer}
	}
	return nil
}
