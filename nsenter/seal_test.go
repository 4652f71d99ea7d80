package nsenter

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// TestSeal: nobody can change the image any more, and nothing in it is both writable and executable.
func TestSeal(t *testing.T) {
	encoded := encode(t, smallPlan(t, nil))
	image, err := seal(encoded, 60)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	fd := int(image.Fd())
	if fd < 60 {
		t.Errorf("descriptor %d could be one that the child gets", fd)
	}
	if flags, err := unix.FcntlInt(image.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("not close-on-exec: %d, %v", flags, err)
	}
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(image.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("seals %#x, %v", seals, err)
	}
	if _, err := unix.Pwrite(fd, []byte("x"), 0); err != unix.EPERM {
		t.Errorf("write: %v", err)
	}
	if err := unix.Ftruncate(fd, 0); err != unix.EPERM {
		t.Errorf("truncate: %v", err)
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED); err != unix.EPERM {
		t.Errorf("map to write: %v", err)
	}
	content, err := io.ReadAll(io.NewSectionReader(image, 0, 1<<30))
	if err != nil || !bytes.Equal(content[planOffset:], encoded) {
		t.Errorf("the plan is not where its segment is: %v", err)
	}
	checkSegments(t, content, uint64(len(encoded)), stackSize)
}

// withoutSections takes the section table out of an ELF header: it lay behind the first page, which is all that is kept. The
// kernel does not look at it.
func withoutSections(content []byte) []byte {
	content = bytes.Clone(content)
	clear(content[0x28:0x30]) // e_shoff
	clear(content[0x3c:0x40]) // e_shnum, e_shstrndx
	return content
}

// checkSegments: text that cannot be written, the plan that cannot be executed, a stack that cannot be executed.
func checkSegments(t *testing.T, content []byte, planSize, stack uint64) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(withoutSections(content)))
	if err != nil {
		t.Fatal(err)
	}
	var loads, stacks int
	for _, p := range file.Progs {
		if p.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X {
			t.Errorf("segment %v at %#x is writable and executable", p.Type, p.Vaddr)
		}
		switch {
		case p.Type == elf.PT_GNU_STACK:
			stacks++
		case p.Type != elf.PT_LOAD:
			t.Errorf("a segment of type %v: neither an interpreter nor dynamic linking has a place here", p.Type)
		case p.Vaddr == plan.Base:
			if loads++; p.Filesz-planSize >= pageSize || p.Memsz-p.Filesz != stack || p.Off != planOffset {
				t.Errorf("the plan's segment %+v, want %d bytes", p.ProgHeader, planSize)
			}
		default:
			if loads++; p.Filesz > 4096 || p.Flags != elf.PF_R|elf.PF_X {
				t.Errorf("the text's segment %+v", p.ProgHeader)
			}
		}
	}
	if file.Type != elf.ET_EXEC || loads != 2 || stacks != 1 {
		t.Errorf("type %v, %d segments to load, %d stacks", file.Type, loads, stacks)
	}
}

// TestInterpreterFiles holds both architectures' files against the layout that seal relies on.
func TestInterpreterFiles(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		content, err := os.ReadFile("interp/interp_" + arch + ".bin")
		if err != nil {
			t.Skip("not built here: ", err) // make interpreter builds the other architecture's where there is a cross compiler
		}
		file, err := elf.NewFile(bytes.NewReader(withoutSections(content)))
		if err != nil || file.Machine != machine || len(content) > 4096 {
			t.Errorf("%s: %v, %d bytes", arch, err, len(content))
			continue
		}
		checkSegments(t, content, plan.HeaderSize, 0)
	}
}

// TestHidden: a process that stands at a gate is the sealed image, cannot be traced by its user, and knows nothing of us.
func TestHidden(t *testing.T) {
	process, _ := startSmall(t, smallPlan(t, nil, func(s *small) { s.gate = "wait" }), Options{})
	if _, err := process.Next(); err != nil {
		t.Fatal(err)
	}
	dir := fmt.Sprintf("/proc/%d/", process.Pid)
	name, err := os.ReadFile(dir + "comm")
	if err != nil || string(name) != ProcessName+"\n" {
		t.Errorf("name %q, %v", name, err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(dir+"mem", &stat); err != nil || stat.Uid != 0 { // proc(5): root's if it is not dumpable
		t.Errorf("mem belongs to %d, %v", stat.Uid, err)
	}
	if os.Geteuid() != 0 {
		if _, err := os.Readlink(dir + "exe"); err == nil {
			t.Error("its user can look at it: it is dumpable")
		}
		return
	}
	if exe, err := os.Readlink(dir + "exe"); err != nil || exe != "/memfd:husk (deleted)" {
		t.Errorf("exe %q, %v", exe, err)
	}
	if environ, err := os.ReadFile(dir + "environ"); err != nil || len(environ) != 0 {
		t.Errorf("environ %q, %v", environ, err)
	}
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		// Text, plan, and the stack behind it; the last the kernel has at a fixed place in all processes.
		if fields := strings.Fields(line); len(fields) > 5 && fields[5] != "/memfd:husk" && fields[5] != "[vsyscall]" || strings.Contains(line, "wx") {
			t.Errorf("mapped: %s", line)
		}
	}
	var names []string
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		names = append(names, fd.Name())
	}
	if got := strings.Join(names, " "); got != "0 1 2 3" {
		t.Errorf("open descriptors: %s", got)
	}
}

// TestArm64 runs the other architecture's interpreter: registers, stores, tests, a gate and a failure.
func TestArm64(t *testing.T) {
	const qemu = "qemu-aarch64-static"
	if _, err := exec.LookPath(qemu); err != nil {
		t.Skip("needs ", qemu, ": ", err)
	}
	text, err := os.ReadFile("interp/interp_arm64.bin")
	if err != nil {
		t.Skip("needs a cross compiler for the interpreter (make interpreter): ", err)
	}
	p := smallPlan(t, func(s *small) {
		set, yes := s.b.Label(), s.b.Label()
		s.b.Store(s.scratch+8, s.socket, 8)
		s.b.SkipIf(set, s.scratch+8, 4, 1<<32-1, 3)
		s.b.Fail(unix.EILSEQ)
		s.b.Bind(set)
		s.b.Gate("ask", s.scratch, 8)
		s.b.SkipIf(yes, s.scratch, 2, 0xffff, 0x0201)
		s.b.Fail(unix.ERANGE)
		s.b.Bind(yes)
		s.b.SkipIf(s.end, s.scratch+1, 1, 0xff, 0xee)
		s.b.Fail(unix.EDOM)
	})
	name := filepath.Join(t.TempDir(), "husk-arm64")
	if err := os.WriteFile(name, imageOf(text, forArm64(encode(t, p))), 0o700); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "parent"), os.NewFile(uintptr(pair[1]), "interpreter")
	cmd := exec.Command(qemu, name)
	cmd.ExtraFiles = []*os.File{theirs}
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	conn := NewConn(ours, p.Origin)
	event, err := conn.Next()
	if err != nil || event.Gate.Step != "ask" {
		t.Errorf("%+v, %v: %s", event, err, out.Bytes())
	} else if err := conn.Answer([]byte{1, 2}); err != nil {
		t.Error(err)
	} else if _, err := conn.Next(); err == nil || !strings.Contains(err.Error(), unix.EDOM.Error()) {
		t.Errorf("%v, want EDOM: %s", err, out.Bytes())
	}
	conn.Close()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v: %s", cmd.ProcessState, out.Bytes())
	}
}
