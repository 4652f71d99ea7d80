package specconv

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

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
