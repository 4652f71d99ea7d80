// Package seccomp turns the seccomp profile of a config.json into the BPF
// program and the flags for seccomp(2).
//
// The work is done by libseccomp in a program of its own, compiler, that is
// embedded here and started from a sealed memfd: husk itself is free of cgo,
// which every command would pay for at its start. The compiler only sees the
// profile. What it answers gets a prologue, in Go, that gives ENOSYS for system
// calls newer than the profile (see stub) and decides calls with several rules
// about their arguments, which libseccomp gets wrong (see argumentChecks).
//
//	key := seccomp.Key(profile)
//	filter, ok := cache.Get(key)      // four system calls, some microseconds
//	if !ok {
//		pending, err := seccomp.Start(profile)  // checks it, starts the compiler
//		...                                     // meanwhile: something useful
//		filter, err = pending.Wait()            // some milliseconds after Start
//		cache.Put(key, filter)
//	}
//
// A filter is a function of the profile, the embedded compiler (which includes
// libseccomp) and this package, and of nothing else: the compiler doesn't ask
// the running kernel. All of that is in the key.
//
// Nothing here loads a filter into the calling process.
package seccomp
