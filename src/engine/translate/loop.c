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

	if (off < 0 || off >= ALC_PAGE_SIZE)
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
		if (to->moved[r] != from->moved[r])
			to->known &= (u16)~BIT(r);
	to->known &= from->known;
}

static struct tr_loop_point behind(const struct tr_insn *i, struct tr_loop_point p)
{
	for (unsigned r = 0; r < GPRS; r++) {
		i64 add, sum;
		bool adds = tr_insn_adds(i, r, &add);

		sum = p.moved[r] + add;
		if (adds && sum == (i32)sum)
			p.moved[r] = (i32)sum;
		else
			p.known &= (u16)~BIT(r);
	}
	return p;
}

/* Jumps in the body lead forward, so that one pass sees every way before it is gone on. */
static void follow_registers(const struct gen_context *in, struct tr_loop *l)
{
	l->at[0] = (struct tr_loop_point){.reached = true, .known = 0xffff};
	for (unsigned k = 0; k <= (unsigned)(l->last - l->head); k++) {
		const struct tr_insn *i = &in->insns[l->head + k];
		struct tr_loop_point p = behind(i, l->at[k]);
		int target = jumps(i) ? place_of(in, l, i->target) : -1;

		for (unsigned r = 0; r < GPRS; r++)
			l->changed |= (u16)(writes(i, r) << r);
		if (!l->at[k].reached)
			continue;
		if (l->head + k == l->last) {
			l->steps = p.known;
			__builtin_memcpy(l->step, p.moved, sizeof(l->step));
			break;
		}
		if (target > 0)
			merge(&l->at[target], &p);
		if (i->kind != K_JMP)
			merge(&l->at[k + 1], &p);
	}
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
		follow_registers(in, l);
		n++;
	}
	return n;
}

/* ---- Streams ---- */

static bool steps_known(const struct tr_loop *l, const struct tr_loop_point *p, unsigned reg)
{
	return reg == NO_REG || (l->steps & p->known) >> reg & 1;
}

/* What has been added to an address of which registers were changed by `moved`. */
static i64 moved_by(const struct tr_insn *i, const i32 *moved)
{
	i64 sum = 0;

	if (i->base != NO_REG)
		sum += moved[i->base];
	if (i->index != NO_REG)
		sum += (i64)((u64)(i64)moved[i->index] << i->shift);
	return sum;
}

static bool is_stream(const struct gen_context *in, const struct tr_loop *l, unsigned k,
		      struct tr_stream *s)
{
	const struct tr_insn *i = &in->insns[l->head + k];
	const struct tr_loop_point *p = &l->at[k];
	i64 step, lo;

	if (i->kind != K_PLAIN || !i->mem || i->a32 || i->seg || tr_insn_locked(i) || !p->reached ||
	    !steps_known(l, p, i->base) || !steps_known(l, p, i->index))
		return false;
	step = moved_by(i, l->step);
	lo = i->disp + moved_by(i, p->moved);
	if (i->rip_relative)
		lo = (i64)(in->page_rip + i->off + (u64)i->disp);
	else if (lo < INT32_MIN / 2 || lo > INT32_MAX / 2)
		return false;
	*s = (struct tr_stream){.base = i->base,
				.index = i->index,
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
