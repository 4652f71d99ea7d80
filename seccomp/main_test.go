package seccomp_test

import (
	"os"
	"testing"

	"husk/internal/fdtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimCalls) != "" {
		os.Exit(victim())
	}
	fdtest.Main(m)
}
