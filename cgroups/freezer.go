package cgroups

import (
	"cmp"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezeTimeout bounds the wait for processes to stop; one in an uninterruptible sleep (dead NFS) may never do.
const freezeTimeout = 10 * time.Second

// freezeUnified stops or resumes the tree and waits for the frozen event.
func (d *dir) freezeUnified(freeze bool) error {
	want, value := uint64(0), "0"
	if freeze {
		want, value = 1, "1"
	}
	if err := d.write("cgroup.freeze", value); err != nil {
		return err
	}
	if !freeze {
		return nil // a thawed cgroup below a frozen one stays stopped, so there may be no event to wait for
	}
	if err := d.waitEvent("frozen", want, time.Now().Add(freezeTimeout)); err != nil {
		_ = d.write("cgroup.freeze", "0") // half-frozen is worse than running
		return err
	}
	return nil
}

func (d *dir) frozenUnified() (bool, error) {
	return d.isOne("cgroup.freeze")
}

// Every thawEvery-th attempt of freezeV1 lets the cgroup run for a moment.
const (
	thawEvery = 50
	thawPause = 10 * time.Millisecond
)

// freezeV1 writes FROZEN until the kernel confirms it. The v1 freezer has no event, and it can stay in FREEZING while
// processes come in by fork or by a write to cgroup.procs; writing FROZEN again makes it look again, so this polls with a
// growing pause. A process that waits for one that is frozen already (vfork) never gets to where it could stop: it goes on
// when all are thawed for a moment.
func (d *dir) freezeV1(freeze bool) error {
	if !freeze {
		return d.write("freezer.state", "THAWED")
	}
	deadline := time.Now().Add(freezeTimeout)
	pause := 20 * time.Microsecond
	for try := 1; ; try++ {
		if err := d.write("freezer.state", "FROZEN"); err != nil {
			return err
		}
		state, err := d.read("freezer.state")
		if err != nil {
			return err
		}
		if state == "FROZEN\n" {
			return nil
		}
		late := time.Now().After(deadline)
		if late || try%thawEvery == 0 {
			if err := d.write("freezer.state", "THAWED"); err != nil && !late {
				return err
			}
			if late { // half-frozen is worse than running
				return &os.PathError{Op: "freeze cgroup", Path: d.path, Err: unix.ETIMEDOUT}
			}
			pause = thawPause
		}
		time.Sleep(pause)
		pause = min(2*pause, thawPause/2)
	}
}

// frozenV1 asks for the cgroup's own wish, so a frozen cgroup above does not count.
func (d *dir) frozenV1() (bool, error) {
	return d.isOne("freezer.self_freezing")
}

// isOne reads a flag. A cgroup that is gone, or goes meanwhile, holds nobody.
func (d *dir) isOne(name string) (bool, error) {
	s, err := d.read(name)
	if isGone(err) {
		return false, nil
	}
	return strings.TrimSpace(s) == "1", err
}

// killFrozenV1 is Kill without cgroup.kill: freeze so that nobody forks, kill, thaw so that they die. Without a freezer, or
// when it does not get there, killEach has to chase them.
func killFrozenV1(list, freezer *dir) error {
	if freezer != nil {
		_ = freezer.freezeV1(true)
	}
	err := list.killEach()
	if freezer != nil {
		if terr := freezer.thawTree(); err == nil && !isGone(terr) {
			err = terr
		}
	}
	return err
}

// thawTree thaws the cgroup and those below, which a process inside may have frozen itself. Without it SIGKILL stays pending.
func (d *dir) thawTree() error {
	if err := d.write("freezer.state", "THAWED"); err != nil {
		return err
	}
	subs, err := d.children()
	if err != nil {
		return err
	}
	var errs []error
	for i := range subs {
		if err := subs[i].thawTree(); err != nil && !isGone(err) {
			errs = append(errs, err)
		}
		subs[i].close()
	}
	return errors.Join(errs...)
}

// still calls f while no process of the cgroup runs, if there is a freezer.
func (m *v1) still(f func() error) error {
	goOn, err := m.stop()
	if err != nil {
		return err
	}
	return cmp.Or(f(), goOn())
}

// stop freezes the cgroup, if there is a freezer, and returns what lets it go on. Who is paused stays so.
func (m *v1) stop() (goOn func() error, err error) {
	goOn = func() error { return nil }
	d := m.of("freezer")
	if d == nil {
		return goOn, nil
	}
	frozen, err := d.frozenV1()
	if err != nil || frozen {
		return goOn, err
	}
	if err := d.freezeV1(true); err != nil {
		return goOn, err
	}
	return func() error { return d.freezeV1(false) }, nil
}
