package security

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

// swap exchanges two names until the returned function is called: what a sibling container does with a shared volume.
func swap(t *testing.T, one, two string) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// TestRaces: while containers are made, somebody exchanges a directory or file of the image and a link to the host.
// Containers may fail to start; no file of the host may change, no mount may land elsewhere than in the container, and what
// starts must be complete.
func TestRaces(t *testing.T) {
	for _, c := range []struct {
		name    string // CVE
		changes string
		path    string // what is exchanged, below rootfs
		file    bool   // it is one
		host    string // what the link leads to, below outside
		inside  string // what the program prints; "" if it does not matter
		script  string
	}{
		{
			name: "CVE-2021-30465 mount point", path: "data/vol",
			changes: `/mounts/- {"destination": "/data/vol/a", "type": "tmpfs", "source": "race-mark"}`,
			script:  `grep -c race-mark /proc/self/mountinfo`, inside: "1",
		},
		{
			name: "CVE-2021-30465 source inside", path: "data/vol",
			changes: "/mounts/- {\"destination\": \"/data/vol/a\", \"type\": \"tmpfs\", \"source\": \"race-mark\"}\n/mounts/- {\"destination\": \"/tmp\", \"source\": \"${rootfs}/data/vol\", \"options\": [\"rbind\"]}",
			script:  `cat /tmp/secret 2>/dev/null; true`, inside: "",
		},
		{
			name: "CVE-2024-45310 missing mount points", path: "data/vol",
			changes: `/mounts/- {"destination": "/data/vol/x/y/z", "source": "/etc/passwd", "options": ["bind"]}`,
		},
		{
			name: "CVE-2019-19921 procfs", path: "proc", script: `stat -f -c %t /proc`, inside: "9fa0",
		},
		{
			name: "CVE-2025-52881 sysctl and oom score", path: "proc",
			changes: "/linux/sysctl {\"net.ipv4.ip_forward\": \"1\"}\n/process/oomScoreAdj 500",
			script:  `cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj`, inside: "1\n500",
		},
		{
			name: "CVE-2025-31133 null", path: "dev/null", file: true, host: "null",
			changes: noDev + "\n" + `/linux/maskedPaths ["/data/masked"]`, script: `cat /data/masked | wc -c; cat /data/masked`, inside: "0",
		},
		{
			name: "CVE-2026-41579 devices", path: "dev", changes: noDev,
		},
		{
			name: "CVE-2025-31133 masked directory", path: "data/vol",
			changes: `/linux/maskedPaths ["/data/vol/secret"]`,
		},
		{
			name: "working directory", path: "data/vol", changes: `/process/cwd "/data/vol/w"`, script: `cat ` + strings.Repeat("../", 20) + `secret 2>/dev/null; true`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			dir, look := outside(b)
			bundle := b.Bundle(c.changes)
			rootfs := filepath.Join(bundle, "rootfs")
			one, two := filepath.Join(rootfs, c.path), filepath.Join(rootfs, "exchange")
			b.Write(filepath.Join(rootfs, "data/masked"), "masked\n", 0o644)
			if c.file {
				try(t, unix.Mknod(one, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
			} else {
				try(t, os.MkdirAll(one, 0o755))
			}
			try(t, os.Symlink(upwards(filepath.Join(dir, c.host)), two))
			if c.script == "" {
				c.script = "true"
			}
			changes := []string{c.changes, shell(c.script)}
			before := look()
			works, fails := 0, map[string]int{}
			stop := swap(t, one, two)
			for range harness.Count("HUSK_RACES", 200) {
				b.Configure(bundle, changes...)
				res := run(b, bundle)
				out := strings.TrimSpace(res.Out)
				switch {
				case res.Code != 0:
					fails[shape(res.Err)]++
				case strings.Contains(out, "of the host") || c.inside != "" && out != c.inside:
					t.Errorf("seen inside: %q", out)
				default:
					works++
				}
				if t.Failed() {
					break
				}
			}
			stop()
			untouched(t, before, look)
			for _, text := range slices.Sorted(keys(fails)) {
				t.Logf("%d times: %s", fails[text], text)
			}
			t.Logf("%d containers have run", works)
		})
	}
}

// shape is an error without what differs from container to container.
func shape(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.Index(text, "/tmp/husk-test-"); i >= 0 {
		text = text[:i] + "..."
	}
	return text
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
