package libct

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"husk/specconv"
)

// What `husk plan` prints is what create executes.
func TestPlanIsTheOneExecuted(t *testing.T) {
	needRoot(t)
	for name, change := range map[string]func(*specs.Spec){
		"default":          func(*specs.Spec) {},
		"without a cgroup": func(*specs.Spec) {},
		"cgroup namespace": func(s *specs.Spec) {
			s.Hostname = ""
			s.Linux.Namespaces = append(s.Linux.Namespaces[:0:0], specs.LinuxNamespace{Type: specs.MountNamespace}, specs.LinuxNamespace{Type: specs.PIDNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		},
		"seccomp": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActErrno}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t)
			r.opts.NoCgroup = name == "without a cgroup"
			bundle := t.TempDir()
			spec := specconv.Example()
			spec.Process.Terminal = false
			spec.Process.Args = []string{"/program"}
			spec.Linux.CgroupsPath = "/husk-libct-" + strconv.Itoa(os.Getpid())
			change(spec)
			writeBundle(t, bundle, spec)
			printed, err := r.Plan(bundle)
			if err != nil {
				t.Fatal(err)
			}
			in, out, err := os.Pipe() // not /dev/null, which would be replaced by the container's
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll([]*os.File{in, out})
			k := &creation{r: r.Runtime, gate: true, o: &CreateOptions{ID: "ID", Bundle: bundle, Stdio: [3]*os.File{in, out, out}}}
			err = k.create(true)
			executed := ""
			if k.plan != nil {
				executed = k.plan.String()
			}
			if k.undo(errors.New("undone")); err != nil {
				t.Fatal(err)
			}
			if printed != executed {
				t.Errorf("printed and executed differ:\n%s", firstDifference(printed, executed))
			}
		})
	}
}

// With systemd the process waits until it has been put into its cgroup, which systemd makes.
func TestPlanWithSystemd(t *testing.T) {
	bundle := t.TempDir()
	spec := specconv.Example()
	writeBundle(t, bundle, spec)
	r, err := New(Options{Root: t.TempDir(), SystemdCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.Plan(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "# /linux/cgroupsPath: "+specconv.GateCgroup+"\n") {
		t.Errorf("no gate for systemd in:\n%.500s", text)
	}
}

func writeBundle(t *testing.T, dir string, spec *specs.Spec) {
	t.Helper()
	data, err := json.Marshal(spec)
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644), os.Mkdir(filepath.Join(dir, "rootfs"), 0o755),
			os.WriteFile(filepath.Join(dir, "rootfs/program"), nil, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}
