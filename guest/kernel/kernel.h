/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_KERNEL_H
#define GUEST_KERNEL_H

/*
 * What the test kernels share: output on COM1, TAP lines, exceptions that are expected, the local
 * APIC, the other processors.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { COM1 = 0x3f8, DEBUG_EXIT = 0xf4 };

enum {
	MSR_APIC_BASE = 0x1b,
	MSR_X2APIC = 0x800,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_SFMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
};

enum {
	VEC_DE = 0,
	VEC_DB = 1,
	VEC_NMI = 2,
	VEC_BP = 3,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_DF = 8,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
	VEC_AC = 17,
	VEC_XM = 19,
	VEC_SPURIOUS = 0xff,
};

enum { FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_AC = 1 << 18 };

struct trap_frame {
	u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

struct cpuid {
	u32 a, b, c, d;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

#define READ_CR(n)                                                 \
	({                                                         \
		u64 v_;                                            \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); \
		v_;                                                \
	})
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((u64)(v)) : "memory")

static inline void sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void invlpg(u64 va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* The kernel's own part: what a test kernel defines. Interrupts are off, the IDT is loaded. */
void run_tests(void);
/* Another processor, by order of arrival from 1; it may return, and then sleeps for good. */
void ap_run(unsigned index);

void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);

/* Output: %s %d %u %x %X (16 digits) %c. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One TAP line. */
void ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *name, const char *why);
/* Ends the run: status 0 if all was well, else 1. */
_Noreturn void finish(void);

const char *command_line(void);
bool command_has(const char *word);

/*
 * Expected exceptions. EXPECT runs one piece of assembly; if it faults, `caught` says how, and
 * execution goes on after the piece with the stack as before.
 */
struct caught {
	int vector; /* -1: none */
	u64 error, rip, cr2, rflags, rsp;
	u16 cs, ss;
};
extern volatile struct caught caught;
extern volatile u64 resume_rip, resume_rsp;

#define EXPECT(code, ...)                                                                   \
	do {                                                                                \
		caught.vector = -1;                                                         \
		__asm__ volatile("movq $77f, resume_rip\n\tmovq %%rsp, resume_rsp\n\t" code \
				 "\n77:\tmovq $0, resume_rip"                               \
				 :                                                          \
				 :                                                          \
				 : "cc", "memory", __VA_ARGS__);                            \
	} while (0)

/* An interrupt's handler; exceptions without one that nobody expects end the run. */
typedef void trap_handler(struct trap_frame *f);
void set_handler(u8 vector, trap_handler *handler);
/* Gate of a vector: present and DPL. */
void set_gate(u8 vector, bool present, unsigned dpl);
/* The gate switches to interrupt stack 1-7 (0: to none), which begins below top. */
void set_interrupt_stack(u8 vector, unsigned ist, u64 top);

void enter_user(u64 rip, u64 rsp, u64 rdi, u64 rflags);

/* A 4 KiB page at va (outside of the low 4 GiB), mapped by flags; returns its PTE. */
volatile u64 *map_page(u64 va, u64 pa, u64 flags);
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX (1ull << 63)
/* Fresh zeroed pages from after the image. */
void *alloc_pages(unsigned n);

/* Local APIC, xAPIC or x2APIC as it is now. */
enum {
	APIC_ID = 0x20,
	APIC_EOI = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};
u32 apic_read(unsigned reg);
void apic_write(unsigned reg, u32 v);
void apic_enable(void);
bool apic_has_x2(void);
void apic_enter_x2(void);
u32 apic_id(void);
void apic_eoi(void);
/* icr: low half, without destination. */
void apic_send(u32 dest, u32 icr);

/* Processors that the MADT calls enabled; 1 if there are no tables. */
unsigned madt_cpus(void);
/* Starts all others by INIT and two SIPIs to all but self; returns when they have arrived. */
unsigned start_others(void);

#endif
