// Package archtest keeps the architecture of docs/architecture.md true: who may import whom, which third-party modules are
// used where, and how long a file and a function may be.
//
// It reads the source files itself. A test that asked the go command would pass from the test cache after a forbidden import
// has been added, because the cache knows nothing of files that another process reads.
package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "husk"

// sourceFile is one Go file of the module.
type sourceFile struct {
	name string // relative to the root of the module
	dir  string // its package's directory, "cmd/husk"
	test bool
	text []byte
}

// sources reads all Go files of the module. Reading them in the test's own process lets the test cache see them.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files []sourceFile
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		switch {
		case entry.IsDir() && name != root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "bin" || base == "build"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, sourceFile{relative, path.Dir(relative), strings.HasSuffix(base, "_test.go"), text})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files below %s", len(files), root)
	}
	return files
}

func (f *sourceFile) parse(t *testing.T, mode parser.Mode) (*token.FileSet, *ast.File) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, f.name, f.text, mode|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return set, file
}

// generated reports whether the file is a generator's, https://go.dev/s/generatedcode.
func (f *sourceFile) generated() bool {
	for line := range bytes.Lines(f.text) {
		if bytes.HasPrefix(line, []byte("// Code generated ")) && bytes.HasSuffix(bytes.TrimSpace(line), []byte(" DO NOT EDIT.")) {
			return true
		}
		if bytes.HasPrefix(line, []byte("package ")) {
			return false
		}
	}
	return false
}

// imports are the paths that the file imports.
func (f *sourceFile) imports(t *testing.T) (list []string) {
	t.Helper()
	_, file := f.parse(t, parser.ImportsOnly)
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// matches reports whether a path is in the list, in which "x/..." stands for x and all below it.
func matches(list []string, p string) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		base, below := strings.CutSuffix(pattern, "/...")
		return p == base || below && strings.HasPrefix(p, base+"/")
	})
}
