package security

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"husk/tests/internal/harness"
)

// link replaces a name in a root file system by a symbolic link.
func link(b *harness.Box, bundle, name, to string) {
	b.T.Helper()
	path := filepath.Join(bundle, "rootfs", name)
	try(b.T, os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path))
}

// upwards is a relative way from anywhere in a root file system to a path of the host.
func upwards(path string) string { return strings.Repeat("../", 20) + path[1:] }

const (
	noDev  = "/mounts/2\n/mounts/1" // nothing is mounted on /dev: it is the image's
	noProc = "/mounts/0\n/linux/maskedPaths\n/linux/readonlyPaths"
)

// CVE-2019-18837, CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2024-5154: links in the image lead nowhere out of it.
func TestLinksToTheHost(t *testing.T) {
	for _, c := range []struct{ name, changes, link string }{
		{"mount point", `/mounts/- {"destination": "/data/link/new", "type": "tmpfs", "source": "tmpfs"}`, "data/link"},
		{"mount point of a file", `/mounts/- {"destination": "/data/link/new", "source": "/etc/passwd", "options": ["bind"]}`, "data/link"},
		{"mount point itself", `/mounts/- {"destination": "/data/link", "type": "tmpfs", "source": "tmpfs"}`, "data/link"},
		{"copied up", `/mounts/- {"destination": "/data/link", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}`, "data/link"},
		{"devices", noDev, "dev"},
		{"device directory", `/linux/devices [{"path": "/data/link/new", "type": "c", "major": 1, "minor": 3}]`, "data/link"},
		{"device", `/linux/devices [{"path": "/data/link", "type": "c", "major": 1, "minor": 3, "uid": 1000, "gid": 1000}]`, "data/link"},
		{"cwd", `/process/cwd "/data/link/new"`, "data/link"},
		{"mask", `/linux/maskedPaths ["/data/link", "/proc/kcore"]`, "data/link"},
		{"read-only path", `/linux/readonlyPaths ["/data/link"]`, "data/link"},
		{"sysfs", "", "sys"},
		{"procfs", "", "proc"},
		{"sysctl by procfs", `/linux/sysctl {"net.ipv4.ip_forward": "1"}`, "proc"},
		{"oom score by procfs", `/process/oomScoreAdj 500`, "proc"},
		{"oom score without procfs", noProc + "\n/process/oomScoreAdj 500", "proc"},
		{"cgroups", `/mounts/- {"destination": "/data/link", "type": "cgroup", "source": "cgroup", "options": ["ro"]}`, "data/link"},
		{"null", noDev, "dev/null"},
		{"ptmx", noDev, "dev/ptmx"},
		{"console", noDev + `
/mounts/- {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}
/process/terminal true`, "dev/console"},
	} {
		for way, to := range map[string]func(string) string{"absolute": func(s string) string { return s }, "relative": upwards} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				b := newBox(t)
				dir, look := outside(b)
				target := dir
				switch base := filepath.Base(c.link); base {
				case "null", "ptmx", "console":
					target = filepath.Join(dir, base)
				}
				bundle := b.Bundle(c.changes)
				link(b, bundle, c.link, to(target))
				before := look()
				options := []string{"--bundle", bundle}
				if strings.Contains(c.changes, "terminal") {
					l, err := net.Listen("unix", b.Dir+"/console")
					try(t, err)
					defer l.Close()
					options = append(options, "--console-socket", b.Dir+"/console")
				}
				if res := b.Husk(append(append([]string{"create"}, options...), "c")...); res.Code == 0 {
					b.Husk("start", "c")
				}
				b.Husk("delete", "--force", "c")
				untouched(t, before, look)
			})
		}
	}
}

// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: procfs and sysfs go to directories, not where links lead.
func TestLinkedProc(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(`/process/args ["/bin/cat", "/proc/mounts"]`)
			link(b, bundle, name, "data")
			if res := run(b, bundle); res.Code == 0 {
				t.Errorf("it works: %s", res.Out)
			}
		})
	}
}

// CVE-2019-16884: no directory of the image's takes the place of procfs before labels and limits are written.
func TestVolumeOnProc(t *testing.T) {
	for name, changes := range map[string]string{
		"in place of procfs": "/mounts/0\n/linux/maskedPaths\n/linux/readonlyPaths\n" + `/mounts/- {"destination": "/proc", "source": "${box}/outside", "options": ["bind"]}`,
		"over procfs":        `/mounts/- {"destination": "/proc", "source": "${box}/outside", "options": ["bind"]}`,
		"below procfs":       `/mounts/- {"destination": "/proc/self", "source": "${box}/outside", "options": ["bind"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			_, look := outside(b)
			before := look()
			if res := run(b, b.Bundle(changes, `/process/oomScoreAdj 500`)); res.Code == 0 {
				t.Error("it works")
			}
			untouched(t, before, look)
		})
	}
}

// CVE-2025-31133: what hides files is the host's /dev/null, and not what the image has put in that place.
func TestMaskWithTheImagesNull(t *testing.T) {
	const script = `wc -c </proc/kcore 2>/dev/nothing || cat /proc/kcore | wc -c; grep -c core_pattern /proc/self/mountinfo; (echo x >/proc/kcore) 2>/dev/full; true`
	for _, to := range []string{"/proc/sys/kernel/core_pattern", "/proc/self/status", "/etc/passwd", "nothing"} {
		t.Run(to, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(noDev, shell(script))
			link(b, bundle, "dev/null", to)
			res := run(b, bundle)
			if res.Code != 0 {
				return // refused
			}
			if !strings.HasPrefix(res.Out, "0\n0") {
				t.Errorf("what is seen of a masked file: %q", res.Out)
			}
		})
	}
}

// CVE-2025-31133 again: masks hold in a plain container, and can't be removed with the capabilities of one.
func TestMasks(t *testing.T) {
	b := newBox(t)
	res := run(b, b.Bundle(shell(`cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; for p in /proc/kcore /sys/firmware /proc/sys; do umount $p 2>/dev/null && echo removed $p; (echo 0 >$p) 2>/dev/null; done; (echo 1 >/proc/sys/kernel/core_pattern) 2>/dev/null && echo written; (echo h >/proc/sysrq-trigger) 2>/dev/null && echo pulled; true`)))
	want(t, res, "0\n0")
}

// CVE-2026-88265: a standard stream on /dev/null is not reopened on, and not given to the user by, what the image calls null.
func TestNullStreams(t *testing.T) {
	b := newBox(t)
	dir, look := outside(b)
	var null os.FileInfo
	null, err := os.Stat("/dev/null")
	try(t, err)
	bundle := b.Bundle(noDev, `/process/args ["/bin/echo", "written by the container"]`, `/process/user {"uid": 1000, "gid": 1000}`,
		`/mounts/- {"destination": "/data", "source": "`+dir+`", "options": ["bind"]}`)
	link(b, bundle, "dev/null", "/data/secret")
	before := look()
	cmd := exec.Command(b.Binary, "--root", b.Root, "run", "--bundle", bundle, "c")
	cmd.Run() // all three streams are /dev/null
	b.Husk("delete", "--force", "c")
	untouched(t, before, look)
	now, err := os.Stat("/dev/null")
	try(t, err)
	if now.Mode() != null.Mode() || !os.SameFile(now, null) {
		t.Errorf("/dev/null was %v, is %v", null, now)
	}
}

// A regular file that is a stream stays its owner's, as does the host's /dev/null.
func TestStreamOwner(t *testing.T) {
	b := newBox(t)
	out := b.Write("out", "", 0o644)
	file, err := os.OpenFile(out, os.O_WRONLY, 0)
	try(t, err)
	defer file.Close()
	bundle := b.Bundle(`/process/args ["/bin/true"]`, `/process/user {"uid": 1000, "gid": 1000}`)
	cmd := exec.Command(b.Binary, "--root", b.Root, "run", "--bundle", bundle, "c")
	cmd.Stdout = file
	try(t, cmd.Run())
	for _, name := range []string{out, "/dev/null"} {
		text, err := exec.Command("stat", "-c", "%u:%g", name).Output()
		if err != nil || strings.TrimSpace(string(text)) != "0:0" {
			t.Errorf("%s belongs to %s %v", name, text, err)
		}
	}
}

// CVE-2026-115521: the root is read-only, whatever the image has at /proc/self/fd.
func TestReadOnlyRoot(t *testing.T) {
	b := newBox(t)
	bundle := b.Bundle(noProc, "/root/readonly true", shell(`(echo x >/new) 2>/dev/null && echo written; mkdir /dir 2>/dev/null && echo made; true`))
	for n := range 64 {
		link(b, bundle, "proc/self/fd/"+strconv.Itoa(n), "/data")
		link(b, bundle, "proc/thread-self/fd/"+strconv.Itoa(n), "/data")
	}
	want(t, run(b, bundle), "")
}

// CVE-2023-25809: cgroups that are mounted read-only can't be changed, with and without a cgroup namespace.
func TestReadOnlyCgroups(t *testing.T) {
	for name, changes := range map[string]string{"with namespace": "", "without namespace": "/linux/namespaces/5"} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			bundle := b.Bundle(changes, `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]}`,
				shell(`cd /sys/fs/cgroup; for d in . *; do mkdir $d/new 2>/dev/null && echo made $d/new; (echo $$ >$d/cgroup.procs) 2>/dev/null && echo written $d; done; ls | wc -l | grep -qx 0 && echo empty; true`))
			want(t, run(b, bundle), "")
		})
	}
}

// CVE-2021-43784: paths of any length are data, never syntax.
func TestLongMounts(t *testing.T) {
	b := newBox(t)
	var changes []string
	for n := range 300 {
		changes = append(changes, `/mounts/- {"destination": "/data/`+strings.Repeat("d", 200)+strconv.Itoa(n)+`/`+strings.Repeat("e", 240)+`", "type": "tmpfs", "source": "tmpfs"}`)
	}
	long := "/data"
	for len(long) < 3500 {
		long += "/" + strings.Repeat("f", 250)
	}
	changes = append(changes, `/mounts/- {"destination": "`+long+`", "type": "tmpfs", "source": "tmpfs"}`, `/process/args ["/bin/sh", "-c", "id -u; grep -c /data /proc/mounts"]`)
	if out := strings.TrimSpace(run(b, b.Bundle(changes...)).Out); out != "0\n301" {
		t.Errorf("%q", out)
	}
}

// CVE-2022-0811, CVE-2023-6476: one value is one setting.
func TestInjection(t *testing.T) {
	host := func() string {
		var all string
		for _, name := range []string{"kernel/core_pattern", "kernel/shm_rmid_forced", "kernel/domainname", "net/ipv4/ip_forward"} {
			text, _ := os.ReadFile("/proc/sys/" + name)
			all += string(text)
		}
		return all
	}
	before := host()
	for _, change := range []string{
		`/linux/sysctl {"net.ipv4.ip_forward": "1+kernel.core_pattern=|/evil"}`,
		`/linux/sysctl {"net.ipv4.ip_forward": "1\nkernel.core_pattern=|/evil"}`,
		`/linux/sysctl {"net/ipv4/../../kernel/core_pattern": "|/evil"}`,
		`/linux/sysctl {"net.ipv4.ip_forward=1\nkernel.core_pattern": "|/evil"}`,
		`/linux/sysctl {"kernel/core_pattern": "|/evil"}`,
		`/linux/sysctl {"net": "1"}`,
		`/linux/sysctl {"/kernel/core_pattern": "1"}`,
		`/linux/sysctl {"fs/mqueue/../../kernel/core_pattern": "1"}`,
		`/linux/resources/unified {"../../cgroup.procs": "0"}`,
		`/linux/resources/unified {"memory.high\ncgroup.procs": "0"}`,
		`/linux/resources/unified {"cgroup.procs": "1"}`,
		`/linux/resources/unified {"cgroup.threads": "1"}`,
		`/linux/resources/hugepageLimits [{"pageSize": "../../cgroup.procs\u0000MB", "limit": 1}]`,
		`/linux/resources/rdma {"mlx 4\n": {"hcaHandles": 1}}`,
		`/linux/cgroupsPath "/../../../../tmp/evil"`,
	} {
		t.Run(change, func(t *testing.T) {
			b := newBox(t)
			if res := run(b, b.Bundle(change)); res.Code == 0 && !strings.Contains(change, `"1\n`) { // a line too many may be ignored
				t.Error("it works")
			}
		})
	}
	if now := host(); now != before {
		t.Errorf("sysctls of the host were %q, are %q", before, now)
	}
}

// CVE-2024-3154, CVE-2026-94603: annotations are notes.
func TestAnnotations(t *testing.T) {
	b := newBox(t)
	evil := filepath.Join(b.Dir, "evil")
	const look = `/process/args ["/bin/grep", "-E", "Cap|NoNew|Seccomp:|Uid|Groups", "/proc/self/status"]` + "\n" + `/hooks {"prestart": [{"path": "/bin/echo", "args": ["echo", "said"]}]}`
	plain := run(b, b.Bundle(look))
	res := run(b, b.Bundle(look, `/annotations { "org.systemd.property.ExecStartPre": "[('/bin/touch', ['/bin/touch', '`+evil+`'], false)]", "org.systemd.property.CollectMode": "'bogus'", "run.oci.hooks.stdout": "`+evil+`", "run.oci.hooks.stderr": "`+evil+`", "run.oci.systemd.subgroup": "../..", "run.oci.systemd.force_cgroup_v1": "/", "run.oci.seccomp.plugins": "`+evil+`", "run.oci.seccomp.receiver": "`+evil+`", "io.podman.annotations.privileged": "TRUE", "module.wasm.image/variant": "compat", "org.criu.config": "`+evil+`"}`))
	if plain.Code != 0 || res.Code != 0 || plain.Out != res.Out {
		t.Errorf("with annotations: %d %s%s, without: %d %s%s", res.Code, res.Out, res.Err, plain.Code, plain.Out, plain.Err)
	}
	for annotation, words := range map[string]string{
		`"run.oci.delegate-cgroup": "../../.."`:          "/annotations/run.oci.delegate-cgroup: ",
		`"run.oci.handler": "krun"`:                      "/annotations/run.oci.handler: ",
		`"run.oci.seccomp_bpf_data": "AAAA"`:             "/annotations/run.oci.seccomp_bpf_data: ",
		`"run.oci.mount_context_type": "x"`:              "/annotations/run.oci.mount_context_type: ",
		`"run.oci.pidfd_receiver": "` + evil + `"`:       "send the pidfd: connect to socket ",
		`"run.oci.pidfd_receiver": "../../etc/passwd"`:   "/annotations/run.oci.pidfd_receiver: ",
		`"run.oci.seccomp.receiver": "../../etc/passwd"`: "/annotations/run.oci.seccomp.receiver: ",
	} {
		if res := run(b, b.Bundle(look, "/annotations {"+annotation+"}")); res.Code != 1 || !strings.Contains(res.Err, words) {
			t.Errorf("%s: %d %s%s, want %q", annotation, res.Code, res.Out, res.Err, words)
		}
	}
	if _, err := os.Lstat(evil); err == nil {
		t.Error("a file was made")
	}
}
