package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Propagation: what the words say, what mountinfo shows, and which mounts get through.
func TestPropagation(t *testing.T) {
	words := map[string]string{
		"private": "", "rprivate": "", "slave": "master", "rslave": "master", "shared": "shared", "rshared": "shared",
		"unbindable": "unbindable", "runbindable": "unbindable",
	}
	eachView(t, func(t *testing.T, v *view) {
		for word, want := range words {
			t.Run(word, func(t *testing.T) {
				b := newBundle(t, v)
				from := source(b, "source", softBits, "host", "container")
				b.Spec.Mounts = append(b.Spec.Mounts,
					specs.Mount{Destination: "/bound", Source: from, Type: "bind", Options: []string{"rbind", word}},
					specs.Mount{Destination: "/new", Source: "tmpfs", Type: "tmpfs", Options: []string{word}})
				b.detached("wait")
				pid := b.state().Pid
				err := v.do(func() error { return unix.Mount("tmpfs", from+"/host", "tmpfs", 0, "") })
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "mountinfo"))
				if err != nil {
					t.Fatal(err)
				}
				f := &facts{Mountinfo: string(data)}
				for _, point := range []string{"/bound", "/new"} {
					got := strings.Join(f.mount(point).optional, " ")
					wanted := want
					if point == "/new" && want == "master" { // there is nobody to be a slave of
						wanted = ""
					}
					if before, _, _ := strings.Cut(got, ":"); before != wanted {
						t.Errorf("%s is %q, want %q", point, got, wanted)
					}
				}
				through := want == "master" || want == "shared"
				equal(t, "a mount of the host gets through", f.mount("/bound/host").point != "", through)
				b.must("delete", "--force", b.id)
				if err := v.do(func() error { return unix.Unmount(from+"/host", unix.MNT_DETACH) }); err != nil {
					t.Fatal(err)
				}
			})
		}
		for word, want := range map[string]string{"": "master", "private": "", "slave": "master", "rslave": "master", "rprivate": "", "unbindable": "unbindable", "shared": "shared", "rshared": "shared"} {
			t.Run("rootfs "+word, func(t *testing.T) {
				b := newBundle(t, v)
				b.Linux.RootfsPropagation = word
				f := b.facts()
				var kinds []string
				for _, field := range f.mount("/").optional {
					kind, _, _ := strings.Cut(field, ":")
					kinds = append(kinds, kind)
				}
				equal(t, "propagation of the root", strings.Join(kinds, " "), want)
			})
		}
	})
}

// A bind mount that is shared, in a container whose root is, is one with its source: each side sees what the other mounts there, as with
// Docker's volumes with :rshared and the mountPropagation Bidirectional of Kubernetes. In all other cases the host sees nothing.
func TestPropagationToHost(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "in a user namespace the host's mounts are never shared with it (mount_namespaces(7))")
		for _, root := range []string{"", "private", "slave", "rslave", "shared", "rshared"} {
			for _, word := range []string{"", "rprivate", "rslave", "shared", "rshared"} {
				t.Run(root+","+word, func(t *testing.T) {
					b := newBundle(t, v)
					powerful(b)
					from := source(b, "source", softBits, "below", "in")
					if err := v.do(func() error { return unix.Mount("", from, "", unix.MS_SHARED|unix.MS_REC, "") }); err != nil {
						t.Fatal(err)
					}
					b.Linux.RootfsPropagation = root
					b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/bound", Source: from, Options: append([]string{"rbind"}, strings.Fields(word)...)})
					b.probe("mount:/bound/in")
					equal(t, "mount in the container", b.facts().Probes["mount:/bound/in"], "ok")
					both := strings.HasSuffix(root, "shared") && strings.HasSuffix(word, "shared")
					equal(t, "it appears on the host", v.mount(from+"/in").point != "", both)
				})
			}
		}
	})
}
