package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
)

// A logger carries warnings, debug lines and the final error to the file or service of --log, or to standard error without one.
//
// Callers read both as an interface. A log file must hold exactly one JSON object after a failed call, because one of the
// engines decodes it as a whole, and its last error must be the cause; so warnings are written once it is known that the call
// went well. Standard error is parsed together with standard output by some callers, so it stays empty on success unless the
// command talks or debug lines are asked for.
type logger struct {
	stderr  io.Writer
	file    *os.File    // nil: none
	service *logService // nil: none
	json    bool
	verbose bool
	quiet   bool // no warnings
	talks   bool
	pending []string // warnings that wait for the outcome
	started time.Time
}

// Severities, as syslog(3) numbers them.
const (
	severityError   = 3
	severityWarning = 4
	severityDebug   = 7
)

var severityNames = [...]string{severityError: "error", severityWarning: "warning", severityDebug: "debug"}

// open starts logging as asked for on the command line. The id is that of the container, "" for none.
func (l *logger) open(g *globals, program, id string) error {
	switch g.logFormat {
	case "json":
		l.json = true
	case "text", "":
	default:
		return errors.New("invalid log-format: " + g.logFormat)
	}
	switch g.logLevel {
	case "error":
		l.quiet = true
	case "debug":
		l.verbose = true
	case "warning":
	default:
		return errors.New("invalid log-level: " + g.logLevel)
	}
	l.verbose = l.verbose || g.debug
	l.started = time.Now()
	path := strings.TrimPrefix(g.log, "file:")
	if path == "" || path == "/dev/stderr" {
		return nil
	}
	service, ok, err := openLogService(g.log, program, id)
	if ok {
		l.service = service
		return err
	}
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND | unix.O_CLOEXEC
	if !isDescriptor(path) {
		// The directory may belong to somebody else: a link left there must not make root write to another file.
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Open(path, flags, 0o644)
	if err != nil {
		return fmt.Errorf("open log %s: %w", path, err)
	}
	l.file = os.NewFile(uintptr(fd), path)
	return nil
}

// isDescriptor reports whether a path is one of the links by which the kernel and udev name the descriptors of a process.
func isDescriptor(path string) bool {
	switch filepath.Dir(path) {
	case "/dev/fd", "/proc/self/fd":
		return true
	}
	return path == "/dev/stdout"
}

// warn notes what went otherwise than asked.
func (l *logger) warn(text string) {
	logged := l.file != nil || l.service != nil
	switch {
	case l.quiet && !l.verbose:
	case logged && !l.verbose:
		l.pending = append(l.pending, text)
	case logged || l.verbose || l.talks:
		l.write(severityWarning, text)
	}
}

// debug notes a step that has been done if --debug is given.
func (l *logger) debug(text string) {
	if l.verbose {
		l.write(severityDebug, text)
	}
}

// fatal reports the error that ends the program: one line on standard error, and one in the log. Without a log the line on standard
// error is the log's if programs are to read it, as JSON, and the plain text if people are.
func (l *logger) fatal(err error) {
	text := oneLine(err.Error())
	if l.talks {
		for _, warning := range l.pending {
			fmt.Fprintln(l.stderr, oneLine(warning))
		}
	}
	logged := l.file != nil || l.service != nil
	if logged || l.json {
		l.write(severityError, text)
	}
	if logged || !l.json {
		fmt.Fprintln(l.stderr, text)
	}
}

// close writes what waited for a good end.
func (l *logger) close() {
	for _, warning := range l.pending {
		l.write(severityWarning, warning)
	}
}

// write puts out one line by one call, so that lines of several processes do not mix. A log that cannot be written stops
// nothing. Debug lines have in "ms" how many milliseconds after the command line was read they were written.
func (l *logger) write(severity int, text string) {
	now, level := time.Now().UTC().Format(time.RFC3339), severityNames[severity]
	var line []byte
	switch {
	case l.json:
		line = append(line, `{"level":"`+level+`","msg":`...)
		line = jsonscan.AppendString(line, text)
		line = append(line, `,"time":"`+now+`"`...)
		if severity == severityDebug {
			line = l.appendSince(append(line, `,"ms":`...))
		}
		line = append(line, '}')
	case l.service != nil: // notes level and time by itself
		line = append(line, oneLine(text)...)
	default:
		line = append(line, `time="`+now+`" level=`+level+" msg="...)
		line = strconv.AppendQuote(line, text)
		if severity == severityDebug {
			line = l.appendSince(append(line, " ms="...))
		}
	}
	switch {
	case l.service != nil:
		l.service.send(severity, string(line))
	case l.file != nil:
		l.file.Write(append(line, '\n'))
	default:
		l.stderr.Write(append(line, '\n'))
	}
}

func (l *logger) appendSince(line []byte) []byte {
	return strconv.AppendFloat(line, float64(time.Since(l.started).Microseconds())/1000, 'f', 3, 64)
}

// oneLine escapes control characters: a message can hold text from a container, which must neither start a second line nor
// steer a terminal.
func oneLine(text string) string {
	clean := func(r rune) bool { return r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0) }
	var out []byte
	for i, r := range text {
		switch {
		case clean(r) && out == nil:
		case clean(r):
			out = append(out, string(r)...)
		default:
			if out == nil {
				out = append(out, text[:i]...)
			}
			quoted := strconv.QuoteRune(r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
	}
	if out == nil {
		return text
	}
	return string(out)
}
