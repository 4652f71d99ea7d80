package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Sentences of the specification that no other test is about; docs/spec-table.md says which.
func TestSpecification(t *testing.T) {
	cases := []struct {
		name string
		test func(*testing.T, *bundle)
	}{
		{"relative destination", func(t *testing.T, b *bundle) {
			b.makeDirs("rootfs/work/rel")
			b.Process.Cwd = "/work"
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "rel/./dir", Type: "tmpfs", Source: "tmpfs"})
			equal(t, "type", b.facts().mount("/rel/dir").fstype, "tmpfs")
		}},
		{"unknown capability", func(t *testing.T, b *bundle) {
			b.Process.Capabilities.Bounding = append(b.Process.Capabilities.Bounding, "CAP_OF_TOMORROW")
			r := b.run()
			equal(t, "status", r.status, 0)
			if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "level=warning") || !strings.Contains(r.stderr, "CAP_OF_TOMORROW") {
				t.Errorf("stderr %q, want one warning", r.stderr)
			}
		}},
		{"unknown members", func(t *testing.T, b *bundle) {
			b.save()
			data, err := os.ReadFile(b.path("config.json"))
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			for _, object := range []string{`"process": {`, `"user": {`, `"root": {`, `"linux": {`, `"mounts": [` + "\n\t\t{", `"namespaces": [` + "\n\t\t\t{"} {
				if !strings.Contains(text, object) {
					t.Errorf("no %s in %s", object, text)
				}
				text = strings.Replace(text, object, object+`"ofTomorrow": [{"x": null}, 1e9, "y"],`, 1)
			}
			b.write("config.json", strings.Replace(text, "{", `{"ofTomorrow": {}, "io.example.x": [],`, 1))
			r := b.husk("run", "--bundle", b.dir, b.id)
			if r.status != 0 || r.stderr != "" {
				t.Error(r)
			}
		}},
		{"annotations", func(t *testing.T, b *bundle) {
			b.Annotations = map[string]string{"org.example.empty": "", "org.opencontainers.image.os": "plan9", "no dots": "x"}
			b.created()
			got := b.state().Annotations
			equal(t, "number of annotations", len(got), len(b.Annotations))
			for key, want := range b.Annotations {
				equal(t, key, got[key], want)
			}
			b.must("delete", "--force", b.id)
		}},
		{"changed config.json", func(t *testing.T, b *bundle) {
			b.hook("poststop")
			b.Process.Args = []string{"/inside", "wait"}
			out := b.created()
			b.write("config.json", `{"ociVersion": "1.0.0", "annotations": {"a": "b"}}`)
			b.must("start", b.id)
			out.expect("ready\n")
			equal(t, "annotations", len(b.state().Annotations), 0)
			equal(t, "process", strings.Contains(b.must("ps", b.id), "/inside wait"), true)
			b.must("delete", "--force", b.id)
			equalList(t, "hooks that have run", b.ranKinds(), []string{"poststop"})
		}},
		{"id again", func(t *testing.T, b *bundle) {
			for range 3 {
				b.facts()
			}
		}},
		{"order of hooks", func(t *testing.T, b *bundle) {
			var want []string
			for _, kind := range hookKinds {
				for i := range 3 {
					name := fmt.Sprint(kind, i)
					b.hook(kind).Args[0] = name
					want = append(want, name)
				}
			}
			b.facts()
			equalList(t, "hooks that have run", b.ranKinds(), want)
		}},
		{"hooks without arguments", func(t *testing.T, b *bundle) {
			b.write("hook", "#!/bin/sh\necho \"$#\" \"$0\" >"+b.path("said")+"\n")
			if err := os.Chmod(b.path("hook"), 0o755); err != nil {
				t.Fatal(err)
			}
			b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: b.path("hook")}}}
			b.facts()
			data, err := os.ReadFile(b.path("said"))
			equal(t, "number of arguments, and the program", string(data), "0 "+b.path("hook")+"\n")
			equal(t, "error", err, nil)
		}},
		{"empty sysctl", func(t *testing.T, b *bundle) {
			b.v.needsRoot(t, "the network namespace that it joins is root's")
			const name = "net.ipv4.ip_local_reserved_ports"
			pid := holder(b)
			b.tool("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid), "sysctl", "-q", "-w", name+"=4000-4010")
			join(b, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", pid))
			b.Linux.Sysctl = map[string]string{name: ""}
			b.probe("read:/proc/sys/net/ipv4/ip_local_reserved_ports")
			equal(t, name, b.facts().Probes["read:/proc/sys/net/ipv4/ip_local_reserved_ports"], "\n")
		}},
		{"oom_score_adj is left alone", func(t *testing.T, b *bundle) {
			b.save()
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `echo 77 >/proc/self/oom_score_adj; exec "$@"`, "sh"}, cmd.Args...)
			r := b.finish(cmd)
			equal(t, "status", r.status, 0)
			equal(t, "oom_score_adj", parseFacts(t, r.stdout).Oom, "77\n")
		}},
		{"poststop comes last", poststopComesLast},
		{"cgroup owner", cgroupOwner},
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.test(t, newBundle(t, v)) })
		}
	})
}

// The poststop hooks find neither the container's process nor its cgroup, whatever the end of the container was.
func poststopComesLast(t *testing.T, b *bundle) {
	cgroup := "/sys/fs/cgroup" + b.v.cgroup(b.id)
	if !b.v.v2 {
		cgroup = "/sys/fs/cgroup/pids" + b.v.cgroup(b.id)
	}
	// It says which of the two is there.
	script := fmt.Sprintf("cd %s && { [ ! -d %s ] || echo cgroup; read pid <pid && [ ! -e /proc/$pid ] || echo process $pid; echo ran; } >>said", b.dir, cgroup)
	write := fmt.Sprintf(`sed 's/.*"pid":\([0-9]*\).*/\1/' >%s/pid; [ -d %s ] || echo no cgroup >>%s/said`, b.dir, cgroup, b.dir)
	shell := func(script string) specs.Hook {
		return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}}
	}
	b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{shell(write)}, Poststop: []specs.Hook{shell(script)}}
	check := func(when string) {
		t.Helper()
		data, _ := os.ReadFile(b.path("said"))
		equal(t, "what the hook found "+when, string(data), "ran\n")
		os.Remove(b.path("said"))
	}
	b.facts()
	check("after the program ended")
	b.created()
	b.must("delete", "--force", b.id)
	check("after delete --force")
	b.Hooks.CreateContainer = []specs.Hook{shell("exit 1")}
	equal(t, "status", b.run().status, 1)
	check("after create failed")
	b.Hooks.CreateContainer, b.Hooks.Poststart = nil, []specs.Hook{shell("exit 1")}
	equal(t, "status", b.run().status, 1)
	check("after poststart failed")
}

// A cgroup of v2 that is mounted writable belongs to the user of the container's program, as far as the kernel says that this is
// safe (config-linux.md#cgroup-ownership).
func cgroupOwner(t *testing.T, b *bundle) {
	b.v.needsRoot(t, "only root gives files to others")
	ids := b.Linux.Namespaces
	mount := func(options ...string) {
		for i := range b.Spec.Mounts {
			if m := &b.Spec.Mounts[i]; m.Destination == "/sys/fs/cgroup" {
				m.Options = options
			}
		}
	}
	top := "/sys/fs/cgroup"
	if !b.v.v2 {
		top += "/pids"
	}
	b.probe("stat:"+top, "stat:"+top+"/cgroup.procs", "stat:"+top+"/cgroup.freeze", "mkdir:"+top+"/sub", "stat:"+top+b.v.cgroup(b.id))
	owners := func(what, procs, limits string) *facts {
		t.Helper()
		f := b.facts()
		for file, want := range map[string]string{"": procs, "/cgroup.procs": procs, "/cgroup.freeze": limits} {
			got := strings.Fields(f.Probes["stat:"+top+file])
			if len(got) > 2 && got[1] != want || len(got) < 2 && (b.v.v2 || file != "/cgroup.freeze") {
				t.Errorf("%s: owner of %s%s in %v, want %s", what, top, file, got, want)
			}
		}
		return f
	}
	b.Process.User.UID = 1000
	mount("ro")
	b.ownCgroupNamespace()
	owners("read-only", "0", "0")
	mount("nosuid")
	if !b.v.v2 {
		owners("cgroup v1", "0", "0")
		return
	}
	f := owners("writable", "1000", "0")
	equal(t, "a cgroup below it", f.Probes["mkdir:"+top+"/sub"], "ok")
	b.Linux.Namespaces = ids
	own := strings.Fields(b.facts().Probes["stat:"+top+b.v.cgroup(b.id)])
	equal(t, "owner in the host's namespace", own[1], "0")
	b.ownCgroupNamespace()
	b.inUser()
	owners("in a user namespace", "1000", "65534")
	b.Process.User.UID = 0
	owners("root of a user namespace", "0", "65534")
}
