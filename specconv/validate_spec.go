package specconv

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// versionMin is the first version of the specification that is served, specs.Version the last; `features` prints both. Within
// a major version a document of an older minor version means the same to a newer runtime, not the other way round
// (config.md#specification-version).
const versionMin = "1.0.0"

func checkVersion(r *report, s *specs.Spec) {
	switch served, ok := servesVersion(s.Version); {
	case s.Version == "":
		r.add("/ociVersion", "is required")
	case !ok:
		r.add("/ociVersion", "%.100q is not in SemVer 2.0.0 format", s.Version)
	case !served:
		r.add("/ociVersion", "version %.100q is not supported: this runtime supports %s to %s", s.Version, versionMin, specs.Version)
	}
}

// servesVersion takes a version apart by the grammar of semver.org 2.0.0 and says whether it lies between versionMin, which is
// a major version's first, and the last patch of specs.Version.
func servesVersion(v string) (served, ok bool) {
	v, build, hasBuild := strings.Cut(v, "+")
	core, pre, hasPre := strings.Cut(v, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 || !semverIdentifiers(core, true) || strings.ContainsFunc(core, notDigitOrDot) {
		return false, false
	}
	if hasPre && !semverIdentifiers(pre, true) || hasBuild && !semverIdentifiers(build, false) {
		return false, false
	}
	minor, err := strconv.ParseUint(numbers[1], 10, 32)
	served = numbers[0] == strconv.Itoa(specs.VersionMajor) && err == nil && minor <= specs.VersionMinor
	return served && !(hasPre && core == versionMin), true
}

func notDigitOrDot(c rune) bool { return c != '.' && (c < '0' || c > '9') }

// semverIdentifiers checks identifiers separated by dots; plain says whether
// numbers must be without leading zeros.
func semverIdentifiers(list string, plain bool) bool {
	for id := range strings.SplitSeq(list, ".") {
		numeric := true
		for _, c := range []byte(id) {
			switch {
			case '0' <= c && c <= '9':
			case c == '-', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
				numeric = false
			default:
				return false
			}
		}
		if id == "" || plain && numeric && len(id) > 1 && id[0] == '0' {
			return false
		}
	}
	return true
}

func checkRoot(r *report, s *specs.Spec) {
	switch {
	case s.Root == nil:
		r.add("/root", "root must be specified")
	case s.Root.Path == "":
		r.add("/root/path", "is required")
	default:
		r.path(s.Root.Path, "root", "path")
	}
}

func checkMounts(r *report, s *specs.Spec) {
	r.count(len(s.Mounts), "mounts")
	linux := cmp.Or(s.Linux, new(specs.Linux))
	for i := range s.Mounts {
		checkMount(r, &s.Mounts[i], i)
		checkIDMap(r, linux, &s.Mounts[i], i)
		checkIDMapOptions(r, linux, &s.Mounts[i], i)
	}
}

func checkMount(r *report, m *specs.Mount, i int) {
	r.path(m.Destination, "mounts", i, "destination")
	r.path(m.Source, "mounts", i, "source")
	r.text(m.Type, "mounts", i, "type")
	r.texts(m.Options, "mounts", i, "options")
	r.count(len(m.Options), "mounts", i, "options")

	// A relative destination is deprecated but valid, and counts from "/".
	if m.Destination == "" {
		r.add(at("mounts", i, "destination"), "is required")
	} else if path.Clean("/"+m.Destination) == "/" {
		r.add(at("mounts", i, "destination"), "mountpoint %.100q is on the top of rootfs", m.Destination)
	}

	bind := slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	switch {
	case bind && m.Source == "":
		r.add(at("mounts", i, "source"), "is required for a bind mount")
	case !bind && m.Type == "bind":
		r.add(at("mounts", i, "options"), `a bind mount needs the option "bind" or "rbind", the type does not make it one`)
	case !bind && m.Type == "" && !slices.Contains(m.Options, "remount"):
		r.add(at("mounts", i, "type"), "is required unless it is a bind mount")
	case !bind && m.Type != "proc" && path.Clean("/"+m.Destination) == "/proc" && !slices.Contains(m.Options, "remount"):
		r.add(at("mounts", i, "destination"), "%.100q cannot be mounted because it is not of type proc", m.Destination)
	}

	checkLinkOptions(r, m, i)
	if (len(m.UIDMappings) == 0) != (len(m.GIDMappings) == 0) {
		r.add(at("mounts", i), "uidMappings and gidMappings must be specified along with each other")
	}
	checkMappingList(r, m.UIDMappings, "mounts", i, "uidMappings")
	checkMappingList(r, m.GIDMappings, "mounts", i, "gidMappings")
}

// checkLinkOptions: crun's words about links are for bind mounts, and one of them makes no mount of a link.
func checkLinkOptions(r *report, m *specs.Mount, i int) {
	s := parseMountOptions(m.Options)
	switch {
	case !s.copyLink && !s.sourceLink && !s.targetLink:
	case !s.bind || s.remount:
		r.add(at("mounts", i, "options"), "copy-symlink, src-nofollow and dest-nofollow are for bind mounts")
	case s.copyLink && (s.sourceLink || s.targetLink):
		r.add(at("mounts", i, "options"), "copy-symlink does not go together with src-nofollow and dest-nofollow")
	}
}

// checkIDMap applies the rules for id-mapped mounts (config.md#mounts, the options idmap and ridmap).
func checkIDMap(r *report, l *specs.Linux, m *specs.Mount, i int) {
	if mapped, _ := IDMapped(m); !mapped {
		return
	}
	if len(m.UIDMappings) == 0 && !hasNamespace(l, specs.UserNamespace) {
		r.add(at("mounts", i, "options"), "idmap without uidMappings and gidMappings takes those of the container's user namespace, and there is none")
	}
	if slices.Contains(m.Options, "remount") {
		r.add(at("mounts", i, "options"), "a mount that is in place already can't be id-mapped any more (mount_setattr(2))")
	}
	if strings.HasPrefix(m.Type, "cgroup") {
		r.add(at("mounts", i, "type"), "the kernel has no id-mapped mounts of file system %q", m.Type)
	}
}

func checkHostname(r *report, s *specs.Spec) { checkUTSName(r, s, s.Hostname, "hostname") }

func checkDomainname(r *report, s *specs.Spec) { checkUTSName(r, s, s.Domainname, "domainname") }

func checkUTSName(r *report, s *specs.Spec, name, field string) {
	const limit = 64 // __NEW_UTS_LEN, <linux/utsname.h>
	if name != "" && (s.Linux == nil || !hasNamespace(s.Linux, specs.UTSNamespace)) {
		r.add(at(field), "unable to set %s without a private UTS namespace", field)
	}
	if len(name) > limit {
		r.add(at(field), "is longer than %d bytes", limit)
	}
	r.text(name, field)
}

// hookList is one of the lists of hooks.
type hookList struct {
	name  string
	hooks []specs.Hook
}

// hookLists are all of them, in the order in which they run.
func hookLists(h *specs.Hooks) []hookList {
	return []hookList{
		{"prestart", h.Prestart}, //nolint:staticcheck // deprecated, but to be served
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	}
}

func checkHooks(r *report, s *specs.Spec) {
	if s.Hooks == nil {
		return
	}
	for _, list := range hookLists(s.Hooks) {
		r.count(len(list.hooks), "hooks", list.name)
		for i, h := range list.hooks {
			r.absolute(h.Path, "hooks", list.name, i, "path")
			r.texts(h.Args, "hooks", list.name, i, "args")
			checkEnv(r, h.Env, "hooks", list.name, i, "env")
			if h.Timeout != nil && *h.Timeout <= 0 {
				r.add(at("hooks", list.name, i, "timeout"), "%d is not greater than zero", *h.Timeout)
			}
		}
	}
}
