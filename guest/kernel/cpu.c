/* SPDX-License-Identifier: BSD-2-Clause */
/* One processor: exceptions, segments, privilege, shadows, state images. */
#include "cpu.h"

void ap_run(unsigned index)
{
	(void)index;
}

static void report(const char *name, int vector, u64 error)
{
	bool good = caught_as(vector, error);

	if (!good)
		print("# got vector %d error 0x%lx at 0x%lx\n", caught.vector, caught.error,
		      caught.rip);
	ok(good, "%s", name);
}

bool on_tcg(void)
{
	struct cpuid r = cpuid(0x40000000, 0);

	/* Under a hypervisor that runs on TCG, only the command line can tell. */
	if (command_has("tcg"))
		return true;
	return r.b == 0x54474354 && r.c == 0x43544743;
}

void report_unless_tcg(const char *name, int vector, u64 error)
{
	if (on_tcg() && !caught_as(vector, error))
		skip(name, "TCG deviates");
	else
		report(name, vector, error);
}

/* --- exceptions -------------------------------------------------------------------------- */

static void test_arithmetic_faults(void)
{
	static const u32 unmasked = 0x1f80 & ~0x200u;
	static const u16 fpu_unmasked = 0x37f & ~4;
	u64 cr0 = READ_CR(0);

	EXPECT("xor %%edx, %%edx\n\tmov $1, %%eax\n\txor %%ecx, %%ecx\n\tdiv %%ecx", "rax", "rcx",
	       "rdx");
	report("#DE: division by zero", VEC_DE, 0);
	EXPECT("mov $1, %%edx\n\txor %%eax, %%eax\n\tmov $1, %%ecx\n\tdiv %%ecx", "rax", "rcx",
	       "rdx");
	report("#DE: quotient too large", VEC_DE, 0);
	WRITE_CR(0, cr0 | 8);
	EXPECT("fninit", "memory");
	report("#NM: x87 with CR0.TS", VEC_NM, 0);
	EXPECT("xorps %%xmm0, %%xmm0", "memory");
	report("#NM: SSE with CR0.TS", VEC_NM, 0);
	WRITE_CR(0, cr0);
	__asm__ volatile("fninit; fldcw %0" : : "m"(fpu_unmasked));
	EXPECT("fld1\n\tfldz\n\tfdivrp\n\tfwait", "memory");
	report("#MF: x87 division by zero", VEC_MF, 0);
	__asm__ volatile("fninit");
	__asm__ volatile("ldmxcsr %0" : : "m"(unmasked));
	EXPECT("mov $0x3f800000, %%eax\n\tmovd %%eax, %%xmm0\n\txorps %%xmm1, %%xmm1\n\tdivss %%xmm1, %%xmm0",
	       "rax", "memory");
	report_unless_tcg("#XM: SSE division by zero", VEC_XM, 0);
	__asm__ volatile("ldmxcsr %0" : : "m"((const u32){0x1f80}));
}

static void test_general_faults(void)
{
	EXPECT("ud2", "memory");
	report("#UD: UD2", VEC_UD, 0);
	EXPECT(".byte 0xf0, 0x90", "memory");
	report("#UD: LOCK with NOP", VEC_UD, 0);
	EXPECT("int3", "memory");
	report("#BP: INT3", VEC_BP, 0);
	EXPECT("movabs $0x800000000000, %%rax\n\tmov (%%rax), %%rax", "rax", "memory");
	report("#GP(0): read of a non-canonical address", VEC_GP, 0);
	EXPECT("movabs $0x800000000000, %%rbp\n\tmov (%%rbp), %%rax", "rax", "rbp");
	report_unless_tcg("#SS(0): stack at a non-canonical address", VEC_SS, 0);
	EXPECT("movabs $0x800000000000, %%rax\n\tjmp *%%rax", "rax", "memory");
	report("#GP(0): jump to a non-canonical address", VEC_GP, 0);
	EXPECT("mov $0x12345678, %%ecx\n\trdmsr", "rax", "rcx", "rdx");
	report_unless_tcg("#GP(0): RDMSR of an unknown register", VEC_GP, 0);
	EXPECT("mov $0x12345678, %%ecx\n\txor %%eax, %%eax\n\txor %%edx, %%edx\n\twrmsr", "rax",
	       "rcx", "rdx");
	report_unless_tcg("#GP(0): WRMSR of an unknown register", VEC_GP, 0);
	EXPECT("mov $0xc0000082, %%ecx\n\txor %%eax, %%eax\n\tmov $0x8000, %%edx\n\twrmsr", "rax",
	       "rcx", "rdx");
	report_unless_tcg("#GP(0): non-canonical LSTAR", VEC_GP, 0);
	EXPECT("lea gdt+1, %%rax\n\tmovaps (%%rax), %%xmm0", "rax");
	report("#GP(0): unaligned MOVAPS", VEC_GP, 0);
}

/* TCG takes these values, and the machine is gone. */
static void test_control_registers(void)
{
	if (on_tcg()) {
		skip("#GP(0): control registers", "TCG deviates");
		return;
	}
	EXPECT("mov %%cr4, %%rax\n\tbts $31, %%rax\n\tmov %%rax, %%cr4", "rax");
	report("#GP(0): reserved bit of CR4", VEC_GP, 0);
	EXPECT("mov %%cr0, %%rax\n\tbtr $0, %%rax\n\tmov %%rax, %%cr0", "rax");
	report("#GP(0): CR0.PG without PE", VEC_GP, 0);
	EXPECT("mov %%cr4, %%rax\n\tbtr $5, %%rax\n\tmov %%rax, %%cr4", "rax");
	report("#GP(0): clear CR4.PAE in long mode", VEC_GP, 0);
}

static void test_gates(void)
{
	EXPECT("int $0x80", "memory");
	report("INT n reaches its gate", 0x80, 0);
	set_gate(0x81, false, 0);
	EXPECT("int $0x81", "memory");
	report_unless_tcg("#NP: gate not present", VEC_NP, 0x81 * 8 + 2);
	set_gate(VEC_GP, false, 0);
	EXPECT("movabs $0x800000000000, %%rax\n\tmov (%%rax), %%rax", "rax", "memory");
	report("#DF(0): #GP whose gate is not present", VEC_DF, 0);
	set_gate(VEC_GP, true, 0);
	set_gate(VEC_UD, false, 0);
	EXPECT("ud2", "memory");
	report_unless_tcg("#NP from a benign fault stays #NP, with EXT", VEC_NP, VEC_UD * 8 + 3);
	set_gate(VEC_UD, true, 0);
}

static void test_saved_rip(void)
{
	extern u8 at_ud2[], after_int3[];

	EXPECT("at_ud2: ud2", "memory");
	ok(caught.rip == (u64)at_ud2, "a fault saves its own RIP");
	EXPECT("int3\n\tafter_int3: nop", "memory");
	ok(caught.rip == (u64)after_int3, "a trap saves the next RIP");
}

void test_exceptions(void)
{
	test_arithmetic_faults();
	test_general_faults();
	test_control_registers();
	test_gates();
	test_saved_rip();
}

/* --- segments ---------------------------------------------------------------------------- */

static void test_segment_loads(void)
{
	EXPECT("mov $0x48, %%eax\n\tmov %%eax, %%ds", "rax");
	report("#NP(sel): DS not present", VEC_NP, SEL_ABSENT);
	EXPECT("mov $0x48, %%eax\n\tmov %%eax, %%ss", "rax");
	report("#SS(sel): SS not present", VEC_SS, SEL_ABSENT);
	EXPECT("mov $0x10, %%eax\n\tmov %%eax, %%ss", "rax");
	report("#GP(sel): SS from a code segment", VEC_GP, SEL_CODE64);
	EXPECT("mov $0x1000, %%eax\n\tmov %%eax, %%es", "rax");
	report("#GP(sel): beyond the GDT", VEC_GP, 0x1000);
	EXPECT("xor %%eax, %%eax\n\tlldt %%ax\n\tmov $4, %%eax\n\tmov %%eax, %%es", "rax");
	report("#GP(sel): no LDT", VEC_GP, 4);
	EXPECT("mov $0x1b, %%eax\n\tmov %%eax, %%ss", "rax");
	report("#GP(sel): SS with another RPL", VEC_GP, 0x18);
	EXPECT("xor %%eax, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %%eax, %%ss\n\t"
	       "mov $0x18, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %%eax, %%ss",
	       "rax");
	ok(caught.vector == -1, "null selectors load in 64-bit mode");
	EXPECT(".byte 0x48, 0x8e, 0xc8", "memory"); /* mov %rax, %cs */
	report("#UD: MOV to CS", VEC_UD, 0);
}

/* Compatibility mode and back: 32-bit code adds with 32-bit wrap-around. */
u32 run_compat(u32 value);
__asm__("	.globl run_compat\n"
	"run_compat:\n"
	"	push %rbx\n"
	"	mov %edi, %ebx\n"
	"	push $0x08\n"
	"	lea 1f(%rip), %rax\n"
	"	push %rax\n"
	"	lretq\n"
	"	.code32\n"
	"1:	push %ebx\n"
	"	pop %eax\n"
	"	inc %eax\n" /* 0x40, a REX prefix in 64-bit mode */
	"	mov %cs, %edx\n"
	"	shl $16, %edx\n"
	"	or %edx, %eax\n"
	"	ljmp $0x10, $2f\n"
	"	.code64\n"
	"2:	pop %rbx\n"
	"	ret\n");

static void test_far_transfers(void)
{
	u64 before = rdmsr(MSR_GS_BASE), value = 0x1122334455667788, got, efer = rdmsr(MSR_EFER);
	u16 cs;

	__asm__ volatile(
		"push $0x50\n\tlea 1f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n1:\tmov %%cs, %0\n\t"
		"push $0x10\n\tlea 2f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n2:"
		: "=r"(cs)
		:
		: "rax", "memory");
	ok(cs == SEL_CODE64_ALIAS, "far return to another code segment");
	ok(run_compat(6) == (SEL_CODE32 << 16 | 7), "compatibility mode and back");
	EXPECT("push $0x48\n\tpush $0\n\tlretq", "memory");
	report("#GP(sel): far return to a data segment", VEC_GP, SEL_ABSENT);
	wrmsr(MSR_GS_BASE, (u64)&value);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(got));
	ok(got == value, "GS base by MSR");
	wrmsr(MSR_KERNEL_GS_BASE, 0x1234);
	__asm__ volatile("swapgs");
	ok(rdmsr(MSR_GS_BASE) == 0x1234 && rdmsr(MSR_KERNEL_GS_BASE) == (u64)&value, "SWAPGS");
	wrmsr(MSR_GS_BASE, before);
	ok(efer & 1 << 10, "EFER.LMA is set");
}

/* CR4.FSGSBASE allows them, now and again. */
static void test_bases(void)
{
	u64 cr4 = READ_CR(4), before = rdmsr(MSR_FS_BASE);
	bool good = true;

	if (cpuid(0, 0).a < 7 || !(cpuid(7, 0).b & 1)) {
		skip("WRFSBASE", "CPUID has no FSGSBASE");
		return;
	}
	for (unsigned i = 0; i < 100 && good; i++) {
		WRITE_CR(4, i % 10 ? cr4 | 1 << 16 : cr4 & ~(1ull << 16));
		EXPECT("mov $0x123456, %%eax\n\twrfsbase %%rax", "rax");
		good = i % 10 ? caught.vector == -1 : caught_as(VEC_UD, 0);
		EXPECT("rdfsbase %%rax\n\tcmp $0x123456, %%rax\n\tje 1f\n\tint3\n1:", "rax");
		good = good && (i % 10 ? caught.vector == -1 : caught_as(VEC_UD, 0));
		EXPECT("mov $1, %%eax\n\tshl $47, %%rax\n\twrfsbase %%rax", "rax");
		good = good && (on_tcg() || caught_as(i % 10 ? VEC_GP : VEC_UD, 0));
	}
	ok(good, "WRFSBASE and RDFSBASE do as CR4 says");
	WRITE_CR(4, cr4);
	wrmsr(MSR_FS_BASE, before);
}

void test_segments(void)
{
	test_segment_loads();
	test_far_transfers();
	test_bases();
}

/* --- ring 3 ------------------------------------------------------------------------------ */

void setup_user(void)
{
	map_page(USER_CODE, (u64)alloc_pages(1), PTE_P | PTE_W | PTE_U);
	map_page(USER_STACK - 4096, (u64)alloc_pages(1), PTE_P | PTE_W | PTE_U);
}

void run_user_code(const u8 *code, size_t len, u64 rdi, u64 rflags)
{
	memcpy((void *)USER_CODE, code, len);
	caught.vector = -1;
	enter_user(USER_CODE, USER_STACK, rdi, rflags | 2);
}

#define RUN_USER(rdi, flags, ...)                                       \
	do {                                                            \
		static const u8 code_[] = {__VA_ARGS__};                \
		run_user_code(code_, sizeof(code_), (u64)(rdi), flags); \
	} while (0)

/* SYSCALL lands here: remembers what it sees and returns by SYSRET. */
static volatile u64 syscall_rcx, syscall_r11, syscall_cs, syscall_flags, syscall_count;
void syscall_entry(void);
__asm__("syscall_entry:\n"
	"	mov %rcx, syscall_rcx\n"
	"	mov %r11, syscall_r11\n"
	"	mov %rsp, %r8\n"
	"	mov $syscall_stack + 1024, %rsp\n"
	"	mov %cs, %eax\n"
	"	mov %rax, syscall_cs\n"
	"	pushfq\n"
	"	pop %rax\n"
	"	mov %rax, syscall_flags\n"
	"	mov %r8, %rsp\n"
	"	incq syscall_count\n"
	"	sysretq\n");
static u8 syscall_stack[1024] __attribute__((used, aligned(16)));

static void test_syscall(void)
{
	wrmsr(MSR_STAR, (u64)SEL_USER_CODE32 << 48 | (u64)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_SFMASK, FLAG_IF | 0x400);
	RUN_USER(0, FLAG_IF | 0x400, 0x0f, 0x05, 0xcc); /* syscall; int3 */
	ok(syscall_rcx == USER_CODE + 2, "SYSCALL saves RIP in RCX");
	ok((syscall_r11 & 0x600) == 0x600, "SYSCALL saves RFLAGS in R11");
	ok(syscall_cs == SEL_CODE64 && !(syscall_flags & 0x600), "SYSCALL loads CS, masks RFLAGS");
	ok(caught.vector == VEC_BP && caught.cs == (SEL_USER_CODE | 3) &&
		   caught.ss == (SEL_USER_DATA | 3) && (caught.rflags & 0x600) == 0x600 &&
		   caught.rip == USER_CODE + 3,
	   "SYSRET returns to ring 3");
	/* Often enough to be hot code: mov ebx, 4000; stc; syscall; jnc 1f; dec ebx; jnz; int3; 1:
	 * hlt */
	syscall_count = 0;
	RUN_USER(0, FLAG_IF, 0xbb, 0xa0, 0x0f, 0, 0, 0xf9, 0x0f, 0x05, 0x73, 0x05, 0xff, 0xcb, 0x75,
		 0xf7, 0xcc, 0xf4);
	ok(caught.vector == VEC_BP && syscall_count == 4000 && (caught.rflags & FLAG_IF),
	   "4000 times SYSCALL and SYSRET keep RFLAGS");
	wrmsr(MSR_STAR, (u64)(SEL_USER_CODE32 + 0x40) << 48 | (u64)SEL_CODE64 << 32);
	RUN_USER(0, FLAG_IF, 0x0f, 0x05, 0xcc);
	ok(caught.vector == VEC_BP && caught.cs == ((SEL_USER_CODE + 0x40) | 3) &&
		   caught.ss == ((SEL_USER_DATA + 0x40) | 3),
	   "SYSRET takes its selectors from STAR");
	wrmsr(MSR_STAR, (u64)SEL_USER_CODE32 << 48 | (u64)SEL_CODE64 << 32);
	wrmsr(MSR_SFMASK, FLAG_IF | 0x401);
	RUN_USER(0, 0, 0xf9, 0x0f, 0x05, 0xcc);
	ok((syscall_r11 & 1) && !(syscall_flags & 1) && (caught.rflags & 1),
	   "SYSCALL masks arithmetic flags too");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ull);
	RUN_USER(0, 0, 0x0f, 0x05, 0xcc);
	report("#UD: SYSCALL without EFER.SCE", VEC_UD, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
}

void test_user_mode(void)
{
	u64 cr0 = READ_CR(0);

	RUN_USER(0, 0, 0xcc);
	ok(caught.vector == VEC_BP && caught.cs == (SEL_USER_CODE | 3) && caught.rsp == USER_STACK,
	   "IRET to ring 3, INT3 back");
	RUN_USER(0, 0, 0xf4);
	report("#GP(0): HLT in ring 3", VEC_GP, 0);
	RUN_USER(0, 0, 0xfa);
	report("#GP(0): CLI in ring 3", VEC_GP, 0);
	RUN_USER(0, 0, 0xe4, 0x80);
	report("#GP(0): IN in ring 3", VEC_GP, 0);
	RUN_USER(0, 0, 0x0f, 0x20, 0xc0);
	report("#GP(0): MOV from CR0 in ring 3", VEC_GP, 0);
	RUN_USER(0, 0, 0xcd, 0x80);
	report_unless_tcg("#GP(gate): INT n with DPL 0 in ring 3", VEC_GP, 0x80 * 8 + 2);
	RUN_USER(0, 0, 0xb8, 0x18, 0, 0, 0, 0x8e, 0xd8);
	report("#GP(sel): kernel data segment in ring 3", VEC_GP, SEL_DATA);
	RUN_USER(0, 0, 0x9c, 0x58, 0x0d, 0, 2, 0, 0, 0x50, 0x9d, 0x9c, 0x58, 0xcc);
	ok(caught.vector == VEC_BP && !(caught.rflags & FLAG_IF), "POPF in ring 3 leaves IF alone");
	WRITE_CR(0, cr0 | 1 << 18);
	RUN_USER(USER_STACK - 64, FLAG_AC, 0x8b, 0x47, 0x01, 0xcc);
	report_unless_tcg("#AC(0): unaligned read with EFLAGS.AC", VEC_AC, 0);
	WRITE_CR(0, cr0);
	RUN_USER(&syscall_stack, 0, 0x8a, 0x07, 0xcc);
	report("#PF: user read of a kernel page", VEC_PF, 5);
	ok(caught.cr2 == (u64)&syscall_stack, "CR2 holds its address");
	test_syscall();
}

/* --- shadows and single steps ------------------------------------------------------------ */

enum { VEC_SELF = 0x50, STEPS_MAX = 64 };

static volatile u64 interrupted_at, steps, step_rips[STEPS_MAX];

static void on_self(struct trap_frame *f)
{
	interrupted_at = f->rip;
	apic_eoi();
}

static void on_step(struct trap_frame *f)
{
	if (steps < STEPS_MAX)
		step_rips[steps] = f->rip;
	steps++;
}

extern u8 sti_first[], sti_second[], step_nop1[], step_nop2[], step_nop3[], step_after_ss[],
	step_end[];
void sti_sequence(void);
void step_sequence(void);
__asm__("sti_sequence:\n"
	"	sti\n"
	"sti_first: nop\n"
	"sti_second: nop\n"
	"	nop\n"
	"	cli\n"
	"	ret\n"
	"step_sequence:\n"
	"	mov %ss, %ecx\n"
	"	pushfq\n"
	"	orq $0x100, (%rsp)\n"
	"	popfq\n"
	"	nop\n"
	"step_nop1: nop\n"
	"step_nop2: mov %ecx, %ss\n"
	"step_after_ss: nop\n"
	"step_nop3: pushfq\n"
	"	andq $~0x100, (%rsp)\n"
	"	popfq\n"
	"step_end: ret\n");

void test_shadows(void)
{
	set_handler(VEC_SELF, on_self);
	apic_enable();
	cli();
	apic_send(apic_id(), VEC_SELF | 1 << 14);
	for (unsigned i = 0; i < 1000 && !interrupted_at; i++)
		pause();
	ok(interrupted_at == 0, "IF holds an interrupt back");
	sti_sequence();
	ok(interrupted_at == (u64)sti_second, "STI shields one instruction");

	set_handler(VEC_DB, on_step);
	step_sequence();
	set_handler(VEC_DB, NULL);
	ok(step_rips[0] == (u64)step_nop1 && step_rips[1] == (u64)step_nop2,
	   "TF traps after each instruction");
	ok(step_rips[2] == (u64)step_nop3, "MOV SS shields one instruction from #DB");
	ok(steps == 6 && step_rips[5] == (u64)step_end, "POPF that clears TF still traps");
	if (steps != 6)
		print("# %lu steps\n", steps);
}

/* --- state images ------------------------------------------------------------------------ */

static void test_fxsave(void)
{
	static u8 image[512] __attribute__((aligned(16)));
	u64 low = 0, high = 0;
	double x = 0;

	__asm__ volatile(
		"fninit\n\tfld1\n\tfldpi\n\tmovabs $0x0123456789abcdef, %%rax\n\tmovq %%rax, %%xmm7\n\t"
		"punpcklqdq %%xmm7, %%xmm7\n\tfxsave64 %0\n\t"
		"fninit\n\txorps %%xmm7, %%xmm7\n\tfxrstor64 %0\n\t"
		"movq %%xmm7, %1\n\tpsrldq $8, %%xmm7\n\tmovq %%xmm7, %2\n\tfstp %%st(0)\n\tfstpl %3"
		: "+m"(image), "=r"(low), "=r"(high), "=m"(x)
		:
		: "rax");
	ok(low == 0x0123456789abcdef && high == low, "FXRSTOR restores XMM7");
	ok(*(u64 *)&x == 0x3ff0000000000000, "FXRSTOR restores the x87 stack");
	ok(image[4] == 0xc0, "FXSAVE's tag byte shows two registers");
	EXPECT("lea gdt+8, %%rax\n\tfxsave64 (%%rax)", "rax", "memory");
	report("#GP(0): FXSAVE to an unaligned image", VEC_GP, 0);
}

static void test_xsave(void)
{
	static u8 image[4096] __attribute__((aligned(64)));
	u64 got = 0, cr4 = READ_CR(4);

	if (!(cpuid(1, 0).c & 1 << 26)) {
		skip("XSAVE", "CPUID has no XSAVE");
		return;
	}
	EXPECT("xor %%ecx, %%ecx\n\txgetbv", "rax", "rcx", "rdx");
	report("#UD: XGETBV without CR4.OSXSAVE", VEC_UD, 0);
	WRITE_CR(4, cr4 | 1 << 18);
	ok(cpuid(1, 0).c & 1 << 27, "CPUID shows OSXSAVE");
	EXPECT("xor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tmov $2, %%eax\n\txsetbv", "rax", "rcx",
	       "rdx");
	report("#GP(0): XCR0 without x87", VEC_GP, 0);
	EXPECT("xor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tmov $3, %%eax\n\txsetbv", "rax", "rcx",
	       "rdx");
	ok(caught.vector == -1, "XSETBV takes x87 and SSE");
	__asm__ volatile(
		"mov $3, %%eax\n\txor %%edx, %%edx\n\tmovabs $0x1122334455667788, %%rcx\n\t"
		"movq %%rcx, %%xmm3\n\txsave64 %0\n\txorps %%xmm3, %%xmm3\n\txrstor64 %0\n\tmovq %%xmm3, %1"
		: "+m"(image), "=r"(got)
		:
		: "rax", "rcx", "rdx");
	ok(got == 0x1122334455667788, "XRSTOR restores XMM3");
	ok((image[512] & 2) != 0, "XSTATE_BV shows SSE");
	EXPECT("mov $3, %%eax\n\txor %%edx, %%edx\n\tlea gdt+8, %%rcx\n\txsave64 (%%rcx)", "rax",
	       "rcx", "rdx", "memory");
	report("#GP(0): XSAVE to an unaligned image", VEC_GP, 0);
	WRITE_CR(4, cr4);
}

static void test_cpuid(void)
{
	struct cpuid basic = cpuid(0, 0), features = cpuid(1, 0), extended = cpuid(0x80000000, 0);

	ok(basic.a >= 1 && extended.a >= 0x80000001, "CPUID has basic and extended leaves");
	ok((features.d & 0x07808151) == 0x07808151,
	   "CPUID.1: FPU TSC CX8 APIC CMOV MMX FXSR SSE SSE2");
	ok((cpuid(0x80000001, 0).d & (1 << 29 | 1 << 20 | 1 << 11)) ==
		   (1 << 29 | 1 << 20 | 1 << 11),
	   "CPUID.80000001: LM NX SYSCALL");
	ok((features.b >> 24) == apic_id(), "CPUID.1 has the APIC ID");
	ok(extended.a < 0x80000008 || (cpuid(0x80000008, 0).a & 0xff) >= 36,
	   "physical address width");
}

/* --- interrupt stacks -------------------------------------------------------------------- */

static u64 frame_at;

/* Where the CPU began to push: what comes after its five words. */
static void note_frame(struct trap_frame *f)
{
	frame_at = (u64)(&f->ss + 1);
}

/* SDM vol. 3A 6.14.5: unconditional, whatever the privilege; the top is aligned down to 16. */
void test_interrupt_stacks(void)
{
	u64 first = (u64)alloc_pages(1) + 4096, second = (u64)alloc_pages(1) + 4096, here;

	__asm__ volatile("mov %%rsp, %0" : "=r"(here));
	set_handler(VEC_BP, note_frame);
	__asm__ volatile("int3" : : : "memory");
	ok(frame_at <= here && here - frame_at < 4096, "no interrupt stack: pushed on this one");
	set_interrupt_stack(VEC_BP, 1, first);
	__asm__ volatile("int3" : : : "memory");
	ok(frame_at == first, "interrupt stack 1 from the same privilege");
	set_interrupt_stack(VEC_BP, 7, second - 8);
	__asm__ volatile("int3" : : : "memory");
	ok(frame_at == second - 16, "interrupt stack 7, aligned down");
	set_interrupt_stack(VEC_BP, 0, 0);
	set_handler(VEC_BP, NULL);
	__asm__ volatile("mov %%rsp, %0" : "=r"(frame_at));
	ok(here - frame_at + 4096 < 8192, "back on the stack from before");
}

void test_state_images(void)
{
	test_fxsave();
	test_xsave();
	test_cpuid();
}

void run_tests(void)
{
	setup_user();
	test_exceptions();
	test_segments();
	test_user_mode();
	test_shadows();
	test_interrupt_stacks();
	test_returns();
	test_paging();
	test_spaces();
	test_modified_code();
	test_real_mode();
	test_state_images();
}
