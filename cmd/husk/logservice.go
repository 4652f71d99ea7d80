package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the services that keep the system's log listen.
var (
	syslogSocket  = "/dev/log"
	journalSocket = "/run/systemd/journal/socket"
)

// A logService is a log that --log names in place of a file, as crun has it: syslog:TAG or journald:TAG.
type logService struct {
	fd      int
	journal bool
	stream  bool   // syslog: a stream in which a NUL ends a message
	tag     string // who speaks
	id      string // the container's, "" for none
}

// logPatience is how long a service may keep us waiting that does not read: a log is no reason to hang.
const logPatience = time.Second

// logLimit is how long a message may be, in bytes: what fits into a datagram on any machine.
const logLimit = 48 << 10

// openLogService connects to the service that a destination names; ok says whether it names one. An empty tag is the program's name,
// for syslog the container's as far as there is one.
func openLogService(destination, program, id string) (s *logService, ok bool, err error) {
	s = &logService{id: oneLine(id)}
	socket := journalSocket
	if s.tag, s.journal = strings.CutPrefix(destination, "journald:"); s.journal {
		s.tag = cmp.Or(s.tag, program)
	} else if s.tag, ok = strings.CutPrefix(destination, "syslog:"); ok {
		s.tag, socket = cmp.Or(s.tag, id, program), syslogSocket
	} else {
		return nil, false, nil
	}
	s.tag = oneLine(s.tag)
	err = s.connect(socket, unix.SOCK_DGRAM)
	if err == unix.EPROTOTYPE && !s.journal {
		s.stream = true
		err = s.connect(socket, unix.SOCK_STREAM)
	}
	if err != nil {
		return nil, true, fmt.Errorf("open log %s: connect to %s: %w", destination, socket, err)
	}
	return s, true, nil
}

func (s *logService) connect(socket string, kind int) (err error) {
	if s.fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	limit := unix.NsecToTimeval(int64(logPatience))
	if err = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err == nil {
		err = unix.Connect(s.fd, &unix.SockaddrUnix{Name: socket})
	}
	if err != nil {
		unix.Close(s.fd)
	}
	return err
}

// send writes one message, of one line. If it can't be written, nothing stops.
func (s *logService) send(priority int, text string) {
	text = text[:min(len(text), logLimit)]
	var message string
	if s.journal { // systemd.io/JOURNAL_NATIVE_PROTOCOL
		message = "MESSAGE=" + text + "\nPRIORITY=" + strconv.Itoa(priority) + "\nSYSLOG_IDENTIFIER=" + s.tag + "\n"
		if s.id != "" {
			message += "ID=" + s.id + "\n" // crun's name for it
		}
	} else { // as syslog(3) sends it to the local service
		const user = 1 << 3 // LOG_USER
		message = fmt.Sprintf("<%d>%s %s[%d]: %s", user|priority, time.Now().Format(time.Stamp), s.tag, os.Getpid(), text)
		if s.stream {
			message += "\x00"
		}
	}
	for {
		if err := unix.Send(s.fd, []byte(message), unix.MSG_NOSIGNAL); err != unix.EINTR {
			return
		}
	}
}
