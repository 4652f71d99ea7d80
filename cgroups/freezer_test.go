package cgroups

import (
	"slices"
	"testing"
)

// Processes that come and go all the time: each freeze has to get there, and to hold.
func TestFreezeForks(t *testing.T) {
	eachLayout(t, func(t *testing.T) {
		m := create(t, &Config{Path: scratch(t)})
		p := placement(t, m)
		for range 4 {
			shell(t, p, "while :; do /bin/true; done")
		}
		for range 5 {
			if err := m.Freeze(true); err != nil {
				t.Fatal(err)
			}
			before, err := m.Pids(true)
			if err != nil {
				t.Fatal(err)
			}
			after, err := m.Pids(true)
			slices.Sort(before)
			slices.Sort(after)
			if err != nil || len(before) < 4 || !slices.Equal(before, after) {
				t.Errorf("frozen processes %v, then %v, %v", before, after, err)
			}
			if err := m.Freeze(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
	})
}
