package nsenter

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// small is the shortest plan that Verify lets pass, with room for what a test wants to see executed.
type small struct {
	b       *plan.Builder
	socket  plan.Reg
	scratch plan.Data
	end     *plan.Label // behind what the test has added
	inputs  []plan.Reg  // more inputs
	classes plan.Class  // of them
	args    []string    // of the program
	env     []string
	keep    int // inputs that stay open
	firstFD int // of the inputs
	gate    string
	last    func(*small) // adds ops after the descriptors were closed
}

// smallPlan builds and verifies a plan; body may be nil.
func smallPlan(t testing.TB, body func(*small), more ...func(*small)) *plan.Plan {
	t.Helper()
	s := &small{args: []string{"/bin/true"}, keep: 1, firstFD: 3, classes: plan.Joinable}
	for _, set := range more {
		set(s)
	}
	s.b = plan.NewBuilder(s.firstFD)
	s.scratch = s.b.Space(512)
	s.socket = s.b.Input("parent", plan.Socket)
	for i := range s.inputs {
		s.inputs[i] = s.b.Input("file", s.classes)
	}
	s.end = s.b.Label()
	s.b.MarkInherited()
	s.b.Prctl(unix.PR_SET_DUMPABLE, 0)
	s.b.At("/body", "run the test")
	if body != nil {
		body(s)
	}
	s.b.Bind(s.end)
	s.b.At("/end", "finish")
	s.b.SetGID(uint32(os.Getgid()))
	s.b.SetGroups(nil)
	s.b.SetUID(uint32(os.Getuid()))
	s.b.CapSet(0, 0, 0)
	s.b.Prctl(unix.PR_SET_DUMPABLE, 0)
	s.b.CloseAllBut(s.keep)
	if s.gate != "" {
		s.b.Gate(s.gate, s.scratch, 64)
	}
	if s.last != nil {
		s.last(s)
	}
	s.b.Exec(s.args[0], s.b.Argv(s.args), s.b.Argv(s.env))
	p, err := s.b.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t testing.TB, p *plan.Plan) []byte {
	t.Helper()
	encoded, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// forUsers lets setgroups fail in an encoded plan, so that every user can run it. No verified plan could be like that.
func forUsers(encoded []byte) {
	le := binary.LittleEndian
	for at := int(le.Uint32(encoded[12:])); at < len(encoded); at += plan.OpSize {
		if op := encoded[at:]; plan.Kind(op[0]) == plan.Call && le.Uint16(op[2:]) == unix.SYS_SETGROUPS {
			op[10] = uint8(unix.EPERM)
		}
	}
}

// forArm64 takes the plan's own calls, whose numbers are this machine's, out of an encoded plan: a test that never jumps is
// left in their place.
func forArm64(encoded []byte) []byte {
	le := binary.LittleEndian
	for at := int(le.Uint32(encoded[12:])); at < len(encoded); at += plan.OpSize {
		if op := encoded[at:][:plan.OpSize]; plan.Kind(op[0]) == plan.Call {
			clear(op)
			op[0] = byte(plan.Test)
			le.PutUint16(op[4:], uint16(plan.NoReg))
			op[24] = 1 // size
		}
	}
	return encoded
}

// imageOf puts an encoded plan behind an interpreter, as seal does.
func imageOf(text, encoded []byte) []byte {
	image := make([]byte, planOffset, planOffset+len(encoded))
	copy(image, text)
	layout(image, len(encoded))
	return append(image, encoded...)
}
