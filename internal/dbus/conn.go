// Package dbus is a client for the few calls that are made of systemd: it calls methods and waits for signals, on one
// connection, one after the other, until a deadline. It speaks the protocol of the D-Bus specification by itself, because the
// packages for it look up users, parse XML, start programs and reflect: they cost every command that does not need them.
package dbus

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection to a message bus. It is for one goroutine.
type Conn struct {
	fd       int
	deadline time.Time
	serial   uint32
	in       []byte   // received and not yet decoded
	out      []byte   // calls that have not been sent
	signals  []Signal // received and not yet asked for
	posted   []uint32 // serials of calls whose answers nobody waits for
}

// Call is a method call.
type Call struct {
	Destination, Interface, Member string
	Path                           ObjectPath
	Args                           []any
}

// Signal is one that a match of AddMatch let through.
type Signal struct {
	Path, Interface, Member string
	Args                    []any // numbers of 32 bits as uint32, strings, paths and signatures as string
}

// Error is the answer of a callee that refuses.
type Error struct {
	Name    string // as org.freedesktop.DBus.Error.AccessDenied
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// bus is the message bus itself, as destination and as interface.
const bus = "org.freedesktop.DBus"

// Dial connects to the bus at an address ("unix:path=/run/dbus/system_bus_socket", several separated by semicolons). All that
// is done with the connection ends at the deadline, with unix.ETIMEDOUT.
func Dial(address string, deadline time.Time) (*Conn, error) {
	err := fmt.Errorf("no address of type unix:path= or unix:abstract= in %q", address)
	for one := range strings.SplitSeq(address, ";") {
		name, ok := socketName(one)
		if !ok {
			continue
		}
		var c *Conn
		if c, err = dial(name, deadline); err == nil {
			return c, nil
		}
		err = fmt.Errorf("%s: %w", strings.Replace(name, "\x00", "@", 1), err)
	}
	return nil, fmt.Errorf("connect to the message bus: %w", err)
}

// socketName reads one server address (D-Bus specification, "Server Addresses").
func socketName(address string) (string, bool) {
	rest, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", false
	}
	for pair := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if name, err := unescape(value); err == nil && name != "" {
			switch key {
			case "path":
				return name, true
			case "abstract":
				return "\x00" + name, true
			}
		}
	}
	return "", false
}

func unescape(s string) (string, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errMalformed
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out), nil
}

func dial(name string, deadline time.Time) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &Conn{fd: fd, deadline: deadline}
	if err = c.retry(unix.SO_SNDTIMEO, func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err == nil {
		err = c.authenticate()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	// Its answer is our name on the bus, which nobody asks for. The call is sent together with the first one that matters.
	if err := c.post("Hello"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() { unix.Close(c.fd) }

// authenticate proves who we are by the credentials that the kernel passes on. No uid is named: in a user namespace ours is
// another one than the bus sees.
func (c *Conn) authenticate() error {
	c.out = []byte("\x00AUTH EXTERNAL\r\nDATA\r\n")
	if err := c.flush(); err != nil {
		return err
	}
	for {
		line, err := c.line()
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(line, "OK "):
			c.out = []byte("BEGIN\r\n") // sent with the first call
			return nil
		case line != "DATA" && !strings.HasPrefix(line, "DATA "):
			return fmt.Errorf("authenticate: %q", line)
		}
	}
}

func (c *Conn) line() (string, error) {
	for {
		if line, rest, ok := bytes.Cut(c.in, []byte("\r\n")); ok {
			c.in = rest
			return string(line), nil
		}
		if len(c.in) > fixedHeader<<8 {
			return "", errMalformed
		}
		if err := c.receive(); err != nil {
			return "", err
		}
	}
}

// post makes a call whose answer nobody waits for, unless it is a refusal. It is sent with the next one.
func (c *Conn) post(member string, args ...any) error {
	serial, err := c.add(Call{Destination: bus, Path: "/org/freedesktop/DBus", Interface: bus, Member: member, Args: args})
	c.posted = append(c.posted, serial)
	return err
}

func (c *Conn) add(call Call) (uint32, error) {
	c.serial++
	data, err := encodeCall(c.serial, call)
	if err != nil {
		return 0, fmt.Errorf("call %s: %w", call.Member, err)
	}
	c.out = append(c.out, data...)
	return c.serial, nil
}

// AddMatch lets the signals through that satisfy the rule (D-Bus specification, "Match Rules").
func (c *Conn) AddMatch(rule string) error {
	return c.post("AddMatch", rule)
}

// Do makes a call and returns the answer's values, as those of a Signal. A refusal is an *Error.
func (c *Conn) Do(call Call) ([]any, error) {
	serial, err := c.add(call)
	if err != nil {
		return nil, err
	}
	for {
		m, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", call.Member, err)
		}
		if m.replyTo == serial && m.kind == typeReply {
			return m.body, nil
		}
		if m.replyTo == serial && m.kind == typeError {
			return nil, fmt.Errorf("call %s: %w", call.Member, m.refusal())
		}
	}
}

// Wait returns the next signal, also one that came before an answer.
func (c *Conn) Wait() (Signal, error) {
	for len(c.signals) == 0 {
		if _, err := c.next(); err != nil {
			return Signal{}, fmt.Errorf("wait for a signal: %w", err)
		}
	}
	s := c.signals[0]
	c.signals = c.signals[1:]
	return s, nil
}

func (m *message) refusal() error {
	e := &Error{Name: m.errname}
	if len(m.body) > 0 {
		e.Message, _ = m.body[0].(string)
	}
	return e
}

// next sends what is to be sent, and receives a message. Signals are kept; that a posted call is refused ends every wait.
func (c *Conn) next() (message, error) {
	if err := c.flush(); err != nil {
		return message{}, err
	}
	for {
		if len(c.in) >= fixedHeader {
			n, err := size(c.in)
			if err != nil {
				return message{}, err
			}
			if len(c.in) >= n {
				m, err := decode(c.in[:n])
				c.in = c.in[n:]
				if err != nil {
					return m, err
				}
				return m, c.sort(&m)
			}
		}
		if err := c.receive(); err != nil {
			return message{}, err
		}
	}
}

func (c *Conn) sort(m *message) error {
	switch {
	case m.kind == typeSignal:
		c.signals = append(c.signals, Signal{m.path, m.iface, m.member, m.body})
	case m.kind == typeError:
		if slices.Contains(c.posted, m.replyTo) {
			return m.refusal()
		}
	}
	return nil
}

func (c *Conn) flush() error {
	for len(c.out) > 0 {
		n := 0
		err := c.retry(unix.SO_SNDTIMEO, func() (err error) {
			n, err = unix.SendmsgN(c.fd, c.out, nil, nil, unix.MSG_NOSIGNAL)
			return err
		})
		if err != nil {
			c.out = nil
			return err
		}
		c.out = c.out[n:]
	}
	return nil
}

func (c *Conn) receive() error {
	buffer, n := make([]byte, 4096), 0
	err := c.retry(unix.SO_RCVTIMEO, func() (err error) {
		n, err = unix.Read(c.fd, buffer)
		return err
	})
	switch {
	case err != nil:
		return err
	case n == 0:
		return errors.New("the message bus has closed the connection")
	}
	c.in = append(c.in, buffer[:n]...)
	return nil
}

// retry makes a blocking call with what is left of the time.
func (c *Conn) retry(option int, call func() error) error {
	for {
		left := time.Until(c.deadline)
		if left < time.Microsecond { // 0 would be no limit
			return unix.ETIMEDOUT
		}
		limit := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return err
		}
		switch err := call(); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return unix.ETIMEDOUT
		default:
			return err
		}
	}
}
