package libct

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Sample is what a container has used up to some time.
type Sample struct {
	ID    string
	Time  time.Time
	Stats *Stats
	// CPUPercent is the share of one processor since the sample before, negative if there was none.
	CPUPercent float64
}

// Samples are wishes for [Runtime.Samples].
type Samples struct {
	IDs      []string      // the containers; none: all that are not stopped, also those that are made meanwhile
	Interval time.Duration // between two rounds
	Rates    bool          // begin after one interval, with what CPUPercent needs
	Once     bool          // end after the first round
}

// Samples calls tell with a sample of each container, sorted by id, in every round, until those that were named have stopped
// or tell fails.
func (r *Runtime) Samples(o Samples, tell func([]Sample) error) error {
	var before map[string]Sample
	for next := time.Now(); ; next = next.Add(o.Interval) {
		time.Sleep(time.Until(next))
		round, err := r.sample(o.IDs, before == nil)
		if err != nil {
			return err
		}
		if len(round) == 0 && len(o.IDs) > 0 {
			return nil
		}
		first := before == nil
		now := make(map[string]Sample, len(round))
		for i := range round {
			s := &round[i]
			if old, ok := before[s.ID]; ok {
				s.CPUPercent = rate(old, *s)
			}
			now[s.ID] = *s
		}
		before = now
		if first && o.Rates {
			continue
		}
		if err := tell(round); err != nil || o.Once {
			return err
		}
	}
}

// rate is negative also when the container of that id is another one by now.
func rate(old, now Sample) float64 {
	if old.Stats.CPU == nil || now.Stats.CPU == nil || now.Stats.CPU.Total < old.Stats.CPU.Total {
		return -1
	}
	used := now.Stats.CPU.Total - old.Stats.CPU.Total
	return 100 * float64(used) / float64(now.Time.Sub(old.Time).Nanoseconds())
}

// sample is one round. A container that was named has to be there in the first one.
func (r *Runtime) sample(named []string, first bool) ([]Sample, error) {
	ids := named
	if len(ids) == 0 {
		root, all, err := r.ids()
		switch {
		case errors.Is(err, fs.ErrNotExist) && r.opts.Root == "":
			return nil, nil // nothing was ever created there
		case err != nil:
			return nil, err
		}
		unix.Close(root)
		ids = all
	}
	var (
		round   []Sample
		nothing *noStatsError
	)
	for _, id := range ids {
		s, err := r.count(id)
		switch {
		case err == nil:
			round = append(round, Sample{id, time.Now(), s, -1})
		case len(named) > 0 && first:
			return nil, err
		case !errors.Is(err, ErrNotExist) && !errors.As(err, &nothing) && !cgroupGone(err):
			r.warn("%v", err)
		}
	}
	return round, nil
}
