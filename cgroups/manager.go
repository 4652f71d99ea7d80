package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Config says which cgroup a container gets and what is set in it.
type Config struct {
	// Path is linux.cgroupsPath as written: absolute from the mount point of each hierarchy, relative as runc reads it (v1:
	// below the cgroup of the calling process; v2: beside it, because a cgroup with processes can't pass on controllers), or
	// empty for "/ID" (rootless: ID as a relative path).
	Path string
	// ID is the container's; it names the cgroup when Path is empty.
	ID string
	// Resources may be nil. The device rules of DefaultDeviceRules are appended in any case.
	Resources *specs.LinuxResources
	// Owner is the user of the host to whom the v2 cgroup is given (delegation), 0 for root, to whom it belongs anyway. v1 has no
	// safe delegation and ignores it.
	Owner uint32
	// Rootless tolerates missing permission as long as neither a path nor a limit was asked for, and a device filter that
	// can't be loaded.
	Rootless bool
	// Systemd asks for a cgroup that systemd makes, as a scope. Path then has the form "slice:prefix:name", each part of which
	// but the name may be empty; without a path it is system.slice (user.slice), "husk" and ID.
	Systemd bool
	// UserManager asks the caller's own systemd instead of the system's.
	UserManager bool
	// Annotations of config.json; org.systemd.property.NAME sets a property of the scope.
	Annotations map[string]string
	// Pid is the process that systemd puts into the scope that Create makes: a scope without one can't exist.
	Pid int
}

// Manager is the cgroup of one container. It is not safe for concurrent use.
type Manager interface {
	// Create makes the cgroup's directories, refuses one that is in use or frozen, and applies limits and device rules. It
	// undoes all it made when it fails. It keeps a descriptor open for Place, which passes it on, or Delete, which closes it.
	// With systemd it waits until Config.Pid is in the cgroup, which takes milliseconds.
	Create(cfg *Config) error
	// Set applies r to the existing cgroup; what r does not mention stays. Device rules are replaced when r has any. If anything is
	// refused all is put back as it was, less what a memory limit below the usage has killed.
	Set(r *specs.LinuxResources) error
	// Place opens what a new process needs to get in.
	Place() (*Placement, error)
	// Joins are the names of the Tasks that Place opens, before there is a cgroup as well.
	Joins() []string
	// PlaceSub is Place for the sub-cgroups of `exec --cgroup`: "path" for all hierarchies or "ctrl[,ctrl]:path" (v1 alone).
	PlaceSub(paths []string) (*Placement, error)
	// PlaceBeside is Place for the cgroup that process pid is in at the moment, which must be the container's or one below, unless
	// that of the container (v2) has been removed since.
	PlaceBeside(pid int) (*Placement, error)
	// Delegate makes a cgroup of that name below the container's, without limits of its own, gives it to a user, and puts a process
	// into it. Cgroup v2 alone.
	Delegate(name string, owner uint32, pid int) error
	// Pids lists the processes, with those of sub-cgroups when recursive, as seen from the caller's pid namespace.
	Pids(recursive bool) ([]int, error)
	// Kill sends SIGKILL to all inside, sub-cgroups and frozen processes included. It does not wait for their end.
	Kill() error
	// Freeze stops or resumes all inside and returns when they are.
	Freeze(freeze bool) error
	// Frozen tells whether Freeze(true) or someone with the same means stopped this very cgroup (not one above).
	Frozen() (bool, error)
	// OOMKills counts the processes that the kernel killed for want of memory within the cgroup's limits (0 without memory
	// controller). Sub-cgroups count on v2, on v1 they do not.
	OOMKills() (uint64, error)
	// Stats reads all counters, each file once.
	Stats() (*Stats, error)
	// WatchOOM starts to watch for processes that the kernel kills for want of memory; nil without memory controller.
	WatchOOM() (*OOMWatch, error)
	// Delete removes the cgroup and those below. Processes that are about to end are waited for, none is killed. It is
	// idempotent: what is gone already is fine.
	Delete(timeout time.Duration) error
	// State is what Load needs to make the Manager again.
	State() State
}

// Attacher is a Manager that can also have somebody else put a process into the cgroup, where the caller may not do so: a user
// outside of what systemd has delegated to it.
type Attacher interface {
	// Attach puts a process of the caller's into the cgroup2 directory of p. It takes milliseconds.
	Attach(p *Placement, pid int) error
}

// Placement holds the descriptors by which a new process enters its cgroup.
type Placement struct {
	// Into is the cgroup2 directory (O_PATH) for CLONE_INTO_CGROUP; nil on pure v1.
	Into *os.File
	// Tasks are the `tasks` files of the v1 hierarchies, open for writing. The new process writes "0" into each while it has
	// one thread. A thread that moves itself needs no lock but the cgroup mutex (kernel commit 9a3284fad42f, Linux 5.5),
	// whereas a pid written to cgroup.procs, or to tasks, takes the global cgroup_threadgroup_rwsem for writing, which waits
	// for an RCU grace period. BenchmarkEnter, Linux 6.18 on two busy cores: 0.05 to 0.3 ms against 11 ms.
	Tasks []*os.File
	// Caller has the directories of the caller's cgroup in the v1 hierarchies in which the container has none of its own, for
	// want of permission: it stays there. The keys are those of [State].Paths.
	Caller map[string]string
}

// Close closes all descriptors.
func (p *Placement) Close() {
	if p.Into != nil {
		p.Into.Close()
	}
	for _, f := range p.Tasks {
		f.Close()
	}
}

// ByHand has the new process join the cgroup2 by itself, as it does on v1, and not be born there.
func (p *Placement) ByHand() error {
	name := p.Into.Name() + "/cgroup.procs"
	fd, err := openat2(int(p.Into.Fd()), "cgroup.procs", unix.OpenHow{Flags: unix.O_WRONLY, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	p.Into.Close()
	p.Into, p.Tasks = nil, append(p.Tasks, os.NewFile(uintptr(fd), name))
	return nil
}

// State is the part of a container's record that belongs to its cgroup.
type State struct {
	Version string            // V1, Hybrid or V2
	Paths   map[string]string // controller ("name=systemd" for a named hierarchy, "" for cgroup2) to absolute directory
	Inode   uint64            // of the cgroup2 directory (v1: the first); tells a later cgroup of the same name apart, 0: unknown

	Unit        string // systemd's name for it, "" if systemd has not made it
	UserManager bool   // the unit is the user's, not the system's
}

// New returns the Manager for a container that is to be created; nothing is touched yet.
func New(cfg *Config) (Manager, error) {
	if cfg.Systemd {
		return newSystemd(cfg)
	}
	inner, relative, err := innerPath(cfg)
	if err != nil {
		return nil, err
	}
	lay, err := detect(relative)
	if err != nil {
		return nil, err
	}
	return newBackend(lay, inner, relative)
}

func newBackend(lay Layout, inner string, relative bool) (backend, error) {
	if lay.Version == V2 {
		return newV2(lay, inner, relative)
	}
	return newV1(lay, inner, relative)
}

// Load returns the Manager of a container whose State was recorded.
func Load(s State) (Manager, error) {
	for name, p := range s.Paths {
		if !path.IsAbs(p) || path.Clean(p) != p {
			return nil, fmt.Errorf("load cgroup state: path %q of %q is not a clean absolute path", p, name)
		}
	}
	var m backend
	switch s.Version {
	case V2:
		m = loadV2(s)
	case V1, Hybrid:
		m = loadV1(s)
	default:
		return nil, fmt.Errorf("load cgroup state: unknown version %q", s.Version)
	}
	if s.Unit != "" {
		return &systemd{backend: m, unit: s.Unit, user: s.UserManager}, nil
	}
	return m, nil
}

// innerPath returns the clean path of the cgroup without leading slash, and whether it is relative to the caller's own.
func innerPath(cfg *Config) (inner string, relative bool, err error) {
	raw := cfg.Path
	if raw == "" {
		raw = cfg.ID
		relative = cfg.Rootless
	} else {
		relative = raw[0] != '/'
	}
	// The kernel refuses a newline (it would forge lines of /proc/PID/cgroup); NUL would cut the name short.
	if strings.ContainsAny(raw, "\x00\n") || len(raw) >= unix.PathMax {
		return "", false, fmt.Errorf("name cgroup %.64q: newline, NUL or longer than %d bytes (/linux/cgroupsPath)", raw, unix.PathMax-1)
	}
	inner = strings.TrimPrefix(path.Clean("/"+raw), "/")
	if inner == "" {
		return "", false, fmt.Errorf("name cgroup %q: a container can't have the root cgroup (/linux/cgroupsPath)", raw)
	}
	return inner, relative, nil
}

// isPermission covers the errnos by which a kernel tells an unprivileged user no.
func isPermission(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)
}
