package plan

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func verified(t *testing.T, p *Plan) *Plan {
	t.Helper()
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEncode reads the bytes back with the layout that the package comment promises and compares every field.
func TestEncode(t *testing.T) {
	p := verified(t, typicalPlan(t, "", nil))
	out, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	var header [8]int
	for i := range header {
		header[i] = int(le.Uint32(out[4*i:]))
	}
	opsAt := HeaderSize + (len(p.Data)+7)/8*8
	want := [8]int{Magic, Version, len(p.Ops), opsAt, len(p.Names), len(p.Inputs), p.FirstFD, len(out)}
	if header != want || len(out) != opsAt+OpSize*len(p.Ops) {
		t.Fatalf("header %v of %d bytes, want %v", header, len(out), want)
	}
	if !slices.Equal(out[HeaderSize:HeaderSize+len(p.Data)], p.Data) {
		t.Error("the data differ")
	}
	for i, op := range p.Ops {
		b := out[opsAt+OpSize*i:][:OpSize]
		got := Op{
			Kind: Kind(b[0]), Nr: le.Uint16(b[2:]), Result: Reg(le.Uint16(b[4:])), Jump: le.Uint16(b[6:]),
			Tolerate: [MaxTolerate]uint8(b[10:16]), Origin: op.Origin,
		}
		for j := range got.Args {
			got.Args[j] = Arg{Mode(le.Uint16(b[8:]) >> (2 * j) & 3), le.Uint64(b[16+8*j:])}
		}
		if got != op || b[1] != 0 {
			t.Errorf("op %d: %+v, want %+v", i, got, op)
		}
	}
}

func TestEncodeLimits(t *testing.T) {
	p := verified(t, typicalPlan(t, "", nil))
	p.Data = append(p.Data, make([]byte, MaxSize)...)
	if _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), "args and env of config.json are too large") {
		t.Errorf("a plan of 64 MiB: %v", err)
	}
}

func TestParseMessage(t *testing.T) {
	b := []byte{2, 0, 0, 0, 7, 1, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255}
	if m, err := ParseMessage(b); err != nil || m != (Message{MessageFail, 263, -2}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range [][]byte{nil, b[:15], append(b, 0)} {
		if _, err := ParseMessage(bad); err == nil {
			t.Errorf("%d bytes pass", len(bad))
		}
	}
}

// TestHeader keeps the C side of the layout up to date.
func TestHeader(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "plan_abi.h")
	if out, err := exec.Command("go", "run", "./gen", fresh).CombinedOutput(); err != nil {
		t.Fatalf("go run ./gen: %v: %s", err, out)
	}
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../nsenter/interp/plan_abi.h")
	if err != nil || string(got) != string(want) {
		t.Errorf("nsenter/interp/plan_abi.h is not what plan/gen writes: run go generate ./plan (%v)", err)
	}
}

// TestArm64 builds what a plan is made of for the other architecture: every system call number of the rules exists there.
func TestArm64(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		packages := []string{"vet", ".", "../specconv"}
		if _, err := os.Stat("../nsenter/interp/interp_" + arch + ".bin"); err == nil {
			packages = append(packages, "../nsenter")
		} else {
			t.Logf("without nsenter: %v (no compiler for %s)", err, arch)
		}
		cmd := exec.Command("go", packages...)
		cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("GOARCH=%s go vet: %v\n%s", arch, err, out)
		}
	}
}

func TestRules(t *testing.T) {
	seen := map[uint16]string{}
	for _, r := range rules {
		if other := seen[r.nr]; other != "" {
			t.Errorf("%s and %s have one number", r.name, other)
		}
		seen[r.nr] = r.name
		if got := ruleOf(r.nr); got == nil || got.name != r.name {
			t.Errorf("%s is not found by its number", r.name)
		}
		if len(r.operands) > MaxArgs || len(r.tolerate) > MaxTolerate {
			t.Errorf("%s has too many operands or errnos", r.name)
		}
		for _, e := range r.tolerate {
			if e > 255 {
				t.Errorf("%s tolerates %d, which doesn't fit into a byte", r.name, e)
			}
		}
	}
	if ruleOf(calls) != nil || ruleOf(1<<16-1) != nil {
		t.Error("a number without a rule has one")
	}
	if classes > 32 || int(classes) > int(attached) || len(classNames) != int(classes) {
		t.Error("too many classes")
	}
}
