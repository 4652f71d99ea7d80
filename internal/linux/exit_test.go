package linux

import (
	"os/exec"
	"testing"
	"time"
)

func TestExitStatus(t *testing.T) {
	for script, want := range map[string]int{"exit 3": 3 << 8, "exit 0": 0, "kill -9 $$": 9} {
		for _, reaped := range []bool{false, true} {
			cmd := exec.Command("sh", "-c", "read x; "+script)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := cmd.Process.Pid
			pidfd, err := PidfdOpen(pid)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Stat(pid)
			if err != nil {
				t.Fatal(err)
			}
			if status, known := ExitStatus(pidfd, pid, p.StartTime, 0); known {
				t.Errorf("status %d of a process that runs", status)
			}
			in.Close()
			if ended, err := PollIn(pidfd, 10*time.Second); !ended || err != nil {
				t.Fatalf("%v, %v", ended, err)
			}
			if reaped {
				cmd.Wait()
			}
			status, known := ExitStatus(pidfd, pid, p.StartTime, 0)
			if !known && reaped {
				t.Log("this kernel does not keep the status of a process that was waited for")
			} else if !known || int(status) != want {
				t.Errorf("%s, reaped %v: status %#x, known %v", script, reaped, status, known)
			}
			cmd.Wait()
			Close(pidfd)
		}
	}
}
