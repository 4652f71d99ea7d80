package specconv

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func examples() map[string]*specs.Spec {
	unified, rootless, both := Example(), Example(), Example()
	AddCgroupNamespace(unified)
	MakeRootless(rootless, 1000, 100)
	AddCgroupNamespace(both)
	MakeRootless(both, 4294967294, 0)
	return map[string]*specs.Spec{"plain": Example(), "unified": unified, "rootless": rootless, "both": both}
}

// What the small encoder leaves out or misspells shows in the comparison with the one that knows every member.
func TestEncodeExample(t *testing.T) {
	for name, spec := range examples() {
		want, err := json.MarshalIndent(spec, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		got := EncodeExample(spec)
		if string(got) != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
		back, err := ParseSpec(got)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(back, spec) {
			t.Errorf("%s: reading back gives another configuration", name)
		}
	}
}

func TestMakeRootless(t *testing.T) {
	spec := Example()
	MakeRootless(spec, 1000, 100)
	hasNS := func(want specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == want })
	}
	if hasNS(specs.NetworkNamespace) || !hasNS(specs.UserNamespace) {
		t.Errorf("namespaces %v", spec.Linux.Namespaces)
	}
	if spec.Linux.Resources != nil {
		t.Error("resources are left")
	}
	for _, mount := range spec.Mounts {
		if slices.Contains(mount.Options, "gid=5") {
			t.Errorf("mount %s keeps gid=5", mount.Destination)
		}
		if mount.Destination == "/sys" && (mount.Source != "/sys" || !slices.Contains(mount.Options, "rbind")) {
			t.Errorf("sysfs: %+v", mount)
		}
	}
	if !slices.Contains(Example().Mounts[2].Options, "gid=5") {
		t.Error("changing one example changed the next")
	}
}
