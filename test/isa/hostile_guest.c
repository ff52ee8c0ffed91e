/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile.h"
#include "values.h"

extern const u8 hostile_fault[], hostile_fault_end[];

/* Faults that a program may have, and instructions of the interpreter's run of it. */
enum { FUEL = 4000, INSTRUCTIONS_MAX = 400000 };

/* ---- What all programs share ------------------------------------------------------------------
 */

static bool has_error_code(unsigned vector)
{
	return vector < 32 &&
	       (BIT(vector) & (BIT(X86_DF_) | BIT(X86_TS_) | BIT(X86_NP) | BIT(X86_SSF) |
			       BIT(X86_GP) | BIT(X86_PFV) | BIT(X86_AC_)));
}

/* push 0, if there is no error code; push vector; jmp hostile_fault */
static void make_stub(u8 *image, unsigned vector)
{
	/* That of #PF is where kernel.h's handler goes with what it doesn't mind. */
	u32 at = GPA_STUBS + vector * 16 + (vector == X86_PFV ? 8 : 0);
	u8 *p = image + at;

	if (!has_error_code(vector)) {
		*p++ = 0x6a;
		*p++ = 0;
	}
	*p++ = 0x6a;
	*p++ = (u8)vector;
	*p++ = 0xe9;
	st32(p, (u32)(HG_FAULT - (p + 4 - image)));
}

static void make_empty(u8 *image)
{
	memcpy(image + HG_FAULT, hostile_fault, (size_t)(hostile_fault_end - hostile_fault));
	for (unsigned vector = 0; vector < 32; vector++)
		if (vector != X86_NMI)
			make_stub(image, vector);
	for (u64 at = KERNEL_END; at < WORLD_RAM; at += ALC_PAGE_SIZE)
		st64(image + GPA_KERNEL + at / ALC_PAGE_SIZE * 8,
		     at | PTE_P | PTE_W | PTE_A | PTE_D);
}

int hostile_guest_create(struct hostile_guest *g, const struct alc_engine *engine,
			 const struct settings *settings, struct alc_err *err)
{
	int ret;

	memset(g, 0, sizeof(*g));
	g->image = malloc(WORLD_RAM);
	g->empty = calloc(1, WORLD_RAM);
	ret = g->image && g->empty ? world_create(&g->world, engine, settings, err)
				   : alc_fail(err, -ENOMEM, "out of memory");
	if (ret) {
		free(g->image);
		free(g->empty);
		g->image = g->empty = NULL;
		return ret;
	}
	kernel_install(&g->world);
	memcpy(g->empty, g->world.ram, KERNEL_END);
	make_empty(g->empty);
	return 0;
}

void hostile_guest_destroy(struct hostile_guest *g)
{
	if (g->image)
		world_destroy(&g->world);
	free(g->image);
	free(g->empty);
	g->image = g->empty = NULL;
}

/* ---- One program ------------------------------------------------------------------------------
 */

struct tables {
	u8 *image;
	u32 next;
};

/* The entry's place; 0: there are no tables left. */
static u32 entry_of(struct tables *t, u64 va)
{
	u32 table = GPA_PML4;

	for (int shift = 39; shift > 12; shift -= 9) {
		u8 *e = t->image + table + (va >> shift & 511) * 8;

		if (!(ld64(e) & PTE_P)) {
			if (t->next == HG_END)
				return 0;
			st64(e, t->next | PTE_P | PTE_W | PTE_U);
			t->next += ALC_PAGE_SIZE;
		}
		table = (u32)(ld64(e) & ~0xfffull);
	}
	return table + (u32)(va >> 12 & 511) * 8;
}

/* What is mapped already stays. */
static void map_page(struct tables *t, u64 va, u64 pte)
{
	u32 at = pte && x86_canonical(va) ? entry_of(t, va) : 0;

	if (at && !ld64(t->image + at))
		st64(t->image + at, pte);
}

static void map_window(u8 *image, const struct hostile *h)
{
	const u64 rw = PTE_P | PTE_W | PTE_NX | (h->cpl ? PTE_U : 0), rwx = rw & ~PTE_NX;
	u64 pte[HP_END] = {
		[HP_CELLS] = HG_CELLS | rw,
		[HP_RESULTS] = HG_RESULTS | rw,
		[HP_RESULTS + 1] = (HG_RESULTS + 0x1000) | rw,
		[PAGE_DEMAND] = HG_DEMAND | (rw & ~(u64)(PTE_P | PTE_W)),
		[PAGE_REMAP] = HG_REMAP | rw,
		[PAGE_WRITABLE] = HG_WRITABLE | rw,
		[PAGE_STEPS] = HG_STEPS | rwx,
	};

	for (unsigned i = 0; i < HG_CODE_PAGES; i++) {
		pte[HP_CODE + i] = (HG_CODE + i * 0x1000u) | (h->open_code ? rwx : rwx & ~PTE_W);
		pte[HP_CODE_ALIAS + i] = h->open_code ? (HG_CODE + i * 0x1000u) | rw : 0;
	}
	for (unsigned i = 0; i < HP_END; i++)
		st64(image + GPA_WINDOW + i * 8, pte[i]);
}

static void make_state(u8 *image, const struct hostile *h)
{
	u8 *s = image + HG_STATE;

	st64(s + STATE_FUEL, FUEL);
	st64(s + STATE_CS, h->bits == 32 ? CASE_CS32 : h->cpl ? CASE_CS : CASE_CS0);
	st64(s + STATE_SS, h->cpl ? CASE_SS : CASE_SS0);
	st64(image + HG_CELLS + CELL_LOOP, HOSTILE_ROUNDS);
	/* Half of the address, of which programs write the other. */
	st64(image + HG_CELLS + CELL_RESUME, h->base);
}

/* Code that goes on in the next page, wherever it is mapped, and INT3 before. */
static void make_edge(u8 *frame, u64 seed)
{
	static const u8 ends[][8] = {
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90},
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x8b, 0x03}, /* mov eax, [rbx] */
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x48, 0x8b},
		{0x90, 0x90, 0x90, 0x90, 0xb8, 0x11, 0x22, 0x33},
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0x10},
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0x80},
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd3}, /* call rbx */
		{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f},
	};

	memset(frame, CASE_INT3, ALC_PAGE_SIZE);
	memcpy(frame + ALC_PAGE_SIZE - 8, ends[seed % ARRAY_LEN(ends)], 8);
	memcpy(frame, ends[seed / 8 % 4], 4);
}

static void make_image(struct hostile_guest *g, const struct hostile *h)
{
	struct tables t = {.image = g->image, .next = HG_TABLES};

	memcpy(g->image, g->empty, WORLD_RAM);
	values_fill(h->fill, g->image + HG_DATA, HG_CODE - HG_DATA);
	values_fill(h->fill + 1, g->image + HG_WRITABLE, HG_TABLES - HG_WRITABLE);
	make_edge(g->image + HG_EDGE, h->fill >> 8);
	memcpy(g->image + HG_CODE, h->code, sizeof(h->code));
	map_window(g->image, h);
	make_state(g->image, h);
	for (unsigned i = 0; i < HOSTILE_EDGES; i++) {
		map_page(&t, h->edge[i].at.addr - ALC_PAGE_SIZE, h->edge[i].pte[0]);
		map_page(&t, h->edge[i].at.addr, h->edge[i].pte[1]);
	}
}

/* By the protocol of mem/space.h, and only what changes. */
static void load(struct hostile_guest *g, const struct hostile *h)
{
	make_image(g, h);
	for (u64 at = 0; at < WORLD_RAM; at += ALC_PAGE_SIZE)
		if (memcmp(g->world.ram + at, g->image + at, ALC_PAGE_SIZE) &&
		    space_copy_out(&g->world.space, gpa(at), g->image + at, ALC_PAGE_SIZE))
			abort();
	if (h->bits == 64)
		kernel_enter(&g->world, &h->in, h->cpl);
	else
		kernel_enter_compat(&g->world, &h->in, h->fs_limit);
}

void hostile_guest_run(struct hostile_guest *g, const struct hostile *h,
		       struct hostile_outcome *out)
{
	/* The translator counts only where it is asked to, and is another one then. */
	if (g->world.engine == world_engine("interp"))
		g->world.instructions_max = INSTRUCTIONS_MAX;
	load(g, h);
	kernel_run(&g->world, &out->cpu);
	memcpy(out->ram, g->world.ram, WORLD_RAM);
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

/* Frames and accessed bits: see block_compare.c. The log has all that counts of a fault. */
static u8 differing_bits(const struct hostile_outcome *a, const struct hostile_outcome *b, u64 at)
{
	u8 x = a->ram[at], y = b->ram[at];

	if (at >= GPA_STACK && at < GPA_NMI + ALC_PAGE_SIZE)
		return 0;
	if (((at >= GPA_PML4 && at < GPA_GDT) || at >= HG_TABLES) && at % 8 == 0)
		return (u8)((x ^ y) & ~(PTE_A | PTE_D));
	return x ^ y;
}

static bool first_difference(const struct hostile_outcome *a, const struct hostile_outcome *b,
			     u64 *at)
{
	for (u64 page = *at; page < WORLD_RAM; page = (page | 0xfff) + 1) {
		if (!memcmp(a->ram + page, b->ram + page, ALC_PAGE_SIZE - page % ALC_PAGE_SIZE))
			continue;
		for (*at = page; *at < (page | 0xfff) + 1; ++*at)
			if (differing_bits(a, b, *at))
				return true;
	}
	return false;
}

const char *hostile_difference(const struct hostile_outcome *a, const struct hostile_outcome *b)
{
	u64 at = 0;

	if (a->cpu.end != b->cpu.end)
		return "end";
	if (first_difference(a, b, &at)) {
		if (at >= HG_LOG && at < HG_LOG_END)
			return "faults";
		return at >= HG_RESULTS && at < HG_RESULTS + 0x2000 ? "results" : "memory";
	}
	if (memcmp(a->cpu.out.gpr, b->cpu.out.gpr, sizeof(a->cpu.out.gpr)) ||
	    a->cpu.out.rip != b->cpu.out.rip || a->cpu.out.fs_base != b->cpu.out.fs_base ||
	    a->cpu.out.gs_base != b->cpu.out.gs_base)
		return "registers";
	return memcmp(a->cpu.out.vec, b->cpu.out.vec, sizeof(a->cpu.out.vec)) ? "vectors" : NULL;
}

static void print_end(const char *who, const struct hostile_outcome *o)
{
	printf("  %-10s end %d vector %u rip %llx faults %llu %s\n", who, o->cpu.end,
	       o->cpu.fault.vector, (unsigned long long)o->cpu.out.rip,
	       (unsigned long long)ld64(o->ram + HG_STATE + STATE_COUNT),
	       o->cpu.end == CASE_LOST ? o->cpu.why : "");
}

static void print_log(const struct hostile_outcome *a, const struct hostile_outcome *b, u64 at)
{
	static const char *const names[] = {"vector", "error", "rip", "rsp", "flags", "cr2", "rax",
					    "rbx",    "rcx",   "rdi", "rdx", "rbp",   "rsi", "r8",
					    "r9",     "r10",   "r11", "r12", "r13",   "r14", "r15"};
	u64 entry = at & ~(u64)(LOG_SIZE - 1);

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		u64 x = ld64(a->ram + entry + i * 8), y = ld64(b->ram + entry + i * 8);

		printf("  fault %llu %-6s %016llx %016llx%s\n",
		       (unsigned long long)(entry - HG_LOG) / LOG_SIZE, names[i],
		       (unsigned long long)x, (unsigned long long)y, x == y ? "" : "  !");
	}
}

void hostile_print_difference(const struct hostile *h, const struct hostile_outcome *a,
			      const struct hostile_outcome *b)
{
	u64 at = 0;

	print_end("interp", a);
	print_end("other", b);
	for (unsigned i = 0; i < X86_GPRS; i++)
		if (a->cpu.out.gpr[i] != b->cpu.out.gpr[i])
			printf("  register %u %016llx %016llx\n", i,
			       (unsigned long long)a->cpu.out.gpr[i],
			       (unsigned long long)b->cpu.out.gpr[i]);
	for (unsigned shown = 0; shown < 12 && first_difference(a, b, &at); shown++) {
		if (at >= HG_LOG && at < HG_LOG_END) {
			print_log(a, b, at);
			at = (at | (LOG_SIZE - 1)) + 1;
			shown += 5;
			continue;
		}
		at &= ~7ull;
		printf("  gpa %llx: %016llx %016llx\n", (unsigned long long)at,
		       (unsigned long long)ld64(a->ram + at),
		       (unsigned long long)ld64(b->ram + at));
		at += 8;
	}
}
