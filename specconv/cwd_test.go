package specconv

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// A working directory that the process may be refused twice is in the plan in one form alone: Verify knows no other.
func TestWorkingDirectoryOfTheUser(t *testing.T) {
	compile := func() (p *plan.Plan, store, test int) {
		spec := Example()
		spec.Process.Terminal = false
		spec.Process.User.UID, spec.Process.Cwd = 1000, "/work"
		p, err := Compile(spec, hostFor(spec))
		if err != nil {
			t.Fatal(err)
		}
		chdir := slices.IndexFunc(p.Ops, func(op plan.Op) bool {
			return op.Kind == plan.Call && op.Nr == unix.SYS_FCHDIR && op.Tolerate != [plan.MaxTolerate]uint8{}
		})
		store = chdir + 1
		test = slices.IndexFunc(p.Ops, func(op plan.Op) bool { return op.Kind == plan.Test && op.Args[0] == p.Ops[store].Args[0] })
		if p.Ops[store].Kind != plan.Store || test < store {
			t.Fatalf("store %v, test %d", p.Ops[store], test)
		}
		return p, store, test
	}
	for name, spoil := range map[string]func(p *plan.Plan, store, test int){
		"another value":         func(p *plan.Plan, _, test int) { p.Ops[test].Args[3] = plan.Imm(7) },
		"the other outcome":     func(p *plan.Plan, _, test int) { p.Ops[test].Args[4] = plan.Imm(1) },
		"a part of the value":   func(p *plan.Plan, _, test int) { p.Ops[test].Args[2] = plan.Imm(1) },
		"another register":      func(p *plan.Plan, store, _ int) { p.Ops[store].Args[1] = plan.Val(0) },
		"a refusal that counts": func(p *plan.Plan, store, _ int) { p.Ops[store-1].Jump = 0 },
		"a value from the start": func(p *plan.Plan, store, _ int) {
			p.Data[p.Ops[store].Args[0].Value] = 1
		},
	} {
		p, store, test := compile()
		spoil(p, store, test)
		if err := p.Verify(); err == nil || !strings.Contains(err.Error(), "a change of directory that may fail") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
