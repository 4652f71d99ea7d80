package cgroups

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"husk/internal/dbus"
)

// start makes the unit and waits until systemd has put the process into it. Limits that this systemd does not know, or not
// with this value, are left to the files, which are written in any case.
func (m *systemd) start(own, limits []property) error {
	bus, err := m.dial()
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := watchJobs(bus, m.unit); err != nil {
		return err
	}
	for clash := false; ; {
		job, err := bus.Do(managerCall("StartTransientUnit", m.unit, "fail", variants(own, limits, m.annotated), dbus.Array{Of: "(sa(sv))"}))
		if err == nil {
			return m.wait(bus, job)
		}
		var refused *dbus.Error
		if !errors.As(err, &refused) {
			return fmt.Errorf("start %s: %w", m.unit, err)
		}
		if i := namedIn(refused, limits); i >= 0 {
			limits = append(limits[:i:i], limits[i+1:]...)
			continue
		}
		if refused.Name != managerName+".UnitExists" || clash {
			return fmt.Errorf("start %s: %w", m.unit, err)
		}
		// What has failed once keeps its name until somebody resets it.
		clash = true
		_, _ = bus.Do(managerCall("ResetFailedUnit", m.unit))
	}
}

func managerCall(member string, args ...any) dbus.Call {
	return dbus.Call{Destination: managerName, Path: managerPath, Interface: managerIface, Member: member, Args: args}
}

// namedIn returns the property that a refusal is about, -1 if it is none of the list.
func namedIn(refused *dbus.Error, list []property) int {
	if !strings.HasPrefix(refused.Name, "org.freedesktop.DBus.Error.") {
		return -1
	}
	for i, p := range list {
		for word := range strings.FieldsFuncSeq(refused.Message, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') }) {
			if word == p.name {
				return i
			}
		}
	}
	return -1
}

// watchJobs lets the news through that a job of the unit is done. Nobody else's wakes us.
func watchJobs(bus *dbus.Conn, unit string) error {
	return bus.AddMatch("type='signal',sender='" + managerName + "',path='" + managerPath + "',interface='" + managerIface + "',member='JobRemoved',arg2='" + unit + "'")
}

// jobError is that systemd could not do what it was asked for.
type jobError string

func (e jobError) Error() string { return string(e) }

// unanswered says whether it is worth asking once more: the bus broke, or was there without systemd, as they are for a moment
// when the bus is restarted. Who did not answer in time will not then.
func unanswered(err error) bool {
	var refused *dbus.Error
	var job jobError
	switch {
	case err == nil, errors.As(err, &job), errors.Is(err, unix.ETIMEDOUT):
		return false
	case errors.As(err, &refused):
		name, ok := strings.CutPrefix(refused.Name, "org.freedesktop.DBus.Error.")
		return ok && (name == "ServiceUnknown" || name == "NameHasNoOwner" || name == "NoReply" || strings.HasPrefix(name, "Spawn."))
	}
	return true
}

// wait waits for the end of the job that a call returned.
func (m *systemd) wait(bus *dbus.Conn, job []any) error {
	for {
		s, err := bus.Wait()
		if err != nil {
			return fmt.Errorf("wait for systemd's job for %s: %w", m.unit, err)
		}
		if s.Member != "JobRemoved" || len(s.Args) != 4 || len(job) != 1 || s.Args[1] != job[0] {
			continue
		}
		if s.Args[3] != "done" {
			return jobError(fmt.Sprintf("wait for systemd's job for %s: it ended as %q (see journalctl)", m.unit, s.Args[3]))
		}
		return nil
	}
}

// change sets properties of the unit and waits until systemd has written them.
func (m *systemd) change(props []property) error {
	bus, err := m.dial()
	if err != nil {
		return err
	}
	defer bus.Close()
	for {
		_, err := bus.Do(managerCall("SetUnitProperties", m.unit, true, variants(props)))
		if err == nil {
			// It writes between this request and the next one.
			_, err = bus.Do(dbus.Call{Destination: managerName, Path: managerPath, Interface: "org.freedesktop.DBus.Peer", Member: "Ping"})
			return err
		}
		var refused *dbus.Error
		i := -1
		if errors.As(err, &refused) {
			i = namedIn(refused, props)
		}
		if i < 0 {
			return fmt.Errorf("change %s: %w", m.unit, err)
		}
		props = append(props[:i:i], props[i+1:]...)
	}
}
