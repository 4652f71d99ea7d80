package libct

import (
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/seccomp"
	"husk/specconv"
)

// filter is the seccomp filter of one process: there already, or on its way.
type filter struct {
	cache   *seccomp.Cache
	key     seccomp.CacheKey
	pending *seccomp.Pending
	strict  bool
}

// cacheDir is the directory of compiled filters below the state root; checkID keeps it from being a container's.
const cacheDir = ".cache"

const filterFlags = "seccomp filter flags: %d" // runc's words

// filterFacts takes the filter from the cache, or starts to compile it: the child is set up meanwhile. A strict one has all system
// calls in it that the profile names.
func (r *Runtime) filterFacts(p *specs.LinuxSeccomp, h *specconv.Host, strict bool) (*filter, error) {
	if !seccomp.Enabled(p) {
		return nil, nil
	}
	f := &filter{key: seccomp.Key(p), strict: strict}
	var err error
	if f.cache, err = seccomp.OpenCache(filepath.Join(r.path, cacheDir)); err != nil {
		r.warn("%v", err)
	}
	if f.cache != nil {
		if ready, ok := f.cache.Get(f.key); ok {
			h.Filter, h.FilterFlags = instructions(ready), ready.Flags
			r.debug(filterFlags, h.FilterFlags)
			f.close()
			return nil, f.lacks(ready)
		}
	}
	if f.pending, err = seccomp.Start(p); err != nil {
		f.close()
		return nil, fmt.Errorf("/linux/seccomp: %w", err)
	}
	r.debug("compiling the seccomp filter, which is not in the cache")
	h.FilterPending, h.FilterFlags = true, f.pending.Flags()
	r.debug(filterFlags, h.FilterFlags)
	return f, nil
}

// wait returns the instructions of a pending filter and keeps them for the next container.
//
// That libseccomp does not know a name is no warning: engines' profiles name the system calls of the newest kernel.
func (f *filter) wait(remark func(string, ...any)) ([]byte, error) {
	ready, err := f.pending.Wait()
	f.pending = nil
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp: %w", err)
	}
	for _, w := range ready.Warnings {
		remark("%s: skipped", w)
	}
	if f.cache != nil {
		if err := f.cache.Put(f.key, ready); err != nil {
			remark("%v", err)
		}
	}
	return instructions(ready), f.lacks(ready)
}

// lacks says what a strict filter should have.
func (f *filter) lacks(ready *seccomp.Filter) error {
	if f.strict && len(ready.Warnings) > 0 {
		return fmt.Errorf("%s, and /annotations wants every one known", strings.Join(ready.Warnings, "; "))
	}
	return nil
}

func (f *filter) close() {
	if f == nil {
		return
	}
	if f.pending != nil {
		f.pending.Cancel()
	}
	if f.cache != nil {
		f.cache.Close()
	}
}

// instructions gives the program as the kernel takes it.
func instructions(f *seccomp.Filter) []byte {
	if len(f.Instructions) == 0 {
		return nil
	}
	size := len(f.Instructions) * int(unsafe.Sizeof(unix.SockFilter{}))
	return unsafe.Slice((*byte)(unsafe.Pointer(&f.Instructions[0])), size)
}
