package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An undo holds the writes that put back what Set has changed, the newest last. On a nil one nothing is noted: a new cgroup is
// removed as a whole.
type undo struct {
	writes []oldValue
	last   func() error // takes back what came behind them, the device rules
}

type oldValue struct {
	dir         *dir
	file, value string
	inherited   string // what an empty cpuset of v2 stands for
}

// write writes value to a file and notes what was there. A file that can't be read (memory.reclaim) takes commands, which
// nothing takes back.
func (u *undo) write(d *dir, file, value string) error {
	if u == nil {
		return d.write(file, value)
	}
	content, unreadable := d.readAll(file)
	inherited := ""
	if strings.HasPrefix(file, "cpuset.") && strings.TrimSpace(string(content)) == "" {
		inherited, _ = d.read(file + ".effective")
	}
	if err := d.write(file, value); err != nil {
		return err
	}
	if old := previous(file, value, string(content)); unreadable == nil && old != "" {
		u.writes = append(u.writes, oldValue{d, file, old, inherited})
	}
	return nil
}

// after returns err, having put everything back if it is one.
func (u *undo) after(err error) error {
	if err == nil {
		return nil
	}
	if failed := u.back(); failed != nil {
		return fmt.Errorf("%w; and put back what was set before: %w", err, failed)
	}
	return err
}

// back writes the old values, the newest first. What the kernel takes only together with another value gets a second try.
func (u *undo) back() error {
	var first error
	if u.last != nil {
		first = u.last()
	}
	var again []oldValue
	for _, w := range slices.Backward(u.writes) {
		err := w.dir.write(w.file, w.value)
		if errors.Is(err, unix.ENOSPC) && w.inherited != "" {
			err = w.dir.write(w.file, w.inherited)
		}
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBUSY):
			again = append(again, w)
		case err != nil && first == nil:
			first = err
		}
	}
	for _, w := range again {
		if err := w.dir.write(w.file, w.value); err != nil && first == nil {
			first = err
		}
	}
	u.writes, u.last = nil, nil
	return first
}

// previous is the write that brings a file with the given content back to it after value was written; "" if there is none. A
// file has one value, or a line for each key, of which a write changes one.
func previous(file, value, content string) string {
	content = strings.TrimSpace(content)
	if file == "memory.oom_control" {
		n, _ := flatValue(content, "oom_kill_disable")
		return utoa(n)
	}
	key, _, keyed := strings.Cut(value, " ")
	none, list := removal(file)
	if !keyed && list {
		key, keyed = "default", true // a weight for all devices; older kernels show it without this word
	}
	if keyed {
		for line := range strings.Lines(content) {
			if strings.HasPrefix(line, key+" ") {
				return strings.TrimSpace(line)
			}
		}
		if list && key != "default" && none != "" {
			return key + " " + none
		}
	}
	switch {
	case list && key != "default", strings.Contains(content, "\n"):
		return ""
	case content == "":
		return "\n" // a write of nothing would not reach the kernel
	}
	return content
}

// removal tells whether a file has a line for each key, and what is written behind a key to be rid of its line. "" is for lists
// that have a line for every key there is.
func removal(file string) (none string, list bool) {
	switch file {
	case "io.max":
		return "rbps=max wbps=max riops=max wiops=max", true
	case "io.latency":
		return "target=0", true
	case "io.weight", "io.bfq.weight", "blkio.bfq.weight_device":
		return "default", true
	case "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device":
		return "0", true
	case "rdma.max", "misc.max", "net_prio.ifpriomap":
		return "", true
	}
	return "", false
}
