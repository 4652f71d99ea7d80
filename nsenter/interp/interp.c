/*
 * The interpreter: executes a plan. It is a static program without libc, started from a sealed memfd in which the plan
 * follows its text, so the kernel has mapped the plan before the first instruction runs. The layout and the meaning of
 * the ops are described in package plan (plan/doc.go); plan_abi.h is generated from there.
 *
 * It decides nothing. The plan has been verified before it came here (plan/verify.go); valid_plan() below proves again what
 * this program itself relies on, so that no sequence of bytes makes it read or write outside of the plan.
 */
#include "plan_abi.h"
#if defined(FUZZING) /* fuzz.c brings its own kernel() */
#elif defined(__x86_64__)
#include "syscall_amd64.h"
#elif defined(__aarch64__)
#include "syscall_arm64.h"
#else
#error "no system call header for this architecture"
#endif

#ifndef FUZZING
/* Where nsenter puts the plan; one header's size so that the linked file is complete without one (magic 0: refused). */
__attribute__((section(".plan"), used)) static struct husk_header placeholder;
extern const unsigned char mapped_size[], memory_size[]; /* interp.lds: p_filesz and p_memsz of the plan's segment, in our own program headers */
_Static_assert(HUSK_BASE == 0x410000, "_start has this number, too");
#endif

enum { EXIT_BAD_PLAN = 127, EXIT_FAILED = 1, AGAIN = 11, SIGNALS = 64, SIGSET_SIZE = SIGNALS / 8, SIG_SETMASK = 2, OPENAT2_TRIES = 4096 };
/* All but those of faults, of job control, and those that are ignored or can't be handled: signal(7). */
#define ENDING_SIGNALS 0xffffffffb780fa27ull
enum { PR_SET_NAME = 15 };
enum { SA_RESTORER = 0x04000000 }; /* asm/signal.h: without one amd64 does not call a handler */
enum { SOL_SOCKET = 1, SCM_RIGHTS = 1, MSG_CMSG_CLOEXEC = 0x40000000, ONE_FD = 20 /* CMSG_LEN(4) */ }; /* linux/socket.h */

/* Numbers in the data lie anywhere in it. */
typedef uint16_t __attribute__((aligned(1), may_alias)) data16;
typedef uint32_t __attribute__((aligned(1), may_alias)) data32;
typedef uint64_t __attribute__((aligned(1), may_alias)) data64;

static int mode(const struct husk_op *op, int operand)
{
	return op->modes >> 2 * operand & 3;
}

static int valid_register(const struct husk_header *h, uint64_t r)
{
	return r < h->regs;
}

/* Is [at, at + length) inside the data, which lies between the header and the ops? */
static int valid_data(const struct husk_header *h, uint64_t at, uint64_t length)
{
	uint64_t size = h->ops_at - sizeof *h;

	return length <= size && at <= size - length;
}

static int valid_op(const struct husk_header *h, const struct husk_op *op, uint32_t index)
{
	if (op->kind > HUSK_KIND_CLONE || op->zero || op->jump >= h->ops - index)
		return 0;
	if (op->result != HUSK_NO_REG && !valid_register(h, op->result))
		return 0;
	for (int i = 0; i < 6; i++) {
		switch (mode(op, i)) {
		case HUSK_MODE_IMMEDIATE:
			break;
		case HUSK_MODE_ADDRESS:
			if (!valid_data(h, op->arg[i], 0))
				return 0;
			break;
		case HUSK_MODE_REGISTER:
			if (!valid_register(h, op->arg[i]))
				return 0;
			break;
		default:
			return 0;
		}
	}
	switch (op->kind) {
	case HUSK_KIND_STORE:
		return mode(op, 0) == HUSK_MODE_ADDRESS && mode(op, 1) == HUSK_MODE_REGISTER && mode(op, 2) == HUSK_MODE_IMMEDIATE &&
		       (op->arg[2] == 4 || op->arg[2] == 8) && valid_data(h, op->arg[0], op->arg[2]);
	case HUSK_KIND_TEST:
		return mode(op, 1) == HUSK_MODE_IMMEDIATE &&
		       (op->arg[1] == 1 || op->arg[1] == 2 || op->arg[1] == 4 || op->arg[1] == 8) &&
		       (mode(op, 0) != HUSK_MODE_ADDRESS || valid_data(h, op->arg[0], op->arg[1]));
	case HUSK_KIND_GATE:
		return mode(op, 0) == HUSK_MODE_ADDRESS && mode(op, 1) == HUSK_MODE_IMMEDIATE && op->arg[1] > 0 &&
		       valid_data(h, op->arg[0], op->arg[1]);
	case HUSK_KIND_REPORT:
		return mode(op, 0) == HUSK_MODE_REGISTER;
	}
	return 1;
}

/* Everything that execute() relies on, before the first op runs. */
static int valid_plan(const unsigned char *plan, uint64_t mapped)
{
	const struct husk_header *h = (const struct husk_header *)plan;
	const struct husk_op *ops;

	if (mapped < sizeof *h || h->magic != HUSK_MAGIC || h->version != HUSK_VERSION || h->size > mapped)
		return 0;
	if (h->regs > HUSK_MAX_REGS || !h->inputs || h->inputs > h->regs || h->first_fd > 1 << 20)
		return 0;
	if (h->ops_at < sizeof *h || h->ops_at % 8 || h->ops_at > h->size || (h->size - h->ops_at) / sizeof *ops < h->ops)
		return 0;
	ops = (const struct husk_op *)(plan + h->ops_at);
	for (uint32_t i = 0; i < h->ops; i++)
		if (!valid_op(h, &ops[i], i))
			return 0;
	return 1;
}

static uint64_t load(const unsigned char *at, uint64_t size)
{
	switch (size) {
	case 1:
		return *at;
	case 2:
		return *(const data16 *)at;
	case 4:
		return *(const data32 *)at;
	default:
		return *(const data64 *)at;
	}
}

/* Ends the process. A filter may refuse even that; nothing refuses a trap. */
static void quit(void)
{
	kernel(NR_EXIT_GROUP, EXIT_FAILED, 0, 0, 0, 0, 0);
	__builtin_trap();
}

/* Says whether the message is out: to wait for an answer to one that a filter has refused would be to wait for ever. */
static int tell(long socket, uint32_t kind, uint32_t op, long value)
{
	struct husk_message m = { .kind = kind, .op = op, .value = value };

	return kernel(NR_WRITE, socket, (long)&m, sizeof m, 0, 0, 0) == sizeof m;
}

/* Reports the failure and stays until the other side has closed the socket: it may want to look at this process. */
static void fail(long socket, uint32_t op, long error)
{
	char byte;

	if (tell(socket, HUSK_MESSAGE_FAIL, op, error))
		kernel(NR_READ, socket, (long)&byte, 1, 0, 0, 0);
	quit();
}

static int tolerated(const struct husk_op *op, long error)
{
	for (int i = 0; i < HUSK_MAX_TOLERATE; i++)
		if (op->tolerate[i] == error)
			return 1;
	return 0;
}

/*
 * Reads the answer to a gate and a descriptor that comes with it: recvmsg(2). Two descriptors don't fit into the buffer, and the
 * kernel closes what doesn't fit.
 */
static long receive(long socket, uint64_t at, uint64_t size, int64_t *fd)
{
	uint64_t vector[2];  /* struct iovec: base, length */
	uint64_t control[3]; /* struct cmsghdr: length, level and type; the descriptor */
	uint64_t message[7]; /* struct msghdr: name, its length, vector, number of vectors, control, its length, flags */
	long result;

	vector[0] = at;
	vector[1] = size;
	message[0] = message[1] = 0;
	message[2] = (uint64_t)vector;
	message[3] = 1;
	message[4] = (uint64_t)control;
	message[5] = ONE_FD;
	message[6] = 0;
	result = kernel(NR_RECVMSG, socket, (long)message, MSG_CMSG_CLOEXEC, 0, 0, 0);
	if (result > 0 && message[5] >= ONE_FD && control[1] == ((uint64_t)SCM_RIGHTS << 32 | SOL_SOCKET))
		*fd = (int32_t)control[2];
	return result;
}

static long call(const struct husk_op *op, const uint64_t *a)
{
	long result = kernel(op->nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], (long)a[5]);

	/* A rename or mount anywhere on the machine during the look-up: openat2(2) asks to try again. Nothing else may loop. */
	for (int i = 0; op->nr == NR_OPENAT2 && result == -AGAIN && i < OPENAT2_TRIES; i++)
		result = kernel(op->nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], 0, 0);
	return result;
}

static void execute(unsigned char *plan)
{
	const struct husk_header *h = (const struct husk_header *)plan;
	const struct husk_op *ops = (const struct husk_op *)(plan + h->ops_at);
	unsigned char *data = plan + sizeof *h;
	int64_t reg[h->regs];
	long socket = h->first_fd, result;

	for (uint32_t i = 0; i < h->regs; i++)
		reg[i] = i < h->inputs ? (int64_t)(h->first_fd + i) : -1;
	for (uint32_t i = 0; i < h->ops; i++) {
		const struct husk_op *op = &ops[i];
		uint64_t a[6];

		for (int j = 0; j < 6; j++) {
			int m = mode(op, j);

			a[j] = m == HUSK_MODE_REGISTER ? (uint64_t)reg[op->arg[j]] :
			       m == HUSK_MODE_ADDRESS  ? (uint64_t)(data + op->arg[j]) :
							 op->arg[j];
		}
		switch (op->kind) {
		case HUSK_KIND_CALL:
			result = call(op, a);
			if (op->result != HUSK_NO_REG)
				reg[op->result] = result < 0 ? -1 : result;
			if (result < 0 && result >= -4095) {
				if (!tolerated(op, -result))
					fail(socket, i, -result);
				i += op->jump;
			}
			break;
		case HUSK_KIND_STORE:
			if (a[2] == 4)
				*(data32 *)a[0] = (uint32_t)a[1];
			else
				*(data64 *)a[0] = a[1];
			break;
		case HUSK_KIND_TEST:
			if (mode(op, 0) == HUSK_MODE_ADDRESS)
				a[0] = load((const unsigned char *)a[0], a[1]);
			if (((a[0] & a[2]) == a[3]) == a[4])
				i += op->jump;
			break;
		case HUSK_KIND_FAIL:
			fail(socket, i, (long)a[0]);
			break;
		case HUSK_KIND_GATE:
			if (!tell(socket, HUSK_MESSAGE_GATE, i, (long)a[2]))
				quit();
			result = op->result == HUSK_NO_REG ? kernel(NR_READ, socket, (long)a[0], (long)a[1], 0, 0, 0) :
							     receive(socket, a[0], a[1], &reg[op->result]);
			if (result < 0)
				fail(socket, i, -result);
			if (!result)
				quit(); /* the parent is gone: so are we */
			break;
		case HUSK_KIND_REPORT:
			socket = (long)a[0];
			break;
		case HUSK_KIND_CLONE:
			result = kernel(op->nr, (long)a[0], 0, 0, 0, 0, 0);
			if (result < 0)
				fail(socket, i, -result);
			if (result > 0) {
				tell(socket, HUSK_MESSAGE_PID, i, result);
				kernel(NR_EXIT_GROUP, 0, 0, 0, 0, 0, 0);
			}
			break;
		}
	}
}

#ifndef FUZZING
static void end(int signal)
{
	kernel(NR_EXIT_GROUP, 128 + signal, 0, 0, 0, 0, 0);
	__builtin_trap();
}

/*
 * Ignored signals and the signal mask survive execve: whoever started the runtime must not decide them for a container. Handlers
 * do not, and the first process of a pid namespace gets only signals that it handles: those that end others end it, too.
 */
static void reset_signals(void)
{
	/* struct sigaction: handler, flags, restorer, mask. The first is SIG_DFL; it serves as an empty set, too. */
	static const uint64_t none[4];
	static const uint64_t ends[4] = { (uint64_t)end, SA_RESTORER, (uint64_t)end, 0 };

	for (int i = 1; i <= SIGNALS; i++)
		kernel(NR_RT_SIGACTION, i, (long)(ENDING_SIGNALS >> (i - 1) & 1 ? ends : none), 0, SIGSET_SIZE, 0, 0);
	kernel(NR_RT_SIGPROCMASK, SIG_SETMASK, (long)none, 0, SIGSET_SIZE, 0, 0);
}

/*
 * Unmaps all above the plan: the stack that the kernel has made, which takes page tables of its own, and the vDSO. A created container
 * waits with 12 KiB less. The name is for ps(1), which finds the arguments gone.
 */
static void be_small(void)
{
	const uint64_t end = (HUSK_BASE + *(const uint64_t *)memory_size + 0xffff) & ~0xffffull;

	kernel(NR_PRCTL, PR_SET_NAME, (long)"husk-init", 0, 0, 0, 0);
	for (unsigned i = 0; i < sizeof address_bits; i++)
		if (!kernel(NR_MUNMAP, end, (1ull << address_bits[i]) - 4096 - end, 0, 0, 0, 0))
			break;
}

__attribute__((used)) void run(void)
{
	unsigned char *plan = (unsigned char *)HUSK_BASE;

	if (!valid_plan(plan, *(const uint64_t *)mapped_size))
		kernel(NR_EXIT_GROUP, EXIT_BAD_PLAN, 0, 0, 0, 0, 0);
	be_small();
	reset_signals();
	execute(plan);
	kernel(NR_EXIT_GROUP, EXIT_BAD_PLAN, 0, 0, 0, 0, 0); /* a plan ends with execve */
}
#endif
