package nsenter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// actions is what a filter does with some system calls; all others are allowed.
type actions map[uint32]uint32

// program is the filter. It looks at the number alone: the interpreter knows no other architecture.
func (a actions) program() (code []byte) {
	add := func(op uint16, jt, jf uint8, k uint32) {
		code = binary.NativeEndian.AppendUint16(code, op)
		code = binary.NativeEndian.AppendUint32(append(code, jt, jf), k)
	}
	add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)
	for nr, action := range a {
		add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, nr)
		add(unix.BPF_RET|unix.BPF_K, 0, 0, action)
	}
	add(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)
	return code
}

// startFiltered starts a plan that loads a filter and, with the flag for it, hands its listener over.
func startFiltered(t *testing.T, flags uint32, a actions, program string, send bool) *Process {
	t.Helper()
	p := smallPlan(t, func(s *small) { s.b.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1) }, func(s *small) {
		s.args = []string{program}
		s.last = func(s *small) {
			if fd := s.b.Seccomp(flags, s.b.FilterProgram(a.program())); fd != plan.NoReg {
				if send {
					s.b.SendFD(s.socket, fd)
				}
				s.b.GateFor("hand over", fd, s.scratch, 64)
				s.b.Close(fd)
			}
		}
	})
	process, _ := startSmall(t, p, Options{})
	return process
}

const (
	denied  = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	nothing = unix.SECCOMP_RET_ERRNO // errno 0: the call has done nothing and says that all is well
)

// TestListener: the gate tells the number of the listener, and when the plan goes on nothing holds it but what the parent
// has copied: a call that the filter leaves to nobody gives ENOSYS.
func TestListener(t *testing.T) {
	for _, send := range []bool{false, true} {
		process := startFiltered(t, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, actions{unix.SYS_EXECVE: unix.SECCOMP_RET_USER_NOTIF}, "/bin/true", send)
		event, err := process.Next()
		if err != nil || event.Gate.Step != "hand over" || event.FD != 4 || len(event.Files) != map[bool]int{true: 1}[send] {
			t.Fatalf("%+v, %v", event, err)
		}
		for _, f := range event.Files {
			if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); name != "anon_inode:seccomp notify" {
				t.Errorf("%q was sent, %v", name, err)
			}
			f.Close()
		}
		if err := process.Answer(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := process.Next(); !errors.Is(err, unix.ENOSYS) {
			t.Errorf("%v, want ENOSYS", err)
		}
	}
}

// TestRefusing: a filter that refuses the interpreter's own calls can't make anybody wait for ever.
func TestRefusing(t *testing.T) {
	const listen = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	for _, c := range []struct {
		name    string
		flags   uint32
		a       actions
		program string
		gate    bool
		want    error
	}{
		{"write", listen, actions{unix.SYS_WRITE: denied}, "/bin/true", false, io.EOF},
		{"write that does nothing", listen, actions{unix.SYS_WRITE: nothing}, "/bin/true", false, io.EOF},
		{"write and exit_group", listen, actions{unix.SYS_WRITE: denied, unix.SYS_EXIT_GROUP: denied}, "/bin/true", false, io.EOF},
		{"read", listen, actions{unix.SYS_READ: denied}, "/bin/true", true, unix.EACCES},
		{"close", listen, actions{unix.SYS_CLOSE: denied}, "/bin/true", true, unix.EACCES},
		{"execve", 0, actions{unix.SYS_EXECVE: denied}, "/bin/true", false, unix.EACCES},
		{"execve and write", 0, actions{unix.SYS_EXECVE: denied, unix.SYS_WRITE: denied}, "/bin/true", false, io.EOF},
		{"write, after a failed execve", 0, actions{unix.SYS_WRITE: denied}, "/no/such/program", false, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			process := startFiltered(t, c.flags, c.a, c.program, false)
			if c.gate {
				if event, err := process.Next(); err != nil || event.FD == 0 {
					t.Fatalf("%+v, %v", event, err)
				}
				if err := process.Answer(nil); err != nil && err != io.EOF { // it may have ended by now
					t.Fatal(err)
				}
			}
			if _, err := process.Next(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			process.Conn.Close()
			if status, err := process.Wait(); err != nil || status.Exited() && status.ExitStatus() == 0 {
				t.Errorf("ended with %v, %v", status, err)
			}
			process.Pidfd.Close()
			process.Pidfd = nil
		})
	}
}
