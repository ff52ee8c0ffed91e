/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of loops.
 *
 * R8 to R11 live in memory, since code at large names them least. In the loops of a leaf it is the
 * other way round: there compilers take them before those that a callee has to keep. What an
 * iteration hands on to the next by memory is late, and later still when the CPU has come to
 * expect it from a store whose address is not known yet: a loop of 8 cycles then takes 25.
 *
 * So such a loop gets a copy, which its jumps back lead to, in which hot ones of these registers
 * and cold ones of the others have changed places: R11 may be in the host's R15, and R15 in memory.
 * On all ways out of the copy they change back: on direct ones, before C is asked, and, by a piece
 * of code that a site knows, behind a fault of the host's.
 */
#include "engine/translate/gen.h"

enum {
	WORTH = 2, /* uses more in registers, instead of memory */
	STATE = 0xf << X86_R8,
	/* Nothing takes them by itself, without naming them. */
	LENT = BIT(X86_RBP) | 0xf << X86_R12,
};

/* ---- Which registers ---- */

/* What a loop does with registers, in the order of its instructions. */
struct uses {
	unsigned n[GPRS];
	u16 read_first, written;
};

static void read(struct uses *u, unsigned reg)
{
	if (reg == NO_REG)
		return;
	u->n[reg]++;
	if (!(u->written >> reg & 1))
		u->read_first |= (u16)BIT(reg);
}

static void count_uses(const struct tr_insn *i, struct uses *u)
{
	const u8 fields[] = {i->reg, i->rm, i->v, i->op_reg};
	unsigned loads = i->gpr & i->loads, stores = i->gpr & i->stores;

	if (i->mem || i->kind == K_LEA) {
		read(u, i->base);
		read(u, i->index);
	}
	for (unsigned ix = 0; ix < ARRAY_LEN(fields); ix++)
		if (loads >> ix & 1)
			read(u, fields[ix]);
	for (unsigned ix = 0; ix < ARRAY_LEN(fields); ix++)
		if (stores >> ix & 1) {
			u->n[fields[ix]]++;
			u->written |= (u16)BIT(fields[ix]);
		}
}

/* Of a set, the one with most uses, or fewest. */
static unsigned extreme(unsigned set, const unsigned *uses, bool most)
{
	unsigned best = NO_REG;

	for (; set; set &= set - 1) {
		unsigned r = (unsigned)__builtin_ctz(set);

		if (best == NO_REG || (most ? uses[r] > uses[best] : uses[r] < uses[best]))
			best = r;
	}
	return best;
}

void swap_none(struct fast_loop *l)
{
	l->nswaps = 0;
	l->in_state = STATE;
	for (unsigned r = 0; r < GPRS; r++)
		l->host[r] = (u8)r;
}

static void add(struct fast_loop *l, unsigned hot, unsigned cold)
{
	l->swaps[l->nswaps++] = (struct swap){.hot = (u8)hot, .cold = (u8)cold};
	l->in_state = (u16)((l->in_state | BIT(cold)) & ~BIT(hot));
	l->host[hot] = (u8)cold;
}

void swap_choose(const struct gen *g, struct fast_loop *l)
{
	struct uses u = {0};

	swap_none(l);
	if (!tr_has(g->t, TR_SWAPS))
		return;
	for (unsigned k = l->head; k <= l->last; k++) {
		if (g->in->insns[k].x87_pointers) /* whose sites have no room for where to go on */
			return;
		count_uses(&g->in->insns[k], &u);
	}
	while (l->nswaps < SWAPS_MAX) {
		unsigned hot = extreme(l->in_state & u.read_first & u.written & STATE, u.n, true);
		unsigned cold = extreme(LENT & ~l->in_state, u.n, false);

		if (hot == NO_REG || u.n[hot] < u.n[cold] + WORTH)
			break;
		add(l, hot, cold);
	}
}

/* ---- Which loops ---- */

static bool may_have_copy(const struct gen *g, const struct fast_loop *l)
{
	if (l->last - l->head >= COPY_INSNS)
		return false;
	for (unsigned k = l->head; k <= l->last; k++) {
		const struct tr_insn *i = &g->in->insns[k];

		if ((!tr_insn_runs_on(i) && i->kind != K_JMP) || fast_over(g, k) ||
		    (i->mem_head && (i->strong | i->weak)))
			return false;
	}
	return true;
}

static void try_loop(struct gen *g, unsigned head, unsigned last)
{
	struct fast_loop *l = &g->w->fast[g->nfast];

	if (g->nfast == LOOPS_MAX)
		return;
	*l = (struct fast_loop){.head = (u16)head, .last = (u16)last};
	if (!may_have_copy(g, l))
		return;
	swap_choose(g, l);
	g->nfast += l->nswaps > 0;
}

/*
 * Outer loops first, unless a loop in them has a copy without checks. Without windows accesses of
 * copies would lose the checks that they share, which are dearer.
 */
void swap_find(struct gen *g)
{
	const struct gen_context *in = g->in;

	/* Who is in a copy sees `attention` by kicks alone. */
	if (!tr_has(g->t, TR_SWAPS) || !tr_has(g->t, TR_KICKS) || !in->windows)
		return;
	for (unsigned k = in->n; k-- > 0;) {
		const struct tr_insn *i = &in->insns[k];

		if ((i->kind == K_JCC || i->kind == K_JMP) && i->target >= 0 &&
		    i->target <= i->off && in->at[i->target] >= 0)
			try_loop(g, (unsigned)in->at[i->target], k);
	}
}

/* ---- Code ---- */

bool swap_is_on(const struct gen *g)
{
	return g->fast && g->fast->nswaps;
}

static void change(struct gen *g, const struct fast_loop *l, bool back)
{
	for (unsigned k = 0; k < l->nswaps; k++) {
		unsigned hot = l->swaps[k].hot, cold = l->swaps[k].cold;

		e_store(g->c, state_reg(back ? hot : cold), cold);
		e_load(g->c, cold, state_reg(back ? cold : hot));
	}
}

void swap_enter(struct gen *g, const struct fast_loop *l)
{
	change(g, l, false);
}

void swap_leave(struct gen *g)
{
	if (!swap_is_on(g))
		return;
	change(g, g->fast, true);
	g->fast = NULL;
}

void swap_restore(struct gen *g, struct fast_loop *l)
{
	l->restore = g->c->at;
	change(g, l, true);
	e_jmp_to(g->c, g->t->rt.leave);
}

void swap_outs(struct gen *g, struct fast_loop *l)
{
	for (unsigned k = l->head; k <= l->last; k++) {
		g->i = &g->in->insns[k];
		if (!g->i->loop)
			continue;
		l->outs[k - l->head] = g->c->at;
		change(g, l, true);
		flow_leave(g, new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
							   .kind = SITE_ATTENTION,
							   .flags = FLAGS_HOST}));
	}
}
