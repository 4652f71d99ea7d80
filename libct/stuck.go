package libct

import (
	"os"
	"strconv"
	"strings"
	"time"

	"husk/cgroups"
	"husk/internal/linux"
)

// stuck says which threads of the container wait in the kernel where no signal reaches them, and for what (proc_pid_wchan(5)):
// why it does not end, or stand still. It is "" if there are none.
func (c *container) stuck(m cgroups.Manager) string {
	list := c.uninterruptible(m)
	if len(list) == 0 { // they may just have been woken, to find that they have to wait on
		time.Sleep(20 * time.Millisecond)
		list = c.uninterruptible(m)
	}
	if len(list) == 0 {
		return ""
	}
	const most = 8
	more := ""
	if len(list) > most {
		list, more = list[:most], " ..."
	}
	return "; in uninterruptible sleep, often for a disk or a file system whose server does not answer: " + strings.Join(list, ", ") + more
}

// uninterruptible lists the threads in state D.
func (c *container) uninterruptible(m cgroups.Manager) (list []string) {
	pids := []int{c.rec.Pid}
	if m != nil {
		if all, err := m.Pids(true); err == nil && len(all) > 0 {
			pids = all
		}
	}
	for _, pid := range pids {
		task := "/proc/" + strconv.Itoa(pid) + "/task/"
		threads, _ := os.ReadDir(task) // it may have ended
		for _, thread := range threads {
			tid, err := strconv.Atoi(thread.Name())
			if err != nil {
				continue
			}
			if p, err := linux.Stat(tid); err != nil || p.State != 'D' {
				continue
			}
			at, _ := os.ReadFile(task + thread.Name() + "/wchan") // not for everybody
			list = append(list, thread.Name()+" (in "+strings.TrimSpace(string(at))+")")
		}
	}
	return list
}
