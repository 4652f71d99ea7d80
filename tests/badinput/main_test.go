// Package badinput gives husk broken and hostile configurations, bundles and command lines. Each must end at once with one
// clear line, the right exit status, and the host as it was.
package badinput

import (
	"slices"
	"strings"
	"testing"

	"husk/tests/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A bad thing that a user can do.
type bad struct {
	name    string
	changes string                              // of the plain configuration, see harness.Box.Bundle
	want    string                              // what the line has to say; several separated by " & "
	prepare func(b *harness.Box, bundle string) // makes the bundle what it is
	args    []string                            // in place of create; ${bundle} is the bundle's path
	code    int                                 // in place of 1
}

func check(t *testing.T, table []bad) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

func (c *bad) check(t *testing.T) {
	b := harness.New(t)
	bundle := b.Bundle(c.changes)
	if c.prepare != nil {
		c.prepare(b, bundle)
	}
	args := []string{"create", "--bundle", bundle, "c"}
	if c.args != nil {
		args = slices.Clone(c.args)
		for i, a := range args {
			args[i] = strings.NewReplacer("${bundle}", bundle, "${box}", b.Dir).Replace(a)
		}
	}
	before := b.Look()
	res := b.Husk(args...)
	t.Logf("%d %v %s", res.Code, res.Took, res.Err)
	if res.Code == 0 {
		t.Error("it works")
		b.Husk("delete", "--force", "c")
	}
	before.Same(t, b)
	c.judge(t, args[0], res)
}

// prefixes are what callers that know runc expect before the message.
var prefixes = map[string]string{"create": "runc create failed: ", "run": "runc run failed: ", "exec": "exec failed: "}

// kept are the messages that begin with "unable to" and the like because engines look for them.
var kept = []string{
	"unable to start container process", "unable to stat preserved-fd", "unable to set hostname without", "unable to set domainname without",
	"unable to restrict sys entries without", "unable to move network devices without", "cannot allocate tty", "cannot use console socket",
	"cannot exec in a", "cannot start", "cannot delete container", "error running", "cannot be used", "cannot be empty", "cannot be mounted",
}

func (c *bad) judge(t *testing.T, command string, res harness.Result) {
	t.Helper()
	code := 1
	if c.code != 0 {
		code = c.code
	} else if command == "exec" {
		code = 255
	}
	if res.Code != code {
		t.Errorf("exit status %d, want %d", res.Code, code)
	}
	line, rest, end := strings.Cut(res.Err, "\n")
	switch {
	case line == "" || !end:
		t.Errorf("no line on standard error: %q", res.Err)
	case rest != "":
		t.Errorf("more than one line: %q", res.Err)
	case len(line) > 5000:
		t.Errorf("a line of %d bytes", len(line))
	}
	message := strings.TrimPrefix(line, prefixes[command])
	plain := message
	for _, k := range kept {
		plain = strings.ReplaceAll(plain, k, "")
	}
	for _, word := range []string{"failed to", "unable to", "cannot", "could not", "error ", "panic", "goroutine", "0x"} {
		if strings.Contains(plain, word) {
			t.Errorf("%q in %q", word, message)
		}
	}
	if c.want == "" {
		t.Error("nothing is wanted")
	}
	for want := range strings.SplitSeq(c.want, " & ") {
		if !strings.Contains(message, want) {
			t.Errorf("no %q in %q", want, message)
		}
	}
}
