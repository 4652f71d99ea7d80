// Husk runs containers that are described by the OCI runtime specification. Its command line is that of runc.
//
// Each command has a file of its own with a value of type command, which says what can be asked for, and a run function,
// which passes that on to package libct and prints the answer.
package main

import (
	"os"
	"path/filepath"
	"runtime/debug"

	"husk/libct"
)

// Set by the linker: -X main.version=1.2.3 -X main.commit=...
var (
	version = "0.1.0-dev"
	commit  = ""
)

func main() {
	if elevated() {
		os.Stderr.WriteString("husk has the set-user-id bit, the set-group-id bit or file capabilities; it must not have them\n")
		os.Exit(1)
	}
	// A command ends long before a collection would pay. The limit is for a config.json of many megabytes, and for a run in
	// the foreground that lasts for months.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	a := &app{
		name:   filepath.Base(os.Args[0]),
		stdout: os.Stdout,
		stderr: os.Stderr,
		open:   func(o libct.Options) (containers, error) { return libct.New(o) },
	}
	os.Exit(a.main(os.Args[1:]))
}
