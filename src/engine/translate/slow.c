/* SPDX-License-Identifier: BSD-2-Clause */
/* An inline check failed: what C can do about it before the interpreter is asked. */
#include "engine/translate/translate.h"

static bool allows(const struct tlb_entry *e, u64 gva, unsigned size, unsigned access)
{
	return gva - (access & X86_WRITE ? e->wtag : e->rtag) <= ALC_PAGE_SIZE - size;
}

/* May the run of pages around RSP include this neighbour? */
static bool continues(const struct interp *c, u64 page, u64 addend)
{
	const struct tlb_entry *e = &c->tlb[tlb_index(page)];

	return e->wtag == page && e->addend == addend;
}

static void set_range(struct tr *t, u64 gva)
{
	const struct interp *c = &t->c;
	u64 first = gva & ALC_PAGE_MASK, last = first;
	u64 addend = c->tlb[tlb_index(gva)].addend;
	struct tr_range *r = &t->range[(c->mode & MODE_USER) != 0];

	while (last - first < 15 * ALC_PAGE_SIZE && continues(c, first - ALC_PAGE_SIZE, addend))
		first -= ALC_PAGE_SIZE;
	while (last - first < 15 * ALC_PAGE_SIZE && continues(c, last + ALC_PAGE_SIZE, addend))
		last += ALC_PAGE_SIZE;
	*r = (struct tr_range){.base = first, .addend = addend};
	for (unsigned k = 0; k < ARRAY_LEN(r->limit); k++)
		r->limit[k] = last - first + ALC_PAGE_SIZE - BIT(k);
}

/* SSE operands have their alignment looked at first. */
static bool aligned_enough(const struct tr_slot *s, u64 gva)
{
	return s->size <= 8 || !(gva & (s->size - 1u));
}

static u64 answer(struct alc_vcpu *v, struct tr *t, u32 site, u64 operand)
{
	struct tr_site s;

	tr_site_read(t, site, &s);
	return tr_answer(v, &s, operand);
}

/* Translated code may go on for long without anybody looking: rather leave. */
static bool is_kicked(const struct tr *t)
{
	return tr_has(t, TR_KICKS) &&
	       atomic_load_explicit(&t->c.v->attention, memory_order_relaxed);
}

u64 tr_slow_access(struct alc_vcpu *v, u64 gva, u32 site)
{
	struct tr *t = tr_of(v);
	const struct tr_slot *s = tr_slot(t, site);
	const struct tlb_entry *e = &t->c.tlb[tlb_index(gva)];
	unsigned access = s->stack ? X86_WRITE : s->access;

	tr_kick_restore(t); /* code may be changed */
	if (s->answer)
		return is_kicked(t) || answer(v, t, site, gva);
	t->n_slow++;
	t->segments[site >> SITE_SHIFT].uses++;
	if (unlikely(tr_poison_due(t, POISON_TLB)))
		tr_ops.flush_all(v);
	/*
	 * A locked access that is not aligned may cross a cache line, for which hosts stop all
	 * their CPUs or trap: the interpreter finds out, and stops this machine's only.
	 */
	if (s->locked && (gva & (s->size - 1u)))
		goto failed;
	if (page_offset(gva) + s->size > ALC_PAGE_SIZE)
		goto failed;
	v->fault.vector = 0xff;
	if (!allows(e, gva, s->size, access) && !tlb_refill(v, &t->c, gva, s->access)) {
		/* The page fault of this access, unless another exception goes before it. */
		t->faulted = v->fault.vector == X86_PFV && !s->raises && aligned_enough(s, gva);
		goto failed;
	}
	/* A stack that can only be read now is not in the range. */
	if (!allows(e, gva, s->size, access))
		goto failed;
	if (s->stack)
		set_range(t, gva);
	if (!is_kicked(t))
		return 0;
failed:
	t->n_slow_failed++;
	return 1;
}
