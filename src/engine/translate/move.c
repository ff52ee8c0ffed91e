/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that moves.
 *
 * A shared library, and the program itself, is at another address in each process: the same page of
 * the guest's memory, but other linear addresses, for which translations were not made. Almost all
 * that is known of them is relative to the page, however: only return addresses, operands relative
 * to RIP, and entries have the address itself. So what was translated of a page for one address is
 * changed to be that for another, which is quickly done.
 *
 * It is then missing where it was. What leads there must not be followed any more: links from other
 * pages rely on the number of the page's mapping, which is retired; targets and pairs of the
 * running address space, and what was put aside of others, are forgotten if they may know that
 * address. The links of the page's own regions begin anew, since some lead to dead regions, which
 * stay behind.
 *
 * Where the other process is about to run again, both need theirs: code that has just moved stays
 * for a while, and is translated for the other one.
 */
#include "engine/translate/translate.h"

/* In cycles, some GHz: 3 ms. */
#define REST_CYCLES 10000000ull

struct move {
	const struct alc_page *page;
	u64 from, to; /* linear addresses of the page */
	u32 mode;
};

static bool is_at(const struct tr_region *r, const struct alc_page *page, u64 va, u32 mode)
{
	return r->page == page && r->mode == mode && (r->rip & ALC_PAGE_MASK) == va;
}

/* Where the code of a page has been for longest; false: it is there already, or nowhere. */
static bool find(struct tr *t, struct move *m)
{
	const struct tr_view *oldest = NULL;

	for (struct tr_region *r = tr_regions_of(t, m->page); r; r = r->page_next) {
		u64 va = r->rip & ALC_PAGE_MASK;
		const struct tr_view *w;

		if (r->page != m->page || r->mode != m->mode || r->dead)
			continue;
		if (va == m->to)
			return false;
		w = tr_view_of(t, m->page, m->mode, va);
		if (w && (!oldest || w->moved < oldest->moved))
			oldest = w;
	}
	if (!oldest ||
	    (!tr_poisoned(t, POISON_MOVE) && __builtin_ia32_rdtsc() - oldest->moved < REST_CYCLES))
		return false;
	m->from = oldest->va;
	return true;
}

static bool can_move(const struct tr_region *r)
{
	return !r->stays && !r->page2 && !r->whole &&
	       r->gen == atomic_load_explicit(&r->page->gen, memory_order_acquire);
}

static i32 displacement(enum tr_address_kind kind, u64 gva)
{
	return (i32)(kind == ADDRESS_TLB ? tlb_index(gva) * sizeof(struct tlb_entry)
					 : window_slot_of(gva) * sizeof(u64));
}

static void move_code(struct tr *t, const struct tr_region *r, u64 distance)
{
	u64 was = 0, is = 0;
	i32 disp;

	for (unsigned k = 0; k < r->naddresses; k++) {
		u8 *at = t->emit.base + r->addresses[k].at;
		enum tr_address_kind kind = r->addresses[k].kind;

		if (kind == ADDRESS_ITSELF) {
			__builtin_memcpy(&was, at, sizeof(was));
			is = was + distance;
			__builtin_memcpy(at, &is, sizeof(is));
		} else {
			__builtin_memcpy(&disp, at, sizeof(disp));
			disp += displacement(kind, is) - displacement(kind, was);
			__builtin_memcpy(at, &disp, sizeof(disp));
		}
	}
}

static void move_entries(struct tr *t, struct tr_region *r, u64 distance)
{
	r->rip += distance;
	for (unsigned k = 0; k < r->nheads; k++)
		tr_entry_move(t, &r->mem_heads[k], distance);
}

static void move_region(struct tr *t, struct tr_region *r, u64 distance)
{
	move_entries(t, r, distance);
	for (struct tr_region *j = r->joins; j; j = j->page_next)
		move_entries(t, j, distance);
	if (!can_move(r)) {
		/* At the new address all the same: what leads to it from the others is there. */
		tr_region_drop(t, r);
		return;
	}
	tr_unlink_region(t, r);
	move_code(t, r, distance);
	t->n_moved++;
}

static void move(struct tr *t, const struct move *m)
{
	u64 distance = m->to - m->from;
	struct tr_region *next;

	tr_forget_page(t, m->from, m->page);
	for (struct tr_region *r = tr_regions_of(t, m->page); r; r = next) {
		next = r->page_next;
		if (is_at(r, m->page, m->from, m->mode))
			move_region(t, r, distance);
	}
	tr_view_move(t, tr_view_of(t, m->page, m->mode, m->from), m->to);
}

/* Notes that a page is looked for; false: it was before, and nothing has moved since. */
static bool begin_search(struct tr *t, u64 va)
{
	u64 when = t->n_moves << 1 | (t->window_mode[1] != 0), now = va | (when & ~ALC_PAGE_MASK);
	u64 *last = &t->unmoved[(va >> ALC_PAGE_SHIFT) % UNMOVED];
	bool again = *last == now;

	*last = now;
	return !again;
}

bool tr_move(struct alc_vcpu *v, struct tr *t)
{
	const struct itlb_entry *it;
	struct move m = {.to = v->rip & ALC_PAGE_MASK, .mode = tr_mode(t)};

	if (!tr_has(t, TR_MOVES) || !(t->c.mode & MODE_USER) || tr_compat(t->c.mode) ||
	    v->rip >> 63 || !begin_search(t, m.to))
		return false;
	it = itlb_lookup(v, &t->c, v->rip);
	if (!it)
		return false;
	m.page = it->page;
	if (!find(t, &m))
		return false;
	move(t, &m);
	t->n_moves++;
	return true;
}
