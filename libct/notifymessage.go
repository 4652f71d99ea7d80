package libct

import (
	"bytes"
	"os"
	"strconv"
	"strings"
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
// is nothing to be watched, and nothing that is ready.
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
		case "ERRNO", "EXTEND_TIMEOUT_USEC", "WATCHDOG_USEC":
			if !isNumber(value) {
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
