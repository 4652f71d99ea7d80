package dbus

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeBus answers the calls on one connection: answer is given each call and returns the messages to send. It is quiet about
// Hello and AddMatch, which nobody waits for.
func fakeBus(t *testing.T, answer func(serial uint32, m message) [][]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		const auth = "\x00AUTH EXTERNAL\r\nDATA\r\n"
		buf := make([]byte, len(auth))
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != auth {
			t.Errorf("authentication: %q, %v", buf, err)
			return
		}
		_, _ = conn.Write([]byte("DATA\r\nOK 0123\r\n"))
		if _, err := io.ReadFull(conn, buf[:7]); err != nil || string(buf[:7]) != "BEGIN\r\n" {
			t.Errorf("begin: %q, %v", buf[:7], err)
			return
		}
		for {
			head := make([]byte, fixedHeader)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			n, err := size(head)
			if err != nil {
				t.Error(err)
				return
			}
			data := append(head, make([]byte, n-fixedHeader)...)
			if _, err := io.ReadFull(conn, data[fixedHeader:]); err != nil {
				t.Error(err)
				return
			}
			m, err := decode(data)
			if err != nil {
				t.Error(err)
				return
			}
			order, _ := byteOrder(data[0])
			for _, reply := range answer(order.Uint32(data[8:]), m) {
				_, _ = conn.Write(reply)
			}
		}
	}()
	return "unix:path=" + name
}

// made is a message as a bus sends it.
func made(kind byte, fields []any, args ...any) []byte {
	var body encoder
	for _, a := range args {
		body.put(a)
	}
	sig, _ := signatureOfAll(args)
	if sig != "" {
		fields = append(fields, Struct{byte(fieldSignature), Variant{Signature(sig)}})
	}
	head := encoder{out: []byte{'l', kind, 0, 1}}
	head.u32(uint32(len(body.out)))
	head.u32(1)
	head.put(Array{Of: "(yv)", Items: fields})
	head.align(8)
	return append(head.out, body.out...)
}

func replyTo(serial uint32) []any { return []any{Struct{byte(fieldReplyTo), Variant{serial}}} }

func TestCalls(t *testing.T) {
	address := fakeBus(t, func(serial uint32, m message) [][]byte {
		switch m.member {
		case "Start":
			if !reflect.DeepEqual(m.body, []any{"unit", "replace"}) {
				t.Errorf("arguments: %v", m.body)
			}
			return [][]byte{
				made(typeSignal, []any{
					Struct{byte(fieldPath), Variant{ObjectPath("/p")}},
					Struct{byte(fieldInterface), Variant{"i"}},
					Struct{byte(fieldMember), Variant{"Removed"}},
				}, uint32(7), ObjectPath("/job/7"), "unit", "done"),
				made(typeReply, replyTo(serial), ObjectPath("/job/7")),
			}
		case "Get":
			return [][]byte{made(typeReply, replyTo(serial), Variant{"/user.slice"})}
		case "Refuse":
			return [][]byte{made(typeError, append(replyTo(serial), Struct{byte(fieldError), Variant{"org.x.No"}}), "no such thing")}
		case "Malformed":
			bad := made(typeReply, replyTo(serial), "text")
			bad[len(bad)-9] = 0xff // length of the string
			return [][]byte{bad}
		}
		return nil
	})
	c, err := Dial("tcp:host=x;unix:guid=0;"+address+",guid=1", time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.AddMatch("type='signal'"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Do(Call{Member: "Start", Destination: "d", Path: "/", Interface: "i", Args: []any{"unit", "replace"}})
	if err != nil || !reflect.DeepEqual(got, []any{"/job/7"}) {
		t.Errorf("Start: %v, %v", got, err)
	}
	s, err := c.Wait()
	if want := (Signal{"/p", "i", "Removed", []any{uint32(7), "/job/7", "unit", "done"}}); err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("Wait: %v, %v", s, err)
	}
	if got, err = c.Do(Call{Member: "Get", Destination: "d", Path: "/", Interface: "i"}); err != nil || !reflect.DeepEqual(got, []any{"/user.slice"}) {
		t.Errorf("Get: %v, %v", got, err)
	}
	var refused *Error
	if _, err = c.Do(Call{Member: "Refuse", Destination: "d", Path: "/", Interface: "i"}); !errors.As(err, &refused) || refused.Name != "org.x.No" || err.Error() != "call Refuse: no such thing" {
		t.Errorf("Refuse: %v", err)
	}
	if _, err = c.Do(Call{Member: "Malformed", Destination: "d", Path: "/", Interface: "i"}); !errors.Is(err, errMalformed) {
		t.Errorf("Malformed: %v", err)
	}
}

// A bus that does not answer costs the time until the deadline, whatever it does not answer.
func TestDeadline(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "silent")
	listener, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := Dial("unix:path="+silent, time.Now().Add(20*time.Millisecond)); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("authentication: %v", err)
	}
	c, err := Dial(fakeBus(t, func(uint32, message) [][]byte { return nil }), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.deadline = time.Now().Add(20 * time.Millisecond)
	if _, err := c.Do(Call{Member: "M", Destination: "d", Path: "/", Interface: "i"}); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("call: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	for _, address := range []string{"", "unix:", "tcp:host=localhost", "unix:path=/nonexistent/%zz"} {
		if _, err := Dial(address, time.Now().Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "no address") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Dial("unix:path=/nonexistent/a%20b", time.Now().Add(time.Minute)); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/nonexistent/a b") {
		t.Errorf("%v", err)
	}
}

// TestEncode compares with bytes made by hand from the specification.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		value any
		sig   string
		want  string
	}{
		{"ab", "s", "\x02\x00\x00\x00ab\x00"},
		{Variant{uint64(5)}, "v", "\x01t\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"},
		{Array{Of: "t", Items: []any{uint64(1)}}, "at", "\x08\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
		{Array{Of: "t"}, "at", "\x00\x00\x00\x00\x00\x00\x00\x00"}, // padding even without items
		{Array{Of: "(st)", Items: []any{Struct{"a", uint64(2)}}}, "a(st)", "\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"},
		{Array{Of: "y", Items: []any{byte(3), byte(4)}}, "ay", "\x02\x00\x00\x00\x03\x04"},
		{true, "b", "\x01\x00\x00\x00"},
		{int16(-2), "n", "\xfe\xff"},
		{1.5, "d", "\x00\x00\x00\x00\x00\x00\xf8\x3f"},
	} {
		var e encoder
		e.put(c.value)
		sig, err := signatureOf(c.value)
		if sig != c.sig || err != nil || e.err != nil || string(e.out) != c.want {
			t.Errorf("%#v: %s %q, %v %v", c.value, sig, e.out, err, e.err)
		}
	}
	for _, bad := range []any{5, Variant{nil}, Array{Of: "s", Items: []any{uint32(1)}}, Struct{[]int{}}} {
		var e encoder
		if e.put(bad); e.err == nil {
			t.Errorf("%#v was encoded", bad)
		}
	}
}

func TestParseValue(t *testing.T) {
	for text, want := range map[string]any{
		`'inactive-or-failed'`: "inactive-or-failed", `"it's"`: "it's", `'a\'b\n'`: "a'b\n", ` true `: true, `7`: int32(7), `-7`: int32(-7),
		`uint64 123456789`: uint64(123456789), `byte 0x1f`: byte(31), `int16 -1`: int16(-1), `1.5`: 1.5, `double 2`: 2.0, `@t 5`: uint64(5),
		`objectpath '/a'`: ObjectPath("/a"), `['a', 'b']`: Array{"s", []any{"a", "b"}}, `@as []`: Array{"s", nil},
		`[uint64 1, 2]`: Array{"t", []any{uint64(1), uint64(2)}}, `@ay [1]`: Array{"y", []any{byte(1)}},
	} {
		if got, err := ParseValue(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v; want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{
		``, ` `, `x`, `'a`, `'a\`, `'a\q'`, `[`, `[]`, `['a', 1]`, `['a'`, `[1,]`, `@as ['a', 1]`, `@a []`, `@ [1]`, `@aas []`, `@(s) x`, `uint64 -1`, `byte 256`,
		`2147483648`, `true false`, `('a', 1)`, `{'a': 1}`, `string 5`, `uint64 'x'`, `uint64 uint32 1`, "'\x00'", "'\xff'", strings.Repeat("[", 1<<20), strings.Repeat("@s ", 1<<20) + "'x'",
	} {
		if got, err := ParseValue(text); err == nil {
			t.Errorf("%.40q was read as %#v", text, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(made(typeReply, replyTo(3), Variant{"x"}, uint32(1)))
	f.Add(made(typeError, nil, "text"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) < fixedHeader {
			return
		}
		if n, err := size(data); err == nil && n <= len(data) {
			_, _ = decode(data[:n])
		}
	})
}
