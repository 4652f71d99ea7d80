// Package cgroups makes, limits, fills, freezes, kills and removes the control group of one container.
//
// One small interface, Manager, has a backend for each layout of the host: v1 (also hybrid, where the v1 hierarchies carry the
// limits and a twin directory in the unified tree gives clone-into-cgroup, cgroup.kill and the populated event) and v2.
//
// What config.json asks for becomes a list of settings (file, value, JSON pointer) in pure functions, one file a controller
// with v1 and v2 side by side; one loop writes them. Names that come from config.json and end up as file names pass a grammar
// first, and every file is opened by openat2(2) from the descriptor of the cgroup's own directory, without symlinks and mount
// crossings.
//
// Nothing here reads mountinfo unless /sys/fs/cgroup is of no known shape, lists a directory where a known name serves, or
// sleeps where the kernel has an event.
package cgroups
