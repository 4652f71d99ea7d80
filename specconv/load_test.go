package specconv

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
)

// documents returns the JSON files of testdata and of the directory named by
// HUSK_ENGINE_CALLS (recorded calls of engines) whose name begins with prefix.
func documents(t testing.TB, prefix string) map[string][]byte {
	t.Helper()
	dirs := []string{"testdata"}
	if dir := os.Getenv("HUSK_ENGINE_CALLS"); dir != "" {
		dirs = append(dirs, dir)
	} else {
		t.Log("HUSK_ENGINE_CALLS is not set: skipping the documents recorded from engines")
	}
	found := make(map[string][]byte)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || filepath.Ext(path) != ".json" {
				return err
			}
			found[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func same[T any](t *testing.T, prefix string, parse func([]byte) (*T, error)) {
	docs := documents(t, prefix)
	if len(docs) == 0 {
		t.Fatalf("no document %s*.json", prefix)
	}
	for path, data := range docs {
		want := new(T)
		if err := json.Unmarshal(data, want); err != nil {
			t.Fatal(path, err)
		}
		got, err := parse(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", path, err, got, want)
		}
	}
}

// TestLikeEncodingJSON checks that the generated decoder gives exactly what
// encoding/json makes of the struct tags.
func TestLikeEncodingJSON(t *testing.T) {
	same(t, "config", ParseSpec)
	same(t, "process", ParseProcess)
	same(t, "resources", ParseResources)
}

func TestEveryField(t *testing.T) {
	// What encoding/json writes for a Spec with every field set must read back.
	want := &specs.Spec{}
	fill(reflect.ValueOf(want).Elem(), 0)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	want.Solaris, want.Windows, want.VM, want.ZOS, want.FreeBSD = new(specs.Solaris), new(specs.Windows), new(specs.VM), new(specs.ZOS), new(specs.FreeBSD)
	got, err := ParseSpec(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

// fill sets every field below v to a value that is not zero and differs from
// its neighbours'.
func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("é\"", n+1))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(-n - 1))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n + 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n+1)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), e)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), i)
		}
	case reflect.Interface: // in the Windows section only
	default:
		panic("type " + v.Type().String() + " is new in the specification")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                         `expected an object, found null (line 1, column 1)`,
		`{"process":{"args":["a",1]}}`: `/process/args/1: expected a string, found a number (line 1, column 25)`,
		`{"process":{"args":[null]}}`:  `/process/args/0: expected a value, found null`,
		`{"Process":{}}`:               `/Process: unknown member "Process" differs only in case from "process"`,
		`{"process":{"user":{"uid":1000}},"Process":{"user":{"uid":0}}}`: `/Process: unknown member "Process" differs only in case from "process"`,
		`{"process":{"user":{"uid":1000,"u\u0069d":0}}}`:                 `/process/user/uid: member "uid" appears twice in one object`,
		`{"x":1,"x":1}`:                                        `/x: member "x" appears twice in one object`,
		`{"process":{"user":{"uid":-1}}}`:                      `/process/user/uid: -1 is out of range for an unsigned integer of 32 bits (uint32)`,
		`{"linux":{"resources":{"blockIO":{"weight":65536}}}}`: `/linux/resources/blockIO/weight: 65536 is out of range for an unsigned integer of 16 bits (uint16)`,
		`{"linux":{"resources":{"memory":{"limit":1.5}}}}`:     `/linux/resources/memory/limit: 1.5 is not written as an integer`,
		`{"annotations":{"a/b":1}}`:                            `/annotations/a~1b: expected a string, found a number`,
		"{\n \"root\": {\n  \"path\": }}":                      `/root/path: expected a string, found '}' (line 3, column 11)`,
		`{} x`:                                                 `expected the end of the document, found 'x'`,
	} {
		_, err := ParseSpec([]byte(text))
		var e *jsonscan.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestNullIsAbsent(t *testing.T) {
	spec, err := ParseSpec([]byte(`{"ociVersion":null,"process":{"user":null,"args":null,"oomScoreAdj":null,"terminal":null},
		"linux":{"uidMappings":null,"sysctl":null,"seccomp":null,"resources":null},"windows":null,"more":null}`))
	want := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	if err != nil || !reflect.DeepEqual(spec, want) {
		t.Errorf("%+v, %v", spec, err)
	}
	if spec, err = ParseSpec([]byte(`{}`)); err != nil || spec.Linux == nil {
		t.Errorf("without linux: %+v, %v", spec, err)
	}
}

func TestLoad(t *testing.T) {
	bundle := t.TempDir()
	config := filepath.Join(bundle, "config.json")
	load := func(want string) {
		t.Helper()
		_, _, err := Load(bundle)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		os.Remove(config)
	}
	load("JSON specification file config.json not found")
	check(t, os.Mkdir(config, 0o700))
	load("open " + config + ": not a regular file")
	check(t, unix.Mkfifo(config, 0o600))
	load("open " + config + ": not a regular file")
	check(t, os.Symlink("/dev/null", config))
	load("not a regular file")
	check(t, os.WriteFile(config, []byte("{\n\"root\": 1}"), 0o600))
	load("parse config.json: /root: expected an object, found a number (line 2, column 9)")
	check(t, os.WriteFile(config, nil, 0o600))
	check(t, os.Truncate(config, jsonscan.MaxSize+1))
	load("larger than 32 MiB")

	text := `{"ociVersion":"1.0.2"}`
	check(t, os.WriteFile(config+".real", []byte(text), 0o600))
	check(t, os.Symlink("config.json.real", config))
	spec, data, err := Load(bundle)
	if err != nil || string(data) != text || spec.Version != "1.0.2" {
		t.Error(spec, string(data), err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkParseSpec(b *testing.B) {
	for path, data := range documents(b, "config") {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseSpec(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzParse: whatever the document, parsing ends soon and without a panic, and
// what it accepts encoding/json accepts too.
func FuzzParse(f *testing.F) {
	for _, data := range documents(f, "config") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := threadTime(t)
		spec, err := ParseSpec(data)
		if err == nil {
			_ = Validate(spec)
		}
		if took := threadTime(t) - start; took > 50*time.Millisecond {
			t.Errorf("%d bytes took %v", len(data), took)
		}
		if err != nil || spec.Windows != nil || spec.Solaris != nil || spec.VM != nil || spec.ZOS != nil || spec.FreeBSD != nil {
			return
		}
		if err := json.Unmarshal(data, new(specs.Spec)); err != nil {
			t.Errorf("%q: encoding/json refuses it: %v", data, err)
		}
	})
}

// threadTime returns the processor time of this thread, which other load on
// the machine does not change.
func threadTime(t testing.TB) time.Duration {
	var usage unix.Rusage
	check(t, unix.Getrusage(unix.RUSAGE_THREAD, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
