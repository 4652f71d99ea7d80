package libct

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifyLimit is how long a message may be, in bytes: what systemd reads of one (PIPE_BUF).
const notifyLimit = 4096

// isBarrier reports whether a message is that of sd_notify_barrier(3), which comes alone.
func isBarrier(text string) bool { return strings.TrimSuffix(text, "\n") == "BARRIER=1" }

// translate returns what the service manager is told of a container's message, "" for nothing, and whether that is READY=1.
//
// What sd_notify(3) knows is passed on if it tells of the service: its state, and what it wants the manager to wait for. Left out is
// what would change who may speak for it or what the manager keeps for it: FDSTORE, FDSTOREREMOVE, FDNAME and FDPOLL (descriptors of
// a container would outlive it, and come to the next one in the place of sockets), NOTIFYACCESS, MAINPIDFD, and what nobody knows yet.
// A MAINPID is one of the container's pid namespace; only its sender's runtime knows what is to be watched. When that has ended there
// is nothing to be watched, and nothing that is ready. A watchdog may become stricter than the manager asked for, not laxer.
func (n *notifier) translate(text string) (answer string, ready bool) {
	var lines []string
	mainPid := false
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "READY":
			if value != "1" || n.gone {
				continue
			}
			ready, mainPid = true, true
			n.patience.renew()
		case "MAINPID":
			mainPid = mainPid || isNumber(value) && !n.gone
			continue
		case "RELOADING", "STOPPING":
			if value != "1" {
				continue
			}
		case "WATCHDOG":
			if value != "1" && value != "trigger" {
				continue
			}
		case "ERRNO":
			if !isNumber(value) {
				continue
			}
		case "EXTEND_TIMEOUT_USEC":
			usec, err := strconv.ParseUint(value, 10, 63)
			if err == nil {
				usec = n.patience.grant(usec, time.Now())
			}
			if err != nil || usec == 0 {
				continue
			}
			line = name + "=" + strconv.FormatUint(usec, 10)
		case "WATCHDOG_USEC":
			if usec, err := strconv.ParseUint(value, 10, 63); err != nil || usec == 0 || usec > n.watchdog {
				continue
			}
		case "MONOTONIC_USEC":
			usec, err := strconv.ParseUint(value, 10, 63)
			ours := int64(usec) - n.offset
			if err != nil || ours < 0 {
				continue
			}
			line = name + "=" + strconv.FormatInt(ours, 10)
		case "STATUS":
			line = name + "=" + printable(value)
		default:
			continue
		}
		lines = append(lines, line)
	}
	if mainPid {
		lines = append(lines, "MAINPID="+strconv.Itoa(n.mainPid))
	}
	return strings.Join(lines, "\n"), ready
}

// extendLimit is for how long a container may keep the manager's timeouts off in all, until it is ready and again after that. Without a
// limit it could never be stopped but by SIGKILL.
const extendLimit = 10 * time.Minute

// extension counts for how long a container has kept the timeouts off with EXTEND_TIMEOUT_USEC.
type extension struct {
	left    time.Duration
	until   time.Time // what was granted ends then
	renewed bool
}

// grant returns how many microseconds from now on of those that are asked for the manager is asked for; 0 is none.
func (e *extension) grant(usec uint64, now time.Time) uint64 {
	asked := time.Duration(min(usec, uint64(extendLimit.Microseconds()))) * time.Microsecond
	already := max(e.until.Sub(now), 0) // counted
	more := min(max(asked-already, 0), e.left)
	if more > 0 {
		e.left -= more
		e.until = now.Add(already + more)
	}
	return uint64(min(asked, already+more).Microseconds())
}

// renew starts from anew at the first READY=1: a long start leaves time for the stop.
func (e *extension) renew() {
	if !e.renewed {
		e.left, e.renewed = extendLimit, true
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// printable makes of a text what a terminal may be shown: systemctl prints a status as it is.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// clockOffset is by how many microseconds CLOCK_MONOTONIC is ahead in the time namespace of a process (time_namespaces(7)).
func clockOffset(pid int) int64 {
	table, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/timens_offsets")
	if err != nil {
		return 0 // no time namespaces, or the process has ended
	}
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) != 3 || string(f[0]) != "monotonic" {
			continue
		}
		seconds, _ := strconv.ParseInt(string(f[1]), 10, 64)
		nanoseconds, _ := strconv.ParseInt(string(f[2]), 10, 64)
		return seconds*1e6 + nanoseconds/1e3
	}
	return 0
}
