/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops through memory: addresses that an iteration moves by constants, from one page into the
 * next, which translators may know better than to look at each of.
 */
#include "block_gen.h"

enum { STREAMS = 3, LOWEST = PG_DATA * 0x1000 + 0x200, HIGHEST = PG_DATA_END * 0x1000 - 0x200 };

struct stream {
	int reg;
	int twin; /* another register, through which reg is moved; or -1 */
	i32 step;
};

/* Nearest pages' ends as a rule, so that a loop goes from one to the next. */
static i32 start_of(struct bgen *g, i32 way)
{
	i32 end = 0x1000 * (PG_DATA + 1 + (i32)rng_below(&g->r, PG_DATA_END - PG_DATA - 1));
	i32 from = end - (i32)rng_below(&g->r, 2) * way - way / 2;

	if (rng_percent(&g->r, 60))
		from &= ~15;
	from += from < LOWEST ? LOWEST - from : 0;
	from += from + way < LOWEST ? LOWEST - from - way : 0;
	from -= from > HIGHEST ? from - HIGHEST : 0;
	from -= from + way > HIGHEST ? from + way - HIGHEST : 0;
	return from;
}

static int take_free(struct bgen *g, enum role role)
{
	int reg = any_with(g, ROLE_FREE);

	if (reg >= 0)
		g->role[reg] = role;
	return reg;
}

static void put_stream(struct bgen *g, struct stream *s, unsigned n)
{
	static const i16 steps[] = {8,  8, 8,  4,  1,  2,  16, 16,   32,
				    64, 0, -8, -4, -1, 24, 3,  -100, 300};

	s->step = steps[rng_below(&g->r, sizeof(steps) / sizeof(steps[0]))];
	g->offset[s->reg] = start_of(g, s->step * (i32)n);
	put_mov(g, s->reg, g->b->base + (u64)(i64)g->offset[s->reg]);
	g->role[s->reg] = ROLE_POINTER;
	s->twin = rng_percent(&g->r, 25) ? take_free(g, ROLE_POINTER) : -1;
	if (s->twin < 0)
		return;
	/* Until it is a twin it may be anywhere. */
	g->offset[s->twin] = rng_percent(&g->r, 50) ? start_of(g, s->step * (i32)n)
						    : g->offset[s->reg] - s->step;
	put_mov(g, s->twin, g->b->base + (u64)(i64)g->offset[s->twin]);
}

static void put_lea(struct bgen *g, int to, int from, i32 by)
{
	u8 lea[8] = {(u8)(0x48 | to >> 3 << 2 | from >> 3),
		     0x8d,
		     (u8)(0x84 | (to & 7) << 3),
		     (u8)(0x20 | (from & 7)),
		     (u8)by,
		     (u8)((u32)by >> 8),
		     (u8)((u32)by >> 16),
		     (u8)((u32)by >> 24)};

	put_bytes(g, lea, 8);
}

static void put_copy(struct bgen *g, int to, int from)
{
	bool load = rng_percent(&g->r, 50);
	int reg = load ? to : from, rm = load ? from : to;
	u8 b[3] = {(u8)(0x48 | reg >> 3 << 2 | rm >> 3), load ? 0x8b : 0x89,
		   (u8)(0xc0 | (reg & 7) << 3 | (rm & 7))};

	put_bytes(g, b, 3);
}

/* add, sub or lea */
static void put_add(struct bgen *g, int reg, i32 by)
{
	const u8 low = reg & 7, high = reg > 7;
	bool sub = rng_percent(&g->r, 30);
	u32 imm = (u32)(sub ? -by : by);
	u8 add[7] = {(u8)(0x48 | high), 0x81,           (u8)((sub ? 0xe8 : 0xc0) | low),
		     (u8)imm,           (u8)(imm >> 8), (u8)(imm >> 16),
		     (u8)(imm >> 24)};

	if (rng_percent(&g->r, 30)) {
		put_lea(g, reg, reg, by);
		return;
	}
	put_bytes(g, add, 7);
	g->undefined = 0;
}

/* mov, add or xor, either way, of a word at [base + index * scale + disp] */
static void put_indexed(struct bgen *g, int base, int index, unsigned shift)
{
	static const u8 opcodes[] = {0x8b, 0x89, 0x03, 0x01, 0x33, 0x31};
	int reg = any_with(g, ROLE_FREE);
	u8 opcode = opcodes[rng_below(&g->r, sizeof(opcodes))];
	u8 b[5] = {0, opcode, 0, (u8)(shift << 6 | (index & 7) << 3 | (base & 7)),
		   (u8)(rng_below(&g->r, 64) - 32)};

	if (reg < 0)
		return;
	b[0] = (u8)(0x48 | reg >> 3 << 2 | index >> 3 << 1 | base >> 3);
	b[2] = (u8)(0x44 | (reg & 7) << 3);
	put_bytes(g, b, 5);
	if (opcode != 0x8b && opcode != 0x89)
		g->undefined = opcode & 0x30 ? X86_AF : 0;
}

static void put_access(struct bgen *g, const struct stream *s)
{
	bool aligned = !(g->offset[s->reg] & 31) && !(s->step & 31);
	enum menu_kind kind = rng_percent(&g->r, aligned ? 40 : 10) ? MENU_VECTOR : MENU_COMMON;
	int reg = s->twin >= 0 && rng_percent(&g->r, 50) ? s->twin : s->reg;

	put_random_at(g, kind, reg, aligned ? 0 : (i32)rng_below(&g->r, 48) - 24);
}

static void put_body(struct bgen *g, struct stream *s, unsigned n, int index, unsigned shift)
{
	for (unsigned k = 1 + (unsigned)rng_below(&g->r, 5); k && !g->full; k--) {
		const struct stream *one = &s[rng_below(&g->r, n)];
		int skip = rng_percent(&g->r, 15) ? put_jcc(g, 0) : -1;
		u32 before = g->undefined;

		if (index >= 0 && rng_percent(&g->r, 50))
			put_indexed(g, s[0].reg, index, shift);
		else if (rng_percent(&g->r, 75))
			put_access(g, one);
		else
			put_random(g, rng_percent(&g->r, 70) ? MENU_COMMON : MENU_GENERAL);
		if (skip >= 0) {
			aim_here(g, skip);
			g->undefined |= before;
		}
	}
}

static void put_by_twin(struct bgen *g, const struct stream *s)
{
	put_copy(g, s->twin, s->reg);
	if (rng_percent(&g->r, 50))
		put_access(g, s);
	put_lea(g, s->reg, s->twin, s->step);
	if (rng_percent(&g->r, 25))
		put_access(g, s);
}

/* Some move before what comes last, some in two steps, some not each time. */
static void put_moves(struct bgen *g, struct stream *s, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		i32 part = rng_percent(&g->r, 20) ? s[k].step / 2 : 0;

		if (s[k].twin >= 0) {
			put_by_twin(g, &s[k]);
			continue;
		}
		if (part)
			put_add(g, s[k].reg, part);
		if (rng_percent(&g->r, 25))
			put_access(g, &s[k]);
		if (s[k].step - part && rng_percent(&g->r, 15)) {
			int skip = put_jcc(g, 0);

			put_add(g, s[k].reg, s[k].step - part);
			aim_here(g, skip);
			g->undefined = X86_ARITH;
		} else if (s[k].step - part) {
			put_add(g, s[k].reg, s[k].step - part);
		}
		if (rng_percent(&g->r, 25))
			put_access(g, &s[k]);
	}
}

void shape_stream_loop(struct bgen *g)
{
	unsigned n = 1 + (unsigned)rng_below(&g->r, STREAMS), shift = (unsigned)rng_below(&g->r, 4);
	unsigned times = 2 + (unsigned)rng_below(&g->r, 40), taken = 0;
	int counter = take_free(g, ROLE_COUNTER), start, into, index = -1;
	bool behind_moves;
	struct stream s[STREAMS];

	if (counter < 0)
		return;
	while (taken < n && (s[taken].reg = take_free(g, ROLE_POINTER)) >= 0)
		put_stream(g, &s[taken++], times);
	if (taken && s[0].step >= 0 && rng_percent(&g->r, 40))
		index = take_free(g, ROLE_INDEX);
	if (index >= 0) {
		/* Stays within the page or goes into the next. */
		put_mov(g, s[0].reg, g->b->base + LOWEST + rng_below(&g->r, 0xd00));
		g->offset[s[0].reg] = LOWEST;
		s[0].step = 0;
		put_mov(g, index, 0);
	}
	set_counter(g, counter, times);
	into = rng_percent(&g->r, 40) ? put_jcc(g, 0) : -1;
	behind_moves = rng_percent(&g->r, 50);
	start = g->b->count;
	g->undefined = X86_ARITH;
	if (taken) {
		put_body(g, s, taken, index, shift);
		if (into >= 0 && !behind_moves)
			aim_here(g, into);
		put_moves(g, s, taken);
	}
	if (into >= 0 && (behind_moves || !taken))
		aim_here(g, into);
	g->undefined = into >= 0 ? X86_ARITH : g->undefined;
	if (index >= 0)
		put_add(g, index, 1);
	put_back_edge(g, counter, start);
	g->role[counter] = ROLE_FREE;
	if (index >= 0)
		g->role[index] = ROLE_FREE;
	while (taken--) {
		g->role[s[taken].reg] = ROLE_FREE;
		if (s[taken].twin >= 0)
			g->role[s[taken].twin] = ROLE_FREE;
	}
}

static int put_jump(struct bgen *g, const u8 *opcode, unsigned n, int to)
{
	u8 b[6] = {opcode[0], n > 1 ? opcode[1] : 0};

	return put_ref(g, b, n + 4, FIX_RELATIVE, 4, to, 0);
}

enum { POINTER, INDEX, NEXT, LENGTH, SUM, SEARCH_REGS };

static void put_search(struct bgen *g, const int *reg)
{
	static const u8 jmp[] = {0xe9}, je[] = {0x0f, 0x84};
	const int p = reg[POINTER], i = reg[INDEX], sum = reg[SUM];
	const u8 add[5] = {(u8)(0x48 | sum >> 3 << 2 | i >> 3 << 1 | p >> 3), 0x03,
			   (u8)(0x44 | (sum & 7) << 3), (u8)(0xc0 | (i & 7) << 3 | (p & 7)), 0xf8};
	int into = put_jump(g, jmp, 1, 0), top = g->b->count, out;

	put_lea(g, reg[NEXT], i, 1);
	put_rr(g, 0x39, i, reg[LENGTH]);
	out = put_jump(g, je, 2, 0);
	put_copy(g, i, reg[NEXT]);
	aim_here(g, into);
	put_bytes(g, add, 5); /* add sum, [p + i * 8 - 8] */
	put_jump(g, jmp, 1, top);
	aim_here(g, out);
	g->undefined = 0;
}

/* As compilers make one that looks for something in an array: entered in the middle, where `next`
 * is not yet what it will be from then on.
 */
void shape_search_loop(struct bgen *g)
{
	static const enum role roles[SEARCH_REGS] = {ROLE_POINTER, ROLE_INDEX, ROLE_INDEX,
						     ROLE_COUNTER, ROLE_COUNTER};
	unsigned times = 2 + (unsigned)rng_below(&g->r, 60), n = 0;
	int reg[SEARCH_REGS];

	while (n < SEARCH_REGS && (reg[n] = take_free(g, roles[n])) >= 0)
		n++;
	if (n == SEARCH_REGS) {
		g->offset[reg[POINTER]] = start_of(g, 8 * (i32)times);
		put_mov(g, reg[POINTER], g->b->base + (u64)(i64)g->offset[reg[POINTER]]);
		put_mov(g, reg[INDEX], 1);
		put_mov(g, reg[NEXT], rng_below(&g->r, 1000));
		put_mov(g, reg[LENGTH], times);
		put_mov(g, reg[SUM], rng_u64(&g->r));
		put_search(g, reg);
	}
	while (n--)
		g->role[reg[n]] = ROLE_FREE;
}
