/* See syscall_amd64.h. */
#pragma once

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	adrp x0, memory_size\n"
	"	add x0, x0, :lo12:memory_size\n"
	"	ldr x0, [x0]\n"
	"	mov x1, #0x410000\n" /* HUSK_BASE */
	"	add x0, x0, x1\n"
	"	mov sp, x0\n"
	"	bl run\n"
	"	brk #0\n");

static inline long kernel(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

static const unsigned char address_bits[] = { 52, 48 }; /* smaller ones keep what is there */

enum { NR_READ = 63, NR_WRITE = 64, NR_RT_SIGACTION = 134, NR_RT_SIGPROCMASK = 135, NR_RECVMSG = 212, NR_PRCTL = 167, NR_MUNMAP = 215, NR_EXIT_GROUP = 94, NR_OPENAT2 = 437 };
