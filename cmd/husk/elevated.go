package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// atSecure is AT_SECURE of getauxval(3): the kernel found that the program has rights that its caller has not.
const atSecure = 23

// elevated reports whether the program file gives rights to its caller. A container runtime is root for whoever may call it,
// so such a file is a hole, and refusing is the only safe answer.
//
// AT_SECURE alone does not tell: SELinux sets it for an ordinary change of domain too. Without rights in hand it is harmless.
func elevated() bool {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return true
	}
	if os.Geteuid() == 0 {
		return false // file capabilities give nothing to root
	}
	aux, err := unix.Auxv()
	if err != nil {
		return false
	}
	for _, entry := range aux {
		if entry[0] == atSecure && entry[1] != 0 {
			return capable()
		}
	}
	return false
}

// capable reports whether the process has any capability it could use.
func capable() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err != nil || data[0].Permitted|data[1].Permitted != 0
}
