package nsenter

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// A forked process may report before its parent has told its pid.
func TestPidComesFirst(t *testing.T) {
	const fork = 7
	gate := func(op int) plan.Message { return plan.Message{Kind: plan.MessageGate, Op: op} }
	fail := plan.Message{Kind: plan.MessageFail, Op: 9, Value: int64(unix.ENOENT)}
	pid := plan.Message{Kind: plan.MessagePid, Op: fork, Value: 42}
	for _, c := range []struct {
		name           string
		sent, received []plan.Message
	}{
		{"in order", []plan.Message{gate(3), pid, gate(8), fail}, []plan.Message{gate(3), pid, gate(8), fail}},
		{"child first", []plan.Message{gate(3), gate(8), fail, pid}, []plan.Message{gate(3), pid, gate(8), fail}},
		{"parent killed", []plan.Message{gate(8), fail}, []plan.Message{gate(8), fail}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.sent {
				if _, err := unix.Write(pair[1], encoded(m)); err != nil {
					t.Fatal(err)
				}
			}
			unix.Close(pair[1])
			conn := &Conn{socket: os.NewFile(uintptr(pair[0]), "socket"), fork: fork}
			defer conn.Close()
			for _, want := range c.received {
				if got, err := conn.inOrder(); got != want || err != nil {
					t.Errorf("got %+v, %v; want %+v", got, err, want)
				}
			}
			if _, err := conn.inOrder(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// encoded is a message as the interpreter writes it.
func encoded(m plan.Message) []byte {
	p := binary.LittleEndian.AppendUint32(nil, m.Kind)
	p = binary.LittleEndian.AppendUint32(p, uint32(m.Op))
	return binary.LittleEndian.AppendUint64(p, uint64(m.Value))
}
