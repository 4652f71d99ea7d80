package cgroups

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// filterName marks our program among those of others (systemd's, for instance) on the same cgroup.
const filterName = "husk_devices"

// bpfAttr is the argument of bpf(2), larger than the kernel's union (168 bytes in Linux 6.18): the kernel insists that what it does not
// know is zero, and since 6.17 it writes results to fields near the end whatever size the caller gave.
type bpfAttr [256]byte

func bpf(cmd int, attr *bpfAttr) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.EAGAIN: // EAGAIN: the verifier was interrupted by a signal
		default:
			return -1, errno
		}
	}
}

func (a *bpfAttr) u32(offset int, v uint32) { *(*uint32)(unsafe.Pointer(&a[offset])) = v }

func (a *bpfAttr) ptr(offset int, p unsafe.Pointer) {
	*(*uint64)(unsafe.Pointer(&a[offset])) = uint64(uintptr(p))
}

// filterDevices loads the device filter and attaches it, in place of an earlier one of ours if the cgroup is not new. What it returns
// has to be closed.
func (m *v2) filterDevices(in []specs.LinuxDeviceCgroup, replace bool) (c filterChange, err error) {
	c = filterChange{&m.dir, -1, -1}
	rules, err := deviceRules(in)
	if err != nil {
		return c, err
	}
	if err := m.open(); err != nil {
		return c, err
	}
	if replace {
		if c.old, err = findFilter(m.fd); err != nil {
			return c, fmt.Errorf("look for the device filter of cgroup %s: %w (%s/devices)", m.path, err, resourcesAt)
		}
	}
	if !allowsAll(rules) {
		code, err := assemble(rules)
		if err != nil {
			return c, fmt.Errorf("convert device rules: %w (%s/devices)", err, resourcesAt)
		}
		if c.now, err = loadFilter(code); err != nil {
			hint := ""
			if errors.Is(err, unix.EPERM) {
				hint = ", which takes CAP_BPF and CAP_NET_ADMIN in the first user namespace"
			}
			return c, fmt.Errorf("load the device filter of cgroup %s: %w%s (%s/devices)", m.path, err, hint, resourcesAt)
		}
	}
	if err := exchangeFilter(m.fd, c.old, c.now); err != nil {
		return c, fmt.Errorf("change the device filter of cgroup %s: %w (%s/devices)", m.path, err, resourcesAt)
	}
	return c, nil
}

// filterChange is what filterDevices has done: two programs, -1 for none.
type filterChange struct {
	cgroup   *dir
	old, now int
}

func (c *filterChange) back() error {
	err := c.cgroup.open()
	if err == nil {
		err = exchangeFilter(c.cgroup.fd, c.now, c.old)
	}
	if err != nil {
		return fmt.Errorf("put back the device filter of cgroup %s: %w", c.cgroup.path, err)
	}
	return nil
}

func (c *filterChange) close() {
	for _, fd := range []int{c.old, c.now} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// exchangeFilter puts one program in the place of another, in one step. Either may be none.
func exchangeFilter(cgroup, old, now int) error {
	switch {
	case now >= 0:
		return attachFilter(cgroup, now, old)
	case old >= 0:
		return detachFilter(cgroup, old)
	}
	return nil
}

// loadFilter is BPF_PROG_LOAD. The memory is charged to the caller's cgroup since Linux 5.11, so RLIMIT_MEMLOCK plays no part.
func loadFilter(prog []insn) (int, error) {
	code, license := encode(prog), [...]byte{'G', 'P', 'L', 0}
	var a bpfAttr
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&code[0])
	pin.Pin(&license)
	a.u32(0, unix.BPF_PROG_TYPE_CGROUP_DEVICE)
	a.u32(4, uint32(len(prog)))
	a.ptr(8, unsafe.Pointer(&code[0]))
	a.ptr(16, unsafe.Pointer(&license))
	copy(a[48:63], filterName) // prog_name
	return bpf(unix.BPF_PROG_LOAD, &a)
}

// attachFilter is BPF_PROG_ATTACH. ALLOW_MULTI lets the filters of cgroups above and below stand beside ours; all must agree.
// An old one is exchanged in one step (Linux 5.6), so there is no moment without a filter.
func attachFilter(cgroup, prog, old int) error {
	var a bpfAttr
	a.u32(0, uint32(cgroup))
	a.u32(4, uint32(prog))
	a.u32(8, unix.BPF_CGROUP_DEVICE)
	flags := uint32(unix.BPF_F_ALLOW_MULTI)
	if old >= 0 {
		flags |= unix.BPF_F_REPLACE
		a.u32(16, uint32(old))
	}
	a.u32(12, flags)
	_, err := bpf(unix.BPF_PROG_ATTACH, &a)
	return err
}

func detachFilter(cgroup, prog int) error {
	var a bpfAttr
	a.u32(0, uint32(cgroup))
	a.u32(4, uint32(prog))
	a.u32(8, unix.BPF_CGROUP_DEVICE)
	_, err := bpf(unix.BPF_PROG_DETACH, &a)
	return err
}

// findFilter returns a descriptor of our program on the cgroup, -1 if there is none.
func findFilter(cgroup int) (int, error) {
	ids := new([64]uint32) // BPF_CGROUP_MAX_PROGS
	var a bpfAttr
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(ids)
	a.u32(0, uint32(cgroup))
	a.u32(4, unix.BPF_CGROUP_DEVICE)
	a.ptr(16, unsafe.Pointer(ids))
	a.u32(24, uint32(len(ids)))
	if _, err := bpf(unix.BPF_PROG_QUERY, &a); err != nil {
		return -1, err
	}
	count := *(*uint32)(unsafe.Pointer(&a[24]))
	for _, id := range ids[:min(int(count), len(ids))] {
		var get bpfAttr
		get.u32(0, id)
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, &get)
		if errors.Is(err, unix.ENOENT) || isPermission(err) {
			continue // gone, or another's which an LSM keeps from us: ours we may see
		}
		if err != nil {
			return -1, err
		}
		if progName(fd) == filterName {
			return fd, nil
		}
		unix.Close(fd)
	}
	return -1, nil
}

// progName reads bpf_prog_info.name.
func progName(fd int) string {
	info := new([512]byte)
	var a bpfAttr
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(info)
	a.u32(0, uint32(fd))
	a.u32(4, uint32(len(info)))
	a.ptr(8, unsafe.Pointer(info))
	if _, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, &a); err != nil {
		return ""
	}
	return unix.ByteSliceToString(info[64:80])
}
