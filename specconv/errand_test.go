package specconv

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What may be in config.json and may not come into a container that runs, beside what may be in neither.
func TestValidateMounts(t *testing.T) {
	spec := goldenSpec(t, "")
	good := specs.Mount{Destination: "/data", Source: "/srv", Options: []string{"bind"}}
	for _, c := range []struct {
		want  string
		mount specs.Mount
	}{
		{"", good},
		{"", specs.Mount{Destination: "/t", Type: "tmpfs"}},
		{"", specs.Mount{Destination: "/p", Type: "proc", Source: "/proc", Options: []string{"rbind"}}},
		{`/mounts/1/type: file system "proc" can't come into a running container`, specs.Mount{Destination: "/p", Type: "proc"}},
		{`/mounts/1/type: file system "sysfs" can't come`, specs.Mount{Destination: "/p", Type: "sysfs"}},
		{`/mounts/1/type: file system "cgroup2" can't come`, specs.Mount{Destination: "/p", Type: "cgroup2"}},
		{`/mounts/1/type: file system "devpts" can't come`, specs.Mount{Destination: "/p", Type: "devpts"}},
		{"/mounts/1/options: a mount that is in place can't be changed", specs.Mount{Destination: "/p", Options: []string{"remount", "ro"}}},
		{"/mounts/1/options: what is made of a link could not be found again", specs.Mount{Destination: "/p", Source: "/s", Options: []string{"bind", "src-nofollow"}}},
		{"/mounts/1/options: what is made of a link could not be found again", specs.Mount{Destination: "/p", Source: "/s", Options: []string{"bind", "dest-nofollow"}}},
		{"/mounts/1/options: what is made of a link could not be found again", specs.Mount{Destination: "/p", Source: "/s", Options: []string{"bind", "copy-symlink"}}},
		{"/mounts/1/destination: is required (config.md#mounts)", specs.Mount{Type: "tmpfs"}},
		{`/mounts/1/destination: mountpoint "/a/.." is on the top of rootfs`, specs.Mount{Destination: "/a/..", Type: "tmpfs"}},
		{"/mounts/1/source: is required for a bind mount", specs.Mount{Destination: "/a", Options: []string{"rbind"}}},
		{"/mounts/1/options: idmap without uidMappings", specs.Mount{Destination: "/a", Source: "/b", Options: []string{"rbind", "idmap"}}},
		{`/mounts/1/options/1: contains nul byte`, specs.Mount{Destination: "/a", Source: "/b", Options: []string{"rbind", "a\x00"}}},
	} {
		err := ValidateMounts(spec, []specs.Mount{good, c.mount})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.mount, err, c.want)
		}
	}
}

// A source in the rootfs is the container's to choose.
func TestCompileMountsFromTheRootfs(t *testing.T) {
	spec := goldenSpec(t, "")
	mounts := []specs.Mount{{Destination: "/data", Source: "rootfs/etc", Options: []string{"bind"}}}
	spec.Mounts = mounts
	_, err := CompileMounts(spec, mounts, hostFor(spec))
	if want := `/mounts/0: source "rootfs/etc" lies in the rootfs`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestParseMounts(t *testing.T) {
	list, err := ParseMounts([]byte(`[{"destination": "/a", "options": ["bind"]}, {"destination": "/b", "other": 1}]`))
	if err != nil || len(list) != 2 || list[0].Destination != "/a" || list[1].Destination != "/b" {
		t.Errorf("%v, %v", list, err)
	}
	for text, want := range map[string]string{
		``: "expected an array", `{}`: "expected an array", `[{"destination": 1}]`: "/0/destination", `[{}] x`: "line 1, column 6", `[{"type":"a","type":"b"}]`: "twice",
	} {
		if _, err := ParseMounts([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
