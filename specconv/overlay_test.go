package specconv

import (
	"slices"
	"strings"
	"testing"
)

func TestLayersOf(t *testing.T) {
	long := "/" + strings.Repeat("a", 200)
	for _, c := range []struct {
		fstype, key, value string
		want               []string
	}{
		{"overlay", "lowerdir", long + ":" + long, []string{long, long}},
		{"overlay", "lowerdir", long + `\:b\\c:` + long + ":/d", []string{long + `:b\c`, long, "/d"}},
		{"overlay", "lowerdir", "/a:/b", nil},
		{"overlay", "lowerdir", long + "::" + long, nil},
		{"overlay", "upperdir", long + ":" + long, nil},
		{"tmpfs", "lowerdir", long + ":" + long, nil},
	} {
		if got := layersOf(c.fstype, parameter{key: c.key, value: c.value}); !slices.Equal(got, c.want) {
			t.Errorf("%s %s=%s: %q, want %q", c.fstype, c.key, c.value, got, c.want)
		}
	}
}
