package nsenter

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/plan"
)

// compileFuzz builds interp/fuzz.c around a copy of the interpreter's source.
func compileFuzz(t *testing.T, source string) string {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		if cc, err = exec.LookPath("clang"); err != nil {
			t.Skip("needs gcc or clang with AddressSanitizer: ", err)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"interp.c": source, "fuzz.c": read(t, "interp/fuzz.c"), "plan_abi.h": read(t, "interp/plan_abi.h")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "fuzz")
	cmd := exec.Command(cc, "-std=gnu11", "-O1", "-g",
		"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program, filepath.Join(dir, "fuzz.c"))
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "asan") || strings.Contains(string(out), "fsanitize") {
			t.Skipf("needs a compiler with AddressSanitizer: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func runFuzz(t *testing.T, program, count string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"1", count}, corpus(t)...)...)
	cmd.Env = []string{"ASAN_OPTIONS=detect_leaks=0"} // a leak of the harness is none of the interpreter's
	return cmd.CombinedOutput()
}

// corpus writes encoded plans to files: one with every kind of op, one that is as short as a plan can be.
func corpus(t *testing.T) (files []string) {
	t.Helper()
	for i, body := range []func(*small){everyKind, nil} {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(name, storeAtEnd(encode(t, smallPlan(t, body))), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	return files
}

// storeAtEnd moves what an encoded plan stores to the end of its data, where a byte too much would hit the first op.
func storeAtEnd(encoded []byte) []byte {
	le := binary.LittleEndian
	opsAt := le.Uint32(encoded[12:])
	for op := encoded[opsAt:]; len(op) > 0; op = op[plan.OpSize:] {
		if plan.Kind(op[0]) == plan.Store {
			le.PutUint64(op[16:], uint64(opsAt)-plan.HeaderSize-le.Uint64(op[32:]))
		}
	}
	return encoded
}

// everyKind has each kind of op, with every kind of operand.
func everyKind(s *small) {
	a, b := s.b.Label(), s.b.Label()
	dir := s.b.OpenHost("dir", "/", unix.O_DIRECTORY)
	s.b.SkipIf(a, s.scratch, 1, 0xff, 1)
	s.b.SkipUnless(a, s.scratch+1, 2, 0xffff, 0)
	s.b.SkipIf(a, s.scratch+4, 4, 1, 1)
	s.b.SkipIf(a, s.scratch+8, 8, 1<<63, 1<<63)
	s.b.Store(s.scratch+16, dir, 8)
	s.b.SendFD(s.socket, dir)
	s.b.Bind(a)
	s.b.Gate("first", s.scratch, 64)
	root := s.b.CloneTree("root", dir, false)
	s.b.On(b, unix.ENOENT, unix.EACCES)
	in := s.b.Open("in", root, "a", unix.O_PATH, plan.InRoot)
	s.b.Close(in)
	s.b.Skip(b)
	s.b.Bind(b)
	s.b.SkipIf(s.end, s.scratch, 8, 1, 2)
	s.b.Fail(unix.EIO)
}

// TestFuzzInterpreter runs spoiled plans through the interpreter's C code. The plans are the same in every run.
func TestFuzzInterpreter(t *testing.T) {
	program := compileFuzz(t, read(t, "interp/interp.c"))
	count := "500000"
	if testing.Short() {
		count = "50000"
	}
	out, err := runFuzz(t, program, count)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
	var executed int
	if fmt.Sscanf(string(out), "%d executed", &executed); executed < 5000 {
		t.Errorf("only %d plans were executed: the changes are too coarse to find anything", executed)
	}
}

// TestFuzzFinds proves that the harness would see a mistake: each check that is taken out of the interpreter is missed.
func TestFuzzFinds(t *testing.T) {
	source := read(t, "interp/interp.c")
	for _, c := range []struct{ name, check, without string }{
		{"data", "return length <= size && at <= size - length;", "return 1 | (length <= size && at <= size);"},
		{"register", "return r < h->regs;", "return r < h->regs || 1;"},
		{"size of the plan", "h->size > mapped", "0"},
		{"number of ops", "(h->size - h->ops_at) / sizeof *ops < h->ops", "0"},
		{"number of registers", "h->regs > HUSK_MAX_REGS", "0"},
		{"size of a stored number", "mode(op, 2) == HUSK_MODE_IMMEDIATE", "1"},
		{"size of an answer", "mode(op, 0) == HUSK_MODE_ADDRESS && mode(op, 1) == HUSK_MODE_IMMEDIATE && op->arg[1] > 0", "mode(op, 0) == HUSK_MODE_ADDRESS && op->arg[1] > 0"},
		{"place of an answer", "mode(op, 0) == HUSK_MODE_ADDRESS && mode(op, 1) == HUSK_MODE_IMMEDIATE && op->arg[1] > 0", "mode(op, 1) == HUSK_MODE_IMMEDIATE && op->arg[1] > 0"},
		{"place of a number", "mode(op, 0) == HUSK_MODE_ADDRESS && mode(op, 1) == HUSK_MODE_REGISTER", "1"},
		{"tries", "i < OPENAT2_TRIES", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(source, c.check) != 1 {
				t.Fatalf("the check %q is not in the source", c.check)
			}
			program := compileFuzz(t, strings.Replace(source, c.check, c.without, 1))
			out, err := runFuzz(t, program, "200000")
			if err == nil {
				t.Errorf("nothing was found: %s", out)
			}
			if text := string(out); !strings.Contains(text, "WRONG") && !strings.Contains(text, "ERROR: AddressSanitizer") && !strings.Contains(text, "runtime error") {
				t.Errorf("ended by something else: %.300s", text)
			}
		})
	}
}
