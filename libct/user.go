package libct

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseID reads a user or group id: decimal digits and nothing else, 0 to 4294967294. There is no sign and no wrapping
// around; 4294967295 is the kernel's "no id" (credentials(7), chown(2)), which must never reach a setuid call.
func ParseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id >= math.MaxUint32 {
		return 0, fmt.Errorf("parse id %q: want a number from 0 to %d", text, uint32(math.MaxUint32-1))
	}
	return uint32(id), nil
}

// ParseUser reads "uid" or "uid:gid", both as [ParseID] takes them; gid is nil if there is none. Names are not looked up.
func ParseUser(text string) (uid uint32, gid *uint32, err error) {
	user, group, hasGroup := strings.Cut(text, ":")
	if uid, err = ParseID(user); err != nil {
		return 0, nil, fmt.Errorf("bad uid: %w", err)
	}
	if !hasGroup {
		return uid, nil, nil
	}
	id, err := ParseID(group)
	if err != nil {
		return 0, nil, fmt.Errorf("bad gid: %w", err)
	}
	return uid, &id, nil
}
