/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting instructions, where guest time is made of them (engine.h).
 *
 * Counted is once for a run: instructions that are all executed if the first one is, unless one of
 * them leaves translated code; then what was counted too much is taken back. A run that would go
 * past v->run_until is left to the interpreter, which counts one by one. Translated code counts
 * only where somebody wants it: it costs a check and a store for each run.
 */
#include "engine/translate/gen.h"

/*
 * Counting is for machines that end in the same state, flags in frames of interrupts included; who
 * joins a region joins a run in its middle; who answers must see the exact count; and the copies
 * that accesses in groups fall back to, and those of loops, are of other runs. When an address
 * space gets windows is up to the host's time. So is when a signal comes.
 */
enum {
	NOT_COUNTED = BIT(TR_LIVENESS) | BIT(TR_JOINS) | BIT(TR_RING) | BIT(TR_ANSWERS) |
		      BIT(TR_GROUPS) | BIT(TR_LOOPS) | BIT(TR_SWAPS) | BIT(TR_WINDOWS) |
		      BIT(TR_KICKS),
};

static bool ends_run(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_JMP:
	case K_JCC:
	case K_LOOP:
	case K_CALL:
	case K_JMP_REG:
	case K_JMP_MEM:
	case K_CALL_REG:
	case K_CALL_MEM:
	case K_RET:
	case K_END:
	case K_SYSCALL:
	case K_SYSRET:
	case K_IRET:
		return true;
	default:
		return false;
	}
}

/* Does the run that instruction k is in go on with the next one of the region? */
static bool goes_on(const struct gen *g, unsigned k)
{
	const struct tr_insn *i = &g->in->insns[k];

	return !ends_run(i) && k + 1 < g->in->n && !i[1].head && i[1].off == i->off + i->len;
}

static unsigned length(const struct gen *g, unsigned k)
{
	unsigned n = 1;

	for (; goes_on(g, k); k++)
		n++;
	return n;
}

void count_before(struct gen *g, unsigned k)
{
	struct code *c = g->c;
	struct stub *s;
	unsigned n;
	bool bracket;
	u32 site;

	if (g->counted)
		return;
	n = length(g, k);
	bracket = flags_prepare(g);
	site = new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					    .kind = SITE_INTERP,
					    .flags = (u8)g->fstate});
	held_drop(g, T0);
	e_load(c, T0, hm_gs(V_OFF(instructions)));
	e_lea(c, T0, hm(T0, (i32)n));
	if (bracket)
		flags_bracket(g);
	e_rm(c, OP_CMP, true, T0, hm_gs(V_OFF(run_until)));
	s = new_stub(g, STUB_EXIT);
	s->jump = e_jcc(c, CC_A);
	s->site = site;
	s->bracket = bracket;
	if (bracket)
		flags_unbracket(g);
	e_store(c, hm_gs(V_OFF(instructions)), T0);
	g->counted = n;
}

void count_after(struct gen *g)
{
	if (g->counted)
		g->counted--;
}

void tr_count_take_back(struct alc_vcpu *v, const struct tr_site *s)
{
	v->instructions -= s->uncount;
}

bool tr_count_again(struct alc_vcpu *v, const struct tr_site *s)
{
	u64 rest = s->uncount ? s->uncount - 1u : 0;

	if (rest && tr_count_near(v, (unsigned)rest))
		return false;
	v->instructions += rest;
	return true;
}

bool tr_count_near(const struct alc_vcpu *v, unsigned n)
{
	return v->instructions + n > atomic_load_explicit(&v->run_until, memory_order_relaxed);
}

void tr_count_begin(struct alc_vcpu *v, struct tr *t)
{
	bool wanted = atomic_load(&v->run_until) != UINT64_MAX;

	if (wanted == t->counting)
		return;
	t->counting = wanted;
	t->off = tr_off(t->vm) | (wanted ? NOT_COUNTED : 0);
	t->attention_mask = tr_has(t, TR_KICKS) ? UINT32_MAX : 0;
	tr_cache_flush(t);
}
