// Package spectable keeps docs/spec-table.md true: the table says for each sentence and each field of the runtime
// specification what husk does, and which test proves it.
//
// The specification is read from its Go module, in the version of go.mod. The table has its sentences as hashes, so a new
// version shows as rows without a sentence and sentences without a row.
package spectable

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const table = "../../docs/spec-table.md"

// row is a line of the table.
type row struct {
	line    int
	section string // "config.md#root", from the headings above
	ids     []string
	words   string
	state   string
	proofs  []string
}

// needsProof says for each state whether there must be a test, or must be none.
var needsProof = map[string]bool{"done": true, "by design otherwise": true, "not applicable": false, "later": false}

func rows(t *testing.T) (list []row) {
	t.Helper()
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	document, section := "", ""
	for i, line := range strings.Split(string(data), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		switch {
		case strings.HasPrefix(line, "## "):
			document = line[3:]
		case strings.HasPrefix(line, "### "):
			section = document + "#" + line[4:]
		case !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| id |"):
		case len(cells) != 4:
			t.Errorf("%s:%d: %d cells, want 4", table, i+1, len(cells))
		default:
			for j := range cells {
				cells[j] = strings.TrimSpace(cells[j])
			}
			r := row{line: i + 1, section: section, ids: strings.Fields(strings.ReplaceAll(cells[0], "`", "")), words: cells[1], state: cells[2]}
			if cells[3] != "" {
				r.proofs = strings.Split(cells[3], "; ")
			}
			list = append(list, r)
		}
	}
	return list
}

// Each sentence and each field has one row, in its section, and no row is about anything else.
func TestRows(t *testing.T) {
	items := specification(t)
	where := map[string]int{}
	for _, r := range rows(t) {
		if len(r.ids) == 0 || r.words == "" {
			t.Errorf("%s:%d: no id, or no words", table, r.line)
		}
		for _, id := range r.ids {
			it, known := items[id]
			switch {
			case !known:
				t.Errorf("%s:%d: the specification has no %s (any more)", table, r.line, id)
			case where[id] != 0:
				t.Errorf("%s:%d: %s has a row already, line %d", table, r.line, id, where[id])
			case it.section != "" && it.section != r.section:
				t.Errorf("%s:%d: %s belongs to section %s", table, r.line, id, it.section)
			}
			where[id] = r.line
		}
	}
	for _, id := range slices.Sorted(maps.Keys(items)) {
		if where[id] == 0 {
			t.Errorf("%s has no row for %s, %s: %.150s", table, id, items[id].section, items[id].text)
		}
	}
}

// Each row that claims something names tests, and they exist.
func TestProofs(t *testing.T) {
	tests := sources(t)
	count := map[string]int{}
	for _, r := range rows(t) {
		count[r.state]++
		need, known := needsProof[r.state]
		if !known {
			t.Errorf("%s:%d: state %q is not one of %q", table, r.line, r.state, slices.Sorted(maps.Keys(needsProof)))
		} else if need != (len(r.proofs) > 0) {
			t.Errorf("%s:%d: state %q with %d proofs", table, r.line, r.state, len(r.proofs))
		}
		for _, proof := range r.proofs {
			if problem := tests.look(proof); problem != "" {
				t.Errorf("%s:%d: %s: %s", table, r.line, proof, problem)
			}
		}
	}
	t.Log("rows by state:", count)
}

var proofForm = regexp.MustCompile(`^(?:(golden)|(\w+)\.(Test\w+))(?:\((.+)\))?$`)

// look says what is wrong with a proof, "" if nothing. Its forms:
//
//	package.TestName          a test function
//	package.TestName(entry)   and in the package's tests there is this string, or a longer one with it
//	golden(name)              a plan in specconv/testdata/golden
func (s testSources) look(proof string) string {
	m := proofForm.FindStringSubmatch(proof)
	if m == nil {
		return "is not like package.TestName(entry) or golden(name)"
	}
	if m[1] != "" {
		if _, err := os.Stat("../../specconv/testdata/golden/" + m[4] + ".plan"); err != nil {
			return err.Error()
		}
		return ""
	}
	p := s[m[2]]
	switch {
	case p == nil:
		return "there is no such package with tests"
	case !p.functions[m[3]]:
		return "there is no such test"
	case m[4] != "" && !p.has(m[4]):
		return "the tests of the package have no such entry"
	}
	return ""
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}
