package libct

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/linux"
	"husk/specconv"
)

// environment is what the process gets: of two entries with one name the later counts, and HOME is that of the user in the
// container's passwd if config.json does not say otherwise.
func environment(p *specs.Process, passwd func() ([]byte, error)) []string {
	at := make(map[string]int, len(p.Env))
	env := make([]string, 0, len(p.Env)+1)
	for _, entry := range p.Env {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := at[name]; ok {
			env[i] = entry
			continue
		}
		at[name] = len(env)
		env = append(env, entry)
	}
	if i, ok := at["HOME"]; ok && env[i] != "HOME=" {
		return env
	} else if ok {
		env = append(env[:i], env[i+1:]...)
	}
	home := "/"
	if data, err := passwd(); err == nil {
		home = homeOf(data, p.User.UID)
	}
	return append(env, "HOME="+home)
}

// setEnv puts a variable in the place of all of that name.
func setEnv(env []string, name, value string) []string {
	return append(dropEnv(env, name), name+"="+value)
}

func dropEnv(env []string, name string) []string {
	return slices.DeleteFunc(env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// passwdLimit bounds what is read of a file that the image controls.
const passwdLimit = 1 << 20

// homeOf finds the home directory of a user by number in passwd(5), "/" if there is none. The file comes from the image:
// what is not a line of seven fields is no entry, and a home that is not a clean path counts as none (CVE-2022-4318).
func homeOf(passwd []byte, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
		if len(f) == 7 && f[2] == want {
			if strings.HasPrefix(f[5], "/") && !strings.ContainsFunc(f[5], func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return f[5]
			}
			return "/"
		}
	}
	return "/"
}

// passwdOf reads the passwd that the container will see: from the mount that covers it, else from the rootfs.
func passwdOf(spec *specs.Spec, h *specconv.Host) ([]byte, error) {
	dir, name := h.Rootfs, "etc/passwd"
	for i, m := range spec.Mounts {
		rest, ok := strings.CutPrefix("/etc/passwd", strings.TrimSuffix(filepath.Clean("/"+m.Destination), "/"))
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if dir, name = h.Sources[i].Path, strings.TrimPrefix(rest, "/"); dir == "" {
			return nil, unix.ENOENT // a new file system: empty
		}
	}
	if name == "" {
		dir, name = filepath.Split(dir)
	}
	root, err := linux.Openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	return readInside(root, name)
}

// readInside reads a regular file below a root that the container's side controls. It is opened only when it has proven to be one: the
// device rules that hold for a container do not hold for us, and to open a device may be to do something (a watchdog is armed by it).
func readInside(root int, name string) ([]byte, error) {
	at, err := linux.Openat2(root, name, unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	st, err := linux.Fstat(at)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > passwdLimit {
		return nil, fmt.Errorf("read %s: not a regular file of at most %d bytes", name, passwdLimit)
	}
	fd, err := linux.Openat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	data := make([]byte, st.Size)
	n, err := unix.Read(fd, data)
	return data[:max(n, 0)], err
}
