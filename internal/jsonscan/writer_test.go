package jsonscan

import (
	"encoding/json"
	"testing"
)

func TestWriter(t *testing.T) {
	var w Writer
	w.Object("")
	w.Text("a{", "x[\n")
	w.Uint("b", 1<<64-1)
	w.Int("c", -1)
	w.Object("d")
	w.EndObject()
	w.Array("e")
	w.Float("", 12.34)
	w.Float("", 0)
	w.Array("")
	w.EndArray()
	w.Object("")
	w.Bool("f", true)
	w.EndObject()
	w.EndArray()
	w.Null("g")
	w.EndObject()
	w.Line()
	w.Array("")
	w.EndArray()
	want := `{"a{":"x[\n","b":18446744073709551615,"c":-1,"d":{},"e":[12.34,0,[],{"f":true}],"g":null}` + "\n[]"
	if string(w.Data) != want {
		t.Errorf("%s\nwant\n%s", w.Data, want)
	}
	first := w.Data[:len(w.Data)-3]
	if !json.Valid(first) {
		t.Errorf("not JSON: %s", first)
	}
}
