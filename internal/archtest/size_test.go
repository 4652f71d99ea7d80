package archtest

import (
	"bytes"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"
)

// A reader should have a file in view at once, and a function on one screen.
const (
	maxFile     = 400 // lines
	maxFunction = 60  // lines, from the keyword to the closing brace
)

// longer are the exceptions, each with its reason. Generated files and tests are not looked at; a function that is one
// composite literal is a table.
var longer = map[string]string{
	"plan/calls.go": "one method for each system call, all alike",
}

func TestSizes(t *testing.T) {
	used := make(map[string]bool)
	for _, f := range sources(t) {
		if f.test || f.generated() {
			continue
		}
		if lines := bytes.Count(f.text, []byte("\n")); lines > maxFile {
			used[f.name] = true
			if longer[f.name] == "" {
				t.Errorf("%s has %d lines, more than %d: split it by what it is about", f.name, lines, maxFile)
			}
		}
		set, file := f.parse(t, 0)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || isTable(fn) {
				continue
			}
			if lines := span(set, fn); lines > maxFunction {
				name := f.name + ":" + fn.Name.Name
				used[name] = true
				if longer[name] == "" {
					t.Errorf("%s: %s has %d lines, more than %d", f.name, fn.Name.Name, lines, maxFunction)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(longer)) {
		if !used[name] {
			t.Errorf("%s needs no exception any more (%s)", name, strconv.Quote(longer[name]))
		}
	}
}

func span(set *token.FileSet, n ast.Node) int {
	return set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1
}

// isTable reports whether a function returns one composite literal and does nothing else.
func isTable(fn *ast.FuncDecl) bool {
	if len(fn.Body.List) != 1 {
		return false
	}
	r, ok := fn.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(r.Results) != 1 {
		return false
	}
	x := r.Results[0]
	if u, ok := x.(*ast.UnaryExpr); ok {
		x = u.X
	}
	_, ok = x.(*ast.CompositeLit)
	return ok
}
