package libct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// initUserNS is the inode number of the initial user namespace: PROC_USER_INIT_INO, linux/proc_ns.h.
const initUserNS = 0xEFFFFFFD

// userFacts fills in what depends on user namespaces. init is the pid of the container's, 0 as long as there is none.
func userFacts(spec *specs.Spec, p *specs.Process, h *specconv.Host, init int) error {
	initial := !inUserNamespace()
	h.BindDevices = !initial
	if !initial {
		h.NoSetgroups = setgroupsDenied("self")
	}
	if !specconv.Has(spec, specs.UserNamespace) {
		return nil
	}
	h.BindDevices = true
	own := h.Capabilities
	h.Schedules = initial && own&(1<<unix.CAP_SYS_NICE) != 0
	h.Capabilities = 1<<64 - 1 // those of its user namespace: all
	switch {
	case init > 0: // whoever made it, with whatever privileges
		h.NoSetgroups = setgroupsDenied(strconv.Itoa(init))
	case len(spec.Linux.UIDMappings) > 0 && !mayMap(own) && selfOnly(spec):
		h.NoSetgroups = true
	}
	if specconv.KeepsGroups(spec) && initial && own&(1<<unix.CAP_SETGID) != 0 {
		return errors.New("/annotations/run.oci.keep_original_groups: root's groups in a user namespace would be more than config.json can ask for")
	}
	if n := len(p.User.AdditionalGids); n > 0 && h.NoSetgroups {
		return fmt.Errorf("/process/user/additionalGids: set %d groups: a user without privileges can't set groups in a user namespace with its own group alone (user_namespaces(7)); add ranges to /etc/subgid and map them", n)
	}
	if init == 0 && len(spec.Linux.UIDMappings) == 0 && !mayMap(own) {
		h.NoSetgroups = true // maybe: in one that is joined only who is in there can look
	}
	// The container says so, and may have made it so: it must not get ours by that.
	h.DropGroups = h.NoSetgroups && own&(1<<unix.CAP_SETGID) != 0 && !setgroupsDenied("self") && !specconv.KeepsGroups(spec)
	return nil
}

// setgroupsDenied reads what the user namespace of a process has been made with (user_namespaces(7)).
func setgroupsDenied(process string) bool {
	text, err := os.ReadFile("/proc/" + process + "/setgroups")
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}

// mayMap says whether a process with these capabilities may map any ids.
func mayMap(capabilities uint64) bool {
	const both = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return capabilities&both == both
}

// selfOnly says whether nothing is mapped but our own ids, which everybody may do.
func selfOnly(spec *specs.Spec) bool {
	is := func(list []specs.LinuxIDMapping, id int) bool {
		return len(list) == 1 && list[0].Size == 1 && list[0].HostID == uint32(id)
	}
	return is(spec.Linux.UIDMappings, os.Geteuid()) && is(spec.Linux.GIDMappings, os.Getegid())
}

// mapIDs writes the id maps of the new user namespace that the process is in, raises the hard limits and lowers the
// oom_score_adj that it can't change itself from there.
func (k *creation) mapIDs() error {
	pid := k.process.Pid
	own, err := ownCapabilities()
	if err != nil {
		return err
	}
	l := k.spec.Linux
	switch {
	case mayMap(own):
		err = writeMaps(pid, l, false)
	case selfOnly(k.spec):
		err = writeMaps(pid, l, true)
	default:
		if err = helperMap("newuidmap", pid, l.UIDMappings); err == nil {
			err = helperMap("newgidmap", pid, l.GIDMappings)
		}
	}
	if err != nil {
		return err
	}
	if score := k.spec.Process.OOMScoreAdj; score != nil && own&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		// What we have set is the least that it may set itself. It will, and say so if this was not enough.
		_ = writeFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", strconv.Itoa(*score))
	}
	for i, limit := range k.spec.Process.Rlimits {
		if err := raiseLimit(pid, limit); err != nil {
			return fmt.Errorf("/process/rlimits/%d: raise the hard limit of %s to %d: %w", i, limit.Type, limit.Hard, err)
		}
	}
	return nil
}

// raiseLimit gives a process a higher hard limit, if it has a lower one.
func raiseLimit(pid int, limit specs.POSIXRlimit) error {
	resource := specconv.Rlimit(limit.Type)
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return err
	}
	if now.Max >= limit.Hard {
		return nil
	}
	now.Max = limit.Hard
	return unix.Prlimit(pid, resource, &now, nil)
}

// writeMaps writes the files of user_namespaces(7). Whoever maps only its own group must give up setgroups(2) first.
func writeMaps(pid int, l *specs.Linux, denySetgroups bool) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if denySetgroups {
		if err := writeFile(dir+"setgroups", "deny"); err != nil {
			return fmt.Errorf("/linux/gidMappings: deny setgroups: %w", err)
		}
	}
	if err := writeFile(dir+"uid_map", mapText(l.UIDMappings)); err != nil {
		return fmt.Errorf("/linux/uidMappings: map the user ids: %w%s", err, mapHint(err))
	}
	if err := writeFile(dir+"gid_map", mapText(l.GIDMappings)); err != nil {
		return fmt.Errorf("/linux/gidMappings: map the group ids: %w%s", err, mapHint(err))
	}
	return nil
}

func mapHint(err error) string {
	if errors.Is(err, unix.EPERM) {
		return " (the host's ids must be mapped in the user namespace that husk is in, and be ours or ones that we may change to)"
	}
	return ""
}

// writeFile writes a file of procfs, which takes its content in one call.
func writeFile(name, text string) error {
	fd, err := linux.Openat(unix.AT_FDCWD, name, unix.O_WRONLY, 0)
	if err != nil {
		return cause(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

func mapText(list []specs.LinuxIDMapping) string {
	var b []byte
	for _, m := range list {
		for i, n := range []uint32{m.ContainerID, m.HostID, m.Size} {
			if i > 0 {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, uint64(n), 10)
		}
		b = append(b, '\n')
	}
	return string(b)
}

// helperDirs is where the set-user-ID helpers of the shadow tools are looked for: never in a PATH that somebody else has set.
var helperDirs = []string{"/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin", "/run/current-system/sw/bin"}

// helperMap has newuidmap(1) or newgidmap(1) write a map, which looks in /etc/subuid and /etc/subgid whether we may have these
// ids. Only numbers go to it, and the pid is our child's, which nobody else can have.
func helperMap(name string, pid int, list []specs.LinuxIDMapping) error {
	at := slices.IndexFunc(helperDirs, func(dir string) bool {
		return unix.Access(filepath.Join(dir, name), unix.X_OK) == nil
	})
	place, file := "/linux/uidMappings", "/etc/subuid"
	if name == "newgidmap" {
		place, file = "/linux/gidMappings", "/etc/subgid"
	}
	if at < 0 {
		return fmt.Errorf("%s: map the ids: %s is needed by users without privileges, and is in none of %s (Debian: package uidmap)", place, name, strings.Join(helperDirs, ", "))
	}
	args := []string{name, strconv.Itoa(pid)}
	for _, m := range list {
		for _, n := range []uint32{m.ContainerID, m.HostID, m.Size} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	path := filepath.Join(helperDirs[at], name)
	if err := runHelper(path, args); err != nil {
		return fmt.Errorf("%s: map the ids: %s: %w (are they in %s?)", place, path, err, file)
	}
	return nil
}

// runHelper runs a program of the host without environment and input.
func runHelper(path string, args []string) error {
	run, err := newRun(nil)
	if err != nil {
		return err
	}
	defer run.close()
	if err := run.start(path, args, []string{}); err != nil {
		return err
	}
	seconds := 10
	return run.wait(&seconds)
}

// setOffsets writes the offsets of the time namespace that the process's next child will be in: time_namespaces(7).
func (k *creation) setOffsets() error {
	var text []byte
	for clock, o := range k.spec.Linux.TimeOffsets {
		text = fmt.Appendf(text, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	if err := writeFile("/proc/"+strconv.Itoa(k.process.Pid)+"/timens_offsets", string(text)); err != nil {
		hint := ""
		if errors.Is(err, unix.ERANGE) {
			hint = " (a clock would be before zero, or beyond the kernel's limit)"
		}
		return fmt.Errorf("/linux/timeOffsets: set the offsets: %w%s", err, hint)
	}
	return nil
}

// insideUser finds those of the joined namespaces that belong to the joined user namespace: they can be joined only from within.
func insideUser(spec *specs.Spec, files []*os.File) (inside []specs.LinuxNamespaceType, err error) {
	list := specconv.Joined(spec)
	user := slices.IndexFunc(list, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
	if user < 0 {
		return nil, nil
	}
	want, err := linux.Fstat(int(files[user].Fd()))
	if err != nil {
		return nil, err
	}
	for i, ns := range list {
		if i == user {
			continue
		}
		owner, err := unix.IoctlRetInt(int(files[i].Fd()), unix.NS_GET_USERNS)
		if err == unix.EPERM {
			continue // it belongs to one that we may not see: joining it will say so
		}
		if err != nil {
			return nil, fmt.Errorf("look for the owner of %s namespace %q: %w", ns.Type, ns.Path, err)
		}
		st, err := linux.Fstat(owner)
		unix.Close(owner)
		if err != nil {
			return nil, err
		}
		if st.Dev == want.Dev && st.Ino == want.Ino {
			inside = append(inside, ns.Type)
		}
	}
	return inside, nil
}
