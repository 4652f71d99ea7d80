package libct

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/cgroups"
	"husk/internal/jsonscan"
	"husk/internal/linux"
	"husk/nsenter"
	"husk/plan"
	"husk/specconv"
)

// errand is a change of the mounts of a container that exists.
type errand struct {
	mounting
	c    *container
	init *os.File // pidfd of the container's first process
	root *os.File // its root directory

	before []specconv.AddedMount // what had been added before
	mounts []*os.File            // what is being added
}

// AddMounts mounts something in container id, which may be created or running: all of it or, with an error, nothing. The mounts have
// the form that they have in config.json.
func (r *Runtime) AddMounts(id string, mounts []specs.Mount) error {
	return r.changeMounts(id, "add", func(e *errand) error { return e.add(mounts) })
}

// RemoveMounts unmounts what AddMounts has mounted at the destinations; nothing else of the mounts counts. With an error all is as it
// was.
func (r *Runtime) RemoveMounts(id string, mounts []specs.Mount) error {
	return r.changeMounts(id, "remove", func(e *errand) error { return e.remove(mounts) })
}

func (r *Runtime) changeMounts(id, what string, change func(*errand) error) error {
	c, err := r.open(id, unix.LOCK_EX)
	if err != nil {
		return err
	}
	e := &errand{c: c}
	defer e.close()
	if err = e.open(); err == nil {
		err = change(e)
	}
	if err != nil {
		return fmt.Errorf("%s mounts of container %s: %w", what, id, err)
	}
	return nil
}

var errHostMounts = errors.New("it has no mount namespace of its own, they would be mounts of the host")

// open finds the container's first process and its root, and makes sure that its mounts are its own.
func (e *errand) open() error {
	switch status, err := e.c.status(); {
	case err != nil:
		return err
	case status == Paused:
		return fmt.Errorf("%w: its mounts can be changed when it is resumed", ErrPaused)
	case status != Created && status != Running:
		return ErrNotRunning
	case e.c.rec.HostMount: // the host's need not be ours
		return errHostMounts
	}
	init, err := e.c.initPidfd()
	if err != nil {
		return err
	}
	e.init = os.NewFile(uintptr(init), "init")
	if e.root, err = e.c.openRootDir(); err != nil {
		return err
	}
	theirs, err := stat("/proc/" + strconv.Itoa(e.c.rec.Pid) + "/ns/mnt")
	if err == nil {
		var ours unix.Stat_t
		if ours, err = stat("/proc/self/ns/mnt"); err == nil && ours.Dev == theirs.Dev && ours.Ino == theirs.Ino {
			return errHostMounts // it has joined ours
		}
	}
	if err != nil {
		return fmt.Errorf("look at its mount namespace: %w", err)
	}
	e.spec, err = e.c.spec()
	return err
}

func (e *errand) add(mounts []specs.Mount) error {
	specconv.ReadIDMaps(e.spec.Linux, mounts)
	if err := specconv.ValidateMounts(e.spec, mounts); err != nil {
		return fmt.Errorf("validate mounts: %w", err)
	}
	volumes := e.volumes()
	own := *e.spec
	own.Mounts = mounts
	e.spec, e.noLinks = &own, true
	rec := &e.c.rec
	e.host = &specconv.Host{
		ID: e.c.id, Bundle: rec.Bundle, Rootfs: rec.Rootfs, SELinux: own.Linux.MountLabel != "" && hasSELinux(),
		Cgroup: specconv.Cgroup{V2: rec.Cgroup.Version == cgroups.V2},
	}
	if err := e.inTime("look at the places of the mounts", func() error { return e.c.r.mountFacts(e.spec, e.host, e.root.Name()) }); err != nil {
		return err
	}
	if err := e.fixSources(volumes); err != nil {
		return err
	}
	p, err := specconv.CompileMounts(e.spec, mounts, e.host)
	if err != nil {
		return err
	}
	e.before = rec.Mounts
	if err := e.run(p, e.answer); err != nil {
		return e.takeBack(err)
	}
	stopPoint("mounts-added")
	return nil
}

// answer does what a gate of CompileMounts asks for.
func (e *errand) answer(ev *nsenter.Event) (err error) {
	switch ev.Gate.Step {
	case specconv.GateSource:
		return e.sendSource(*ev)
	case specconv.GateIDMap:
		err = e.mapMount(*ev)
	case specconv.GateTarget:
		err = e.withFiles(ev, e.makeTarget)
	case specconv.GateCopyUp:
		err = e.withFiles(ev, e.copyUp)
	case specconv.GateAdd:
		e.mounts, ev.Files = ev.Files, nil
		err = e.note()
	default:
		err = fmt.Errorf("answer the interpreter: unknown gate %q", ev.Gate.Step)
	}
	if err == nil {
		err = e.process.Answer(nil)
	}
	return err
}

// note writes down what is about to be mounted, before it is: so it is known to whoever comes after a command that was killed.
func (e *errand) note() error {
	if len(e.mounts) != len(e.spec.Mounts) {
		return fmt.Errorf("answer the interpreter: %d mounts came, not %d", len(e.mounts), len(e.spec.Mounts))
	}
	rec := &e.c.rec
	list := slices.Clone(rec.Mounts)
	for i, m := range e.mounts {
		id, err := linux.MountID(int(m.Fd()), plan.StatxMount)
		if err != nil {
			return fmt.Errorf("/mounts/%d: look at the mount: %w", i, err)
		}
		list = append(list, e.addedMount(i, id))
	}
	rec.Mounts = list
	if err := e.c.save(); err != nil {
		return err
	}
	stopPoint("mounts-recorded")
	return nil
}

// takeBack unmounts what has been mounted until the error came, the last one first, and returns the error. It is done by the mounts'
// descriptors, whatever the container has made of their names.
func (e *errand) takeBack(cause error) error {
	rec := &e.c.rec
	if len(rec.Mounts) == len(e.before) {
		return cause
	}
	left := slices.Clone(e.before)
	for i, m := range slices.Backward(rec.Mounts[len(e.before):]) {
		p, err := specconv.CompileTakeBack(e.spec, m, e.host)
		if err == nil {
			err = e.run(p, nil, e.mounts[i])
		}
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it had not been mounted yet
			cause = fmt.Errorf("%w; and %w", cause, err)
			left = append(left, m)
		}
	}
	rec.Mounts = left
	if err := e.c.save(); err != nil {
		cause = fmt.Errorf("%w; and %w", cause, err)
	}
	return cause
}

func (e *errand) remove(mounts []specs.Mount) error {
	rec := &e.c.rec
	var chosen []int // places in rec.Mounts
	for i := range mounts {
		name := specconv.Destination(mounts[i].Destination, rec.Rootfs)
		at := len(rec.Mounts) - 1
		for at >= 0 && rec.Mounts[at].Destination != name {
			at--
		}
		switch {
		case at < 0:
			return fmt.Errorf("/mounts/%d: nothing was added at %q; what config.json has mounted stays", i, name)
		case slices.Contains(chosen, at):
			return fmt.Errorf("/mounts/%d: %q comes twice", i, name)
		}
		chosen = append(chosen, at)
	}
	for at, m := range rec.Mounts {
		for _, i := range chosen {
			if above := rec.Mounts[i].Destination; at > i && !slices.Contains(chosen, at) && strings.HasPrefix(m.Destination, above+"/") && e.there(m) {
				return fmt.Errorf("unmount %q: %w: %q was added below it", above, unix.EBUSY, m.Destination)
			}
		}
	}
	slices.Sort(chosen)
	var list []specconv.AddedMount // what was added last goes first
	for _, at := range slices.Backward(chosen) {
		list = append(list, rec.Mounts[at])
	}
	if err := e.unmount(list); err != nil {
		return err
	}
	stopPoint("mounts-removed")
	rec.Mounts = slices.DeleteFunc(rec.Mounts, func(m specconv.AddedMount) bool { return slices.Contains(list, m) })
	return e.c.save()
}

// there says whether a mount that was added is still where it was; the container may have unmounted it itself.
func (e *errand) there(m specconv.AddedMount) bool {
	err := e.inTime("look at "+strconv.Quote(m.Destination), func() error {
		fd, err := openInside(e.root.Name(), m.Destination, unix.O_PATH)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		id, err := linux.MountID(fd, plan.StatxMount)
		if err == nil && id != m.ID {
			err = unix.ESTALE
		}
		return err
	})
	return err == nil || errors.Is(err, unix.ETIMEDOUT)
}

func (e *errand) unmount(list []specconv.AddedMount) error {
	p, err := specconv.CompileUnmounts(e.spec, list, &specconv.Host{ID: e.c.id, Rootfs: e.c.rec.Rootfs})
	if err != nil {
		return err
	}
	return e.run(p, nil)
}

func (e *errand) close() {
	closeAll(append(e.mounts, e.root, e.init))
	e.c.close()
}

func appendMounts(dst []byte, list []specconv.AddedMount) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(appendKey(dst, "added_mounts"), '[')
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonscan.AppendString(append(dst, `{"destination":`...), m.Destination)
		dst = appendUint(dst, "mount_id", m.ID)
		if m.Source != "" {
			dst = jsonscan.AppendString(appendKey(dst, "source"), m.Source)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func readMount(d *jsonscan.Decoder, m *specconv.AddedMount) error {
	return d.Object(func(key string) error {
		switch key {
		case "destination":
			return jsonscan.Text(d, &m.Destination)
		case "source":
			return jsonscan.Text(d, &m.Source)
		case "mount_id":
			return jsonscan.Uint(d, &m.ID)
		}
		return d.Skip()
	})
}
