// Summary reads the output of "go test -json" and prints what a person wants to know of it: a line for each package, the
// output of what failed, each test that was skipped with its reason, and at the end "go: N passed, N failed, N skipped".
//
// Counted are the tests that do something: a test with subtests stands for them and is not counted itself, unless it failed
// and none of them did. A package that fails outside of its tests (it doesn't build, it leaks a descriptor, it was killed)
// counts as one failure. The exit status is 1 if something failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is one line of test2json's output (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// test is what has been seen of one test, or, without a name, of a package.
type test struct {
	result  string
	output  []string
	parent  bool // it has subtests
	faulted bool // a subtest has failed
}

// run is everything that has been seen.
type run struct {
	out                     io.Writer
	tests                   map[string]*test // by package and name, see key
	build                   map[string][]string
	passed, failed, skipped int
}

func key(pkg, name string) string { return pkg + " " + name }

func (r *run) test(pkg, name string) *test {
	t := r.tests[key(pkg, name)]
	if t == nil {
		t = &test{}
		r.tests[key(pkg, name)] = t
	}
	return t
}

// take handles one event.
func (r *run) take(e event) {
	switch e.Action {
	case "build-output":
		r.build[e.ImportPath] = append(r.build[e.ImportPath], e.Output)
	case "output":
		t := r.test(e.Package, e.Test)
		t.output = append(t.output, e.Output)
	case "run":
		r.test(e.Package, e.Test)
		r.above(e.Package, e.Test, func(t *test) { t.parent = true })
	case "pass", "fail", "skip":
		r.end(e)
	}
}

// end handles the end of a test or package. The end of a subtest comes before that of its parent.
func (r *run) end(e event) {
	t := r.test(e.Package, e.Test)
	t.result = e.Action
	if e.Action == "fail" {
		r.fault(e.Package, e.Test)
	}
	if e.Test == "" {
		r.endPackage(e, t)
		return
	}
	switch {
	case e.Action == "fail" && !t.faulted:
		r.failed++
		fmt.Fprintf(r.out, "FAIL  %s %s\n", e.Package, e.Test)
		r.indent(t.output)
	case t.parent:
	case e.Action == "pass":
		r.passed++
	case e.Action == "skip":
		r.skipped++
		fmt.Fprintf(r.out, "skip  %s %s: %s\n", e.Package, e.Test, reason(t.output))
	}
}

// above calls f for each test that contains the named one. A subtest's name may have slashes itself, so only those parts of
// the name count that have run as tests.
func (r *run) above(pkg, name string, f func(*test)) {
	for i, c := range name {
		if t := r.tests[key(pkg, name[:i])]; c == '/' && t != nil {
			f(t)
		}
	}
}

// fault tells everything that contains a failed test, and its package.
func (r *run) fault(pkg, name string) {
	r.above(pkg, name, func(t *test) { t.faulted = true })
	if name != "" {
		r.test(pkg, "").faulted = true
	}
}

func (r *run) endPackage(e event, t *test) {
	r.unfinished(e.Package)
	if e.Action == "fail" && !t.faulted {
		r.failed++
		for path, lines := range r.build {
			if strings.HasPrefix(path, e.Package) {
				r.indent(lines)
			}
		}
		r.indent(t.output)
	}
	if slices.ContainsFunc(t.output, func(line string) bool { return strings.Contains(line, "[no test files]") }) {
		return
	}
	fmt.Fprintf(r.out, "%-6s %s (%.1f s)\n", map[string]string{"pass": "ok", "fail": "failed", "skip": "none"}[e.Action], e.Package, e.Elapsed)
}

func (r *run) indent(lines []string) {
	for _, line := range lines {
		fmt.Fprint(r.out, "      ", line)
	}
}

// unfinished counts the tests of a package that were running when it was ended.
func (r *run) unfinished(pkg string) {
	for _, name := range slices.Sorted(maps.Keys(r.tests)) {
		t := r.tests[name]
		if test, ok := strings.CutPrefix(name, pkg+" "); ok && test != "" && t.result == "" && !t.parent {
			t.result = "fail"
			r.failed++
			r.fault(pkg, test)
			fmt.Fprintf(r.out, "FAIL  %s: no end\n", name)
			r.indent(t.output)
		}
	}
}

// reason finds what t.Skip was told.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
		return line
	}
	return "no reason given"
}

func main() {
	r := &run{out: os.Stdout, tests: map[string]*test{}, build: map[string][]string{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.out, lines.Text()) // the go command itself has something to say
			continue
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(r.out, "read the test events:", err)
		r.failed++
	}
	fmt.Fprintf(r.out, "go: %d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 {
		os.Exit(1)
	}
}
