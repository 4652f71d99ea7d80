package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/libct"
	"husk/specconv"
)

func (a *app) updateCommand() *command {
	u := &update{app: a}
	return &command{
		name:    "update",
		summary: "change the resource limits of a container",
		usage:   "[options] <container-id>",
		details: `Changes limits of a container that has not stopped, and nothing if one of them can't be set. What
is not given stays as it is. Memory is in bytes, or in KiB, MiB, GiB with a suffix k, m or g, or -1
for no limit; times are in microseconds.

The file of --resources holds what is linux.resources in config.json; all of its members may be
used, and may be left out:

    {
      "memory": {"limit": 67108864, "swap": 134217728, "checkBeforeUpdate": true},
      "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
      "pids": {"limit": 100}
    }`,
		flags: u.flags(),
		min:   1, max: 1,
		talks: true,
		run: func(args []string) (int, error) {
			u.ID = args[0]
			return 0, u.run()
		},
	}
}

// An update is one call of the command.
type update struct {
	libct.UpdateOptions
	app     *app
	file    string
	memory  specs.LinuxMemory
	cpu     specs.LinuxCPU
	pids    specs.LinuxPids
	blockIO specs.LinuxBlockIO
}

func (u *update) flags() []flag {
	memory, cpu := &u.memory, &u.cpu
	return []flag{
		{name: "resources", short: "r", to: &u.file, help: "JSON file with the changes, - for standard input; options about single limits are ignored then"},
		{name: "blkio-weight", to: &u.blockIO.Weight, help: "weight of block IO, 10 to 1000"},
		{name: "cpu-period", to: &cpu.Period, help: "period of the CPU quota"},
		{name: "cpu-quota", to: &cpu.Quota, help: "CPU time in each period, -1 for no limit"},
		{name: "cpu-burst", to: &cpu.Burst, help: "unused CPU time that may be added to the quota"},
		{name: "cpu-share", to: &cpu.Shares, help: "weight of CPU time, 2 to 262144"},
		{name: "cpu-rt-period", to: &cpu.RealtimePeriod, help: "period of the real-time limit (cgroup v1)"},
		{name: "cpu-rt-runtime", to: &cpu.RealtimeRuntime, help: "real-time CPU time in each period (cgroup v1)"},
		{name: "cpuset-cpus", to: &cpu.Cpus, help: "CPUs to run on, as 0-2,7"},
		{name: "cpuset-mems", to: &cpu.Mems, help: "memory nodes to use"},
		{name: "cpu-idle", to: &cpu.Idle, help: "1 to run only where nobody else wants the CPU, 0 for normal"},
		{name: "kernel-memory", to: bytesOf(&memory.Kernel), hidden: true, help: "ignored, the kernel has no such limit any more"}, //nolint:staticcheck // deprecated
		{name: "kernel-memory-tcp", to: bytesOf(&memory.KernelTCP), hidden: true, help: "limit of memory for TCP buffers (cgroup v1)"},
		{name: "memory", to: bytesOf(&memory.Limit), help: "limit of memory"},
		{name: "memory-reservation", to: bytesOf(&memory.Reservation), help: "soft limit of memory"},
		{name: "memory-swap", to: bytesOf(&memory.Swap), help: "limit of memory and swap together"},
		{name: "pids-limit", to: &u.pids.Limit, help: "number of processes and threads, -1 for no limit"},
		{name: "l3-cache-schema", to: &u.L3CacheSchema, help: "Intel RDT schema of the L3 cache"},
		{name: "mem-bw-schema", to: &u.MemBwSchema, help: "Intel RDT schema of the memory bandwidth"},
	}
}

func (u *update) run() (err error) {
	if u.file == "" {
		u.Resources = &specs.LinuxResources{Memory: &u.memory, CPU: &u.cpu, Pids: &u.pids, BlockIO: &u.blockIO}
	} else {
		if u.memory != (specs.LinuxMemory{}) || u.cpu != (specs.LinuxCPU{}) || u.pids.Limit != nil || u.blockIO.Weight != nil {
			u.app.log.warn("the options about single limits are ignored because of --resources")
		}
		if u.Resources, err = readFile(u.file, specconv.ParseResources); err != nil {
			return err
		}
	}
	runtime, err := u.app.containers()
	if err != nil {
		return err
	}
	return runtime.Update(u.UpdateOptions)
}

// readFile reads and parses a document from a file, or from standard input if its name is "-".
func readFile[T any](path string, parse func([]byte) (T, error)) (parsed T, err error) {
	file, name := os.Stdin, "standard input"
	if path != "-" {
		if file, err = os.Open(path); err != nil {
			return parsed, err
		}
		defer file.Close()
		name = path
	}
	data, err := readDocument(file, name)
	if err != nil {
		return parsed, err
	}
	if parsed, err = parse(data); err != nil {
		return parsed, fmt.Errorf("parse %s: %w", name, err)
	}
	return parsed, nil
}

// bytesOf reads bytes as runc does: a number, which may have a fraction, and a unit that counts in powers of 1024, in any case and
// with or without "b" or "ib". -1 is no limit.
func bytesOf(to **int64) func(string) error {
	return func(value string) error {
		if value == "" { // see [flag.isLimit]
			return nil
		}
		bytes, err := parseSize(value)
		if err == nil {
			*to = &bytes
		}
		return err
	}
}

func parseSize(value string) (int64, error) {
	if value == "-1" {
		return -1, nil
	}
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimPrefix(value[len(number):], " "))
	exponent := 0
	if unit != "" {
		exponent = strings.IndexByte("bkmgtp", unit[0])
	}
	if exponent > 0 {
		unit = strings.TrimPrefix(unit[1:], "i")
	}
	n, err := strconv.ParseFloat(number, 64)
	bytes := n * float64(int64(1)<<(10*max(exponent, 0)))
	if err != nil || exponent < 0 || unit != "" && unit != "b" || !(bytes >= 0 && bytes < 1<<63) || strings.ContainsAny(number, "+-_xXeE") {
		return 0, errors.New("want a number of bytes, as 67108864 or 64m, or -1")
	}
	return int64(bytes), nil
}
