package main

import (
	"fmt"
	"os"
	"strconv"

	"husk/libct"
)

// listenFDs are the descriptors that the service manager passes: sd_listen_fds(3). Without a LISTEN_PID that is ours there are none,
// as with runc; conmon, which has it from podman, puts in the runtime's pid.
func listenFDs() (fds libct.ListenFDs, err error) {
	if pid := os.Getenv("LISTEN_PID"); pid == "" || pid != strconv.Itoa(os.Getpid()) {
		return fds, nil
	}
	value := os.Getenv("LISTEN_FDS")
	if value == "" {
		return fds, nil
	}
	n, err := parseUint(value, 20) // more descriptors than fs.nr_open allows by default
	if err != nil {
		return fds, fmt.Errorf("read LISTEN_FDS %q: %w", value, err)
	}
	return libct.ListenFDs{N: int(n), Names: os.Getenv("LISTEN_FDNAMES")}, nil
}
