package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const ownLabel = "/proc/thread-self/attr/current"

// labels runs the container, then exec with what config.json says, with a process that says nothing, and with another label.
func (b *bundle) labels(change func(*specs.Process), option string) (list [4]string) {
	b.t.Helper()
	b.probe("read:" + ownLabel)
	list[0] = b.facts().Probes["read:"+ownLabel]
	b.detached("wait")
	again := func(args ...string) string {
		f := parseFacts(b.t, b.must(append([]string{"exec"}, args...)...))
		return f.Probes["read:"+ownLabel]
	}
	list[1] = again(b.id, "/inside", "facts", "read:"+ownLabel)
	p := specs.Process{Args: []string{"/inside", "facts", "read:" + ownLabel}, Cwd: "/"}
	list[2] = b.execProcess(&p).Probes["read:"+ownLabel]
	change(&p)
	list[3] = b.execProcess(&p).Probes["read:"+ownLabel]
	if by := again(option, b.id, "/inside", "facts", "read:"+ownLabel); by != list[3] {
		b.t.Errorf("%s: %q, by process.json %q", option, by, list[3])
	}
	b.must("delete", "--force", b.id)
	return list
}

func TestAppArmor(t *testing.T) {
	if on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || on[0] != 'Y' {
		t.Skip("AppArmor is not enabled")
	}
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("no apparmor_parser to load a profile with")
	}
	profile := func(flag, name string) {
		t.Helper()
		cmd := exec.Command(parser, "--skip-cache", flag)
		cmd.Stdin = strings.NewReader("profile " + name + " flags=(attach_disconnected) { file, network, capability, mount, umount, signal, ptrace, deny /etc/secret r, }\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	one, other := env.name+"-one", env.name+"-other"
	for _, name := range []string{one, other} {
		profile("--replace", name)
		t.Cleanup(func() { profile("--remove", name) })
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, user := range []bool{false, true} {
			b := newBundle(t, v)
			if user {
				b.inUser()
			}
			b.Process.ApparmorProfile = one
			got := b.labels(func(p *specs.Process) { p.ApparmorProfile = other }, "--apparmor="+other)
			inOne := one + " (enforce)\n"
			equal(t, "run, exec, exec of a process, exec with another profile", got, [4]string{inOne, inOne, inOne, other + " (enforce)\n"})
		}
		b := newBundle(t, v)
		b.Process.ApparmorProfile = one
		b.write("rootfs/etc/secret", "x")
		b.probe("read:/etc/secret", "read:/proc/version")
		f := b.facts()
		equal(t, "what the profile denies", f.Probes["read:/etc/secret"], "EACCES")

		b.Process.ApparmorProfile = env.name + "-missing"
		b.save()
		b.fails(1, `/process/apparmorProfile: set the AppArmor profile "`+env.name+`-missing": no such file or directory (no such profile is loaded: apparmor_parser(8))`, "run", "--bundle", b.dir, b.id)
	})
}

// giveFiles labels all files of the bundle; those made later take the label of their directory.
func (b *bundle) giveFiles(label string) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.Lsetxattr(name, "security.selinux", []byte(label), 0)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestSELinux(t *testing.T) {
	if !hasFile("/sys/fs/selinux/enforce") {
		t.Skip("SELinux is not enabled")
	}
	const one, other = "system_u:system_r:container_t:s0:c1,c2", "system_u:system_r:container_t:s0:c3"
	if err := os.WriteFile("/sys/fs/selinux/context", []byte(one), 0); err != nil {
		t.Skip("the policy has no container_t: ", err)
	}
	eachView(t, func(t *testing.T, v *view) {
		for _, user := range []bool{false, true} {
			b := newBundle(t, v)
			if user {
				b.inUser()
			}
			b.giveFiles("system_u:object_r:container_file_t:s0")
			b.Process.SelinuxLabel = one
			got := b.labels(func(p *specs.Process) { p.SelinuxLabel = other }, "--process-label="+other)
			for i := range got {
				got[i] = strings.TrimRight(got[i], "\x00\n")
			}
			equal(t, "run, exec, exec of a process, exec with another label", got, [4]string{one, one, one, other})
		}
		b := newBundle(t, v)
		b.giveFiles("system_u:object_r:container_file_t:s0")
		const files = "system_u:object_r:container_file_t:s0:c1"
		b.Process.SelinuxLabel, b.Linux.MountLabel = one, files
		f := b.facts()
		for _, point := range []string{"/dev", "/dev/pts", "/dev/shm"} {
			includes(t, "options of "+point, f.mount(point).super, "context="+files)
		}

		for pointer, change := range map[string]func(*bundle){
			"/process/selinuxLabel": func(b *bundle) { b.Process.SelinuxLabel = "system_u:system_r:nothing_t:s0" },
			"/linux/mountLabel":     func(b *bundle) { b.Linux.MountLabel = "system_u:object_r:nothing_t:s0" },
		} {
			b := newBundle(t, v)
			b.giveFiles("system_u:object_r:container_file_t:s0")
			change(b)
			b.save()
			b.fails(1, pointer, "run", "--bundle", b.dir, b.id)
		}
	})
}

// A label for mounts that nobody would look at is left out, and not in silence.
func TestMountLabelWithoutSELinux(t *testing.T) {
	if hasFile("/sys/fs/selinux/enforce") {
		t.Skip("SELinux is enabled")
	}
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
		r := b.run()
		if r.status != 0 || !strings.Contains(r.stderr, "/linux/mountLabel") || !strings.Contains(r.stderr, "SELinux is not enabled") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("run: status %d, stderr %q; want one warning", r.status, r.stderr)
		}
	})
}
