package specconv

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patch returns the document with changes: lines of a JSON pointer and, after
// a space, the JSON value to put there ("-" as last name appends to an array),
// or nothing to take the member away.
func patch(t testing.TB, document []byte, changes string) []byte {
	t.Helper()
	out, err := tryPatch(document, changes)
	if err != nil {
		t.Fatalf("%s: %v", changes, err)
	}
	return out
}

func tryPatch(document []byte, changes string) ([]byte, error) {
	root, err := decodeAny(string(document))
	for line := range strings.Lines(changes) {
		pointer, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pointer != "" && err == nil {
			root, err = change(root, strings.Split(pointer, "/")[1:], value)
		}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(root)
}

func decodeAny(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v)
}

func change(v any, names []string, value string) (any, error) {
	if len(names) == 0 {
		return decodeAny(value)
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(names[0])
	switch v := v.(type) {
	case []any:
		if name == "-" {
			e, err := change(nil, names[1:], value)
			return append(v, e), err
		}
		i, err := strconv.Atoi(name)
		if err != nil || i >= len(v) {
			return nil, errors.New("no element " + name)
		}
		v[i], err = change(v[i], names[1:], value)
		return v, err
	case map[string]any:
		if value == "" && len(names) == 1 {
			delete(v, name)
			return v, nil
		}
		e, err := change(v[name], names[1:], value)
		v[name] = e
		return v, err
	case nil:
		e, err := change(nil, names[1:], value)
		if name == "-" {
			return []any{e}, err
		}
		return map[string]any{name: e}, err
	}
	return nil, errors.New("no place for " + name)
}

func plainConfig(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/config-plain.json")
	check(t, err)
	return data
}

const nul = `\u0000`

// broken are changes that make the plain document invalid. Where more than one
// problem follows from the same fault, only one is named.
var broken = []struct{ change, pointer, msg string }{
	// Version and root.
	{`/ociVersion`, "/ociVersion", "is required"},
	{`/ociVersion ""`, "/ociVersion", "is required"},
	{`/ociVersion "1.0"`, "/ociVersion", `"1.0" is not in SemVer`},
	{`/ociVersion "1.0.0.0"`, "/ociVersion", "SemVer"},
	{`/ociVersion "v1.0.0"`, "/ociVersion", "SemVer"},
	{`/ociVersion "1.02.0"`, "/ociVersion", "SemVer"},
	{`/ociVersion "1.0.0-"`, "/ociVersion", "SemVer"},
	{`/ociVersion "1.0.0-01"`, "/ociVersion", "SemVer"},
	{`/ociVersion "1.0.0+a..b"`, "/ociVersion", "SemVer"},
	{`/ociVersion "1.0.0 "`, "/ociVersion", "SemVer"},
	{`/ociVersion "0.9.9"`, "/ociVersion", `version "0.9.9" is not supported`},
	{`/ociVersion "2.0.0"`, "/ociVersion", `version "2.0.0" is not supported`},
	{`/root`, "/root", "root must be specified"},
	{`/root {}`, "/root/path", "is required"},
	{`/root/path "a` + nul + `b"`, "/root/path", `contains nul byte (\x00)`},

	// Mounts.
	{`/mounts/0/destination ""`, "/mounts/0/destination", "is required"},
	{`/mounts/0/destination "/"`, "/mounts/0/destination", `mountpoint "/" is on the top of rootfs`},
	{`/mounts/0/destination "/proc/../.."`, "/mounts/0/destination", "is on the top of rootfs"},
	{`/mounts/0/destination "."`, "/mounts/0/destination", "is on the top of rootfs"},
	{`/mounts/0/destination "/a` + nul + `"`, "/mounts/0/destination", "nul byte"},
	{`/mounts/0/type`, "/mounts/0/type", "is required unless it is a bind mount"},
	{`/mounts/0/type "proc` + nul + `"`, "/mounts/0/type", "nul byte"},
	{`/mounts/1/options/1 "size=1` + nul + `"`, "/mounts/1/options/1", "nul byte"},
	{`/mounts/2/source`, "/mounts/2/source", "is required for a bind mount"},
	{`/mounts/2/source "` + nul + `"`, "/mounts/2/source", "nul byte"},
	{`/mounts/0/type "bind"`, "/mounts/0/options", `needs the option "bind" or "rbind"`},
	{`/mounts/2/options/- "idmap"`, "/mounts/2", "an id-mapped mount is not supported by this release"},
	{`/mounts/2/options/- "ridmap"`, "/mounts/2", "an id-mapped mount is not supported by this release"},
	{`/mounts/2/uidMappings [{"containerID":0,"hostID":1,"size":1}]`, "/mounts/2", "must be specified along with each other"},
	{"/mounts/2/uidMappings [{\"size\":1}]\n/mounts/2/gidMappings [{\"size\":0}]", "/mounts/2/gidMappings/0/size", "greater than zero"},

	// Process.
	{`/process`, "/process", "process property must not be empty"},
	{`/process/args`, "/process/args", "args must not be empty"},
	{`/process/args []`, "/process/args", "args must not be empty"},
	{`/process/args/- "a` + nul + `"`, "/process/args/1", "nul byte"},
	{`/process/cwd`, "/process/cwd", "Cwd property must not be empty"},
	{`/process/cwd "tmp"`, "/process/cwd", "Cwd must be an absolute path"},
	{`/process/cwd "/` + nul + `"`, "/process/cwd", "nul byte"},
	{`/process/env/- "PATH"`, "/process/env/2", "invalid environment variable: missing '='"},
	{`/process/env/- ""`, "/process/env/2", "missing '='"},
	{`/process/env/- "=x"`, "/process/env/2", "invalid environment variable: name cannot be empty"},
	{`/process/env/- "A=` + nul + `"`, "/process/env/2", `invalid environment variable "A": contains nul byte (\x00)`},
	{"/process/terminal true\n/process/consoleSize {\"height\":65536,\"width\":1}", "/process/consoleSize/height", "out of range"},
	{"/process/terminal true\n/process/consoleSize {\"height\":1,\"width\":70000}", "/process/consoleSize/width", "out of range"},
	{`/process/user/uid 4294967295`, "/process/user/uid", "is not an id"},
	{`/process/user/gid 4294967295`, "/process/user/gid", "is not an id"},
	{`/process/user/additionalGids [1,4294967295]`, "/process/user/additionalGids/1", "is not an id"},
	{`/process/user/umask 512`, "/process/user/umask", "512 (01000) exceeds 0777"},
	{`/process/rlimits/0/type "NOFILE"`, "/process/rlimits/0/type", `"NOFILE" is not one of RLIMIT_AS`},
	{`/process/rlimits/0/type`, "/process/rlimits/0/type", "is required"},
	{`/process/rlimits/- {"type":"RLIMIT_NOFILE","soft":1,"hard":2}`, "/process/rlimits/1/type", `"RLIMIT_NOFILE" is duplicated`},
	{`/process/rlimits/0/soft 1025`, "/process/rlimits/0/soft", "1025 exceeds the hard limit 1024"},
	{`/process/apparmorProfile "a\nb"`, "/process/apparmorProfile", "new line"},
	{`/process/selinuxLabel "` + nul + `"`, "/process/selinuxLabel", "nul byte"},
	{`/process/oomScoreAdj 1001`, "/process/oomScoreAdj", "1001 is out of range (-1000 to 1000)"},
	{`/process/oomScoreAdj -1001`, "/process/oomScoreAdj", "out of range"},
	{`/process/scheduler {"policy":"SCHED_OTHER"}`, "/process/scheduler", "scheduler is not supported by this release"},
	{`/process/scheduler {}`, "/process/scheduler/policy", "is required: one of SCHED_OTHER"},
	{`/process/scheduler {"policy":"SCHED_BEST"}`, "/process/scheduler/policy", `"SCHED_BEST" is not one of`},
	{`/process/scheduler {"policy":"SCHED_OTHER","nice":20}`, "/process/scheduler/nice", "out of range (-20 to 19)"},
	{`/process/scheduler {"policy":"SCHED_OTHER","priority":1}`, "/process/scheduler/priority", "can only be specified for"},
	{`/process/scheduler {"policy":"SCHED_FIFO"}`, "/process/scheduler/priority", "out of range (1 to 99)"},
	{`/process/scheduler {"policy":"SCHED_OTHER","runtime":1}`, "/process/scheduler", "can only be specified for SCHED_DEADLINE"},
	{`/process/scheduler {"policy":"SCHED_DEADLINE","runtime":3,"deadline":2,"period":4}`, "/process/scheduler", "does not hold"},
	{`/process/scheduler {"policy":"SCHED_RR","priority":1,"flags":["X"]}`, "/process/scheduler/flags/0", `"X" is not one of`},
	{`/process/ioPriority {"class":"IOPRIO_CLASS_BE","priority":1}`, "/process/ioPriority", "ioPriority is not supported by this release"},
	{`/process/ioPriority {"class":"IOPRIO_CLASS_NONE"}`, "/process/ioPriority/class", "is not one of"},
	{`/process/ioPriority {"class":"IOPRIO_CLASS_BE","priority":8}`, "/process/ioPriority/priority", "out of range (0 to 7)"},
	{`/process/execCPUAffinity {"initial":"0"}`, "/process/execCPUAffinity", "execCPUAffinity is not supported by this release"},
	{`/process/execCPUAffinity {"final":"0-"}`, "/process/execCPUAffinity/final", "is not a list of numbers"},

	// Names, hooks, annotations.
	{`/linux/namespaces/3/type "time"`, "/hostname", "unable to set hostname without a private UTS namespace"},
	{"/hostname\n/domainname \"x\"\n/linux/namespaces []\n/linux/sysctl\n/linux/maskedPaths\n/linux/readonlyPaths", "/domainname", "unable to set domainname without a private UTS namespace"},
	{`/hostname "` + strings.Repeat("a", 65) + `"`, "/hostname", "longer than 64 bytes"},
	{`/domainname "a` + nul + `"`, "/domainname", "nul byte"},
	{`/hooks/poststop/0/path "true"`, "/hooks/poststop/0/path", `"true" is not an absolute path`},
	{`/hooks/poststop/0/path`, "/hooks/poststop/0/path", "is not an absolute path"},
	{`/hooks/poststop/0/timeout 0`, "/hooks/poststop/0/timeout", "0 is not greater than zero"},
	{`/hooks/prestart [{"path":"/a","timeout":-1}]`, "/hooks/prestart/0/timeout", "-1 is not greater than zero"},
	{`/hooks/createRuntime [{"path":"/a","env":["B"]}]`, "/hooks/createRuntime/0/env/0", "missing '='"},
	{`/hooks/createContainer [{"path":"/a","args":["` + nul + `"]}]`, "/hooks/createContainer/0/args/0", "nul byte"},
	{`/hooks/startContainer [{"path":"/a"},{"path":"./a"}]`, "/hooks/startContainer/1/path", "absolute"},
	{`/hooks/poststart [{"path":"/` + nul + `"}]`, "/hooks/poststart/0/path", "nul byte"},
	{`/annotations {"":"x"}`, "/annotations/", "key must not be an empty string"},

	// Namespaces and mappings.
	{`/linux/namespaces/0/type "pids"`, "/linux/namespaces/0/type", `"pids" is not one of pid network`},
	{`/linux/namespaces/0/type`, "/linux/namespaces/0/type", "is required"},
	{`/linux/namespaces/- {"type":"pid"}`, "/linux/namespaces/6", `malformed spec file: duplicated ns "pid"`},
	{`/linux/namespaces/1/path "netns/a"`, "/linux/namespaces/1/path", `"netns/a" is not an absolute path`},
	{`/linux/namespaces/1/path "/a` + nul + `"`, "/linux/namespaces/1/path", "nul byte"},
	{"/linux/namespaces/- {\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}", "/linux/namespaces/6", "a user namespace is not supported by this release"},
	{`/linux/namespaces/- {"type":"user"}`, "/linux/namespaces", "no namespace path to join nor mappings to apply"},
	{`/linux/uidMappings [{"size":1}]`, "/linux", "user namespace mappings specified, but user namespace isn't enabled"},
	{`/linux/gidMappings [{"size":1}]`, "/linux/gidMappings", "gidMappings is not supported by this release"},
	{`/linux/uidMappings [{"size":0}]`, "/linux/uidMappings/0/size", "greater than zero"},
	{`/linux/uidMappings [{"containerID":1,"size":4294967295}]`, "/linux/uidMappings/0", "beyond the last id 4294967294"},
	{`/linux/uidMappings [{"hostID":5,"size":10},{"containerID":20,"hostID":14,"size":1}]`, "/linux/uidMappings/1", "overlaps /uidMappings/0"},
	{`/linux/gidMappings [{"size":10},{"containerID":9,"hostID":14,"size":1}]`, "/linux/gidMappings/1", "overlaps /gidMappings/0"},
	{`/linux/namespaces/- {"type":"time"}`, "/linux/namespaces/6", "a time namespace is not supported by this release"},
	{`/linux/timeOffsets {"monotonic":{"secs":1}}`, "/linux/timeOffsets", "but time namespace isn't enabled in the config"},
	{`/linux/timeOffsets {"realtime":{"secs":1}}`, "/linux/timeOffsets/realtime", "only monotonic and boottime"},
	{`/linux/timeOffsets {"boottime":{"nanosecs":1000000000}}`, "/linux/timeOffsets/boottime/nanosecs", "out of range"},
	{"/linux/namespaces/- {\"type\":\"time\",\"path\":\"/t\"}\n/linux/timeOffsets {\"boottime\":{}}", "/linux/timeOffsets", "you may only provide one"},

	// Devices.
	{`/linux/devices/0/path "dev/fuse"`, "/linux/devices/0/path", "is not an absolute path"},
	{`/linux/devices/0/path "/dev/.."`, "/linux/devices/0/path", "is the root directory"},
	{`/linux/devices/0/path "/dev/` + nul + `"`, "/linux/devices/0/path", "nul byte"},
	{`/linux/devices/0/type "a"`, "/linux/devices/0/type", `"a" is not one of c b u p`},
	{`/linux/devices/0/type`, "/linux/devices/0/type", "is required"},
	{`/linux/devices/0/major -1`, "/linux/devices/0/major", "-1 is out of range (0 to 4095)"},
	{`/linux/devices/0/minor 1048576`, "/linux/devices/0/minor", "out of range (0 to 1048575)"},
	{`/linux/devices/0/fileMode 65536`, "/linux/devices/0/fileMode", "65536 (0200000) has bits beyond the permissions"},
	{`/linux/devices/0/fileMode 24960`, "/linux/devices/0/fileMode", "beyond the permissions"},
	{`/linux/devices/0/uid 4294967295`, "/linux/devices/0/uid", "is not an id"},
	{`/linux/devices/0/gid 4294967295`, "/linux/devices/0/gid", "is not an id"},
	{`/linux/devices/- {"type":"c","path":"/dev//fuse","major":1,"minor":3}`, "/linux/devices/1", "is another device than /linux/devices/0"},
	{`/linux/netDevices {"eth0":{}}`, "/linux/netDevices", "netDevices is not supported by this release"},
	{`/linux/netDevices {"a/b":{}}`, "/linux/netDevices/a~1b", `invalid network device name "a/b"`},
	{`/linux/netDevices {"a":{"name":"0123456789abcdef"}}`, "/linux/netDevices/a/name", "invalid network device name"},
	{`/linux/netDevices {"..":{}}`, "/linux/netDevices/..", "invalid network device name"},
	{"/linux/netDevices {\"a\":{}}\n/linux/namespaces/1/type \"time\"", "/linux/netDevices", "unable to move network devices without a NET namespace"},

	// Control groups.
	{`/linux/cgroupsPath "/a/../b"`, "/linux/cgroupsPath", `has a ".." in it`},
	{`/linux/cgroupsPath "/"`, "/linux/cgroupsPath", "is a root of the cgroup hierarchy"},
	{`/linux/cgroupsPath "./"`, "/linux/cgroupsPath", "is a root of the cgroup hierarchy"},
	{`/linux/cgroupsPath "../x"`, "/linux/cgroupsPath", `has a ".." in it`},
	{`/linux/cgroupsPath "/a` + nul + `"`, "/linux/cgroupsPath", "control character"},
	{`/linux/cgroupsPath "/a\nb"`, "/linux/cgroupsPath", "control character"},
	{`/linux/cgroupsPath "` + strings.Repeat("x", 256) + `"`, "/linux/cgroupsPath", "longer than 255 bytes"},
	{`/linux/cgroupsPath "` + strings.Repeat("/x", 2048) + `"`, "/linux/cgroupsPath", "longer than 4095 bytes"},
	{`/linux/resources/devices/0/type "d"`, "/linux/resources/devices/0/type", "is not one of a b c"},
	{`/linux/resources/devices/0/access "rwx"`, "/linux/resources/devices/0/access", "is not made of r, w and m"},
	{`/linux/resources/devices/0/major -2`, "/linux/resources/devices/0/major", "out of range"},
	{`/linux/resources/devices/0/minor 1048576`, "/linux/resources/devices/0/minor", "out of range"},
	{`/linux/resources/memory/limit -2`, "/linux/resources/memory/limit", "neither a number of bytes nor -1"},
	{`/linux/resources/memory/kernelTCP -9`, "/linux/resources/memory/kernelTCP", "neither a number of bytes nor -1"},
	{`/linux/resources/memory/swap 4096`, "/linux/resources/memory/swap", "can't be limited below memory alone"},
	{`/linux/resources/memory/swappiness 101`, "/linux/resources/memory/swappiness", "out of range"},
	{`/linux/resources/cpu/burst 50001`, "/linux/resources/cpu/burst", "50001 is larger than the quota 50000"},
	{`/linux/resources/cpu/idle 2`, "/linux/resources/cpu/idle", "out of range (0 to 1)"},
	{`/linux/resources/cpu/cpus "3-1"`, "/linux/resources/cpu/cpus", "is not a list of numbers"},
	{`/linux/resources/cpu/mems "0,"`, "/linux/resources/cpu/mems", "is not a list of numbers"},
	{`/linux/resources/cpu/mems "0\n1"`, "/linux/resources/cpu/mems", "is not a list of numbers"},
	{`/linux/resources/blockIO {"weightDevice":[{"major":8,"minor":0}]}`, "/linux/resources/blockIO/weightDevice/0", "at least one of weight and leafWeight"},
	{`/linux/resources/blockIO {"throttleReadIOPSDevice":[{"major":-8,"minor":0,"rate":1}]}`, "/linux/resources/blockIO/throttleReadIOPSDevice/0/major", "out of range"},
	{`/linux/resources/hugepageLimits [{"pageSize":"2M","limit":1}]`, "/linux/resources/hugepageLimits/0/pageSize", `"2M" is not a size like`},
	{`/linux/resources/hugepageLimits [{"pageSize":"../2MB","limit":1}]`, "/linux/resources/hugepageLimits/0/pageSize", "is not a size like"},
	{`/linux/resources/hugepageLimits [{"pageSize":"02MB"}]`, "/linux/resources/hugepageLimits/0/pageSize", "is not a size like"},
	{`/linux/resources/network {"priorities":[{"name":"a b","priority":1}]}`, "/linux/resources/network/priorities/0/name", "invalid network device name"},
	{`/linux/resources/rdma {"mlx 5":{"hcaHandles":1}}`, "/linux/resources/rdma/mlx 5", "invalid rdma device name"},
	{`/linux/resources/rdma {"mlx5":{}}`, "/linux/resources/rdma/mlx5", "at least one of hcaHandles and hcaObjects"},
	{`/linux/resources/unified {"../memory.high":"1"}`, "/linux/resources/unified/..~1memory.high", "must be a file name (no slashes)"},
	{`/linux/resources/unified {"..":"1"}`, "/linux/resources/unified/..", "is not a file name like"},
	{`/linux/resources/unified {"":"1"}`, "/linux/resources/unified/", "is not a file name like"},
	{`/linux/resources/unified {"memory.high\n":"1"}`, "/linux/resources/unified/memory.high\n", "is not a file name like"},
	{`/linux/resources/unified {"` + strings.Repeat("m.", 2500) + `":"1"}`, "/linux/resources/unified/" + strings.Repeat("m.", 2500), "is not a file name like"},
	{`/linux/resources/unified {"cgroup.procs":"1"}`, "/linux/resources/unified/cgroup.procs", "moves processes"},
	{`/linux/resources/unified {"memory.high":"1` + nul + `"}`, "/linux/resources/unified/memory.high", "nul byte"},

	// Kernel parameters.
	{`/linux/sysctl {"kernel.core_pattern":"|/x"}`, "/linux/sysctl/kernel.core_pattern", `sysctl "kernel.core_pattern" is not in a separate kernel namespace`},
	{`/linux/sysctl {"vm/swappiness":"1"}`, "/linux/sysctl/vm~1swappiness", `sysctl "vm.swappiness" is not in a separate`},
	{`/linux/sysctl {"net/../kernel/core_pattern":"|/x"}`, "/linux/sysctl/net~1..~1kernel~1core_pattern", "is not a valid name"},
	{`/linux/sysctl {"net.//.kernel.core_pattern":"|/x"}`, "/linux/sysctl/net.~1~1.kernel.core_pattern", "is not a valid name"},
	{`/linux/sysctl {"net..ipv4":"1"}`, "/linux/sysctl/net..ipv4", "is not a valid name"},
	{`/linux/sysctl {"fs.mqueue./../x":"1"}`, "/linux/sysctl/fs.mqueue.~1..~1x", "is not a valid name"},
	{`/linux/sysctl {"":"1"}`, "/linux/sysctl/", "is not a valid name"},
	{`/linux/sysctl {"net.a` + nul + `":"1"}`, "/linux/sysctl/net.a\x00", "is not a valid name"},
	{`/linux/sysctl {"net.ipv4.ip_forward":"1` + nul + `"}`, "/linux/sysctl/net.ipv4.ip_forward", "nul byte"},
	{`/linux/sysctl {"kernel.hostname":"x"}`, "/linux/sysctl/kernel.hostname", `conflicts with the OCI "hostname" field`},
	{`/linux/sysctl {"user.max_user_namespaces":"1"}`, "/linux/sysctl/user.max_user_namespaces", "setting ucounts without a user namespace not allowed"},
	{"/linux/namespaces/2/type \"time\"", "/linux/sysctl/kernel.shmmax", `sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace`},
	{"/linux/namespaces/1/type \"time\"", "/linux/sysctl/net.ipv4.ip_forward", `sysctl "net.ipv4.ip_forward" not allowed in host network namespace`},
	{"/hostname\n/linux/namespaces/3/type \"time\"\n/linux/sysctl {\"kernel.domainname\":\"x\"}", "/linux/sysctl/kernel.domainname", "not in a separate kernel namespace"},

	// Seccomp.
	{`/linux/seccomp/defaultAction`, "/linux/seccomp/defaultAction", "is required"},
	{`/linux/seccomp/defaultAction "SCMP_ACT_DENY"`, "/linux/seccomp/defaultAction", `"SCMP_ACT_DENY" is not one of`},
	{`/linux/seccomp/defaultAction "SCMP_ACT_KILL"`, "/linux/seccomp/defaultErrnoRet", `the action "SCMP_ACT_KILL" does not support an errno`},
	{`/linux/seccomp/defaultErrnoRet 4096`, "/linux/seccomp/defaultErrnoRet", "out of range (0 to 4095)"},
	{`/linux/seccomp/architectures/0 "x86_64"`, "/linux/seccomp/architectures/0", "is not one of SCMP_ARCH_X86"},
	{`/linux/seccomp/flags/0 "TSYNC"`, "/linux/seccomp/flags/0", "is not one of SECCOMP_FILTER_FLAG_TSYNC"},
	{`/linux/seccomp/listenerMetadata "x"`, "/linux/seccomp/listenerMetadata", "must not be set without listenerPath"},
	{`/linux/seccomp/listenerPath "` + nul + `"`, "/linux/seccomp/listenerPath", "nul byte"},
	{`/linux/seccomp/syscalls/0/names []`, "/linux/seccomp/syscalls/0/names", "must contain at least one entry"},
	{`/linux/seccomp/syscalls/0/names/- "x` + nul + `"`, "/linux/seccomp/syscalls/0/names/2", "nul byte"},
	{`/linux/seccomp/syscalls/0/action`, "/linux/seccomp/syscalls/0/action", "is required"},
	{`/linux/seccomp/syscalls/0/errnoRet 1`, "/linux/seccomp/syscalls/0/errnoRet", `the action "SCMP_ACT_ALLOW" does not support an errno`},
	{`/linux/seccomp/syscalls/1/args/0/index 6`, "/linux/seccomp/syscalls/1/args/0/index", "out of range (0 to 5)"},
	{`/linux/seccomp/syscalls/1/args/0/op "=="`, "/linux/seccomp/syscalls/1/args/0/op", "is not one of SCMP_CMP_NE"},
	{`/linux/seccomp/syscalls/1/args/0/op`, "/linux/seccomp/syscalls/1/args/0/op", "is required"},
	{`/linux/seccomp/syscalls/1/action "SCMP_ACT_NOTIFY"`, "/linux/seccomp/syscalls/1/action", "SCMP_ACT_NOTIFY is not supported by this release"},
	{`/linux/seccomp/syscalls/0/action "SCMP_ACT_NOTIFY"`, "/linux/seccomp/syscalls/0/names/1", "cannot be used for the write syscall"},
	{"/linux/seccomp/defaultErrnoRet\n/linux/seccomp/defaultAction \"SCMP_ACT_NOTIFY\"", "/linux/seccomp/defaultAction", "cannot be used as default action"},

	// The rest of linux, and other sections.
	{`/linux/rootfsPropagation "none"`, "/linux/rootfsPropagation", `rootfsPropagation="none" is not supported`},
	{`/linux/maskedPaths/0 "proc/kcore"`, "/linux/maskedPaths/0", "is not an absolute path"},
	{`/linux/maskedPaths/0 "/proc/.."`, "/linux/maskedPaths/0", "is the root directory"},
	{`/linux/readonlyPaths/0 ""`, "/linux/readonlyPaths/0", "is not an absolute path"},
	{`/linux/readonlyPaths/0 "/` + nul + `"`, "/linux/readonlyPaths/0", "nul byte"},
	{"/linux/readonlyPaths\n/linux/namespaces/4/type \"time\"", "/linux/maskedPaths", "unable to restrict sys entries without a private MNT namespace"},
	{`/linux/mountLabel "a\nb"`, "/linux/mountLabel", "new line"},
	{`/linux/personality {"domain":"LINUX"}`, "/linux/personality", "personality is not supported by this release"},
	{`/linux/personality {"domain":"BSD"}`, "/linux/personality/domain", `"BSD" is not one of LINUX LINUX32`},
	{`/linux/personality {"domain":"LINUX","flags":["X"]}`, "/linux/personality/flags", "no flag is supported"},
	{`/linux/memoryPolicy {"mode":"MPOL_LOCAL"}`, "/linux/memoryPolicy", "memoryPolicy is not supported by this release"},
	{`/linux/memoryPolicy {"mode":"MPOL_X"}`, "/linux/memoryPolicy/mode", "is not one of MPOL_DEFAULT"},
	{`/linux/memoryPolicy {"mode":"MPOL_BIND"}`, "/linux/memoryPolicy/nodes", "MPOL_BIND needs at least one node"},
	{`/linux/memoryPolicy {"mode":"MPOL_DEFAULT","nodes":"0"}`, "/linux/memoryPolicy/nodes", "MPOL_DEFAULT goes without nodes"},
	{`/linux/memoryPolicy {"mode":"MPOL_PREFERRED","nodes":"0-a"}`, "/linux/memoryPolicy/nodes", "is not a list of numbers"},
	{`/linux/memoryPolicy {"mode":"MPOL_PREFERRED","flags":["X"]}`, "/linux/memoryPolicy/flags/0", "is not one of"},
	{`/linux/intelRdt {"closID":"a"}`, "/linux/intelRdt", "intelRdt is not supported by this release"},
	{`/linux/intelRdt {"closID":"../x"}`, "/linux/intelRdt/closID", `invalid intelRdt.ClosID "../x"`},
	{`/linux/intelRdt {"l3CacheSchema":"L3:0=f\nMB:0=1"}`, "/linux/intelRdt/l3CacheSchema", "new line"},
	{`/linux/intelRdt {"memBwSchema":"L3:0=f"}`, "/linux/intelRdt/memBwSchema", `does not start with "MB:"`},
	{`/linux/intelRdt {"schemata":["a","a\n"]}`, "/linux/intelRdt/schemata/1", "new line"},
	{`/vm {"kernel":{"path":"/k"}}`, "/vm", "vm is not supported by this release"},
}

func TestBroken(t *testing.T) {
	base := plainConfig(t)
	if len(broken) < 120 {
		t.Errorf("only %d documents", len(broken))
	}
	for _, c := range broken {
		spec, err := ParseSpec(patch(t, base, c.change))
		if err != nil {
			t.Errorf("%s: %v", c.change, err)
			continue
		}
		err = Validate(spec)
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: got %v", c.change, err)
			continue
		}
		hits := 0
		for _, p := range problems {
			if p.Pointer == c.pointer && strings.Contains(p.Msg, c.msg) {
				hits++
			}
			if !strings.HasPrefix(p.Section, "config") || !strings.Contains(p.Section, ".md") {
				t.Errorf("%s: section %q", c.change, p.Section)
			}
		}
		if hits != 1 || len(problems) > 4 {
			t.Errorf("%s: got %v, want %s: %s", c.change, err, c.pointer, c.msg)
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s: more than a line: %q", c.change, err)
		}
	}
}

// TestValid has changes that look odd and must pass.
func TestValid(t *testing.T) {
	base := plainConfig(t)
	for _, changes := range []string{
		``,
		`/ociVersion "1.0.0-rc5"`, `/ociVersion "1.0.2-dev"`, `/ociVersion "1.3.0+dev.1"`, `/ociVersion "1.99.0"`, `/ociVersion "1.0.0-rc1-dev"`,
		`/mounts/0/destination "proc"`, `/mounts/0/destination "/a/../b"`, `/mounts/0/options ["", "unknown=1", "X-word"]`,
		`/mounts/2/type`, `/mounts/2/type "bind"`, `/mounts/- {"destination":"/x","options":["remount","ro"]}`,
		`/mounts`, `/mounts null`, `/annotations {}`, `/hostname ""`, `/hooks {"prestart":null,"poststop":[]}`,
		`/process/env []`, `/process/env/- "A="`, `/process/env/- "A=B=C"`, `/process/args/0 ""`,
		`/process/consoleSize {"height":70000,"width":70000}`, `/process/user/umask 511`, `/process/user/uid 4294967294`,
		`/process/capabilities/effective ["CAP_OF_TOMORROW",""]`, `/process/oomScoreAdj -1000`, `/process/execCPUAffinity {}`,
		`/process/rlimits/0 {"type":"RLIMIT_NPROC","soft":18446744073709551615,"hard":18446744073709551615}`,
		`/process/commandLine "x"`, `/process/user/username "x"`,
		`/linux/uidMappings null`, `/linux/uidMappings []`, `/linux/timeOffsets {}`, `/linux/netDevices {}`, `/linux/personality null`,
		`/linux/cgroupsPath ""`, `/linux/cgroupsPath "system.slice:docker:abc"`, `/linux/cgroupsPath "rel/./a//..b"`,
		`/linux/devices/- {"type":"p","path":"/run/pipe","major":-7}`, `/linux/devices/- {"type":"c","path":"/dev/fuse","major":10,"minor":229}`,
		`/linux/devices/0/fileMode 8630`, `/linux/devices/0/type "u"`,
		`/linux/resources {"memory":{"disableOOMKiller":false,"limit":0,"swap":0,"swappiness":0},"cpu":{"shares":0,"quota":0,"burst":0},"blockIO":{"weight":0},"pids":{"limit":-1},"devices":[],"hugepageLimits":[],"unified":{}}`,
		`/linux/resources {"memory":{"limit":4096,"swap":-1},"cpu":{"quota":-1,"burst":5,"cpus":"0","mems":""},"pids":{"limit":0}}`,
		`/linux/resources {"devices":[{"allow":true},{"allow":true,"type":"c","major":-1,"minor":-1,"access":"m"}]}`,
		`/linux/resources {"unified":{"io.max":"8:0 rbps=1\n8:16 rbps=2","hugetlb.1GB.max":"max","cgroup.freeze":"0"}}`,
		`/linux/resources null`, `/linux/seccomp null`, `/linux/seccomp {"defaultAction":"SCMP_ACT_ALLOW","flags":[],"syscalls":null}`,
		`/linux/seccomp/listenerPath "/run/agent"`, `/linux/seccomp/syscalls/0/names/- "call_of_tomorrow"`,
		`/linux/seccomp/syscalls/- {"names":["ptrace"],"action":"SCMP_ACT_TRACE","errnoRet":65535}`,
		`/linux/sysctl {"net/ipv4/conf/eth0.100/forwarding":"1","net.ipv4.conf.eth0/100.forwarding":"1","fs.mqueue.msg_max":"1","kernel.domainname":"x"}`,
		`/linux/rootfsPropagation "rslave"`, `/linux/maskedPaths []`, `/linux/readonlyPaths null`,
		"/linux\n/hostname", `/windows {"layerFolders":[]}`, `/solaris {}`, `/zos {}`, `/freebsd {}`, `/tomorrow {"x":[1]}`,
	} {
		spec, err := ParseSpec(patch(t, base, changes))
		if err == nil {
			err = Validate(spec)
		}
		if err != nil {
			t.Errorf("%s: %v", changes, err)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	spec, err := ParseSpec(patch(t, plainConfig(t), "/root\n/process/cwd \"x\"\n/linux/sysctl {\"b\":\"\",\"a\":\"\"}"))
	check(t, err)
	got, want := Validate(spec).Error(), `/root: root must be specified (config.md#root); `+
		`/process/cwd: Cwd must be an absolute path (config.md#process); `+
		`/linux/sysctl/a: sysctl "a" is not in a separate kernel namespace (config-linux.md#sysctl); `+
		`/linux/sysctl/b: sysctl "b" is not in a separate kernel namespace (config-linux.md#sysctl)`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	spec := &specs.Spec{Process: &specs.Process{Env: make([]string, 100_000)}, Mounts: make([]specs.Mount, 10_001)}
	var problems Problems
	if err := Validate(spec); !errors.As(err, &problems) || len(problems) != 101 || len(err.Error()) > 20_000 {
		t.Error(len(problems), "problems")
	}
	spec, err := ParseSpec(plainConfig(t))
	check(t, err)
	spec.Mounts = nil
	for range 10_001 {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/a", Type: "tmpfs"})
	}
	if err := Validate(spec); err == nil || !strings.HasPrefix(err.Error(), "/mounts: 10001 entries exceed the limit of 10000") {
		t.Error(err)
	}
}

func TestValidateParts(t *testing.T) {
	if err := Validate(nil); err == nil {
		t.Error("no spec is valid")
	}
	if err := ValidateProcess(nil); err == nil || err.Error() != "process property must not be empty (config.md#process)" {
		t.Error(err)
	}
	for _, c := range []struct{ doc, want string }{
		{`{"args":["a"],"cwd":"/"}`, ""},
		{`{"args":["a"],"cwd":"a"}`, "/cwd: Cwd must be an absolute path (config.md#process)"},
		{`{"args":["a"],"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_RT"}}`, "/ioPriority: ioPriority is not supported by this release (config.md#linux-process)"},
	} {
		p, err := ParseProcess([]byte(c.doc))
		check(t, err)
		if err := ValidateProcess(p); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v", c.doc, err)
		}
	}
	res, err := ParseResources([]byte(`{"memory":{"limit":-5}}`))
	check(t, err)
	if err := ValidateResources(res); err == nil || !strings.HasPrefix(err.Error(), "/memory/limit: -5 is neither") {
		t.Error(err)
	}
}

// TestEngines checks that what engines send is valid, but for user namespaces.
func TestEngines(t *testing.T) {
	for path, data := range documents(t, "config") {
		spec, err := ParseSpec(data)
		check(t, err)
		err = Validate(spec)
		user := hasNamespace(spec.Linux, specs.UserNamespace)
		if !user && err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var problems Problems
		errors.As(err, &problems)
		for _, p := range problems {
			if !strings.HasSuffix(p.Msg, "is not supported by this release") {
				t.Errorf("%s: %v", path, p)
			}
		}
		if user && err == nil {
			t.Errorf("%s has a user namespace and is valid", path)
		}
	}
	for path, data := range documents(t, "process") {
		p, err := ParseProcess(data)
		check(t, err)
		if err := ValidateProcess(p); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSysctlFile(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":               "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":               "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"net.ipv4.conf.eth0/100.forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"":                                  "", "net.": "", ".net": "", "net/../x": "", "net.//.x": "", "net./.x": "", "net.a\nb": "",
	} {
		if got, ok := sysctlFile(key); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", key, got, ok)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	spec, err := ParseSpec(plainConfig(b))
	check(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if Validate(spec) != nil {
			b.Fatal("invalid")
		}
	}
}

// FuzzValidate puts fragments of the broken documents together: whatever is in
// them, validation ends without a panic and says the same twice.
func FuzzValidate(f *testing.F) {
	base := plainConfig(f)
	for i := range uint64(10) {
		f.Add(i, 3)
	}
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		rng := rand.New(rand.NewPCG(seed, 0))
		document := base
		for range n & 7 {
			c := broken[rng.IntN(len(broken))]
			if changed, err := tryPatch(document, c.change); err == nil {
				document = changed
			}
		}
		spec, err := ParseSpec(document)
		if err != nil {
			return
		}
		first, second := Validate(spec), Validate(spec)
		if (first == nil) != (second == nil) || first != nil && first.Error() != second.Error() {
			t.Errorf("%v\n%v", first, second)
		}
		if first != nil && strings.ContainsAny(first.Error(), "\n\x00") {
			t.Errorf("more than a line: %q", first)
		}
	})
}
