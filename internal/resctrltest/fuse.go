package resctrltest

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// The operations of fuse(4) that a file system like this one is asked for, linux/fuse.h.
const (
	opLookup   = 1
	opForget   = 2
	opGetattr  = 3
	opMkdir    = 9
	opRmdir    = 11
	opOpen     = 14
	opRead     = 15
	opWrite    = 16
	opStatfs   = 17
	opRelease  = 18
	opFlush    = 25
	opInit     = 26
	opOpendir  = 27
	opReaddir  = 28
	opRelDir   = 29
	opForgets  = 42
	directIO   = 1 // FOPEN_DIRECT_IO: each read and write comes here as it is
	inHeader   = 40
	rootNode   = 1
	maxWrite   = 4096
	bufferSize = 64 << 10
)

// node is a file or a directory.
type node struct {
	id    uint64
	names map[string]*node                               // of a directory, else nil
	read  func() string                                  // of a file
	write func(pid int, text string) unix.Errno          // of a file that can be written
	mkdir func(name string) (made *node, err unix.Errno) // of a directory that groups can be made in
	rmdir func(name string) unix.Errno
}

var order = binary.NativeEndian

// serve mounts the file system on dir, says so, and answers requests until it is gone.
func (f *machine) serve(dir string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("resctrl", dir, "fuse.resctrl", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	fmt.Println(ready)
	buffer := make([]byte, bufferSize)
	for {
		n, err := unix.Read(fd, buffer)
		switch err {
		case nil:
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: who asked is gone
			continue
		case unix.ENODEV: // unmounted
			return nil
		default:
			return os.NewSyscallError("read", err)
		}
		opcode, unique, id, pid := order.Uint32(buffer[4:]), buffer[8:16], order.Uint64(buffer[16:]), int(order.Uint32(buffer[32:]))
		if opcode == opForget || opcode == opForgets {
			continue
		}
		body, errno := f.answer(opcode, id, pid, buffer[inHeader:n])
		if errno != 0 {
			body = nil
		}
		reply := order.AppendUint32(nil, uint32(16+len(body)))
		reply = order.AppendUint32(reply, uint32(-int32(errno)))
		reply = append(append(reply, unique...), body...)
		if _, err := unix.Write(fd, reply); err != nil && err != unix.ENOENT {
			return os.NewSyscallError("write", err)
		}
	}
}

func (f *machine) answer(opcode uint32, id uint64, pid int, in []byte) (out []byte, errno unix.Errno) {
	n := f.nodes[id]
	if n == nil && opcode != opInit {
		return nil, unix.ENOENT
	}
	switch opcode {
	case opInit:
		out = order.AppendUint32(order.AppendUint32(nil, 7), 31)
		out = append(out, make([]byte, 56)...)
		order.PutUint32(out[20:], maxWrite)
		return out, 0
	case opLookup:
		return entry(n.names[text(in)])
	case opGetattr:
		return append(make([]byte, 16), attributes(n)...), 0
	case opMkdir:
		name := text(in[8:])
		if n.names[name] != nil {
			return nil, unix.EEXIST
		}
		if n.mkdir == nil {
			return nil, unix.EPERM
		}
		made, errno := n.mkdir(name)
		if errno != 0 {
			return nil, errno
		}
		n.names[name] = made
		return entry(made)
	case opRmdir:
		name := text(in)
		if n.rmdir == nil || n.names[name] == nil {
			return nil, unix.EPERM
		}
		errno := n.rmdir(name)
		if errno == 0 {
			delete(n.names, name)
		}
		return nil, errno
	case opOpen, opOpendir:
		out = make([]byte, 16)
		order.PutUint32(out[8:], directIO)
		return out, 0
	case opRead:
		return part(in, []byte(n.read())), 0
	case opReaddir:
		return part(in, list(n)), 0
	case opWrite:
		if n.write == nil {
			return nil, unix.EPERM
		}
		errno := n.write(pid, string(in[40:]))
		return append(append([]byte(nil), in[16:20]...), 0, 0, 0, 0), errno
	case opStatfs:
		return make([]byte, 80), 0
	case opRelease, opRelDir, opFlush:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

func text(in []byte) string { return unix.ByteSliceToString(in) }

// entry is a struct fuse_entry_out; nothing in it may be cached.
func entry(n *node) ([]byte, unix.Errno) {
	if n == nil {
		return nil, unix.ENOENT
	}
	return append(append(order.AppendUint64(nil, n.id), make([]byte, 32)...), attributes(n)...), 0
}

// attributes are a struct fuse_attr.
func attributes(n *node) []byte {
	mode := uint32(unix.S_IFREG | 0o644)
	if n.names != nil {
		mode = unix.S_IFDIR | 0o755
	}
	b := make([]byte, 88)
	order.PutUint64(b, n.id)
	order.PutUint32(b[60:], mode)
	order.PutUint32(b[64:], 1)
	return b
}

// part is what a request to read asks for.
func part(in, content []byte) []byte {
	offset, size := order.Uint64(in[8:]), order.Uint32(in[16:])
	content = content[min(offset, uint64(len(content))):]
	return content[:min(len(content), int(size))]
}

// list is a directory in the form of fuse_dirent. Lists are short: one read gets all.
func list(n *node) (out []byte) {
	var names []string
	for name := range n.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kind := uint32(unix.DT_REG)
		if n.names[name].names != nil {
			kind = unix.DT_DIR
		}
		size := 24 + (len(name)+7)&^7
		out = order.AppendUint64(out, n.names[name].id)
		out = order.AppendUint64(out, uint64(len(out)-8+size))
		out = order.AppendUint32(order.AppendUint32(out, uint32(len(name))), kind)
		out = append(append(out, name...), make([]byte, size-24-len(name))...)
	}
	return out
}
