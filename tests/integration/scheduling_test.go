package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ioPriority is the number of a class and level, ioprio_set(2).
func ioPriority(class, level int) int { return class<<13 | level }

// asCaller is how this process itself is run, as far as a container inherits it.
func asCaller(t *testing.T, v *view) (s scheduling) {
	t.Helper()
	err := v.do(func() error {
		attr, err := unix.SchedGetAttr(0, 0)
		s.Policy, s.Nice, s.Priority = int(attr.Policy), int(attr.Nice), int(attr.Priority)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScheduling(t *testing.T) {
	runAll(t, []kase{
		{"nothing asked for", func(b *bundle) {}, func(t *testing.T, b *bundle, f *facts) {
			want := asCaller(t, b.v)
			equal(t, "policy", f.Scheduling.Policy, want.Policy)
			equal(t, "nice", f.Scheduling.Nice, want.Nice)
			equal(t, "memory policy", f.Scheduling.Memory, unix.MPOL_DEFAULT)
			equal(t, "personality", f.Scheduling.Personality, 0)
		}},
		{"nice", func(b *bundle) {
			b.v.needsRoot(b.t, "it takes CAP_SYS_NICE")
			b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -7}
			b.Process.User.UID = 1000 // set while it still may
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "policy", f.Scheduling.Policy, unix.SCHED_NORMAL)
			equal(t, "nice", f.Scheduling.Nice, -7)
		}},
		{"batch", func(b *bundle) {
			b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 19, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "policy", f.Scheduling.Policy, unix.SCHED_BATCH)
			equal(t, "nice", f.Scheduling.Nice, 19)
			equal(t, "flags", f.Scheduling.Flags, unix.SCHED_FLAG_RESET_ON_FORK)
		}},
		{"idle", func(b *bundle) {
			b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "policy", f.Scheduling.Policy, unix.SCHED_IDLE)
		}},
		{"policy that is kept", func(b *bundle) {
			b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Nice: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagKeepPolicy}}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "policy", f.Scheduling.Policy, asCaller(t, b.v).Policy)
			equal(t, "nice", f.Scheduling.Nice, 3)
		}},
		{"parameters that are kept", func(b *bundle) {
			b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 9, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagKeepParams}}
		}, func(t *testing.T, b *bundle, f *facts) {
			want := asCaller(t, b.v) // the policy counts as one of them
			equal(t, "policy", f.Scheduling.Policy, want.Policy)
			equal(t, "nice", f.Scheduling.Nice, want.Nice)
		}},
		{"deadline", func(b *bundle) {
			b.v.needsRoot(b.t, "it takes CAP_SYS_NICE")
			b.Process.Scheduler = &specs.Scheduler{
				Policy: specs.SchedDeadline, Runtime: 4_200_000, Deadline: 10_000_000, Period: 100_000_000,
				Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagResetOnFork},
			}
		}, func(t *testing.T, b *bundle, f *facts) {
			s := f.Scheduling
			equal(t, "policy", s.Policy, unix.SCHED_DEADLINE)
			equal(t, "parameters", [3]int{s.Runtime, s.Deadline, s.Period}, [3]int{4_200_000, 10_000_000, 100_000_000})
			equal(t, "flags", s.Flags, unix.SCHED_FLAG_RECLAIM|unix.SCHED_FLAG_DL_OVERRUN|unix.SCHED_FLAG_RESET_ON_FORK)
		}},
		{"best-effort I/O", func(b *bundle) {
			b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "I/O priority", f.Scheduling.Ioprio, ioPriority(2, 6))
		}},
		{"real-time I/O", func(b *bundle) {
			b.v.needsRoot(b.t, "it takes CAP_SYS_NICE")
			b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 0}
			b.Process.User.UID = 1000
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "I/O priority", f.Scheduling.Ioprio, ioPriority(1, 0))
		}},
		{"idle I/O", func(b *bundle) {
			b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 7}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "I/O priority", f.Scheduling.Ioprio, ioPriority(3, 7))
		}},
		{"32-bit personality, which the filter forbids to change", func(b *bundle) {
			b.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
			b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
				{Names: []string{"personality"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 8, Op: specs.OpEqualTo}}},
			}}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "personality", f.Scheduling.Personality, 8)
			equal(t, "machine", f.Scheduling.Machine != machine(t), true)
		}},
		{"plain personality", func(b *bundle) {
			b.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "personality", f.Scheduling.Personality, 0)
			equal(t, "machine", f.Scheduling.Machine, machine(t))
		}},
	})
}

func machine(t *testing.T) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Machine[:])
}

// memoryPolicy asks for a policy, if this kernel has it.
func (b *bundle) memoryPolicy(mode specs.MemoryPolicyModeType, nodes string) {
	if mode == specs.MpolWeightedInterleave && olderThan(6, 9) {
		b.t.Skip("the kernel is older than 6.9, which brought this mode")
	}
	b.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: mode, Nodes: nodes}
}

// Every mode and flag, with node 0, which every machine has.
func TestMemoryPolicy(t *testing.T) {
	static, relative, balancing := specs.MpolFStaticNodes, specs.MpolFRelativeNodes, specs.MpolFNumaBalancing
	var cases []kase
	for _, c := range []struct {
		mode  specs.MemoryPolicyModeType
		nodes string
		flag  specs.MemoryPolicyFlagType
		want  int
	}{
		{specs.MpolDefault, "", "", unix.MPOL_DEFAULT},
		{specs.MpolLocal, "", "", unix.MPOL_LOCAL},
		{specs.MpolPreferred, "", "", unix.MPOL_LOCAL}, // of the local node: the kernel makes it this
		{specs.MpolPreferred, "0", relative, unix.MPOL_PREFERRED | unix.MPOL_F_RELATIVE_NODES},
		{specs.MpolBind, "0", static, unix.MPOL_BIND | unix.MPOL_F_STATIC_NODES},
		{specs.MpolBind, "0-63,1000", "", unix.MPOL_BIND}, // what is not there is left out
		{specs.MpolBind, "0", balancing, unix.MPOL_BIND | unix.MPOL_F_NUMA_BALANCING},
		{specs.MpolInterleave, "0", "", unix.MPOL_INTERLEAVE},
		{specs.MpolWeightedInterleave, "0", "", unix.MPOL_WEIGHTED_INTERLEAVE},
		{specs.MpolPreferredMany, "0", "", unix.MPOL_PREFERRED_MANY},
	} {
		cases = append(cases, kase{fmt.Sprint(c.mode, c.nodes, c.flag), func(b *bundle) {
			b.memoryPolicy(c.mode, c.nodes)
			if c.flag != "" {
				b.Linux.MemoryPolicy.Flags = []specs.MemoryPolicyFlagType{c.flag}
			}
		}, func(t *testing.T, b *bundle, f *facts) {
			equal(t, "memory policy", f.Scheduling.Memory, c.want)
			if c.nodes != "" {
				equal(t, "node 0", f.Scheduling.Nodes&1, 1)
			}
		}})
	}
	runAll(t, cases)
}

// What exec takes over from config.json, and what a process of its own changes.
func TestExecScheduling(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "it takes CAP_SYS_NICE")
		b := newBundle(t, v)
		b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
		b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 4}
		b.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		b.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
		b.Process.OOMScoreAdj, b.Process.User.Umask = value(300), value[uint32](0o070)
		b.detached("wait")

		p := specs.Process{Args: []string{"/inside", "facts"}, Cwd: "/", Env: []string{"A=b"}}
		set := bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
		for _, f := range []*facts{b.execFacts(), b.execProcess(&p)} {
			s := f.Scheduling
			equal(t, "policy", s.Policy, unix.SCHED_BATCH)
			equal(t, "nice", s.Nice, 5)
			equal(t, "I/O priority", s.Ioprio, ioPriority(2, 4))
			equal(t, "personality", s.Personality, 8)
			equal(t, "memory policy", s.Memory, unix.MPOL_INTERLEAVE)
			equal(t, "oom_score_adj", f.Oom, "300\n")
			equal(t, "umask", f.Umask, 0o070)
			equal(t, "limit of open files", f.Limits[unix.RLIMIT_NOFILE], [2]uint64{1024, 1024})
			capabilities(t, f, set, set, set, 0, 0)
		}

		p.Scheduler = &specs.Scheduler{
			Policy: specs.SchedDeadline, Nice: 19, Runtime: 42_000, Deadline: 100_000, Period: 1_000_000,
			Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork},
		}
		p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		p.OOMScoreAdj, p.User.Umask = value(400), value[uint32](0)
		p.Rlimits, p.Capabilities = []specs.POSIXRlimit{}, &specs.LinuxCapabilities{}
		p.NoNewPrivileges = true
		f := b.execProcess(&p)
		s := f.Scheduling
		equal(t, "policy", s.Policy, unix.SCHED_DEADLINE)
		equal(t, "parameters", [3]int{s.Runtime, s.Deadline, s.Period}, [3]int{42_000, 100_000, 1_000_000})
		equal(t, "I/O priority", s.Ioprio, ioPriority(3, 0))
		equal(t, "oom_score_adj", f.Oom, "400\n")
		equal(t, "umask", f.Umask, 0)
		capabilities(t, f, 0, 0, 0, 0, 0)
		equal(t, "NoNewPrivs", f.status("NoNewPrivs"), "1")
		b.must("delete", "--force", b.id)
	})
}

// In a user namespace nobody has the right to what is asked for here: the parent has.
func TestSchedulingInUserNamespace(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "it takes CAP_SYS_NICE")
		b := newBundle(t, v)
		b.inUser()
		b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -11}
		b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 3}
		score := 997
		if mayLowerScores(t) {
			score = -997
		}
		b.Process.OOMScoreAdj = &score
		b.Process.User.UID = 1000
		check := func(f *facts) {
			t.Helper()
			equal(t, "nice", f.Scheduling.Nice, -11)
			equal(t, "I/O priority", f.Scheduling.Ioprio, ioPriority(1, 3))
			equal(t, "oom_score_adj", f.Oom, fmt.Sprintln(score))
		}
		check(b.facts())
		pid := b.detached("wait")
		check(b.execFacts())
		p := specs.Process{Args: []string{"/inside", "facts"}, Cwd: "/", Scheduler: &specs.Scheduler{
			Policy: specs.SchedDeadline, Runtime: 42_000, Deadline: 100_000, Period: 1_000_000, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork},
		}}
		equal(t, "policy of exec", b.execProcess(&p).Scheduling.Policy, unix.SCHED_DEADLINE)
		p.Scheduler = &specs.Scheduler{Policy: specs.SchedISO}
		data, _ := json.Marshal(p)
		b.write("process.json", string(data))
		b.fails(255, "/process/scheduler: set the scheduler SCHED_ISO: invalid argument (no version of Linux has this policy)", "exec", "--process", b.path("process.json"), b.id)

		joining := newBundle(t, v)
		joining.Process.Scheduler, joining.Process.IOPriority, joining.Process.OOMScoreAdj = b.Process.Scheduler, b.Process.IOPriority, b.Process.OOMScoreAdj
		joining.inUser()
		joining.Linux.UIDMappings, joining.Linux.GIDMappings = nil, nil
		joining.joinUser(pid)
		check(joining.facts())
		b.must("delete", "--force", b.id)
	})
}

// mayLowerScores says whether this process, and so husk, has CAP_SYS_RESOURCE.
func mayLowerScores(t *testing.T) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// execProcess starts a process that comes whole, and returns what it has found.
func (b *bundle) execProcess(p *specs.Process) *facts {
	b.t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write("process.json", string(data))
	return parseFacts(b.t, b.must("exec", "--process", b.path("process.json"), b.id))
}

// allowed are the CPUs that a process has: its own choice, as far as its cgroup's cpuset has them.
func (f *facts) allowed() string { return f.status("Cpus_allowed_list") }

// olderThan compares the kernel's version.
func olderThan(major, minor int) bool {
	var u unix.Utsname
	var a, b int
	if unix.Uname(&u) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a < major || a == major && b < minor
}

// onCPU runs a command of husk's from a thread that may use one CPU alone.
func (b *bundle) onCPU(cpu int, args ...string) string {
	b.t.Helper()
	var old, one unix.CPUSet
	one.Set(cpu)
	set := func(s *unix.CPUSet) {
		if err := b.v.do(func() error { return unix.SchedSetaffinity(0, s) }); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.v.do(func() error { return unix.SchedGetaffinity(0, &old) }); err != nil {
		b.t.Fatal(err)
	}
	set(&one)
	defer set(&old)
	return b.must(args...)
}

func TestAffinity(t *testing.T) {
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.TrimSpace(string(online))
	if !strings.HasPrefix(all, "0-") {
		t.Skipf("needs the CPUs 0 and 1, there are %s", all)
	}
	eachView(t, func(t *testing.T, v *view) {
		b := newBundle(t, v)
		b.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "1"}
		b.save()
		f := parseFacts(t, b.onCPU(1, "run", "--bundle", b.dir, b.id))
		equal(t, "CPUs of the container, whose caller has 1 and whose exec's has 0", f.allowed(), all)

		b.detached("wait")
		equal(t, "CPUs of config.json", b.execFacts().allowed(), "1")
		p := specs.Process{Args: []string{"/inside", "facts"}, Cwd: "/"}
		for _, c := range []struct{ initial, final, want string }{
			{"", "", "1"}, // of config.json
			{"", "0", "0"},
			{"0", "", "0"}, // no cpuset takes it away
			{"1", "0,1", "0-1"},
			{"0-1", "1", "1"},
		} {
			if c.initial != "" && c.final == "" && v.v2 && olderThan(6, 2) {
				t.Log("before Linux 6.2 a cpuset takes away what the process has set for itself")
				continue
			}
			if p.ExecCPUAffinity = nil; c.initial+c.final != "" {
				p.ExecCPUAffinity = &specs.CPUAffinity{Initial: c.initial, Final: c.final}
			}
			f := b.execProcess(&p)
			equal(t, fmt.Sprintf("CPUs of %+v", c), f.allowed(), c.want)
			if !v.v2 {
				continue
			}
			equal(t, "cgroup", strings.Contains(f.Cgroup, "0::"+v.cgroup(b.id)+"\n"), true)
		}
		b.must("delete", "--force", b.id)

		b.Process.ExecCPUAffinity = nil
		b.detached("wait")
		f = parseFacts(t, b.onCPU(1, "exec", b.id, "/inside", "facts"))
		equal(t, "CPUs of exec, whose caller has 1", f.allowed(), all)
		p.ExecCPUAffinity = &specs.CPUAffinity{Final: "4000"}
		data, _ := json.Marshal(p)
		b.write("process.json", string(data))
		b.fails(255, "/process/execCPUAffinity/final: set the CPU affinity 4000: invalid argument (none of these CPUs exists", "exec", "--process", b.path("process.json"), b.id)
		b.must("delete", "--force", b.id)
	})
}

// A cpuset: the initial CPUs are those before it counts.
func TestAffinityAndCpuset(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		if v.v2 || !hasFile("/sys/fs/cgroup/cpuset/cpuset.cpus") {
			t.Skip("needs the cpuset hierarchy of cgroup v1")
		}
		b := newBundle(t, v)
		b.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}}
		b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 42_000, Deadline: 1_000_000, Period: 1_000_000}
		b.save()
		if all, _ := os.ReadFile("/sys/devices/system/cpu/online"); strings.TrimSpace(string(all)) != "0" {
			b.fails(1, "/process/scheduler: set the scheduler SCHED_DEADLINE: operation not permitted (it needs CAP_SYS_NICE and all CPUs of the machine: "+
				"process scheduler can't be used together with AllowedCPUs)", "run", "--bundle", b.dir, b.id)
		}
		b.Process.Scheduler = nil
		b.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1"}
		b.detached("wait")
		equal(t, "CPUs of exec", b.execFacts().allowed(), "0")
		b.must("delete", "--force", b.id)
	})
}

// A runtime that lacks a capability says which one it needs, and leaves nothing behind.
func TestWithoutCapabilities(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv(1)")
	}
	eachView(t, func(t *testing.T, v *view) {
		v.needsRoot(t, "there are no capabilities to take away")
		b := newBundle(t, v)
		without := func(capability string) result {
			b.save()
			return b.finish(exec.Command(setpriv, "--inh-caps=-"+capability, "--bounding-set=-"+capability, env.husk, "--root", b.root, "run", "--bundle", b.dir, b.id))
		}
		for _, c := range []struct {
			capability string
			change     func(*specs.Process)
			want       string
		}{
			{
				"sys_nice", func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -1} },
				"/process/scheduler: set the scheduler SCHED_OTHER: operation not permitted (a nice value below that of the runtime needs CAP_SYS_NICE)",
			},
			{
				"sys_nice", func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1} },
				"/process/scheduler: set the scheduler SCHED_FIFO: operation not permitted (it needs CAP_SYS_NICE, ",
			},
			{
				"sys_resource", func(p *specs.Process) { p.OOMScoreAdj = value(-1000) },
				"/process/oomScoreAdj: set oom_score_adj to -1000: permission denied (less than what the runtime itself has needs CAP_SYS_RESOURCE)",
			},
			{"sys_resource", func(p *specs.Process) {
				p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: hostLimit(unix.RLIMIT_NOFILE).Max + 1}}
			}, "/process/rlimits/0: set RLIMIT_NOFILE: operation not permitted (nobody may have more than sysctl fs.nr_open, and more than the hard limit of the runtime needs CAP_SYS_RESOURCE)"},
		} {
			saved := *b.Process
			c.change(b.Process)
			r := without(c.capability)
			if r.status != 1 || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("without %s: %v; want one line with %q", c.capability, r, c.want)
			}
			*b.Process = saved
		}
		b.Process.Capabilities.Bounding = append(b.Process.Capabilities.Bounding, "CAP_SYS_NICE")
		r := without("sys_nice")
		equal(t, "status", r.status, 0)
		equal(t, "a warning", strings.Contains(r.stderr, "leave out CAP_SYS_NICE of /process/capabilities: the runtime does not have them itself"), true)
		equal(t, "CapBnd", parseFacts(t, r.stdout).capabilities("CapBnd"), bits("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"))
	})
}

func hasFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// Real-time policies need time in the cgroup where the kernel has CONFIG_RT_GROUP_SCHED and cgroup v1.
func TestRealTime(t *testing.T) {
	eachView(t, func(t *testing.T, v *view) {
		const parent = "/sys/fs/cgroup/cpu/cpu.rt_runtime_us"
		if v.v2 || !hasFile(parent) {
			t.Skip("needs " + parent)
		}
		for _, s := range []*specs.Scheduler{{Policy: specs.SchedFIFO, Priority: 1}, {Policy: specs.SchedRR, Priority: 99}} {
			b := newBundle(t, v)
			b.Process.Scheduler = s
			b.save()
			b.fails(1, "/process/scheduler: set the scheduler "+string(s.Policy)+": operation not permitted (it needs CAP_SYS_NICE, and time for real-time processes "+
				"in the cgroup: on cgroup v1 that is /linux/resources/cpu/realtimeRuntime)", "run", "--bundle", b.dir, b.id)

			b.Linux.CgroupsPath = "/" + b.id // what is above gives time only to its own children
			b.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: value[int64](1000)}}
			f := b.facts()
			equal(t, "policy", f.Scheduling.Policy, map[specs.LinuxSchedulerPolicy]int{specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR}[s.Policy])
			equal(t, "priority", f.Scheduling.Priority, int(s.Priority))
			for _, h := range v.hierarchies {
				equal(t, "the cgroup is gone", hasFile(filepath.Join(h, b.id)), false)
			}
		}
	})
}
