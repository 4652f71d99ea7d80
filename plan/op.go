package plan

import "golang.org/x/sys/unix"

// Layout of the encoded plan; gen writes the same numbers into plan_abi.h.
const (
	Magic      = 0x6b737568 // "husk"
	Version    = 1
	Base       = 0x410000 // address of the header; the interpreter's text lies below it
	HeaderSize = 32
	OpSize     = 64
	MaxOps     = 1 << 16 // a jump is 16 bits wide
	MaxRegs    = 4096
	MaxSize    = 64 << 20 // whole plan: far above the kernel's limit for argv and envp together

	MaxTolerate = 6
	MaxArgs     = 6
)

// Kind says what an op does.
type Kind uint8

// The op kinds, see the package comment.
const (
	Call Kind = iota
	Store
	Test
	Fail
	Gate
	Report
	Clone
	kinds
)

var kindNames = [kinds]string{"call", "store", "test", "fail", "gate", "report", "clone"}

// Reg names a register. NoReg is the absent one.
type Reg uint16

// NoReg marks an op without a result.
const NoReg Reg = 0xffff

// Data is an offset into the data area.
type Data uint32

// Mode says how an operand is read.
type Mode uint8

// Operand modes; two bits each in the encoded op.
const (
	Immediate Mode = iota
	Address        // offset into the data area, passed as a pointer
	Register
	modes
)

// Arg is one operand.
type Arg struct {
	Mode  Mode
	Value uint64
}

// Imm is an immediate operand.
func Imm[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{Immediate, uint64(v)}
}

// Ptr is the address of something in the data area.
func Ptr(d Data) Arg { return Arg{Address, uint64(d)} }

// Val is the content of a register.
func Val(r Reg) Arg { return Arg{Register, uint64(r)} }

// cwd is AT_FDCWD as an operand.
var cwd = Imm(int64(unix.AT_FDCWD))

// Op is one step of a plan.
type Op struct {
	Kind     Kind
	Nr       uint16 // system call number on this architecture (Call, Clone)
	Result   Reg
	Jump     uint16 // ops to skip on a tolerated errno (Call) or on a match (Test)
	Tolerate [MaxTolerate]uint8
	Args     [MaxArgs]Arg
	Origin   Origin
}

// Origin says why an op is there.
type Origin struct {
	Pointer string // JSON pointer into config.json (RFC 6901), "" for what every container needs
	Step    string // what the op does, in the words of an error message: `open source "/srv/data"`
}

// Class is what the verifier knows about the value in a register.
type Class uint8

// The classes. They say where a descriptor comes from, which decides what may be done with it.
const (
	Unset      Class = iota
	Number           // not a descriptor
	Socket           // to the parent: messages, gates
	Listener         // the start gate's listening socket
	Namespace        // a namespace to join
	Joinable         // a cgroup's tasks or cgroup.procs file
	HostDir          // a directory of the host: where the root is attached
	HostNode         // a device node of the host, proven by statx
	HostSource       // what a bind mount will show
	Source           // detached copy of a host mount
	Copy             // detached copy of something else, mostly inside the container
	Root             // the container's root mount
	Context          // fsopen
	Mount            // fsmount: a new, detached file system
	Proc             // fsmount of procfs: with HostProc the only way into /proc
	HostProc         // the host's procfs, proven by fstatfs before anything was joined
	OwnFDs           // its directory of our own descriptors, where an errand finds what it unmounts
	Inside           // a name resolved below Root, Mount or Source, O_PATH
	Created          // an inode that this plan has made exclusively
	ProcFile         // a file below Proc
	Terminal         // the pty
	PtyMaster
	SeccompFd // the listener of the filter: the agent's, by way of the gate that follows
	Maybe     // set on some of the ways that lead here
	classes
)

var classNames = [classes]string{
	"unset", "number", "socket", "listener", "namespace", "joinable", "host directory", "host node", "host source", "source", "copy", "root", "fs context", "mount", "proc", "host proc", "own descriptors",
	"inside", "created", "proc file", "terminal", "pty master", "seccomp listener", "maybe unset",
}

func (c Class) String() string { return classNames[c] }

// Input is a descriptor that the parent hands to the plan.
type Input struct {
	Name  string
	Class Class
}

// Plan is a finished list of ops. Builder.Plan makes it, Verify proves it; only a proven plan can be encoded.
type Plan struct {
	Ops     []Op
	Data    []byte
	Inputs  []Input  // registers 0..len(Inputs)-1
	Names   []string // of all registers, for people
	FirstFD int      // number of the descriptor in register 0; the inputs follow each other
	Errand  bool     // it executes no program: see errand.go
	InUser  bool     // the process is born in a user namespace of its own, whose ids are mapped at a gate
	Groups  bool     // the process is meant to keep the supplementary groups of its caller

	relocs   []reloc
	verified bool
}

// reloc is a pointer inside the data area: data[at] holds the address of data[to].
type reloc struct{ at, to Data }

// Origin says why an op is there; for an index outside of the plan it is zero.
func (p *Plan) Origin(op int) Origin {
	if op < 0 || op >= len(p.Ops) {
		return Origin{}
	}
	return p.Ops[op].Origin
}

// GateData is where the answer to a gate goes.
func (p *Plan) GateData(op int) Data {
	if op < 0 || op >= len(p.Ops) || p.Ops[op].Kind != Gate {
		return 0
	}
	return Data(p.Ops[op].Args[0].Value)
}
