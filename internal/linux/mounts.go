package linux

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// MountsOf lists the places where file systems of some types are mounted (proc_pid_mountinfo(5)). A machine may have thousands
// of mounts: this is for what can't be found in another way.
func MountsOf(types ...string) (places []string, err error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) == 0 || !slices.Contains(types, kind[0]) {
			continue
		}
		if place, err := strconv.Unquote(`"` + strings.ReplaceAll(fields[4], `"`, `\"`) + `"`); err == nil {
			places = append(places, place)
		}
	}
	return places, nil
}
