package specconv

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patch returns the document with changes: lines of a JSON pointer and, after
// a space, the JSON value to put there ("-" as last name appends to an array),
// or nothing to take the member away.
func patch(t testing.TB, document []byte, changes string) []byte {
	t.Helper()
	out, err := tryPatch(document, changes)
	if err != nil {
		t.Fatalf("%s: %v", changes, err)
	}
	return out
}

func tryPatch(document []byte, changes string) ([]byte, error) {
	root, err := decodeAny(string(document))
	for line := range strings.Lines(changes) {
		pointer, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pointer != "" && err == nil {
			root, err = change(root, strings.Split(pointer, "/")[1:], value)
		}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(root)
}

func decodeAny(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v)
}

func change(v any, names []string, value string) (any, error) {
	if len(names) == 0 {
		return decodeAny(value)
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(names[0])
	switch v := v.(type) {
	case []any:
		if name == "-" {
			e, err := change(nil, names[1:], value)
			return append(v, e), err
		}
		i, err := strconv.Atoi(name)
		if err != nil || i >= len(v) {
			return nil, errors.New("no element " + name)
		}
		v[i], err = change(v[i], names[1:], value)
		return v, err
	case map[string]any:
		if value == "" && len(names) == 1 {
			delete(v, name)
			return v, nil
		}
		e, err := change(v[name], names[1:], value)
		v[name] = e
		return v, err
	case nil:
		e, err := change(nil, names[1:], value)
		if name == "-" {
			return []any{e}, err
		}
		return map[string]any{name: e}, err
	}
	return nil, errors.New("no place for " + name)
}

func plainConfig(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/config-plain.json")
	check(t, err)
	return data
}

func TestBroken(t *testing.T) {
	base := plainConfig(t)
	if len(broken) < 120 {
		t.Errorf("only %d documents", len(broken))
	}
	for _, c := range broken {
		spec, err := ParseSpec(patch(t, base, c.change))
		if err != nil {
			t.Errorf("%s: %v", c.change, err)
			continue
		}
		err = Validate(spec)
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: got %v", c.change, err)
			continue
		}
		hits := 0
		for _, p := range problems {
			if p.Pointer == c.pointer && strings.Contains(p.Msg, c.msg) {
				hits++
			}
			if !strings.HasPrefix(p.Section, "config") || !strings.Contains(p.Section, ".md") {
				t.Errorf("%s: section %q", c.change, p.Section)
			}
		}
		if hits != 1 || len(problems) > 4 {
			t.Errorf("%s: got %v, want %s: %s", c.change, err, c.pointer, c.msg)
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s: more than a line: %q", c.change, err)
		}
	}
}

// TestValid has changes that look odd and must pass.
func TestValid(t *testing.T) {
	base := plainConfig(t)
	for _, changes := range []string{
		``,
		`/ociVersion "1.0.0"`, `/ociVersion "1.0.2-dev"`, `/ociVersion "1.3.0+dev.1"`,
		`/mounts/0/destination "proc"`, `/mounts/0/destination "/a/../b"`, `/mounts/0/options ["", "unknown=1", "X-word"]`,
		`/mounts/2/type`, `/mounts/2/type "bind"`, `/mounts/- {"destination":"/x","options":["remount","ro"]}`,
		`/mounts`, `/mounts null`, `/annotations {}`, `/hostname ""`, `/hooks {"prestart":null,"poststop":[]}`,
		`/process/env []`, `/process/env/- "A="`, `/process/env/- "A=B=C"`, `/process/args/0 ""`,
		`/process/consoleSize {"height":70000,"width":70000}`, `/process/user/umask 511`, `/process/user/uid 4294967294`,
		`/process/capabilities/effective ["CAP_OF_TOMORROW",""]`, `/process/oomScoreAdj -1000`,
		`/process/execCPUAffinity {}`, `/process/execCPUAffinity {"initial":"0-3,7","final":"65535"}`,
		`/process/scheduler {"policy":"SCHED_OTHER","nice":-20}`, `/process/scheduler {"policy":"SCHED_ISO"}`,
		`/process/scheduler {"policy":"SCHED_DEADLINE","runtime":1024,"deadline":1024}`,
		`/process/ioPriority {"class":"IOPRIO_CLASS_IDLE"}`, `/linux/personality {"domain":"LINUX32","flags":[]}`,
		`/linux/memoryPolicy {"mode":"MPOL_DEFAULT"}`, `/linux/memoryPolicy {"mode":"MPOL_PREFERRED"}`,
		`/linux/memoryPolicy {"mode":"MPOL_WEIGHTED_INTERLEAVE","nodes":"0-3,7","flags":["MPOL_F_STATIC_NODES"]}`,
		`/process/rlimits/0 {"type":"RLIMIT_NPROC","soft":18446744073709551615,"hard":18446744073709551615}`,
		`/process/commandLine "x"`, `/process/user/username "x"`,
		`/linux/uidMappings null`, `/linux/uidMappings []`, `/linux/timeOffsets {}`, `/linux/intelRdt {}`, `/linux/intelRdt {"closID":"/","l3CacheSchema":"L3CODE:0=f\nL3DATA:0=f","schemata":["MB:0=10"],"enableMonitoring":true}`,
		`/linux/netDevices {}`, `/linux/netDevices {"a":{},"b":{"name":"e%d"},"c":{"name":"e%d"}}`,
		`/linux/netDevices {"a":{"name":"b"},"b":{"name":"a"}}`, `/linux/personality null`,
		`/linux/cgroupsPath ""`, `/linux/cgroupsPath "system.slice:docker:abc"`, `/linux/cgroupsPath "rel/./a//..b"`,
		`/linux/devices/- {"type":"p","path":"/run/pipe","major":-7}`, `/linux/devices/- {"type":"c","path":"/dev/fuse","major":10,"minor":229}`,
		`/linux/devices/0/fileMode 8630`, `/linux/devices/0/type "u"`,
		`/linux/resources {"memory":{"disableOOMKiller":false,"limit":0,"swap":0,"swappiness":0},"cpu":{"shares":0,"quota":0,"burst":0},"blockIO":{"weight":0},"pids":{"limit":-1},"devices":[],"hugepageLimits":[],"unified":{}}`,
		`/linux/resources {"memory":{"limit":4096,"swap":-1},"cpu":{"quota":-1,"burst":5,"cpus":"0","mems":""},"pids":{"limit":0}}`,
		`/linux/resources {"devices":[{"allow":true},{"allow":true,"type":"c","major":-1,"minor":-1,"access":"m"}]}`,
		`/linux/resources {"unified":{"io.max":"8:0 rbps=1\n8:16 rbps=2","hugetlb.1GB.max":"max","cgroup.freeze":"0"}}`,
		`/linux/resources null`, `/linux/seccomp null`, `/linux/seccomp {"defaultAction":"SCMP_ACT_ALLOW","flags":[],"syscalls":null}`,
		`/linux/seccomp/listenerPath "/run/agent"`, `/linux/seccomp/syscalls/0/names/- "call_of_tomorrow"`,
		`/linux/seccomp/syscalls/- {"names":["ptrace"],"action":"SCMP_ACT_TRACE","errnoRet":65535}`,
		"/linux/seccomp/listenerPath \"/run/agent\"\n/linux/seccomp/listenerMetadata \"any\\nthing\"\n" +
			`/linux/seccomp/syscalls/- {"names":["mkdir","read"],"action":"SCMP_ACT_NOTIFY"}`,
		`/linux/sysctl {"net/ipv4/conf/eth0.100/forwarding":"1","net.ipv4.conf.eth0/100.forwarding":"1","fs.mqueue.msg_max":"1","kernel.domainname":"x"}`,
		`/linux/rootfsPropagation "rslave"`, `/linux/maskedPaths []`, `/linux/readonlyPaths null`,
		"/linux\n/hostname", `/windows {"layerFolders":[]}`, `/solaris {}`, `/zos {}`, `/freebsd {}`, `/tomorrow {"x":[1]}`,
	} {
		spec, err := ParseSpec(patch(t, base, changes))
		if err == nil {
			err = Validate(spec)
		}
		if err != nil {
			t.Errorf("%s: %v", changes, err)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	spec, err := ParseSpec(patch(t, plainConfig(t), "/root\n/process/cwd \"x\"\n/linux/sysctl {\"b\":\"\",\"a\":\"\"}"))
	check(t, err)
	got, want := Validate(spec).Error(), `/root: root must be specified (config.md#root); `+
		`/process/cwd: Cwd must be an absolute path (config.md#process); `+
		`/linux/sysctl/a: sysctl "a" is not in a separate kernel namespace (config-linux.md#sysctl); `+
		`/linux/sysctl/b: sysctl "b" is not in a separate kernel namespace (config-linux.md#sysctl)`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	spec := &specs.Spec{Process: &specs.Process{Env: make([]string, 100_000)}, Mounts: make([]specs.Mount, 10_001)}
	var problems Problems
	if err := Validate(spec); !errors.As(err, &problems) || len(problems) != 101 || len(err.Error()) > 20_000 {
		t.Error(len(problems), "problems")
	}
	spec, err := ParseSpec(plainConfig(t))
	check(t, err)
	spec.Mounts = nil
	for range 10_001 {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/a", Type: "tmpfs"})
	}
	if err := Validate(spec); err == nil || !strings.HasPrefix(err.Error(), "/mounts: 10001 entries exceed the limit of 10000") {
		t.Error(err)
	}
}

func TestValidateParts(t *testing.T) {
	if err := Validate(nil); err == nil {
		t.Error("no spec is valid")
	}
	if err := ValidateProcess(nil); err == nil || err.Error() != "process property must not be empty (config.md#process)" {
		t.Error(err)
	}
	for _, c := range []struct{ doc, want string }{
		{`{"args":["a"],"cwd":"/"}`, ""},
		{`{"args":["a"],"cwd":"a"}`, "/cwd: Cwd must be an absolute path (config.md#process)"},
		{`{"args":["a"],"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_RT","priority":8}}`, "/ioPriority/priority: 8 is out of range (0 to 7) (config.md#linux-process)"},
	} {
		p, err := ParseProcess([]byte(c.doc))
		check(t, err)
		if err := ValidateProcess(p); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v", c.doc, err)
		}
	}
	res, err := ParseResources([]byte(`{"memory":{"limit":-5}}`))
	check(t, err)
	if err := ValidateResources(res); err == nil || !strings.HasPrefix(err.Error(), "/memory/limit: -5 is neither") {
		t.Error(err)
	}
}

// TestEngines checks that what engines send is valid, but for what this release refuses by name.
func TestEngines(t *testing.T) {
	for path, data := range documents(t, "config") {
		spec, err := ParseSpec(data)
		check(t, err)
		var problems Problems
		errors.As(Validate(spec), &problems)
		for _, p := range problems {
			if !strings.HasSuffix(p.Msg, "is not supported by this release") {
				t.Errorf("%s: %v", path, p)
			}
		}
	}
	for path, data := range documents(t, "process") {
		p, err := ParseProcess(data)
		check(t, err)
		if err := ValidateProcess(p); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSysctlFile(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":               "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":               "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"net.ipv4.conf.eth0/100.forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"":                                  "", "net.": "", ".net": "", "net/../x": "", "net.//.x": "", "net./.x": "", "net.a\nb": "",
	} {
		if got, ok := sysctlFile(key); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", key, got, ok)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	spec, err := ParseSpec(plainConfig(b))
	check(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if Validate(spec) != nil {
			b.Fatal("invalid")
		}
	}
}

// FuzzValidate puts fragments of the broken documents together: whatever is in
// them, validation ends without a panic and says the same twice.
func FuzzValidate(f *testing.F) {
	base := plainConfig(f)
	for i := range uint64(10) {
		f.Add(i, 3)
	}
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		rng := rand.New(rand.NewPCG(seed, 0))
		document := base
		for range n & 7 {
			c := broken[rng.IntN(len(broken))]
			if changed, err := tryPatch(document, c.change); err == nil {
				document = changed
			}
		}
		spec, err := ParseSpec(document)
		if err != nil {
			return
		}
		first, second := Validate(spec), Validate(spec)
		if (first == nil) != (second == nil) || first != nil && first.Error() != second.Error() {
			t.Errorf("%v\n%v", first, second)
		}
		if first != nil && strings.ContainsAny(first.Error(), "\n\x00") {
			t.Errorf("more than a line: %q", first)
		}
	})
}
