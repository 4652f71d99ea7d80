package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"husk/internal/jsonscan"
	"husk/libct"
)

func (a *app) statsCommand() *command {
	o := libct.Samples{Interval: time.Second}
	format := "table"
	return &command{
		name:    "stats",
		summary: "show what containers use",
		usage:   "[options] [container-id...]",
		details: `Shows what containers use of processor, memory, processes and disks, and how long they had to wait for
it (pressure: the share of the last ten seconds in which a process waited), again after every
interval. Without an id, all containers are shown that are not stopped.

The format json is one line for each container and round; openmetrics is one document with all
counters, for Prometheus and its likes.`,
		flags: []flag{
			{name: "format", short: "f", to: &format, help: "table, json or openmetrics"},
			{name: "interval", to: &o.Interval, help: "time between two rounds"},
			{name: "no-stream", to: &o.Once, help: "end after the first round"},
		},
		max:   -1,
		talks: true,
		run: func(args []string) (int, error) {
			o.IDs, o.Rates = args, true
			var encode func([]libct.Sample) []byte
			switch format {
			case "table":
				encode = a.usageTable(!o.Once)
			case "json":
				encode = usageLines
			case "openmetrics":
				encode, o.Once, o.Rates = openMetrics, true, false
			default:
				return 0, errFormat
			}
			runtime, err := a.containers()
			if err != nil {
				return 0, err
			}
			return 0, runtime.Samples(o, func(round []libct.Sample) error {
				_, err := a.print(encode(round))
				return err
			})
		},
	}
}

// usageTable makes tables, each of which takes the place of the one before if that is to be and they go to a terminal.
func (a *app) usageTable(live bool) func([]libct.Sample) []byte {
	const clear = "\x1b[H\x1b[2J"
	out, isFile := a.stdout.(*os.File)
	live = live && isFile && isTerminal(out)
	return func(round []libct.Sample) (table []byte) {
		if live {
			table = append(table, clear...)
		}
		rows := [][]string{{"ID", "CPU %", "MEMORY", "LIMIT", "PIDS", "READ", "WRITTEN", "CPU WAIT", "MEMORY WAIT", "IO WAIT"}}
		for i := range round {
			u := use(&round[i])
			rows = append(rows, []string{
				u.id, percent(u.cpu), size(u.memory), size(u.limit), number(u.pids), size(u.read), size(u.written),
				percent(u.waits[0]), percent(u.waits[1]), percent(u.waits[2]),
			})
		}
		return append(table, columns(rows)...)
	}
}

// A usage is a line of the table. What is not known is unknown, or negative.
type usage struct {
	id                                 string
	cpu                                float64 // percent of one processor
	memory, limit, pids, read, written uint64
	waits                              [3]float64 // for processor, memory, disks: percent of the last ten seconds
}

const unknown = math.MaxUint64

func use(s *libct.Sample) usage {
	u := usage{s.ID, s.CPUPercent, unknown, unknown, unknown, unknown, unknown, [3]float64{-1, -1, -1}}
	t := s.Stats
	if t.Memory != nil && t.Memory.Usage != nil {
		u.memory = t.Memory.Usage.Usage
		if limited(t.Memory.Usage.Limit) {
			u.limit = t.Memory.Usage.Limit
		}
	}
	if t.Pids != nil {
		u.pids = t.Pids.Current
	}
	if t.IO != nil {
		u.read, u.written = t.IO.Bytes.Sum("Read"), t.IO.Bytes.Sum("Write")
	}
	for i, p := range []*libct.Pressure{t.CPUPressure, t.MemoryPressure, t.IOPressure} {
		if p != nil {
			u.waits[i] = p.Some.Avg10
		}
	}
	return u
}

// limited tells a limit of memory from none, for which v1 has a number somewhat below the largest.
func limited(limit uint64) bool { return limit < 1<<62 }

func percent(p float64) string {
	if p < 0 {
		return "-"
	}
	return strconv.FormatFloat(p, 'f', 2, 64)
}

func number(n uint64) string {
	if n == unknown {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

// size shows bytes in the largest unit of which there is one.
func size(n uint64) string {
	if n == unknown || n < 1024 {
		return number(n)
	}
	f, units := float64(n)/1024, "KMGTPE"
	for f >= 1024 {
		f, units = f/1024, units[1:]
	}
	return fmt.Sprintf("%.1f%ciB", f, units[0])
}

// usageLines is one line of JSON for each container.
func usageLines(round []libct.Sample) []byte {
	var w jsonscan.Writer
	known := func(key string, n uint64) {
		if n != unknown {
			w.Uint(key, n)
		}
	}
	share := func(key string, p float64) {
		if p >= 0 {
			w.Float(key, math.Round(p*100)/100)
		}
	}
	for i := range round {
		u := use(&round[i])
		w.Object("")
		w.Text("id", u.id)
		w.Text("time", round[i].Time.UTC().Format(time.RFC3339Nano))
		share("cpuPercent", u.cpu)
		known("memory", u.memory)
		known("memoryLimit", u.limit)
		known("pids", u.pids)
		known("ioRead", u.read)
		known("ioWritten", u.written)
		share("cpuWait", u.waits[0])
		share("memoryWait", u.waits[1])
		share("ioWait", u.waits[2])
		w.EndObject()
		w.Line()
	}
	return w.Data
}
