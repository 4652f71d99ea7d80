package cgroups

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseMemberships(t *testing.T) {
	tests := []struct {
		in   string
		want memberships
		bad  bool
	}{
		{in: "", want: nil},
		{in: "0::/\n", want: memberships{{"", "/"}}},
		{in: "9:name=systemd:/a\n4:cpu,cpuacct:/b:c d\n0::/../x\n", want: memberships{{"name=systemd", "/a"}, {"cpu,cpuacct", "/b:c d"}, {"", "/../x"}}},
		{in: "0::/gone (deleted)\n1:cpu:/\n", want: memberships{{"cpu", "/"}}},
		{in: "0:/\n", bad: true},
		{in: "0::relative\n", bad: true},
	}
	for _, tt := range tests {
		got, err := parseMemberships(tt.in)
		if (err != nil) != tt.bad || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %v, %v", tt.in, got, err)
		}
	}
}

func FuzzParseMemberships(f *testing.F) {
	f.Add("9:name=systemd:/a\n0::/\n")
	f.Fuzz(func(t *testing.T, s string) {
		ms, err := parseMemberships(s)
		for _, m := range ms {
			if err == nil && (!strings.HasPrefix(m.path, "/") || strings.Contains(m.path, "\n") || strings.Contains(m.name, ":")) {
				t.Errorf("%q gives %q", s, m)
			}
		}
	})
}

func TestMountinfo(t *testing.T) {
	const doc = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 /docker/a\040b /cg/cpu\134x rw,relatime shared:5 master:1 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /cg/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /cg/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
broken line
`
	mounts := parseMountinfo(doc)
	if len(mounts) != 3 || mounts[0].root != "/docker/a b" || mounts[0].point != `/cg/cpu\x` {
		t.Fatalf("%+v", mounts)
	}
	for name, want := range map[string]int{"cpu,cpuacct": 0, "cpuacct,cpu": 0, "name=systemd": 1, "": 2, "memory": -1, "rw": 0} {
		if got := findMount(mounts, name); got != want {
			t.Errorf("find %q: %d, want %d", name, got, want)
		}
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add("41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n")
	f.Add(`41 31 0:38 /\0 /\777\8 rw - cgroup cgroup rw`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range parseMountinfo(s) {
			if m.point == "" || m.root == "" {
				t.Errorf("%q gives %+v", s, m)
			}
		}
	})
}

func TestInnerPath(t *testing.T) {
	tests := []struct {
		cfg      Config
		want     string
		relative bool
		bad      bool
	}{
		{cfg: Config{Path: "/a/b", ID: "x"}, want: "a/b"},
		{cfg: Config{Path: "a/b", ID: "x"}, want: "a/b", relative: true},
		{cfg: Config{ID: "x"}, want: "x"},
		{cfg: Config{ID: "x", Rootless: true}, want: "x", relative: true},
		{cfg: Config{Path: "/a/../../../b//c/", ID: "x"}, want: "b/c"},
		{cfg: Config{Path: "../../b", ID: "x"}, want: "b", relative: true},
		{cfg: Config{Path: "/", ID: "x"}, bad: true},
		{cfg: Config{Path: "/a/..", ID: "x"}, bad: true},
		{cfg: Config{Path: "..", ID: "x"}, bad: true},
		{cfg: Config{Path: "/a\nb", ID: "x"}, bad: true},
		{cfg: Config{Path: "/a\x00b", ID: "x"}, bad: true},
		{cfg: Config{Path: "/" + strings.Repeat("a", 5000), ID: "x"}, bad: true},
	}
	for _, tt := range tests {
		got, relative, err := innerPath(&tt.cfg)
		if (err != nil) != tt.bad || got != tt.want || relative != tt.relative {
			t.Errorf("%.40q: got %q, %v, %v", tt.cfg.Path, got, relative, err)
		}
	}
}

func FuzzInnerPath(f *testing.F) {
	for _, s := range []string{"/a/b", "a/../..", "...", "/./", "a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		inner, _, err := innerPath(&Config{Path: s, ID: "id"})
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(inner, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\n\x00") {
				t.Errorf("%q gives %q", s, inner)
			}
		}
	})
}

func TestSubPath(t *testing.T) {
	for in, want := range map[string]string{"": "", "/": "", "a/b": "a/b", "/a//b/": "a/b"} {
		if got, err := subPath(in); got != want || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"..", "a/../..", "../x", "a/..", "a\nb", "a\x00"} {
		if got, err := subPath(in); err == nil {
			t.Errorf("%q: %q, no error", in, got)
		}
	}
}

func TestWithin(t *testing.T) {
	tests := []struct{ dir, own, want string }{
		{"/sys/fs/cgroup/a/b", "/a/b", "/sys/fs/cgroup/a/b"},
		{"/sys/fs/cgroup/a/b", "/a/b/init", "/sys/fs/cgroup/a/b/init"},
		{"/sys/fs/cgroup/a/b", "/b/init/x", "/sys/fs/cgroup/a/b/init/x"}, // only a part of the tree is mounted
		{"/sys/fs/cgroup/a/b", "/a", ""},
		{"/sys/fs/cgroup/a/b", "/a/bc", ""},
		{"/sys/fs/cgroup/a/b", "/", ""},
		{"/sys/fs/cgroup/a/b", "", ""},
	}
	for _, tt := range tests {
		got, err := within(tt.dir, tt.own)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q in %q: %q, %v", tt.own, tt.dir, got, err)
		}
	}
}
