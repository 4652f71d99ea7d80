package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measure is something that is timed for each runtime in turn.
type measure struct {
	name   string
	budget string // what husk is meant to stay below, as multiples of floor: printed, never judged
	// prepare and finish are called once for each runtime, before and after all rounds; nil: nothing to do.
	prepare, finish func(p *program) error
	// once does it once and returns the time that counts.
	once func(p *program) (time.Duration, error)
}

// measures are all of them. What one command costs is timed within a whole life, because it depends on what came before it.
var measures = []measure{
	{name: "run", budget: "2.0", once: func(p *program) (time.Duration, error) {
		p.next()
		return p.command("run", "--bundle", p.bundle, p.id)
	}},
	{name: "create", budget: "1.5", once: life(0)},
	{name: "start", budget: "0.6", once: life(1)},
	{name: "delete", budget: "0.6", once: life(2)},
	{name: "exec", budget: "1.0", prepare: hold, finish: release, once: func(p *program) (time.Duration, error) {
		return p.command("exec", p.id, "/bin/true")
	}},
	{name: "state", budget: "0.5", prepare: hold, finish: release, once: func(p *program) (time.Duration, error) {
		return p.command("state", p.id)
	}},
	{name: "containerd: create start delete delete", budget: "2.5", once: containerd},
	{name: "CRI-O: as containerd, and four states", budget: "4.0", once: crio},
}

// life goes through create, start and delete; the index says which one counts.
func life(counted int) func(*program) (time.Duration, error) {
	return func(p *program) (time.Duration, error) {
		var took [3]time.Duration
		var err error
		p.next()
		if took[0], err = p.create(); err != nil {
			return 0, err
		}
		if took[1], err = p.command("start", p.id); err != nil {
			return 0, err
		}
		if err = p.wait(); err != nil {
			return 0, err
		}
		took[2], err = p.command("delete", p.id)
		return took[counted], err
	}
}

// sequence runs commands for one new container and adds up their times. The wait for the end of the program is not counted;
// it is the word "wait".
func sequence(p *program, commands ...string) (total time.Duration, err error) {
	p.next()
	for _, c := range commands {
		var took time.Duration
		switch c {
		case "create":
			took, err = p.create()
		case "wait":
			err = p.wait()
		default:
			took, err = p.command(append(strings.Fields(c), p.id)...)
		}
		if err != nil {
			return 0, err
		}
		total += took
	}
	return total, nil
}

// containerd is what its shim calls for one container; the second delete comes from its clean-up.
func containerd(p *program) (time.Duration, error) {
	return sequence(p, "create", "start", "wait", "delete", "delete --force")
}

// crio is what CRI-O calls beyond that: it asks for the state at each step.
func crio(p *program) (time.Duration, error) {
	return sequence(p, "create", "state", "start", "state", "wait", "state", "state", "delete", "delete --force")
}

// hold makes a container whose created process stays: exec and state work on it.
func hold(p *program) error {
	p.next()
	_, err := p.command("create", "--bundle", p.bundle+"-long", "--pid-file", p.pidFile(), p.id)
	if err == nil {
		_, err = p.command("start", p.id)
	}
	return err
}

func release(p *program) error {
	if _, err := p.command("kill", p.id, "KILL"); err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return err
	}
	_, err := p.command("delete", "--force", p.id)
	return err
}

// run prints one line for each runtime.
func (m *measure) run(o *options, bundle string, runtimes []*program) error {
	for _, p := range runtimes {
		if m.prepare != nil {
			if err := m.prepare(p); err != nil {
				return err
			}
		}
	}
	floor := make([]time.Duration, 0, o.rounds)
	took := make([][]time.Duration, len(runtimes))
	for round := range warmUp + o.rounds {
		f, err := timed(o.floor, filepath.Join(o.work, "rootfs"), "/sys/fs/cgroup/"+filepath.Base(o.work), "/bin/true")
		if err != nil {
			return err
		}
		if round >= warmUp {
			floor = append(floor, f)
		}
		for i, p := range runtimes {
			t, err := m.once(p)
			if err != nil {
				return err
			}
			if round >= warmUp {
				took[i] = append(took[i], t)
			}
		}
	}
	m.print(floor, runtimes, took)
	for _, p := range runtimes {
		if m.finish != nil {
			if err := m.finish(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *measure) print(floor []time.Duration, runtimes []*program, took [][]time.Duration) {
	fmt.Printf("\n%-42s %9s %9s  %9s  %9s\n", m.name, "median ms", "min ms", "to floor", "to husk")
	fmt.Printf("  %-40s %9.2f %9.2f\n", "floor: the kernel, one whole life", ms(median(floor)), ms(slices.Min(floor)))
	for i, p := range runtimes {
		budget := ""
		if i == 0 {
			budget = "  (budget " + m.budget + ")"
		}
		fmt.Printf("  %-40s %9.2f %9.2f  %9.2f  %9.2f%s\n", p.name, ms(median(took[i])), ms(slices.Min(took[i])),
			median(ratios(took[i], floor)), median(ratios(took[i], took[0])), budget)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ratios divides round by round.
func ratios(a, b []time.Duration) []float64 {
	list := make([]float64, len(a))
	for i := range a {
		list[i] = float64(a[i]) / float64(b[i])
	}
	return list
}

func median[T time.Duration | float64](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
