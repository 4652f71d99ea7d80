package libct

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options say where a [Runtime] keeps its records and how it treats cgroups. They are the same for every call.
type Options struct {
	// Root is the directory with one subdirectory for each container, "" for [DefaultRoot]. It should be on a tmpfs: what it
	// says is worth nothing after a reboot.
	Root string
	// SystemdCgroup asks for cgroups made by systemd; linux.cgroupsPath then has the form slice:prefix:name. It counts for
	// new containers only: every later call finds the driver in the container's record.
	SystemdCgroup bool
	// NoCgroup makes no cgroups: a new container stays in the cgroup of the caller, without limits, and can't be paused. Like
	// SystemdCgroup, which it excludes, it counts for new containers only.
	NoCgroup bool
	// Rootless says whether a cgroup that may not be written is tolerated: "true", "false", or "auto" (also ""), which
	// tolerates it when the caller is not root of the initial user namespace.
	Rootless string
	// NotifySocket is where the service manager listens (sd_notify(3)): an absolute path, or "@" and an abstract name; "" for
	// nowhere. What a container tells is passed on by Run for as long as it waits for the program, else by Run and Start until the
	// program says that it is ready, which they wait for.
	NotifySocket string
	// WatchdogUsec is how often the service manager wants to hear of the program, in microseconds as text (sd_watchdog_enabled(3));
	// "" for never. It is only told to the program of a Run that waits for it.
	WatchdogUsec string
	// Warn receives one line for everything that went otherwise than asked but does not stop the call. It may be nil and is
	// only called from the goroutine of the call.
	Warn func(string)
	// Debug receives remarks of interest to who looks for a cause, under the same rules.
	Debug func(string)
}

// CreateOptions describe a container that is to be made.
type CreateOptions struct {
	// ID names the container among those of the same root: letters, digits, and any of "_+-.".
	ID string
	// Bundle is the directory that holds config.json; "" is the working directory.
	Bundle string
	// Config is the path of the configuration, if it is not config.json in the bundle. Relative paths in it are still those of the
	// bundle.
	Config string
	// ConsoleSocket is the path of an AF_UNIX stream socket that is sent the master of the console. It is needed if
	// process.terminal is set and the container is detached, and refused in all other cases.
	ConsoleSocket string
	// PidfdSocket is the path of an AF_UNIX socket that is sent a pidfd of the container's init; "" for none.
	PidfdSocket string
	// PidFile is written, whole or not at all, before the call returns: the pid in decimal without a newline; "" for none.
	PidFile string
	// NoPivot enters the root filesystem by MS_MOVE and chroot, for a host that runs from a ramdisk.
	NoPivot bool
	// NoNewKeyring leaves the container in the session keyring of the caller.
	NoNewKeyring bool
	// ListenFDs are sockets from a service manager: descriptors 3 and following.
	ListenFDs ListenFDs
	// PreserveFDs is the number of further descriptors behind them that the container inherits.
	PreserveFDs int
	// Stdio are the standard streams of the container's process where it has no terminal. They stay the caller's.
	Stdio [3]*os.File
}

// ListenFDs are descriptors that a service manager has passed to this process (sd_listen_fds(3)), and that a process in a container
// gets in the same way: LISTEN_FDS, LISTEN_FDNAMES and, with its pid as it is inside, LISTEN_PID.
type ListenFDs struct {
	N     int    // how many
	Names string // LISTEN_FDNAMES, "" for none
}

// RunOptions describe a container that is made and started by one call.
type RunOptions struct {
	CreateOptions
	// Detach returns as soon as the program runs; otherwise the call waits for its end.
	Detach bool
	// Keep leaves the stopped container in place after a run that was not detached.
	Keep bool
	// NoSubreaper leaves orphans of the container to whoever adopts them now, instead of to this process, which otherwise reaps every
	// child that it has while it waits in the foreground. So does Exec.
	NoSubreaper bool
	// OnConsole is given the master of the console before the program starts, if it has a terminal and runs in the
	// foreground. The callee owns the file from then on; an error ends the container.
	OnConsole func(master *os.File) error
	// Signals is called before the program starts, on a goroutine of its own, because asking the Go runtime for signals costs
	// as much as the rest of a start. What it yields is passed on to the container's init while the call waits for it.
	Signals func() <-chan os.Signal
}

// ExecOptions describe one more process for a running container.
type ExecOptions struct {
	// ID names the container.
	ID string
	// Process is the whole process. If it is nil, the process of config.json is taken and changed by the fields from Args
	// to NoNewPrivs, which are ignored otherwise.
	Process *specs.Process

	// Args replace process.args and must not be empty.
	Args []string
	// Cwd replaces process.cwd unless it is "".
	Cwd string
	// Env holds NAME=value strings that are added to process.env; the last of a name counts.
	Env []string
	// TTY replaces process.terminal unless it is nil.
	TTY *bool
	// User replaces process.user if it is not "": uid or uid:gid as [ParseUser] reads it.
	User string
	// AdditionalGids are added to process.user.additionalGids.
	AdditionalGids []uint32
	// Caps are names of capabilities that are added to the bounding, effective and permitted sets, and to the ambient one if
	// the inheritable set is not empty.
	Caps []string
	// ProcessLabel replaces process.selinuxLabel unless it is "".
	ProcessLabel string
	// AppArmor replaces process.apparmorProfile unless it is "".
	AppArmor string
	// NoNewPrivs replaces process.noNewPrivileges unless it is nil.
	NoNewPrivs *bool

	// ConsoleSocket, PidfdSocket, PidFile, ListenFDs, PreserveFDs and Stdio are those of [CreateOptions], for this process.
	ConsoleSocket, PidfdSocket, PidFile string
	ListenFDs                           ListenFDs
	PreserveFDs                         int
	Stdio                               [3]*os.File
	// Cgroups are existing cgroups below the container's: "path" for all controllers, or "controller[,controller]:path".
	Cgroups []string
	// IgnorePaused allows the call in a paused container, where the process waits until it is resumed.
	IgnorePaused bool
	// Detach, OnConsole and Signals are those of [RunOptions], for this process.
	Detach    bool
	OnConsole func(master *os.File) error
	Signals   func() <-chan os.Signal
}
