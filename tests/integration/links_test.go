package integration

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// linked makes links on the host and in the rootfs, and files beside them.
func linked(b *bundle) {
	b.t.Helper()
	b.makeDirs("src", "rootfs/real")
	b.write("src/file", "of the host")
	b.write("rootfs/real/file", "of the rootfs")
	for name, target := range map[string]string{"src/link": "file", "src/broken": "/no/such", "rootfs/real/link": "file", "rootfs/real/other": "elsewhere"} {
		if err := os.Symlink(target, b.path(name)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.own("rootfs/real")
}

// crun's words about bind mounts whose source or destination is a link.
func TestBindLinks(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for _, s := range v.settings() {
			t.Run(s.name, func(t *testing.T) {
				b := s.make(t, v)
				linked(b)
				bind := func(to, from, option string) {
					b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: to, Source: from, Options: []string{"bind", option}})
				}
				bind("/real/link", b.path("src/link"), "src-nofollow")        // follows at the destination: a link over the file
				bind("/real/other", b.path("src/file"), "dest-nofollow")      // a file over a link
				bind("/new/way/copied", b.path("src/broken"), "copy-symlink") // a link that leads nowhere
				bind("/real/same", b.path("src/link"), "copy-symlink")        // one that leads somewhere else in the container
				bind("/plain", b.path("src/file"), "copy-symlink")            // no link at all
				bind("/rooted", b.path("rootfs/real/link"), "copy-symlink")   // a link of the rootfs
				bind("/dev/copied", b.path("src/broken"), "copy-symlink")     // in a file system of the container
				pid := b.detached("wait")
				f := b.look(nil)
				for name, want := range map[string]string{
					"/new/way/copied": "/no/such", "/real/same": "file", "/rooted": "file", "/dev/copied": "/no/such",
				} {
					got, err := os.Readlink("/proc/" + itoa(pid) + "/root" + name)
					if err != nil || got != want {
						t.Errorf("%s leads to %q, %v; want %q", name, got, err, want)
					}
				}
				equal(t, "source of /plain", f.mount("/plain").root != "", true)
				equal(t, "a mount in the place of a copied link", f.mount("/new/way/copied").point, "")
				equal(t, "/real/file is covered by a link", strings.HasSuffix(f.mount("/real/file").root, "/src/link"), true)
				equal(t, "/real/other is covered", strings.HasSuffix(f.mount("/real/other").root, "/src/file"), true)
				b.must("delete", "--force", b.id)
			})
		}
	})
}

func TestBindLinksRefused(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		for words, m := range map[string]specs.Mount{
			`make the symbolic link "/real/other" to "file": file exists`:                     {Destination: "/real/other", Source: "src/link", Options: []string{"bind", "copy-symlink"}},
			`open mount point "/missing": no such file or directory`:                          {Destination: "/missing", Source: "src/file", Options: []string{"bind", "dest-nofollow"}},
			"/options: copy-symlink does not go together with src-nofollow and dest-nofollow": {Destination: "/real/file", Source: "src/link", Options: []string{"bind", "copy-symlink", "src-nofollow"}},
			"/options: copy-symlink, src-nofollow and dest-nofollow are for bind mounts":      {Destination: "/real", Type: "tmpfs", Options: []string{"dest-nofollow"}},
			"check that the place is not in procfs":                                           {Destination: "/proc/self", Source: "src/file", Options: []string{"bind", "dest-nofollow"}},
			`open source "src/none": no such file or directory`:                               {Destination: "/real/file", Source: "src/none", Options: []string{"bind", "src-nofollow"}},
			`open source "src/none": no such file or directory (config.md`:                    {Destination: "/real/file", Source: "src/none", Options: []string{"bind", "copy-symlink"}},
		} {
			b := newBundle(t, v)
			linked(b)
			b.Spec.Mounts = append(b.Spec.Mounts, m)
			if r := b.run(); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, strings.TrimSuffix(words, " (config.md")) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("run: status %d, %s; want %q", r.status, r.stderr, words)
			}
		}
	})
}
