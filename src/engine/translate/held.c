/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What scratch registers hold from one instruction to the next. A check takes T0 and T1, and what
 * is in T2 if it must; accesses by windows leave alone what they don't need.
 *
 * What was looked up for an address holds for all that are not far from it: a window's guards take
 * what is beyond. So it is kept, in the register that it was loaded into, for later accesses of the
 * same base and index, as long as these change by nothing but known additions.
 *
 * The guest's R8 to R11 live in memory and are always right there; that they are in a scratch
 * register besides saves loading them, of which each would wait for the last store.
 *
 * Nothing is held where others can come in: at heads, and behind what is not known to leave scratch
 * registers alone. Places (join.c) between where something was put in and where it is used are
 * none.
 */
#include "engine/translate/gen.h"

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

/* Those of which it is known what they do to scratch registers. */
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

static bool accesses_memory(const struct tr_insn *i)
{
	return i->kind == K_PUSH_REG || i->kind == K_PUSH_IMM || i->kind == K_POP_REG ||
	       (i->kind == K_PLAIN && i->mem);
}

static void drop_taken(struct gen *g)
{
	if (g->holding)
		return;
	held_drop(g, T0);
	held_drop(g, T1);
	if (!g->sparing)
		held_drop(g, T2);
}

void held_before(struct gen *g)
{
	g->sparing = tr_has(g->t, TR_HELD) && leaves_held(g->i);
	g->holding = g->sparing && (!accesses_memory(g->i) || windows_for(g, g->i));
	drop_taken(g);
}

void held_after(struct gen *g)
{
	drop_taken(g);
	for (unsigned reg = T0; reg <= T2; reg++) {
		struct held *h = held_of(g, reg);
		i64 base = 0, index = 0;

		if (!h->live || h->value)
			continue;
		h->live = (h->base == NO_REG || tr_insn_adds(g->i, h->base, &base)) &&
			  (h->index == NO_REG || tr_insn_adds(g->i, h->index, &index));
		h->ref -= base + (i64)((u64)index << h->shift);
	}
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

static unsigned use(struct gen *g, unsigned reg)
{
	places_end(g, held_of(g, reg)->mark);
	held_of(g, reg)->stamp = ++g->stamp;
	return reg;
}

unsigned held_addend(struct gen *g, const struct tr_insn *i, i64 disp)
{
	for (unsigned reg = T0; reg <= T2; reg++) {
		const struct held *h = held_of(g, reg);

		if (h->live && !h->value && h->base == i->base && h->index == i->index &&
		    h->shift == i->shift && disp - h->ref < REACH && h->ref - disp < REACH)
			return use(g, reg);
	}
	return 0;
}

unsigned held_where(struct gen *g, unsigned guest)
{
	for (unsigned reg = T0; reg <= T2; reg++) {
		const struct held *h = held_of(g, reg);

		if (h->live && h->value && h->base == guest)
			return reg;
	}
	return 0;
}

unsigned held_value(struct gen *g, unsigned guest)
{
	unsigned reg = held_where(g, guest);

	return reg ? use(g, reg) : 0;
}

unsigned held_oldest(struct gen *g, unsigned busy)
{
	static const u8 order[] = {T2, T0, T1};
	unsigned best = 0;

	for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
		const struct held *h = held_of(g, order[k]), *b = best ? held_of(g, best) : NULL;

		if (busy & BIT(order[k]))
			continue;
		if (!b || (b->live && (!h->live || h->stamp < b->stamp)))
			best = order[k];
	}
	return best;
}

unsigned held_take(struct gen *g, unsigned but)
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

void hold_addend(struct gen *g, unsigned reg, const struct tr_insn *i, i64 ref)
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

void hold_value(struct gen *g, unsigned reg, unsigned guest)
{
	for (unsigned other = T0; other <= T2; other++)
		if (held_of(g, other)->value && held_of(g, other)->base == guest)
			held_drop(g, other);
	if (!(g->holding || (g->sparing && reg == T2)) || g->kept & BIT(reg))
		return;
	*held_of(g, reg) = (struct held){.base = (u8)guest,
					 .value = true,
					 .live = true,
					 .mark = g->nplaces,
					 .stamp = ++g->stamp};
}
