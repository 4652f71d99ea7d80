package integration

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Where clone3 is refused, as by the filters of older engines around the runtime itself, processes join their cgroup by hand.
func TestWithoutClone3(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "the test starts these commands with clone3 itself")
		b := newBundle(t, v)
		b.ownCgroupNamespace()
		b.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/inside", Args: []string{"inside", "exit", "0"}}}}
		b.Process.Args = []string{"/inside", "wait"}
		b.save()
		for _, args := range [][]string{{"create", "--bundle", b.dir, b.id}, {"start", b.id}} {
			if r := b.withoutClone3(args...); r.status != 0 || r.stderr != "" {
				t.Fatalf("husk %q: %v", args, r)
			}
		}
		pid := b.state().Pid
		b.adopt(pid)
		r := b.withoutClone3("exec", b.id, "/inside", "facts")
		if r.status != 0 || r.stderr != "" {
			t.Fatalf("exec: %v", r)
		}
		f := parseFacts(t, r.stdout)
		equal(t, "cgroup of exec", f.Cgroup, cgroupInside(f))
		for _, dir := range v.hierarchies {
			err := v.do(func() error {
				data, err := os.ReadFile(dir + v.cgroup(b.id) + "/cgroup.procs")
				if err == nil && string(data) != itoa(pid)+"\n" {
					t.Errorf("%s: %q; want %d", dir, data, pid)
				}
				return err
			})
			if err != nil && !os.IsNotExist(err) { // not every hierarchy has one for each container
				t.Error(err)
			}
		}
		b.must("delete", "--force", b.id)
	})
}

// withoutClone3 runs a command under a seccomp filter that answers clone3 with ENOSYS.
func (b *bundle) withoutClone3(args ...string) result {
	b.t.Helper()
	b.start = startWithoutClone3
	defer func() { b.start = nil }()
	return b.husk(args...)
}

// startWithoutClone3 starts a command from a thread of its own, which ends with it and is in the caller's mount namespace.
func startWithoutClone3(cmd *exec.Cmd) error {
	mounts, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mounts)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(mounts, unix.CLONE_NEWNS)); err != nil {
				return err
			}
			filter := []unix.SockFilter{
				{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
				{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE3, Jf: 1},
				{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
				{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
			}
			program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
			if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
				return err
			}
			return cmd.Start()
		}()
	}()
	return <-done
}
