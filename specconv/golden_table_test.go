package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const goldenUser = `/linux/namespaces/- {"type": "user"}
/linux/uidMappings [{"containerID": 0, "hostID": 100000, "size": 65536}]
/linux/gidMappings [{"containerID": 0, "hostID": 100000, "size": 65536}]
`

func inUser(h *Host) { h.BindDevices, h.Capabilities = true, 1<<64-1 }

var goldenPlans = []goldenPlan{
	{"mount-proc", goldenProc, nil},
	{"mount-sysfs", goldenSys, nil},
	{"mount-proc-options", `/mounts/- {"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro", "nosuid", "noexec", "nodev", "hidepid=2"]}`, nil},
	{"mount-tmpfs", `/mounts/- {"destination": "/tmp/a", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "size=65536k", "mode=1777"]}`, nil},
	{"mount-tmpfs-readonly", `/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}
/mounts/- {"destination": "/run/data.conf", "type": "bind", "source": "/srv/data.conf", "options": ["bind"]}`, nil},
	{"mount-tmpfs-copyup", `/mounts/- {"destination": "/var", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}`, nil},
	{"mount-tmpfs-nested", `/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}
/mounts/- {"destination": "/run/a/b", "type": "bind", "source": "/srv/b", "options": ["rbind"]}
/mounts/- {"destination": "/run/a/c.conf", "type": "bind", "source": "/srv/c.conf", "options": ["rbind"]}`, nil},
	{"mount-mqueue", `/mounts/- {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]}`, nil},
	{"mount-devpts", goldenDev + goldenPts, nil},
	{"mount-overlay", `/mounts/- {"destination": "/layers", "type": "overlay", "source": "overlay", "options": ["lowerdir=/a:/b", "upperdir=/c,d", "workdir=/w"]}`, nil},
	{"mount-superblock-flags", `/mounts/- {"destination": "/disk", "type": "ext4", "source": "/dev/sda1", "options": ["sync", "dirsync", "lazytime", "iversion", "silent", "defaults", "ro"]}`, nil},
	{"mount-atime", `/mounts/- {"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["noatime", "strictatime", "nodiratime", "nosymfollow"]}`, nil},
	{"mount-propagation", `/mounts/- {"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["rshared"]}`, nil},
	{"mount-remount", goldenProc + `/mounts/- {"destination": "/proc", "type": "proc", "options": ["remount", "ro"]}`, nil},
	{"mount-label", `/linux/mountLabel "system_u:object_r:container_file_t:s0"
` + goldenDev + `/mounts/- {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}`, func(h *Host) { h.SELinux = true }},
	{"bind-directory", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rprivate"]}`, nil},
	{"bind-file", `/mounts/- {"destination": "/etc/hosts", "type": "bind", "source": "/srv/hosts.txt", "options": ["bind"]}`, nil},
	{"bind-readonly", `/mounts/- {"destination": "/data", "type": "none", "source": "/srv/data", "options": ["rbind", "ro", "nosuid", "nodev", "noexec"]}`, nil},
	{"bind-recursive-readonly", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rro", "rnosuid", "rslave"]}`, nil},
	{"bind-shared", `/mounts/- {"destination": "/a", "type": "bind", "source": "/srv/a", "options": ["rbind"]}
/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rshared"]}
/linux/rootfsPropagation "rshared"`, nil},
	{"bind-clears", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rw", "suid", "dev", "exec", "relatime"]}`, nil},
	{"bind-in-rootfs", `/mounts/- {"destination": "/copy", "type": "bind", "source": "rootfs/etc", "options": ["rbind", "ro"]}`, nil},
	{"bind-links", `/mounts/- {"destination": "/a", "source": "/srv/link.a", "options": ["bind", "src-nofollow", "ro"]}
/mounts/- {"destination": "/etc/b", "source": "/srv/file.b", "options": ["bind", "dest-nofollow"]}
/mounts/- {"destination": "/c", "source": "rootfs/etc/c.d", "options": ["bind", "src-nofollow"]}
/mounts/- {"destination": "/d", "source": "/srv/file.d", "options": ["bind", "copy-symlink"]}`, nil},
	{"bind-link-copied", `/mounts/- {"destination": "/etc/localtime", "source": "/etc/localtime", "options": ["bind", "copy-symlink"]}`, func(h *Host) { h.Sources[0].Link = "../zoneinfo/UTC" }},
	{"bind-link-in-user-namespace", goldenUser + `/mounts/- {"destination": "/a", "source": "/srv/link.a", "options": ["bind", "src-nofollow"]}`, inUser},
	{"bind-in-sysfs", goldenSys + `/mounts/- {"destination": "/sys/fs/bpf", "type": "bind", "source": "/sys/fs/bpf", "options": ["rbind"]}`, nil},
	{"cgroup-v2", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}
/linux/namespaces/- {"type": "cgroup"}`, nil},
	{"cgroup-v2-bound", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}`, nil},
	{"cgroup-v2-bound-rro", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rro", "nosuid"]}`, nil},
	{"cgroup-v1-bound-rro", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rro", "nosuid"]}`, cgroupV1},
	{"cgroup-v1-namespace", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}
/linux/namespaces/- {"type": "cgroup"}`, cgroupV1},
	{"cgroup-v1-bound", goldenSys + `/mounts/- {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}`, cgroupV1},
	{"cgroup-systemd", "", func(h *Host) { h.Cgroup.Gate = true }},
	{"devices-new-dev", goldenDev, nil},
	{"devices-custom", goldenDev + `/linux/devices/- {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 384}
/linux/devices/- {"path": "/dev/disk/a", "type": "b", "major": 8, "minor": 1, "uid": 1, "gid": 6}
/linux/devices/- {"path": "/dev/fifo", "type": "p"}
/linux/devices/- {"path": "/dev/null", "type": "c", "major": 1, "minor": 3}`, nil},
	{"devices-outside", `/linux/devices/- {"path": "/opt/null", "type": "c", "major": 1, "minor": 3, "uid": 5}`, nil},
	{"devices-of-host", goldenDev + `/linux/devices/- {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}
/linux/devices/- {"path": "/dev/kvm", "type": "c", "major": 10, "minor": 232}
/linux/devices/- {"path": "/dev/kvm", "type": "c", "major": 10, "minor": 232}`, nil},
	{"devices-bound-over", goldenDev + `/mounts/- {"destination": "/dev/null", "type": "bind", "source": "/srv/null.dev", "options": ["bind"]}`, nil},
	{"dev-bound", `/mounts/- {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}`, nil},
	{"masks", goldenProc + `/linux/maskedPaths ["/proc/kcore", "/etc/secret"]`, nil},
	{"masks-nested", goldenProc + `/linux/maskedPaths ["/proc/a", "/proc/a/b"]
/linux/readonlyPaths ["/proc/a/b/c"]`, nil},
	{"masks-over-readonly", goldenProc + `/linux/maskedPaths ["/proc/a"]
/linux/readonlyPaths ["/proc/a", "/proc/a/b", "/proc/ab", "/proc/ab/"]`, nil},
	{"readonly-paths", goldenProc + `/linux/readonlyPaths ["/proc/sys", "/proc/sys/kernel", "/etc"]`, nil},
	{"readonly-root", `/root/readonly true`, nil},
	{"sysctl", goldenProc + `/linux/sysctl {"net.ipv4.ip_forward": "1", "kernel.shmmax": "65536", "net/ipv4/conf/eth0.100/forwarding": "0"}`, nil},
	{"sysctl-without-proc", `/linux/sysctl {"kernel.msgmax": "1024"}`, nil},
	{"hostname", `/hostname "name"
/domainname "example.org"`, nil},
	{"hooks", `/hooks {"prestart": [{"path": "/a"}], "createRuntime": [{"path": "/b"}], "startContainer": [{"path": "/c"}], "poststart": [{"path": "/d"}]}`, nil},
	{"terminal", goldenDev + goldenPts + `/process/terminal true`, nil},
	{"terminal-size", goldenDev + goldenPts + `/process/terminal true
/process/consoleSize {"height": 24, "width": 80}
/process/user {"uid": 1000, "gid": 1000}`, nil},
	{"terminal-old-dev", goldenPts + `/process/terminal true`, nil},
	{"user", `/process/user {"uid": 1000, "gid": 100, "additionalGids": [10, 20, 4294967294], "umask": 63}`, func(h *Host) { h.ChownStdio = [3]bool{false, true, true} }},
	{"capabilities-all", `/process/capabilities {"bounding": ["CAP_KILL", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"], "permitted": ["CAP_KILL", "CAP_SYS_ADMIN"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}`, nil},
	{
		"capabilities-less-than-host", `/process/capabilities {"bounding": ["CAP_KILL", "CAP_SYS_ADMIN"], "permitted": ["CAP_KILL", "CAP_SYS_ADMIN"], "effective": ["CAP_KILL", "CAP_SYS_ADMIN"]}`,
		func(h *Host) { h.Capabilities = 1 << unix.CAP_KILL },
	},
	{"memory-low", `/linux/resources {"memory": {"limit": 262144}}`, nil},
	{"no-new-privileges", `/process/noNewPrivileges true`, nil},
	{"seccomp", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW"}`, func(h *Host) { h.FilterFlags = unix.SECCOMP_FILTER_FLAG_LOG }},
	{"seccomp-no-new-privileges", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW"}
/process/noNewPrivileges true`, nil},
	{"seccomp-pending", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW"}
/process/noNewPrivileges true`, func(h *Host) { h.Filter, h.FilterPending = nil, true }},
	{"seccomp-notify", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}`, func(h *Host) {
		h.FilterFlags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}},
	{"rlimits", `/process/rlimits [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}, {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}]`, nil},
	{"rlimits-few-files", `/process/rlimits [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]`, nil},
	{"oom-score", `/process/oomScoreAdj -500`, nil},
	{"scheduler", `/process/scheduler {"policy": "SCHED_BATCH", "nice": 19, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_UTIL_CLAMP_MIN"]}`, nil},
	{"scheduler-deadline", `/process/scheduler {"policy": "SCHED_DEADLINE", "runtime": 42000, "deadline": 100000, "period": 1000000, "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"]}`, nil},
	{"scheduler-real-time", `/process/scheduler {"policy": "SCHED_RR", "priority": 99}
/process/execCPUAffinity {"initial": "0", "final": "1"}`, nil},
	{"scheduler-in-user-namespace", `/process/scheduler {"policy": "SCHED_BATCH"}
/linux/personality {"domain": "LINUX32"}`, func(h *Host) { h.Schedules = true }},
	{"io-priority", `/process/ioPriority {"class": "IOPRIO_CLASS_BE", "priority": 4}`, nil},
	{"memory-policy", `/linux/memoryPolicy {"mode": "MPOL_BIND", "nodes": "0-3,7,64", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"]}`, nil},
	{"memory-policy-default", `/linux/memoryPolicy {"mode": "MPOL_DEFAULT"}`, nil},
	{"personality", `/linux/personality {"domain": "LINUX32"}`, nil},
	{"labels", goldenProc + `/process/apparmorProfile "docker-default"
/process/selinuxLabel "system_u:system_r:container_t:s0"
/process/oomScoreAdj 100`, func(h *Host) { h.SELinux, h.AppArmor = true, true }},
	{"joined-namespaces", `/linux/namespaces [{"type": "mount"}, {"type": "network", "path": "/run/netns/a"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}]`, nil},
	{"joined-pid", goldenProc + `/linux/namespaces [{"type": "pid", "path": "/proc/7/ns/pid"}, {"type": "mount"}, {"type": "uts", "path": "/proc/7/ns/uts"}]`, nil},
	{"net-devices", `/linux/netDevices {"eth1": {"name": "eth0"}}
/linux/sysctl {"net.ipv4.conf.eth0.forwarding": "1"}
/hooks {"createRuntime": [{"path": "/bin/true"}]}`, nil},
	{"id-mapped", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro", "ridmap"], "uidMappings": [{"size": 1}], "gidMappings": [{"size": 1}]}
/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "uidMappings": [{"size": 1}], "gidMappings": [{"size": 1}]}`, nil},
	{"user-namespace", goldenProc + goldenDev + goldenUser + `/process/user {"uid": 1000, "gid": 100}`, inUser},
	{"user-namespace-of-one", goldenUser, func(h *Host) { inUser(h); h.NoSetgroups = true }},
	{"user-namespace-without-root", `/linux/namespaces/- {"type": "user"}
/linux/uidMappings [{"containerID": 5, "hostID": 1000, "size": 1}]
/linux/gidMappings [{"containerID": 6, "hostID": 1000, "size": 1}]
/process/user {"uid": 5, "gid": 6}`, inUser},
	{"user-namespace-host", goldenProc + goldenSys + goldenUser + `/linux/namespaces [{"type": "user"}, {"type": "mount"}]
/process/oomScoreAdj 5`, inUser},
	{"user-namespace-late", `/linux/namespaces [{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/run/netns/a"}]
` + goldenUser + `
/process/oomScoreAdj 5
/process/rlimits [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}]`, inUser},
	{"joined-user", goldenProc + `/linux/namespaces [{"type": "user", "path": "/proc/7/ns/user"}, {"type": "network", "path": "/proc/7/ns/net"}, {"type": "uts", "path": "/proc/8/ns/uts"}, {"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}]
/hostname "name"`, func(h *Host) { inUser(h); h.Inside = []specs.LinuxNamespaceType{specs.NetworkNamespace} }},
	{"joined-user-and-pid", `/linux/namespaces [{"type": "pid", "path": "/proc/7/ns/pid"}, {"type": "user", "path": "/proc/7/ns/user"}, {"type": "mount"}]`, func(h *Host) { inUser(h); h.Inside = []specs.LinuxNamespaceType{specs.PIDNamespace} }},
	{"time-namespace", `/linux/namespaces/- {"type": "time"}
/linux/timeOffsets {"boottime": {"secs": 5}}`, nil},
	{"time-namespace-in-user-namespace", goldenUser + `/linux/namespaces/- {"type": "time"}
/linux/timeOffsets {"boottime": {"secs": 5}}`, inUser},
	{"no-mount-namespace", `/linux/namespaces [{"type": "pid"}]`, nil},
	{"no-pivot", "", func(h *Host) { h.NoPivot, h.HostMounts = true, []string{"/proc", "/sys"} }},
	{"propagation-shared", `/linux/rootfsPropagation "rshared"`, nil},
	{"propagation-private", `/linux/rootfsPropagation "private"`, nil},
	{"cwd", `/process/cwd "/work/dir"`, nil},
	{"cwd-in-tmpfs", `/mounts/- {"destination": "/work", "type": "tmpfs", "source": "tmpfs"}
/process/cwd "/work/dir"
/linux/readonlyPaths ["/work"]`, nil},
	{"args-without-slash", `/process/args ["sh", "-c", "exit 0"]
/process/env ["PATH=/usr/bin:/bin/", "TERM=xterm"]`, nil},
	{"no-start-gate", "", func(h *Host) { h.StartGate = false }},
	{"preserve-fds", "", func(h *Host) { h.PreserveFDs = 3 }},
	{"listen-pid", `/linux/namespaces [{"type": "mount"}]`, func(h *Host) { h.PreserveFDs, h.ListenPid = 1, true }},
	{"no-new-keyring", "", func(h *Host) { h.NoNewKeyring = true }},
	{"null-stdio", goldenDev, func(h *Host) { h.NullStdio = [3]bool{true, false, true} }},
	{"resctrl", "", func(h *Host) {
		h.Cgroup.Joins = []string{"cpu"}
		h.Resctrl = []string{"/sys/fs/resctrl/gold/tasks", "/sys/fs/resctrl/gold/mon_groups/c/tasks"}
	}},
	{"annotation-delegate", `/annotations {"run.oci.delegate-cgroup": "payload"}
/linux/namespaces/- {"type": "cgroup"}`, nil},
	{"annotation-groups", `/annotations {"run.oci.keep_original_groups": "1"}
/process/user {"uid": 1000, "gid": 1000, "additionalGids": [5]}`, nil},
	{"annotation-context", `/annotations {"run.oci.mount_context_type": "rootcontext"}
/linux/mountLabel "system_u:object_r:container_file_t:s0"
/mounts/- {"destination": "/t", "type": "tmpfs", "source": "tmpfs"}`, func(h *Host) { h.SELinux = true }},
	{"mount-idmap-option", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "idmap=uids=0-1000-10;gids=0-2000-10"]}`, nil},
	{"cgroup-join", "", func(h *Host) { h.Cgroup.Joins = []string{"cpu", "memory"} }},
}

// goldenExecs are further processes: the process of the changed goldenBase in a container of its other parts.
var goldenExecs = []goldenPlan{
	{"exec", `/process/cwd "/work"`, nil},
	{"exec-user", `/process/user {"uid": 1000, "gid": 1000}
/process/noNewPrivileges true
/process/capabilities {"bounding": ["CAP_KILL"]}
/process/rlimits [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]`, nil},
	{"exec-terminal", `/process/terminal true`, nil},
	{"exec-listen-pid", "", func(h *Host) { h.PreserveFDs, h.ListenPid = 2, true }},
	{"exec-resctrl", "", func(h *Host) { h.Resctrl = []string{"/sys/fs/resctrl/c/tasks"} }},
	{"exec-labels", `/process/apparmorProfile "docker-default"
/process/oomScoreAdj 5`, func(h *Host) { h.AppArmor = true }},
	{"exec-scheduling", `/process/scheduler {"policy": "SCHED_FIFO", "priority": 1}
/process/ioPriority {"class": "IOPRIO_CLASS_IDLE", "priority": 7}
/linux/memoryPolicy {"mode": "MPOL_INTERLEAVE", "nodes": "0"}
/linux/personality {"domain": "LINUX"}`, nil},
	{"exec-affinity", `/process/execCPUAffinity {"initial": "0,2", "final": "1-3"}`, func(h *Host) { h.Cgroup.Joins = []string{"cpuset", "memory"} }},
	{"exec-affinity-initial", `/process/execCPUAffinity {"initial": "127"}`, func(h *Host) { h.Cgroup.Joins = []string{"cgroup.procs"} }},
	{"exec-in-user-namespace", goldenUser + `/process/oomScoreAdj 5
/process/rlimits [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]`, inUser},
	{"exec-without-pid-namespace", `/linux/namespaces [{"type": "mount"}]`, nil},
	{"exec-without-mount-namespace", `/linux/namespaces [{"type": "pid"}]`, nil},
	{"exec-without-namespaces", `/linux/namespaces []`, nil},
	{"exec-annotation-groups", `/annotations {"run.oci.keep_original_groups": ""}`, nil},
	{"exec-seccomp-pending", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW"}`, func(h *Host) {
		h.Filter, h.FilterPending, h.Cgroup.Joins = nil, true, []string{"tasks"}
	}},
	{"exec-seccomp-notify", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
/process/noNewPrivileges true`, func(h *Host) { h.FilterFlags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER }},
	{"exec-seccomp-notify-sent", `/linux/seccomp {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}`, func(h *Host) {
		h.FilterFlags, h.SendListener = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, true
	}},
}

// goldenErrands are whole plans that change the mounts of a container that exists.
var goldenErrands = []goldenPlan{
	{"mount-add", `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro", "rslave"]}
/mounts/- {"destination": "/etc/hosts", "source": "hosts.txt", "options": ["bind", "noexec"]}
/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=64k"]}
/mounts/- {"destination": "/run/below", "source": "/srv/below", "options": ["bind"]}`, nil},
	{"mount-add-copyup", `/mounts/- {"destination": "/var", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]}`, nil},
	{"mount-add-from-volume", goldenUser + `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/volume/data", "options": ["bind"]}`, func(h *Host) {
		inUser(h)
		h.Sources[len(h.Sources)-1].NoLinks = true
	}},
	{"mount-add-in-user-namespace", goldenUser + `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "idmap"]}
/mounts/- {"destination": "/layers", "type": "overlay", "source": "overlay", "options": ["lowerdir=/a:/b"]}`, inUser},
	{"unmount", `/mounts/- {"destination": "/run/below", "source": "/srv/below", "options": ["bind"]}
/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}`, nil},
	{"unmount-back", `/mounts/- {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}`, nil},
	{"unmount-in-user-namespace", goldenUser + `/mounts/- {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind"]}`, inUser},
}

func cgroupV1(h *Host) {
	h.Cgroup.V2 = false
	h.Cgroup.Hierarchies = []Hierarchy{{"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/pod/x"}, {"memory", "/sys/fs/cgroup/memory/pod/x"}, {"systemd", "/sys/fs/cgroup/systemd/pod/x"}}
}
