package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// service listens in the place of one that keeps the system's log, and returns what is sent to it next.
func service(t *testing.T, socket *string, network string) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	before := *socket
	*socket = path
	t.Cleanup(func() { *socket = before })
	if network == "unix" {
		listener, err := net.Listen(network, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		return func() string {
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return next(t, conn)
		}
	}
	conn, err := net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func() string { return next(t, conn) }
}

func next(t *testing.T, conn net.Conn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	data := make([]byte, 100<<10)
	n, err := conn.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:n])
}

func TestLogServices(t *testing.T) {
	no := errors.New("no\nway")
	for _, c := range []struct {
		args string
		err  error
		want []string // expressions
	}{
		{"--log journald:web create c1", no, []string{`^MESSAGE=runc create failed: no\\nway\nPRIORITY=3\nSYSLOG_IDENTIFIER=web\nID=c1\n$`}},
		{"--log journald: delete c1", nil, []string{`^MESSAGE=careful\nPRIORITY=4\nSYSLOG_IDENTIFIER=husk\nID=c1\n$`}},
		{"--log=journald:x --log-level=error delete c1", no, []string{`^MESSAGE=no\\nway\nPRIORITY=3\n`}},
		{"--log journald:x --log-format json start c1", no, []string{`^MESSAGE={"level":"error","msg":"no\\\\nway","time":"[^"]*"}\nPRIORITY=3\nSYSLOG_IDENTIFIER=x\nID=c1\n$`}},
		{"--log journald:x --debug list", no, []string{`^MESSAGE=husk .*PRIORITY=7\nSYSLOG_IDENTIFIER=x\n$`, `careful\nPRIORITY=4`, `^MESSAGE=no\\nway`}},
		{"--log journald:x create", nil, []string{`^MESSAGE=husk: "create" requires exactly 1 argument\(s\)\nPRIORITY=3\nSYSLOG_IDENTIFIER=x\n$`}},
		{"--log syslog:web delete c1", no, []string{`^<11>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d web\[\d+\]: no\\nway$`}},
		{"--log syslog: delete c1", nil, []string{`^<12>.* c1\[\d+\]: careful$`}},
		{"--log syslog: list", no, []string{`^<11>.* husk\[\d+\]: no\\nway$`}},
	} {
		f := &fake{warning: "careful", err: c.err}
		journal, syslog := service(t, &journalSocket, "unixgram"), service(t, &syslogSocket, "unixgram")
		_, _, stderr := f.husk(strings.Fields(c.args)...)
		if (c.err != nil) != strings.Contains(stderr, `no\nway`) {
			t.Errorf("%s: standard error %q", c.args, stderr)
		}
		for _, want := range c.want {
			from := journal
			if strings.Contains(c.args, "syslog:") {
				from = syslog
			}
			if got := from(); !regexp.MustCompile(`(?s)` + want).MatchString(got) {
				t.Errorf("%s: got %q, want %s", c.args, got, want)
			}
		}
	}
}

// Some services of syslog listen for streams.
func TestSyslogStream(t *testing.T) {
	got := service(t, &syslogSocket, "unix")
	(&fake{err: errors.New("no")}).husk("--log", "syslog:x", "delete", "c1")
	if text := got(); !regexp.MustCompile(`^<11>.* x\[\d+\]: no\x00$`).MatchString(text) {
		t.Errorf("%q", text)
	}
}

func TestLogServiceLongMessage(t *testing.T) {
	got := service(t, &journalSocket, "unixgram")
	(&fake{err: errors.New(strings.Repeat("x", 1<<20))}).husk("--log", "journald:x", "delete", "c1")
	if text := got(); !strings.HasSuffix(text, "x\nPRIORITY=3\nSYSLOG_IDENTIFIER=x\nID=c1\n") {
		t.Errorf("%d bytes, %q", len(text), text[max(len(text)-80, 0):])
	}
}

func TestNoLogService(t *testing.T) {
	service(t, &journalSocket, "unixgram")
	journalSocket += ".not"
	f := new(fake)
	status, _, stderr := f.husk("--log", "journald:x", "delete", "c1")
	if status != 1 || f.call != "" || !strings.Contains(stderr, "open log journald:x: connect to "+journalSocket+": no such file or directory") {
		t.Errorf("status %d after %q, %q", status, f.call, stderr)
	}
}

func TestLogToFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log:with:colons")
	for _, log := range []string{path, "file:" + path} {
		(&fake{err: errors.New("no")}).husk("--log", log, "--log-level", "debug", "delete", "c1")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 5 || !strings.Contains(lines[1], `level=error msg="no"`) || !strings.Contains(lines[2], "level=debug") {
		t.Errorf("%q", lines)
	}
}
