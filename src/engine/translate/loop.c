/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/translate/loop.h"

/* ---- The shape ---- */

static bool writes(const struct tr_insn *i, unsigned reg)
{
	i64 add;

	return !tr_insn_adds(i, reg, &add) || add;
}

static bool jumps(const struct tr_insn *i)
{
	return i->kind == K_JCC || i->kind == K_JMP;
}

static bool is_loop(const struct gen_context *in, unsigned head, unsigned last)
{
	if (head > last || last - head >= LOOP_INSNS)
		return false;
	for (unsigned k = head; k <= last; k++) {
		const struct tr_insn *i = &in->insns[k];

		if (!tr_insn_runs_on(i) && i->kind != K_JMP)
			return false;
		if (k < last && jumps(i) && i->target <= i->off)
			return false;
		if (k < last && i[1].off != i->off + i->len)
			return false;
	}
	return true;
}

/* Where in the body a page offset is, or -1. */
static int place_of(const struct gen_context *in, const struct tr_loop *l, i32 off)
{
	int k;

	if (off < 0 || off >= (i32)in->span)
		return -1;
	k = in->at[off];
	return k >= l->head && k <= l->last ? k - l->head : -1;
}

static bool is_closed(const struct gen_context *in, const struct tr_loop *l)
{
	for (unsigned k = 0; k < in->n; k++) {
		const struct tr_insn *i = &in->insns[k];
		bool inside = k >= l->head && k <= l->last;

		if (inside && k != l->head && i->mem_head)
			return false;
		if (!inside && (jumps(i) || i->kind == K_LOOP) && place_of(in, l, i->target) > 0)
			return false;
	}
	return true;
}

/* ---- Registers ---- */

/* Control comes to a place with what `from` knows. */
static void merge(struct tr_loop_point *to, const struct tr_loop_point *from)
{
	if (!to->reached) {
		*to = *from;
		return;
	}
	for (unsigned r = 0; r < GPRS; r++)
		if (to->origin[r] != from->origin[r] || to->moved[r] != from->moved[r])
			to->known &= (u16)~BIT(r);
	to->known &= from->known;
}

/* What r is made of: another register, to which something is added; or itself. */
static bool made_of(const struct tr_insn *i, unsigned r, unsigned *from, i64 *add)
{
	*from = r;
	return tr_insn_adds(i, r, add) || tr_insn_copies(i, r, from, add);
}

static struct tr_loop_point behind(const struct tr_insn *i, const struct tr_loop_point *before)
{
	struct tr_loop_point p = {.reached = before->reached};

	for (unsigned r = 0; r < GPRS; r++) {
		unsigned from;
		i64 add;

		if (!made_of(i, r, &from, &add) || !(before->known >> from & 1))
			continue;
		add += before->moved[from];
		p.origin[r] = before->origin[from];
		p.moved[r] = (i32)add;
		p.known |= (u16)((add == (i32)add) << r);
	}
	return p;
}

/*
 * From the first point to behind the last instruction. Jumps in the body lead forward, so that one
 * pass sees every way before it is gone on.
 */
static struct tr_loop_point follow_registers(const struct gen_context *in, struct tr_loop *l)
{
	unsigned last = l->last - l->head;

	for (unsigned k = 1; k <= last; k++)
		l->at[k].reached = false;
	for (unsigned k = 0; k < last; k++) {
		const struct tr_insn *i = &in->insns[l->head + k];
		int target = jumps(i) ? place_of(in, l, i->target) : -1;
		struct tr_loop_point p;

		if (!l->at[k].reached)
			continue;
		p = behind(i, &l->at[k]);
		if (target > 0)
			merge(&l->at[target], &p);
		if (i->kind != K_JMP)
			merge(&l->at[k + 1], &p);
	}
	return l->at[last].reached ? behind(&in->insns[l->last], &l->at[last])
				   : (struct tr_loop_point){0};
}

/* The register that stands for all that are made of what r is made of. */
static unsigned one_for(const struct tr_loop_point *p, unsigned r)
{
	unsigned o = p->origin[r], q = 0;

	if (p->known >> o & 1 && p->origin[o] == o)
		return o;
	while (!(p->known >> q & 1) || p->origin[q] != o)
		q++;
	return q;
}

/* What is known by the jump back, behind which registers are as p says. */
static struct tr_loop_point back_at_head(const struct tr_loop_point *p)
{
	struct tr_loop_point head = {.reached = true, .known = 0xffff};

	for (unsigned r = 0; r < GPRS; r++) {
		unsigned one = p->known >> r & 1 ? one_for(p, r) : r;
		i64 apart = one == r ? 0 : (i64)p->moved[r] - p->moved[one];

		head.origin[r] = (u8)(apart == (i32)apart ? one : r);
		head.moved[r] = (i32)(apart == (i32)apart ? apart : 0);
	}
	return head;
}

static void find_steps(struct tr_loop *l, const struct tr_loop_point *end)
{
	for (unsigned r = 0; r < GPRS; r++) {
		i64 step = (i64)end->moved[r] - l->at[0].moved[r];

		if (!(end->known >> r & 1) || end->origin[r] != l->at[0].origin[r] ||
		    step != (i32)step)
			continue;
		l->steps |= (u16)BIT(r);
		l->step[r] = (i32)step;
	}
}

static void look_at_registers(const struct gen_context *in, struct tr_loop *l)
{
	struct tr_loop_point end = {0}, head = back_at_head(&end);

	l->at[0] = head;
	end = follow_registers(in, l);
	l->at[0] = back_at_head(&end);
	if (__builtin_memcmp(&l->at[0], &head, sizeof(head)))
		end = follow_registers(in, l);
	find_steps(l, &end);
	for (unsigned k = l->head; k <= l->last; k++)
		for (unsigned r = 0; r < GPRS; r++)
			l->changed |= (u16)(writes(&in->insns[k], r) << r);
}

unsigned tr_loops_find(const struct gen_context *in, struct tr_loop *loops, unsigned max)
{
	unsigned n = 0;

	/* Of 32-bit code registers are not what they seem: sums of them wrap. */
	for (unsigned k = 0; !in->compat && k < in->n && n < max; k++) {
		const struct tr_insn *i = &in->insns[k];
		struct tr_loop *l = &loops[n];

		if (!jumps(i) || i->target > i->off || i->target < 0 || in->at[i->target] < 0 ||
		    !is_loop(in, (unsigned)in->at[i->target], k))
			continue;
		*l = (struct tr_loop){.head = (u16)in->at[i->target], .last = (u16)k};
		l->closed = is_closed(in, l);
		look_at_registers(in, l);
		n++;
	}
	return n;
}

/* ---- Streams ---- */

bool tr_loop_steady(const struct tr_loop *l, const struct tr_loop_point *p, unsigned reg)
{
	return reg == NO_REG || (p->known >> reg & 1 && l->steps >> p->origin[reg] & 1);
}

/*
 * Whoever holds what stays of an address adds what the body changes: of a register that it makes
 * of another both must be one or the other.
 */
static bool is_usable(const struct tr_loop *l, const struct tr_loop_point *p, unsigned reg)
{
	return tr_loop_steady(l, p, reg) &&
	       (reg == NO_REG || (l->changed >> reg & 1) == (l->changed >> p->origin[reg] & 1));
}

static u8 origin_of(const struct tr_loop_point *p, unsigned reg)
{
	return reg == NO_REG ? NO_REG : p->origin[reg];
}

/* base + (index << shift), of what each register has. */
static i64 address_of(const struct tr_insn *i, unsigned base, unsigned index, const i32 *of)
{
	i64 sum = 0;

	if (base != NO_REG)
		sum += of[base];
	if (index != NO_REG)
		sum += (i64)((u64)(i64)of[index] << i->shift);
	return sum;
}

static bool is_stream(const struct gen_context *in, const struct tr_loop *l, unsigned k,
		      struct tr_stream *s)
{
	const struct tr_insn *i = &in->insns[l->head + k];
	const struct tr_loop_point *p = &l->at[k];
	u8 base = origin_of(p, i->base), index = origin_of(p, i->index);
	i64 step, lo;

	if (i->kind != K_PLAIN || !i->mem || i->a32 || i->seg || tr_insn_locked(i) || !p->reached ||
	    !is_usable(l, p, i->base) || !is_usable(l, p, i->index))
		return false;
	step = address_of(i, base, index, l->step);
	lo = i->disp + address_of(i, i->base, i->index, p->moved);
	if (i->rip_relative)
		lo = (i64)(in->page_rip + i->off + (u64)i->disp);
	else if (lo < INT32_MIN / 2 || lo > INT32_MAX / 2)
		return false;
	*s = (struct tr_stream){.base = base,
				.index = index,
				.shift = i->index == NO_REG ? 0 : i->shift,
				.members = 1,
				.write = i->access & X86_WRITE,
				.step = (i32)step,
				.lo = lo,
				.hi = lo + i->size};
	return step == (i32)step;
}

static bool joins(struct tr_stream *s, const struct tr_stream *with, unsigned span)
{
	i64 lo = with->lo < s->lo ? with->lo : s->lo, hi = with->hi > s->hi ? with->hi : s->hi;

	if (s->base != with->base || s->index != with->index || s->shift != with->shift ||
	    (u64)hi - (u64)lo > span)
		return false;
	s->lo = lo;
	s->hi = hi;
	s->write |= with->write;
	s->members++;
	return true;
}

unsigned tr_loop_streams(const struct gen_context *in, const struct tr_loop *l, unsigned span,
			 struct tr_stream *streams, unsigned max, u8 *of)
{
	unsigned n = 0;

	for (unsigned k = 0; k <= (unsigned)(l->last - l->head); k++) {
		struct tr_stream s;
		unsigned found = 0;

		of[k] = 0;
		if (!is_stream(in, l, k, &s))
			continue;
		while (found < n && !joins(&streams[found], &s, span))
			found++;
		if (found == n) {
			if (n == max)
				continue;
			streams[n++] = s;
		}
		of[k] = (u8)(found + 1);
	}
	return n;
}
