package specconv

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations that crun serves and that mean the same here. Whoever may write annotations often may write nothing else of
// config.json, so one that gives more than config.json could ask for, or has the runtime open files, is not among them.
const (
	annotateDelegate     = "run.oci.delegate-cgroup"
	annotateKeepGroups   = "run.oci.keep_original_groups"
	annotateContextType  = "run.oci.mount_context_type"
	annotatePidfdSocket  = "run.oci.pidfd_receiver"
	annotateListener     = "run.oci.seccomp.receiver"
	annotateKnownSyscall = "run.oci.seccomp_fail_unknown_syscall"
)

// servedAnnotations say what is wrong with a value, "" if nothing is.
var servedAnnotations = []struct {
	name  string
	check func(value string) string
}{
	{annotateDelegate, func(value string) string {
		if isCgroupName(value) || value == "" {
			return ""
		}
		return strconv.Quote(value) + " is not a name for a cgroup: at most 128 letters, digits and any of _-., and no dot first"
	}},
	{annotateKeepGroups, anyValue},
	{annotateContextType, func(value string) string {
		if slices.Contains(contextTypes, value) {
			return ""
		}
		return strconv.Quote(value) + " is not one of " + strings.Join(contextTypes, " ")
	}},
	{annotatePidfdSocket, absoluteValue},
	{annotateListener, absoluteValue},
	{annotateKnownSyscall, anyValue},
}

// contextTypes are options of file systems that take an SELinux label (mount(8)).
var contextTypes = []string{"context", "defcontext", "fscontext", "rootcontext"}

func anyValue(string) string { return "" }

func absoluteValue(value string) string {
	if !strings.HasPrefix(value, "/") || strings.IndexByte(value, 0) >= 0 {
		return strconv.Quote(value) + " is not an absolute path"
	}
	return ""
}

// refusedAnnotations ask for an isolation that the container would not have if they were ignored.
var refusedAnnotations = map[string]string{
	"run.oci.handler":          "another kind of container, in a virtual machine or of WebAssembly, is not made by this runtime",
	"run.oci.seccomp_bpf_data": "a filter in the place of linux.seccomp is not taken from an annotation",
}

// ignoredAnnotations are known and left out: the container is as config.json says.
var ignoredAnnotations = []string{
	"module.wasm.image/variant",
	"run.oci.hooks.stderr",
	"run.oci.hooks.stdout",
	"run.oci.seccomp.plugins",
	"run.oci.systemd.force_cgroup_v1",
	"run.oci.systemd.subgroup",
	"run.oci.timens_offset",
}

// unsafeAnnotations are those that an engine should not let anybody set: what `features` prints.
var unsafeAnnotations = []string{annotateKeepGroups, annotateContextType, annotatePidfdSocket, annotateListener}

func checkAnnotations(r *report, s *specs.Spec) {
	r.count(len(s.Annotations), "annotations")
	if len(s.Annotations) == 0 {
		return
	}
	if _, empty := s.Annotations[""]; empty {
		r.add(at("annotations", ""), "key must not be an empty string")
	}
	for _, a := range servedAnnotations {
		if value, given := s.Annotations[a.name]; given {
			if problem := a.check(value); problem != "" {
				r.add(at("annotations", a.name), "%.200s", problem)
			}
		}
	}
	for _, name := range sortedKeys(refusedAnnotations) {
		if s.Annotations[name] != "" {
			r.add(at("annotations", name), "%s", refusedAnnotations[name])
		}
	}
}

func isCgroupName(name string) bool {
	return name != "" && len(name) <= 128 && name[0] != '.' && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') && !strings.ContainsRune("_-.", r)
	})
}

// DelegateCgroup is the name of a cgroup below the container's in which its processes are, "" for none.
func DelegateCgroup(s *specs.Spec) string { return s.Annotations[annotateDelegate] }

// IgnoredAnnotations are those of the configuration that another runtime would serve. One that asks for nothing (the subgroup "") is not
// among them.
func IgnoredAnnotations(s *specs.Spec, cgroupV2 bool) (list []string) {
	if !cgroupV2 && DelegateCgroup(s) != "" {
		list = append(list, annotateDelegate)
	}
	for _, name := range ignoredAnnotations {
		if len(s.Annotations) > 0 && s.Annotations[name] != "" {
			list = append(list, name)
		}
	}
	return list
}

// KeepsGroups says whether the process keeps the supplementary groups of whoever calls the runtime.
func KeepsGroups(s *specs.Spec) bool { return isOn(s, annotateKeepGroups) }

// WantsKnownSyscalls says whether a system call that libseccomp doesn't know is to be an error.
func WantsKnownSyscalls(s *specs.Spec) bool { return isOn(s, annotateKnownSyscall) }

// isOn is crun's way to read them: "0" is no, everything else yes.
func isOn(s *specs.Spec, name string) bool {
	value, given := s.Annotations[name]
	return given && value != "0"
}

// PidfdReceiver is the path of a socket that is sent a pidfd of the container's first process, "" for none.
func PidfdReceiver(s *specs.Spec) string { return s.Annotations[annotatePidfdSocket] }

// contextType is the option by which new file systems get linux.mountLabel.
func contextType(s *specs.Spec) string {
	if name, given := s.Annotations[annotateContextType]; given {
		return name
	}
	return "context"
}

// foldAnnotations puts what annotations say into the fields of the specification that say the same.
func foldAnnotations(s *specs.Spec) {
	if len(s.Annotations) == 0 {
		return
	}
	if path := s.Annotations[annotateListener]; s.Linux.Seccomp != nil && s.Linux.Seccomp.ListenerPath == "" && absoluteValue(path) == "" {
		s.Linux.Seccomp.ListenerPath = path
	}
	if KeepsGroups(s) && s.Process != nil {
		s.Process.User.AdditionalGids = nil // groups can only be set all at once
	}
}
