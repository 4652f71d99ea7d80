// Package conformance keeps the documents true that say which tests of the public suites do not pass: they name those that the lists
// beside this file expect to fail, with the same reasons, and no others.
package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// expectations reads a list: lines "KIND [SETTINGS] NAME... :: REASON". Each becomes the cells of a table.
func expectations(t *testing.T, name string, cells func(kind string, words []string, parts []string) []string) (list []string) {
	t.Helper()
	for _, line := range lines(t, name) {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, " :: ")
		words := strings.Fields(parts[0])
		kind := map[string]string{"fail": "fails", "may-fail": "may fail", "words": "passes with `--words`", "again": "passes at times"}[words[0]]
		if kind == "" {
			t.Errorf("%s: %q is none of fail, may-fail, words and again", name, words[0])
		}
		list = append(list, strings.Join(cells(kind, words[1:], parts[1:]), " | "))
	}
	return list
}

// rows reads the tables of a document whose first cell of the heading is this.
func rows(t *testing.T, name, heading string) (list []string) {
	t.Helper()
	in := false
	for _, line := range lines(t, name) {
		row := strings.TrimSpace(strings.Trim(line, "|"))
		switch {
		case !strings.HasPrefix(line, "|"):
			in = false
		case strings.HasPrefix(line, "| "+heading+" |"):
			in = true
		case in && !strings.HasPrefix(line, "|---"):
			list = append(list, row)
		}
	}
	return list
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

func TestDocuments(t *testing.T) {
	for _, c := range []struct {
		list, document, heading string
		cells                   func(kind string, words, parts []string) []string
	}{
		{"runc-bats.expected", "../../docs/compatibility.md", "file", func(kind string, words, parts []string) []string {
			return []string{words[1], parts[0], kind, strings.ReplaceAll(words[0], ",", ", "), parts[1]}
		}},
		{"validation.expected", "../../docs/spec-conformance.md", "program", func(kind string, words, parts []string) []string {
			return []string{words[0], kind, parts[0]}
		}},
	} {
		want, got := expectations(t, c.list, c.cells), rows(t, c.document, c.heading)
		if len(want) == 0 {
			t.Errorf("%s is empty", c.list)
		}
		for _, row := range want {
			if !slices.Contains(got, row) {
				t.Errorf("%s lacks the row\n| %s |", c.document, row)
			}
		}
		for _, row := range got {
			if !slices.Contains(want, row) {
				t.Errorf("%s has a row that is not in %s: %s", c.document, c.list, row)
			}
		}
	}
}
