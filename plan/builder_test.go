package plan

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBuilderMisuse: a mistake in the use of the builder is reported, by Plan, with the first one's place.
func TestBuilderMisuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		misuse func(b *Builder, in Reg)
		want   string
	}{
		{"an input after an op", func(b *Builder, _ Reg) { b.Setsid(); b.Input("late", Socket) }, `op 1: input "late" after the first op`},
		{"a label bound twice", func(b *Builder, _ Reg) {
			l := b.Label()
			b.Bind(l)
			b.Bind(l)
		}, "op 0: label bound twice"},
		{"a jump backwards", func(b *Builder, _ Reg) {
			l := b.Label()
			b.Bind(l)
			b.Setsid()
			b.Skip(l)
		}, "op 1: jump backwards"},
		{"an errno backwards", func(b *Builder, _ Reg) {
			l := b.Label()
			b.Bind(l)
			b.On(l, unix.ENOENT)
			b.Setsid()
		}, "op 0: jump backwards"},
		{"a gate that tolerates", func(b *Builder, _ Reg) { b.On(nil, unix.ENOENT); b.Gate("g", b.Space(8), 8) }, "1 tolerated errnos on a gate"},
		{"too many errnos", func(b *Builder, _ Reg) { b.On(nil, 1, 2, 3, 4, 5, 6, 7); b.Setsid() }, "7 tolerated errnos on a call"},
		{"a NUL in a string", func(b *Builder, in Reg) { b.Mkdir(in, "a\x00b", 0o755) }, `op 0: NUL byte in "a\x00b"`},
		{"a NUL in argv", func(b *Builder, _ Reg) { b.Argv([]string{"a\x00"}) }, `NUL byte in "a\x00"`},
		{"the first of two mistakes", func(b *Builder, in Reg) { b.Mkdir(in, "\x00", 0); b.Setsid(); b.Input("late", Socket) }, "op 0: NUL"},
		{"too many ops", func(b *Builder, _ Reg) {
			for range MaxOps {
				b.Setsid()
			}
		}, "too many mounts, devices or paths"},
		{"too many registers", func(b *Builder, _ Reg) {
			for range MaxRegs {
				b.FsOpen("tmpfs")
			}
		}, "too many bind mounts"},
		{"a label that nobody bound", func(b *Builder, _ Reg) { b.Skip(b.Label()) }, "a label that is never bound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBuilder(3)
			c.misuse(b, b.Input("parent", Socket))
			p, err := b.Plan()
			if p != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "build plan: ") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestBuilderShares: equal strings and structures are in the data once, registers without a name are used again.
func TestBuilderShares(t *testing.T) {
	b := NewBuilder(3)
	in := b.Input("parent", Socket)
	text, structure, space := b.String("a"), b.Struct([]byte{1}), b.Space(8)
	if b.String("a") != text || b.Struct([]byte{1}) != structure || b.Space(8) == space {
		t.Error("the data are not shared as they should be")
	}
	first := b.Open("", in, "a", unix.O_PATH, InRoot)
	b.Close(first)
	if again := b.Open("", in, "b", unix.O_PATH, InRoot); again != first {
		t.Errorf("register %d, want %d again", again, first)
	}
	named := b.Open("root", in, "c", unix.O_PATH, InRoot)
	b.Close(named)
	if other := b.Open("", in, "d", unix.O_PATH, InRoot); other == named {
		t.Error("a register with a name is used again")
	}
}

func TestRelative(t *testing.T) {
	for name, want := range map[string]string{"": ".", "/": ".", "..": ".", "/a/../..": ".", "a/b": "a/b", "//a//b/": "a/b", "../../etc": "etc", "/a/./b": "a/b"} {
		if got := relative(name); got != want {
			t.Errorf("relative(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestFilterAnswer(t *testing.T) {
	b := NewBuilder(3)
	code := []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}
	prog := b.FilterProgram(code)
	answer := FilterAnswer(prog, code)
	if got := b.plan.Data[prog : int(prog)+len(answer)]; string(got) != string(answer) {
		t.Errorf("the answer %x is not what the builder writes, %x", answer, got)
	}
}
