package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// capabilitySets are the five sets of process.capabilities as bit masks, less what this process may not hand on. Without
// the object all are empty, as runc has it.
type capabilitySets struct{ bounding, effective, permitted, inheritable, ambient uint64 }

func capabilities(p *specs.Process, available uint64) (s capabilitySets) {
	if p.Capabilities == nil {
		return s
	}
	k := p.Capabilities
	s.bounding, s.permitted = mask(k.Bounding)&available, mask(k.Permitted)&available
	s.effective = mask(k.Effective) & s.permitted
	s.inheritable = mask(k.Inheritable) & s.bounding
	s.ambient = mask(k.Ambient) & s.permitted & s.inheritable
	return s
}

// Capabilities are the names of linux/capability.h in the order of their numbers.
var Capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// CapabilityNumber is the number of a capability, -1 if the name is unknown.
func CapabilityNumber(name string) int {
	for n, known := range Capabilities {
		if known == name {
			return n
		}
	}
	return -1
}

func mask(names []string) (m uint64) {
	for _, name := range names {
		if n := CapabilityNumber(name); n >= 0 {
			m |= 1 << n
		}
	}
	return m
}

// Ungranted says in words which capabilities of a process are left out, and why: config.md#linux-process wants a warning for
// them, not an error. Available are those that the runtime can hand on.
func Ungranted(p *specs.Process, available uint64) (warnings []string) {
	if p.Capabilities == nil {
		return nil
	}
	k, granted := p.Capabilities, capabilities(p, available)
	var unknown, missing []string
	for _, set := range []struct {
		field, why string
		names      []string
		granted    uint64
	}{
		{"bounding", "", k.Bounding, granted.bounding},
		{"permitted", "", k.Permitted, granted.permitted},
		{"effective", "they are not permitted", k.Effective, granted.effective},
		{"inheritable", "they are not in the bounding set", k.Inheritable, granted.inheritable},
		{"ambient", "", k.Ambient, granted.ambient},
	} {
		var refused []string
		for _, name := range set.names {
			list := &refused
			switch n := CapabilityNumber(name); {
			case n < 0:
				list = &unknown
			case available&(1<<n) == 0:
				list = &missing
			case set.granted&(1<<n) != 0:
				continue
			}
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
		if set.field == "ambient" {
			for _, name := range refused {
				warnings = append(warnings, "can't raise ambient capability "+name+": it is not both permitted and inheritable") // the first words are runc's
			}
		} else if refused != nil {
			warnings = append(warnings, "leave out "+strings.Join(refused, ", ")+" of /process/capabilities/"+set.field+": "+set.why)
		}
	}
	if missing != nil {
		warnings = append(warnings, "leave out "+strings.Join(missing, ", ")+" of /process/capabilities: the runtime does not have them itself")
	}
	if unknown != nil {
		warnings = append(warnings, "leave out "+strings.Join(unknown, ", ")+" of /process/capabilities: unknown")
	}
	return warnings
}
