package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/specconv"
)

// What engines really send: HUSK_ENGINE_CALLS names a directory of recorded ENGINE/config-*.json. Each runs as a container
// of this machine once its paths lead to a bundle of the test and what the machine lacks is left out.
func TestEngines(t *testing.T) {
	dir := os.Getenv("HUSK_ENGINE_CALLS")
	if dir == "" {
		t.Skip("HUSK_ENGINE_CALLS names no directory of recorded configurations")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*", "config-*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no configurations in %s: %v", dir, err)
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, name := range names {
			short, _ := filepath.Rel(dir, name)
			t.Run(short, func(t *testing.T) {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				spec := new(specs.Spec)
				if err := json.Unmarshal(data, spec); err != nil {
					t.Fatal(err)
				}
				if err := specconv.Validate(spec); err != nil {
					t.Skip(err)
				}
				b := newBundle(t, v)
				b.transplant(spec)
				r := b.run() // it may warn: a profile can be newer than libseccomp
				if r.status != 0 {
					t.Fatal(r)
				}
				b.promises(t, parseFacts(t, r.stdout))
			})
		}
	})
}

// transplant makes a configuration of another machine the bundle's.
func (b *bundle) transplant(spec *specs.Spec) {
	spec.Root.Path, spec.Hooks, spec.Linux.CgroupsPath = "rootfs", nil, b.Linux.CgroupsPath
	p := spec.Process
	p.Args, p.Terminal, p.ConsoleSize = b.Process.Args, false, nil
	if p.OOMScoreAdj != nil {
		*p.OOMScoreAdj = max(*p.OOMScoreAdj, 0)
	}
	for i := range p.Rlimits {
		hard := hostLimit(slices.Index(limitNames, p.Rlimits[i].Type)).Max
		p.Rlimits[i].Hard = min(p.Rlimits[i].Hard, hard)
		p.Rlimits[i].Soft = min(p.Rlimits[i].Soft, hard)
	}
	if c := p.Capabilities; c != nil {
		for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective, &c.Inheritable, &c.Ambient} {
			*set = slices.DeleteFunc(*set, func(name string) bool { return name == "CAP_SYS_RESOURCE" })
		}
	}
	joined := 0
	for i, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		switch inUser := slices.ContainsFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace }); {
		case joined != 0:
		case inUser: // its members are made by the first container of a pod
			first := newBundle(b.t, b.v)
			first.inUser()
			first.Hostname = spec.Hostname
			joined = first.detached("wait")
			b.t.Cleanup(func() { first.must("delete", "--force", first.id) })
		default:
			joined = holder(b)
		}
		for _, k := range append(kinds[:len(kinds):len(kinds)], namespaceKind{specs.UserNamespace, "user"}) {
			if k.kind == ns.Type {
				spec.Linux.Namespaces[i].Path = filepath.Join("/proc", itoa(joined), "ns", k.file)
			}
		}
	}
	if len(spec.Linux.UIDMappings) > 0 {
		b.open()
	}
	for i := range spec.Mounts {
		b.transplantMount(&spec.Mounts[i])
	}
	if b.v.v2 { // with the controllers that there are
		spec.Linux.Resources = &specs.LinuxResources{Devices: spec.Linux.Resources.Devices}
	}
	b.Spec = spec
}

func (b *bundle) transplantMount(m *specs.Mount) {
	bound := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	if _, err := os.Stat(m.Source); !bound || err == nil && strings.HasPrefix(m.Source, "/sys") {
		return
	}
	name := "bound" + strings.ReplaceAll(m.Destination, "/", "-")
	switch {
	case strings.HasPrefix(m.Destination, "/etc/"), filepath.Base(m.Destination)[0] == '.', filepath.Ext(m.Destination) != "":
		b.write(name, "bound")
	default:
		b.makeDirs(name)
	}
	m.Source = b.path(name)
}

// promises checks what the configuration promises about the program.
func (b *bundle) promises(t *testing.T, f *facts) {
	t.Helper()
	p := b.Process
	equalList(t, "descriptors", f.numbers(), []string{"0", "1", "2"})
	equalList(t, "argv", f.Argv, p.Args)
	includes(t, "env", f.Env, p.Env...)
	equal(t, "cwd", f.Cwd, p.Cwd)
	equal(t, "uid", f.UID, int(p.User.UID))
	equal(t, "gid", f.GID, int(p.User.GID))
	equal(t, "number of groups", len(f.Groups), len(p.User.AdditionalGids))
	equal(t, "NoNewPrivs", f.status("NoNewPrivs"), map[bool]string{true: "1", false: "0"}[p.NoNewPrivileges])
	equal(t, "Seccomp", f.status("Seccomp"), map[bool]string{true: "2", false: "0"}[b.Linux.Seccomp != nil])
	if b.Hostname != "" {
		equal(t, "hostname", f.Hostname, b.Hostname)
	}
	if p.OOMScoreAdj != nil {
		equal(t, "oom_score_adj", f.Oom, itoa(*p.OOMScoreAdj)+"\n")
	}
	for _, l := range p.Rlimits {
		equal(t, l.Type, f.Limits[slices.Index(limitNames, l.Type)], [2]uint64{l.Soft, l.Hard})
	}
	bounding := 0
	for n := f.capabilities("CapBnd"); n > 0; n &= n - 1 {
		bounding++
	}
	if p.Capabilities != nil {
		equal(t, "number of capabilities", bounding, len(p.Capabilities.Bounding))
	}
	for _, m := range b.Spec.Mounts {
		got := f.mount(m.Destination)
		if got.point == "" {
			t.Errorf("nothing is mounted at %s", m.Destination)
		}
		if slices.Contains(m.Options, "ro") {
			equal(t, m.Destination+" is read-only", attrsOf(got).ro, true)
		}
	}
	for _, d := range b.Linux.Devices {
		if filepath.Dir(d.Path) == "/dev" && d.Path != "/dev/ptmx" && d.Path != "/dev/console" {
			equal(t, d.Path+": major number", f.Nodes[d.Path].Major, uint32(d.Major))
		}
	}
	for _, ns := range b.Linux.Namespaces {
		for _, k := range kinds {
			if own := nsOf(t, unix.Getpid(), k.file); k.kind == ns.Type && f.NS[k.file] == own {
				t.Errorf("%s namespace is the host's", ns.Type)
			}
		}
	}
	equal(t, "the root is read-only", attrsOf(f.mount("/")).ro, b.Root.Readonly)
}
