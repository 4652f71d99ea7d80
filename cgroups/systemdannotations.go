package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"husk/internal/dbus"
)

const annotationPrefix = "org.systemd.property."

// mayAnnotate are the properties that an annotation may set: what bounds the unit's own resources or says how it ends. Those
// that start or stop other units, run programs, reboot, or undo what makes the unit a container's are not among them: whoever
// writes annotations often is not whoever may do that (CVE-2024-3154). A name with * stands for all that begin so.
var mayAnnotate = []string{
	"After", "Before", "CollectMode", "DefaultDependencies", "Description", "Documentation", "PartOf",
	"JobTimeoutUSec", "JobRunningTimeoutUSec",
	"FinalKillSignal", "KillMode", "KillSignal", "SendSIGHUP", "SendSIGKILL",
	"OOMPolicy", "RuntimeMaxUSec", "RuntimeRandomizedExtraUSec", "TimeoutStopUSec",
	"AllowedCPUs", "AllowedMemoryNodes", "BlockIO*", "CPU*", "DefaultMemory*", "IO*", "IPAccounting", "ManagedOOM*", "Memory*",
	"Startup*", "Tasks*",
}

// annotatedProperties reads annotations org.systemd.property.NAME, whose values have the text format of GVariant.
func annotatedProperties(annotations map[string]string) (list []property, err error) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		value, err := dbus.ParseValue(annotations[key])
		if base, ok := strings.CutSuffix(name, "Sec"); err == nil && ok && !strings.HasSuffix(base, "U") {
			name = base + "USec" // as people know it from unit files
			value, err = microseconds(value)
		}
		if err == nil && !slices.ContainsFunc(mayAnnotate, func(pattern string) bool {
			base, all := strings.CutSuffix(pattern, "*")
			return name == pattern || all && strings.HasPrefix(name, base) && isAll(name, isLetter)
		}) {
			err = errors.New("it may not be set by an annotation")
		}
		if err != nil {
			return nil, fmt.Errorf("set systemd property %.64q: %w (/annotations/%s)", name, err, pointerToken(key))
		}
		list = append(list, property{name, value})
	}
	return list, nil
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// microseconds takes a number of seconds of any type.
func microseconds(value any) (any, error) {
	n := -1.0
	switch v := value.(type) {
	case byte:
		n = float64(v)
	case int16:
		n = float64(v)
	case uint16:
		n = float64(v)
	case int32:
		n = float64(v)
	case uint32:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case float64:
		n = v
	}
	if !(n >= 0 && n < 1<<43) { // in µs less than 64 bits, and no NaN
		return nil, errors.New("not a number of seconds")
	}
	return uint64(n * 1000000), nil
}
