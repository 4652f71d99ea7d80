package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpdateOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.json")
	if err := os.WriteFile(file, []byte(`{"memory": {"limit": 5}, "unified": {"memory.high": "6"}, "unknown": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                              `{"memory":{},"cpu":{},"pids":{},"blockIO":{}}`,
		"--memory 64m --memory-swap -1": `{"memory":{"limit":67108864,"swap":-1},"cpu":{},"pids":{},"blockIO":{}}`,
		"-memory=1k -memory-reservation 2K --kernel-memory 3 --kernel-memory-tcp 4": `{"memory":{"limit":1024,"reservation":2048,"kernel":3,"kernelTCP":4},"cpu":{},"pids":{},"blockIO":{}}`,
		"--cpu-period 1 --cpu-quota -1 --cpu-burst 0 --cpu-share 4 --cpu-idle 0":    `{"memory":{},"cpu":{"shares":4,"quota":-1,"burst":0,"period":1,"idle":0},"pids":{},"blockIO":{}}`,
		"--cpu-rt-period 1 --cpu-rt-runtime 2 --cpuset-cpus 0-1 --cpuset-mems 0":    `{"memory":{},"cpu":{"realtimeRuntime":2,"realtimePeriod":1,"cpus":"0-1","mems":"0"},"pids":{},"blockIO":{}}`,
		"--pids-limit -1 --blkio-weight 500":                                        `{"memory":{},"cpu":{},"pids":{"limit":-1},"blockIO":{"weight":500}}`,
		"--cpu-quota= --cpu-idle= --cpu-share= --memory= --memory-swap=-1 -r=":      `{"memory":{"swap":-1},"cpu":{},"pids":{},"blockIO":{}}`,
		"-r " + file:                         `{"memory":{"limit":5},"unified":{"memory.high":"6"}}`,
		"--pids-limit 5 --resources=" + file: `{"memory":{"limit":5},"unified":{"memory.high":"6"}}`,
	} {
		f := &fake{}
		status, _, stderr := f.husk(append([]string{"update", "c1"}, strings.Fields(args)...)...)
		got, err := json.Marshal(f.update.Resources)
		if status != 0 || err != nil || string(got) != want || f.update.ID != "c1" {
			t.Errorf("%s: %d, %s %v\n got %s\nwant %s", args, status, stderr, err, got, want)
		}
		if both := strings.HasPrefix(args, "--pids-limit 5"); strings.Contains(stderr, "ignored because of --resources") != both {
			t.Errorf("%s: standard error %q", args, stderr)
		}
	}
	f := &fake{}
	if status, _, _ := f.husk("update", "--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=9", "c1"); status != 0 || f.update.L3CacheSchema != "L3:0=f" || f.update.MemBwSchema != "MB:0=9" {
		t.Errorf("%+v", f.update)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-1": -1, "67108864": 67108864, "5b": 5, "1k": 1024, "1K": 1024, "1KB": 1024, "1kib": 1024, "50M": 50 << 20, "64 m": 64 << 20, "1.5g": 3 << 29, "2TiB": 2 << 40, "1p": 1 << 50,
		"": -2, "-2": -2, "m": -2, "5y": -2, "5ki": 5 << 10, "5kk": -2, "5i": -2, "0x10": -2, "1e5": -2, "+5": -2, "1_000": -2, "9223372036854775808": -2, "9999999p": -2, "nan": -2, "inf": -2, "5m5": -2,
	} {
		got, err := parseSize(text)
		if (err != nil) != (want == -2) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}
