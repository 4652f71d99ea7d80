package libct

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// volumes are the files of the host that the container's processes have, and may change: its root and the sources of its bind mounts, also
// of those that were added.
func (e *errand) volumes() []string {
	rec := &e.c.rec
	list := []string{rec.Rootfs}
	for _, m := range e.spec.Mounts {
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			continue
		}
		if !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(rec.Bundle, m.Source)
		}
		list = append(list, m.Source)
	}
	for _, m := range rec.Mounts {
		if m.Source != "" {
			list = append(list, m.Source)
		}
	}
	for i, name := range list {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			list[i] = real
		}
	}
	return list
}

// fixSources has those sources that lie in a volume of the container looked up without links: its processes can make a link to anything
// there (CVE-2017-1002101).
func (e *errand) fixSources(volumes []string) error {
	for i := range e.host.Sources {
		s := &e.host.Sources[i]
		if s.Path == "" || strings.HasPrefix(filepath.Clean(s.Path)+"/", e.host.Rootfs+"/") { // that one is refused as it is
			continue
		}
		name, err := pathInVolume(s.Path, volumes)
		if err != nil {
			return fmt.Errorf("/mounts/%d: open source %q: %w", i, e.spec.Mounts[i].Source, err)
		}
		if name != "" {
			s.Path, s.NoLinks = name, true
		}
	}
	return nil
}

// pathInVolume follows the links of the host that an absolute path leads through. If it comes into a volume it must not meet one there; then
// the path that it leads to is returned, in which no part is a link. "" says that it comes into none.
func pathInVolume(name string, volumes []string) (string, error) {
	at, touched := "/", false
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		if isProcfs(at) {
			return "", nil // its links are none: they lead to what processes have
		}
		inside := slices.ContainsFunc(volumes, func(v string) bool { return at == v || strings.HasPrefix(at, strings.TrimSuffix(v, "/")+"/") })
		touched = touched || inside
		target, err := linux.Readlinkat(unix.AT_FDCWD, path.Join(at, part))
		switch {
		case errors.Is(err, unix.EINVAL):
			at = path.Join(at, part)
			continue
		case err != nil:
			return "", err
		case inside:
			return "", fmt.Errorf("%w (%q is a symbolic link, and lies where the container's processes may have put it: name the path that it leads to)",
				unix.ELOOP, path.Join(at, part))
		}
		if links++; links > linkLimit {
			return "", unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if !touched {
		return "", nil
	}
	return at, nil
}

// addedMount is what the record has of the mount of e.spec at a place.
func (e *errand) addedMount(i int, id uint64) specconv.AddedMount {
	return specconv.AddedMount{Destination: specconv.Destination(e.spec.Mounts[i].Destination, e.c.rec.Rootfs), ID: id, Source: e.host.Sources[i].Path}
}
