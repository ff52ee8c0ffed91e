/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses of loops at addresses that nobody foresees: pointers that were loaded, hashed keys.
 *
 * The addend of a TLB entry is found by the address, and so is later than that by a load. Such an
 * access has a range of its own instead: a run of pages around what it accessed before, contiguous
 * in the host, whose addend is at a constant place. An address outside of it is looked up in the
 * TLB, in cold code; after some of those C makes a range of what the TLB has around the last one.
 * If misses follow each other too fast for that to pay, the check of a TLB entry takes the place of
 * that of the range: it is copied from the cold code.
 *
 * Ranges are forgotten whenever that of RSP is.
 */
#include "engine/translate/gen.h"

enum {
	MISSES = 16,       /* from one range to the next */
	MISS_CYCLES = 400, /* between misses, on an average, for a range to pay */
	PATIENCE = 6,      /* so many ranges more that didn't pay than did */
	PAGES_MAX = 2048,  /* of a range, to each side */
	PAGES_FIRST = 16,  /* of the first one after ranges were forgotten, which is often */
	LONGER = 16,       /* bytes that the check of an entry has more, at most */
};

/* ---- Which accesses ---- */

static bool may_have(const struct tr_insn *i)
{
	return i->kind == K_PLAIN && i->mem && !i->seg && !i->a32 && !tr_insn_locked(i);
}

static bool is_of(unsigned reg, u32 set)
{
	return reg != NO_REG && set >> reg & 1;
}

/* Registers of which the loop makes something that can't be foreseen. */
static void mark_loop(struct gen *g, unsigned first, unsigned last)
{
	u32 made = 0;

	for (unsigned k = first; k <= last; k++)
		made |= tr_insn_makes(&g->in->insns[k]);
	for (unsigned k = first; k <= last; k++) {
		struct tr_insn *i = &g->in->insns[k];

		i->reach |= may_have(i) && (is_of(i->base, made) || is_of(i->index, made));
	}
}

void reach_find(struct gen *g)
{
	const struct gen_context *in = g->in;

	if (!tr_has(g->t, TR_REACH) || in->compat)
		return;
	for (unsigned k = 0; k < in->n; k++) {
		const struct tr_insn *i = &in->insns[k];

		if ((i->kind == K_JCC || i->kind == K_JMP) && i->target >= 0 &&
		    i->target <= i->off && in->at[i->target] >= 0)
			mark_loop(g, (unsigned)in->at[i->target], k);
	}
}

/* ---- Code ---- */

/* No address is in it: doc/translator.md. */
static const struct tr_reach none = {.base = BIT(62), .addend = BIT(62), .misses = MISSES / 2};

static i32 reach_off(unsigned n)
{
	return T_OFF(reaches) + (i32)(n * sizeof(struct tr_reach));
}

bool reach_wanted(const struct gen *g)
{
	/* The cold code has no room to keep flags. */
	return g->i->reach && (g->t->nreaches < REACHES || g->t->nreaches_free) &&
	       !(g->fstate == FLAGS_HOST && g->i->strong);
}

/* The instruction can use the base as it is. */
static bool is_simple(const struct gen *g, const struct tr_insn *i)
{
	return i->base != NO_REG && i->index == NO_REG && !in_state(g, i->base);
}

static unsigned take_reach(struct tr *t)
{
	return t->nreaches_free ? t->reaches_free[--t->nreaches_free] : t->nreaches++;
}

/* T0: the address, and T1 its addend from then on. */
struct access reach_operand(struct gen *g, const struct tr_insn *i)
{
	bool simple = is_simple(g, i), copies = !simple && !ea_again(g, i);
	unsigned n = take_reach(g->t), probe = copies ? T2 : T0;
	struct code *c = g->c;
	struct stub *s;
	u32 site, jump;

	flags_prepare(g);
	site = access_site(g, i->size, i->access, false);
	g->t->reaches[n] = none;
	g->t->reach_info[n] = (struct tr_reach_info){.check = c->at,
						     .size = i->size,
						     .set = g->t->reach_info[n].set,
						     .write = i->access & X86_WRITE,
						     .user = g->in->user};
	if (copies)
		held_drop(g, T2);
	ea_operand(g, i);
	if (copies)
		e_rr(c, OP_MOV_LOAD, true, T2, T0);
	c->absolute = true;
	e_rm(c, OP_SUB, true, probe, hm_gs(reach_off(n) + (i32)offsetof(struct tr_reach, base)));
	e_rm(c, OP_CMP, true, probe, hm_gs(reach_off(n) + (i32)offsetof(struct tr_reach, limit)));
	jump = e_jcc(c, CC_A);
	s = new_stub(g, STUB_REACH);
	s->jump = jump;
	s->site = site;
	s->target = (i32)n;
	s->copies = copies;
	e_load(c, T1, hm_gs(reach_off(n) + (i32)offsetof(struct tr_reach, addend)));
	c->absolute = false;
	e_nop(c, LONGER);
	s->back = c->at;
	g->t->reach_info[n].back = c->at;
	if (!simple && !copies)
		ea_offset(g, i);
	if (!simple)
		return at_address(g, i, site);
	return (struct access){
		.m = {.base = (int)host_reg(g, i->base), .index = T1, .disp = (i32)i->disp},
		.busy = BIT(T1),
		.site = site};
}

/* What check_any() and check_base() do, in a piece that can be copied; and one miss more. */
void stub_reach(struct gen *g, const struct stub *s)
{
	const struct tr_insn *i = g->i;
	unsigned n = (unsigned)s->target, probe = s->copies ? T2 : T0;
	struct tr_reach_info *r = &g->t->reach_info[n];
	const struct fast_loop *l = g->fast;
	struct code *c = g->c;
	u32 again;

	r->miss = c->at;
	c->absolute = true;
	ea_operand(g, i);
	tlb_entry_offset_of(g, is_simple(g, i) && !i->disp ? host_reg(g, i->base) : T0);
	if (probe != T0)
		e_rr(c, OP_MOV_LOAD, true, probe, T0);
	e_rm(c, OP_SUB, true, probe, hm_gs_at(T1, tlb_tag_off(g, i->access)));
	e_cmp_imm(c, probe, (i32)(ALC_PAGE_SIZE - i->size));
	r->slow_jump = e_jcc(c, CC_A);
	e_load(c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	r->miss_end = c->at;
	c->absolute = false;
	e_rm(c, 0x83, false, 5, hm_gs(reach_off(n) + (i32)offsetof(struct tr_reach, misses)));
	e8(c, 1);
	again = e_jcc(c, CC_B);
	e_jmp_to(c, s->back);

	/* The address is not in T0 any more. */
	e_bind_here(c, again);
	ea_operand(g, i);
	e_mov_imm(c, T1, n);
	e_call_to(c, g->t->rt.reach);
	e_jmp_to(c, r->check);

	r->slow = c->at;
	e_bind_here(c, r->slow_jump);
	swap_leave(g);
	ea_operand(g, i);
	e_mov_imm(c, T1, s->site);
	e_call_to(c, g->t->rt.slow);
	if (l)
		swap_enter(g, l);
	e_jmp_to(c, r->miss);
}

/* ---- Ranges ---- */

void tr_reach_forget(struct tr *t)
{
	for (unsigned k = 0; k < t->nreaches_set; k++) {
		unsigned n = t->reaches_set[k];

		if (!t->reach_info[n].given_up)
			t->reaches[n] = none;
		t->reach_info[n].set = false;
		t->reach_info[n].since = 0;
	}
	t->nreaches_set = 0;
}

/* The translations are gone too. */
void tr_reach_reset(struct tr *t)
{
	__builtin_memset(t->reach_info, 0, t->nreaches * sizeof(*t->reach_info));
	t->nreaches = t->nreaches_set = t->nreaches_free = 0;
}

void tr_reach_drop(struct tr *t, const struct tr_segment *g)
{
	for (unsigned n = 0; n < t->nreaches; n++) {
		u32 *check = &t->reach_info[n].check;

		if (!*check || *check < g->begin || *check >= g->end)
			continue;
		*check = 0;
		t->reaches_free[t->nreaches_free++] = (u16)n;
	}
}

static u64 tag_of(const struct tr_reach_info *i, const struct tlb_entry *e)
{
	return i->write ? e->wtag : e->rtag;
}

/* How many pages on, in steps of `way`, are neighbours in the host too. */
static u64 run_of(const struct tr_reach_info *i, const struct tlb_entry *table, u64 page, u64 way)
{
	u64 addend = table[tlb_index(page)].addend, n = 0, max = i->set ? PAGES_MAX : PAGES_FIRST;

	for (; n < max; n++) {
		const struct tlb_entry *e;

		page += way;
		e = &table[tlb_index(page)];
		if (tag_of(i, e) != page || e->addend != addend)
			break;
	}
	return n;
}

static void set_range(struct tr *t, unsigned n, u64 page)
{
	struct tr_reach_info *i = &t->reach_info[n];
	const struct tlb_entry *table = t->c.tables +
					(i->user ? TLB_TABLE_USER : TLB_TABLE_KERNEL) * TLB_SIZE;
	u64 below, above;

	if (tag_of(i, &table[tlb_index(page)]) != page)
		return;
	below = run_of(i, table, page, -ALC_PAGE_SIZE);
	above = run_of(i, table, page, ALC_PAGE_SIZE);
	t->reaches[n].base = page - below * ALC_PAGE_SIZE;
	t->reaches[n].limit = (below + above + 1) * ALC_PAGE_SIZE - i->size;
	t->reaches[n].addend = table[tlb_index(page)].addend;
	if (i->set)
		return;
	i->set = true;
	t->reaches_set[t->nreaches_set++] = (u16)n;
}

/* This vCPU's code, of which it executes none now. */
static void give_up(struct tr *t, unsigned n)
{
	struct tr_reach_info *i = &t->reach_info[n];
	struct code at = {.base = t->emit.base, .at = i->check, .size = (u32)t->code.size};

	i->given_up = true;
	t->n_reaches_left++;
	t->reaches[n].misses = INT32_MAX;
	if (i->miss_end - i->miss > i->back - i->check) {
		e_jmp_to(&at, i->miss);
		return;
	}
	e_bytes(&at, at.base + i->miss, i->miss_end - i->miss);
	e_bind(&at, i->check + (i->slow_jump - i->miss), i->slow);
	e_nop(&at, i->back - at.at);
}

u64 tr_reach_missed(struct alc_vcpu *v, u64 gva, u32 n)
{
	struct tr *t = tr_of(v);
	struct tr_reach_info *i = &t->reach_info[n];
	u64 now = __builtin_ia32_rdtsc();

	if (i->since)
		i->bad += now - i->since < MISSES * MISS_CYCLES ? 1 : -(i->bad > 0);
	i->since = now;
	t->reaches[n].misses = MISSES;
	if (i->bad == PATIENCE || (tr_poisoned(t, POISON_RANDOM) && t->rng >> 62 == 0))
		give_up(t, n);
	else
		set_range(t, n, gva & ALC_PAGE_MASK);
	return 0;
}
