package specconv

import (
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// noID is the one 32-bit number that is no user or group id: setresuid(2) and
// its kin take it for "leave unchanged".
const noID = math.MaxUint32

func checkCommand(r *report, p *specs.Process) {
	switch {
	case p.Cwd == "":
		r.add("/cwd", "Cwd property must not be empty")
	case p.Cwd[0] != '/':
		r.add("/cwd", "Cwd must be an absolute path")
	}
	r.path(p.Cwd, "cwd")
	if len(p.Args) == 0 {
		r.add("/args", "args must not be empty")
	}
	r.texts(p.Args, "args")
	checkEnv(r, p.Env, "env")
	if p.Terminal && p.ConsoleSize != nil { // else it is to be ignored
		const limit = math.MaxUint16 // struct winsize, ioctl_tty(2)
		if h := p.ConsoleSize.Height; h > limit {
			r.add("/consoleSize/height", "%d is out of range (0 to %d)", h, limit)
		}
		if w := p.ConsoleSize.Width; w > limit {
			r.add("/consoleSize/width", "%d is out of range (0 to %d)", w, limit)
		}
	}
}

// checkEnv demands NAME=VALUE. A program can hardly see anything else in its
// environment, or sees what a checker of the document has overlooked.
func checkEnv(r *report, env []string, parts ...any) {
	for i, kv := range env {
		switch name, _, ok := strings.Cut(kv, "="); {
		case !ok:
			r.add(at(parts...)+at(i), "invalid environment variable: missing '='")
		case name == "":
			r.add(at(parts...)+at(i), "invalid environment variable: name cannot be empty")
		case strings.IndexByte(kv, 0) >= 0:
			r.add(at(parts...)+at(i), `invalid environment variable %.100q: contains nul byte (\x00)`, name)
		}
	}
}

func checkUser(r *report, p *specs.Process) {
	checkID(r, p.User.UID, "user", "uid")
	checkID(r, p.User.GID, "user", "gid")
	for i, gid := range p.User.AdditionalGids {
		checkID(r, gid, "user", "additionalGids", i)
	}
	const groups = 65536 // NGROUPS_MAX, setgroups(2)
	if n := len(p.User.AdditionalGids); n > groups {
		r.add("/user/additionalGids", "%d groups exceed the limit of %d", n, groups)
	}
	if p.User.Umask != nil && *p.User.Umask > 0o777 {
		r.add("/user/umask", "%d (%#o) exceeds 0777", *p.User.Umask, *p.User.Umask)
	}
}

func checkID(r *report, id uint32, parts ...any) {
	if id == noID {
		r.add(at(parts...), "%d is not an id: it means that there is none", id)
	}
}

// rlimitNames are the resources of getrlimit(2).
const rlimitNames = "RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK RLIMIT_MSGQUEUE " +
	"RLIMIT_NICE RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_STACK"

func checkRlimits(r *report, p *specs.Process) {
	r.count(len(p.Rlimits), "rlimits")
	first := make(map[string]int, len(p.Rlimits))
	for i, l := range p.Rlimits {
		r.oneOf(l.Type, rlimitNames, "rlimits", i, "type")
		if before, dup := first[l.Type]; dup {
			r.add(at("rlimits", i, "type"), "%.100q is duplicated: see also /rlimits/%d", l.Type, before)
		} else {
			first[l.Type] = i
		}
		if l.Soft > l.Hard {
			r.add(at("rlimits", i, "soft"), "%d exceeds the hard limit %d", l.Soft, l.Hard)
		}
	}
}

// checkLinuxProcess leaves capabilities alone: names that are unknown are
// worth a warning only.
func checkLinuxProcess(r *report, p *specs.Process) {
	r.line(p.ApparmorProfile, "apparmorProfile")
	r.line(p.SelinuxLabel, "selinuxLabel")
	if p.OOMScoreAdj != nil {
		r.between(int64(*p.OOMScoreAdj), -1000, 1000, "oomScoreAdj")
	}
	if io := p.IOPriority; io != nil {
		r.oneOf(string(io.Class), "IOPRIO_CLASS_RT IOPRIO_CLASS_BE IOPRIO_CLASS_IDLE", "ioPriority", "class")
		r.between(int64(io.Priority), 0, 7, "ioPriority", "priority")
	}
	if a := p.ExecCPUAffinity; a != nil {
		checkNumberList(r, a.Initial, "execCPUAffinity", "initial")
		checkNumberList(r, a.Final, "execCPUAffinity", "final")
	}
}

// checkScheduler applies the rules of sched_setattr(2) and sched(7).
func checkScheduler(r *report, p *specs.Process) {
	s := p.Scheduler
	if s == nil {
		return
	}
	r.oneOf(string(s.Policy), "SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_ISO SCHED_IDLE SCHED_DEADLINE", "scheduler", "policy")
	for i, flag := range s.Flags {
		r.oneOf(string(flag), "SCHED_FLAG_RESET_ON_FORK SCHED_FLAG_RECLAIM SCHED_FLAG_DL_OVERRUN SCHED_FLAG_KEEP_POLICY "+
			"SCHED_FLAG_KEEP_PARAMS SCHED_FLAG_UTIL_CLAMP_MIN SCHED_FLAG_UTIL_CLAMP_MAX", "scheduler", "flags", i)
	}
	r.between(int64(s.Nice), -20, 19, "scheduler", "nice")
	switch s.Policy {
	case specs.SchedFIFO, specs.SchedRR:
		r.between(int64(s.Priority), 1, 99, "scheduler", "priority")
	default:
		if s.Priority != 0 {
			r.add("/scheduler/priority", "can only be specified for SCHED_FIFO or SCHED_RR")
		}
	}
	if s.Policy == specs.SchedDeadline {
		if s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period {
			r.add("/scheduler", "runtime <= deadline <= period does not hold (%d, %d, %d)", s.Runtime, s.Deadline, s.Period)
		}
	} else if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
		r.add("/scheduler", "runtime, deadline and period can only be specified for SCHED_DEADLINE")
	}
}

// checkNumberList checks a list of CPUs or memory nodes like "0-3,7".
func checkNumberList(r *report, list string, parts ...any) {
	if list == "" {
		return
	}
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			r.add(at(parts...), `%.100q is not a list of numbers and ranges like "0-3,7"`, list)
			return
		}
	}
}
