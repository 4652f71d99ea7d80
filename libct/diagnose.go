package libct

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/nsenter"
	"husk/specconv"
)

// diagnose adds to a failed execve what its errno does not say: the file exists and the kernel says ENOENT because its
// interpreter does not. The process that has failed still waits, so its root shows what the kernel has seen.
func diagnose(op *nsenter.OpError, pid int) error {
	program, ok := strings.CutPrefix(op.Origin.Step, "exec ")
	if !ok || strings.HasPrefix(op.Origin.Step, "exec: ") {
		for _, h := range hints {
			if h.errno == op.Errno && strings.HasPrefix(op.Origin.Step, h.step) {
				return fmt.Errorf("%w (%s)", op, h.text)
			}
		}
		return op
	}
	root, err := linux.Openat(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return op
	}
	defer unix.Close(root)
	if !path.IsAbs(program) {
		cwd, err := linux.Readlinkat(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/cwd")
		if err != nil {
			return op
		}
		program = path.Join(cwd, program)
	}
	if why := whyNot(root, program, op.Errno); why != "" {
		return fmt.Errorf("%s: %w", why, op)
	}
	return op
}

// hints say what to do about a failed op, by the beginning of its step and its errno.
var hints = []struct {
	step  string
	errno unix.Errno
	text  string
}{
	{specconv.StepEnterPids, unix.EAGAIN, "a limit on the number of processes is reached: /linux/resources/pids/limit, RLIMIT_NPROC or kernel.pid_max"},
	{specconv.StepEnterPids, unix.ENOMEM, "its first process has ended"}, // fork's way to say so: pid_namespaces(7)
	{"open file system", unix.ENODEV, "the kernel does not know this file system; is its module loaded?"},
	{"open source", unix.ELOOP, hintLink},
	{"open file system", unix.EPERM, "a container may not mount this file system"},
	{"set option", unix.EINVAL, "the file system does not know this option or value; in a user namespace the id of uid= or gid= must be mapped"},
	{"set source", unix.EINVAL, "the kernel takes at most 255 bytes"},
	{"make, of a list of layers, file system", unix.EINVAL, "a list of layers of more than 255 bytes needs Linux 6.7"},
	{"apply options", unix.EPERM, "in a user namespace nobody may take off what the source's mount has: ro, nosuid, nodev, noexec, times of access"},
	// Docker looks for "not a directory" and explains it to its user.
	{"mount the file", unix.EINVAL, "it is not a directory, but the mount point is"},
	{"mount the file", unix.ENOTDIR, "it is not a directory, but the mount point is"},
	{"mount the directory", unix.EINVAL, "the mount point is not a directory"},
	{"mount the directory", unix.ENOTDIR, "the mount point is not a directory"},
	{"open mount point", unix.ENOTDIR, "a part of the path is not a directory"},
	{"open mount point", unix.ELOOP, hintLink},
	{"find the mount that was added", unix.ELOOP, "a part of the path has become a symbolic link"},
	{"find the mount that was added", unix.ESTALE, "something else is in its place"},
	{"check that the place", unix.EXDEV, "the mount point leads into /proc, which would hide what the runtime itself relies on"},
	{"set the AppArmor profile", unix.ENOENT, "no such profile is loaded: apparmor_parser(8)"},
	{"set the SELinux label", unix.EINVAL, "the policy does not know this label"},
	{"set oom_score_adj", unix.EACCES, "less than what the runtime itself has needs CAP_SYS_RESOURCE"},
	{"set the scheduler SCHED_FIFO", unix.EPERM, hintRealTime},
	{"set the scheduler SCHED_RR", unix.EPERM, hintRealTime},
	// The second half is runc's text.
	{"set the scheduler SCHED_DEADLINE", unix.EPERM, "it needs CAP_SYS_NICE and all CPUs of the machine: process scheduler can't be used together with AllowedCPUs"},
	{"set the scheduler SCHED_DEADLINE", unix.EBUSY, "other deadline processes leave too little time: sysctl kernel.sched_rt_runtime_us"},
	{"set the scheduler SCHED_DEADLINE", unix.EINVAL, "the period lies outside of sysctl kernel.sched_deadline_period_min_us and _max_us"},
	{"set the scheduler SCHED_ISO", unix.EINVAL, "no version of Linux has this policy"},
	{"set the scheduler", unix.EINVAL, "priority, nice value and flags do not go together"},
	{"set the scheduler", unix.EPERM, "a nice value below that of the runtime needs CAP_SYS_NICE"},
	{"set the scheduler", unix.EOPNOTSUPP, "SCHED_FLAG_UTIL_CLAMP_MIN and _MAX need a kernel with CONFIG_UCLAMP_TASK, Linux 5.3 or newer"},
	{"set the I/O priority", unix.EPERM, "IOPRIO_CLASS_RT needs CAP_SYS_NICE or CAP_SYS_ADMIN"},
	{"set the I/O priority", unix.ENOSYS, "it needs a kernel with CONFIG_BLOCK"},
	{"set the memory policy", unix.ENOSYS, "it needs a kernel with CONFIG_NUMA"},
	{"set the memory policy MPOL_PREFERRED_MANY", unix.EINVAL, "it needs Linux 5.15, with MPOL_F_NUMA_BALANCING 6.10, and " + hintNodes},
	{"set the memory policy MPOL_WEIGHTED_INTERLEAVE", unix.EINVAL, "it needs Linux 6.9, no MPOL_F_NUMA_BALANCING, and " + hintNodes},
	{"set the memory policy MPOL_BIND", unix.EINVAL, "it needs " + hintNodes + ", and for MPOL_F_NUMA_BALANCING Linux 5.12"},
	{"set the memory policy", unix.EINVAL, "it needs " + hintNodes + ", and a mode that takes the flags"},
	{"set the personality LINUX32", unix.EINVAL, "this processor runs no 32-bit programs"},
	{"set the CPU affinity", unix.EINVAL, "none of these CPUs exists, or is in the cpuset of the container's cgroup"},
	{"set RLIMIT_NOFILE", unix.EPERM, "nobody may have more than sysctl fs.nr_open, and more than the hard limit of the runtime needs CAP_SYS_RESOURCE"},
	{"set RLIMIT", unix.EPERM, "more than the hard limit of the runtime needs CAP_SYS_RESOURCE"},
	{"join a new session keyring", unix.EDQUOT, "the user has too many keys: sysctl kernel.keys.maxkeys and kernel.keys.maxbytes"},
	{"change to directory", unix.ENOENT, "the container has no such directory"},
	{"make device", unix.EPERM, "making device nodes needs CAP_MKNOD"},
	{"load the seccomp filter", unix.EBUSY, "SCMP_ACT_NOTIFY: the runtime itself runs under a filter with a listener, and the kernel has one at most"},
	{"load the seccomp filter", unix.EMFILE, "SCMP_ACT_NOTIFY: RLIMIT_NOFILE leaves no room for the listener"},
	{"load the seccomp filter", unix.EINVAL, "the kernel does not know a flag or action of the filter"},
	{"start a session", unix.EPERM, "the process leads a process group already"},
}

const (
	hintRealTime = "it needs CAP_SYS_NICE, and time for real-time processes in the cgroup: on cgroup v1 that is /linux/resources/cpu/realtimeRuntime"
	hintLink     = "a part of the path is a symbolic link: name the path that it leads to"
	hintNodes    = "a memory node that exists and is in the cpuset of the container's cgroup"
)

// whyNot says what is wrong with a program, "" if that is not to be seen.
func whyNot(root int, program string, errno unix.Errno) string {
	name := strconv.Quote(program)
	st, head, err := look(root, program)
	switch {
	case err != nil:
		return ""
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return name + " is a directory"
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return name + " is not a regular file"
	case errno == unix.EACCES && st.Mode&0o111 == 0:
		return name + " has no execute permission (chmod +x)"
	case errno == unix.EACCES && bytes.HasPrefix(head, []byte("#!")) && whyNotScript(root, name, head) != "":
		return whyNotScript(root, name, head)
	case errno == unix.EACCES:
		return name + " may not be executed by this user, or lies on a mount with noexec"
	case bytes.HasPrefix(head, []byte("#!")):
		return whyNotScript(root, name, head)
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return whyNotELF(root, name, head)
	case errno == unix.ENOEXEC && len(head) == 0:
		return name + " is empty"
	case errno == unix.ENOEXEC:
		return name + " is neither a program nor a script that begins with #!"
	}
	return ""
}

func whyNotScript(root int, name string, head []byte) string {
	line, _, _ := strings.Cut(string(head[2:]), "\n")
	if strings.HasSuffix(line, "\r") {
		return "the first line of script " + name + " ends in a carriage return (CRLF): save it with Unix line ends"
	}
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "script " + name + " names no interpreter after #!"
	}
	interpreter := "script " + name + " needs the interpreter " + strconv.Quote(fields[0])
	switch st, _, err := look(root, fields[0]); {
	case err != nil:
		return interpreter + ", which does not exist in the container"
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0:
		return interpreter + ", which is no program"
	}
	return ""
}

// machines are the names of ELF's e_machine that users meet (elf.h).
var machines = []struct {
	number uint16
	name   string
	goarch string
}{
	{3, "i386", "386"},
	{8, "mips", "mips"},
	{20, "powerpc", "ppc"},
	{21, "ppc64", "ppc64le"},
	{22, "s390x", "s390x"},
	{40, "arm", "arm"},
	{62, "x86-64", "amd64"},
	{183, "aarch64", "arm64"},
	{243, "riscv", "riscv64"},
	{258, "loongarch", "loong64"},
}

func whyNotELF(root int, name string, head []byte) string {
	if len(head) < 64 || head[5] != 1 {
		return name + " is a damaged or foreign ELF program"
	}
	machine := binary.LittleEndian.Uint16(head[18:])
	own, its := "", "number "+strconv.Itoa(int(machine))
	for _, m := range machines {
		if m.number == machine {
			its = m.name
		}
		if m.goarch == runtime.GOARCH {
			own = m.name
		}
	}
	if loader := loaderOf(head); loader != "" {
		if _, _, err := look(root, loader); err != nil {
			return name + " needs the loader " + strconv.Quote(loader) + ", which does not exist in the container"
		}
	}
	if its != own {
		return name + " is a program for " + its + ", this machine is " + own
	}
	return ""
}

// loaderOf finds PT_INTERP in the first bytes of an ELF64 file.
func loaderOf(head []byte) string {
	if head[4] != 2 {
		return ""
	}
	le := binary.LittleEndian
	at, size, count := le.Uint64(head[32:]), uint64(le.Uint16(head[54:])), uint64(le.Uint16(head[56:]))
	for i := range count {
		h := at + i*size
		if size < 56 || h+56 > uint64(len(head)) {
			return ""
		}
		offset, length := le.Uint64(head[h+8:]), le.Uint64(head[h+32:])
		if le.Uint32(head[h:]) == 3 && length < 4096 && offset < uint64(len(head)) && offset+length <= uint64(len(head)) {
			return strings.TrimRight(string(head[offset:offset+length]), "\x00")
		}
	}
	return ""
}

// look opens a file below the container's root and reads its beginning if it is a regular one.
func look(root int, name string) (st unix.Stat_t, head []byte, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := linux.Openat2(root, name, how)
	if err != nil {
		return st, nil, err
	}
	defer unix.Close(fd)
	if st, err = linux.Fstat(fd); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return st, nil, err
	}
	file, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return st, nil, err
	}
	defer file.Close()
	head = make([]byte, 4096)
	n, err := file.Read(head)
	if n == 0 && err != nil && st.Size > 0 {
		return st, nil, fs.ErrInvalid
	}
	return st, head[:n], nil
}
