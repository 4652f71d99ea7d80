//go:build cgo

// Command compiler turns one seccomp profile into BPF with libseccomp.
//
// It is embedded into husk, which starts it from a sealed memfd with an empty
// environment when a filter isn't in the cache. It exists as a program of its
// own because cgo would cost every husk command half a millisecond of start-up.
//
// The profile is read from standard input, the reply goes to standard output
// (package wire). It exits with 0 also for a profile that can't be compiled:
// the reply says why.
package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"husk/seccomp/internal/wire"
)

// cpuSeconds is more than any profile needs. The kernel ends a compiler that
// a hostile profile keeps busy, even if husk itself was killed meanwhile.
const cpuSeconds = 10

func main() {
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr))
}

func run(in io.Reader, out, diagnostics io.Writer) int {
	limit := unix.Rlimit{Cur: cpuSeconds, Max: cpuSeconds}
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &limit); err != nil {
		io.WriteString(diagnostics, "set RLIMIT_CPU: "+err.Error())
		return 1
	}
	request, err := io.ReadAll(in)
	if err != nil {
		io.WriteString(diagnostics, "read profile: "+err.Error())
		return 1
	}
	profile, err := wire.ParseProfile(request)
	if err != nil {
		io.WriteString(diagnostics, "decode profile: "+err.Error())
		return 1
	}
	reply, err := compile(profile)
	if err != nil {
		reply = &wire.Reply{Err: err.Error()}
	}
	if _, err := out.Write(wire.AppendReply(nil, reply)); err != nil {
		return 1
	}
	return 0
}
