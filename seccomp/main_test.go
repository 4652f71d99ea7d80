package seccomp_test

import (
	"testing"

	"husk/internal/fdtest"
)

func TestMain(m *testing.M) { fdtest.Main(m) }
