package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpToDate checks that specconv's decoder is what the generator writes.
func TestUpToDate(t *testing.T) {
	out := filepath.Join(t.TempDir(), "decode_gen.go")
	g := generator{qualifier: "specs", present: []string{"Solaris", "Windows", "VM", "ZOS", "FreeBSD"}}
	g.older = []string{"enableCMT=LinuxIntelRdt.EnableMonitoring", "enableMBM=LinuxIntelRdt.EnableMonitoring"}
	if err := g.run("specconv", "github.com/opencontainers/runtime-spec/specs-go", []string{"Spec"}, out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../specconv/decode_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("decode_gen.go is out of date: run go generate ./specconv")
	}
}

// TestUnqualified generates for unexported types of the package itself, and
// checks what is refused rather than decoded wrongly.
func TestUnqualified(t *testing.T) {
	for fields, want := range map[string]string{
		"A []uint16 `json:\"a\"`; B *other `json:\"b,omitempty\"`; C string `json:\"-\"`": "",
		"A string":                      "field A needs a line and a json tag of its own",
		"A, B string `json:\"a\"`":      "field A needs a line and a json tag of its own",
		"A string `xml:\"a\"`":          "field A has no json name",
		"A int `json:\"a,string\"`":     "a tag option that is not handled",
		"A float64 `json:\"a\"`":        "field A: a type of the form *ast.Ident is not handled",
		"A [][]string `json:\"a\"`":     "field A: a type of the form *ast.ArrayType is not handled",
		"A [2]int `json:\"a\"`":         "fixed-size arrays are not handled",
		"A map[int]string `json:\"a\"`": "maps need string keys",
		"A int `json:\"b\"`; other":     `has two fields for "b"`,
		"*other":                        "embeds something else",
		"missing":                       "embeds missing, which is no struct",
	} {
		dir := t.TempDir()
		source := "package p\ntype other struct { B int `json:\"b\"` }\ntype record struct { " + fields + " }\n"
		for name, text := range map[string]string{"p.go": source, "go.mod": "module p\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Chdir(dir)
		var g generator
		err := g.run("p", ".", []string{"record"}, "decode_gen.go")
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", fields, err, want)
			}
			continue
		}
		text, _ := os.ReadFile("decode_gen.go")
		for _, line := range []string{
			"func decodeRecord(d *jsonscan.Decoder, v *record) error {",
			"return jsonscan.Slice(d, &v.A, jsonscan.Uint[uint16])",
			"return jsonscan.Ptr(d, &v.B, decodeOther)",
			`return d.Unknown(key, "a b")`,
		} {
			if err != nil || !strings.Contains(string(text), line) {
				t.Errorf("%v: no %s in\n%s", err, line, text)
			}
		}
	}
}
