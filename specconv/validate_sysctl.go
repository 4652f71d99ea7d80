package specconv

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ipcSysctls are the parameters of an ipc namespace beside fs.mqueue.*
// (ipc_namespaces(7)).
const ipcSysctls = "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced"

// checkSysctl lets only parameters pass that belong to a namespace of the
// container's own: any other would change the host. A namespace that is joined
// by path may be the host's; that shows only when it is opened.
func checkSysctl(r *report, l *specs.Linux) {
	r.count(len(l.Sysctl), "sysctl")
	for _, key := range sortedKeys(l.Sysctl) {
		name := sysctlName(key)
		if _, ok := sysctlFile(key); !ok {
			r.add(at("sysctl", key), "sysctl %.100q is not a valid name", name)
		} else {
			checkSysctlNamespace(r, l, key, name)
		}
		r.text(l.Sysctl[key], "sysctl", key)
		if strings.Contains(l.Sysctl[key], "\n") { // CVE-2022-0811: one value that becomes two settings
			r.add(at("sysctl", key), "the value of sysctl %.100q has more than one line", name)
		}
	}
}

func checkSysctlNamespace(r *report, l *specs.Linux, key, name string) {
	place := at("sysctl", key)
	kind := SysctlNamespace(key)
	switch own := kind != "" && hasNamespace(l, kind); {
	case name == "kernel.hostname" && own:
		r.add(place, `sysctl %q is not allowed as it conflicts with the OCI "hostname" field`, name)
	case own:
	case kind == specs.IPCNamespace:
		r.add(place, "sysctl %.100q is not allowed in the hosts ipc namespace", name)
	case kind == specs.NetworkNamespace:
		r.add(place, "sysctl %.100q not allowed in host network namespace", name)
	case kind == specs.UserNamespace:
		r.add(place, "setting ucounts without a user namespace not allowed: %.100q", name)
	default:
		r.add(place, "sysctl %.100q is not in a separate kernel namespace", name)
	}
}

// SysctlNamespace is the type of the namespaces that a parameter belongs to, "" if it is the machine's.
func SysctlNamespace(key string) specs.LinuxNamespaceType {
	switch name := sysctlName(key); {
	case strings.HasPrefix(name, "fs.mqueue."), containsWord(ipcSysctls, name):
		return specs.IPCNamespace
	case strings.HasPrefix(name, "net."):
		return specs.NetworkNamespace
	case strings.HasPrefix(name, "user."):
		return specs.UserNamespace
	case name == "kernel.hostname", name == "kernel.domainname":
		return specs.UTSNamespace
	}
	return ""
}

// sysctlName returns the name of a parameter with dots as separators. As in
// sysctl(8), the first separator in key decides what separates: in
// "net/ipv4/conf/eth0.100/forwarding" it is the slash, and the dot is part of a
// name, which becomes "net.ipv4.conf.eth0/100.forwarding".
func sysctlName(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '.' {
		return key
	}
	return swapDotsAndSlashes(key)
}

// sysctlFile returns the file of a parameter relative to /proc/sys, and whether
// the key is well-formed: a path that stays where its beginning says.
func sysctlFile(key string) (string, bool) {
	file := swapDotsAndSlashes(sysctlName(key))
	for name := range strings.SplitSeq(file, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, isControl) {
			return "", false
		}
	}
	return file, true
}

func swapDotsAndSlashes(s string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return c
	}, s)
}
