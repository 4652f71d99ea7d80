package main

import (
	"fmt"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/libct"
)

// printVersion answers --version with lines that programs parse.
//
// The first line has runc's name because containerd's go-runc knows no other: it takes what follows "runc version " on a line
// and finds no version otherwise. Docker takes what follows the last "version" of a line, so the line ends there, and the word
// comes once. The number is husk's own: it tells which program runs, and whoever compares it with a list of versions of
// runc must find that it is none of them. Both look for "commit: " and "spec: " at the start of a line; a commit is always
// printed, because some readers count lines.
func (a *app) printVersion() {
	revision := commit
	if revision == "" {
		revision = "unknown"
	}
	fmt.Fprintf(a.stdout, "runc version %s\ncommit: %s\nspec: %s\ngo: %s\n", version, revision, specs.Version, runtime.Version())
	if library := libct.SeccompVersion(); library != "" {
		fmt.Fprintf(a.stdout, "libseccomp: %s\n", library)
	}
	fmt.Fprintf(a.stdout, "husk: %s\n", version)
}
