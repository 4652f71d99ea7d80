package main

import (
	"strings"
	"testing"
	"time"

	"husk/cgroups"
	"husk/libct"
)

// twoSamples are a container of which all is known, and one of which nothing is.
func twoSamples() []libct.Sample {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stall := &libct.Pressure{Some: libct.Stall{Avg10: 12.5, Total: 2_500_000}, Full: libct.Stall{Avg10: 1, Total: 1}}
	all := &libct.Stats{
		CPU: &cgroups.CPUStats{Total: 2_500_000_000, User: 2_000_000_000, Kernel: 500_000_000, Periods: 3},
		Memory: &cgroups.MemoryStats{
			Cache: 5, Usage: &cgroups.Usage{Limit: 1 << 30, Usage: 3 << 19, Max: 7}, Swap: &cgroups.Usage{Usage: 3<<19 + 4},
			Events: cgroups.Values{{Key: "oom_kill", N: 2}, {Key: "under_oom", N: 0}},
		},
		Pids: &cgroups.PidsStats{Current: 4, Limit: 10, Events: cgroups.Values{{Key: "max", N: 6}}},
		IO: &cgroups.IOStats{
			Bytes: libct.IOTable{{Major: 8, Op: "Read", Value: 2048}, {Major: 8, Minor: 1, Op: "Read", Value: 1}, {Major: 8, Op: "Write", Value: 7}, {Major: 8, Op: "Total", Value: 9}},
		},
		Hugetlb:     []cgroups.HugetlbStats{{Size: "2MB", Used: cgroups.Usage{Usage: 8}, Reserved: &cgroups.Usage{Usage: 9}}},
		RDMA:        []cgroups.RDMAStats{{Device: "d\"\\", Current: cgroups.Values{{Key: "hca_handle", N: 1}}}},
		Misc:        []cgroups.MiscStats{{Resource: "res", Usage: 11}},
		CPUPressure: stall, IOPressure: stall,
	}
	return []libct.Sample{{ID: "all", Time: at, Stats: all, CPUPercent: 150.256}, {ID: "none", Time: at, Stats: &libct.Stats{}, CPUPercent: -1}}
}

func TestStatsFormats(t *testing.T) {
	for _, c := range []struct {
		args, want  string
		once, rates bool
		calls       string
	}{
		{args: "stats --no-stream", once: true, rates: true, calls: "samples ", want: `
			ID CPU % MEMORY LIMIT PIDS READ WRITTEN CPU WAIT MEMORY WAIT IO WAIT
			all 150.26 1.5MiB 1.0GiB 4 2.0KiB 7 12.50 - 12.50
			none - - - - - - - - -`},
		{args: "stats --format json a b", rates: true, calls: "samples a b", want: `
			{"id":"all","time":"2026-01-02T03:04:05Z","cpuPercent":150.26,"memory":1572864,"memoryLimit":1073741824,"pids":4,"ioRead":2049,"ioWritten":7,"cpuWait":12.5,"ioWait":12.5}
			{"id":"none","time":"2026-01-02T03:04:05Z"}`},
		{args: "stats --format openmetrics", once: true, calls: "samples ", want: `
			# TYPE husk_container_cpu_seconds counter
			# UNIT husk_container_cpu_seconds seconds
			# HELP husk_container_cpu_seconds Processor time.
			husk_container_cpu_seconds_total{id="all"} 2.5
			# TYPE husk_container_memory_usage_bytes gauge
			husk_container_memory_usage_bytes{id="all"} 1572864
			husk_container_memory_limit_bytes{id="all"} 1073741824
			husk_container_memory_swap_bytes{id="all"} 4
			husk_container_memory_events_total{id="all",event="oom_kill"} 2
			husk_container_pids_refused_total{id="all"} 6
			husk_container_io_bytes_total{id="all",device="8:0",operation="read"} 2048
			husk_container_io_bytes_total{id="all",device="8:1",operation="read"} 1
			husk_container_io_bytes_total{id="all",device="8:0",operation="write"} 7
			husk_container_hugetlb_reserved_bytes{id="all",size="2MB"} 9
			husk_container_rdma{id="all",device="d\"\\",resource="hca_handle"} 1
			husk_container_misc{id="all",resource="res"} 11
			husk_container_pressure_seconds_total{id="all",resource="cpu",kind="some"} 2.5
			husk_container_pressure_seconds_total{id="all",resource="io",kind="full"} 0.000001
			# EOF`},
	} {
		f := &fake{round: twoSamples()}
		status, out, stderr := f.husk(strings.Fields(c.args)...)
		if status != 0 || f.call != c.calls || f.samples.Once != c.once || f.samples.Rates != c.rates || f.samples.Interval != time.Second {
			t.Errorf("%s: status %d, %q, %+v, %s", c.args, status, f.call, f.samples, stderr)
		}
		lines := map[string]bool{}
		for line := range strings.Lines(out) {
			lines[strings.Join(strings.Fields(line), " ")] = true
		}
		for line := range strings.Lines(strings.TrimSpace(c.want)) {
			if line = strings.TrimSpace(line); !lines[line] {
				t.Errorf("%s: no line %q in\n%s", c.args, line, out)
			}
		}
	}
	f := &fake{round: twoSamples()}
	_, out, _ := f.husk("stats", "-f", "openmetrics")
	for _, bad := range []string{`id="none"`, "under_oom", "total\",", "_limit_bytes{id=\"none"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q in\n%s", bad, out)
		}
	}
	if !strings.HasSuffix(out, "\n# EOF\n") || strings.Count(out, "# TYPE husk_container_io_bytes ") != 1 {
		t.Errorf("not a document of OpenMetrics:\n%s", out)
	}
	if status, _, stderr := f.husk("stats", "--format", "xml"); status != 1 || stderr != "invalid format option\n" {
		t.Errorf("status %d, %q", status, stderr)
	}
	if size(1023) != "1023" || size(1024) != "1.0KiB" || size(unknown-1) != "16.0EiB" || number(unknown) != "-" {
		t.Error(size(1023), size(1024), size(unknown-1))
	}
}
