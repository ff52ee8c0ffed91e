/* SPDX-License-Identifier: BSD-2-Clause */
#include <asm/ldt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux32.h"

enum { CARRY = 1, PARITY = 4, ADJUST = 16, ZERO = 64, SIGN = 128, OVERFLOW = 0x800 };

#define FLAGS "pushfl; popl %1;"

/* ---- Encodings ---- */

static u32 short_steps(u32 v)
{
	u32 flags, word = v;

	/* inc and dec of all registers leave CF alone */
	__asm__ volatile("stc; .byte 0x40, 0x40, 0x48; adcl $0, %0; .byte 0x66, 0x40;" FLAGS
			 : "+a"(v), "=c"(flags)
			 :
			 : "cc");
	__asm__ volatile("movl %0, %%esi; .byte 0x46, 0x4e, 0x46; movl %%esi, %0"
			 : "+r"(word)
			 :
			 : "esi", "cc");
	return mix(mix(v, flags & (CARRY | ZERO | SIGN | OVERFLOW)), word);
}

static u32 all_registers(u32 v)
{
	u32 sum = 0;

	__asm__ volatile("pushal\n\t"
			 "movl %1, %%ecx\n\t"
			 "leal 7(%%ecx,%%ecx,4), %%ebx\n\t"
			 "movl %%ebx, 28(%%esp)\n\t" /* where EAX comes from */
			 "xorl %%edx, %%edx\n\t"
			 "popal"
			 : "=a"(sum)
			 : "d"(v)
			 : "memory", "cc");
	return sum;
}

static u32 frames(u32 v)
{
	u32 out;

	__asm__ volatile("enter $32, $0\n\t"
			 "movl %1, -4(%%ebp)\n\t"
			 "pushw $0x1234\n\t"
			 "popw -8(%%ebp)\n\t"
			 "movzwl -8(%%ebp), %%eax\n\t"
			 "addl -4(%%ebp), %%eax\n\t"
			 "leave"
			 : "=&a"(out)
			 : "c"(v)
			 : "memory", "cc");
	return out;
}

static u32 loops(u32 v)
{
	u32 n = (v & 15) + 1, sum = 0;

	__asm__ volatile("1: addl %%ecx, %1\n\t"
			 "loop 1b\n\t"
			 "jecxz 2f\n\t"
			 "addl $1000000, %1\n"
			 "2: movl $0x50000, %%ecx\n\t"
			 "jcxz 4f\n\t"
			 "addl $2000000, %1\n\t"
			 "4: movl $3, %%ecx\n"
			 "3: decl %%edx\n\t"
			 "loopne 3b"
			 : "+c"(n), "+a"(sum)
			 : "d"(v & 1 ? 2 : 9)
			 : "cc");
	return mix(sum, n);
}

static u32 absolute(u32 v)
{
	static u32 cell;
	u32 out;

	__asm__ volatile("movl %%eax, cell32\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movl cell32, %%eax\n\t"
			 "addb %%al, cell32 + 1\n\t"
			 "movb cell32 + 1, %%al\n\t"
			 ".byte 0x82, 0xc0, 0x11\n\t" /* add al, 11h */
			 ".pushsection .bss; .balign 4; cell32: .zero 4; .popsection"
			 : "=a"(out)
			 : "a"(v)
			 : "memory", "cc");
	cell = out;
	return cell;
}

u32 encodings(u32 seed)
{
	u32 sum = 0;

	for (unsigned i = 0; i < 50; i++) {
		u32 v = next_random(&seed);

		sum = mix(sum, short_steps(v));
		sum = mix(sum, all_registers(v));
		sum = mix(sum, frames(v));
		sum = mix(sum, loops(v));
	}
	return mix(sum, absolute(seed));
}

/* ---- Decimal arithmetic ---- */

#define DECIMAL(name, insn, defined)                                          \
	static u32 name(u32 v)                                                \
	{                                                                     \
		u32 ax = v & 0xffff, flags = v >> 16 & (CARRY | ADJUST);      \
                                                                              \
		__asm__ volatile("pushl %1; popfl; " insn "; pushfl; popl %1" \
				 : "+a"(ax), "+c"(flags)                      \
				 :                                            \
				 : "cc");                                     \
		return ax << 16 ^ (flags & (defined));                        \
	}
DECIMAL(adjust_add, "aaa", CARRY | ADJUST)
DECIMAL(adjust_sub, "aas", CARRY | ADJUST)
DECIMAL(decimal_add, "daa", CARRY | ADJUST | ZERO | SIGN | PARITY)
DECIMAL(decimal_sub, "das", CARRY | ADJUST | ZERO | SIGN | PARITY)
DECIMAL(adjust_mul, "aam", ZERO | SIGN | PARITY)
DECIMAL(adjust_mul_by, "aam $7", ZERO | SIGN | PARITY)
DECIMAL(adjust_div, "aad", ZERO | SIGN | PARITY)
DECIMAL(adjust_div_by, "aad $0xf3", ZERO | SIGN | PARITY)
DECIMAL(set_from_carry, ".byte 0xd6", CARRY)

u32 decimal(u32 seed)
{
	static u32 (*const all[])(u32) = {adjust_add,  adjust_sub,    decimal_add,
					  decimal_sub, adjust_mul,    adjust_mul_by,
					  adjust_div,  adjust_div_by, set_from_carry};
	u32 sum = 0;

	for (unsigned i = 0; i < 900; i++)
		sum = mix(sum, all[i % 9](next_random(&seed)));
	return sum;
}

/* ---- Segments ---- */

/* A segment of its own, of 64 bytes; its selector. */
static u16 small_segment(const void *base)
{
	static unsigned entry = -1u;
	struct user_desc d = {
		.entry_number = entry,
		.base_addr = (unsigned)(uintptr_t)base,
		.limit = 63,
		.seg_32bit = 1,
		.useable = 1,
	};

	if (syscall(SYS_set_thread_area, &d))
		return 0;
	entry = d.entry_number;
	return (u16)(entry << 3 | 3);
}

u32 segments(u32 seed)
{
	static u32 cells[32];
	u32 a = 0, b = 0, sel, far[2] = {(u32)(uintptr_t)cells, 0};
	u16 small = small_segment(cells + 4);

	for (unsigned i = 0; i < 32; i++)
		cells[i] = next_random(&seed);
	__asm__ volatile("movw %2, %%fs; movl %%fs:8, %0; addl %%fs:(%3), %0; xorl %%eax, %%eax;"
			 "movw %%ax, %%fs"
			 : "=&r"(a)
			 : "0"(0), "r"(small), "r"(60)
			 : "eax", "cc", "memory");
	__asm__ volatile("push %%es; push %%ds; pop %%es; movl %%es:16(%1), %0; pop %%es"
			 : "=r"(b)
			 : "r"(cells)
			 : "memory");
	__asm__ volatile("movl %%ds, %0" : "=r"(sel));
	far[1] = sel;
	__asm__ volatile("push %%es; lesl (%1), %%eax; movl %%es:4(%%eax), %0; pop %%es"
			 : "=r"(sel)
			 : "r"(far)
			 : "eax", "memory");
	return mix(mix(mix(a, b), sel), small != 0);
}

/* ---- Addresses ---- */

u32 addresses(u32 seed)
{
	static u32 cells[64];
	u32 sum = 0;

	for (unsigned i = 0; i < 64; i++)
		cells[i] = next_random(&seed);
	for (unsigned i = 0; i < 60; i++) {
		u32 delta = next_random(&seed), v, w, x;
		const u32 *p = cells + i;

		/* Sums beyond 4 GiB, and below 0. */
		__asm__ volatile("movl (%1,%2), %0"
				 : "=r"(v)
				 : "r"((u32)(uintptr_t)p - delta), "r"(delta));
		__asm__ volatile("movl 0x70000000(%1,%2,4), %0"
				 : "=r"(w)
				 : "r"((u32)(uintptr_t)p - 0x70000000u - delta * 4), "r"(delta));
		__asm__ volatile(".byte 0x67, 0x8d, 0x47, 0xf0"
				 : "=a"(x)
				 : "b"(delta)); /* lea eax, [bx - 16] */
		sum = mix(mix(mix(sum, v), w), x);
		__asm__ volatile("btsl %1, (%2)"
				 :
				 : "m"(cells), "r"(delta % 2048), "r"(cells)
				 : "memory", "cc");
		__asm__ volatile("btcl %0, (%1)"
				 :
				 : "r"(-(int)(delta % 1024)), "r"(cells + 40)
				 : "memory", "cc");
		__asm__ volatile("xlatb" : "=a"(x) : "0"(delta & 0xff), "b"(cells));
		sum = mix(sum, x);
	}
	return sum;
}

/* ---- 64-bit code ---- */

/* A far call into the kernel's 64-bit code segment for users, which multiplies 64 by 64 bits. */
u32 wide(u32 seed)
{
	u64 a = (u64)next_random(&seed) << 32 | next_random(&seed), b = a ^ 0x123456789abcdefull,
	    high;

	__asm__ volatile("movl %1, %%esi\n\t"
			 "lcall $0x33, $1f\n\t"
			 "jmp 2f\n\t"
			 ".code64\n"
			 "1: movq (%%rsi), %%rax\n\t"
			 "mulq 8(%%rsi)\n\t"
			 "movq %%rdx, 16(%%rsi)\n\t"
			 "movq $-1, %%rcx\n\t" /* an upper half that nobody may see */
			 "lretl\n\t"
			 ".code32\n"
			 "2: xorb %%cl, %%cl"
			 : "=m"(high)
			 : "r"((u64[3]){a, b})
			 : "eax", "ecx", "edx", "esi", "memory", "cc");
	return mix((u32)a, (u32)b);
}

/* ---- Code that is written ---- */

u32 modified(u32 seed)
{
	static u8 *code;
	u32 sum = 0;

	if (!code)
		code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < 40; i++) {
		u32 v = next_random(&seed);
		u8 insns[] = {0x8b, 0x44, 0x24, 4, 0x05, 0, 0, 0, 0, (u8)(0x40 | (v >> 28 & 8)),
			      0xc3};

		memcpy(insns + 5, &v, 4); /* mov eax, [esp + 4]; add eax, v; inc or dec eax; ret */
		memcpy(code, insns, sizeof(insns));
		for (unsigned k = 0; k < 30; k++)
			sum = mix(sum, ((u32(*)(u32))(uintptr_t)code)(k));
	}
	return sum;
}
