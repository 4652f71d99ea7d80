package nsenter

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// MemfdName is the name of the memfd: /proc/PID/exe of a process that is still the interpreter reads "/memfd:husk (deleted)".
const MemfdName = "husk"

// ProcessName is what the interpreter calls itself.
const ProcessName = "husk-init"

// Named reports whether a process may be the interpreter by its name, which is a number until it gives itself one: what is
// executed as /proc/PID/fd/N is called N.
func Named(name string) bool {
	return name == ProcessName || name != "" && strings.Trim(name, "0123456789") == ""
}

// The interpreter's file as interp.lds lays it out: the first page is the ELF header, the program headers and the text; the
// plan's segment begins at planOffset and its size stands in the second program header.
const (
	planOffset   = 0x10000
	planHeader   = 64 + 56 // offset of the second program header in an ELF64 file
	fieldOffset  = 8       // p_offset
	fieldAddress = 16      // p_vaddr
	fieldFile    = 32      // p_filesz
	fieldMemory  = 40      // p_memsz

	pageSize  = 4096
	stackSize = 8*plan.MaxRegs + 2*pageSize // the interpreter's: its registers, and the rest, a signal's frame included
)

// layout writes into the interpreter's program header how long the plan is, in whole pages, because the kernel would have to clear the
// rest of the last one, and that a stack follows.
func layout(head []byte, size int) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	binary.LittleEndian.PutUint64(head[planHeader+fieldFile:], uint64(size))
	binary.LittleEndian.PutUint64(head[planHeader+fieldMemory:], uint64(size+stackSize))
}

// seal writes interpreter and plan into a memfd that nobody can change any more. The descriptor's number is at least
// minimum, so that the descriptors handed to the child can't replace it.
func seal(encoded []byte, minimum int) (*os.File, error) {
	head := []byte(interpreter)
	le := binary.LittleEndian
	if len(head) < planHeader+56 || le.Uint64(head[planHeader+fieldOffset:]) != planOffset || le.Uint64(head[planHeader+fieldAddress:]) != plan.Base {
		return nil, fmt.Errorf("prepare the interpreter: its layout is not the one of interp.lds; build husk with make")
	}
	layout(head, len(encoded))
	fd, err := memfd(minimum)
	if err != nil {
		return nil, fmt.Errorf("create a memfd for the interpreter: %w%s", err, memfdHint(err))
	}
	file := os.NewFile(uintptr(fd), MemfdName)
	for _, part := range []struct {
		bytes []byte
		at    int64
	}{{head, 0}, {encoded, planOffset}} {
		if n, err := unix.Pwrite(fd, part.bytes, part.at); err != nil || n != len(part.bytes) {
			file.Close()
			return nil, fmt.Errorf("write the interpreter's memfd: %d of %d bytes: %w", n, len(part.bytes), err)
		}
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		file.Close()
		return nil, fmt.Errorf("seal the interpreter's memfd: %w", err)
	}
	return file, nil
}

// memfd makes an executable memfd with a high number. MFD_EXEC is new in Linux 6.3; before, every memfd is executable.
func memfd(minimum int) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(MemfdName, flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(MemfdName, flags)
	}
	if err != nil || fd >= minimum {
		return fd, err
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, minimum)
	unix.Close(fd)
	return high, err
}

func memfdHint(err error) string {
	if err == unix.EACCES {
		return " (sysctl vm.memfd_noexec is 2, which forbids what husk's protection against CVE-2019-5736 needs)"
	}
	return ""
}
