package security

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// insides are the programs that run in containers.
var insides = map[string]func(){"watch": watch, "overwrite": overwrite, "sockets": sockets}

// others calls f for each process but init and this one, in a tight loop, until the file /stop is there.
func others(f func(pid string)) {
	self := strconv.Itoa(os.Getpid())
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, err := os.Lstat("/stop"); err == nil {
			return
		}
		names, _ := os.ReadDir("/proc")
		for _, n := range names {
			if c := n.Name()[0]; c >= '0' && c <= '9' && n.Name() != "1" && n.Name() != self {
				f(n.Name())
			}
		}
	}
}

// watch prints what it can see of processes that are on their way into the container: programs, working directories, roots
// and descriptors that are none of the container's.
func watch() {
	seen := map[string]bool{}
	say := func(what, link string) {
		if line := what + " " + link; link != "" && !seen[line] {
			seen[line] = true
			fmt.Println(line)
		}
	}
	own, _ := os.Readlink("/proc/self/exe")
	var root unix.Stat_t
	unix.Stat("/", &root)
	os.WriteFile("/ready", nil, 0o644)
	others(func(pid string) {
		dir := "/proc/" + pid
		if exe, _ := os.Readlink(dir + "/exe"); exe != "/bin/busybox" && exe != own {
			say("exe", exe)
		}
		if cwd, _ := os.Readlink(dir + "/cwd"); cwd != "/" {
			say("cwd", cwd)
		}
		fds, _ := filepath.Glob(dir + "/fd/*")
		for _, fd := range fds {
			link, _ := os.Readlink(fd)
			if strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "/dev/") && !strings.HasPrefix(link, "/memfd:") {
				var st unix.Stat_t
				if err := unix.Stat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && (st.Dev != root.Dev || st.Ino != root.Ino) {
					say("directory", link)
				}
			}
		}
	})
	fmt.Println("done")
}

// overwrite tries to write to the program of every process that it can see.
func overwrite() {
	tried, written := 0, 0
	os.WriteFile("/ready", nil, 0o644)
	others(func(pid string) {
		exe, err := os.Readlink("/proc/" + pid + "/exe")
		if err != nil || exe == "/bin/busybox" || exe == "/helper" {
			return
		}
		fd, err := unix.Open("/proc/"+pid+"/exe", unix.O_PATH, 0)
		if err != nil {
			return
		}
		tried++
		for range 200 { // it is busy until the process has executed something else
			w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY, 0)
			if err == nil {
				if _, err := unix.Write(w, []byte("#!/bin/sh\n")); err == nil {
					written++
				}
				unix.Close(w)
				break
			}
			if !errors.Is(err, unix.ETXTBSY) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		unix.Close(fd)
	})
	fmt.Println("written", written)
	_ = tried
}

// sockets tries socket(2) with several arguments and prints what comes of each.
func sockets() {
	for _, args := range [][2]int{{unix.AF_INET, unix.SOCK_STREAM}, {unix.AF_INET, unix.SOCK_DGRAM}, {unix.AF_UNIX, unix.SOCK_STREAM}, {unix.AF_UNIX, unix.SOCK_DGRAM}} {
		fd, err := unix.Socket(args[0], args[1], 0)
		if err == nil {
			unix.Close(fd)
		}
		fmt.Println(args[0], args[1], err == nil)
	}
}
