//go:build suite

// Package suite pins the OCI validation suite that husk is tested with; nothing is linked into husk. The versions of what it
// imports are those of its own time: the suite compares with the specification as it knew it.
package suite

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest" // the checker inside the containers
	_ "github.com/opencontainers/runtime-tools/validation/util" // what all programs import
)
