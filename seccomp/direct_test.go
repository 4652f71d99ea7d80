package seccomp_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
	"husk/seccomp/internal/wire"
)

// directly has the compiler make a filter without the rest of the package around it, so that an emulator of another
// architecture's programs will do, which can't start processes as the package does: $HUSK_EMULATOR, if it is set.
func directly(t *testing.T, program string, p *specs.LinuxSeccomp) *seccomp.Filter {
	t.Helper()
	cmd := exec.Command(program)
	if emulator := os.Getenv("HUSK_EMULATOR"); emulator != "" {
		cmd = exec.Command(emulator, program)
	}
	cmd.Stdin = bytes.NewReader(wire.AppendProfile(nil, p))
	output, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%v: %v %+v", cmd.Args, err, exit)
	}
	reply, err := wire.ParseReply(output)
	if err != nil || reply.Err != "" {
		t.Fatalf("%v, %+v", err, reply)
	}
	flags, err := seccomp.Flags(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err := seccomp.Finish(p, flags, reply)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCompilerByItself(t *testing.T) {
	_, arch := nativeNames(t)
	program := filepath.Join(t.TempDir(), "compiler")
	if err := os.WriteFile(program, seccomp.CompilerProgram, 0o755); err != nil {
		t.Fatal(err)
	}
	f := directly(t, program, docker(t))
	for number, want := range map[uint32]uint32{unix.SYS_GETPID: allow, unix.SYS_CLONE3: enosys, unix.SYS_MOUNT: eperm} {
		if got := decide(t, f, arch, number); got != want {
			t.Errorf("docker's profile, call %d: %#x, want %#x", number, got, want)
		}
	}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := randomProfile(r)
		if err := checkMeaning(r, arch, p, directly(t, program, p)); err != nil {
			t.Errorf("%v\n%+v", err, p)
		}
	}
}
