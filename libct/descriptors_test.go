package libct

import (
	"strings"
	"testing"
)

func TestSetEnv(t *testing.T) {
	got := setEnv([]string{"A=1", "B=2", "A=3", "AB=4"}, "A", "5")
	if want := "B=2 AB=4 A=5"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
