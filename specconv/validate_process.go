package specconv

import (
	"math"
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

func checkRlimits(r *report, p *specs.Process) {
	r.count(len(p.Rlimits), "rlimits")
	first := make(map[string]int, len(p.Rlimits))
	for i, l := range p.Rlimits {
		r.code(rlimits, l.Type, "rlimits", i, "type")
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
		r.code(ioClasses, string(io.Class), "ioPriority", "class")
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
	r.code(policies, string(s.Policy), "scheduler", "policy")
	for i, flag := range s.Flags {
		r.code(schedulerFlags, string(flag), "scheduler", "flags", i)
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
		const shortest = 1024 // ns
		if s.Runtime < shortest {
			r.add("/scheduler/runtime", "%d is less than %d nanoseconds", s.Runtime, shortest)
		}
		if s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period {
			r.add("/scheduler", "runtime <= deadline <= period does not hold (%d, %d, %d)", s.Runtime, s.Deadline, s.Period)
		}
	} else if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
		r.add("/scheduler", "runtime, deadline and period can only be specified for SCHED_DEADLINE")
	}
}

// checkNumberList checks a list of CPUs or memory nodes like "0-3,7".
func checkNumberList(r *report, list string, parts ...any) {
	if list != "" && !forRanges(list, func(from, to int) {}) {
		r.add(at(parts...), `%.100q is not a list of numbers and ranges like "0-3,7"`, list)
	}
}
