package libct

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
	"husk/internal/netdev"
)

// netDevices are the network devices of a container that is being made (config-linux.md#network-devices). Once it runs, they
// belong to its network namespace.
type netDevices struct {
	host, own *netdev.Namespace
	moved     []*netdev.Device
}

// moveNetDevices gives the container its network devices. The process is in its network namespace by now.
func (k *creation) moveNetDevices() error {
	n := &netDevices{}
	k.netDevices = n
	var err error
	if n.host, err = netdev.Own(); err != nil {
		return fmt.Errorf("/linux/netDevices: open the runtime's network namespace: %w", err)
	}
	if n.own, err = n.host.Of(k.process.Pidfd); err != nil {
		return fmt.Errorf("/linux/netDevices: enter the container's network namespace: %w", err)
	}
	same, err := n.host.Same(n.own)
	if err != nil {
		return fmt.Errorf("/linux/netDevices: compare network namespaces: %w", err)
	}
	if same {
		return errors.New("/linux/netDevices: move network devices: the container's network namespace is the runtime's own")
	}
	devices := k.spec.Linux.NetDevices
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		d, err := netdev.Move(n.host, n.own, name, devices[name].Name)
		if err != nil {
			hint := ""
			if errors.Is(err, unix.EPERM) {
				hint = " (it needs CAP_NET_ADMIN in both network namespaces)"
			}
			return fmt.Errorf("/linux/netDevices/%s: move network device %q: %w%s", jsonscan.EscapePointer(name), name, err, hint)
		}
		n.moved = append(n.moved, d)
		stopPoint("netdevice-moved")
	}
	return nil
}

// back returns the devices of a container that does not come into being.
func (n *netDevices) back(warn func(format string, args ...any)) {
	if n == nil {
		return
	}
	for _, d := range slices.Backward(n.moved) {
		if err := d.Back(); err != nil {
			warn("give a network device back: %v", err)
		}
	}
	n.moved = nil
}

// close lets go of the namespaces. Held any longer, they would outlive the container.
func (n *netDevices) close() {
	if n == nil {
		return
	}
	for _, ns := range []*netdev.Namespace{n.host, n.own} {
		if ns != nil {
			ns.Close()
		}
	}
	*n = netDevices{}
}
