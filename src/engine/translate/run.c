/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop: translated code where there is some, else the interpreter, which counts how often a
 * block runs and so finds what is worth translating.
 */
#include "base/errno.h"
#include "engine/translate/translate.h"

/* ---- Flags ---- */

/* LAHF's byte is RFLAGS' lowest. */
static u32 image_of(u64 rflags)
{
	return (u32)((rflags & 0xff) << 8 | (rflags & X86_OF ? 1 : 0));
}

static u64 flags_of(u32 image)
{
	return (image >> 8 & 0xff & X86_ARITH) | (image & 1 ? X86_OF : 0);
}

/* ---- One instruction of the interpreter's ---- */

/* True: translated code may go on behind it. */
static bool run_one(struct alc_vcpu *v, struct tr *t, const struct tr_site *s)
{
	struct interp *c = &t->c;
	u64 epoch = c->epoch[s->rip >> 63], drops = t->drops;
	u32 mode = c->mode;
	struct block *b;

	v->rip = s->rip;
	c->slot = NULL;
	c->mode |= MODE_ONE;
	b = block_next(v, c);
	if (b)
		interp_run_block(v, c, b);
	else
		interp_faulted(c);
	c->mode &= ~(u32)MODE_ONE;
	c->slot = NULL;
	return v->rip == s->rip + s->next && c->mode == mode && !c->align_check && !c->exit &&
	       !atomic_load_explicit(&v->attention, memory_order_relaxed) &&
	       c->epoch[s->rip >> 63] == epoch && t->drops == drops && !s->region->dead;
}

/* ---- Translated code ---- */

/* False: there is no translated code any more. */
static bool poison(struct alc_vcpu *v, struct tr *t)
{
	u64 drops = t->drops;

	t->rng = t->rng * 6364136223846793005ull + 1442695040888963407ull;
	if (!(t->rng >> 60) && tr_poison_due(t, POISON_FLUSH))
		tr_cache_flush(t);
	if (!(t->rng >> 60) && tr_poison_due(t, POISON_EVICT))
		tr_evict_some(t);
	if (!(t->rng >> 54) && tr_poison_due(t, POISON_RANDOM))
		tr_ops.flush_all(v);
	/* Not always: an entry may poll at once. */
	if (tr_poisoned(t, POISON_STEP) && !tr_has(t, TR_KICKS) && t->rng >> 63)
		atomic_fetch_or(&v->attention, X86_ATTN_CODE);
	return t->drops == drops;
}

/* Enters at a code offset; *s is where it left. */
static void enter(struct alc_vcpu *v, struct tr *t, u32 host, u8 fpu, struct tr_site *s)
{
	struct interp *c = &t->c;
	unsigned user = (c->mode & MODE_USER) != 0;

	t->flags_host = t->flags_mem = image_of(flags_get(c));
	t->pair_rsp = t->pair_saved[user];
	tr_enter(t, host, fpu);
	/* SYSCALL and SYSRET may have changed it. */
	user = (c->mode & MODE_USER) != 0;
	t->pair_saved[user] = t->pair_rsp;
	if (t->exit_site == NO_SITE) { /* somebody wanted attention */
		*s = (struct tr_site){.rip = v->rip, .kind = SITE_ATTENTION, .flags = FLAGS_HOST};
		t->n_exits[SITE_ATTENTION]++;
		flags_put(c, flags_of(t->flags_host));
		return;
	}
	tr_site_read_exit(t, t->exit_site, s);
	t->segments[t->exit_site >> SITE_SHIFT].uses++;
	t->n_exits[s->kind]++;
	flags_put(c, flags_of(s->flags == FLAGS_HOST ? t->flags_host : t->flags_mem));
	tr_count_take_back(v, s);
}

/*
 * False: the transfer itself has faulted. A call has stored where it would return to by then, maybe
 * over its own operand: it can't be executed again.
 */
static bool leave_indirect(struct alc_vcpu *v, struct tr *t, struct tr_site *s)
{
	unsigned user = (t->c.mode & MODE_USER) != 0;

	if (x86_canonical(t->exit_target)) {
		v->rip = t->exit_target;
		return true;
	}
	tr_site_read(t, t->exit_site, s);
	v->gpr[X86_RSP] += (u64)(i64)s->undo;
	/* It may have matched what lies above all pairs, and gone up there. */
	t->pair_saved[user] = tr_pair_base(t, user);
	v->rip = s->rip;
	v->instructions -= t->counting;
	x86_raise_error(v, X86_GP, 0);
	interp_faulted(&t->c);
	return false;
}

/* Where the code was that has gone; what leads there is led on to what has taken its place. */
static void leave_gone(struct alc_vcpu *v, struct tr *t)
{
	u32 off = (u32)(t->exit_target - (u64)(uintptr_t)t->code.rx) - 5;
	const struct tr_entry *e = tr_gone_entry(t, off), *next;

	v->rip = e->rip;
	if (e->pops)
		t->pair_saved[(t->c.mode & MODE_USER) != 0] += 8;
	next = tr_lookup(v, t);
	if (!next || !next->mem)
		next = tr_join(v, t);
	if (next)
		tr_replace(t, e, next);
}

static struct tr_entry *translate(struct alc_vcpu *v, struct tr *t)
{
	struct tr_entry *e;

	if (tr_cache_full(t))
		tr_make_room(t);
	e = tr_join(v, t);
	if (e)
		return e;
	e = tr_translate(v, t, false);
	if (!e && t->emit.at > t->emit.size)
		tr_make_room(t);
	return e;
}

/*
 * What is at RIP, as far as hot code goes there. A place in the middle of a region gets a region of
 * its own, to which jumps can be linked.
 */
static struct tr_entry *linkable(struct alc_vcpu *v, struct tr *t)
{
	struct tr_entry *e = tr_lookup(v, t);

	if (!e && tr_move(v, t))
		e = tr_lookup(v, t);
	if (e && e->mem)
		return e;
	return e ? translate(v, t) : tr_join(v, t);
}

static bool translatable(const struct interp *c)
{
	const u32 compat = MODE_32 | MODE_USER | MODE_STACK32 | MODE_FLAT | MODE_LONG;

	if (c->mode & MODE_SINGLE || c->align_check)
		return false;
	return (c->mode & MODE_SIZE) == MODE_64 ||
	       (c->mode & (MODE_SIZE | compat | MODE_REAL)) == compat;
}

static void consider_windows(struct tr *t)
{
	t->windows_due = false;
	if (t->windows)
		t->window_mode[1] = tr_windows_consider(t->windows) ? MODE_WINDOWS : 0;
}

/*
 * What is known about code is by mode. For one privilege that changes rarely: 64-bit and 32-bit
 * programs are different address spaces, as a rule.
 */
static void note_mode(struct tr *t)
{
	unsigned user = (t->c.mode & MODE_USER) != 0;

	if (unlikely(t->windows_due))
		consider_windows(t);
	if (unlikely(tr_mode(t) != t->key_mode[user])) {
		t->key_mode[user] = tr_mode(t);
		tr_forget_jumps(t, !user);
	}
}

/* Runs translated code from an entry on; true: the interpreter must run what is at RIP. */
static bool run_translated(struct alc_vcpu *v, struct tr *t, struct tr_entry *e)
{
	u32 host = e->host;
	u8 fpu = e->region->fpu;
	u64 drops = t->drops;
	struct tr_site s = {0}; /* where it left last */

	for (;;) {
		if (unlikely(t->vm->poison) && !poison(v, t))
			return false;
		if (unlikely(e->region->dead) || !tr_count_again(v, &s))
			return false;
		t->low_kernel |= !(e->region->mode & MODE_USER) && !(e->rip >> 63);
		if (tr_poisoned(t, POISON_STEP) && tr_has(t, TR_KICKS))
			tr_kick_trap(t, s.kind == SITE_ONE ? s.region : e->region);
		enter(v, t, host, fpu, &s);
		switch (s.kind) {
		case SITE_ONE:
			if (!run_one(v, t, &s))
				return false;
			host = s.resume;
			fpu = s.region->fpu;
			continue;
		case SITE_STEP:
			run_one(v, t, &s);
			if (s.answer == ANSWER_RETURN)
				tr_return_note(v, t);
			if (t->ring.star != v->msr.star || t->ring.efer != v->efer)
				tr_ring_refresh(v, t);
			if (t->c.exit || !translatable(&t->c))
				return false;
			note_mode(t);
			break;
		case SITE_LINK:
			v->rip = s.rip;
			break;
		case SITE_INDIRECT:
			if (!leave_indirect(v, t, &s))
				return false;
			break;
		case SITE_GONE:
			leave_gone(v, t);
			return false;
		case SITE_HOT:
			v->rip = s.rip;
			tr_join_hot(v, t, s.region);
			break;
		default:
			v->rip = s.rip;
			if (t->faulted) {
				t->faulted = false;
				interp_faulted(&t->c);
				return false;
			}
			return s.kind == SITE_INTERP;
		}
		if (atomic_load_explicit(&v->attention, memory_order_relaxed))
			return false;
		e = linkable(v, t);
		if (!e)
			return false;
		if (t->drops == drops && s.kind == SITE_LINK)
			tr_link(t, t->exit_site, e);
		else if (s.kind == SITE_INDIRECT)
			tr_jump_add(t, v->rip, e);
		host = e->host;
		fpu = e->region->fpu;
	}
}

/* ---- The loop ---- */

/* Time to translate it? If that fails, or is undone, it counts anew. */
static bool is_hot(struct tr *t, const struct block *b)
{
	u16 *heat = tr_heat(t, b->gpa, b->gen);

	if (*heat < t->vm->threshold) {
		++*heat;
		return false;
	}
	*heat = 1; /* it has been seen: region.c */
	return true;
}

/* What translated code left, unless it has left because its time is up. */
static void interpret(struct alc_vcpu *v, struct tr *t)
{
	if (tr_count_near(v, 1))
		return;
	t->n_interp_blocks++;
	interp_run_next(v, &t->c);
}

static void interpret_counting(struct alc_vcpu *v, struct tr *t)
{
	struct block *b = block_next(v, &t->c);
	struct tr_entry *e;

	if (!b) {
		interp_faulted(&t->c);
		return;
	}
	if (unlikely(is_hot(t, b))) {
		e = translate(v, t);
		if (e) {
			if (run_translated(v, t, e))
				interpret(v, t);
			return;
		}
	}
	t->n_interp_blocks++;
	if (unlikely(tr_count_near(v, b->ninsn)))
		interp_run_next(v, &t->c);
	else
		interp_run_block(v, &t->c, b);
}

static void run_next(struct alc_vcpu *v, struct tr *t)
{
	struct interp *c = &t->c;
	struct tr_entry *e;

	/* What must wait (an NMI in an NMI's handler) would make translated code leave for ever. */
	if (!translatable(c) || atomic_load_explicit(&v->attention, memory_order_relaxed)) {
		interp_run_next(v, c);
		return;
	}
	note_mode(t);
	e = tr_lookup(v, t);
	if (!e && tr_move(v, t))
		e = linkable(v, t); /* maybe in the middle of what came */
	if (!e) {
		interpret_counting(v, t);
		return;
	}
	c->slot = NULL;
	if (run_translated(v, t, e))
		interpret(v, t);
}

static bool attend(struct alc_vcpu *v, struct tr *t, enum alc_exit *out)
{
	u32 attn = atomic_load(&v->attention);

	t->windows_due = true;
	if (unlikely(t->windows_lost)) {
		alc_fail(t->c.err, -ENOMEM,
			 "the host does not take back guest memory that it has mapped for vCPU %u",
			 v->index);
		*out = ALC_EXIT_ERROR;
		return false;
	}
	if (attn & X86_ATTN_CODE) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_CODE);
		tr_take_hits(t);
		if (!(attn & ~(u32)X86_ATTN_CODE) && !t->c.exit && !tr_count_near(v, 1))
			return true;
	}
	return interp_boundary(v, &t->c, out) != NEXT_RETURN;
}

enum alc_exit tr_run(struct alc_vcpu *v, struct alc_err *err)
{
	struct tr *t = tr_of(v);
	enum alc_exit out = ALC_EXIT_ATTENTION;

	interp_begin(v, &t->c, err);
	tr_signals_thread(t);
	tr_count_begin(v, t);
	for (;;) {
		if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed) | t->c.exit |
			     tr_count_near(v, 1))) {
			if (!attend(v, t, &out))
				break;
			if (t->c.exit)
				continue;
		}
		run_next(v, t);
	}
	tr_signals_thread(NULL);
	interp_end(v, &t->c);
	return out;
}
