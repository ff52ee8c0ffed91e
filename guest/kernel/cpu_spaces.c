/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces and what may be cached of them (SDM vol. 3A 4.10): CR3, PCIDs, INVPCID, global
 * pages. What must be seen is checked; what a processor may still see, or may have forgotten, is
 * not.
 */
#include "cpu.h"

/*
 * In each of the spaces, at places of their own in tables that are indexed by low bits: a byte of
 * data, a function, user code that goes on in the next page; and two places more.
 */
#define DATA_VA   0x18000100000ull
#define CODE_VA   0x18000101000ull
#define USER_VA   0x18000102000ull
#define BEHIND_VA 0x18000103000ull
#define LARGE_VA  0x18040000000ull
#define GLOBAL_VA 0x18080000000ull

enum { SPACES = 16, CALLS = 40 };
enum { PTE_PS = 1 << 7, PTE_G = 1 << 8 };
enum { DATA_OFF = 128, USER_OFF = 256 }; /* in a page */
enum { INV_PAGE, INV_SPACE, INV_ALL, INV_NONGLOBAL };
#define CR3_KEEP  (1ull << 63)
#define CR4_PGE   (1ull << 7)
#define CR4_PCIDE (1ull << 17)

extern u64 page_pml4[];
extern u64 invpcid_operand[2];
u64 invpcid_operand[2];

struct space {
	u64 *root;
	volatile u64 *data, *code, *behind, *large, *global;
	u8 *page[2];
};

static struct space spaces[SPACES];

static volatile u64 *entry_of(u64 *root, u64 va, unsigned last)
{
	volatile u64 *table = root;

	for (unsigned shift = 39; shift > last; shift -= 9) {
		volatile u64 *e = &table[va >> shift & 511];

		if (!(*e & PTE_P))
			*e = (u64)alloc_pages(1) | PTE_P | PTE_W | PTE_U;
		table = (volatile u64 *)(*e & 0xffffffffff000);
	}
	return &table[va >> last & 511];
}

/* A function that returns n; n as data; code that ends n bytes behind its beginning. */
static u8 *make_page(u32 n)
{
	u8 *p = alloc_pages(1);

	p[0] = 0xb8; /* mov $n, %eax; ret */
	memcpy(p + 1, &n, sizeof(n));
	p[5] = 0xc3;
	p[DATA_OFF] = (u8)n;
	memset(p + USER_OFF, 0x90, n);
	p[USER_OFF + n] = 0xcc;
	return p;
}

static void make_space(struct space *s, unsigned n, u8 *user)
{
	s->root = alloc_pages(1);
	memcpy(s->root, page_pml4, 4096);
	s->data = entry_of(s->root, DATA_VA, 12);
	s->code = entry_of(s->root, CODE_VA, 12);
	s->behind = entry_of(s->root, BEHIND_VA, 12);
	s->large = entry_of(s->root, LARGE_VA, 21);
	s->global = entry_of(s->root, GLOBAL_VA, 12);
	*entry_of(s->root, USER_VA, 12) = (u64)user | PTE_P | PTE_U;
	for (unsigned k = 0; k < 2; k++)
		s->page[k] = make_page(1 + n + k * SPACES);
}

/* Which of the space's pages is mapped; without a word to the processor. */
static void set_pages(struct space *s, unsigned which)
{
	u64 pa = (u64)s->page[which];

	*s->data = pa | PTE_P | PTE_W;
	*s->code = pa | PTE_P;
	*s->behind = pa | PTE_P | PTE_U;
}

static void make_spaces(void)
{
	/* From USER_VA to BEHIND_VA: jmp */
	static const u8 jump[] = {0xe9, 0xfb, 0x0f, 0, 0};
	u8 *user = alloc_pages(1);

	memcpy(user + USER_OFF, jump, sizeof(jump));
	for (unsigned n = 0; n < SPACES; n++) {
		make_space(&spaces[n], n, user);
		set_pages(&spaces[n], 0);
	}
}

static u32 call_at(u64 va)
{
	u32 sum = 0;

	for (unsigned k = 0; k < CALLS; k++)
		sum += ((u32(*)(void))va)();
	return sum;
}

static u64 user_result(void)
{
	/* mov $USER_VA + USER_OFF, %rax; jmp *%rax */
	static const u8 jump[] = {0x48, 0xb8, 0, 0x21, 0x10, 0, 0x80, 0x01, 0, 0, 0xff, 0xe0};

	run_user_code(jump, sizeof(jump), 0, 0);
	return caught.vector == VEC_BP ? caught.rip - (BEHIND_VA + USER_OFF + 1) : 0;
}

/* Data, the supervisor's code and the user's are what page `which` says. */
static bool sees(const struct space *s, unsigned which)
{
	u32 n = s->page[which][DATA_OFF];

	return *(volatile u8 *)(DATA_VA + DATA_OFF) == n && call_at(CODE_VA) == n * CALLS &&
	       user_result() == n;
}

static bool sees_global(const u8 *page)
{
	u32 n = page[DATA_OFF];

	return *(volatile u8 *)(GLOBAL_VA + DATA_OFF) == n && call_at(GLOBAL_VA) == n * CALLS;
}

static void enter(const struct space *s, u64 pcid, u64 keep)
{
	WRITE_CR(3, (u64)s->root | pcid | keep);
}

static void invpcid(u64 type, u64 pcid, u64 va)
{
	struct {
		u64 pcid, va;
	} d = {pcid, va};

	__asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static bool has_pcid(void)
{
	return cpuid(1, 0).c & 1 << 17;
}

static bool has_invpcid(void)
{
	return cpuid(0, 0).a >= 7 && (cpuid(7, 0).b & 1 << 10);
}

/* ---- Without PCIDs ---- */

static void test_plain(void)
{
	bool good = true, fresh = true;

	for (unsigned i = 0; i < 200 && good && fresh; i++) {
		struct space *s = &spaces[i % 3];

		enter(s, 0, 0);
		good = sees(s, 0);
		set_pages(&spaces[(i + 1) % 3], 1);
		enter(&spaces[(i + 1) % 3], 0, 0);
		fresh = sees(&spaces[(i + 1) % 3], 1);
		set_pages(&spaces[(i + 1) % 3], 0);
	}
	ok(good, "CR3: each address space has its own pages");
	ok(fresh, "CR3: what was changed meanwhile is seen");
}

static void test_global(void)
{
	u8 *const *page = spaces[0].page;
	u64 cr4 = READ_CR(4);

	enter(&spaces[0], 0, 0);
	WRITE_CR(4, cr4 | CR4_PGE);
	*spaces[0].global = (u64)page[0] | PTE_P | PTE_G;
	bool good = sees_global(page[0]);
	*spaces[0].global = (u64)page[1] | PTE_P | PTE_G;
	WRITE_CR(4, cr4 & ~CR4_PGE);
	ok(good && sees_global(page[1]), "clearing CR4.PGE forgets global pages");
	WRITE_CR(4, cr4 | CR4_PGE);
	good = sees_global(page[1]);
	*spaces[0].global = (u64)page[0] | PTE_P | PTE_G;
	invlpg(GLOBAL_VA);
	ok(good && sees_global(page[0]), "INVLPG forgets a global page");
	*spaces[0].global = 0;
	invlpg(GLOBAL_VA);
	WRITE_CR(4, cr4);
}

/* ---- With them ---- */

static void test_switches(void)
{
	bool good = true;

	/* More than a processor may tell apart, and not in order. */
	for (unsigned i = 0; i < 400 && good; i++) {
		unsigned n = i * 7 % (i < 200 ? SPACES : 3);

		enter(&spaces[n], n, i < SPACES ? 0 : CR3_KEEP);
		good = sees(&spaces[n], 0);
	}
	ok(good, "PCID: each address space has its own pages");
	ok(READ_CR(3) >> 63 == 0, "PCID: CR3 reads with bit 63 clear");
	for (unsigned i = 0; i < 8 && good; i++) {
		struct space *s = &spaces[2 + i % 2];

		enter(s, 2, 0);
		good = sees(s, 0);
	}
	ok(good, "PCID: a number for other tables, by a CR3 that keeps nothing");
	enter(&spaces[2], 2, 0);
}

/* Space 1 as PCID 1 has been used; then its pages are others, and `how` says so. */
enum how {
	BY_CR3,
	BY_CR3_AWAY,
	BY_INVLPG,
	BY_PAGE,
	BY_SPACE,
	BY_ALL,
	BY_NONGLOBAL,
	BY_PCIDE,
	HOWS
};

static void say(enum how how)
{
	static const u64 pages[] = {DATA_VA, CODE_VA, BEHIND_VA};
	u64 cr4 = READ_CR(4);

	if (how == BY_CR3 || how == BY_INVLPG)
		enter(&spaces[1], 1, how == BY_CR3 ? 0 : CR3_KEEP);
	for (unsigned k = 0; k < 3; k++)
		if (how == BY_INVLPG)
			invlpg(pages[k]);
		else if (how == BY_PAGE)
			invpcid(INV_PAGE, 1, pages[k]);
	if (how == BY_SPACE)
		invpcid(INV_SPACE, 1, 0);
	else if (how == BY_ALL)
		invpcid(INV_ALL, 0, 0);
	else if (how == BY_NONGLOBAL)
		invpcid(INV_NONGLOBAL, 0, 0);
	if (how != BY_PCIDE)
		return;
	enter(&spaces[0], 0, CR3_KEEP);
	WRITE_CR(4, cr4 & ~CR4_PCIDE);
	WRITE_CR(4, cr4);
}

static void test_flushes(void)
{
	static const char *const names[HOWS] = {
		"CR3 without bit 63",
		"CR3 without bit 63, from another PCID",
		"INVLPG",
		"INVPCID of a page, from another PCID",
		"INVPCID of a PCID, from another one",
		"INVPCID of everything",
		"INVPCID of what is not global",
		"clearing CR4.PCIDE",
	};

	for (enum how how = 0; how < HOWS; how++) {
		bool good = true;

		if (how >= BY_PAGE && how <= BY_NONGLOBAL && !has_invpcid()) {
			skip(names[how], "CPUID has no INVPCID");
			continue;
		}
		for (unsigned i = 0; i < 40 && good; i++) {
			set_pages(&spaces[1], i & 1);
			enter(&spaces[0], 0, CR3_KEEP);
			say(how);
			enter(&spaces[1], 1, how == BY_CR3_AWAY ? 0 : CR3_KEEP);
			good = sees(&spaces[1], i & 1);
			enter(&spaces[0], 0, CR3_KEEP);
			good = good && sees(&spaces[0], 0);
		}
		ok(good, "PCID: %s lets new pages be seen", names[how]);
		set_pages(&spaces[1], 0);
		enter(&spaces[1], 1, 0);
		enter(&spaces[0], 0, CR3_KEEP);
	}
}

/* One INVLPG of a global page counts for all PCIDs. */
static void test_global_pcid(void)
{
	u64 cr4 = READ_CR(4);
	bool good = true;

	WRITE_CR(4, cr4 | CR4_PGE);
	for (unsigned i = 0; i < 40 && good; i++) {
		u8 *page = spaces[0].page[i & 1];

		for (unsigned n = 0; n < 2; n++)
			*spaces[n].global = (u64)page | PTE_P | PTE_G;
		if (i & 2 && has_invpcid())
			invpcid(INV_ALL, 0, 0);
		else
			invlpg(GLOBAL_VA);
		enter(&spaces[1], 1, CR3_KEEP);
		good = sees_global(page);
		enter(&spaces[0], 0, CR3_KEEP);
		good = good && sees_global(page);
	}
	ok(good, "PCID: a global page that is forgotten is forgotten in all");
	for (unsigned n = 0; n < 2; n++)
		*spaces[n].global = 0;
	invlpg(GLOBAL_VA);
	WRITE_CR(4, cr4);
}

/*
 * The same from code in the upper half, all of which is global: a CPU may go on there without ado.
 * Reads a byte in each of two spaces, then changes what it is in the second, count times; returns
 * both sums.
 */
u64 hop(u64 first, u64 second, u64 va, u64 count, volatile u64 *pte, u64 flip);
extern u8 hop_end[];
__asm__("hop:\n"
	"	xor %r10d, %r10d\n"
	"	xor %r11d, %r11d\n"
	"1:	mov %rdi, %cr3\n"
	"	movzbl (%rdx), %eax\n"
	"	add %rax, %r10\n"
	"	mov %rsi, %cr3\n"
	"	movzbl (%rdx), %eax\n"
	"	add %rax, %r11\n"
	"	xor %r9, (%r8)\n"
	"	invlpg (%rdx)\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	mov %rdi, %cr3\n"
	"	mov %r11, %rax\n"
	"	shl $32, %rax\n"
	"	add %r10, %rax\n"
	"	ret\n"
	"hop_end:\n");

static void test_upper_half(void)
{
	enum { HOPS = 1000 };
	u64 va = 0xffff900000010000, cr4 = READ_CR(4), first = spaces[0].page[0][DATA_OFF];
	u64 pages[2] = {(u64)spaces[1].page[0], (u64)spaces[1].page[1]}, sums;
	u64 second = spaces[1].page[0][DATA_OFF] + spaces[1].page[1][DATA_OFF];
	u8 *code = alloc_pages(1);

	memcpy(code, (const void *)hop, (size_t)(hop_end - (u8 *)hop));
	for (unsigned n = 0; n < 2; n++)
		*entry_of(spaces[n].root, va, 12) = (u64)code | PTE_P | PTE_G;
	WRITE_CR(4, cr4 | CR4_PGE);
	sums = ((__typeof__(&hop))va)((u64)spaces[0].root | CR3_KEEP,
				      (u64)spaces[1].root | 1 | CR3_KEEP, DATA_VA + DATA_OFF, HOPS,
				      spaces[1].data, pages[0] ^ pages[1]);
	ok(sums == (HOPS / 2 * second << 32 | HOPS * first),
	   "PCID: the upper half changes what the lower one is");
	WRITE_CR(4, cr4);
}

/* INVLPG anywhere in a large page is of all of it. */
static void test_large(void)
{
	enum { LARGE = 2 << 20, HERE = 0x5000, THERE = 0x100000 };
	u8 *memory = alloc_pages(3 * LARGE / 4096);
	u64 pa = ((u64)memory + LARGE - 1) & ~(LARGE - 1ull);
	bool good = true;

	*(u8 *)(pa + HERE) = 1;
	*(u8 *)(pa + LARGE + HERE) = 2;
	for (unsigned i = 0; i < 10 && good; i++) {
		*spaces[0].large = (pa + (i & 1) * LARGE) | PTE_P | PTE_W | PTE_PS;
		invlpg(LARGE_VA + THERE);
		good = *(volatile u8 *)(LARGE_VA + HERE) == 1 + (i & 1);
	}
	ok(good, "INVLPG forgets all of a large page");
	*spaces[0].large = 0;
	invlpg(LARGE_VA);
}

static void test_cr3_faults(void)
{
	u64 cr4 = READ_CR(4);

	EXPECT("mov %%cr3, %%rax\n\tbts $62, %%rax\n\tmov %%rax, %%cr3", "rax");
	ok(caught_as(VEC_GP, 0), "#GP(0): reserved bit of CR3");
	enter(&spaces[1], 1, CR3_KEEP);
	WRITE_CR(4, cr4 & ~CR4_PCIDE);
	EXPECT("mov %%cr4, %%rax\n\tbts $17, %%rax\n\tmov %%rax, %%cr4", "rax");
	ok(caught_as(VEC_GP, 0), "#GP(0): CR4.PCIDE while CR3 has low bits");
	EXPECT("mov %%cr3, %%rax\n\tbts $63, %%rax\n\tmov %%rax, %%cr3", "rax");
	ok(caught_as(VEC_GP, 0), "#GP(0): bit 63 of CR3 without CR4.PCIDE");
	enter(&spaces[0], 0, 0);
	WRITE_CR(4, cr4);
}

#define INVPCID_FAULTS(type, pcid, va, name)                                              \
	do {                                                                              \
		invpcid_operand[0] = (pcid);                                              \
		invpcid_operand[1] = (va);                                                \
		EXPECT("mov $" #type ", %%eax\n\tinvpcid invpcid_operand, %%rax", "rax"); \
		ok(caught_as(VEC_GP, 0), "#GP(0): INVPCID " name);                        \
	} while (0)

static void test_invpcid_faults(void)
{
	u64 cr4 = READ_CR(4);

	if (!has_invpcid()) {
		skip("#GP(0): INVPCID", "CPUID has no INVPCID");
		return;
	}
	INVPCID_FAULTS(4, 0, 0, "of type 4");
	INVPCID_FAULTS(0, 0x1000, 0, "of a page with reserved bits");
	INVPCID_FAULTS(1, 0x1000, 0, "of a PCID with reserved bits");
	INVPCID_FAULTS(0, 0, 1ull << 47, "of a non-canonical page");
	WRITE_CR(4, cr4 & ~CR4_PCIDE);
	INVPCID_FAULTS(1, 1, 0, "of PCID 1 without CR4.PCIDE");
	WRITE_CR(4, cr4);
}

void test_spaces(void)
{
	u64 cr3 = READ_CR(3);

	make_spaces();
	test_plain();
	test_global();
	enter(&spaces[0], 0, 0);
	if (has_pcid()) {
		WRITE_CR(4, READ_CR(4) | CR4_PCIDE);
		test_switches();
		enter(&spaces[0], 0, 0);
		test_flushes();
		test_global_pcid();
		test_upper_half();
		test_large();
		test_cr3_faults();
		test_invpcid_faults();
		WRITE_CR(4, READ_CR(4) & ~CR4_PCIDE);
	} else {
		skip("PCID", "CPUID has no PCID");
		test_large();
	}
	WRITE_CR(3, cr3);
}
