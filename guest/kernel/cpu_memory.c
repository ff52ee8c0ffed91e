/* SPDX-License-Identifier: BSD-2-Clause */
/* Paging, modified code, and the way through real mode. */
#include "cpu.h"

#define PAGE_VA  0x8000010000ull
#define OTHER_VA 0x8000020000ull

enum { READ, WRITE, FETCH, ACCESSES };

static volatile u64 *pte;
static u8 *page;

static bool has_smep(void)
{
	return cpuid(0, 0).a >= 7 && (cpuid(7, 0).b & 1 << 7);
}

/* One access to PAGE_VA; the page holds INT3, so a fetch that is allowed ends in #BP. */
static void kernel_access(unsigned access)
{
	if (access == READ)
		EXPECT("movabs $0x8000010000, %%rax\n\tmov (%%rax), %%al", "rax", "memory");
	else if (access == WRITE)
		EXPECT("movabs $0x8000010000, %%rax\n\tmovb $0xcc, (%%rax)", "rax", "memory");
	else
		EXPECT("movabs $0x8000010000, %%rax\n\tcall *%%rax", "rax", "memory");
}

static void user_access(unsigned access)
{
	static const u8 read[] = {0x8a, 0x07, 0xcc}, write[] = {0xc6, 0x07, 0xcc, 0xcc};
	static const u8 fetch[] = {0xff, 0xe7};

	if (access == READ)
		run_user_code(read, sizeof(read), PAGE_VA, 0);
	else if (access == WRITE)
		run_user_code(write, sizeof(write), PAGE_VA, 0);
	else
		run_user_code(fetch, sizeof(fetch), PAGE_VA, 0);
}

struct rights {
	bool present, w, u, nx, wp, smep;
};

/* What SDM vol. 3A 4.6 says. */
static bool allowed(const struct rights *r, unsigned access, bool user)
{
	if (!r->present || (user && !r->u))
		return false;
	if (access == WRITE)
		return r->w || (!user && !r->wp);
	if (access == FETCH)
		return !r->nx && !(r->smep && !user && r->u);
	return true;
}

static bool access_behaves(const struct rights *r, unsigned access, bool user)
{
	u64 error = (r->present ? 1 : 0) | (access == WRITE ? 2 : 0) | (user ? 4 : 0) |
		    (access == FETCH ? 16 : 0);
	int passed = access == FETCH || user ? VEC_BP : -1;

	if (user)
		user_access(access);
	else
		kernel_access(access);
	if (allowed(r, access, user))
		return caught.vector == passed;
	return caught_as(VEC_PF, error) && caught.cr2 == PAGE_VA;
}

static bool rights_behave(const struct rights *r)
{
	for (unsigned access = 0; access < ACCESSES; access++)
		for (unsigned user = 0; user < 2; user++)
			if (!access_behaves(r, access, user)) {
				print("# access %u user %u: vector %d error 0x%lx cr2 0x%lx\n",
				      access, user, caught.vector, caught.error, caught.cr2);
				return false;
			}
	return true;
}

static void set_control(const struct rights *r)
{
	u64 cr0 = READ_CR(0) & ~(1ull << 16), cr4 = READ_CR(4) & ~(1ull << 20);

	WRITE_CR(0, cr0 | (r->wp ? 1ull << 16 : 0));
	WRITE_CR(4, cr4 | (r->smep ? 1ull << 20 : 0));
}

static void test_rights(void)
{
	static const struct rights normal = {.wp = true};
	u64 pa = (u64)page;

	for (unsigned i = 0; i < 64; i++) {
		struct rights r = {i & 1, i & 2, i & 4, i & 8, i & 16, i & 32};

		if (r.smep && !has_smep())
			continue;
		*pte = pa | (r.present ? PTE_P : 0) | (r.w ? PTE_W : 0) | (r.u ? PTE_U : 0) |
		       (r.nx ? PTE_NX : 0);
		invlpg(PAGE_VA);
		set_control(&r);
		bool good = rights_behave(&r);
		set_control(&normal);
		ok(good, "page rights: P%d W%d U%d NX%d CR0.WP%d SMEP%d", r.present, r.w, r.u, r.nx,
		   r.wp, r.smep);
	}
}

static void test_accessed_dirty(void)
{
	*pte = (u64)page | PTE_P | PTE_W;
	invlpg(PAGE_VA);
	(void)*(volatile u8 *)PAGE_VA;
	ok((*pte & (PTE_A | PTE_D)) == PTE_A, "a read sets A, not D");
	*(volatile u8 *)PAGE_VA = 0xcc;
	ok((*pte & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "a write sets D, also after a read");
	*pte = (u64)page | PTE_P;
	invlpg(PAGE_VA);
	kernel_access(WRITE);
	ok(caught.vector == VEC_PF && !(*pte & PTE_D), "a write that faults does not set D");
}

/* The upper half, where nothing large is mapped: a CPU may treat the two differently. */
static void test_remap_high(void)
{
	enum { FIRST = 0x55, SECOND = 0xaa };
	u64 va = 0xffff900000000000;
	volatile u8 *p = (volatile u8 *)va;
	u8 *first = alloc_pages(1), *second = alloc_pages(1);
	volatile u64 *entry = map_page(va, (u64)first, PTE_P | PTE_W);

	first[0] = FIRST;
	second[0] = SECOND;
	bool good = p[0] == FIRST;
	*entry = (u64)second | PTE_P | PTE_W;
	invlpg(va);
	ok(good && p[0] == SECOND, "INVLPG in the upper half lets a new mapping be seen");
}

/* mov $n, %eax; ret */
static void put_function(u8 *at, u32 n)
{
	at[0] = 0xb8;
	memcpy(at + 1, &n, sizeof(n));
	at[5] = 0xc3;
}

enum { CALLS = 100 };

static u64 sum_of_calls(u64 va)
{
	u64 sum = 0;

	for (unsigned i = 0; i < CALLS; i++)
		sum += ((u64(*)(void))va)();
	return sum;
}

/* Code that is called from another page, often, and is another's from one call to the next. */
static void test_remap_code(void)
{
	static const u8 call[] = {0xe8, 0xfb, 0x0f, 0, 0, 0xc3}; /* call the next page; ret */
	static const u8 one[] = {0xb8, 1, 0, 0, 0, 0xc3}, two[] = {0xb8, 2, 0, 0, 0, 0xc3};
	u64 va = 0xffff900000001000;
	u8 *caller = alloc_pages(1), *first = alloc_pages(1), *second = alloc_pages(1);
	volatile u64 *entry;

	memcpy(caller, call, sizeof(call));
	memcpy(first, one, sizeof(one));
	memcpy(second, two, sizeof(two));
	map_page(va, (u64)caller, PTE_P);
	entry = map_page(va + 4096, (u64)first, PTE_P);
	bool good = sum_of_calls(va) == CALLS;
	for (unsigned i = 0; i < 4; i++) {
		*entry = (u64)(i & 1 ? first : second) | PTE_P;
		invlpg(va + 4096);
		good = good && sum_of_calls(va) == (i & 1 ? 1 : 2) * CALLS;
	}
	ok(good, "INVLPG lets new code be seen at a supervisor's address");
}

static void set_user_page(const u8 *to)
{
	*pte = (u64)to | PTE_P | PTE_U;
	invlpg(PAGE_VA);
}

/* What a call there returns, often, and what it returns to are another page's after INVLPG. */
static void test_remap_user_code(void)
{
	enum { CALLER = 0x10, CALLED = 0x40 };
	static const u8 sum[] = {
		0x48, 0xbe,  0,    0,    1,    0,    0x80, 0,    0, 0, /* mov $PAGE_VA, %rsi */
		0xb9, CALLS, 0,    0,    0,    0x31, 0xd2,             /* %ecx, and %edx = 0 */
		0xff, 0xd6,  0x01, 0xc2, 0xff, 0xc9, 0x75, 0xf8,       /* call *%rsi */
		0x39, 0xfa,  0x74, 0x02, 0x0f, 0x0b, 0xcc};            /* int3 if it is %edi */
	static const u8 calls[] = {0xff, 0xd7, 0xcc}, calls_ud2[] = {0xff, 0xd7, 0x0f, 0x0b};
	static const u8 called[] = {0xcc, 0xc3};
	u8 *pages[2] = {alloc_pages(1), alloc_pages(1)};
	bool calls_good = true, returns_good = true;

	put_function(pages[0], 1);
	put_function(pages[1], 2);
	memcpy(pages[0] + CALLER, calls, sizeof(calls));
	memcpy(pages[1] + CALLER, calls_ud2, sizeof(calls_ud2));
	memcpy((void *)USER_CODE, sum, sizeof(sum));
	memcpy((void *)(USER_CODE + CALLED), called, sizeof(called));
	for (unsigned i = 0; i < CALLS; i++) {
		set_user_page(pages[i & 1]);
		enter_user(USER_CODE, USER_STACK, (i % 2 + 1) * CALLS, 2);
		calls_good = calls_good && caught.vector == VEC_BP;
		enter_user(PAGE_VA + CALLER, USER_STACK, USER_CODE + CALLED, 2);
		set_user_page(pages[~i & 1]);
		enter_user(caught.rip, caught.rsp, 0, 2);
		returns_good = returns_good && caught.vector == (i & 1 ? VEC_BP : VEC_UD);
	}
	ok(calls_good, "INVLPG lets new code be called at a user's address");
	ok(returns_good, "INVLPG lets a user return to new code");
}

static void test_remap(void)
{
	u8 *other = alloc_pages(1);
	volatile u8 *p = (volatile u8 *)PAGE_VA;

	page[0] = 0xcc;
	other[0] = 0x55;
	*pte = (u64)page | PTE_P | PTE_W;
	invlpg(PAGE_VA);
	bool good = p[0] == 0xcc;
	*pte = (u64)other | PTE_P | PTE_W;
	invlpg(PAGE_VA);
	ok(good && p[0] == 0x55, "INVLPG lets a new mapping be seen");
	*pte = (u64)page | PTE_P | PTE_W;
	WRITE_CR(3, READ_CR(3));
	ok(p[0] == 0xcc, "a load of CR3 lets a new mapping be seen");
	*pte = (u64)page | PTE_P | PTE_W | 1ull << 51;
	invlpg(PAGE_VA);
	kernel_access(READ);
	/* All 52 bits are addresses on some processors. */
	if ((cpuid(0x80000008, 0).a & 0xff) < 52)
		report_unless_tcg("#PF(RSVD): a reserved bit in a PTE", VEC_PF, 9);
	else
		skip("#PF(RSVD)", "52 bits of physical address");
}

static void test_page_crossing(void)
{
	u8 *second = alloc_pages(1);
	volatile u64 *next = map_page(PAGE_VA + 4096, (u64)second, PTE_P | PTE_W);
	volatile u64 __attribute__((aligned(1))) *p = (void *)(PAGE_VA + 4092);

	*pte = (u64)page | PTE_P | PTE_W;
	invlpg(PAGE_VA);
	*p = 0x1122334455667788;
	ok(page[4092] == 0x88 && second[3] == 0x11 && *p == 0x1122334455667788,
	   "a write across pages that are not neighbours");
	*next = 0;
	invlpg(PAGE_VA + 4096);
	page[4092] = 0;
	EXPECT("movabs $0x8000010ffc, %%rax\n\tmovq $-1, (%%rax)", "rax", "memory");
	ok(caught_as(VEC_PF, 2) && caught.cr2 == PAGE_VA + 4096,
	   "CR2 is the second page's start if that is missing");
	ok(page[4092] == 0, "nothing is written if the second page faults");
}

void test_paging(void)
{
	page = alloc_pages(1);
	page[0] = 0xcc;
	pte = map_page(PAGE_VA, (u64)page, PTE_P);
	test_rights();
	test_accessed_dirty();
	test_remap();
	test_remap_high();
	test_remap_code();
	test_remap_user_code();
	test_page_crossing();
}

/* --- modified code ----------------------------------------------------------------------- */

static u32 call(const u8 *code)
{
	u32 result;

	__asm__ volatile("call *%1" : "=a"(result) : "r"(code) : "memory");
	return result;
}

void test_modified_code(void)
{
	u8 *code = alloc_pages(2);
	bool good = true;

	for (u32 n = 1; n < 200; n++) {
		put_function(code, n);
		good = good && call(code) == n;
	}
	ok(good, "code runs as it was last written");

	good = true;
	for (u32 n = 1; n < 200; n++) {
		put_function(code + 4093, n << 16 | n);
		good = good && call(code + 4093) == (n << 16 | n);
	}
	ok(good, "also an instruction that crosses pages");

	/* movb $0x42, 1f+1(%rip); 1: mov $0, %al; movzx %al, %eax; ret: it changes what comes next
	 */
	static const u8 self[] = {0xc6, 0x05, 1, 0, 0, 0, 0x42, 0xb0, 0, 0x0f, 0xb6, 0xc0, 0xc3};
	memcpy(code, self, sizeof(self));
	ok(call(code) == 0x42, "an instruction changes the next one");

	/* The same page by another address. */
	map_page(OTHER_VA, (u64)code, PTE_P | PTE_W);
	good = true;
	for (u32 n = 1; n < 50; n++) {
		put_function((u8 *)OTHER_VA, n);
		good = good && call(code) == n;
	}
	ok(good, "code is changed through another mapping");
}

/* --- real mode --------------------------------------------------------------------------- */

/*
 * From 64-bit mode through compatibility mode to real mode and back, at REAL_CODE. In real mode:
 * the IVT of our own takes INT 0x21, segments multiply by 16, and 16-bit arithmetic wraps.
 */
#define REAL_CODE 0x9000

extern u8 real_begin[], real_end[];
u32 real_trip(u32 value);
__asm__("	.set REAL, 0x9000\n"
	"	.code64\n"
	"	.globl real_trip\n"
	"real_trip:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	mov %rsp, real_rsp\n"
	"	sidt real_idtr\n"
	"	mov %edi, %ebx\n"
	"	push $0x08\n"
	"	push $0x9000\n"
	"	lretq\n"
	"real_begin:\n"
	"	.code32\n"
	"	mov %cr0, %eax\n"
	"	and $0x7fffffff, %eax\n"
	"	mov %eax, %cr0\n"
	"	mov $0xc0000080, %ecx\n"
	"	rdmsr\n"
	"	and $~0x100, %eax\n"
	"	wrmsr\n"
	"	ljmp $0x58, $(1f - real_begin + REAL)\n"
	"	.code16\n"
	"1:	mov $0x60, %ax\n"
	"	mov %ax, %ds\n"
	"	mov %ax, %es\n"
	"	mov %ax, %ss\n"
	"	mov %cr0, %eax\n"
	"	and $0xfe, %al\n"
	"	mov %eax, %cr0\n"
	"	ljmp $(REAL >> 4), $(2f - real_begin)\n"
	"2:	lidtl %cs:(real_ivt - real_begin)\n"
	"	mov $(REAL >> 4), %ax\n"
	"	mov %ax, %ds\n"
	"	mov %ax, %ss\n"
	"	mov $0x1000, %sp\n"
	"	int $0x21\n"
	"	add $0xffff, %bx\n" /* wraps within 16 bits */
	"	mov %cs, %ax\n"
	"	cmp $(REAL >> 4), %ax\n"
	"	jne 3f\n"
	"	add $0x10000, %ebx\n"
	"3:	lgdtl %cs:(real_gdtr - real_begin)\n"
	"	mov %cr0, %eax\n"
	"	or $1, %al\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $0x08, $(4f - real_begin + REAL)\n"
	"	.code32\n"
	"4:	mov $0x18, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	mov real_rsp, %esp\n"
	"	mov $enter_long, %eax\n"
	"	call *%eax\n"
	"	ljmp $0x10, $real_back\n"
	"	.code16\n"
	"real_isr:\n"
	"	add $0x200, %bx\n"
	"	iret\n"
	"	.balign 4\n"
	"real_ivt: .word 0x3ff\n"
	"	.long 0x9800\n"
	"real_gdtr: .word 0x67\n"
	"	.long gdt\n"
	"real_end:\n"
	"	.code64\n"
	"real_back:\n"
	"	mov real_rsp, %rsp\n"
	"	lidt real_idtr\n"
	"	mov %ebx, %eax\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	"	.globl real_isr\n"
	"	.data\n"
	"	.balign 8\n"
	"real_rsp: .quad 0\n"
	"real_idtr: .skip 16\n"
	"	.text\n");
extern u8 real_isr[];

void test_real_mode(void)
{
	u16 *vector = (u16 *)(REAL_CODE + 0x800 + 0x21 * 4);
	u64 cr4 = READ_CR(4);

	memcpy((void *)REAL_CODE, real_begin, (size_t)(real_end - real_begin));
	vector[0] = (u16)(real_isr - real_begin);
	vector[1] = REAL_CODE >> 4;
	ok(real_trip(5) == 0x10204, "real mode and back");
	ok(real_trip(0xfe01) == 0x10000, "once more");
	WRITE_CR(4, cr4);
	EXPECT("ud2", "memory");
	ok(caught_as(VEC_UD, 0), "exceptions work afterwards");
}
