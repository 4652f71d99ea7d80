package specconv

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ReadIDMaps reads crun's way to give a mount an id map of its own, idmap=uids=FROM-TO-COUNT#...;gids=..., into the mappings of the
// mounts, for a container with the section linux. An option that can't be read stays, for Validate to find.
func ReadIDMaps(l *specs.Linux, mounts []specs.Mount) {
	for i := range mounts {
		m := &mounts[i]
		for j, option := range m.Options {
			word, maps, is := idMapOption(option)
			if !is || len(m.UIDMappings)+len(m.GIDMappings) > 0 {
				continue
			}
			if uids, gids, err := parseIDMaps(l, maps); err == nil {
				m.Options[j], m.UIDMappings, m.GIDMappings = word, uids, gids
			}
		}
	}
}

// idMapOption takes an option "idmap=..." or "ridmap=..." apart.
func idMapOption(option string) (word, maps string, is bool) {
	if !strings.HasPrefix(option, "idmap=") && !strings.HasPrefix(option, "ridmap=") {
		return "", "", false
	}
	return strings.Cut(option, "=")
}

func parseIDMaps(l *specs.Linux, text string) (uids, gids []specs.LinuxIDMapping, err error) {
	for part := range strings.SplitSeq(text, ";") {
		kind, list, _ := strings.Cut(part, "=")
		switch {
		case kind == "uids" && uids == nil:
			uids, err = parseIDMap(l.UIDMappings, list)
		case kind == "gids" && gids == nil:
			gids, err = parseIDMap(l.GIDMappings, list)
		default:
			err = errIDMap
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if uids == nil || gids == nil {
		return nil, nil, errIDMap
	}
	return uids, gids, nil
}

var (
	errIDMap    = errors.New("want idmap=uids=FROM-TO-COUNT#...;gids=FROM-TO-COUNT#...")
	errRelative = errors.New("a mapping with @ goes to an id of the container's user namespace, and it has no such id")
)

// parseIDMap reads mappings: the first id of the file system, that on the host, and how many there are. With @ before it, one goes to
// ids of the container, whose own mappings are known.
func parseIDMap(own []specs.LinuxIDMapping, text string) (list []specs.LinuxIDMapping, err error) {
	for triplet := range strings.SplitSeq(text, "#") {
		rest, relative := strings.CutPrefix(triplet, "@")
		numbers := strings.Split(rest, "-")
		if len(numbers) != 3 {
			return nil, errIDMap
		}
		var n [3]uint32
		for i, number := range numbers {
			v, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				return nil, errIDMap
			}
			n[i] = uint32(v)
		}
		if relative {
			i := slices.IndexFunc(own, func(m specs.LinuxIDMapping) bool { return n[1] >= m.ContainerID && n[1]-m.ContainerID < m.Size })
			if i < 0 {
				return nil, errRelative
			}
			n[1] += own[i].HostID - own[i].ContainerID
		}
		list = append(list, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return list, nil
}

// checkIDMapOptions finds those that ReadIDMaps could not read.
func checkIDMapOptions(r *report, l *specs.Linux, m *specs.Mount, i int) {
	for j, option := range m.Options {
		_, maps, is := idMapOption(option)
		if !is {
			continue
		}
		_, _, err := parseIDMaps(l, maps)
		if err == nil {
			err = errors.New("the mount has uidMappings and gidMappings already")
		}
		r.add(at("mounts", i, "options", j), "%v", err)
	}
}
