package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// Files in a container's directory <root>/<id>.
const (
	recordFile = "state.json"      // the record: there is a container when it exists
	recordTemp = ".state.json.tmp" // the next record, until it is renamed
	configFile = "config.json"     // the bundle's config.json as it was at create
	gateSocket = "start.sock"      // the start gate, until the program runs
)

const (
	recordLimit = 4 << 20  // bytes
	configLimit = 32 << 20 // bytes, as for the bundle's
	defaultWait = 10 * time.Second
	idLimit     = 255 // bytes: NAME_MAX, the id names a directory
)

// Runtime does what the commands ask for. It keeps no state of its own: all of
// it is below the state root, so any number of them, in any number of
// processes, may work on one root.
type Runtime struct {
	opts Options
	path string        // of the root, absolute
	wait time.Duration // how long a lock, or the end of a killed process, is waited for
}

// New returns a Runtime. It touches nothing yet.
func New(opts Options) (*Runtime, error) {
	root := opts.Root
	if root == "" {
		root = DefaultRoot()
	}
	path, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve --root %s: %w", root, err)
	}
	if path == "/" {
		return nil, errors.New("Option --root argument should not be set to /") // runc's text
	}
	return &Runtime{opts: opts, path: path, wait: defaultWait}, nil
}

func (r *Runtime) warn(format string, args ...any) {
	if r.opts.Warn != nil {
		r.opts.Warn(fmt.Sprintf(format, args...))
	}
}

func (r *Runtime) debug(format string, args ...any) {
	if r.opts.Debug != nil {
		r.opts.Debug(fmt.Sprintf(format, args...))
	}
}

// container is a container's directory, held by descriptor: whatever happens
// to the name, it stays the same container. Close it after use.
//
// Whoever changes something holds the lock LOCK_EX on the directory. The
// kernel drops the lock when its holder dies, so phase "creating" without a
// holder is a create that was killed.
type container struct {
	r    *Runtime
	id   string
	root int    // descriptor of the state root
	dir  int    // descriptor of <root>/<id>
	lock int    // what is held on dir: 0, LOCK_SH, LOCK_EX
	busy bool   // phase is creating and the creator lives
	boot string // id of this boot, once it was needed

	name string // of init, when it was last found alive
	rec  record
}

// path returns the path of a file of c, for messages.
func (c *container) path(name string) string {
	return filepath.Join(c.r.path, c.id, name)
}

// checkID refuses what must not become a directory's name: the rule is runc's; in addition the name of the
// directory of filters is refused.
func checkID(id string) error {
	if id == "" {
		return ErrEmptyID
	}
	if id == "." || id == ".." || id == cacheDir || len(id) > idLimit {
		return ErrInvalidID
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '_', b == '+', b == '-', b == '.':
		default:
			return ErrInvalidID
		}
	}
	return nil
}

// reserve makes the directory of a new container and returns it, locked
// LOCK_EX and with the first fields of its record filled in, but nothing saved.
// Of any number of callers exactly one gets the id, the others ErrExist before
// they have done anything.
func (r *Runtime) reserve(id string) (*container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	root, err := r.openRoot(true)
	if err != nil {
		return nil, err
	}
	for {
		if err := linux.Mkdirat(root, id, 0o700); err != nil {
			unix.Close(root)
			if errors.Is(err, fs.ErrExist) {
				return nil, ErrExist
			}
			return nil, fmt.Errorf("make directory %s: %w", filepath.Join(r.path, id), cause(err))
		}
		c, err := r.enter(root, id, unix.LOCK_EX)
		if errors.Is(err, ErrNotExist) {
			// A delete took the directory without a record for a left-over
			// before it was locked.
			continue
		}
		if err != nil {
			unix.Close(root)
			return nil, err
		}
		if err := c.begin(); err != nil {
			_ = c.remove()
			c.close()
			return nil, err
		}
		return c, nil
	}
}

// begin fills in what the record of a new container starts with.
func (c *container) begin() error {
	boot, err := bootID(c.root)
	if err != nil {
		return err
	}
	c.rec = record{
		Schema:  recordSchema,
		ID:      c.id,
		Phase:   phaseCreating,
		Created: time.Now().UTC(),
		Owner:   uint32(os.Geteuid()),
		BootID:  boot,
	}
	return nil
}

// open returns the container id with the lock asked for: 0 (none: reads the
// last complete record, never waits), LOCK_SH or LOCK_EX. The error is
// ErrNotExist when there is none, and a *DamagedError when its record can't be
// used.
func (r *Runtime) open(id string, lock int) (*container, error) {
	c, err := r.find(id, lock)
	if err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// find opens and locks the directory of container id, and reads nothing in it.
func (r *Runtime) find(id string, lock int) (*container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	root, err := r.openRoot(false)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotExist
		}
		return nil, err
	}
	c, err := r.enter(root, id, lock)
	if err != nil {
		unix.Close(root)
	}
	return c, err
}

// enter opens and locks the directory id below root. On success the container
// owns root.
func (r *Runtime) enter(root int, id string, lock int) (*container, error) {
	dir, err := linux.Openat(root, id, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotExist
		}
		return nil, fmt.Errorf("open directory %s: %w", filepath.Join(r.path, id), cause(err))
	}
	c := &container{r: r, id: id, root: root, dir: dir}
	if lock != 0 {
		if err := c.acquire(lock, r.wait); err != nil {
			unix.Close(dir)
			return nil, err
		}
	}
	return c, nil
}

// acquire locks c, and then makes sure that it is still the container that has
// the name: a delete, and a create of the same id, may have come first. The
// error is ErrNotExist then. A lock that another command keeps for longer than
// wait is EWOULDBLOCK.
func (c *container) acquire(lock int, wait time.Duration) error {
	if err := linux.Flock(c.dir, lock, wait); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock container %s: another command (create, start, exec or delete) has been working on it for more than %v: %w", c.id, wait, unix.EWOULDBLOCK)
		}
		return fmt.Errorf("lock container %s: %w", c.id, err)
	}
	c.lock = lock
	named, err := linux.Fstatat(c.root, c.id, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("check directory %s: %w", c.path(""), cause(err))
	}
	held, err := linux.Fstat(c.dir)
	if err != nil {
		return fmt.Errorf("check directory %s: %w", c.path(""), err)
	}
	// The inode number can't be given away while the descriptor is open.
	if named.Dev != held.Dev || named.Ino != held.Ino {
		return ErrNotExist
	}
	return nil
}

// close gives up the descriptors, and with them the lock.
func (c *container) close() {
	unix.Close(c.dir)
	unix.Close(c.root)
}

// load reads the record. The error is ErrNotExist if there is none, a
// *DamagedError if it is of no use.
func (c *container) load() error {
	c.busy = false
	if err := c.read(); err != nil || c.rec.Phase != phaseCreating || c.lock != 0 {
		return err
	}
	// Is the creator still at it? Asking does not wait.
	err := linux.Flock(c.dir, unix.LOCK_SH, 0)
	if errors.Is(err, unix.EWOULDBLOCK) {
		c.busy = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock container %s: %w", c.id, err)
	}
	defer linux.Unlock(c.dir)
	return c.read() // it may have finished since
}

// read reads the record as it is now.
func (c *container) read() error {
	// A container's directory is empty, then it has a record, then a record and
	// a config, and the same way back. No record is thus no container; only
	// when the config is there without a record, twice, the record was lost.
	var data []byte
	err := error(fs.ErrNotExist)
	for try := 0; try < 2 && errors.Is(err, fs.ErrNotExist); try++ {
		data, err = linux.ReadFileAt(c.dir, recordFile, recordLimit)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := linux.Fstatat(c.dir, configFile, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return ErrNotExist
			}
		}
	}
	if err == nil {
		err = c.rec.decode(data)
	}
	if err == nil && c.rec.ID != c.id {
		err = fmt.Errorf("it is the record of container %q", c.rec.ID)
	}
	if err != nil {
		return &DamagedError{Path: c.path(recordFile), Err: cause(err)}
	}
	return nil
}

// save writes the record: readers see the old or the new one, whole. The
// caller holds LOCK_EX.
func (c *container) save() error {
	data := c.rec.append(make([]byte, 0, 2048))
	if len(data) > recordLimit {
		return fmt.Errorf("write %s: %d bytes with the annotations of config.json, the limit is %d", c.path(recordFile), len(data), recordLimit)
	}
	err := linux.WriteFileAt(c.dir, recordTemp, data, 0o600)
	if err == nil {
		err = linux.Renameat(c.dir, recordTemp, c.dir, recordFile)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", c.path(recordFile), cause(err))
	}
	return nil
}

// saveConfig keeps the text of config.json for the commands after create. The
// record is saved before it.
func (c *container) saveConfig(data []byte) error {
	if err := linux.WriteFileAt(c.dir, configFile, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", c.path(configFile), cause(err))
	}
	return nil
}

// config returns what saveConfig kept.
func (c *container) config() ([]byte, error) {
	data, err := linux.ReadFileAt(c.dir, configFile, configLimit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.path(configFile), cause(err))
	}
	return data, nil
}

// bootID returns what a record in this root has to carry so that it is not
// taken for one of another boot: nothing on a file system that lives in memory.
func bootID(root int) (string, error) {
	magic, err := linux.Fstatfs(root)
	if err != nil {
		return "", fmt.Errorf("check file system of the state root: %w", err)
	}
	if magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC {
		return "", nil
	}
	id, err := linux.BootID()
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return id, nil
}
