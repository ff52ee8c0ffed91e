/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that share a check.
 *
 * In a run of instructions that is entered only at its beginning, accesses whose addresses differ
 * by constants form a group: base and index are the same registers, changed by nothing but known
 * additions (PUSH, POP, ADD with an immediate …). One check of all their bytes is made for them,
 * and leaves the addend in tr.addends, from where each takes it. The check stands before the first
 * of them or, if flags are in use there, before an instruction further up at which they are not.
 *
 * A check that fails asks nobody: it goes to a copy of the rest of the run, in the cold code, in
 * which each access is checked by the runtime. So no page is touched before its time, and bytes
 * that lie across pages or are of unlike rights cost no more than they would alone.
 *
 * Between check and access nothing can invalidate what was checked: translations change, and
 * rights are taken away, only when this vCPU is outside of translated code, or in a slow access
 * that fills more of the TLB.
 */
#include "engine/translate/gen.h"

enum { SPAN_MAX = 256, HOIST_MAX = 24 };

static bool change_of_address(const struct tr_insn *i, const struct group *p, i64 *add)
{
	i64 index = 0;

	*add = 0;
	if (p->base != NO_REG && !tr_insn_adds(i, p->base, add))
		return false;
	if (p->index != NO_REG && !tr_insn_adds(i, p->index, &index))
		return false;
	*add += (i64)((u64)index << p->shift);
	return true;
}

/* ---- Groups ---- */

static bool is_stack_access(const struct gen *g, unsigned base, unsigned index, unsigned size)
{
	return base == X86_RSP && index == NO_REG && size <= 8 && !(size & (size - 1)) &&
	       tr_has(g->t, TR_RANGE);
}

/* Of those that are open in this run, the one that an access fits into. */
static struct group *open_group(struct gen *g, const struct group *like, unsigned first)
{
	for (unsigned k = g->ngroups; k-- > first;) {
		struct group *p = &g->w->groups[k];
		i64 lo, hi;

		if (!p->open || p->base != like->base || p->index != like->index ||
		    p->shift != like->shift || p->range != like->range)
			continue;
		lo = like->lo + p->moved;
		hi = like->hi + p->moved;
		lo = lo < p->lo ? lo : p->lo;
		hi = hi > p->hi ? hi : p->hi;
		if (hi - lo > SPAN_MAX || lo < INT32_MIN / 2 || hi > INT32_MAX / 2)
			continue;
		p->lo = lo;
		p->hi = hi;
		return p;
	}
	return NULL;
}

static u8 join(struct gen *g, struct group like, unsigned insn, unsigned first)
{
	struct group *p = open_group(g, &like, first);

	if (!p) {
		if (g->ngroups == GROUPS_MAX || g->ngroups - first == ADDENDS)
			return 0;
		p = &g->w->groups[g->ngroups++];
		*p = like;
		p->open = true;
		p->first = p->at = (u16)insn;
		p->slot = (u8)(g->ngroups - 1 - first);
	}
	p->write |= like.write;
	p->last = (u16)insn;
	p->members++;
	return (u8)(p - g->w->groups + 1);
}

static void join_operand(struct gen *g, struct tr_insn *i, unsigned insn, unsigned first)
{
	if ((i->kind != K_PLAIN && i->kind != K_PUSH_MEM) || !i->mem || i->a32 || i->seg ||
	    tr_insn_locked(i) || (i->base == NO_REG && i->index == NO_REG))
		return;
	i->group = join(g,
			(struct group){.base = i->base,
				       .index = i->index,
				       .shift = i->shift,
				       .range = is_stack_access(g, i->base, i->index, i->size),
				       .write = i->access & X86_WRITE,
				       .lo = i->disp,
				       .hi = i->disp + i->size},
			insn, first);
}

static void join_stack(struct gen *g, struct tr_insn *i, unsigned insn, unsigned first)
{
	bool pushes = i->kind == K_PUSH_REG || i->kind == K_PUSH_IMM || i->kind == K_PUSH_MEM;
	i64 lo = pushes ? -8 : 0;

	if (!pushes && i->kind != K_POP_REG && i->kind != K_RET)
		return;
	i->stack_group = join(g,
			      (struct group){.base = X86_RSP,
					     .index = NO_REG,
					     .range = tr_has(g->t, TR_RANGE),
					     .write = pushes,
					     .lo = lo,
					     .hi = lo + 8},
			      insn, first);
}

/* Addresses of groups that are open are told from here on by what is behind the instruction. */
static void pass(struct gen *g, const struct tr_insn *i, unsigned first)
{
	for (unsigned k = first; k < g->ngroups; k++) {
		struct group *p = &g->w->groups[k];
		i64 add;

		if (p->open && !change_of_address(i, p, &add))
			p->open = false;
		else if (p->open)
			p->moved += add;
	}
}

/* Where flags need not be kept, at or above the first access; there the address is another sum. */
static void place(struct gen *g, struct group *p, unsigned begin)
{
	const struct tr_insn *insns = g->in->insns;
	i64 moved = 0, add;

	if (!insns[p->first].strong)
		return;
	for (unsigned k = p->first; k-- > begin && p->first - k <= HOIST_MAX;) {
		if (!change_of_address(&insns[k], p, &add))
			return;
		moved += add;
		if (insns[k].strong)
			continue;
		p->at = (u16)k;
		p->lo += moved;
		p->hi += moved;
		return;
	}
}

static void drop_small(struct gen *g, struct tr_insn *i)
{
	if (i->group && !g->w->groups[i->group - 1].used)
		i->group = 0;
	if (i->stack_group && !g->w->groups[i->stack_group - 1].used)
		i->stack_group = 0;
}

static void group_run(struct gen *g, unsigned begin, unsigned end)
{
	unsigned first = g->ngroups, last = begin;
	struct tr_insn *insns = g->in->insns;
	bool any = false;

	for (unsigned k = begin; k < end; k++) {
		join_operand(g, &insns[k], k, first);
		join_stack(g, &insns[k], k, first);
		pass(g, &insns[k], first);
	}
	for (unsigned k = first; k < g->ngroups; k++) {
		struct group *p = &g->w->groups[k];

		place(g, p, begin);
		p->used = p->members > 1 || p->at < p->first;
		any |= p->used;
		if (p->used && p->last > last)
			last = p->last;
	}
	for (unsigned k = begin; k < end; k++)
		drop_small(g, &insns[k]);
	if (!any || g->nruns == RUNS_MAX) {
		for (unsigned k = begin; k < end; k++)
			insns[k].group = insns[k].stack_group = 0;
		g->ngroups = first;
		return;
	}
	g->w->runs[g->nruns++] = (struct run){.begin = (u16)begin,
					      .last = (u16)last,
					      .first_group = (u16)first,
					      .end_group = (u16)g->ngroups};
	for (unsigned k = begin; k <= last; k++)
		insns[k].run = (u8)g->nruns;
}

void groups_find(struct gen *g)
{
	struct tr_insn *insns = g->in->insns;
	unsigned n = g->in->n, end;

	/* 32-bit addresses wrap: there is no telling that two of them are near each other. */
	if (!tr_has(g->t, TR_GROUPS) || g->in->compat || g->in->windows)
		return;
	for (unsigned begin = 0; begin < n; begin = end) {
		end = begin;
		while (end < n && tr_insn_runs_on(&insns[end]) &&
		       !(end > begin && fast_ends(g, end - 1)) &&
		       (end == begin || !insns[end].head) &&
		       (end == begin || insns[end].off == insns[end - 1].off + insns[end - 1].len))
			end++;
		/* RET ends one, and takes part. */
		if (end < n && insns[end].kind == K_RET &&
		    !(end > begin && fast_ends(g, end - 1)) && !insns[end].head && end > begin &&
		    insns[end].off == insns[end - 1].off + insns[end - 1].len)
			end++;
		if (end == begin)
			end++;
		else
			group_run(g, begin, end);
	}
}

/* ---- Checks ---- */

static void check(struct gen *g, struct group *p)
{
	bool bracket = flags_prepare(g);

	held_drop(g, T0);
	held_drop(g, T1);
	p->bracket = bracket;
	p->fstate = (u8)g->fstate;
	p->jump = access_group_check(g, p, bracket);
	e_store(g->c, hm_gs(T_OFF(addends) + (i32)(p->slot * sizeof(u64))), T1);
}

/* The checks that stand before an instruction which is no member. */
void groups_before(struct gen *g)
{
	const struct run *r;

	if (!g->i->run || g->copying)
		return;
	r = &g->w->runs[g->i->run - 1];
	for (unsigned k = r->first_group; k < r->end_group; k++) {
		struct group *p = &g->w->groups[k];

		if (p->used && p->at == g->index && p->at < p->first)
			check(g, p);
	}
}

/* T1 = the addend of a group; for its first access, if the check was not made before. */
bool group_addend(struct gen *g, unsigned number)
{
	struct group *p;

	if (!number || g->copying)
		return false;
	p = &g->w->groups[number - 1];
	if (!p->jump)
		check(g, p);
	else
		e_load(g->c, T1, hm_gs(T_OFF(addends) + (i32)(p->slot * sizeof(u64))));
	return true;
}

void groups_after(struct gen *g)
{
	struct run *r;
	struct stub *s;

	if (!g->i->run || g->copying)
		return;
	r = &g->w->runs[g->i->run - 1];
	if (r->last != g->index)
		return;
	held_none(g);
	r->back = g->c->at;
	r->fstate = (u8)g->fstate;
	s = new_stub(g, STUB_COPY);
	s->target = g->i->run - 1;
}

bool groups_underway(const struct gen *g)
{
	const struct run *r = g->i->run ? &g->w->runs[g->i->run - 1] : NULL;

	for (unsigned k = r ? r->first_group : 0; r && k < r->end_group; k++) {
		const struct group *p = &g->w->groups[k];

		if (p->used && p->at < g->index && g->index <= p->last)
			return true;
	}
	return false;
}

/* ---- The copy of a run ---- */

static void convert(struct gen *g, unsigned fstate)
{
	if (fstate == FLAGS_MEM)
		flags_to_memory(g);
	else
		flags_to_host(g);
}

/* Checks that were made before, or in, this instruction come here when they have failed. */
static void bind_failed(struct gen *g, const struct run *r, bool *entered)
{
	for (unsigned k = r->first_group; k < r->end_group; k++) {
		struct group *p = &g->w->groups[k];

		if (!p->used || !p->jump || p->at != g->index)
			continue;
		if (*entered)
			convert(g, p->fstate);
		g->fstate = p->fstate;
		held_none(g);
		*entered = true;
		p->copy = g->c->at;
		if (!p->bracket)
			e_bind_here(g->c, p->jump);
	}
}

static void bind_bracketed(struct gen *g, const struct run *r)
{
	for (unsigned k = r->first_group; k < r->end_group; k++) {
		struct group *p = &g->w->groups[k];

		if (!p->used || !p->jump || !p->bracket)
			continue;
		e_bind_here(g->c, p->jump);
		flags_unbracket(g);
		e_jmp_to(g->c, p->copy);
	}
}

void stub_copy(struct gen *g, const struct stub *s)
{
	const struct run *r = &g->w->runs[s->target];
	bool entered = false;

	g->copying = true;
	for (unsigned k = r->begin; k <= r->last && !g->full; k++) {
		g->index = k;
		g->i = &g->in->insns[k];
		bind_failed(g, r, &entered);
		if (entered)
			emit_one(g);
	}
	if (g->in->insns[r->last].kind != K_RET) {
		convert(g, r->fstate);
		e_jmp_to(g->c, r->back);
	}
	bind_bracketed(g, r);
	g->copying = false;
}
