// Package netdev moves network devices between network namespaces, with their addresses. It speaks rtnetlink(7) by itself and
// needs CAP_NET_ADMIN in both namespaces.
package netdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// Namespace is a network namespace. It exists at least until Close.
type Namespace struct {
	*socket
	ns *os.File
}

// Own opens the network namespace of the calling thread.
func Own() (*Namespace, error) {
	s, err := dial()
	if err != nil {
		return nil, err
	}
	fd, err := linux.Openat(unix.AT_FDCWD, "/proc/thread-self/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		s.close()
		return nil, err
	}
	return &Namespace{s, os.NewFile(uintptr(fd), "net")}, nil
}

// Of opens the network namespace of the process that a pidfd refers to (setns(2) with a pidfd: Linux 5.8).
func (n *Namespace) Of(pidfd *os.File) (*Namespace, error) {
	runtime.LockOSThread()
	if err := unix.Setns(int(pidfd.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, os.NewSyscallError("setns", err)
	}
	other, err := Own()
	if back := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, os.NewSyscallError("setns", back) // and the thread stays locked: nothing else may run on it
	}
	runtime.UnlockOSThread()
	return other, err
}

// Same reports whether both are one namespace.
func (n *Namespace) Same(other *Namespace) (bool, error) {
	a, err := linux.Fstat(int(n.ns.Fd()))
	if err != nil {
		return false, err
	}
	b, err := linux.Fstat(int(other.ns.Fd()))
	return a.Dev == b.Dev && a.Ino == b.Ino, err
}

// Close lets go of the namespace.
func (n *Namespace) Close() {
	n.close()
	n.ns.Close()
}

// Device is a network device that Move has moved.
type Device struct {
	from, to  *Namespace
	home, now link
	addresses []address // as they were in from
}

// Move moves the device called name to another namespace, gives it its permanent addresses of global scope again, which the
// kernel drops, and sets it up (config-linux.md#network-devices). newName is its name there: "" for the same, and with a "%d"
// in it the kernel chooses a number. If that fails, the device is as it was before, but for routes through it.
func Move(from, to *Namespace, name, newName string) (*Device, error) {
	home, err := from.linkByName(name)
	if err != nil {
		return nil, fmt.Errorf("look for it: %w", err)
	}
	if newName == "" {
		newName = home.name
	}
	if !strings.Contains(newName, "%") {
		if _, err := to.linkByName(newName); !errors.Is(err, unix.ENODEV) {
			if err == nil {
				err = unix.EEXIST
			}
			return nil, fmt.Errorf("look whether the name %q is free: %w", newName, err)
		}
	}
	d := &Device{from: from, to: to, home: home}
	// Before it goes down: then it loses its IPv6 addresses.
	if d.addresses, err = from.lasting(home.index); err != nil {
		return nil, fmt.Errorf("list its addresses: %w", err)
	}
	if d.now, err = transfer(from, to, home, newName); err == nil {
		err = d.settle(to, d.now, true)
	}
	if err != nil && d.now.index != 0 {
		if undo := d.Back(); undo != nil {
			err = fmt.Errorf("%w; and move it back: %w", err, undo)
		}
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Back moves the device to where it was, with the name, the addresses and the state that it had. Routes are lost.
func (d *Device) Back() error {
	back, err := transfer(d.to, d.from, d.now, d.home.name)
	if err != nil {
		return err
	}
	return d.settle(d.from, back, d.home.up)
}

// transfer moves a device; it keeps its index if that is free. If the error comes with a device, then that has moved
// nevertheless.
func transfer(from, to *Namespace, l link, newName string) (moved link, err error) {
	index := l.index
	for {
		err = from.sendTo(int(to.ns.Fd()), l.index, index, newName)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		if _, taken := to.linkByIndex(index); taken != nil {
			break
		}
		index++
	}
	if err != nil {
		err = fmt.Errorf("move it to the other network namespace: %w", err)
		if _, gone := from.linkByIndex(l.index); !errors.Is(gone, unix.ENODEV) {
			return link{}, err
		}
	}
	moved, lost := to.linkByIndex(index)
	if err == nil && lost != nil {
		err = fmt.Errorf("find it in the other network namespace: %w", lost)
	}
	return moved, err
}

// settle gives a moved device back what it has lost on the way.
func (d *Device) settle(in *Namespace, l link, up bool) error {
	for _, a := range d.addresses {
		if err := in.add(a.of(l.index, d.home.name, l.name)); err != nil {
			return fmt.Errorf("add its address %v: %w", a, err)
		}
	}
	if !up {
		return nil
	}
	if err := in.setUp(l.index); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}
