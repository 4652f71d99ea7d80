package crash

import (
	"strings"
	"testing"
	"time"
)

// What a create leaves that was killed, gc finds and removes; before that it says so, and touches nothing else.
func TestGarbage(t *testing.T) {
	for _, point := range []string{"create-reserved", "create-recorded", "create-cgroup", "create-gate", "create-started"} {
		t.Run(point, func(t *testing.T) {
			b := newBox(t)
			const sleep = `/process/args ["/bin/sleep", "1000"]`
			bundle := b.Bundle(sleep)
			b.Must("run", "--detach", "--bundle", b.Bundle(sleep), "alive")
			if out := b.Must("gc"); out != "" {
				t.Errorf("gc: %q", out)
			}
			before := b.Look()
			killedAt(b, point, "create", "--bundle", bundle, "c")
			for end := time.Now().Add(3 * time.Second); ; time.Sleep(time.Millisecond) {
				res := b.Husk("gc", "--dry-run")
				if res.Code == 0 && strings.HasPrefix(res.Out, "c: ") && strings.HasSuffix(res.Out, ": would be removed\n") {
					break
				}
				if time.Now().After(end) { // the half-made process ends by itself
					t.Fatalf("gc --dry-run: %q, %q", res.Out, res.Err)
				}
			}
			if out := b.Must("gc"); !strings.HasPrefix(out, "c: ") || !strings.HasSuffix(out, ": removed\n") {
				t.Errorf("gc: %q", out)
			}
			before.Files = nil
			before.Same(t, b)
			if s := b.Status("c") + b.Status("alive"); s != "absentrunning" {
				t.Error(s)
			}
			if out := b.Must("gc"); out != "" {
				t.Errorf("gc once more: %q", out)
			}
			b.Must("delete", "--force", "alive")
		})
	}
}
