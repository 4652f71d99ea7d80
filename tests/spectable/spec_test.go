package spectable

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// documents are the parts of the specification that bind a runtime for Linux.
var documents = []string{"config.md", "config-linux.md", "runtime.md", "runtime-linux.md", "features.md", "features-linux.md"}

// item is one thing that the specification says: a sentence with a word of RFC 2119, or a field.
type item struct {
	id      string // hash of section and sentence; or the field's path
	section string // "config.md#root"; "" for a field
	text    string // the sentence, for messages
}

var (
	requirement = regexp.MustCompile(`\b(MUST|SHALL|SHOULD|REQUIRED|RECOMMENDED|MAY|OPTIONAL)\b`)
	// A new block: list item, table row, quotation.
	blockStart = regexp.MustCompile(`^\s*([*-] |\||>|\[\^| ` + "`" + `)`)
	sentence   = regexp.MustCompile(`([^.!?]|[.!?][^\s]|e\.g\. |i\.e\. )*[.!?]?`)
	heading    = regexp.MustCompile(`^#+\s*(?:<a name="[^"]*" ?/>)?\s*(.*?)\s*$`)
	link       = regexp.MustCompile(`\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])`)
)

// sentences lists the sentences of a document that have a word of RFC 2119. The hash leaves out white space and the targets
// of links, which change without a meaning.
func sentences(name string, data string) (list []item) {
	anchor, block := "", ""
	again := map[string]int{}
	flush := func() {
		for _, s := range sentence.FindAllString(link.ReplaceAllString(block, "$1"), -1) {
			s = strings.Join(strings.Fields(s), " ")
			if !requirement.MatchString(s) {
				continue
			}
			key := name + "#" + anchor + "\n" + s
			for range again[key] {
				key += "'" // the same sentence once more in its section
			}
			again[name+"#"+anchor+"\n"+s]++
			sum := sha256.Sum256([]byte(key))
			list = append(list, item{hex.EncodeToString(sum[:3]), name + "#" + anchor, s})
		}
		block = ""
	}
	code := false
	for line := range strings.Lines(data) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			flush()
			code = !code
		case code:
		case strings.HasPrefix(line, "#"):
			flush()
			anchor = slug(heading.FindStringSubmatch(line)[1])
		case strings.TrimSpace(line) == "", blockStart.MatchString(line):
			flush()
			fallthrough
		default:
			block += line + " "
		}
	}
	flush()
	return list
}

// slug is the anchor that a heading gets in the pages of the specification's repository.
func slug(heading string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c == ' ':
			return '-'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			return c
		}
		return -1
	}, heading)
}

// otherPlatforms are sections of config.json that mean nothing on Linux: the section has a row, what is in it has none.
var otherPlatforms = map[string]bool{"solaris": true, "windows": true, "vm": true, "zos": true, "freebsd": true}

// fields lists the members of all objects of the specification, from the types of its Go module: "process.user.uid",
// "mounts[].type", "linux.sysctl{}". Those of the features document and of the state begin with "features:" and "state:".
func fields() (list []item) {
	for prefix, v := range map[string]any{"": specs.Spec{}, "features:": features.Features{}, "state:": specs.State{}, "seccompstate:": specs.ContainerProcessState{}} {
		list = append(list, members(prefix, "", reflect.TypeOf(v))...)
	}
	return list
}

func members(path, dot string, t reflect.Type) (list []item) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		return members(path+"[]", ".", t.Elem())
	case reflect.Map:
		return members(path+"{}", ".", t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == "" { // embedded
				list = append(list, members(path, dot, t.Field(i).Type)...)
				continue
			}
			field := path + dot + name
			list = append(list, item{id: field, text: "a field of the Go types"})
			if !otherPlatforms[field] && field != "seccompstate:state" {
				list = append(list, members(field, ".", t.Field(i).Type)...)
			}
		}
	}
	return list
}

// specification reads all items of the version that go.mod names.
func specification(t *testing.T) map[string]item {
	t.Helper()
	dir := run(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec")
	items := map[string]item{}
	add := func(list []item, least int) {
		if len(list) < least {
			t.Fatalf("only %d items, the last is %+v", len(list), list[len(list)-1])
		}
		for _, it := range list {
			if other, ok := items[it.id]; ok {
				t.Fatalf("%q and %q have the same id %s", other.text, it.text, it.id)
			}
			items[it.id] = it
		}
	}
	for _, name := range documents {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		add(sentences(name, string(data)), 3)
	}
	add(fields(), 200)
	return items
}
