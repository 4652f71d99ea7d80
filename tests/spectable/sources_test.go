package spectable

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// testSources has the test files of the module, by the last part of their package's directory.
type testSources map[string]*testPackage

type testPackage struct {
	functions map[string]bool
	exact     map[string]bool // string constants
	all       strings.Builder // the same, one after the other
}

// has reports whether one of the strings is the entry, or has it in it if the entry is too long to be there by chance.
func (p *testPackage) has(entry string) bool {
	const long = 12
	return p.exact[entry] || len(entry) >= long && strings.Contains(p.all.String(), entry)
}

func sources(t *testing.T) testSources {
	t.Helper()
	s := testSources{}
	files := 0
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2):
			return fs.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		dir := filepath.Base(filepath.Dir(name))
		if s[dir] == nil {
			s[dir] = &testPackage{functions: map[string]bool{}, exact: map[string]bool{}}
		}
		return s[dir].read(name)
	})
	if err != nil || files < 50 {
		t.Fatalf("%d test files, %v", files, err)
	}
	return s
}

func (p *testPackage) read(name string) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			p.functions[n.Name.Name] = p.functions[n.Name.Name] || n.Recv == nil && strings.HasPrefix(n.Name.Name, "Test")
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				text, err := strconv.Unquote(n.Value)
				if err != nil {
					return true
				}
				p.exact[text] = true
				p.all.WriteString(text + "\n")
			}
		}
		return true
	})
	return nil
}
