/* The three things that differ between architectures: the entry point, the system call instruction and its registers. */
#pragma once

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call run\n"
	"	hlt\n");

static inline long kernel(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

enum { NR_READ = 0, NR_WRITE = 1, NR_RT_SIGACTION = 13, NR_RT_SIGPROCMASK = 14, NR_RECVMSG = 47, NR_EXIT_GROUP = 231, NR_OPENAT2 = 437 };
