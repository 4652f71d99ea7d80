package crash

import (
	"math/rand/v2"
	"testing"
	"time"

	"husk/tests/internal/harness"
)

// TestRandomKill ends commands after random times. The times are the same in every run, what the machine has come to by
// then is not.
func TestRandomKill(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(`/process/args ["/bin/sh", "-c", "touch /data/ran; exec sleep 1000"]`)
	before := b.Look()
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []func(*testing.T, *harness.Box, string, time.Duration){killCreate, killStart, killExec, killDelete, killRun}
	for i := range harness.Count("HUSK_KILLS", 200) {
		after := time.Duration(random.IntN(9000)) * time.Microsecond
		kinds[i%len(kinds)](t, b, bundle, after)
		b.Must("delete", "--force", "c")
		forget(bundle)
		before.Same(t, b)
		if t.Failed() {
			t.Fatalf("iteration %d, command %d, killed after %v", i, i%len(kinds), after)
		}
	}
}

// kill starts a command and kills it after a time.
func kill(b *harness.Box, after time.Duration, args ...string) harness.Result {
	r := b.Start(args...)
	time.Sleep(after)
	r.Process.Kill()
	return b.End(r)
}

func killCreate(t *testing.T, b *harness.Box, bundle string, after time.Duration) {
	res := kill(b, after, "create", "--bundle", bundle, "c")
	if res.Code == 0 {
		await(b, "c", []string{"created"}, nil)
	} else {
		// Killed behind its last step, but before its exit, create may have done it.
		await(b, "c", []string{"absent", "stopped", "created"}, []string{"creating"})
	}
	if ran(bundle) {
		t.Error("the program has run")
	}
}

func killRun(t *testing.T, b *harness.Box, bundle string, after time.Duration) {
	kill(b, after, "run", "--detach", "--bundle", bundle, "c")
	if await(b, "c", []string{"absent", "stopped", "running"}, []string{"creating", "created"}) != "running" && ran(bundle) {
		t.Error("the program has run")
	}
}

func killStart(t *testing.T, b *harness.Box, bundle string, after time.Duration) {
	b.Must("create", "--bundle", bundle, "c")
	kill(b, after/2, "start", "c")
	if await(b, "c", []string{"created", "running", "stopped"}, nil) != "created" {
		return
	}
	if res := b.Husk("start", "c"); res.Code != 0 && b.Status("c") != "running" {
		t.Errorf("start again: %s", res.Err)
	}
	await(b, "c", []string{"running"}, nil)
}

func killExec(t *testing.T, b *harness.Box, bundle string, after time.Duration) {
	b.Must("run", "--detach", "--bundle", bundle, "c")
	kill(b, after/2, "exec", "c", "/bin/sleep", "0.01")
	await(b, "c", []string{"running"}, nil)
	b.Must("exec", "c", "/bin/true")
}

func killDelete(t *testing.T, b *harness.Box, bundle string, after time.Duration) {
	b.Must("run", "--detach", "--bundle", bundle, "c")
	kill(b, after, "delete", "--force", "c")
	await(b, "c", []string{"running", "stopped", "absent"}, nil)
}
