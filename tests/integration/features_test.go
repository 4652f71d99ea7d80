package integration

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

// served is what `husk features` prints.
func (b *bundle) served() (f features.Features) {
	b.t.Helper()
	d := json.NewDecoder(strings.NewReader(b.must("features")))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		b.t.Fatal(err)
	}
	return f
}

// What `husk features` lists is what a container can have: one container for each.
func TestFeatures(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		f := newBundle(t, v).served()
		t.Run("known members", func(t *testing.T) {
			b := newBundle(t, v)
			out := b.must("features")
			// The specification's own types read all of it, and lose nothing but what is empty.
			again, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			var all, kept any
			if err := json.Unmarshal([]byte(out), &all); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &kept); err != nil {
				t.Fatal(err)
			}
			if a, k := compact(all), compact(kept); a != k {
				t.Errorf("printed %s\nread back %s", a, k)
			}
			for key := range f.Annotations {
				equal(t, "empty annotation key", key == "", false)
			}
		})
		t.Run("hooks", func(t *testing.T) {
			equalList(t, "hooks", slices.Sorted(slices.Values(f.Hooks)), slices.Sorted(slices.Values(hookKinds)))
			for _, kind := range f.Hooks {
				b := newBundle(t, v)
				b.hook(kind)
				b.facts()
				equalList(t, "hooks that have run", b.ranKinds(), []string{kind})
			}
		})
		t.Run("mount options", func(t *testing.T) {
			v.needsRoot(t, mapsIDs+", and the access times of root's mounts are locked")
			for _, word := range append(f.MountOptions, "nosuchword") {
				b := newBundle(t, v)
				b.mountWith(word)
				r := b.run()
				if served := word != "nosuchword"; served != (r.status == 0 && r.stderr == "") {
					t.Errorf("option %s: %v", word, r)
				}
			}
		})
		t.Run("namespaces", func(t *testing.T) { namespacesServed(t, v, f.Linux.Namespaces) })
		t.Run("capabilities", func(t *testing.T) { capabilitiesServed(t, v, f.Linux.Capabilities) })
		t.Run("cgroup", func(t *testing.T) {
			b := newBundle(t, v)
			b.facts()
			equal(t, "v1 and v2", *f.Linux.Cgroup.V1 && *f.Linux.Cgroup.V2, true)
		})
		t.Run("memory policies", func(t *testing.T) {
			for _, mode := range f.Linux.MemoryPolicy.Modes {
				t.Run(mode, func(t *testing.T) {
					b := newBundle(t, v)
					b.memoryPolicy(specs.MemoryPolicyModeType(mode), "0")
					if mode == "MPOL_DEFAULT" || mode == "MPOL_LOCAL" {
						b.Linux.MemoryPolicy.Nodes = ""
					}
					b.facts()
				})
			}
			for _, flag := range f.Linux.MemoryPolicy.Flags {
				b := newBundle(t, v)
				b.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(flag)}}
				b.facts()
			}
		})
		t.Run("network devices", func(t *testing.T) {
			v.needsRoot(t, "the devices are made in the host's network namespace")
			equal(t, "enabled", *f.Linux.NetDevices.Enabled, true)
			b := newBundle(t, v)
			b.network(pair...)
			b.device("host0", "eth0")
			b.probe("list:/sys/class/net")
			includes(t, "devices", strings.Fields(b.facts().Probes["list:/sys/class/net"]), "eth0")
		})
		seccompServed(t, v, f.Linux.Seccomp)
	})
}

// compact writes a document without empty members.
func compact(v any) string {
	var prune func(any) any
	prune = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			maps.DeleteFunc(v, func(key string, value any) bool {
				v[key] = prune(value)
				return v[key] == nil
			})
			if len(v) == 0 {
				return nil
			}
		case []any:
			if len(v) == 0 {
				return nil
			}
		}
		return v
	}
	data, _ := json.Marshal(prune(v))
	return string(data)
}

// mountWith adds a mount that the option is made for.
func (b *bundle) mountWith(word string) {
	m := specs.Mount{Destination: "/with", Type: "tmpfs", Source: "tmpfs", Options: []string{word}}
	switch {
	case word == "remount":
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/with", Type: "tmpfs", Source: "tmpfs"})
	case word == "tmpcopyup":
		b.makeDirs("rootfs/with/sub")
	case strings.HasSuffix(word, "idmap"):
		b.makeDirs("source")
		m.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 1000}}
		m.GIDMappings = m.UIDMappings
		m.Source, m.Type, m.Options = "source", "none", []string{"rbind", word}
	case strings.Contains(word, "-"): // about links
		b.makeDirs("rootfs/with")
		m.Source, m.Type, m.Options = source(b, "source", softBits, "below"), "none", []string{"rbind", word}
	case word == "bind", strings.HasPrefix(word, "r") && word != "ro" && word != "rw":
		m.Source, m.Type, m.Options = source(b, "source", softBits, "below"), "none", []string{"rbind", word}
	}
	b.Spec.Mounts = append(b.Spec.Mounts, m)
}

func namespacesServed(t *testing.T, v *view, served []string) {
	files := map[string]string{"mount": "mnt", "network": "net"}
	for _, kind := range served {
		b := newBundle(t, v)
		b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return string(ns.Type) == kind })
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(kind)})
		if kind == "user" && v.user == nil {
			b.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 65536}}
			b.Linux.GIDMappings = b.Linux.UIDMappings
		}
		file := files[kind]
		if file == "" {
			file = kind
		}
		if f := b.facts(); f.NS[file] == "" || f.NS[file] == nsOf(t, os.Getpid(), file) {
			t.Errorf("namespace %s: %q is the host's", kind, f.NS[file])
		}
	}
	b := newBundle(t, v)
	b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: "nosuch"})
	equal(t, "status with an unknown namespace", b.run().status, 1)
}

// capabilitiesServed: each can be had, if the one who starts husk has it.
func capabilitiesServed(t *testing.T, v *view, served []string) {
	own := statusBits(t, "CapPrm")
	if v.user != nil { // those of its user namespace: all
		own = 1<<(unix.CAP_LAST_CAP+1) - 1
	}
	for _, name := range served {
		b := newBundle(t, v)
		set := []string{name}
		b.Process.Capabilities = &specs.LinuxCapabilities{Bounding: set, Permitted: set, Effective: set, Inheritable: set}
		r := b.run()
		if r.status != 0 {
			t.Fatalf("%s: %v", name, r)
		}
		got := parseFacts(t, r.stdout).capabilities("CapEff")
		switch {
		case strings.Contains(r.stderr, name): // left out with a warning
			if own&got != 0 || strings.Contains(r.stderr, "unknown") {
				t.Errorf("%s: %v, set %#x", name, r, got)
			}
		case got == 0 || got&(got-1) != 0 || got&own == 0:
			t.Errorf("%s: set %#x", name, got)
		}
	}
	equal(t, "number of capabilities", len(served), unix.CAP_LAST_CAP+1)
}

func statusBits(t *testing.T, name string) uint64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	f := &facts{Status: string(data)}
	return f.capabilities(name)
}

// seccompServed loads a profile with each of the names.
func seccompServed(t *testing.T, v *view, served *features.Seccomp) {
	profile := func(b *bundle, rule specs.LinuxSyscall) *specs.LinuxSeccomp {
		b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule}}
		b.probe("unshare:", "socket:")
		return b.Linux.Seccomp
	}
	denied := specs.LinuxSyscall{Names: []string{"unshare"}, Action: specs.ActErrno, ErrnoRet: value(uint(unix.EXDEV))}
	plain := newBundle(t, v)
	plain.probe("unshare:", "socket:")
	without := plain.facts().Probes
	t.Run("seccomp actions", func(t *testing.T) {
		for _, action := range served.Actions {
			b := newBundle(t, v)
			rule := specs.LinuxSyscall{Names: []string{"unshare"}, Action: specs.LinuxSeccompAction(action)}
			want := map[specs.LinuxSeccompAction]string{specs.ActErrno: "EPERM", specs.ActTrace: "ENOSYS", specs.ActAllow: without["unshare:"], specs.ActLog: without["unshare:"]}[rule.Action]
			if rule.Action == specs.ActNotify {
				rule.Names, want = []string{"swapoff"}, without["unshare:"]
				newSupervisor(t, b.path("agent"))
			}
			s := profile(b, rule)
			if rule.Action == specs.ActNotify {
				s.ListenerPath = b.path("agent")
			}
			r := b.run()
			if want == "" { // killed
				equal(t, action+": status", r.status == 128+int(unix.SIGSYS), true)
				continue
			}
			if r.status != 0 {
				t.Errorf("%s: %v", action, r)
				continue
			}
			equal(t, action, parseFacts(t, r.stdout).Probes["unshare:"], want)
		}
	})
	t.Run("seccomp operators", func(t *testing.T) {
		for _, op := range served.Operators {
			b := newBundle(t, v)
			arg := specs.LinuxSeccompArg{Index: 0, Value: unix.AF_NETLINK, Op: specs.LinuxSeccompOperator(op)}
			if arg.Op == specs.OpMaskedEqual {
				arg.Value, arg.ValueTwo = 0xffff, unix.AF_NETLINK
			}
			profile(b, specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: value(uint(unix.EXDEV)), Args: []specs.LinuxSeccompArg{arg}})
			want := "EXDEV"
			if arg.Op == specs.OpNotEqual || arg.Op == specs.OpLessThan || arg.Op == specs.OpGreaterThan {
				want = without["socket:"]
			}
			equal(t, op, b.facts().Probes["socket:"], want)
		}
	})
	t.Run("seccomp archs", func(t *testing.T) {
		for _, arch := range served.Archs {
			b := newBundle(t, v)
			profile(b, denied).Architectures = []specs.Arch{specs.Arch(arch)}
			r := b.run()
			if r.status == 1 && strings.Contains(r.stderr, "byte order differs from the host's") {
				continue // recognized; no machine runs programs of both orders
			}
			equal(t, arch, parseFacts(t, r.stdout).Probes["unshare:"], "EXDEV")
		}
	})
	t.Run("seccomp flags", func(t *testing.T) {
		for _, flag := range served.KnownFlags {
			b := newBundle(t, v)
			profile(b, denied).Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(flag)}
			r := b.run()
			if slices.Contains(served.SupportedFlags, flag) != (r.status == 0) {
				t.Errorf("%s: %v", flag, r)
			}
		}
	})
}
