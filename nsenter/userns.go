package nsenter

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"husk/plan"
)

// UserNamespace makes a user namespace with the given maps that nobody is in: what the kernel takes id maps of mounts from
// (mount_setattr(2)). The caller needs CAP_SETUID and CAP_SETGID for all mapped ids.
func UserNamespace(uids, gids []syscall.SysProcIDMap) (*os.File, error) {
	image, err := seal(make([]byte, plan.HeaderSize), 0) // no plan: the interpreter ends at once
	if err != nil {
		return nil, err
	}
	defer image.Close()
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(image.Fd())), []string{"husk-map"}, &syscall.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: true},
	})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	// It is ours to reap, so its pid is nobody else's, and an ended process still has its credentials.
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
	if _, waitErr := syscall.Wait4(pid, nil, 0, nil); err == nil && waitErr != nil {
		file.Close()
		return nil, fmt.Errorf("wait for process %d: %w", pid, waitErr)
	}
	return file, err
}
