package archtest

import (
	"strings"
	"testing"
)

// anywhere are the leaves of the module, which every package may use.
var anywhere = []string{"husk/internal/linux", "husk/internal/jsonscan"}

const (
	sys         = "golang.org/x/sys/unix"
	runtimeSpec = "github.com/opencontainers/runtime-spec/specs-go/..."
)

// graph says for each package outside of tests what it may import of the module (beside anywhere) and of other modules. A
// new arrow is a decision: it needs an entry in docs/decisions.md.
var graph = map[string][]string{
	"cmd/husk":              {"husk/libct", "husk/specconv", "husk/internal/ere", runtimeSpec, sys},
	"libct":                 {"husk/specconv", "husk/plan", "husk/nsenter", "husk/cgroups", "husk/seccomp", "husk/internal/netdev", "husk/internal/resctrl", runtimeSpec, sys},
	"specconv":              {"husk/plan", runtimeSpec, sys},
	"nsenter":               {"husk/plan", sys},
	"plan":                  {sys},
	"plan/gen":              {"husk/plan"},
	"cgroups":               {"husk/internal/dbus", runtimeSpec, sys},
	"seccomp":               {"husk/seccomp/internal/wire", runtimeSpec, sys},
	"seccomp/compiler":      {"husk/seccomp/internal/wire", runtimeSpec, sys, "github.com/seccomp/libseccomp-golang", "C"},
	"seccomp/internal/wire": {runtimeSpec, sys},
	"internal/linux":        {sys},
	"internal/netdev":       {sys},
	"internal/dbus":         {sys},
	"internal/resctrl":      {runtimeSpec, sys},
	"internal/ere":          {},
	"internal/jsonscan":     {},
	"internal/jsonscan/gen": {},
	"internal/fdtest":       {sys},
	"internal/resctrltest":  {sys},
	"internal/archtest":     {},
}

// banned are packages of the standard library that a command must not pay for: they bring reflection, tables that are filled
// at every start, threads, or the C library's ways. Tests, generators and the seccomp compiler may use what they like.
var banned = map[string]string{
	"encoding/json": "reflection; internal/jsonscan reads and writes JSON",
	"log":           "libraries return errors, cmd/husk prints them",
	"log/slog":      "libraries return errors, cmd/husk prints them",
	"net":           "its start-up; sockets are made with golang.org/x/sys/unix",
	"os/user":       "a container's passwd is read by hand, the host's never",
	"plugin":        "pure Go",
	"reflect":       "its cost",
	"regexp":        "compiling expressions at start",
	"text/template": "reflection",
	"flag":          "cmd/husk has its own parser: options between arguments, runc's spelling",
	"C":             "cgo costs half a millisecond at every start",
}

// freeOfBans are the packages that no command of husk executes.
var freeOfBans = []string{"plan/gen", "internal/jsonscan/gen", "internal/fdtest", "seccomp/compiler", "tests/..."}

func TestImports(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || matches([]string{"tests/..."}, f.dir) {
			continue
		}
		allowed, known := graph[f.dir]
		if !known {
			t.Errorf("%s: package %s is not in the graph of %s", f.name, f.dir, "internal/archtest/imports_test.go")
			continue
		}
		for _, p := range f.imports(t) {
			why, bad := banned[p]
			switch {
			case matches(allowed, p):
			case bad && !matches(freeOfBans, f.dir):
				t.Errorf("%s imports %s: %s", f.name, p, why)
			case standard(p) || matches(anywhere, p) && module+"/"+f.dir != p:
			default:
				t.Errorf("%s imports %s: package %s must not", f.name, p, f.dir)
			}
		}
	}
}

// TestLeaves proves that what everybody may import imports nothing of the module.
func TestLeaves(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || !matches([]string{"plan", "internal/linux", "internal/jsonscan"}, f.dir) {
			continue
		}
		for _, p := range f.imports(t) {
			if strings.HasPrefix(p, module+"/") {
				t.Errorf("%s imports %s: it is a leaf", f.name, p)
			}
		}
	}
}

// TestGraphIsCurrent proves that the graph names no package that is gone.
func TestGraphIsCurrent(t *testing.T) {
	dirs := make(map[string]bool)
	for _, f := range sources(t) {
		dirs[f.dir] = true
	}
	for dir := range graph {
		if !dirs[dir] {
			t.Errorf("the graph has a package %s, the module has not", dir)
		}
	}
}

// standard reports whether a path is one of the standard library: its first element has no dot, and it is not the module's.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return first != module && !strings.Contains(first, ".")
}
