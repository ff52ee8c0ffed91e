/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "hostile.h"
#include "values.h"

/* ---- Addresses --------------------------------------------------------------------------------
 */

enum { EDGE_OF_RIGHTS = 1 };

static const struct place corners[] = {
	{0, "0"},
	{BIT(31), "2 GiB"},
	{BIT(32), "4 GiB"},
	{BIT(47), "end of the lower half"},
	{BIT(48), "2^48"},
	{BIT(62), "2^62"},
	{BIT(63), "2^63"},
	{0xffff800000000000, "begin of the upper half"},
	/* No walk from here gets to the kernel, whose own tables it could change. */
	{0xffffffff7f000000, "near the last 2 GiB"},
	{WINDOW, "window"},
	{WINDOW + HP_RESULTS * 0x1000 + 0x2000, "end of results"},
	{WINDOW + PAGE_DEMAND * 0x1000, "demanded page"},
	{WINDOW + PAGE_REMAP * 0x1000, "remapped page"},
	{WINDOW + PAGE_WRITABLE * 0x1000, "page that loses rights"},
	{WINDOW + HP_CODE * 0x1000, "begin of code"},
	{WINDOW + HP_CODE_END * 0x1000, "end of code"},
};

/* Frames side by side now and then, rights of all kinds, and what is no RAM. */
static u64 any_pte(struct hgen *g, u64 below)
{
	u64 user = g->h->cpl ? PTE_U : 0, frame, rights = PTE_P | PTE_W | PTE_NX | user;
	unsigned n = (unsigned)rng_below(&g->r, 100);

	frame = HG_DATA + rng_below(&g->r, HG_FRAMES) * 0x1000;
	if ((below & PTE_P) && rng_percent(&g->r, 50))
		frame = (below & 0xff000) + 0x1000;
	if (frame >= HG_EDGE || frame < HG_DATA)
		frame = HG_DATA;
	if (n < 30)
		return 0;
	if (n < 40)
		rights &= ~(u64)PTE_W;
	else if (n < 50)
		rights ^= PTE_U;
	else if (n < 55)
		frame = WORLD_RAM - 0x1000; /* the last; and behind it there is nothing */
	else if (n < 60)
		frame = WORLD_RAM;
	else if (n < 70) /* what is executed must be known: flags are undefined after much */
		rights &= ~(PTE_NX | PTE_W), frame = HG_EDGE;
	else if (n < 76)
		rights &= ~(u64)PTE_W, frame = HG_CODE;
	return frame | rights;
}

/* Side by side in memory, and only one may be written. */
static void make_edge_of_rights(struct hgen *g, struct edge *e)
{
	u64 frame = HG_DATA + rng_below(&g->r, HG_FRAMES - 1) * 0x1000;
	u64 rights = PTE_P | PTE_NX | (g->h->cpl ? PTE_U : 0);
	unsigned to_write = rng_percent(&g->r, 70) ? 0 : 1;

	e->pte[0] = frame | rights;
	e->pte[1] = (frame + 0x1000) | rights;
	e->pte[to_write] |= PTE_W;
}

static void choose_edges(struct hgen *g)
{
	struct hostile *h = g->h;

	for (unsigned i = 0; i < HOSTILE_EDGES; i++) {
		struct edge *e = &h->edge[i];
		unsigned how = (unsigned)rng_below(&g->r, 100);

		if (how < 45) {
			e->at = g->places[rng_below(&g->r, g->nplaces)];
			if (rng_percent(&g->r, 10))
				e->at.addr = (u32)e->at.addr;
		} else if (how < 90 || !i) {
			e->at = corners[rng_below(&g->r, ARRAY_LEN(corners))];
		} else {
			/* The same entry of a table, and maybe an address that isn't one. */
			e->at = h->edge[rng_below(&g->r, i)].at;
			e->at.addr ^= BIT(24 + rng_below(&g->r, 40));
		}
		e->at.addr &= ALC_PAGE_MASK;
		if (h->bits == 32)
			e->at.addr = (u32)e->at.addr;
		e->pte[0] = any_pte(g, 0);
		e->pte[1] = any_pte(g, e->pte[0]);
		if (i == EDGE_OF_RIGHTS)
			make_edge_of_rights(g, e);
	}
}

/* From where a wrong addend would lead to the process's own memory. */
static u64 by_addend(struct hgen *g)
{
	const struct edge *e = &g->h->edge[rng_below(&g->r, HOSTILE_EDGES)];
	unsigned side = (unsigned)rng_below(&g->r, 2);
	u64 gva = e->at.addr - (side ? 0 : ALC_PAGE_SIZE);
	u64 host = g->ram + (e->pte[side] & 0xff000);

	return gva + (g->places[rng_below(&g->r, g->nplaces)].addr - host);
}

static u64 near(struct hgen *g, u64 edge, unsigned size)
{
	unsigned n = (unsigned)rng_below(&g->r, 20);

	if (n < 9)
		return edge - size + rng_below(&g->r, size + 2u) - (n & 1);
	if (n < 12)
		return edge + rng_below(&g->r, 3) - 1;
	if (n < 17)
		return edge + rng_below(&g->r, 256) - 128;
	return edge + rng_below(&g->r, 0x2000) - 0x1000;
}

static bool is_near_code(u64 a)
{
	const u64 margin = 0x200, size = HG_CODE_PAGES * 0x1000 + 2 * margin;
	u64 low = a - WINDOW + margin, high = a - WINDOW_HIGH + margin;

	return low - HP_CODE * 0x1000 < size || low - HP_CODE_ALIAS * 0x1000 < size ||
	       high - HP_CODE * 0x1000 < size || high - HP_CODE_ALIAS * 0x1000 < size;
}

static u64 address_anywhere(struct hgen *g, unsigned size)
{
	unsigned how = (unsigned)rng_below(&g->r, 100);

	if (how < 75)
		return near(g, g->h->edge[rng_below(&g->r, HOSTILE_EDGES)].at.addr, size);
	if (how < 85)
		return by_addend(g) + rng_below(&g->r, 16) - 8;
	if (how < 92)
		return near(g, g->places[rng_below(&g->r, g->nplaces)].addr, size);
	return near(g, corners[rng_below(&g->r, ARRAY_LEN(corners))].addr, size);
}

static u64 any_address(struct hgen *g, unsigned size)
{
	u64 a = address_anywhere(g, size);

	return g->h->open_code && is_near_code(a) ? a ^ BIT(30) : a;
}

/* For an instruction. A lock across cache lines costs hosts much; across pages it must be tried. */
static u64 address_for(struct hgen *g, const struct draft *d)
{
	u64 a = any_address(g, d->size);

	if (d->align > 1)
		a &= -(u64)d->align;
	else if (d->locks && (a & 63) + d->size > 64 && (a & 0xfff) + d->size <= ALC_PAGE_SIZE &&
		 rng_percent(&g->r, 95))
		a &= ~(u64)15;
	else if (rng_percent(&g->r, 15))
		a &= ~(u64)15;
	return a;
}

/* ---- Slots ------------------------------------------------------------------------------------
 */

static void put_bytes_of(struct hgen *g, u64 bytes, unsigned n)
{
	put(g, &bytes, n);
}

/* op dword [cell], imm32, by an absolute address */
static void put_cell(struct hgen *g, u8 op, u8 ext, u32 cell, u32 imm)
{
	u8 b[11] = {op, (u8)(4 | ext << 3), 0x25};

	st32(b + 3, (u32)WINDOW + HP_CELLS * 0x1000 + cell);
	st32(b + 7, imm);
	put(g, b, sizeof(b));
}

/* xor [results], reg */
static void put_result(struct hgen *g, u32 at, int reg)
{
	u8 b[8] = {(u8)(0x48 | reg >> 3 << 2), 0x31, (u8)(4 | (reg & 7) << 3), 0x25};
	bool narrow = g->h->bits == 32;

	st32(b + 4, (u32)WINDOW + HP_RESULTS * 0x1000 + at);
	put(g, b + narrow, sizeof(b) - narrow);
}

/* movups [results], xmm */
static void put_vector(struct hgen *g, u32 at, unsigned reg)
{
	u8 b[8] = {0x0f, 0x11, (u8)(4 | reg << 3), 0x25};

	st32(b + 4, (u32)WINDOW + HP_RESULTS * 0x1000 + at);
	put(g, b, sizeof(b));
}

static void put_results(struct hgen *g, unsigned slot)
{
	for (unsigned i = 0; i < 4; i++)
		put_result(g, slot * 128 + i * 8, any_but(g, 0));
	if (rng_percent(&g->r, 50))
		put_vector(g, slot * 128 + 64, (unsigned)rng_below(&g->r, 8));
}

static int any_form_register(struct hgen *g, const struct form *t)
{
	return rng_percent(&g->r, 60) ? any_but(g, 0) : t->reg;
}

static void shape_single(struct hgen *g)
{
	const struct form *t;
	struct operand o;
	struct draft d;

	if (!draft_any(g, &d, &t))
		return;
	if (g->h->cpl == 0 && rng_percent(&g->r, 5))
		put_bytes_of(g, 0xf8010f, 3); /* swapgs */
	o = put_operand(g, address_for(g, &d), 0);
	if (rng_percent(&g->r, 25))
		put_bytes_of(g, rng_percent(&g->r, 50) ? 0xf9 : 0xf8, 1); /* stc, clc */
	if (!put_form(g, t, &o, any_form_register(g, t)))
		put_form(g, t, &o, t->reg);
	if (!(g->undefined & X86_CF) && rng_percent(&g->r, 25))
		put_bytes_of(g, 0xd219, 2); /* sbb edx, edx */
}

/* lea base, [base + disp8] */
static void put_step(struct hgen *g, int base, i8 disp)
{
	const struct form lea = {.opcode = 0x8d, .w = true, .mem = true};

	put_plain(g, &lea,
		  &(struct operand){.base = base, .index = -1, .disp = disp, .disp_size = 1}, base);
}

static void put_push_pop(struct hgen *g)
{
	static const u8 some[] = {0x50, 0x51, 0x53, 0x55, 0x57, 0x58, 0x5a, 0x5b, 0x5d, 0x5e};

	put_bytes_of(g, some[rng_below(&g->r, sizeof(some))], 1);
}

/* Several operands at constant distances, some beyond the boundary. */
static void shape_group(struct hgen *g)
{
	int base = rng_percent(&g->r, 30) ? X86_RSP : any_but(g, 0);
	struct draft d = {.size = 8, .align = 1};
	u64 a = address_for(g, &d);

	put_imm(g, base, a);
	for (unsigned n = 2 + (unsigned)rng_below(&g->r, 5); n; n--) {
		const struct form *t;
		struct operand o = {.base = base,
				    .index = -1,
				    .disp = (i64)rng_below(&g->r, 96) - 48,
				    .disp_size = rng_percent(&g->r, 80) ? 1 : 4};
		int reg;

		if (!draft_any(g, &d, &t))
			continue;
		/* Locked: within a line, or across pages. */
		if (d.align > 1 || (d.locks && ((a + (u64)o.disp) & 63) + d.size > 64))
			o.disp = -(i64)(a & 63);
		reg = any_form_register(g, t);
		put_form(g, t, &o, reg == base ? t->reg : reg);
		if (rng_percent(&g->r, 15))
			put_step(g, base, (i8)(rng_u64(&g->r) & 0x38));
		if (base == X86_RSP && rng_percent(&g->r, 30))
			put_push_pop(g);
	}
}

/* PUSH [operand], POP [operand] and kin, wherever that is. */
static void put_stack_operand(struct hgen *g)
{
	static const struct form forms[] = {
		{.opcode = 0xff, .reg = 6, .mem = true},            /* push */
		{.opcode = 0x8f, .reg = 0, .mem = true},            /* pop */
		{.opcode = 0x8b, .reg = 4, .mem = true, .w = true}, /* mov rsp, */
		{.opcode = 0x87, .reg = 4, .mem = true, .w = true}, /* xchg rsp, */
		{.opcode = 0x03, .reg = 4, .mem = true, .w = true}, /* add rsp, */
	};
	const struct form *t = &forms[rng_below(&g->r, ARRAY_LEN(forms))];
	struct draft d = {.size = 8, .align = 1};
	struct operand o = {.base = X86_RSP, .index = -1, .disp = 8, .disp_size = 1};

	if (rng_percent(&g->r, 60)) {
		u64 a = address_for(g, &d) & ~7ull;

		o = (struct operand){.base = any_but(g, BIT(X86_RSP)), .index = -1};
		put_imm(g, o.base, a);
	}
	put_plain(g, t, &o, t->reg);
}

static void put_stack_step(struct hgen *g)
{
	static const struct {
		u64 bytes;
		u8 n;
		bool not32;
	} steps[] = {
		{0x54, 1, false},               /* push rsp */
		{0x5c, 1, false},               /* pop rsp */
		{0x9c, 1, false},               /* pushf */
		{0xc9, 1, false},               /* leave */
		{0x000008c8, 4, false},         /* enter 8, 0 */
		{0x000010c8, 4, false},         /* enter 16, 0 */
		{0x5066, 2, false},             /* push ax */
		{0x5966, 2, false},             /* pop cx */
		{0x7f6a, 2, false},             /* push 127 */
		{0x8877665568, 5, false},       /* push imm32 */
		{0x00000000e8, 5, false},       /* call next */
		{0xc301eb00000002e8, 8, false}, /* call over; jmp past; over: ret */
		{0xe587, 2, false},             /* xchg esp, ebp */
		{0xe58748, 3, true},            /* xchg rsp, rbp */
		{0xf8c48348, 4, true},          /* add rsp, -8 */
		{0x08c48348, 4, true},
		{0xe48948, 3, true}, /* mov rsp, rsp */
	};
	unsigned i = (unsigned)rng_below(&g->r, ARRAY_LEN(steps) + 10);

	if (i >= ARRAY_LEN(steps)) {
		if (rng_percent(&g->r, 30))
			put_stack_operand(g);
		else
			put_push_pop(g);
	} else if (!steps[i].not32 || g->h->bits == 64) {
		put_bytes_of(g, steps[i].bytes, steps[i].n);
	}
}

static void shape_stack(struct hgen *g)
{
	put_imm(g, X86_RSP, any_address(g, 8) & ~(rng_percent(&g->r, 70) ? 7ull : 0));
	if (rng_percent(&g->r, 50))
		put_imm(g, X86_RBP, any_address(g, 8));
	if (rng_percent(&g->r, 10) && g->h->cpl && g->h->bits == 64)
		put_bytes_of(g, 0x050f, 2); /* syscall */
	for (unsigned n = 1 + (unsigned)rng_below(&g->r, 6); n; n--)
		put_stack_step(g);
}

static u64 any_count(struct hgen *g)
{
	unsigned n = (unsigned)rng_below(&g->r, 10);

	if (n < 5)
		return rng_below(&g->r, 40);
	return n < 9 ? rng_below(&g->r, 0x1100) : any_part(g);
}

/*
 * A repeated store over the instruction itself is seen by it after some repetitions or at its end:
 * processors differ, and so do engines.
 */
static u64 any_destination(struct hgen *g)
{
	const u64 from = HP_CODE * 0x1000 - 0x9000, size = HP_END * 0x1000 + 0x9000 - from;
	u64 a;

	do
		a = any_address(g, 8);
	while (a - WINDOW - from < size || a - WINDOW_HIGH - from < size);
	return a;
}

static void shape_string(struct hgen *g)
{
	static const u8 ops[] = {0xa4, 0xa5, 0xaa, 0xab, 0xa4, 0xa5, 0xaa,
				 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf};

	put_imm(g, X86_RSI, any_address(g, 8));
	put_imm(g, X86_RDI, any_destination(g));
	put_imm(g, X86_RCX, any_count(g));
	if (rng_percent(&g->r, 30))
		put_bytes_of(g, 0xfd, 1); /* std */
	if (rng_percent(&g->r, 10))
		put_bytes_of(g, 0x67, 1);
	if (rng_percent(&g->r, 10))
		put_bytes_of(g, 0x64 | (rng_u64(&g->r) & 1), 1);
	if (rng_percent(&g->r, 85))
		put_bytes_of(g, rng_percent(&g->r, 80) ? 0xf3 : 0xf2, 1);
	if (rng_percent(&g->r, 40))
		put_bytes_of(g, g->h->bits == 64 ? 0x48 : 0x66, 1);
	put_bytes_of(g, ops[rng_below(&g->r, sizeof(ops))], 1);
	put_bytes_of(g, 0xfc, 1); /* cld */
}

/* BT and kin: the operand is somewhere, the bit where nobody would look for it. */
static void shape_bits(struct hgen *g)
{
	static const u8 ops[] = {0xa3, 0xab, 0xb3, 0xbb};
	struct form t = {.map = 1, .mem = true, .w = g->h->bits == 64 && rng_percent(&g->r, 70)};
	u64 to = any_address(g, 8) & ~7ull, offset = any_part(g);
	int base = any_but(g, 0), reg = any_but(g, BIT(base));

	t.opcode = ops[rng_below(&g->r, sizeof(ops))];
	put_imm(g, reg, offset);
	put_imm(g, base,
		to - (t.w ? (u64)((i64)offset >> 6) * 8 : (u64)(i64)((i32)offset >> 5) * 4));
	put_plain(g, &t, &(struct operand){.base = base, .index = -1}, reg);
}

/* What loops access by: mostly words. */
static const struct form loop_forms[] = {
	{.opcode = 0x8b, .mem = true, .w = true}, /* mov r, m */
	{.opcode = 0x89, .mem = true, .w = true}, /* mov m, r */
	{.opcode = 0x8a, .mem = true},            /* mov r8, m */
	{.opcode = 0x88, .mem = true},
	{.opcode = 0x01, .mem = true},            /* add m, r */
	{.opcode = 0x03, .mem = true, .w = true}, /* add r, m */
	{.map = 1, .opcode = 0x10, .mem = true},  /* movups */
	{.map = 1, .opcode = 0x11, .mem = true},
	{.map = 1, .opcode = 0xb6, .mem = true}, /* movzx */
	{.opcode = 0x39, .mem = true},           /* cmp m, r */
};

/* An operand by this register, at most 32 bytes away. */
static void put_loop_access(struct hgen *g, int base)
{
	struct operand o = {
		.base = base, .index = -1, .disp = (i64)rng_below(&g->r, 64) - 32, .disp_size = 1};

	put_plain(g, &loop_forms[rng_below(&g->r, ARRAY_LEN(loop_forms))], &o,
		  rng_percent(&g->r, 50) ? X86_RAX : X86_RDX);
}

/* sub ecx, 1; jnz */
static void put_loop_end(struct hgen *g, unsigned begin)
{
	u8 back[6] = {0x0f, 0x85};

	put_bytes_of(g, 0x01e983, 3);
	st32(back + 2, begin - g->at - (u32)sizeof(back));
	put(g, back, sizeof(back));
}

/* Some way before this one, which is passed halfway; false: it would lead over the code. */
static bool choose_walk(struct hgen *g, u64 middle, i32 stride, u32 steps, u64 *from)
{
	*from = middle - (u64)(i64)stride * (steps / 2);
	for (u32 i = 0; g->h->open_code && i <= steps; i++)
		if (is_near_code(*from + (u64)(i64)stride * i))
			return false;
	return true;
}

/* A loop that walks over the boundary, by the same instructions. */
static void shape_walk(struct hgen *g)
{
	static const i32 strides[] = {1, 4, 8, 16, 32, 64, 256, 4096, -1, -4, -8, -16, -64, -4096};
	i32 stride = strides[rng_below(&g->r, ARRAY_LEN(strides))];
	u32 steps = 2 + (u32)rng_below(&g->r, 40);
	int base = any_but(g, BIT(X86_RSP) | BIT(X86_RCX) | BIT(X86_RAX) | BIT(X86_RDX));
	u8 add[7] = {(u8)(0x48 | base >> 3), 0x81, (u8)(0xc0 | (base & 7))};
	unsigned begin, narrow = g->h->bits == 32;
	u64 from;

	if (!choose_walk(g, any_address(g, 8), stride, steps, &from))
		return;
	put_imm(g, base, from);
	put_imm(g, X86_RCX, steps);
	begin = g->at;
	for (unsigned n = 1 + (unsigned)rng_below(&g->r, 3); n; n--)
		put_loop_access(g, base);
	st32(add + 3, (u32)stride);
	put(g, add + narrow, sizeof(add) - narrow);
	put_loop_end(g, begin);
}

/*
 * The same by addresses that each iteration computes anew: engines may remember where the last ones
 * led. Both sides may have been read before, as a right to read is none to write.
 */
static void shape_leap(struct hgen *g)
{
	static const i32 strides[] = {1, 4, 8, 16, 32, 64, -1, -4, -8, -16, -32, -64};
	const struct form read = {.opcode = 0x8a, .mem = true};
	const unsigned taken = BIT(X86_RSP) | BIT(X86_RCX) | BIT(X86_RAX) | BIT(X86_RDX);
	i32 stride = strides[rng_below(&g->r, ARRAY_LEN(strides))];
	u32 steps = 16 + (u32)rng_below(&g->r, 48);
	int from_reg = any_but(g, taken), to = any_but(g, taken | BIT(from_reg));
	u8 multiply[7] = {(u8)(0x48 | to >> 3 << 2), 0x69, (u8)(0xc1 | (to & 7) << 3)};
	u8 add[3] = {(u8)(0x48 | from_reg >> 3 << 2 | to >> 3), 0x01,
		     (u8)(0xc0 | (from_reg & 7) << 3 | (to & 7))};
	unsigned begin, narrow = g->h->bits == 32;
	u64 from, middle = any_address(g, 8);

	if (rng_percent(&g->r, 50))
		middle = near(g, g->h->edge[EDGE_OF_RIGHTS].at.addr, 8);
	if (!choose_walk(g, middle, stride, steps, &from))
		return;
	for (unsigned n = rng_percent(&g->r, 60) ? 2 : 0; n; n--) {
		put_imm(g, from_reg, from + (n - 1) * (u64)(i64)stride * steps);
		put_plain(g, &read, &(struct operand){.base = from_reg, .index = -1}, X86_RDX);
	}
	put_imm(g, from_reg, from);
	put_imm(g, X86_RCX, steps);
	begin = g->at;
	/* imul to, ecx, stride; add to, from */
	st32(multiply + 3, (u32)stride);
	put(g, multiply + narrow, sizeof(multiply) - narrow);
	put(g, add + narrow, sizeof(add) - narrow);
	for (unsigned n = 1 + (unsigned)rng_below(&g->r, 2); n; n--)
		put_loop_access(g, to);
	put_loop_end(g, begin);
}

/* A target in rax, or in its cell. */
static void shape_jump(struct hgen *g)
{
	static const struct {
		u32 bytes;
		u8 n;
	} ways[] = {
		{0xe0ff, 2},     {0xd0ff, 2}, /* jmp rax, call rax */
		{0xc350, 2},                  /* push rax; ret */
		{0x50c3, 1},                  /* ret */
		{0x0008c250, 4},              /* push rax; ret 8 */
		{0x0000c250, 4},
	};
	unsigned i = (unsigned)rng_below(&g->r, ARRAY_LEN(ways) + 1);
	u64 stack = WINDOW + HP_RESULTS * 0x1000 + 0x1fc0;
	const struct form indirect = {.opcode = 0xff, .mem = true};
	struct draft d = {.size = 8, .align = 1};

	put_imm(g, X86_RSP, rng_percent(&g->r, 60) ? stack : any_address(g, 8));
	put_imm(g, X86_RBX, any_address(g, 4));
	put_imm(g, X86_RAX, any_address(g, 1));
	if (i < ARRAY_LEN(ways)) {
		put_bytes_of(g, ways[i].bytes, ways[i].n);
	} else {
		put_imm(g, X86_RDI, address_for(g, &d));
		put_plain(g, &indirect, &(struct operand){.base = X86_RDI, .index = -1},
			  rng_percent(&g->r, 50) ? 4 : 2);
	}
}

/* Every other round begins in the middle of the instruction. */
static void shape_middle(struct hgen *g)
{
	static const u64 inner[] = {
		0x909090909090038b,                     /* mov eax, [rbx] */
		0x9090909090900389,                     /* mov [rbx], eax */
		0x90909090909090c3,                     /* ret */
		0x9090909003b60f90, 0x909090900fb00ff0, /* lock cmpxchg [rdi], cl */
		0x9090909090508b48, 0x90909003100f9090, 0x909090909005eb90,
	};
	u64 a = any_address(g, 8) & ~7ull;

	put_imm(g, X86_RBX, a);
	put_imm(g, X86_RDI, a);
	put_imm(g, X86_RSP, any_address(g, 8));
	put_cell(g, 0xf7, 0, CELL_LOOP, 1); /* test */
	put_bytes_of(g, g->h->bits == 64 ? 0x0275 : 0x0175, 2);
	put_imm(g, X86_RAX, inner[rng_below(&g->r, ARRAY_LEN(inner))]);
}

static void pad_to_page_end(struct hgen *g, unsigned kept)
{
	while ((g->at & 0xfff) != ALC_PAGE_SIZE - kept && !g->full)
		put_bytes_of(g, 0x90, 1);
}

/* The byte behind the store, by its own address or by the alias's; another value each round. */
static void shape_own_code(struct hgen *g)
{
	static const u32 then[] = {0x90909090, 0x0000b890, 0x00b80f90, 0x90c0ff90};
	u64 to;
	u8 load[7] = {0x8a, 0x04, 0x25}, store[7] = {0x88, 0x04, 0x25};

	if (!g->h->open_code) {
		shape_single(g);
		return;
	}

	if ((g->at & 0xfff) > 0xe00 && rng_percent(&g->r, 50))
		pad_to_page_end(g, 7 + 2 + 7 - (unsigned)rng_below(&g->r, 9));
	/* mov al, [loop]; or al, 0xf8: CLC to STD */
	st32(load + 3, (u32)WINDOW + HP_CELLS * 0x1000 + CELL_LOOP);
	put(g, load, sizeof(load));
	put_bytes_of(g, 0xf80c, 2);
	to = WINDOW + HP_CODE * 0x1000 + g->at + sizeof(store) + rng_below(&g->r, 4);
	if (rng_percent(&g->r, 50))
		to += (HP_CODE_ALIAS - HP_CODE) * 0x1000;
	st32(store + 3, (u32)to);
	put(g, store, sizeof(store));
	put_bytes_of(g, then[rng_below(&g->r, ARRAY_LEN(then))], 4);
	put_bytes_of(g, 0x90909090fc, 5);
}

/* What registers hold stays; what it leads to doesn't. */
static void shape_remap(struct hgen *g)
{
	static const u8 pages[] = {PAGE_REMAP, PAGE_WRITABLE, PAGE_DEMAND};
	u64 page = g->h->base + pages[rng_below(&g->r, sizeof(pages))] * 0x1000;
	int base = any_but(g, BIT(X86_RCX));

	put_imm(g, base, near(g, page + (rng_percent(&g->r, 50) ? 0x1000 : 0), 8));
	for (unsigned n = 2 + (unsigned)rng_below(&g->r, 4); n; n--) {
		const struct form *t;
		struct operand o = {.base = base,
				    .index = -1,
				    .disp = (i64)rng_below(&g->r, 32) - 16,
				    .disp_size = 1};
		struct draft d;

		if (draft_any(g, &d, &t) && !d.locks && d.align == 1)
			put_form(g, t, &o, t->reg);
		put_bytes_of(g, 0xcd | (CALL_FIRST + rng_below(&g->r, CALLS)) << 8, 2);
	}
}

static const struct {
	void (*put)(struct hgen *g);
	u8 percent;
} shapes[] = {
	{shape_single, 32}, {shape_group, 13},   {shape_stack, 13}, {shape_string, 6},
	{shape_bits, 4},    {shape_walk, 8},     {shape_leap, 6},   {shape_jump, 6},
	{shape_middle, 3},  {shape_own_code, 5}, {shape_remap, 4},
};

static void put_slot(struct hgen *g)
{
	struct slot *s = &g->h->slot[g->h->slots];
	unsigned draw = (unsigned)rng_below(&g->r, 100), i = 0, resume;

	s->at = (u16)g->at;
	put_cell(g, 0xc7, 0, CELL_RESUME, 0);
	resume = g->at - 4;
	while (draw >= shapes[i].percent)
		draw -= shapes[i++].percent;
	shapes[i].put(g);
	st32(g->h->code + resume, (u32)here(g));
	put_results(g, g->h->slots);
	s->len = (u16)(g->at - s->at);
	g->h->slots++;
}

/* Again, until it is enough; then nowhere. */
static void put_end(struct hgen *g)
{
	u8 back[6] = {0x0f, 0x85};

	put_cell(g, 0x81, 5, CELL_LOOP, 1); /* sub */
	st32(back + 2, 0 - g->at - (u32)sizeof(back));
	put(g, back, sizeof(back));
	put_cell(g, 0xc7, 0, CELL_RESUME, 0);
	put_cell(g, 0xc7, 0, CELL_RESUME + 4, 0);
	put_bytes_of(g, CASE_INT3, 1);
}

static void make_registers(struct hgen *g)
{
	struct case_state *in = &g->h->in;

	for (unsigned i = 0; i < registers(g); i++)
		in->gpr[i] = g->h->bits == 32 ? (u32)any_part(g) : any_part(g);
	for (unsigned i = 0; i < 16; i++)
		value_vector(&g->r, in->vec[i]);
	in->rflags = X86_R1 | X86_IF;
	in->fcw = 0x37f;
	in->mxcsr = 0x1f80;
	in->fs_base = any_address(g, 8);
	in->gs_base = any_address(g, 8);
	if (g->h->bits == 32) {
		in->fs_base = (u32)in->fs_base;
		in->gs_base = (u32)in->gs_base;
	}
	if (!x86_canonical(in->fs_base) || !x86_canonical(in->gs_base))
		in->fs_base = in->gs_base = WINDOW;
}

void hostile_generate(const struct hostile_menu *m, u64 seed, unsigned bits,
		      const struct place *places, unsigned nplaces, u64 ram, struct hostile *h)
{
	struct hgen g = {.r = {rng_mix(seed)},
			 .menu = m,
			 .h = h,
			 .places = places,
			 .nplaces = nplaces,
			 .ram = ram};

	memset(h, 0, sizeof(*h));
	memset(h->code, CASE_INT3, sizeof(h->code));
	h->seed = seed;
	h->fill = rng_u64(&g.r);
	h->bits = (u8)bits;
	h->cpl = bits == 32 || rng_percent(&g.r, 50) ? 3 : 0;
	h->base = h->cpl == 0 && rng_percent(&g.r, 60) ? WINDOW_HIGH : WINDOW;
	h->open_code = rng_percent(&g.r, 35);
	h->fs_limit = rng_percent(&g.r, 70) ? ~0u : 0x5ff;
	choose_edges(&g);
	make_registers(&g);
	for (unsigned n = 4 + (unsigned)rng_below(&g.r, HOSTILE_SLOTS - 4); n && !g.full; n--)
		put_slot(&g);
	put_end(&g);
	h->in.rip = h->base + HP_CODE * 0x1000;
}

void hostile_drop(struct hostile *h, unsigned slot)
{
	memset(h->code + h->slot[slot].at, 0x90, h->slot[slot].len);
	h->slot[slot].gone = true;
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

static void print_slot(const struct hostile *h, const struct slot *s)
{
	ZydisFormatter fmt;
	char text[128];
	struct decoded d;

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned at = s->at; at < (unsigned)s->at + s->len; at += d.insn.length) {
		u64 rip = h->base + HP_CODE * 0x1000 + at;

		if (!forms_decode_as(h->bits, h->code + at, 15, &d)) {
			printf("    %llx  (not an instruction)\n", (unsigned long long)rip);
			return;
		}
		ZydisFormatterFormatInstruction(&fmt, &d.insn, d.op, d.insn.operand_count_visible,
						text, sizeof(text), rip, NULL);
		printf("    %llx ", (unsigned long long)rip);
		for (unsigned i = 0; i < d.insn.length; i++)
			printf(" %02x", h->code[at + i]);
		printf("   %s\n", text);
	}
}

void hostile_print(const struct hostile *h)
{
	printf("  CPL %u, %u-bit code\n", h->cpl, h->bits);
	for (unsigned i = 0; i < HOSTILE_EDGES; i++)
		printf("  %016llx (%s): below %llx, at %llx\n",
		       (unsigned long long)h->edge[i].at.addr, h->edge[i].at.name,
		       (unsigned long long)h->edge[i].pte[0],
		       (unsigned long long)h->edge[i].pte[1]);
	for (unsigned i = 0; i < h->slots; i++)
		if (!h->slot[i].gone)
			print_slot(h, &h->slot[i]);
}
