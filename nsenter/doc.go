// Package nsenter runs a verified plan in a new process. It knows nothing of OCI, JSON or cgroups.
//
//	 husk                                     interpreter (nsenter/interp)
//	──────                                   ─────────────
//	 write text and plan into a memfd, seal it
//	 clone3(namespaces, CLONE_INTO_CGROUP) ─────►  execve(memfd): the kernel maps text and plan
//	                                               check the plan, reset signals
//	                                               op, op, op ...
//	 Next() ◄──────────── message: fd ──────────── sendmsg
//	 Next() ◄──────────── message: gate ────────── gate
//	 Answer() ──────────── bytes ────────────────► ... op, op
//	 Next() ◄──────────── message: fail ────────── errno nobody tolerates; waits until we have looked, ends
//	 Next() ◄──────────── end of file ──────────── execve closed the socket (or the process was killed)
//
// Between clone3 and execve of the memfd only Go's own fork code runs, with the parent stopped (CLONE_VFORK). The
// interpreter is static, has no libc and one thread, and nothing of the host is mapped into it; that it runs from a sealed
// copy is why a container that gets hold of /proc/PID/exe has nothing to overwrite (CVE-2019-5736).
package nsenter
