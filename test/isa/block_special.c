/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "block_gen.h"
#include "values.h"

/* What translators have code of its own for: block strings, bit strings, flags as data, segment
 * registers, instructions that end in another page. */

static int free_register(struct bgen *g)
{
	int reg = any_with(g, ROLE_FREE);

	return reg < 0 ? X86_RAX : reg;
}

static void put_counter(struct bgen *g, u32 n)
{
	u8 mov[5] = {0xb9};

	memcpy(mov + 1, &n, 4);
	put_bytes(g, mov, 5);
}

/* A pointer gets its address back, an index a small number. */
static void restore(struct bgen *g, int reg)
{
	if (g->role[reg] == ROLE_POINTER)
		put_mov(g, reg, g->b->base + (u64)(i64)g->offset[reg]);
	else if (g->role[reg] == ROLE_INDEX)
		put_mov(g, reg, rng_below(&g->r, 64));
}

/* ---- REP MOVS, REP STOS -----------------------------------------------------------------------
 */

static i32 near_end(struct bgen *g, unsigned page)
{
	return (i32)page * 0x1000 + 0x1000 - (i32)rng_below(&g->r, 0x300);
}

/* Pages that are written to without harm, and now and then one that is not. */
static i32 string_target(struct bgen *g)
{
	static const u8 pages[] = {PG_DATA,    PG_DATA + 1, PG_DATA + 2,   PAGE_DEMAND,
				   PAGE_REMAP, PG_ALIAS,    PAGE_WRITABLE, PG_CODE_ALIAS + 1};
	unsigned page = pages[rng_below(&g->r, sizeof(pages))];

	/* A string that overwrites its own instruction goes on for as long as a processor likes. */
	if (page == PG_CODE_ALIAS + 1 && g->b->at > 0x800)
		page = PG_DATA;
	if (!rng_below(&g->r, 40))
		page = PG_RO;
	if (page < PG_DATA + 3 && rng_percent(&g->r, 50))
		return near_end(g, page);
	return (i32)page * 0x1000 + (i32)rng_below(&g->r, 0x800);
}

static i32 string_source(struct bgen *g, i32 target)
{
	static const u8 pages[] = {PG_DATA, PG_DATA + 1, PG_DATA + 3, PG_RO, PAGE_REMAP, PG_CODE};

	if (rng_percent(&g->r, 30)) /* it overlaps */
		return target + (i32)rng_below(&g->r, 80) - 40;
	return rng_percent(&g->r, 30) ? near_end(g, PG_DATA)
				      : (i32)pages[rng_below(&g->r, sizeof(pages))] * 0x1000 +
						(i32)rng_below(&g->r, 0x800);
}

void shape_block_string(struct bgen *g)
{
	static const u8 widths[] = {1, 2, 4, 8};
	unsigned width = widths[rng_below(&g->r, 4)], n = 0,
		 most = rng_percent(&g->r, 50) ? 9 : 601;
	u32 count = (u32)rng_below(&g->r, most * width > 0x700 ? 0x700 / width : most);
	bool moves = rng_percent(&g->r, 50), code = moves && rng_percent(&g->r, 15);
	i32 target = string_target(g), source = string_source(g, target);
	u8 b[4];

	if (g->role[X86_RCX] == ROLE_COUNTER || g->role[X86_RSI] == ROLE_COUNTER ||
	    g->role[X86_RDI] == ROLE_COUNTER)
		return;
	if (rng_percent(&g->r, 25)) /* up to a page's end, or a little further */
		target = 0x1000 - (i32)(count * width) + (i32)rng_below(&g->r, 17) - 8;
	if (code) { /* the program over itself: the same bytes again */
		source = PG_CODE * 0x1000 + (i32)rng_below(&g->r, 0x800);
		target = source + (PG_CODE_ALIAS - PG_CODE) * 0x1000;
	}
	put_address(g, X86_RSI, -1, source);
	put_address(g, X86_RDI, -1, target);
	put_counter(g, count);
	if (width == 2)
		b[n++] = 0x66;
	if (rng_percent(&g->r, 80))
		b[n++] = 0xf3;
	if (width == 8)
		b[n++] = 0x48;
	b[n++] = (u8)((moves ? 0xa4 : 0xaa) | (width > 1));
	put_bytes(g, b, n);
	if (rng_percent(&g->r, 20))
		put_bytes(g, b, n); /* RCX is 0 now */
	restore(g, X86_RCX);
	restore(g, X86_RSI);
	restore(g, X86_RDI);
}

/* ---- BT, BTS, BTR, BTC ------------------------------------------------------------------------
 */

/* The bit is in the data pages, far before or behind the address. */
void shape_far_bit(struct bgen *g)
{
	int p = any_writable(g), reg = free_register(g);
	unsigned op = (unsigned)rng_below(&g->r, 4), width = (unsigned)rng_below(&g->r, 3), n = 0;
	bool lock = op && p >= 0 && !(g->offset[p] & 7) && rng_percent(&g->r, 30);
	u8 b[8];
	i64 bit;

	if (p < 0 || g->role[reg] != ROLE_FREE)
		return;
	bit = ((i64)(0x40 + rng_below(&g->r, PG_DATA_END * 0x1000 - 0x80)) - g->offset[p]) * 8 +
	      (i64)rng_below(&g->r, 8);
	if (width == 0)
		bit = (i64)rng_below(&g->r, 256) - 128; /* 16 bits don't reach far */
	if (width < 2 && rng_percent(&g->r, 50))
		bit ^= (i64)(value_int(&g->r) << 32); /* beyond what counts */
	put_mov(g, reg, (u64)bit);
	if (rng_percent(&g->r, 50))
		put_random(g, MENU_SETTERS);
	if (lock)
		b[n++] = 0xf0;
	if (width == 0)
		b[n++] = 0x66;
	b[n++] = (u8)(0x40 | (width == 2) << 3 | reg >> 3 << 2 | p >> 3);
	b[n++] = 0x0f;
	b[n++] = (u8)(0xa3 | op << 3);
	b[n++] = (u8)(0x44 | (reg & 7) << 3);
	b[n++] = (u8)(0x20 | (p & 7));
	b[n++] = 0;
	put_bytes(g, b, n);
	/* ZF stays as it was, CF is the bit. */
	g->undefined = (g->undefined & X86_ZF) | (X86_ARITH & ~(X86_CF | X86_ZF));
}

/* ---- RFLAGS -----------------------------------------------------------------------------------
 */

static void put_push_value(struct bgen *g, int reg, u64 v)
{
	put_mov(g, reg, v);
	put_push(g, reg);
}

/* Any value into the flags, and what they read as then; the end is harmless. */
void shape_all_flags(struct bgen *g)
{
	static const u8 pushf = 0x9c, popf = 0x9d, cli = 0xfa, sti = 0xfb;
	const u64 calm = X86_R1 | X86_IF;
	int reg = free_register(g), got = free_register(g);
	u64 v = rng_u64(&g->r) & ~(u64)X86_TF;

	if (g->role[reg] != ROLE_FREE)
		return;
	if (rng_percent(&g->r, 60))
		v &= X86_ARITH | X86_IF | X86_DF | X86_IOPL | X86_R1 | BIT(31);
	if (rng_percent(&g->r, 30))
		v = X86_R1 | (v & (X86_ARITH | X86_IF | BIT(31)));
	put_push_value(g, reg, v);
	put_bytes(g, &popf, 1);
	g->undefined = 0;
	if (g->b->cpl == 0 && rng_percent(&g->r, 30))
		put_bytes(g, rng_percent(&g->r, 50) ? &sti : &cli, 1);
	if (rng_percent(&g->r, 50))
		put_random(g, MENU_SETTERS);
	put_define(g, X86_ARITH);
	put_bytes(g, &pushf, 1);
	put_pop(g, got);
	if (rng_percent(&g->r, 30)) {
		put_push(g, got);
		put_bytes(g, &popf, 1);
		put_bytes(g, &pushf, 1);
		put_pop(g, reg);
	}
	put_push_value(g, got, calm | (rng_u64(&g->r) & X86_ARITH));
	put_bytes(g, &popf, 1);
	g->undefined = 0;
}

/* ---- MOV from segment registers ---------------------------------------------------------------
 */

void shape_read_segment(struct bgen *g)
{
	static const u8 readable[] = {0, 1, 2, 3, 4, 5};
	int reg = free_register(g), p = any_writable(g);
	u8 sreg = readable[rng_below(&g->r, sizeof(readable))];
	u8 b[5] = {0x66, (u8)(0x40 | (rng_below(&g->r, 2) << 3) | reg >> 3), 0x8c,
		   (u8)(0xc0 | sreg << 3 | (reg & 7))};
	bool word = rng_percent(&g->r, 25);
	u8 store[5] = {(u8)(0x40 | (p < 0 ? 0 : p >> 3)), 0x8c, (u8)(0x44 | sreg << 3),
		       (u8)(0x20 | (p & 7)), 8};

	if (p >= 0 && rng_percent(&g->r, 20)) {
		put_bytes(g, store, 5);
		return;
	}
	if (g->role[reg] != ROLE_FREE)
		return;
	put_bytes(g, word ? b : b + 1, word ? 4 : 3);
}

/* ---- Page ends --------------------------------------------------------------------------------
 */

/* An instruction, or a loop, that begins in PG_CROSS and ends in one of two other pages. */
static void put_crossing(struct bgen *g)
{
	i32 at = rng_percent(&g->r, 40) ? BLOCK_LOOP_AT : 0xffe - (i32)rng_below(&g->r, 2);

	put_far_call(g, PG_CROSS * 0x1000 + at);
}

void shape_crossing(struct bgen *g)
{
	const u8 remap[2] = {0xcd, rng_percent(&g->r, 50) ? CALL_REMAP : CALL_RELOAD};

	if (g->role[X86_RAX] != ROLE_FREE)
		return;
	for (unsigned n = 2 + (unsigned)rng_below(&g->r, 3); n && !g->full; n--) {
		put_crossing(g);
		if (rng_percent(&g->r, 70))
			put_bytes(g, remap, 2);
	}
}

/* ---- What other pages lead to -----------------------------------------------------------------
 */

/* Steps a register up, or down: a function in another page, or a loop that goes on there. */
struct stepping {
	i32 call, opcode; /* offsets in the window */
};

static struct stepping choose_stepping(struct bgen *g, int reg)
{
	const i32 of_reg = PAGE_STEPS * 0x1000 + BLOCK_STEP_AT + reg * BLOCK_STEP_SIZE;

	if (g->role[X86_RAX] == ROLE_FREE && rng_percent(&g->r, 40))
		return (struct stepping){.call = PG_CROSS * 0x1000 + BLOCK_LOOP_AT,
					 .opcode = PAGE_STEPS * 0x1000 + BLOCK_LOOP_END_AT + 2};
	return (struct stepping){.call = of_reg, .opcode = of_reg + BLOCK_STEP_OPCODE};
}

/* It is written to between calls: up becomes down. */
void shape_patched_step(struct bgen *g)
{
	u8 xor [7] = {0x80, 0x35, 0, 0, 0, 0, 8};
	int reg = free_register(g), i;
	struct stepping s;

	if (g->role[reg] != ROLE_FREE)
		return;
	s = choose_stepping(g, reg);
	for (unsigned n = 1 + (unsigned)rng_below(&g->r, 3); n && !g->full; n--) {
		put_far_call(g, s.call);
		i = put_bytes(g, xor, sizeof(xor));
		g->b->item[i].fix[0] = (struct block_fix){
			.kind = FIX_RELATIVE, .at = 2, .size = 4, .item = -1, .offset = s.opcode};
		g->undefined = X86_AF;
		put_far_call(g, s.call);
	}
}

/* RSP in a page that moves. */
void shape_moved_stack(struct bgen *g)
{
	const u8 remap[2] = {0xcd, rng_percent(&g->r, 50) ? CALL_REMAP : CALL_RELOAD};
	int a = any_register(g), old = free_register(g), got = free_register(g);

	if (g->role[old] != ROLE_FREE || got == old || a == X86_RSP)
		return;
	put_rr(g, 0x89, X86_RSP, old);
	put_address(g, X86_RSP, -1, PAGE_REMAP * 0x1000 + 0x800);
	put_push(g, a);
	put_bytes(g, remap, 2);
	put_push(g, a);
	put_pop(g, got);
	if (rng_percent(&g->r, 50))
		put_bytes(g, remap, 2);
	put_pop(g, got);
	put_rr(g, 0x89, old, X86_RSP);
}

/* ---- One base for several accesses ------------------------------------------------------------
 */

/* base becomes other, in ways that name it or don't; flags stay, but for those of CMPXCHG. */
static void put_replace(struct bgen *g, int base, int other)
{
	const u8 low = base & 7, high = base > 7;
	u8 lea[5] = {(u8)(0x48 | high << 2 | other >> 3), 0x8d, (u8)(0x44 | low << 3),
		     (u8)(0x20 | (other & 7)), 0};
	u8 cmpxchg[4] = {(u8)(0x48 | (other >> 3) * 5), 0x0f, 0xb1,
			 (u8)(0xc0 | (other & 7) << 3 | (other & 7))};

	switch (rng_below(&g->r, base == X86_RAX ? 5 : 4)) {
	case 0:
		put_push(g, other);
		put_pop(g, base);
		break;
	case 1:
		put_rr(g, 0x87, base, other);
		put_mov(g, other, g->b->base + (u64)(i64)g->offset[other]);
		break;
	case 2:
		put_bytes(g, lea, 5);
		break;
	case 3:
		put_rr(g, 0x8b, base, other);
		break;
	default: /* RAX was something else, or is it already */
		put_bytes(g, cmpxchg, 4);
		g->undefined = 0;
		break;
	}
	g->offset[base] = g->offset[other];
}

/* While flags are in use the base moves, or is replaced. */
void shape_shared_base(struct bgen *g)
{
	int base = rng_percent(&g->r, 40) && g->role[X86_RAX] == ROLE_FREE ? X86_RAX
									   : any_writable(g);
	int other = any_writable(g);
	u8 was = base < 0 ? 0 : g->role[base];
	i32 start, disp = (i32)rng_below(&g->r, 64);

	if (base < 0 || other < 0 || other == base)
		return;
	if (was == ROLE_FREE) {
		/* About the end of a page, which the next one doesn't follow in memory. */
		g->offset[base] = 0x1000 * (i32)rng_below(&g->r, PG_DATA_END - 1) + 0xf40 +
				  (i32)rng_below(&g->r, 0x90);
		put_mov(g, base, g->b->base + (u64)(i64)g->offset[base]);
		g->role[base] = ROLE_POINTER;
	}
	start = g->offset[base];
	put_random(g, MENU_SETTERS);
	put_define(g, X86_ARITH & ~(u32)X86_AF);
	for (unsigned n = 2 + (unsigned)rng_below(&g->r, 5); n && !g->full; n--) {
		i8 by = (i8)((rng_u64(&g->r) & 0x3f) - 32);
		u8 lea[5] = {(u8)(0x48 | (base >> 3) * 5), 0x8d, (u8)(0x44 | (base & 7) << 3),
			     (u8)(0x20 | (base & 7)), (u8)by};

		put_random_at(g, rng_percent(&g->r, 80) ? MENU_NEUTRAL : MENU_VECTOR, base,
			      disp + (i32)rng_below(&g->r, 8) * 8);
		if (rng_percent(&g->r, 30)) {
			put_bytes(g, lea, 5);
			g->offset[base] += by;
			disp -= by;
		} else if (rng_percent(&g->r, 25)) {
			put_replace(g, base, other);
		}
	}
	put_random(g, MENU_READERS);
	g->role[base] = was;
	if (was == ROLE_POINTER) {
		g->offset[base] = start;
		put_mov(g, base, g->b->base + (u64)(i64)start);
	}
}
