package seccomp_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
)

// victimCalls names the variable with the system call numbers that a test
// process makes, and reports, after it has loaded the filter on its input.
const victimCalls = "HUSK_SECCOMP_VICTIM"

// victim is the other side of runVictim.
func victim() int {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil || len(raw) < 4+unix.SizeofSockFilter {
		fmt.Println("no filter:", err)
		return 1
	}
	flags := *(*uint32)(unsafe.Pointer(&raw[0]))
	program := unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(&raw[4])), (len(raw)-4)/unix.SizeofSockFilter)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println("no_new_privs:", err)
		return 1
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		uintptr(flags|unix.SECCOMP_FILTER_FLAG_TSYNC), uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		fmt.Println("seccomp:", errno)
		return 1
	}
	for _, field := range strings.Fields(os.Getenv(victimCalls)) {
		number, _ := strconv.Atoi(field)
		_, _, errno := unix.RawSyscall(uintptr(number), ^uintptr(0), ^uintptr(0), ^uintptr(0))
		fmt.Printf("%d:%d ", number, int(errno))
	}
	return 0
}

// runVictim returns number:errno for each call, or how the process ended.
func runVictim(t *testing.T, f *seccomp.Filter, numbers ...int) string {
	t.Helper()
	flags := f.Flags
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), victimCalls+"="+strings.Trim(fmt.Sprint(numbers), "[]"))
	cmd.Stdin = strings.NewReader(string(unsafe.Slice((*byte)(unsafe.Pointer(&flags)), 4)) + string(f.Bytes()))
	output, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		return strings.TrimSpace(string(output) + exit.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// The kernel takes the filters and does with them what the interpreter says.
func TestVictim(t *testing.T) {
	nativeNames(t)
	except := func(action specs.LinuxSeccompAction) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(action, "kexec_load")}}
	}
	kexec := unix.SYS_KEXEC_LOAD
	enoent := uint(unix.ENOENT)
	withErrno := except(specs.ActErrno)
	withErrno.Syscalls[0].ErrnoRet = &enoent
	withFlags := except(specs.ActErrno)
	withFlags.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"}
	for _, tc := range []struct {
		name    string
		p       *specs.LinuxSeccomp
		numbers []int
		want    string
	}{
		{"errno", withErrno, []int{kexec, unix.SYS_GETUID}, fmt.Sprintf("%d:2 %d:0", kexec, unix.SYS_GETUID)},
		{"flags", withFlags, []int{kexec}, fmt.Sprintf("%d:1", kexec)},
		{"trace without tracer", except(specs.ActTrace), []int{kexec}, fmt.Sprintf("%d:38", kexec)},
		{"kill process", except(specs.ActKillProcess), []int{kexec}, "signal: bad system call"},
		{"docker", docker(t), []int{unix.SYS_GETUID, unix.SYS_UNSHARE, unix.SYS_CLONE3, 9000}, fmt.Sprintf("%d:0 %d:1 %d:38 9000:38", unix.SYS_GETUID, unix.SYS_UNSHARE, unix.SYS_CLONE3)},
	} {
		got := runVictim(t, compile(t, tc.p), tc.numbers...)
		if strings.TrimSuffix(got, " (core dumped)") != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// What the kernel does with every number agrees with the interpreter, as far
// as the filter refuses it: then the call has no effect.
func TestVictimOfAllNumbers(t *testing.T) {
	_, arch := nativeNames(t)
	f := compile(t, docker(t))
	var numbers []int
	var want []string
	for n := range 1200 {
		if runtime.GOARCH == "amd64" && (n == 335 || n == 336) {
			continue // uretprobe and uprobe: Linux asks no filter, and ends who calls them
		}
		if r := decide(t, f, arch, uint32(n)); r&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO {
			// clone and personality with all bits set are refused, too.
			numbers = append(numbers, n)
			c := call{number: uint32(n), arch: arch, args: [6]uint64{^uint64(0), ^uint64(0), ^uint64(0)}}
			r, err := evaluate(f.Instructions, &c)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%d:%d", n, r&unix.SECCOMP_RET_DATA))
		}
	}
	if len(numbers) < 700 {
		t.Errorf("only %d numbers are refused", len(numbers))
	}
	if got := runVictim(t, f, numbers...); got != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
	}
}
