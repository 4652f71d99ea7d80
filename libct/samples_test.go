package libct

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/cgroups"
)

var errEnough = errors.New("enough")

func TestSamples(t *testing.T) {
	r := newRuntime(t)
	init := spawn(t)
	other := spawn(t)
	r.put(t, "c", in(cgroup(t, init), init, true))
	r.put(t, "bare", other.own)
	r.put(t, "stopped", nil)
	rounds, busy := 0, -2.0
	err := r.Samples(Samples{Interval: time.Millisecond, Rates: true}, func(round []Sample) error {
		var ids []string
		for _, s := range round {
			ids = append(ids, s.ID)
			busy = s.CPUPercent
		}
		if !slices.Equal(ids, []string{"c"}) {
			t.Errorf("samples of %q", ids)
		}
		if rounds++; rounds == 3 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || busy < 0 || len(r.warnings) > 0 {
		t.Errorf("%v, %v %%, %q", err, busy, r.warnings)
	}
	for id, want := range map[string]string{"stopped": "container with id stopped is not running", "bare": "it has no cgroup", "none": "does not exist"} {
		err := r.Samples(Samples{IDs: []string{"c", id}, Interval: time.Hour}, func([]Sample) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if s, err := r.Stats("bare"); err != nil || s.CPU != nil || s.Memory != nil {
		t.Errorf("statistics without a cgroup: %+v, %v", s, err)
	}
	// The end of those that were named is the end.
	err = r.Samples(Samples{IDs: []string{"c"}, Interval: time.Millisecond}, func(round []Sample) error {
		if len(round) != 1 {
			t.Errorf("%+v", round)
		}
		return r.Kill("c", unix.SIGKILL, true)
	})
	if err != nil {
		t.Error(err)
	}
	rounds = 0
	if err := r.Samples(Samples{Interval: time.Hour, Once: true}, func(round []Sample) error { rounds += 1 + len(round); return nil }); err != nil || rounds != 1 {
		t.Errorf("none is running: %d, %v", rounds, err)
	}
}

func TestRate(t *testing.T) {
	at := time.Now()
	s := func(total uint64, ms int) Sample {
		return Sample{Time: at.Add(time.Duration(ms) * time.Millisecond), Stats: &Stats{CPU: &cgroups.CPUStats{Total: total}}}
	}
	if got := rate(s(1e6, 0), s(4e6, 2)); got != 150 {
		t.Errorf("3 ms in 2 ms: %v", got)
	}
	if got := rate(s(2, 0), s(1, 1)); got >= 0 {
		t.Errorf("another container of the id: %v", got)
	}
	if got := rate(Sample{Stats: &Stats{}}, s(1, 1)); got >= 0 {
		t.Errorf("nothing is known: %v", got)
	}
}
