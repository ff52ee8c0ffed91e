/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kicks: how translated code, which looks at `attention` nowhere, is made to leave.
 *
 * Who sets `attention` calls tr_kick, which sends a signal to the vCPU's thread if that is in
 * translated code. Its handler writes over the ways on from the region that was interrupted: jumps
 * back, links, and what follows a comparison with an indirect target lead out from then on, by ways
 * that are there anyhow. State is exact at each of them, flags too, so nothing is kept for kicks;
 * at most a region's instructions come yet. When translated code has left, it is as it was before.
 *
 * The handler interrupts translated code alone when it writes, never C: so nothing else of this
 * thread is half done, and other threads don't look at code. The kernel returns from it by IRET,
 * which serialises.
 *
 * C that is called from translated code runs to its end; behind it the runtime looks at
 * `attention`, and does the same with the region that it returns to. On the way from ring to ring
 * the runtime's last jump is what is written over.
 *
 * What control will come to is not known elsewhere in the runtime, in code between regions, or in a
 * region that is dead: there it goes on by single steps, each of which ends in the handler, until
 * it is known.
 *
 * No kick is lost. On the way in, `inside` is set, with a barrier, before `attention` is looked at;
 * who kicks sets `attention` before it looks at `inside`. The way in is in the code cache, and done
 * again from that look on if the signal comes behind it. `kick_sent` says that a signal is on its
 * way, or that its handler has seen to it that code will leave: others need not send one then. It
 * is cleared before `attention` is looked at, in the handler and on the way in.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/translate/translate.h"

/* ---- From any thread ---- */

void tr_kick(struct alc_vcpu *v)
{
	struct tr *t = v->engine;

	if (!t || t == tr_current() || !atomic_load(&t->inside) ||
	    atomic_exchange(&t->kick_sent, true))
		return;
	/* If it has left meanwhile, and even if the thread is another's by now: nothing is done. */
	syscall(SYS_tgkill, getpid(), atomic_load(&t->tid), tr_kick_signal());
}

/* ---- What leads on ---- */

enum { JCC_BYTES = 2 };

/* What a conditional jump begins with, and an unconditional one as long. */
static void make_unconditional(const struct tr *t, u32 rel)
{
	t->code.rw[rel - JCC_BYTES] = 0x90;
	t->code.rw[rel - 1] = 0xe9;
}

static void make_not_equal(const struct tr *t, u32 rel)
{
	t->code.rw[rel - JCC_BYTES] = 0x0f;
	t->code.rw[rel - 1] = 0x85;
}

static void lead_out(struct tr *t, const struct tr_point *p)
{
	struct tr_patch *patch = &t->patches[t->npatches++];
	u8 *word = t->code.rw + p->rel;
	u32 distance = p->to - p->rel - (u32)sizeof(distance);

	*patch = (struct tr_patch){.at = p->rel, .compares = p->compares};
	__builtin_memcpy(&patch->was, word, sizeof(patch->was));
	__builtin_memcpy(word, &distance, sizeof(distance));
	if (p->compares)
		make_unconditional(t, p->rel);
}

void tr_kick_restore(struct tr *t)
{
	while (t->npatches) {
		const struct tr_patch *p = &t->patches[--t->npatches];

		__builtin_memcpy(t->code.rw + p->at, &p->was, sizeof(p->was));
		if (p->compares)
			make_not_equal(t, p->at);
	}
	t->trapped = NULL;
}

bool tr_kick_trap(struct tr *t, struct tr_region *r)
{
	if (r->join)
		r = r->into;
	if (!r)
		return false;
	if (r == t->trapped)
		return true;
	tr_kick_restore(t);
	for (unsigned k = 0; k < r->npoints; k++)
		lead_out(t, &r->points[k]);
	t->trapped = r;
	t->n_patches += r->npoints;
	return true;
}

/* Between the comparison's jump and where it is gone on to: back to the jump, which leads out. */
static u32 before_jump(const struct tr_region *r, u32 off)
{
	for (unsigned k = 0; k < r->npoints; k++)
		if (r->points[k].compares && r->points[k].rel + 4 == off)
			return r->points[k].rel - JCC_BYTES;
	return off;
}

/* ---- In the vCPU's thread, from handlers ---- */

/* What has asked C, by emit_ask() of trampoline.c, is where the kept registers end. */
static bool trap_asking(struct tr *t)
{
	enum { KEPT = 8 };
	u64 off = ((const u64 *)(uintptr_t)t->slow_rsp)[KEPT] - (u64)(uintptr_t)t->code.rx;
	struct tr_region *r = off - t->code_start < t->code.size - t->code_start
				      ? tr_region_at(t, (u32)off)
				      : NULL;

	return r && !r->dead && tr_kick_trap(t, r);
}

u64 tr_kick_behind(struct tr *t)
{
	return !trap_asking(t);
}

static bool is_in(u32 off, u32 begin, u32 end)
{
	return off - begin < end - begin;
}

/* Before somebody looks at `attention`, or leaves. */
static bool looks_next(const struct tr *t, u32 off)
{
	return is_in(off, t->rt.enter, t->rt.enter_check) ||
	       is_in(off, t->rt.leave, t->rt.leave_end) ||
	       is_in(off, t->rt.ask[0].begin, t->rt.ask[0].looked) ||
	       is_in(off, t->rt.ask[1].begin, t->rt.ask[1].looked);
}

static bool is_behind_look(const struct tr *t, u32 off)
{
	return is_in(off, t->rt.ask[0].looked, t->rt.ask[0].end) ||
	       is_in(off, t->rt.ask[1].looked, t->rt.ask[1].end);
}

static enum tr_kick_next stop_runtime(struct tr *t, u32 *off)
{
	if (looks_next(t, *off))
		return KICK_GO_ON;
	if (is_in(*off, t->rt.enter_check, t->rt.enter_end)) {
		*off = t->rt.enter_check;
		return KICK_GO_ON;
	}
	/* The target and the site are where they are wanted, all the way. */
	if (is_in(*off, t->rt.return_miss[0], t->rt.gone)) {
		*off = t->rt.indirect;
		return KICK_GO_ON;
	}
	if (is_in(*off, t->rt.ring_begin, t->rt.ring_end)) {
		tr_kick_trap(t, &t->ring_points);
		*off = before_jump(&t->ring_points, *off);
		return KICK_GO_ON;
	}
	return is_behind_look(t, *off) && trap_asking(t) ? KICK_GO_ON : KICK_STEP;
}

static enum tr_kick_next stop_at(struct tr *t, u32 *off)
{
	struct tr_region *r;

	if (*off < t->code_start)
		return stop_runtime(t, off);
	r = tr_region_at(t, *off);
	if (!r || !tr_kick_trap(t, r))
		return KICK_STEP;
	*off = before_jump(r, *off);
	/* What leads to a dead one's place need not be among the points: cache.c, tr_replace. */
	return r->dead ? KICK_STEP : KICK_GO_ON;
}

enum tr_kick_next tr_kick_at(struct tr *t, u64 *rip)
{
	u64 base = (u64)(uintptr_t)t->code.rx;
	u32 off = (u32)(*rip - base);
	enum tr_kick_next next;

	atomic_store(&t->kick_sent, false);
	if (!atomic_load(&t->inside) || !atomic_load(&t->c.v->attention))
		return KICK_GO_ON;
	atomic_store(&t->kick_sent, true);
	if (*rip - base >= t->code.size)
		return KICK_GO_ON;
	next = stop_at(t, &off);
	*rip = base + off;
	return next;
}

/* ---- In and out ---- */

void tr_kick_enter(struct tr *t)
{
	if (!tr_has(t, TR_KICKS))
		return;
	atomic_store_explicit(&t->kick_sent, false, memory_order_relaxed);
	atomic_store(&t->inside, true);
}

void tr_kick_left(struct tr *t)
{
	atomic_store_explicit(&t->inside, false, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(t->trapped))
		tr_kick_restore(t);
}
