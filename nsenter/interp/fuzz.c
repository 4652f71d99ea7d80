/*
 * The interpreter as a program of the host, with a kernel that executes nothing: no sequence of bytes may make it read or
 * write outside of the plan, change anything but the plan's data, or run for longer than the plan is.
 *
 *     fuzz SEED COUNT FILE...     changes the plans in the files COUNT times, always in the same way for the same seed
 *
 * Built with -fsanitize=fuzzer (clang) and -DLIBFUZZER it is driven by libFuzzer instead. Bounds of the whole are watched
 * by AddressSanitizer: each plan lies in an allocation of exactly its size.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers that no op can have (its field has 16 bits), so that our own calls can be told from the plan's. */
enum { NR_READ = 0x10000, NR_WRITE, NR_RT_SIGACTION, NR_RT_SIGPROCMASK, NR_RECVMSG, NR_EXIT_GROUP, NR_OPENAT2 = 437 };

static long kernel(long nr, long a, long b, long c, long d, long e, long f);

#define FUZZING
#include "interp.c"

static unsigned char *plan_at;  /* the plan that runs */
static uint64_t data_size;      /* of its data */
static uint64_t budget;         /* calls that it may still make */
static uint64_t random_state;
static int busy;                /* every look-up asks to be tried again */
static unsigned long executed;  /* plans that were not refused */
static unsigned long calls;
static jmp_buf ended;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void wrong(const char *what)
{
	fprintf(stderr, "WRONG: %s\n", what);
	abort();
}

static int in_data(long at, uint64_t size)
{
	uint64_t offset = (uint64_t)at - (uint64_t)(plan_at + sizeof(struct husk_header));

	return size <= data_size && offset <= data_size - size;
}

/* kernel answers the interpreter's own calls, and the plan's with a number that a kernel could have given. */
static long kernel(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)a, (void)d, (void)e, (void)f;
	if (!budget--)
		wrong("the plan does not end");
	calls++;
	switch (nr) {
	case NR_WRITE:
		if (c != sizeof(struct husk_message))
			wrong("a message of another size");
		return c;
	case NR_READ:
		if (in_data(b, (uint64_t)c)) {
			for (long i = 0; i < c && i < 64; i++)
				((unsigned char *)b)[i] = (unsigned char)next_random();
			return c;
		}
		if (c != 1) /* fail() waits for the end of the socket with a byte of its own */
			wrong("an answer outside of the data");
		return 0;
	case NR_RECVMSG: {
		const uint64_t *message = (const uint64_t *)b, *vector = (const uint64_t *)message[2];

		if (message[3] != 1 || message[5] != 20 || !in_data((long)vector[0], vector[1]))
			wrong("an answer outside of the data");
		for (uint64_t i = 0; i < vector[1] && i < 64; i++)
			((unsigned char *)vector[0])[i] = (unsigned char)next_random();
		if (next_random() & 1) {
			static const uint32_t control[5] = { 20, 0, 1, 1, 77 }; /* SOL_SOCKET, SCM_RIGHTS, the descriptor */

			__builtin_memcpy((void *)message[4], control, sizeof control);
		}
		return (long)vector[1];
	}
	case NR_EXIT_GROUP:
		longjmp(ended, 1);
	}
	if (nr < 0 || nr > 0xffff)
		wrong("a system call number that no op has");
	if (nr == NR_OPENAT2 && busy)
		return -AGAIN;
	switch (next_random() % 8) {
	case 0:
		return -(long)(next_random() % 140);
	case 1:
		return -AGAIN;
	case 2:
		return (long)next_random();
	default:
		return (long)(next_random() % 64);
	}
}

/* run_plan executes one plan in an allocation of its own. */
static void run_plan(const unsigned char *bytes, size_t size)
{
	struct husk_header before;
	unsigned char *ops_before = NULL;
	size_t ops_size;

	plan_at = malloc(size ? size : 1);
	memcpy(plan_at, bytes, size);
	if (!valid_plan(plan_at, size)) {
		free(plan_at);
		return;
	}
	executed++;
	memcpy(&before, plan_at, sizeof before);
	data_size = before.ops_at - sizeof before;
	ops_size = (size_t)before.ops * sizeof(struct husk_op);
	if (before.ops_at < sizeof before || before.ops_at > size || ops_size > size - before.ops_at)
		wrong("ops outside of the plan");
	ops_before = malloc(ops_size ? ops_size : 1);
	memcpy(ops_before, plan_at + before.ops_at, ops_size);
	/* Each op makes at most three calls of the interpreter's own, or one that is tried again. */
	budget = 8;
	for (uint32_t i = 0; i < before.ops; i++)
		budget += ((const struct husk_op *)ops_before)[i].nr == NR_OPENAT2 ? OPENAT2_TRIES + 3 : 4;
	busy = next_random() % 256 == 0;
	if (!setjmp(ended))
		execute(plan_at);
	if (memcmp(&before, plan_at, sizeof before))
		wrong("the header has changed");
	if (memcmp(ops_before, plan_at + before.ops_at, ops_size))
		wrong("the ops have changed");
	free(ops_before);
	free(plan_at);
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
	random_state = 88172645463325252ull;
	run_plan(bytes, size);
	return 0;
}
#else
static uint64_t odd_number(uint64_t size)
{
	static const uint64_t numbers[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 0x7f, 0xff, 0x1000, 0xffff, 0x10000,
		0x7fffffff, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0xffffffffffffffff, 0xfffffffffffffff8 };
	uint64_t n = next_random() % 30;

	return n < sizeof numbers / sizeof *numbers ? numbers[n] : size - 4 + n % 8;
}

/* change spoils a plan in one place; most changes hit a field of the header or of an op. */
static size_t change(unsigned char *plan, size_t size, size_t room)
{
	struct husk_header h = { 0 };
	unsigned char *op = NULL;
	uint64_t number;

	if (size < sizeof h)
		return size;
	memcpy(&h, plan, sizeof h);
	if (h.ops_at >= sizeof h && h.ops_at < size && (size - h.ops_at) / sizeof(struct husk_op))
		op = plan + h.ops_at + next_random() % ((size - h.ops_at) / sizeof(struct husk_op)) * sizeof(struct husk_op);
	number = odd_number(h.ops_at - sizeof h);
	switch (next_random() % 12) {
	case 0:
		plan[next_random() % size] ^= (unsigned char)(1 << next_random() % 8);
		break;
	case 1:
		plan[next_random() % size] = (unsigned char)next_random();
		break;
	case 2: /* a field of the header */
		memcpy(plan + next_random() % 8 * 4, &number, 4);
		break;
	case 3: /* the end */
		size -= next_random() % (size < 256 ? size : 256);
		break;
	case 4:
		if (size + 64 <= room)
			size += next_random() % 64;
		break;
	default:
		if (!op)
			break;
		switch (next_random() % 6) {
		case 0:
			*op = (unsigned char)(next_random() % 8);
			break;
		case 1: /* number, result, jump, modes */
			memcpy(op + 2 + 2 * (next_random() % 4), &number, 2);
			break;
		case 2: /* the mode of one operand */
			op[8] ^= (unsigned char)(1 << next_random() % 8);
			break;
		default: /* an operand */
			memcpy(op + 16 + 8 * (next_random() % 6), &number, 8);
		}
	}
	return size;
}

static unsigned char *load_file(const char *name, size_t *size)
{
	FILE *file = fopen(name, "rb");
	unsigned char *bytes = malloc(1 << 20);

	if (!file || !bytes)
		wrong(name);
	*size = fread(bytes, 1, 1 << 20, file);
	fclose(file);
	return bytes;
}

int main(int argc, char **argv)
{
	enum { FILES = 64, ROOM = (1 << 20) + 64 };
	unsigned char *plans[FILES], *spoiled = malloc(ROOM);
	size_t sizes[FILES];
	int files = argc - 3;

	if (files < 1 || files > FILES || !spoiled)
		return 2;
	random_state = strtoull(argv[1], NULL, 10) * 2654435761u + 88172645463325252ull;
	for (int i = 0; i < files; i++) {
		plans[i] = load_file(argv[3 + i], &sizes[i]);
		run_plan(plans[i], sizes[i]);
	}
	if (executed != (unsigned long)files)
		wrong("a plan of the corpus is refused");
	for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; i--) {
		int n = (int)(next_random() % (unsigned)files);
		size_t size = sizes[n];

		if (next_random() % 64 == 0) { /* noise, with and without the right beginning */
			size = next_random() % 512;
			for (size_t j = next_random() % 2 ? 0 : 8; j < size; j++)
				spoiled[j] = (unsigned char)next_random();
		} else {
			memcpy(spoiled, plans[n], size);
			for (uint64_t j = next_random() % 4 + 1; j > 0; j--)
				size = change(spoiled, size, ROOM);
		}
		run_plan(spoiled, size);
	}
	printf("%lu executed, %lu calls\n", executed, calls);
	return 0;
}
#endif
