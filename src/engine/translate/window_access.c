/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands by windows (window.h): an address, and what its slot says is to be added.
 *
 * Nothing is compared, so nothing can fail but the access itself: that is a fault of the host's,
 * at an address of the code that is known. What can't be had so, or is asked of a device often,
 * goes by the TLB, as without windows (access.c).
 */
#include "base/errno.h"
#include "engine/translate/gen.h"
#include "engine/translate/loop.h"

/* ---- Faults ---- */

static unsigned ban_hash(u64 rip)
{
	return (u32)(rip ^ rip >> 17) * 0x9e3779b1u >> (32 - __builtin_ctz(WINDOW_BANS));
}

bool tr_window_banned(const struct tr *t, u64 rip)
{
	unsigned h = ban_hash(rip);

	return t->window_bans[h / 64] >> h % 64 & 1;
}

/* Devices, and pages that somebody watches stores to: each such access costs a signal. */
static void missed(struct tr *t, const struct tr_site *s)
{
	enum { PATIENCE = 4 };
	unsigned h = ban_hash(s->rip);

	if (++t->window_misses[h / 8] < PATIENCE)
		return;
	t->window_misses[h / 8] = 0;
	t->window_bans[h / 64] |= BIT(h % 64);
	t->n_window_bans++;
	tr_region_drop(t, s->region);
}

bool tr_window_fault(struct tr *t, u32 site, u64 host)
{
	struct tr_site s;
	int r;

	tr_site_read(t, site, &s);
	if (!(s.region->mode & MODE_WINDOWS))
		return false;
	r = tr_windows_fault(t->windows, host, s.access);
	if (r == -EACCES)
		missed(t, &s);
	else if (r == -EAGAIN)
		t->windows_due = true;
	/* The page fault of this access, unless another exception goes before it. */
	t->faulted = r == -EFAULT && s.size <= 8;
	return !r;
}

/* ---- What scratch registers hold ----
 *
 * What was looked up for an address holds for all that are not far from it: a window's guards take
 * what is beyond. So it is kept, in the register that it was loaded into, for later accesses of
 * the same base and index, as long as these change by nothing but known additions.
 */

enum { REACH = 1 << 30 };

static struct held *held_of(struct gen *g, unsigned reg)
{
	return &g->held[reg - T0];
}

void held_drop(struct gen *g, unsigned reg)
{
	held_of(g, reg)->live = false;
}

bool held_in(const struct gen *g, unsigned reg)
{
	return g->held[reg - T0].live;
}

void held_none(struct gen *g)
{
	for (unsigned reg = T0; reg <= T2; reg++)
		held_drop(g, reg);
}

/* Those of which it is known what they do to scratch registers, as far as they go by windows. */
static bool leaves_held(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_PLAIN:
		return !i->x87_pointers;
	case K_LEA:
	case K_NOP:
	case K_PUSH_REG:
	case K_PUSH_IMM:
	case K_POP_REG:
	case K_JCC:
		return true;
	default:
		return false;
	}
}

void held_before(struct gen *g)
{
	g->holding = g->in->windows && tr_has(g->t, TR_HELD) && leaves_held(g->i) &&
		     windows_for(g, g->i);
	if (!g->holding)
		held_none(g);
}

void held_after(struct gen *g)
{
	if (!g->holding)
		held_none(g);
	for (unsigned reg = T0; reg <= T2; reg++) {
		struct held *h = held_of(g, reg);
		i64 base = 0, index = 0;

		if (!h->live)
			continue;
		h->live = (h->base == NO_REG || tr_insn_adds(g->i, h->base, &base)) &&
			  (h->index == NO_REG || tr_insn_adds(g->i, h->index, &index));
		h->ref -= base + (i64)((u64)index << h->shift);
	}
}

static bool reaches(const struct held *h, i64 disp)
{
	return disp - h->ref < REACH && h->ref - disp < REACH;
}

/* Places from there on are none, and those that come will take their numbers. */
static void places_end(struct gen *g, unsigned mark)
{
	if (mark < g->nplaces)
		g->nplaces = mark;
	for (unsigned k = 0; k < ARRAY_LEN(g->held); k++)
		if (g->held[k].mark > g->nplaces)
			g->held[k].mark = g->nplaces;
}

/* 0: none; else who comes in by a place that was passed since would not have it. */
static unsigned held_find(struct gen *g, const struct tr_insn *i, i64 disp)
{
	for (unsigned reg = T0; reg <= T2; reg++) {
		struct held *h = held_of(g, reg);

		if (!h->live || h->base != i->base || h->index != i->index ||
		    h->shift != i->shift || !reaches(h, disp))
			continue;
		places_end(g, h->mark);
		h->stamp = ++g->stamp;
		return reg;
	}
	return 0;
}

/* A register to be loaded: free, or what was not used for longest. */
static unsigned held_take(struct gen *g, unsigned but)
{
	static const u8 order[] = {T1, T2, T0};
	unsigned best = 0;

	for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
		const struct held *h = held_of(g, order[k]);

		if (order[k] == but || g->kept & BIT(order[k]))
			continue;
		if (!h->live || !g->holding) {
			best = order[k];
			break;
		}
		if (!best || h->stamp < held_of(g, best)->stamp)
			best = order[k];
	}
	held_drop(g, best);
	return best;
}

static void hold(struct gen *g, unsigned reg, const struct tr_insn *i, i64 ref)
{
	if (!g->holding)
		return;
	*held_of(g, reg) = (struct held){.base = i->base,
					 .index = i->index,
					 .shift = i->shift,
					 .live = true,
					 .ref = ref,
					 .mark = g->nplaces,
					 .stamp = ++g->stamp};
}

/* ---- Operands ---- */

void window_slot(struct gen *g, unsigned reg, unsigned of)
{
	struct code *c = g->c;

	_Static_assert(WINDOW_SLOTS == 256, "a byte");
	/* rorx reg, of, 40; movzx reg, its low byte */
	E_CODE(c, 0xc4, 0x43 | (of > 7 ? 0 : 0x20), 0xfb, 0xf0, 0xc0 | (reg & 7) << 3 | (of & 7),
	       WINDOW_SHIFT);
	E_CODE(c, 0x45, 0x0f, 0xb6, 0xc0 | (reg & 7) << 3 | (reg & 7));
	e_load(c, reg,
	       (struct hmem){.base = -1,
			     .index = (int)reg,
			     .shift = 3,
			     .disp = T_OFF(slots),
			     .gs = true});
}

static u32 operand_site(struct gen *g, unsigned size, unsigned access)
{
	return new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					    .kind = SITE_INTERP,
					    .flags = (u8)g->fstate,
					    .size = (u8)size,
					    .access = (u8)access});
}

/* A base that is in a register, and a displacement. */
static struct access at_base(struct gen *g, const struct tr_insn *i, unsigned size, unsigned access)
{
	unsigned reg = held_find(g, i, i->disp);

	if (!reg) {
		reg = held_take(g, g->reserved);
		window_slot(g, reg, host_reg(i->base));
		hold(g, reg, i, 0);
	}
	return (struct access){
		.m = {.base = (int)host_reg(i->base), .index = (int)reg, .disp = (i32)i->disp},
		.busy = BIT(reg),
		.site = operand_site(g, size, access)};
}

struct access window_at(struct gen *g, unsigned guest_base, i32 disp, unsigned size,
			unsigned access)
{
	const struct tr_insn at = {.base = (u8)guest_base, .index = NO_REG, .disp = disp};

	return at_base(g, &at, size, access);
}

/* Its slot is a constant too. */
static struct access at_constant(struct gen *g, const struct tr_insn *i, u64 gva)
{
	i32 slot = T_OFF(slots) + (i32)(field_get(gva, WINDOW_SHIFT, 8) * sizeof(u64));
	struct access a = {.site = operand_site(g, i->size, i->access)};
	unsigned reg = held_take(g, 0), address;

	e_load(g->c, reg, hm_gs(slot));
	a.busy = BIT(reg);
	if ((u64)(i64)(i32)gva == gva) {
		a.m = hm((int)reg, (i32)gva);
		return a;
	}
	address = held_take(g, reg);
	e_mov_imm(g->c, address, gva);
	a.m = (struct hmem){.base = (int)address, .index = (int)reg};
	a.busy |= BIT(address);
	return a;
}

/* Anything: the address in T0. */
static struct access at_any(struct gen *g, const struct tr_insn *i)
{
	bool plain = !i->seg && !i->a32;
	struct access a = {.busy = BIT(T0)};
	unsigned reg;

	if (i->seg || (i->index != NO_REG && in_state(i->index)))
		held_drop(g, T1);
	held_drop(g, T0);
	ea_operand(g, i);
	reg = plain ? held_find(g, i, i->disp) : 0;
	if (!reg) {
		reg = held_take(g, T0);
		window_slot(g, reg, T0);
		if (plain)
			hold(g, reg, i, i->disp);
	}
	a.site = operand_site(g, i->size, i->access);
	a.m = (struct hmem){.base = T0, .index = (int)reg};
	if (fields_in_state(i) < 2) {
		a.busy |= BIT(reg);
		return a;
	}
	e_lea(g->c, T0, a.m);
	a.m = hm(T0, 0);
	return a;
}

struct access window_operand(struct gen *g, const struct tr_insn *i)
{
	bool plain = !i->seg && !i->a32;

	if (plain && i->base != NO_REG && i->index == NO_REG && !in_state(i->base))
		return at_base(g, i, i->size, i->access);
	if (!i->seg && i->base == NO_REG && i->index == NO_REG && fields_in_state(i) < 2)
		return at_constant(g, i, constant_address(g, i));
	return at_any(g, i);
}

unsigned window_takes(const struct tr_insn *i)
{
	if (i->seg || i->a32 || i->index != NO_REG)
		return 3;
	return i->base == NO_REG ? 2 : in_state(i->base) ? 3 : 1;
}

bool windows_for(const struct gen *g, const struct tr_insn *i)
{
	return g->in->windows && !is_locked(i) && !tr_window_banned(g->t, gen_rip(g, i));
}
