// Package security runs the attacks of published vulnerabilities of container runtimes, and some that never got a number,
// against the built program. See README.md for what each test stands for and which old runtime fails it.
package security

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/tests/internal/harness"
)

const insideEnv = "HUSK_TEST_INSIDE" // which of the inside programs this process is

// TestMain: this program is also what runs in containers where a shell does not do.
func TestMain(m *testing.M) {
	if name := os.Getenv(insideEnv); name != "" {
		insides[name]()
		return
	}
	harness.Main(m)
}

// newBox is a box for husk, or for the runtime in $RUNTIME_OLD, with global options behind it: to see that a test bites.
func newBox(t *testing.T) *harness.Box {
	b := harness.New(t)
	if old := strings.Fields(os.Getenv("RUNTIME_OLD")); len(old) > 0 {
		b.Binary, b.Globals = old[0], old[1:]
	}
	return b
}

// shell is the change that makes the program a shell script, with CAP_SYS_ADMIN and the like left out.
func shell(script string) string {
	return fmt.Sprintf("/process/args [\"/bin/sh\", \"-c\", %q]", script)
}

// helper puts this program into a root file system.
func helper(b *harness.Box, bundle string) {
	b.T.Helper()
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		b.T.Fatal(err)
	}
	defer file.Close()
	if file.Section(".interp") != nil {
		b.T.Skip("needs a static test program: CGO_ENABLED=0")
	}
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		b.T.Fatal(err)
	}
	b.Write(filepath.Join(bundle, "rootfs/helper"), string(data), 0o755)
}

// run runs a container to its end and removes what is left of it.
func run(b *harness.Box, bundle string, options ...string) harness.Result {
	b.T.Helper()
	res := b.Husk(append(append([]string{"run", "--bundle", bundle}, options...), "c")...)
	b.Husk("delete", "--force", "c")
	return res
}

// detached starts a container that sleeps.
func detached(b *harness.Box, bundle string) {
	b.T.Helper()
	b.Must("run", "--detach", "--bundle", bundle, "c")
	b.T.Cleanup(func() { b.Husk("delete", "--force", "c") })
}

const sleeps = `/process/args ["/bin/sleep", "1000"]`

// want fails unless the output of a command is this.
func want(t *testing.T, res harness.Result, out string) {
	t.Helper()
	if res.Code != 0 || strings.TrimSpace(res.Out) != out {
		t.Errorf("exit status %d, output %q (%s), want %q", res.Code, res.Out, strings.TrimSpace(res.Err), out)
	}
}

// try fails the test at the first error.
func try(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// outside is a directory of the host that no container may touch. The result of the function must stay the same.
func outside(b *harness.Box) (dir string, look func() string) {
	dir = filepath.Join(b.Dir, "outside")
	try(b.T, os.MkdirAll(filepath.Join(dir, "sys/net/ipv4"), 0o755), os.MkdirAll(filepath.Join(dir, "self"), 0o755))
	for _, name := range []string{"ptmx", "null", "secret", "sys/net/ipv4/ip_forward", "self/oom_score_adj"} {
		b.Write(filepath.Join(dir, name), "of the host\n", 0o644)
	}
	return dir, func() string {
		var list strings.Builder
		filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			unix.Lstat(path, &st)
			fmt.Fprintf(&list, "%s %o %d:%d %d %d\n", path, st.Mode, st.Uid, st.Gid, st.Rdev, st.Ino)
			if info.Mode().IsRegular() {
				text, _ := os.ReadFile(path)
				list.Write(text)
			}
			return nil
		})
		return list.String()
	}
}

// untouched fails unless the outside is as it was.
func untouched(t testing.TB, before string, look func() string) {
	t.Helper()
	if now := look(); now != before {
		t.Errorf("files of the host have changed:\n%s\nwere:\n%s", now, before)
	}
}
