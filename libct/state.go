package libct

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"husk/cgroups"
	"husk/internal/jsonscan"
	"husk/internal/resctrl"
	"husk/specconv"
)

// recordSchema is the version of the record that this husk writes, and of what
// is said over the start gate, whose other side may be another build: the names
// of the gates behind it, which are in StartOps, and the messages. A reader
// refuses newer ones; fields may be added without a new version if an older
// reader may ignore them. docs/operating.md says what is promised; salvage has
// the members that no version may change.
const recordSchema = 1

// How far the commands have come with a container. What its process did since
// is not written down: status looks.
type phase string

const (
	phaseCreating phase = "creating" // create works on it, or was killed at it
	phaseCreated  phase = "created"  // create is done: the process waits at the gate, or has been started
	phaseRunning  phase = "running"  // start is done
	phaseStopped  phase = "stopped"  // the process has ended
)

// record is what husk remembers about a container: what later commands need
// and can't find out. It is saved before the first thing outside of the state
// directory is made, with all that delete needs to find it.
type record struct {
	Schema      int // recordSchema
	ID          string
	OCIVersion  string    // ociVersion of config.json
	Bundle      string    // absolute path
	Rootfs      string    // absolute path
	Created     time.Time // UTC
	Owner       uint32    // effective uid of the creator
	Annotations map[string]string
	Phase       phase
	Pid         int    // of the container's init, in husk's pid namespace; 0: none yet
	StartTime   uint64 // of that process, in clock ticks since boot
	BootID      string // of the boot it belongs to; "": the record itself does not outlive a boot
	Cgroup      cgroups.State
	Resctrl     resctrl.Group
	OwnPidns    bool   // it has a pid namespace of its own, so its end is the end of all in it
	Rootless    bool   // its cgroup may be missing for want of permission
	Poststart   bool   // config.json has poststart hooks
	Poststop    bool   // config.json has poststop hooks
	HostMount   bool   // no mount namespace: the root is mounted on the host, delete unmounts it
	RootMount   uint64 // id of the mount that it comes on top of then; 0: not known
	RootDev     uint64 // device and inode of Rootfs, by which the container's root is known again; 0: not known
	RootIno     uint64
	NoKeyring   bool // --no-new-keyring
	Listener    bool // the filter has a listener, which start hands over
	End         End  // with phase stopped
	Asked       asked
	Mounts      []specconv.AddedMount // by AddMounts, in this order

	// StartOps are the origins of the plan's ops behind the start gate, by index: "JSON pointer\nstep".
	StartOps map[string]string
}

// namespaces are runc's names for the namespaces of a process, and those of
// the files below /proc/PID/ns.
var namespaces = [...][2]string{
	{"NEWCGROUP", "cgroup"},
	{"NEWIPC", "ipc"},
	{"NEWNET", "net"},
	{"NEWNS", "mnt"},
	{"NEWPID", "pid"},
	{"NEWTIME", "time"},
	{"NEWUSER", "user"},
	{"NEWUTS", "uts"},
}

// append appends the record as one JSON object. id, init_process_pid,
// init_process_start, created, cgroup_paths and namespace_paths have the names
// and the form that runc gives them in its state.json, where agents on the
// node look for them. The schema comes first, so that a reader meets it before
// anything that it might not understand.
func (rec *record) append(dst []byte) []byte {
	dst = append(dst, `{"schema":`...)
	dst = strconv.AppendInt(dst, int64(rec.Schema), 10)
	dst = appendText(dst, "id", rec.ID)
	dst = appendText(dst, "phase", string(rec.Phase))
	dst = appendUint(dst, "init_process_pid", uint64(rec.Pid))
	dst = appendUint(dst, "init_process_start", rec.StartTime)
	dst = appendText(dst, "boot_id", rec.BootID)
	dst = appendText(dst, "created", rec.Created.Format(time.RFC3339Nano))
	dst = appendUint(dst, "owner", uint64(rec.Owner))
	dst = appendText(dst, "oci_version", rec.OCIVersion)
	dst = appendText(dst, "bundle", rec.Bundle)
	dst = appendText(dst, "rootfs", rec.Rootfs)
	dst = appendMap(dst, "annotations", rec.Annotations)
	dst = appendBool(dst, "own_pidns", rec.OwnPidns)
	dst = appendBool(dst, "rootless", rec.Rootless)
	dst = appendBool(dst, "poststart", rec.Poststart)
	dst = appendBool(dst, "poststop", rec.Poststop)
	dst = appendBool(dst, "host_mount", rec.HostMount)
	if rec.HostMount {
		dst = appendUint(dst, "root_mount", rec.RootMount)
	}
	dst = appendUint(dst, "root_dev", rec.RootDev)
	dst = appendUint(dst, "root_ino", rec.RootIno)
	dst = appendBool(dst, "no_new_keyring", rec.NoKeyring)
	dst = appendBool(dst, "seccomp_listener", rec.Listener)
	if rec.Phase == phaseStopped {
		if rec.End.Known {
			dst = appendUint(dst, "wait_status", uint64(rec.End.Status))
		}
		dst = appendBool(dst, "oom_killed", rec.End.OOMKilled)
	}
	if rec.Asked != (asked{}) {
		dst = rec.Asked.append(appendKey(dst, "asked"))
	}
	dst = appendMap(dst, "start_ops", rec.StartOps)
	dst = appendMounts(dst, rec.Mounts)
	dst = appendText(dst, "cgroup_version", rec.Cgroup.Version)
	dst = appendUint(dst, "cgroup_inode", rec.Cgroup.Inode)
	dst = appendText(dst, "systemd_unit", rec.Cgroup.Unit)
	dst = appendBool(dst, "systemd_user", rec.Cgroup.UserManager)
	dst = appendMap(dst, "cgroup_paths", rec.Cgroup.Paths)
	if rec.Resctrl.Path != "" {
		dst = appendText(dst, "intel_rdt_path", rec.Resctrl.Path)
		dst = appendText(dst, "intel_rdt_mon_path", rec.Resctrl.Monitor)
		dst = appendBool(dst, "intel_rdt_own", rec.Resctrl.Own)
	}
	if rec.Pid > 0 {
		paths := make(map[string]string, len(namespaces))
		for _, ns := range namespaces {
			paths[ns[0]] = "/proc/" + strconv.Itoa(rec.Pid) + "/ns/" + ns[1]
		}
		dst = appendMap(dst, "namespace_paths", paths)
	}
	return append(dst, '}', '\n')
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',')
	dst = jsonscan.AppendString(dst, key)
	return append(dst, ':')
}

func appendText(dst []byte, key, value string) []byte {
	return jsonscan.AppendString(appendKey(dst, key), value)
}

func appendUint(dst []byte, key string, value uint64) []byte {
	return strconv.AppendUint(appendKey(dst, key), value, 10)
}

func appendBool(dst []byte, key string, value bool) []byte {
	return strconv.AppendBool(appendKey(dst, key), value)
}

func appendMap(dst []byte, key string, value map[string]string) []byte {
	dst = append(appendKey(dst, key), '{')
	for i, k := range slices.Sorted(maps.Keys(value)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, k), ':')
		dst = jsonscan.AppendString(dst, value[k])
	}
	return append(dst, '}')
}

// decode reads what append wrote. Members that it does not know are left out.
func (rec *record) decode(data []byte) error {
	*rec = record{}
	d := jsonscan.NewDecoder(data)
	if err := d.Object(func(key string) error { return rec.field(d, key) }); err != nil {
		return err
	}
	if err := d.End(); err != nil {
		return err
	}
	switch {
	case rec.Schema < 1:
		return fmt.Errorf("there is no schema in it")
	case rec.Pid < 0:
		return fmt.Errorf("init_process_pid is %d", rec.Pid)
	case !slices.Contains([]phase{phaseCreating, phaseCreated, phaseRunning, phaseStopped}, rec.Phase):
		return fmt.Errorf("unknown phase %q", rec.Phase)
	}
	return nil
}

func (rec *record) field(d *jsonscan.Decoder, key string) error {
	switch key {
	case "schema":
		if err := jsonscan.Int(d, &rec.Schema); err != nil {
			return err
		}
		if rec.Schema > recordSchema {
			return d.Fail(fmt.Sprintf("a newer husk has written it: schema %d, this husk knows %d", rec.Schema, recordSchema))
		}
		return nil
	case "id":
		return jsonscan.Text(d, &rec.ID)
	case "phase":
		return jsonscan.Text(d, &rec.Phase)
	case "init_process_pid":
		return jsonscan.Int(d, &rec.Pid)
	case "init_process_start":
		return jsonscan.Uint(d, &rec.StartTime)
	case "boot_id":
		return jsonscan.Text(d, &rec.BootID)
	case "created":
		return readTime(d, &rec.Created)
	case "owner":
		return jsonscan.Uint(d, &rec.Owner)
	case "oci_version":
		return jsonscan.Text(d, &rec.OCIVersion)
	case "bundle":
		return jsonscan.Text(d, &rec.Bundle)
	case "rootfs":
		return jsonscan.Text(d, &rec.Rootfs)
	case "annotations":
		return jsonscan.Map(d, &rec.Annotations, jsonscan.Text)
	case "own_pidns":
		return jsonscan.Bool(d, &rec.OwnPidns)
	case "rootless":
		return jsonscan.Bool(d, &rec.Rootless)
	case "poststart":
		return jsonscan.Bool(d, &rec.Poststart)
	case "poststop":
		return jsonscan.Bool(d, &rec.Poststop)
	case "no_new_keyring":
		return jsonscan.Bool(d, &rec.NoKeyring)
	case "seccomp_listener":
		return jsonscan.Bool(d, &rec.Listener)
	case "wait_status":
		rec.End.Known = true
		return jsonscan.Uint(d, &rec.End.Status)
	case "oom_killed":
		return jsonscan.Bool(d, &rec.End.OOMKilled)
	case "asked":
		return d.Object(func(key string) error { return rec.Asked.field(d, key) })
	case "start_ops":
		return jsonscan.Map(d, &rec.StartOps, jsonscan.Text)
	case "added_mounts":
		return jsonscan.Slice(d, &rec.Mounts, readMount)
	}
	return rec.placeField(d, key)
}

// placeField reads where the container's processes and its root are kept.
func (rec *record) placeField(d *jsonscan.Decoder, key string) error {
	switch key {
	case "host_mount":
		return jsonscan.Bool(d, &rec.HostMount)
	case "root_mount":
		return jsonscan.Uint(d, &rec.RootMount)
	case "root_dev":
		return jsonscan.Uint(d, &rec.RootDev)
	case "root_ino":
		return jsonscan.Uint(d, &rec.RootIno)
	case "intel_rdt_path":
		return jsonscan.Text(d, &rec.Resctrl.Path)
	case "intel_rdt_mon_path":
		return jsonscan.Text(d, &rec.Resctrl.Monitor)
	case "intel_rdt_own":
		return jsonscan.Bool(d, &rec.Resctrl.Own)
	case "cgroup_version":
		return jsonscan.Text(d, &rec.Cgroup.Version)
	case "cgroup_inode":
		return jsonscan.Uint(d, &rec.Cgroup.Inode)
	case "systemd_unit":
		return jsonscan.Text(d, &rec.Cgroup.Unit)
	case "systemd_user":
		return jsonscan.Bool(d, &rec.Cgroup.UserManager)
	case "cgroup_paths":
		return jsonscan.Map(d, &rec.Cgroup.Paths, jsonscan.Text)
	}
	return d.Skip()
}

func readTime(d *jsonscan.Decoder, t *time.Time) error {
	text, err := d.String()
	if err != nil {
		return err
	}
	if *t, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return d.Fail("not a time as in RFC 3339: " + strconv.Quote(text))
	}
	return nil
}

// DamagedError is a record that can't be used: empty, cut short, of a newer
// husk. The container can only be deleted, by force.
type DamagedError struct {
	Path string // of the record
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("read state record %s: %v; delete --force removes the container", e.Path, e.Err)
}

// Unwrap returns what is wrong with the record.
func (e *DamagedError) Unwrap() error { return e.Err }

// ContainerState is what husk tells about a container.
type ContainerState struct {
	OCIVersion  string
	ID          string
	Pid         int // of its init, in the caller's pid namespace; 0: no process
	Status      Status
	Bundle      string
	Rootfs      string
	Created     time.Time
	Annotations map[string]string
	Owner       string   // user who made it; List alone fills it in, as runc's
	End         End      // of a stopped container, as far as it is known
	AddedMounts []string // destinations of what AddMounts has added
}

// AppendJSON appends the state as runc prints it: members in this order, two
// blanks for each level, no newline at the end.
func (s *ContainerState) AppendJSON(dst []byte) []byte {
	return s.append(dst, "\n  ", "\n    ", ": ", "\n")
}

// AppendCompactJSON is AppendJSON without white space.
func (s *ContainerState) AppendCompactJSON(dst []byte) []byte {
	return s.append(dst, "", "", ":", "")
}

// append appends the state with the given white space: before a member, before
// a member one level below, between name and value, and at the end.
func (s *ContainerState) append(dst []byte, member, below, colon, end string) []byte {
	key := func(name string) {
		dst = append(append(dst, member...), name...)
		dst = append(dst, colon...)
	}
	text := func(name, value string) {
		key(name)
		dst = append(jsonscan.AppendString(dst, value), ',')
	}
	dst = append(dst, '{')
	text(`"ociVersion"`, s.OCIVersion)
	text(`"id"`, s.ID)
	key(`"pid"`)
	dst = append(strconv.AppendInt(dst, int64(s.Pid), 10), ',')
	text(`"status"`, string(s.Status))
	text(`"bundle"`, s.Bundle)
	text(`"rootfs"`, s.Rootfs)
	text(`"created"`, s.Created.Format(time.RFC3339Nano))
	if len(s.Annotations) > 0 {
		key(`"annotations"`)
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(s.Annotations)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonscan.AppendString(append(dst, below...), name)
			dst = jsonscan.AppendString(append(dst, colon...), s.Annotations[name])
		}
		dst = append(append(dst, member...), "},"...)
	}
	key(`"owner"`)
	dst = jsonscan.AppendString(dst, s.Owner)
	if len(s.AddedMounts) > 0 {
		dst = append(dst, ',')
		key(`"addedMounts"`)
		dst = append(dst, '[')
		for i, name := range s.AddedMounts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonscan.AppendString(append(dst, below...), name)
		}
		dst = append(append(dst, member...), ']')
	}
	if s.End.Known {
		dst = append(dst, ',')
		key(`"exitStatus"`)
		dst = strconv.AppendInt(dst, int64(s.End.Exit()), 10)
	}
	if s.End.OOMKilled {
		dst = append(dst, ',')
		key(`"oomKilled"`)
		dst = append(dst, "true"...)
	}
	return append(append(dst, end...), '}')
}
