package seccomp_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/seccomp"
	"husk/seccomp/internal/wire"
)

// full returns a profile in which nothing is zero.
func full() *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{}
	fill(reflect.ValueOf(p).Elem(), new(int))
	return p
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)))
	case reflect.Uint, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic("a new kind of field: " + v.Type().String())
	}
}

// changes calls f for every way to change one thing in v, and undoes it.
func changes(v reflect.Value, at string, f func(at string)) {
	old := reflect.ValueOf(v.Interface())
	try := func(what string, to reflect.Value) {
		v.Set(to)
		f(at + what)
		v.Set(old)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			changes(v.Field(i), at+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Slice:
		try(" nil", reflect.Zero(v.Type()))
		try(" empty", reflect.MakeSlice(v.Type(), 0, 0))
		try(" shorter", v.Slice(0, 1))
		try(" longer", reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, 4), reflect.AppendSlice(v.Slice(0, 2), v.Slice(0, 1))))
		for i := range v.Len() {
			changes(v.Index(i), at+"[]", f)
		}
	case reflect.Pointer:
		try(" nil", reflect.Zero(v.Type()))
		changes(v.Elem(), at, f)
	case reflect.String:
		try(" empty", reflect.Zero(v.Type()))
		try(" other", reflect.ValueOf(v.String()+"x").Convert(v.Type()))
	default:
		try(" other", reflect.ValueOf(v.Uint()+1000).Convert(v.Type()))
		try(" high", reflect.ValueOf(v.Uint()|1<<63).Convert(v.Type()))
	}
}

// Every field, at every depth, is in the key, and no two changes give the same,
// but for what the filter does not depend on: who serves its listener.
func TestKeyHoldsEveryField(t *testing.T) {
	p := full()
	seen := map[seccomp.CacheKey]string{seccomp.Key(p): "unchanged"}
	sums := map[string]bool{seccomp.Key(p).File(): true}
	changes(reflect.ValueOf(p).Elem(), "", func(at string) {
		key := seccomp.Key(p)
		if strings.HasPrefix(at, ".Listener") {
			if seen[key] != "unchanged" {
				t.Errorf("%s has another key", at)
			}
			return
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", at, other)
		}
		if sums[key.File()] {
			t.Errorf("%s has the file of another", at)
		}
		seen[key], sums[key.File()] = at, true
	})
	if seen[seccomp.Key(p)] != "unchanged" {
		t.Error("the key of the same profile isn't the same")
	}
	t.Logf("%d changes", len(seen)-1)
}

func TestKeySeparatesStrings(t *testing.T) {
	keys := map[seccomp.CacheKey]bool{}
	for _, names := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}} {
		keys[seccomp.Key(&specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{Names: names}}})] = true
	}
	if len(keys) != 5 {
		t.Errorf("5 profiles have %d keys", len(keys))
	}
}

// What the compiler decodes is what was encoded.
func TestProfileRoundTrip(t *testing.T) {
	p := full()
	p.ListenerPath, p.ListenerMetadata = "", ""
	for _, p := range []*specs.LinuxSeccomp{{}, p, docker(t), {Flags: []specs.LinuxSeccompFlag{}}} {
		record := wire.AppendProfile(nil, p)
		got, err := wire.ParseProfile(record)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, p)
		}
		for n := range min(len(record), 2000) {
			if _, err := wire.ParseProfile(record[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(record))
			}
		}
		if _, err := wire.ParseProfile(append(slices.Clip(record), 0)); err == nil {
			t.Error("a byte too much decodes")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(wire.AppendProfile(nil, full()))
	f.Add(wire.AppendReply(nil, &wire.Reply{Err: "e", Newest: []wire.Newest{{Arch: "a", Number: 1}}, Skipped: []string{"s"}}))
	f.Fuzz(func(t *testing.T, record []byte) {
		if p, err := wire.ParseProfile(record); err == nil {
			// An optional value may be announced by any byte but 0.
			if again, err := wire.ParseProfile(wire.AppendProfile(nil, p)); err != nil || !reflect.DeepEqual(p, again) {
				t.Errorf("%+v became %+v, %v", p, again, err)
			}
		}
		wire.ParseReply(record)
		wire.ParseFilter(record)
	})
}
