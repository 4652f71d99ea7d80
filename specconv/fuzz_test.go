package specconv

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/plan"
)

// odd are values that a document has in the place of another.
var odd = []string{
	`"/"`, `"/dev"`, `"/dev/pts"`, `"/dev/null"`, `"/dev/console"`, `"/dev/ptmx"`, `"/proc"`, `"/proc/sys"`, `"/proc/self/attr"`, `"/sys"`, `"/sys/fs/cgroup"`,
	`"/run/a/b"`, `"/a/../b"`, `"//x//y/"`, `"/../.."`, `"relative"`, `""`, `"."`, `"/tmp/a.b"`, `"/a\u0000b"`, `"/tmp"`, `"/bundle/rootfs/a"`,
	`"tmpfs"`, `"proc"`, `"sysfs"`, `"bind"`, `"devpts"`, `"mqueue"`, `"cgroup"`, `"cgroup2"`, `"none"`, `"overlay"`, `"size=1%"`, `"a=b=c"`, `"="`, `"context=x,y"`,
	`0`, `1`, `-1`, `5`, `65535`, `65536`, `4294967294`, `4294967295`, `9223372036854775807`, `18446744073709551615`, `1e3`, `true`, `false`, `null`, `[]`, `{}`,
	`[{"type": "mount"}]`, `[{"type": "pid"}]`, `[{"type": "mount"}, {"type": "pid", "path": "/proc/1/ns/pid"}]`, `{"defaultAction": "SCMP_ACT_ERRNO"}`,
}

// pool has what members and elements of good documents look like, by their place: "/mounts/*/options/*".
type pool struct {
	values map[string][]any
	below  map[string][]string // places of the members of an object
}

func newPool(documents [][]byte) *pool {
	p := &pool{values: map[string][]any{}, below: map[string][]string{}}
	for _, document := range documents {
		if v, err := decodeAny(string(document)); err == nil {
			p.collect("", v)
		}
	}
	// Each word of the table of mount options has its turn.
	for _, o := range mountOptions {
		p.values["/mounts/*/options/*"] = append(p.values["/mounts/*/options/*"], o.name)
	}
	return p
}

func (p *pool) collect(place string, v any) {
	p.values[place] = append(p.values[place], v)
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			at := place + "/" + name
			if !slices.Contains(p.below[place], at) {
				p.below[place] = append(p.below[place], at)
			}
			p.collect(at, member)
		}
	case []any:
		for _, element := range v {
			p.collect(place+"/*", element)
		}
	}
}

// mutate changes something in or below v, which stands at a place.
func (p *pool) mutate(r *rand.Rand, place string, v any) any {
	if place != "" && r.IntN(8) == 0 { // here
		values := p.values[place]
		if len(values) == 0 || r.IntN(3) == 0 {
			v, _ := decodeAny(odd[r.IntN(len(odd))])
			return v
		}
		return clone(values[r.IntN(len(values))])
	}
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		switch n := r.IntN(10); {
		case n == 0 && len(names) > 0:
			delete(v, names[r.IntN(len(names))])
		case n <= 3 && len(p.below[place]) > 0: // another member that objects in this place have
			slices.Sort(p.below[place])
			at := p.below[place][r.IntN(len(p.below[place]))]
			v[at[len(place)+1:]] = clone(p.values[at][r.IntN(len(p.values[at]))])
		case len(names) > 0:
			name := names[r.IntN(len(names))]
			v[name] = p.mutate(r, place+"/"+name, v[name])
		}
	case []any:
		switch n := r.IntN(10); {
		case n == 0 && len(v) > 0:
			i := r.IntN(len(v))
			return slices.Delete(v, i, i+1)
		case n <= 4 && len(p.values[place+"/*"]) > 0:
			values := p.values[place+"/*"]
			return slices.Insert(v, r.IntN(len(v)+1), clone(values[r.IntN(len(values))]))
		case n == 5:
			r.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		case len(v) > 0:
			i := r.IntN(len(v))
			v[i] = p.mutate(r, place+"/*", v[i])
		}
	}
	return v
}

func clone(v any) any {
	data, _ := json.Marshal(v)
	v, _ = decodeAny(string(data))
	return v
}

// change makes a few mutations.
func (p *pool) change(document []byte, seed uint64) []byte {
	v, err := decodeAny(string(document))
	if err != nil || seed == 0 {
		return document
	}
	r := rand.New(rand.NewPCG(seed, 7))
	for range 1 + r.IntN(6) {
		v = p.mutate(r, "", v)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return document
	}
	return out
}

// vary changes facts of the host, a bit for each.
func vary(h *Host, spec *specs.Spec, facts uint32) {
	bit := func(n int) bool { return facts&(1<<n) != 0 }
	h.StartGate = !bit(0)
	if bit(1) {
		h.NoPivot, h.HostMounts = true, []string{"/proc", "/sys"}
	}
	if bit(2) {
		cgroupV1(h)
		h.Cgroup.Joins = []string{"cpu", "memory"}
	}
	h.NoNewKeyring, h.SELinux, h.AppArmor = bit(3), bit(4), bit(5)
	if bit(6) {
		h.PreserveFDs, h.ListenPid = 3, true
	}
	h.NullStdio = [3]bool{bit(7), bit(8), bit(9)}
	h.ChownStdio = [3]bool{bit(10), bit(11), bit(12)}
	if bit(13) && h.Filter != nil {
		h.Filter, h.FilterPending = nil, true
	}
	if bit(14) {
		h.Capabilities = uint64(facts)<<9 | 1<<unix.CAP_SYS_ADMIN // without it there are no mounts
	}
	for i := range h.Sources {
		h.Sources[i].Dir = h.Sources[i].Dir != bit(15+i%8)
		if bit(23) {
			h.Sources[i].Mode = 0o1777
		}
	}
	if Has(spec, specs.UserNamespace) {
		h.BindDevices, h.NoSetgroups = bit(24), bit(25) && len(spec.Process.User.AdditionalGids) == 0
		for i, ns := range joined(spec) {
			if bit(26 + i%4) {
				h.Inside = append(h.Inside, ns.Type)
			}
		}
	}
}

// seeds are the documents to begin with.
func seeds(t testing.TB) (list [][]byte) {
	list = append(list, EncodeExample(Example()))
	for _, g := range slices.Concat(goldenPlans, goldenExecs) {
		list = append(list, patch(t, []byte(goldenBase), g.change))
	}
	found := documents(t, "config")
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list
}

// FuzzConfig: whatever is in a document, it is refused in one line, or compiled to a plan on which Verify and the model agree
// that it keeps the rules. That Verify refuses what Compile has written would mean that Compile writes what it must not.
func FuzzConfig(f *testing.F) {
	documents := seeds(f)
	for i, document := range documents {
		f.Add(document, uint64(0), uint32(0))
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for range 5 {
			f.Add(document, r.Uint64(), r.Uint32())
		}
	}
	p := newPool(documents)
	f.Fuzz(func(t *testing.T, document []byte, seed uint64, facts uint32) {
		document = p.change(document, seed)
		spec, err := ParseSpec(document)
		if err == nil {
			err = Validate(spec)
		}
		if err != nil {
			if text := err.Error(); text == "" || strings.ContainsAny(text, "\n\x00") {
				t.Errorf("more than a line: %q", text)
			}
			return
		}
		host := hostFor(spec)
		vary(host, spec, facts)
		made, err := Compile(spec, host)
		checkFuzzed(t, document, facts, made, err, spec, host, false)
		process := *spec.Process
		host = hostFor(spec)
		vary(host, spec, facts)
		host.StartGate, host.NoPivot = false, false
		made, err = CompileExec(spec, &process, host)
		checkFuzzed(t, document, facts, made, err, spec, host, true)
	})
}

func checkFuzzed(t *testing.T, document []byte, facts uint32, p *plan.Plan, err error, spec *specs.Spec, host *Host, exec bool) {
	t.Helper()
	if err == nil {
		if err = walkAll(t, p, spec, host, exec, uint64(facts)); err == nil {
			_ = p.String()
			return
		}
	} else if !strings.Contains(err.Error(), "verify plan") && !strings.Contains(err.Error(), "\n") {
		return
	}
	t.Errorf("%v\nfacts %s, exec %v:\n%s", err, strconv.FormatUint(uint64(facts), 2), exec, document)
}
