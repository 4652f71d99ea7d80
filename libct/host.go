package libct

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/linux"
	"husk/specconv"
)

// hostFacts gathers what the compiler may know: it looks, and changes nothing.
func (r *Runtime) hostFacts(spec *specs.Spec, o *CreateOptions) (*specconv.Host, error) {
	h := &specconv.Host{ID: o.ID, Bundle: o.Bundle, PreserveFDs: o.PreserveFDs, NoPivot: o.NoPivot, NoNewKeyring: o.NoNewKeyring}
	if h.Rootfs = spec.Root.Path; !filepath.IsAbs(h.Rootfs) {
		h.Rootfs = filepath.Join(o.Bundle, h.Rootfs)
	}
	h.Rootfs = filepath.Clean(h.Rootfs)
	if st, err := stat(h.Rootfs); err != nil {
		return nil, fmt.Errorf("/root/path: open rootfs %q: %w", h.Rootfs, err)
	} else if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fmt.Errorf("/root/path: open rootfs %q: %w", h.Rootfs, unix.ENOTDIR)
	}
	if h.SELinux = spec.Linux.MountLabel != "" && hasSELinux(); spec.Linux.MountLabel != "" && !h.SELinux {
		r.warn("leave out /linux/mountLabel %q: SELinux is not enabled on this host", spec.Linux.MountLabel)
	}
	if err := r.mountFacts(spec, h, h.Rootfs); err != nil {
		return nil, err
	}
	if err := r.processFacts(spec, spec.Process, h, o.Stdio, 0); err != nil {
		return nil, err
	}
	h.Env = environment(spec.Process, func() ([]byte, error) { return passwdOf(spec, h) })
	listenFacts(h, o.ListenFDs, specconv.IsNew(spec, specs.PIDNamespace))
	if h.NoPivot {
		mounts, err := linux.MountsOf("proc", "sysfs")
		if err != nil {
			return nil, err
		}
		h.HostMounts = mounts
	}
	return h, nil
}

func stat(name string) (st unix.Stat_t, err error) {
	for {
		if err = unix.Stat(name, &st); err != unix.EINTR {
			return st, err
		}
	}
}

// mountFacts finds the sources of bind mounts, and whether they are directories: their mount points must be the same. A tmpfs
// takes the mode of the directory that it covers in the root.
func (r *Runtime) mountFacts(spec *specs.Spec, h *specconv.Host, root string) error {
	h.Sources = make([]specconv.Source, len(spec.Mounts))
	for i, m := range spec.Mounts {
		s := &h.Sources[i]
		if m.Type == "tmpfs" {
			s.Mode = coveredMode(root, specconv.Destination(m.Destination, h.Rootfs))
			continue
		}
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") || slices.Contains(m.Options, "remount") {
			continue
		}
		if words := specconv.NoOption(m.Options); len(words) > 0 {
			r.warn("leave out /mounts/%d/options %q: a bind mount has no such options, and makes no file system that could have them", i, words)
		}
		if s.Path = m.Source; !filepath.IsAbs(s.Path) {
			s.Path = filepath.Join(h.Bundle, s.Path)
		}
		if bound, copied := specconv.SourceLinks(&m); bound || copied {
			var err error
			if s.Link, err = readLink(h.Rootfs, s.Path); err == nil {
				continue // bound, a link is like a file
			}
		}
		st, err := stat(s.Path)
		s.Dir = err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR
		if err == nil && filepath.Clean("/"+m.Destination) == "/proc" && !isProcfs(s.Path) {
			return fmt.Errorf("/mounts/%d: %q cannot be mounted because it is not of type proc", i, m.Destination) // runc's words
		}
		// A source inside the rootfs may be made by a mount before it.
		if err != nil && !strings.HasPrefix(filepath.Clean(s.Path)+"/", h.Rootfs+"/") {
			return fmt.Errorf("/mounts/%d: open source %q: %w", i, m.Source, err)
		}
	}
	return nil
}

// readLink reads the link at a path of the host; below the rootfs it is looked up there. The error is EINVAL if there is something else.
func readLink(rootfs, name string) (string, error) {
	rest, inside := strings.CutPrefix(filepath.Clean(name), rootfs+"/")
	if !inside {
		return linux.Readlinkat(unix.AT_FDCWD, name)
	}
	fd, err := openInside(rootfs, rest, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return linux.Readlinkat(fd, "")
}

// openInside looks a name up in a rootfs.
func openInside(rootfs, name string, flags uint64) (int, error) {
	root, err := linux.Openat(unix.AT_FDCWD, rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return linux.Openat2(root, strings.TrimLeft(name, "/"), unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// coveredMode looks up the permissions of a directory in the rootfs, 0 if there is none.
func coveredMode(rootfs, name string) uint32 {
	fd, err := openInside(rootfs, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		return 0
	}
	return st.Mode & 0o7777
}

// isProcfs: what engines bind over /proc is the host's. Anything else there would have tools in the container believe in what
// the image says about processes (CVE-2019-16884).
func isProcfs(name string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(name, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// processFacts fills in what depends on the process alone. For init see userFacts.
func (r *Runtime) processFacts(spec *specs.Spec, p *specs.Process, h *specconv.Host, stdio [3]*os.File, init int) error {
	var err error
	if h.Capabilities, err = ownCapabilities(); err != nil {
		return err
	}
	if err := userFacts(spec, p, h, init); err != nil {
		return err
	}
	for _, warning := range specconv.Ungranted(p, h.Capabilities) {
		r.warn("%s", warning)
	}
	if p.SelinuxLabel != "" || p.ApparmorProfile != "" {
		if err := securityModules(p); err != nil {
			return err
		}
	}
	if p.Terminal {
		return nil
	}
	for fd, file := range stdio {
		if file == nil {
			continue
		}
		st, err := linux.Fstat(int(file.Fd()))
		if err != nil {
			return fmt.Errorf("look at descriptor %d: %w", fd, err)
		}
		kind := st.Mode & unix.S_IFMT
		h.NullStdio[fd] = kind == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
		h.ChownStdio[fd] = st.Uid != p.User.UID && (kind == unix.S_IFIFO || kind == unix.S_IFSOCK || kind == unix.S_IFCHR && unix.Major(st.Rdev) >= 136 && unix.Major(st.Rdev) <= 143)
	}
	return nil
}

// ownCapabilities are those that this process can hand on: capget(2).
func ownCapabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read our capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// securityModules refuses labels that nobody would enforce.
func securityModules(p *specs.Process) error {
	if p.SelinuxLabel != "" {
		if !hasSELinux() {
			return fmt.Errorf("/process/selinuxLabel: set the label %q: SELinux is not enabled on this host", p.SelinuxLabel)
		}
	}
	if p.ApparmorProfile != "" {
		on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
		if err != nil || len(on) == 0 || on[0] != 'Y' {
			return fmt.Errorf("/process/apparmorProfile: set the profile %q: AppArmor is not enabled on this host", p.ApparmorProfile)
		}
	}
	return nil
}

func hasSELinux() bool {
	_, err := stat("/sys/fs/selinux/enforce")
	return err == nil
}

// cgroupFacts says how the process gets into its cgroup and what it sees of cgroups.
func cgroupFacts(state cgroups.State, p *cgroups.Placement) specconv.Cgroup {
	c := specconv.Cgroup{V2: state.Version == cgroups.V2, Joins: names(p.Tasks)}
	if c.V2 {
		return c
	}
	paths := state.Paths
	if p.Caller != nil {
		paths = maps.Clone(paths)
		maps.Copy(paths, p.Caller)
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		dir := paths[name]
		i := slices.IndexFunc(c.Hierarchies, func(h specconv.Hierarchy) bool { return h.Own == dir })
		switch {
		case name == "":
		case i >= 0: // controllers that are mounted together can't be mounted by themselves
			c.Hierarchies[i].Name += "," + name
		default:
			c.Hierarchies = append(c.Hierarchies, specconv.Hierarchy{Name: strings.TrimPrefix(name, "name="), Own: dir})
		}
	}
	slices.SortFunc(c.Hierarchies, func(a, b specconv.Hierarchy) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// enterByHand has the process join the cgroup by itself, after the kernel has refused to have it born there.
func enterByHand(h *specconv.Host, p *cgroups.Placement, refused error) error {
	if err := p.ByHand(); err != nil {
		return fmt.Errorf("%w; join it by hand: %w", refused, err)
	}
	h.Cgroup.Joins = names(p.Tasks)
	return nil
}

// joinedNamespaces opens the namespaces that are given by path and proves that each is of the type it is listed as.
func joinedNamespaces(spec *specs.Spec) (files []*os.File, err error) {
	for _, ns := range specconv.Joined(spec) {
		file, err := openNamespace(ns)
		if err != nil {
			closeAll(files)
			index := slices.Index(spec.Linux.Namespaces, ns)
			return nil, fmt.Errorf("/linux/namespaces/%d: join %s namespace %q: %w", index, ns.Type, ns.Path, err)
		}
		files = append(files, file)
		if err := keepHostSysctls(spec, ns.Type, file); err != nil {
			closeAll(files)
			return nil, err
		}
	}
	return files, nil
}

// keepHostSysctls refuses kernel parameters of a namespace that is joined by path and turns out to be the runtime's own.
func keepHostSysctls(spec *specs.Spec, kind specs.LinuxNamespaceType, joined *os.File) error {
	for _, key := range slices.Sorted(maps.Keys(spec.Linux.Sysctl)) {
		if specconv.SysctlNamespace(key) != kind {
			continue
		}
		name := string(kind)
		if kind == specs.NetworkNamespace {
			name = "net"
		}
		a, err := joined.Stat()
		if err != nil {
			return fmt.Errorf("/linux/sysctl: look at the %s namespace: %w", kind, err)
		}
		b, err := os.Stat("/proc/self/ns/" + name)
		if err != nil {
			return fmt.Errorf("/linux/sysctl: look at the runtime's %s namespace: %w", kind, err)
		}
		if os.SameFile(a, b) {
			return fmt.Errorf("/linux/sysctl: sysctl %q not allowed in host %s namespace", key, kind) // runc's words
		}
		return nil
	}
	return nil
}

var errNamespace = errors.New("the file is not a namespace of that type")

func openNamespace(ns specs.LinuxNamespace) (*os.File, error) {
	fd, err := linux.Openat(unix.AT_FDCWD, ns.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, err
	}
	magic, err := linux.Fstatfs(fd)
	if err == nil && magic != unix.NSFS_MAGIC {
		err = errNamespace
	}
	if err == nil {
		var kind int
		if kind, err = unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err == nil && uint64(kind) != specconv.NamespaceKind(ns.Type) {
			err = errNamespace
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), ns.Path), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
