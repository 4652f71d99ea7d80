package specconv

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// setAll sets every field of a struct, so that an encoder cannot leave one out unnoticed.
func setAll(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setAll(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			setAll(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		setAll(v.Index(0))
		setAll(v.Index(1))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"b.c": "2", "a": "1\"\n"}))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no value for a " + v.Kind().String())
	}
}

func TestEncodeFeatures(t *testing.T) {
	full := &features.Features{}
	setAll(reflect.ValueOf(full).Elem())
	for _, f := range []*features.Features{full, {OCIVersionMin: "1.0.0", OCIVersionMax: "1.3.0"}} {
		want, err := json.MarshalIndent(f, "", "    ")
		if err != nil {
			t.Fatal(err)
		}
		if got := EncodeFeatures(f); string(got) != string(want)+"\n" {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// Empty lists mean "none", absent ones "not known" (features.md); encoding/json would drop both.
func TestEncodeFeaturesKeepsEmptyLists(t *testing.T) {
	var back struct {
		Linux struct{ Namespaces []string }
		Hooks []string
	}
	data := EncodeFeatures(&features.Features{Hooks: []string{}, Linux: &features.Linux{}})
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if back.Hooks == nil || back.Linux.Namespaces != nil {
		t.Errorf("hooks %v, namespaces %v in\n%s", back.Hooks, back.Linux.Namespaces, data)
	}
}

func TestFeatures(t *testing.T) {
	f := Features()
	if f.OCIVersionMin == "" || f.OCIVersionMax == "" {
		t.Error("both versions are required")
	}
	for name, list := range map[string][]string{
		"hooks": f.Hooks, "mount options": f.MountOptions, "namespaces": f.Linux.Namespaces, "capabilities": f.Linux.Capabilities,
	} {
		if len(list) == 0 {
			t.Errorf("there are no %s", name)
		}
	}
	if !slices.IsSorted(f.MountOptions) {
		t.Errorf("mount options are not sorted: %q", f.MountOptions)
	}
}

// Both ends of the range that features prints are accepted, later patches of the last version as well, and nothing beyond.
func TestVersionRange(t *testing.T) {
	f := Features()
	next := fmt.Sprintf("%d.%d.", specs.VersionMajor, specs.VersionMinor+1)
	last := fmt.Sprintf("%d.%d.", specs.VersionMajor, specs.VersionMinor)
	for version, want := range map[string]bool{
		f.OCIVersionMin: true, f.OCIVersionMax: true, f.OCIVersionMax + "+dev": true, last + "99": true, last + "1-dev": true,
		f.OCIVersionMin + "-rc1": false, next + "0": false, next + "0-dev": false, "0.9.9": false, "2.0.0": false,
		"1.4294967296.0": false, "1.99999999999999999999.0": false, "11.0.0": false,
	} {
		spec, err := ParseSpec(patch(t, plainConfig(t), `/ociVersion "`+version+`"`))
		check(t, err)
		if err := Validate(spec); (err == nil) != want {
			t.Errorf("%s: %v, want it to be valid: %v", version, err, want)
		}
	}
}
