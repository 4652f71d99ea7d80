package libct

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// execProcess is the process to be started: the one that is given whole, or the container's with what the options change.
func execProcess(spec *specs.Spec, o *ExecOptions) (*specs.Process, error) {
	if o.Process != nil {
		p := withDefaults(o.Process, spec.Process)
		if specconv.KeepsGroups(spec) {
			p.User.AdditionalGids = nil
		}
		return p, specconv.ValidateProcess(p)
	}
	p := *spec.Process
	p.Args = o.Args
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	p.Env = slices.Concat(p.Env, o.Env)
	if o.TTY != nil {
		p.Terminal = *o.TTY
	}
	p.ConsoleSize = nil
	if o.ProcessLabel != "" {
		p.SelinuxLabel = o.ProcessLabel
	}
	if o.AppArmor != "" {
		p.ApparmorProfile = o.AppArmor
	}
	if o.NoNewPrivs != nil {
		p.NoNewPrivileges = *o.NoNewPrivs
	}
	if o.User != "" {
		uid, gid, err := ParseUser(o.User)
		if err != nil {
			return nil, err
		}
		p.User.UID = uid
		if gid != nil {
			p.User.GID = *gid
		}
	}
	if !specconv.KeepsGroups(spec) { // groups can only be set all at once
		p.User.AdditionalGids = slices.Concat(p.User.AdditionalGids, o.AdditionalGids)
	}
	if len(o.Caps) > 0 {
		p.Capabilities = addCapabilities(p.Capabilities, o.Caps)
	}
	return &p, specconv.ValidateProcess(&p)
}

// withDefaults takes from the container's process what a process that comes whole leaves out, as runc does: an engine that
// knows nothing of a property does not take it from those who set it.
func withDefaults(process, container *specs.Process) *specs.Process {
	p := *process
	p.User.Umask = cmp.Or(p.User.Umask, container.User.Umask)
	p.Capabilities = cmp.Or(p.Capabilities, container.Capabilities)
	p.ApparmorProfile = cmp.Or(p.ApparmorProfile, container.ApparmorProfile)
	p.SelinuxLabel = cmp.Or(p.SelinuxLabel, container.SelinuxLabel)
	p.OOMScoreAdj = cmp.Or(p.OOMScoreAdj, container.OOMScoreAdj)
	p.Scheduler = cmp.Or(p.Scheduler, container.Scheduler)
	p.IOPriority = cmp.Or(p.IOPriority, container.IOPriority)
	p.ExecCPUAffinity = cmp.Or(p.ExecCPUAffinity, container.ExecCPUAffinity)
	if p.Rlimits == nil {
		p.Rlimits = container.Rlimits
	}
	return &p
}

// addCapabilities adds to the bounding, effective and permitted sets, and to the ambient one only where the container has
// inheritable capabilities: an inheritable set of its own would let file capabilities take effect (CVE-2022-29162).
func addCapabilities(old *specs.LinuxCapabilities, names []string) *specs.LinuxCapabilities {
	c := specs.LinuxCapabilities{}
	if old != nil {
		c = *old
	}
	c.Bounding = slices.Concat(c.Bounding, names)
	c.Effective = slices.Concat(c.Effective, names)
	c.Permitted = slices.Concat(c.Permitted, names)
	if len(c.Inheritable) > 0 {
		c.Ambient = slices.Concat(c.Ambient, names)
	}
	return &c
}

// openRootDir opens the container's root: that of its mount namespace, or, where that is not its own or not yet, the one that its init has.
//
// The way up leads out of the directory that init has gone into by chroot(2): above the root of a mount namespace is that root itself. But
// it leads out of the container where init was given a directory of another mount namespace, by a service that passes descriptors on, and
// has made it its root: then to the host's. So what is found there has to be what the container was made of.
func (c *container) openRootDir() (*os.File, error) {
	inits := "/proc/" + strconv.Itoa(c.rec.Pid) + "/root"
	if !c.rec.HostMount && c.rec.Phase != phaseCreating {
		fd, err := linux.Openat(unix.AT_FDCWD, inits+strings.Repeat("/..", 64), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == nil {
			st, err := linux.Fstat(fd)
			if err == nil && st.Dev == c.rec.RootDev && st.Ino == c.rec.RootIno {
				return os.NewFile(uintptr(fd), inits), nil
			}
			unix.Close(fd)
		}
	}
	fd, err := linux.Openat(unix.AT_FDCWD, inits, unix.O_PATH|unix.O_DIRECTORY, 0)
	if linux.NoProcess(err) {
		return nil, errStopped // it has ended since we looked
	}
	if err != nil {
		return nil, fmt.Errorf("open the root of container %s: %w", c.id, cause(err))
	}
	return os.NewFile(uintptr(fd), inits), nil
}
