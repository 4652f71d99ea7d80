package main

import (
	"fmt"
	"os"
	"strconv"

	"husk/libct"
)

// What a service manager says in the environment, if it says it to this process: LISTEN_PID and WATCHDOG_PID name the one that is
// meant, so that a child does not take for its own what it has inherited.

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

// watchdog is how often the service manager wants to hear of us, in microseconds: sd_watchdog_enabled(3).
func watchdog() string {
	value := os.Getenv("WATCHDOG_USEC")
	if pid := os.Getenv("WATCHDOG_PID"); value == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return ""
	}
	if _, err := parseUint(value, 63); err != nil {
		return ""
	}
	return value
}
