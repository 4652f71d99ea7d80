package ere

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, match, not string // words
	}{
		{"", "a b", ""},
		{"web", "web web1 xweb", "we wb WEB"},
		{"^web$", "web", "web1 xweb"},
		{"^web", "web web1", "xweb"},
		{"w.b", "web wib", "wb"},
		{`w\.b`, "w.b", "web"},
		{"^(web|db)-[0-9]+$", "web-1 db-23", "web- db-x cache-1"},
		{"^a*$", "a aa aaa", "b ab"},
		{"^a{2}$", "aa", "a aaa"},
		{"^a{2,}$", "aa aaa", "a"},
		{"^a{0,2}$", "a aa", "aaa"},
		{"^(ab?){2,3}$", "aa abab aaba", "a ab aaaa"},
		{"^(a*)*$", "aaa", "b"},
		{"^(a|b*)+c?$", "aabbac bbb", "cc"},
		{"^[^0-9]$", "a -", "5"},
		{"^[]a-]+$", "] a - ]a-", "b"},
		{"^[[:digit:][:upper:]_]+$", "A1_", "a"},
		{"^[[:alpha:]]$", "a Z", "1"},
		{"a|", "a b", ""},
		{"()", "a", ""},
		{"^^a$$", "a", "ab"},
		{"x^a", "", "xa a"},
		{"^[+--]$", "+ , -", "."},
		{"^.{3}$", "abc", "ab abcd"},
	} {
		e, err := Compile(tc.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		for word := range strings.FieldsSeq(tc.match) {
			if !e.Match(word) {
				t.Errorf("%q does not match %q", tc.pattern, word)
			}
		}
		for word := range strings.FieldsSeq(tc.not) {
			if e.Match(word) {
				t.Errorf("%q matches %q", tc.pattern, word)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for pattern, words := range map[string]string{
		"*a": "nothing to repeat", "a|*": "nothing to repeat", "(+)": "nothing to repeat", "{2}": "nothing to repeat", "(": "( without )", "a)": ") without (", "(a": "( without )",
		"[a": "[ without ]", "[]": "[ without ]", "[[:nope:]]": "no character class", "[[:alpha]]": "no character class", "[z-a]": "z-a is no range", "[[.a.]]": "collating", "[[=a=]]": "collating", `a\`: "at the end",
		`\d`: "POSIX does not know", `\1`: "POSIX does not know", "a{": "{ without }", "a{}": "{} is no bound", "a{x}": "no bound", "a{3,2}": "no bound", "a{256}": "no bound",
		"a{1,256}": "no bound", "a{,2}": "no bound", "a{-1}": "no bound", strings.Repeat("(", 200): "too deep",
	} {
		if _, err := Compile(pattern); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", pattern, err, words)
		}
	}
}

// Patterns that make others run for ever, or out of memory.
func TestHostile(t *testing.T) {
	text := strings.Repeat("a", 255)
	for _, pattern := range []string{
		"^a" + strings.Repeat("+", 1000) + "$", strings.Repeat("(", 90) + "a*" + strings.Repeat(")*", 90) + "b?$", "^(a*a*)*b?$", "^((a|aa)*|a{0,255}){0,9}$", "^(a|){255}$",
	} {
		e, err := Compile(pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		if !e.Match(text) {
			t.Errorf("%.40q does not match", pattern)
		}
		if strings.HasPrefix(pattern, "^") && e.Match(text+"c") {
			t.Errorf("%.40q matches what it should not", pattern)
		}
	}
	for _, pattern := range []string{"((a{255}){255}){255}", "(((((a?){255}){255}){255}){255}){255}"} {
		if _, err := Compile(pattern); err == nil || !strings.Contains(err.Error(), "more than 10000 steps") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// The judge is package regexp in its POSIX mode, for what both know.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"^(a|b)*c{2,3}$", "[^a-c]+x?", "a||b", "(ab)*(c|d)+", `[.][[:alnum:]_-]*$`, "(a*)+", "^.{1,2}$", "b$|^a"} {
		f.Add(seed, "abcc.x")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.ContainsFunc(pattern+text, func(r rune) bool { return r < ' ' || r > '~' }) || len(pattern) > 40 || len(text) > 40 {
			t.Skip("not what a name is made of")
		}
		if strings.Contains(pattern, "[") && strings.Contains(pattern, `\`) {
			t.Skip("to POSIX a \\ between brackets is a character")
		}
		mine, err := Compile(pattern)
		if err != nil {
			return
		}
		judge, err := regexp.CompilePOSIX(pattern)
		if regexp.MustCompile(`[{,]0[0-9]`).MatchString(pattern) {
			t.Skip("to regexp a bound like {01} is none")
		}
		if err != nil { // such as a**, which POSIX leaves open
			return
		}
		if got, want := mine.Match(text), judge.MatchString(text); got != want {
			t.Errorf("%q on %q: %v, regexp says %v", pattern, text, got, want)
		}
	})
}
