package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enable makes sure that the cgroup has every controller that the top of the mount has, as engines and their monitors expect.
// Usually the parent passes them all on already, which one look at each end of the path tells.
//
// What an earlier cgroup of the path passes on more than before stays so when Create fails later: to take a controller away
// again would take the limits from a sibling that was made in the meantime.
func (m *v2) enable() error {
	top := newDir(m.mount)
	defer top.close()
	all, err := top.read("cgroup.controllers")
	if err != nil {
		return err
	}
	have, err := m.read("cgroup.controllers")
	if err != nil || have == all {
		return err
	}
	if err := m.passOn(top, strings.Fields(all)); err != nil {
		return err
	}
	kind, err := m.read("cgroup.type")
	if err != nil {
		return err
	}
	switch kind = strings.TrimSpace(kind); kind {
	case "threaded", "domain invalid":
		return fmt.Errorf("enter cgroup %s: it is %q because a cgroup above is threaded, so no process can be started in it (choose another cgroupsPath)", m.path, kind)
	}
	return nil
}

// passOn walks from the top to the parent and adds what is missing to each cgroup.subtree_control. A refusal is no error by
// itself (a delegated subtree has fewer controllers); it is kept for the message in case a limit needs the controller.
func (m *v2) passOn(top dir, all []string) error {
	p := top.path
	for name := range strings.SplitSeq(m.inner, "/") {
		d := newDir(p)
		have, err := d.read("cgroup.subtree_control")
		if err == nil {
			m.passOnFrom(&d, all, strings.Fields(have))
		}
		d.close()
		if err != nil {
			return err
		}
		p = path.Join(p, name)
	}
	return nil
}

func (m *v2) passOnFrom(d *dir, all, have []string) {
	var missing []string
	for _, c := range all {
		if !slices.Contains(have, c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return
	}
	if m.enableErr == nil && d.lived() {
		m.enableErr = fmt.Errorf("%s has processes of its own, so it can't pass on controllers: %w", d.path, unix.EBUSY)
	}
	if m.enableErr != nil || d.write("cgroup.subtree_control", strings.Join(missing, " ")) == nil {
		return
	}
	for _, c := range missing { // the kernel takes all or nothing; get at least those that it grants
		if err := d.write("cgroup.subtree_control", c); err != nil && m.enableErr == nil {
			m.enableErr = err
		}
	}
}

// lived says whether processes live in a cgroup that is not the root. The kernel lets such a one pass on cpu and pids alone,
// but makes it the root of a threaded subtree then: no process could be started below it (cgroup-v2.rst, "Threads").
func (d *dir) lived() bool {
	if pids, err := d.pids(); err != nil || len(pids) == 0 {
		return false
	}
	_, err := d.read("cgroup.type")
	return err == nil // the root has no such file
}

// delegate gives the cgroup to a user: the directory and the files that the kernel names as safe to hand over
// (cgroup-v2.rst, "Model of Delegation"). Limits stay out of its reach.
func (d *dir) delegate(uid int) error {
	if err := d.open(); err != nil {
		return err
	}
	if err := unix.Fchownat(d.fd, "", uid, -1, unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "chown cgroup", Path: d.path, Err: err}
	}
	names, err := delegated("/sys/kernel/cgroup/delegate")
	if err != nil {
		return err
	}
	for _, name := range names {
		err := unix.Fchownat(d.fd, name, uid, -1, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) { // the list also names files of controllers that are not enabled here
			return &os.PathError{Op: "chown", Path: d.path + "/" + name, Err: err}
		}
	}
	return nil
}

// delegated are the files that the kernel lists, or those that it had before it had the list (Linux 4.15).
func delegated(list string) ([]string, error) {
	names, err := readWhole(list)
	if errors.Is(err, unix.ENOENT) {
		return []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}, nil
	}
	return strings.Fields(string(names)), err
}

func (m *v2) Delegate(name string, owner uint32, pid int) error {
	if m.absent {
		return errAbsent
	}
	defer m.close()
	if err := m.open(); err != nil {
		return err
	}
	below := newDir(m.path + "/" + name)
	defer below.close()
	if err := unix.Mkdirat(m.fd, name, 0o755); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "make cgroup", Path: below.path, Err: err}
	}
	if owner != 0 {
		if err := below.delegate(int(owner)); err != nil {
			return err
		}
	}
	return below.write("cgroup.procs", itoa(int64(pid)))
}

func (m *v1) Delegate(string, uint32, int) error {
	return errors.New("make a cgroup for the container to use as it likes: cgroup v1 is not delegated")
}
