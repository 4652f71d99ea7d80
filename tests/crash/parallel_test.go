package crash

import (
	"slices"
	"strings"
	"testing"

	"husk/tests/internal/harness"
)

// pair runs two commands at the same time.
func pair(b *harness.Box, one, two []string) [2]harness.Result {
	b.T.Helper()
	first, second := b.Start(one...), b.Start(two...)
	return [2]harness.Result{b.End(first), b.End(second)}
}

// TestAtTheSameTime lets two commands work on one container. The result must be as if one had come after the other.
func TestAtTheSameTime(t *testing.T) {
	create := func(bundle string) []string { return []string{"create", "--bundle", bundle, "c"} }
	for _, c := range []struct {
		name     string
		state    string // before: "absent", "created" or "running"
		one, two []string
		winners  []int    // how many of both may succeed
		refusals []string // what the others may say
		after    []string // states
	}{
		{"create and create", "absent", nil, nil, []int{1}, []string{"already exists"}, []string{"created"}},
		{"start and start", "created", []string{"start", "c"}, []string{"start", "c"}, []int{1}, []string{"already running"}, []string{"running"}},
		{"delete and delete", "running", []string{"delete", "--force", "c"}, []string{"delete", "--force", "c"}, []int{2}, nil, []string{"absent"}},
		{"start and delete", "created", []string{"start", "c"}, []string{"delete", "--force", "c"}, []int{1, 2}, []string{"does not exist", "has stopped", "no such process", "ended", "connect"}, []string{"absent"}},
		{"exec and delete", "running", []string{"exec", "c", "/bin/true"}, []string{"delete", "--force", "c"}, []int{1, 2}, []string{"does not exist", "stopped", "no such process", "not running"}, []string{"absent"}},
		{"kill and delete", "running", []string{"kill", "c", "KILL"}, []string{"delete", "--force", "c"}, []int{1, 2}, []string{"does not exist", "not running"}, []string{"absent"}},
		{"exec and exec", "running", []string{"exec", "c", "/bin/true"}, []string{"exec", "c", "/bin/true"}, []int{2}, nil, []string{"running"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(`/process/args ["/bin/sh", "-c", "touch /data/ran; exec sleep 1000"]`)
			before := b.Look()
			for range harness.Count("HUSK_RACES", 25) {
				one, two := c.one, c.two
				if c.state == "absent" {
					one, two = create(bundle), create(bundle)
				} else {
					b.Must(create(bundle)...)
				}
				if c.state == "running" {
					b.Must("start", "c")
				}
				won := 0
				for _, res := range pair(b, one, two) {
					if res.Code == 0 || res.Code == 137 && res.Err == "" { // the program of an exec was killed with the container
						won++
					} else if !slices.ContainsFunc(c.refusals, func(s string) bool { return strings.Contains(res.Err, s) }) {
						t.Errorf("exit status %d: %s", res.Code, res.Err)
					}
				}
				if !slices.Contains(c.winners, won) {
					t.Errorf("%d of two have worked", won)
				}
				if s := b.Status("c"); !slices.Contains(c.after, s) {
					t.Errorf("state is %q", s)
				}
				b.Must("delete", "--force", "c")
				forget(bundle)
				before.Same(t, b)
				if t.Failed() {
					return
				}
			}
		})
	}
}
