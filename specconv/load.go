package specconv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"husk/internal/jsonscan"
)

//go:generate go run husk/internal/jsonscan/gen -package specconv -from github.com/opencontainers/runtime-spec/specs-go -name specs -types Spec -present Solaris,Windows,VM,ZOS,FreeBSD -older enableCMT=LinuxIntelRdt.EnableMonitoring,enableMBM=LinuxIntelRdt.EnableMonitoring -out decode_gen.go

// configName is the configuration's place in a bundle (bundle.md#container-format).
const configName = "config.json"

// Load reads config.json of a bundle and returns it decoded and as it is. It
// must be a regular file (a symbolic link to one serves) of at most 32 MiB.
// The document is not validated beyond its JSON types: see Validate.
func Load(bundle string) (*specs.Spec, []byte, error) {
	return load(filepath.Join(bundle, configName), configName)
}

// LoadFile is Load for a configuration that lies elsewhere.
func LoadFile(path string) (*specs.Spec, []byte, error) { return load(path, path) }

// load reads a file; name is what messages call it.
func load(path, name string) (*specs.Spec, []byte, error) {
	data, err := readRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		// Engines know this sentence from runc.
		return nil, nil, errors.New("JSON specification file " + name + " not found")
	}
	if err != nil {
		return nil, nil, err
	}
	spec, err := ParseSpec(data)
	if err != nil {
		return nil, nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return spec, data, nil
}

// ParseSpec decodes a configuration. Errors are *jsonscan.Error, with JSON
// pointer, line and column. Unknown members are ignored
// (config.md#extensibility), but a name that comes twice, or that differs from
// a known one only in case, is refused, because other readers of the same
// document might take it differently. Of the sections for other platforms only
// the presence is kept. An absent section linux counts as an empty one. What annotations and mount options of crun say in other words
// than the specification is in the fields of the specification afterwards.
func ParseSpec(data []byte) (*specs.Spec, error) {
	spec, err := parse(data, decodeSpec)
	if err != nil {
		return nil, err
	}
	if spec.Linux == nil {
		spec.Linux = new(specs.Linux)
	}
	foldAnnotations(spec)
	ReadPids(spec.Version, spec.Linux.Resources)
	ReadIDMaps(spec.Linux, spec.Mounts)
	return spec, nil
}

// ReadPids takes a pids limit of 0 for none where the container's config.json is of a version before 1.3, the first in which it is a limit:
// what engines of that time mean by it (Podman up to 5.4, CRI-O up to 1.28).
func ReadPids(version string, r *specs.LinuxResources) {
	if r == nil || r.Pids == nil || r.Pids.Limit == nil || *r.Pids.Limit != 0 {
		return
	}
	for _, old := range []string{"1.0.", "1.1.", "1.2."} {
		if strings.HasPrefix(version, old) {
			none := int64(-1)
			r.Pids = &specs.LinuxPids{Limit: &none}
		}
	}
}

// ParseProcess decodes a process object, as exec --process gets it.
func ParseProcess(data []byte) (*specs.Process, error) { return parse(data, decodeProcess) }

// ParseResources decodes a resources object, as update --resources gets it.
func ParseResources(data []byte) (*specs.LinuxResources, error) {
	return parse(data, decodeLinuxResources)
}

// ParseMounts decodes a list of mounts, as the commands mounts add and remove get it.
func ParseMounts(data []byte) ([]specs.Mount, error) {
	list, err := parse(data, func(d *jsonscan.Decoder, v *[]specs.Mount) error { return jsonscan.Slice(d, v, decodeMount) })
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func parse[T any](data []byte, decode func(*jsonscan.Decoder, *T) error) (*T, error) {
	d := jsonscan.NewDecoder(data)
	v := new(T)
	if err := decode(d, v); err != nil {
		return nil, err
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	return v, nil
}

// readRegular returns the content of a regular file no larger than a document
// may be. Opening anything else must neither block nor have an effect.
func readRegular(path string) ([]byte, error) {
	var fd int
	var err error
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if st.Size > jsonscan.MaxSize {
		return nil, &os.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return readAll(fd, path, int(st.Size))
}

var errTooLarge = errors.New("larger than 32 MiB") // jsonscan.MaxSize

// readAll reads to the end of the file, whose size is a hint: it may grow or
// shrink meanwhile, and files of pseudo file systems have none.
func readAll(fd int, path string, size int) ([]byte, error) {
	data := make([]byte, 0, size+512)
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return data, nil
		default:
			data = data[:len(data)+n]
		}
		if len(data) > jsonscan.MaxSize {
			return nil, &os.PathError{Op: "read", Path: path, Err: errTooLarge}
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
