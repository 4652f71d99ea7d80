package fdtest

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestRun(t *testing.T) {
	var leak *os.File
	for _, tc := range []struct {
		name  string
		tests func() int
		code  int
		out   string
	}{
		{"nothing left", func() int { return 0 }, 0, ""},
		{"a test failed", func() int { return 2 }, 2, ""},
		{"a file left", func() int { leak, _ = os.Open("/dev/null"); return 0 }, 1, "-> /dev/null"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			if code := run(tc.tests, &out); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(out.String(), tc.out) || (tc.out == "") != (out.Len() == 0) {
				t.Errorf("output %q, want it to hold %q", &out, tc.out)
			}
		})
	}
	leak.Close()
}
