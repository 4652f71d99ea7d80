package specconv

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Each annotation of crun is served, refused by name, or ignored with a warning; all others change nothing and are not named.
func TestAnnotations(t *testing.T) {
	for _, c := range []struct{ name, value, problem, ignored string }{
		{annotateContextType, "context", "", ""},
		{annotateContextType, "fscontext", "", ""},
		{annotateContextType, "defcontext", "", ""},
		{annotateContextType, "rootcontext", "", ""},
		{annotateContextType, "", `"" is not one of context defcontext fscontext rootcontext`, ""},
		{annotateContextType, "context,uid", `"context,uid" is not one of`, ""},
		{annotatePidfdSocket, "/run/x.sock", "", ""},
		{annotatePidfdSocket, "x.sock", `"x.sock" is not an absolute path`, ""},
		{annotatePidfdSocket, "", "not an absolute path", ""},
		{annotatePidfdSocket, "/a\x00b", "not an absolute path", ""},
		{annotateListener, "/run/agent", "", ""},
		{annotateListener, "agent", "not an absolute path", ""},
		{annotateKeepGroups, "anything", "", ""},
		{annotateKnownSyscall, "", "", ""},
		{"run.oci.handler", "krun", "another kind of container", ""},
		{"run.oci.handler", "", "", ""},
		{"run.oci.seccomp_bpf_data", "BgAAAAAA/38=", "a filter in the place of linux.seccomp is not taken", ""},
		{"run.oci.hooks.stdout", "/etc/passwd", "", "run.oci.hooks.stdout"},
		{"run.oci.hooks.stderr", "/etc/passwd", "", "run.oci.hooks.stderr"},
		{"run.oci.seccomp.plugins", "/lib/evil.so", "", "run.oci.seccomp.plugins"},
		{"run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup/systemd", "", "run.oci.systemd.force_cgroup_v1"},
		{"run.oci.systemd.subgroup", "../..", "", "run.oci.systemd.subgroup"},
		{"run.oci.systemd.subgroup", "", "", ""},
		{annotateDelegate, "Pay_load-1", "", ""},
		{annotateDelegate, "", "", ""},
		{annotateDelegate, "../x", `"../x" is not a name for a cgroup`, ""},
		{annotateDelegate, "init.scope", "", ""},
		{annotateDelegate, ".x", "is not a name for a cgroup", ""},
		{annotateDelegate, "..", "is not a name for a cgroup", ""},
		{annotateDelegate, "a\nb", "is not a name for a cgroup", ""},
		{annotateDelegate, strings.Repeat("x", 129), "is not a name for a cgroup", ""},
		{"run.oci.timens_offset", "1", "", "run.oci.timens_offset"},
		{"module.wasm.image/variant", "compat", "", "module.wasm.image/variant"},
		{"run.oci.something", "new", "", ""},
		{"org.criu.config", "/etc/criu.conf", "", ""},
		{"krun.cpus", "3", "", ""},
		{"io.kubernetes.cri.container-type", "sandbox", "", ""},
	} {
		text, err := json.Marshal(map[string]string{c.name: c.value})
		check(t, err)
		spec, err := ParseSpec(patch(t, []byte(goldenBase), "/annotations "+string(text)))
		check(t, err)
		err = Validate(spec)
		place := "/annotations/" + strings.ReplaceAll(c.name, "/", "~1") + ": "
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s %q: %v, want %q", c.name, c.value, err, c.problem)
		}
		if got := strings.Join(IgnoredAnnotations(spec, true), " "); got != c.ignored {
			t.Errorf("%s %q: ignored %q, want %q", c.name, c.value, got, c.ignored)
		}
	}
	spec := &specs.Spec{Annotations: map[string]string{annotateDelegate: "x", "run.oci.timens_offset": "1"}}
	if got := IgnoredAnnotations(spec, false); !slices.Equal(got, []string{annotateDelegate, "run.oci.timens_offset"}) {
		t.Errorf("on cgroup v1 ignored: %q", got)
	}
	for _, a := range servedAnnotations {
		if _, refused := refusedAnnotations[a.name]; refused || slices.Contains(ignoredAnnotations, a.name) {
			t.Errorf("%s is served, and it is not", a.name)
		}
		if listed := slices.Contains(Features().PotentiallyUnsafeConfigAnnotations, a.name); listed == (a.name == annotateKnownSyscall || a.name == annotateDelegate) {
			t.Errorf("%s is listed as unsafe: %v", a.name, listed)
		}
	}
}

// What annotations and options say in other words is in the fields of the specification.
func TestFoldAnnotations(t *testing.T) {
	for _, c := range []struct {
		change string
		want   func(*specs.Spec) (got, want any)
	}{
		{`/annotations {"run.oci.seccomp.receiver": "/run/a"}
/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW"}`, func(s *specs.Spec) (any, any) { return s.Linux.Seccomp.ListenerPath, "/run/a" }},
		{`/annotations {"run.oci.seccomp.receiver": "/run/a"}
/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/b"}`, func(s *specs.Spec) (any, any) { return s.Linux.Seccomp.ListenerPath, "/run/b" }},
		{`/annotations {"run.oci.seccomp.receiver": "/run/a"}`, func(s *specs.Spec) (any, any) { return s.Linux.Seccomp == nil, true }},
		{`/annotations {"run.oci.keep_original_groups": "1"}
/process/user/additionalGids [5]`, func(s *specs.Spec) (any, any) { return len(s.Process.User.AdditionalGids), 0 }},
		{`/annotations {"run.oci.keep_original_groups": "0"}
/process/user/additionalGids [5]`, func(s *specs.Spec) (any, any) { return len(s.Process.User.AdditionalGids), 1 }},
	} {
		spec := goldenSpec(t, c.change)
		if got, want := c.want(spec); got != want {
			t.Errorf("%s: %v, want %v", c.change, got, want)
		}
	}
}

func TestIDMapOption(t *testing.T) {
	mapping := func(n ...uint32) (list []specs.LinuxIDMapping) {
		for ; len(n) > 0; n = n[3:] {
			list = append(list, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
		}
		return list
	}
	// The second part is crun's own example of a relative mapping.
	const user = `/linux/namespaces/- {"type": "user"}
/linux/uidMappings [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 2, "size": 1000}]
/linux/gidMappings [{"containerID": 0, "hostID": 100000, "size": 65536}]
`
	for _, c := range []struct {
		base, option string
		word         string
		uids, gids   []specs.LinuxIDMapping
		problem      string
	}{
		{"", "idmap=uids=0-1-10#10-11-10;gids=0-100-10", "idmap", mapping(0, 1, 10, 10, 11, 10), mapping(0, 100, 10), ""},
		{"", "ridmap=gids=0-100-10;uids=5-6-7", "ridmap", mapping(5, 6, 7), mapping(0, 100, 10), ""},
		{user, "idmap=uids=@1-3-10;gids=@0-0-5#7-8-1", "idmap", mapping(1, 4, 10), mapping(0, 100000, 5, 7, 8, 1), ""},
		{user, "idmap", "idmap", nil, nil, ""},
		{user, "idmap=uids=@1-1001-1;gids=0-0-1", "", nil, nil, "it has no such id"},
		{"", "idmap=uids=@0-0-1;gids=0-0-1", "", nil, nil, "it has no such id"},
		{"", "idmap=uids=0-1-10", "", nil, nil, "want idmap=uids="},
		{"", "idmap=", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1;gids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-2-3;gids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-x;gids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1--2;gids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-4294967296;gids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-1;uids=0-0-1", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-1;gids=0-0-1;", "", nil, nil, "want idmap=uids="},
		{"", "idmap=uids=0-1-0;gids=0-0-1", "", nil, nil, "must be greater than zero"},
		{"", "idmap=uids=0-4294967295-1;gids=0-0-1", "", nil, nil, "goes beyond the last id"},
	} {
		spec, err := ParseSpec(patch(t, []byte(goldenBase), c.base+`/mounts/- {"destination": "/d", "source": "/s", "options": ["bind", "`+c.option+`"]}`))
		check(t, err)
		err = Validate(spec)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) || !strings.HasPrefix(err.Error(), "/mounts/0/") {
				t.Errorf("%s: %v, want %q", c.option, err, c.problem)
			}
			continue
		}
		m := spec.Mounts[0]
		if err != nil || m.Options[1] != c.word || !reflect.DeepEqual(m.UIDMappings, c.uids) || !reflect.DeepEqual(m.GIDMappings, c.gids) {
			t.Errorf("%s: %v, %+v", c.option, err, m)
		}
	}
	spec, err := ParseSpec(patch(t, []byte(goldenBase), `/mounts/- {"destination": "/d", "source": "/s", "options": ["bind", "idmap=uids=0-1-1;gids=0-1-1"], "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}`))
	check(t, err)
	if err := Validate(spec); err == nil || !strings.Contains(err.Error(), "/mounts/0/options/1: the mount has uidMappings and gidMappings already") {
		t.Errorf("two maps: %v", err)
	}
}
