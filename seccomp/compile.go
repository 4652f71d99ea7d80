package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp/internal/wire"
)

// maxInstructions is the kernel's limit for one program: BPF_MAXINSNS.
const maxInstructions = 4096

// Filter is what seccomp(2) needs.
type Filter struct {
	// Instructions are at most 4096 and at least 1.
	Instructions []unix.SockFilter
	// Flags are SECCOMP_FILTER_FLAG_* bits that the running kernel knows.
	// NEW_LISTENER is among them exactly if some rule is SCMP_ACT_NOTIFY: the
	// listener that seccomp(2) then returns must be sent to the listenerPath.
	Flags uint32
	// Warnings name in one line what is not in the filter because libseccomp does not know it.
	Warnings []string
}

// Bytes returns the instructions as seccomp(2) reads them, struct sock_filter
// after struct sock_filter in the host's byte order, 8 bytes each.
func (f *Filter) Bytes() []byte {
	b := make([]byte, 0, unix.SizeofSockFilter*len(f.Instructions))
	for _, i := range f.Instructions {
		b = binary.NativeEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b
}

// Compile makes the filter for p: Start and Wait.
func Compile(p *specs.LinuxSeccomp) (*Filter, error) {
	pending, err := Start(p)
	if err != nil {
		return nil, err
	}
	return pending.Wait()
}

// Pending is a compilation under way. Either Wait or Cancel must be called,
// once, by one goroutine.
type Pending struct {
	profile *specs.LinuxSeccomp
	flags   uint32
	process *process
}

// timeout is for a compilation on a machine that is on its knees; Docker's
// profile takes some milliseconds. The compiler bounds its CPU time itself.
const timeout = 30 * time.Second

// Start checks p, see Validate, and starts to compile it. p must not be changed
// until Wait has returned.
func Start(p *specs.LinuxSeccomp) (*Pending, error) {
	if err := Validate(p); err != nil {
		return nil, err
	}
	bits, err := Flags(p)
	if err != nil {
		return nil, err
	}
	proc, err := startProcess(compilerProgram, wire.AppendProfile(nil, p), timeout)
	if err != nil {
		return nil, fmt.Errorf("start seccomp compiler: %w", err)
	}
	return &Pending{profile: p, flags: bits, process: proc}, nil
}

// Cancel ends a compilation nobody wants any more.
func (p *Pending) Cancel() { p.process.cancel() }

// Flags are those of the filter to come, for seccomp(2).
func (p *Pending) Flags() uint32 { return p.flags }

// Wait returns the filter. Errors are those of libseccomp, with a JSON pointer,
// a program that is too long for the kernel, and the compiler's own death.
func (p *Pending) Wait() (*Filter, error) {
	output, status, err := p.process.wait()
	if err != nil {
		return nil, fmt.Errorf("compile seccomp profile: %w", err)
	}
	reply, err := wire.ParseReply(output)
	if err != nil {
		return nil, fmt.Errorf("compile seccomp profile: compiler %s: %s", describe(status), excerpt(output))
	}
	if reply.Err != "" {
		return nil, errors.New("compile seccomp profile: " + reply.Err)
	}
	return finish(p.profile, p.flags, reply)
}

// finish makes the filter from libseccomp's program. It is pure.
func finish(p *specs.LinuxSeccomp, bits uint32, reply *wire.Reply) (*Filter, error) {
	prologue, err := stub(p, reply.Newest)
	if err != nil {
		return nil, err
	}
	checks, err := argumentChecks(p, reply.Numbers)
	if err != nil {
		return nil, err
	}
	prologue = append(prologue, checks...)
	n := len(prologue) + len(reply.Program)
	if len(reply.Program) == 0 || n > maxInstructions {
		return nil, fmt.Errorf("compile seccomp profile: /linux/seccomp: the filter has %d instructions, the kernel takes 1 to %d", n, maxInstructions)
	}
	f := &Filter{Instructions: append(prologue, reply.Program...), Flags: bits}
	if len(reply.Skipped) > 0 {
		f.Warnings = append(f.Warnings, skippedWarning(reply))
	}
	return f, nil
}

// skippedWarning names a few of the unknown system calls; the names are
// whatever the profile holds.
func skippedWarning(reply *wire.Reply) string {
	const most, longest = 16, 40
	var names []string
	for _, name := range reply.Skipped[:min(most, len(reply.Skipped))] {
		names = append(names, strconv.Quote(name[:min(longest, len(name))]))
	}
	if more := len(reply.Skipped) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("/linux/seccomp/syscalls: libseccomp %s does not know %s", reply.Version, strings.Join(names, ", "))
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() && status.Signal() == unix.SIGKILL {
		return "was killed; if not by hand, libseccomp was busy with the profile for too long"
	}
	if status.Signaled() {
		return "was ended by " + status.Signal().String()
	}
	return "exited with status " + strconv.Itoa(status.ExitStatus())
}

// excerpt makes one printable line from the start of what a crash printed.
func excerpt(output []byte) string {
	return strconv.Quote(string(output[:min(200, len(output))]))
}
