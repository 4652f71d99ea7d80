package jsonscan

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// value reads any JSON value the way encoding/json does into an interface,
// numbers as json.Number.
func value(d *Decoder) (v any, err error) {
	switch c := d.peek(); {
	case c == '{':
		m := map[string]any{}
		err = d.Object(func(key string) error {
			e, err := value(d)
			m[key] = e
			return err
		})
		return m, err
	case c == '[':
		s := []any{}
		err = d.Array(func(int) error {
			e, err := value(d)
			s = append(s, e)
			return err
		})
		return s, err
	case c == '"':
		return d.String()
	case c == 't', c == 'f':
		return d.Bool()
	case c == '-', '0' <= c && c <= '9':
		n, err := d.number()
		return json.Number(n), err
	case d.Null():
		return nil, nil
	}
	return nil, d.unexpected("a value")
}

func document(text string) (any, error) {
	d := NewDecoder([]byte(text))
	v, err := value(d)
	if err != nil {
		return nil, err
	}
	return v, d.End()
}

func reference(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if !json.Valid([]byte(text)) {
		return nil, errors.New("invalid")
	}
	return v, d.Decode(&v)
}

func TestAccepted(t *testing.T) {
	for _, text := range []string{
		`null`, ` true `, "\n\r\tfalse\n", `0`, `-0`, `-0.0e-0`, `123456789012345678901234567890`, `1E+5`, `1.5e3`,
		`""`, `"a\"\\\/\b\f\n\r\tz"`, `"\u0000\u00e9\uD83D\uDE00\ud83d\ude00"`, `"é😀` + "\u2028\x7f" + `"`,
		`[]`, `[ ]`, `[1,[2,[3,{}]]]`, `{}`, `{ "" : 1 , "a" : {"a":[{"a":null}]} }`, `{"\u0061":1,"A":2}`,
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		got, err := document(text)
		want, _ := reference(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", text, got, err, want)
		}
		d := NewDecoder([]byte(text))
		if err := errors.Join(d.Skip(), d.End()); err != nil {
			t.Errorf("skip %s: %v", text, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, `expected a value, found the end of the document (line 1, column 1)`},
		{"\ufeff{}", `expected a value, found '\ufeff'`},
		{"\x00", `expected a value, found '\x00'`},
		{`nul`, `expected a value, found 'n'`},
		{`nulls`, `expected the end of the document, found 's' (line 1, column 5)`},
		{`True`, `found 'T'`},
		{`{} {}`, `expected the end of the document, found an object`},
		{`01`, `expected the end of the document, found a number`},
		{`+1`, `found '+'`},
		{`-`, `expected a digit`},
		{`1.`, `expected a digit`},
		{`.1`, `found '.'`},
		{`1e`, `expected a digit`},
		{`NaN`, `found 'N'`},
		{`"`, `string without an end`},
		{`"\`, `string without an end`},
		{`"\"`, `string without an end`},
		{"\"a\nb\"", `control character '\n' in a string, which must be escaped (line 1, column 3)`},
		{"\"\\ta\x01\"", `control character '\x01'`},
		{`"\x41"`, `unknown escape "\\x" in a string`},
		{`"\u12"`, `\u without four hexadecimal digits`},
		{`"\u12G4"`, `\u without four hexadecimal digits`},
		{`"\ud800"`, `surrogate escape without its other half`},
		{`"\udc00\ud800"`, `surrogate escape without its other half`},
		{`"\ud800\u0041"`, `surrogate escape without its other half`},
		{"\"ab\xffc\"", `text that is not UTF-8 in a string (line 1, column 4)`},
		{"\"\\tab\xc3\"", `text that is not UTF-8 in a string (line 1, column 6)`},
		{"\"\xed\xa0\x80\"", `text that is not UTF-8`},
		{`[1,]`, `/1: expected a value, found ']'`},
		{`[,1]`, `/0: expected a value, found ','`},
		{`[1 2]`, `/0: expected ',' or ']', found a number (line 1, column 4)`},
		{`[1`, `/0: expected ',' or ']', found the end of the document`},
		{`{"a":1,}`, `/a: expected a member name, found '}'`},
		{`{,}`, `expected a member name, found ','`},
		{`{a:1}`, `expected a member name, found 'a'`},
		{`{1:1}`, `expected a member name, found a number`},
		{`{"a" 1}`, `/a: expected ':', found a number`},
		{`{"a":}`, `/a: expected a value, found '}'`},
		{`{"a":1;}`, `/a: expected ',' or '}', found ';'`},
		{`{"":[{"x~/y":tru}]}`, `//0/x~0~1y: expected true or false, found 't'`},
		{"{\"a\":1,\n \"b\":{\"c\":1,\"\\u0063\":2}}", `/b/c: member "c" appears twice in one object (line 2, column 13)`},
		{`{"a\nb":x}`, `/a\nb: expected a value, found 'x'`},
		{"[ // no comment\n]", `expected a value, found '/'`},
		{strings.Repeat("[", MaxDepth+1), `/0: nested deeper than 64 levels (line 1, column 65)`},
		{strings.Repeat(`{"a":`, MaxDepth) + `{}`, `/a/a: nested deeper than 64 levels`},
	} {
		_, err := document(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
		if want := (*Error)(nil); err != nil && !errors.As(err, &want) {
			t.Errorf("%q: %T is no *Error", c.text, err)
		}
		d := NewDecoder([]byte(c.text))
		if d.Skip() == nil && d.End() == nil {
			t.Errorf("%q: Skip accepts it", c.text)
		}
	}
}

func TestLargeObject(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(`"k` + strconv.Itoa(i) + `":{"k1":0},`)
	}
	if _, err := document(`{` + b.String() + `"k":0}`); err != nil {
		t.Error(err)
	}
	if _, err := document(`{` + b.String() + `"k7":0}`); err == nil || !strings.Contains(err.Error(), `"k7" appears twice`) {
		t.Error(err)
	}
}

func TestSizeLimits(t *testing.T) {
	d := NewDecoder(make([]byte, MaxSize+1))
	if err := d.Skip(); err == nil || !strings.Contains(err.Error(), "exceeds the limit") || d.End() != err {
		t.Error(err)
	}
	d = NewDecoder([]byte("[" + strings.Repeat("0,", MaxElements) + "0]"))
	if err := d.Skip(); err == nil || !strings.Contains(err.Error(), "more than 1048576 elements") {
		t.Error(err)
	}
}

func TestIntegers(t *testing.T) {
	read := map[string]func(*Decoder) (any, error){
		"int64":  func(d *Decoder) (any, error) { return d.Int64() },
		"uint64": func(d *Decoder) (any, error) { return d.Uint64() },
		"int32":  func(d *Decoder) (any, error) { var v int32; err := Int(d, &v); return v, err },
		"uint16": func(d *Decoder) (any, error) { var v uint16; err := Uint(d, &v); return v, err },
		"uint":   func(d *Decoder) (any, error) { var v uint; err := Uint(d, &v); return v, err },
	}
	for _, c := range []struct {
		typ, text string
		want      any
	}{
		{"int64", "-9223372036854775808", int64(math.MinInt64)},
		{"int64", "9223372036854775808", "9223372036854775808 is out of range for a signed integer of 64 bits (int64)"},
		{"int64", "-0", int64(0)},
		{"int64", "1.0", "1.0 is not written as an integer (line 1, column 1)"},
		{"int64", "1e3", "1e3 is not written as an integer"},
		{"int64", `"1"`, "expected an integer, found a string"},
		{"int64", "true", "expected an integer, found a boolean"},
		{"uint64", "18446744073709551615", uint64(math.MaxUint64)},
		{"uint64", "18446744073709551616", "out of range"},
		{"uint64", "-1", "-1 is out of range for an unsigned integer of 64 bits (uint64)"},
		{"int32", "-2147483648", int32(math.MinInt32)},
		{"int32", "2147483648", "(int32)"},
		{"uint16", "65535", uint16(65535)},
		{"uint16", "65536", "(uint16)"},
		{"uint16", "null", uint16(0)},
		{"uint", "4294967296", uint(1 << 32)},
	} {
		got, err := read[c.typ](NewDecoder([]byte(c.text)))
		if want, refused := c.want.(string); refused {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got %v, %v; want %s", c.typ, c.text, got, err, want)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s %s: got %v, %v", c.typ, c.text, got, err)
		}
	}
}

func TestFields(t *testing.T) {
	type named string
	type inner struct{ A int }
	var (
		text   named
		yes    *bool
		list   []inner
		names  map[string]named
		absent = []string{"kept"}
		seen   *inner
	)
	readInner := func(d *Decoder, v *inner) error {
		return d.Object(func(key string) error {
			if key == "a" {
				return Int(d, &v.A)
			}
			return d.Unknown(key, "a")
		})
	}
	parse := func(doc string) error {
		d := NewDecoder([]byte(doc))
		return d.Object(func(key string) error {
			switch key {
			case "text":
				return Text(d, &text)
			case "yes":
				return Ptr(d, &yes, Bool[bool])
			case "list":
				return Slice(d, &list, readInner)
			case "names":
				return Map(d, &names, Text[named])
			case "absent":
				return Slice(d, &absent, Text[string])
			case "seen":
				return Present(d, &seen)
			}
			return d.Unknown(key, "text yes list names absent seen")
		})
	}
	err := parse(`{"text":"x","yes":false,"list":[{"a":1},{"b":[{"A":2}]}],"names":{"n":"v"},"absent":null,"seen":{"q":[1]},"more":{}}`)
	if err != nil || text != "x" || yes == nil || *yes || !reflect.DeepEqual(list, []inner{{1}, {}}) ||
		names["n"] != "v" || absent[0] != "kept" || seen == nil {
		t.Error(err, text, yes, list, names, absent, seen)
	}
	for doc, want := range map[string]string{
		`{"list":[{},null]}`:          `/list/1: expected a value, found null`,
		`{"names":{"a":null}}`:        `/names/a: expected a value, found null`,
		`{"Text":null}`:               `/Text: unknown member "Text" differs only in case from "text" (line 1, column 9)`,
		`{"list":[{"A":1}]}`:          `/list/0/A: unknown member "A" differs only in case`,
		`{"li\u017ft":[]}`:            `differs only in case from "list"`,
		`{"other":{"a":1,"a":2}}`:     `/other/a: member "a" appears twice`,
		`{"yes":1}`:                   `/yes: expected true or false, found a number`,
		`{"seen":[]}`:                 `/seen: expected an object, found an array`,
		`{"list":{}}`:                 `/list: expected an array, found an object`,
		`{"names":[]}`:                `/names: expected an object, found an array`,
		`{"text":["` + "\n" + `"]}`:   `/text: expected a string, found an array`,
		`{"text":"a","more":{"b":[}}`: `/more/b/0: expected a value, found '}'`,
	} {
		if err := parse(doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", doc, err, want)
		}
	}
}

func TestErrorSticks(t *testing.T) {
	d := NewDecoder([]byte(`{"a":[1,"x",3],"b":2}`))
	calls := 0
	err := d.Object(func(string) error {
		calls++
		_ = d.Array(func(int) error { _, err := d.Int64(); return err })
		return nil // the caller forgets about the error
	})
	if err == nil || !strings.HasPrefix(err.Error(), "/a/1: expected an integer") || calls != 1 {
		t.Error(err, calls)
	}
	if _, again := d.String(); again != err || d.End() != err || d.Null() {
		t.Error("another error than the first", again)
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "plain", "a\"b\\c/d\n\r\t\b\x00\x1f\x7f", "é😀\u2028", "\xff a \xc3", "<&>"} {
		var back string
		got := AppendString([]byte("x"), s)
		if err := json.Unmarshal(got[1:], &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") || got[0] != 'x' {
			t.Errorf("%q: %s, %q, %v", s, got, back, err)
		}
	}
}

// FuzzDecoder checks that a text is accepted exactly when encoding/json
// accepts it, apart from what is refused on purpose, and means the same.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"\u00e9\ud83d\ude00",true,null,{}],"A":""}`, `[[[]]]`, `"\ud800"`, `{"a":1,"a":2}`, "\xff", `01`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := document(text)
		want, wantErr := reference(text)
		if err == nil {
			if wantErr != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: got %#v, want %#v, %v", text, got, want, wantErr)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Fatalf("%q: bad error %#v", text, err)
		}
		purpose := strings.Contains(e.Msg, "twice") || strings.Contains(e.Msg, "deeper") ||
			strings.Contains(e.Msg, "surrogate") || !utf8.ValidString(text)
		if wantErr == nil && !purpose {
			t.Fatalf("%q refused: %v", text, err)
		}
	})
}

// FuzzAppendString checks that what is written reads back.
func FuzzAppendString(f *testing.F) {
	f.Add("a\"\x00é\xff")
	f.Fuzz(func(t *testing.T, s string) {
		back, err := NewDecoder(AppendString(nil, s)).String()
		if want := string([]rune(s)); err != nil || back != want {
			t.Fatalf("%q: %q, %v", s, back, err)
		}
	})
}
