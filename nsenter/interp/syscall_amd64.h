/*
 * What differs between architectures: the entry point, which takes the end of the plan's segment for its stack, the system call
 * instruction and its registers, and how large an address space can be, in bits.
 */
#pragma once

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov memory_size, %rsp\n"
	"	add $0x410000, %rsp\n" /* HUSK_BASE */
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

static const unsigned char address_bits[] = { 56, 47 }; /* with five and four levels of page tables */

enum { NR_READ = 0, NR_WRITE = 1, NR_MUNMAP = 11, NR_RT_SIGACTION = 13, NR_RT_SIGPROCMASK = 14, NR_RECVMSG = 47, NR_PRCTL = 157, NR_EXIT_GROUP = 231, NR_OPENAT2 = 437 };
