/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways into the middle of regions.
 *
 * A new region ends where an older one of its page goes on, and leads there by a join: some code
 * that makes of an entry's state (flags in memory, nobody looked at `attention`) that of the place,
 * and jumps to it. Without it each place that control comes to would have all that can be reached
 * from there translated anew, most of it for the third or fourth time.
 *
 * Joins that are taken often cost more than that code would: they are counted, and those that turn
 * out to be hot get a region that goes as far as it can.
 */
#include "engine/translate/translate.h"

enum { JOIN_HOT = 128 }; /* times the threshold */

/* Where pages and addresses go up together, neither their sum nor their difference tells much. */
static struct tr_view **views_of(struct tr *t, const struct alc_page *page, u64 va)
{
	u32 number = (u32)((uintptr_t)page / sizeof(*page));
	u32 key = number * 0x9e3779b1u ^ (u32)(va >> 12) * 0x85ebca6bu;

	return &t->views[key >> (32 - __builtin_ctz(VIEW_HASH))];
}

struct tr_view *tr_view_of(struct tr *t, const struct alc_page *page, u32 mode, u64 rip)
{
	struct tr_view *w = *views_of(t, page, rip & ALC_PAGE_MASK);

	while (w && (w->page != page || w->va != (rip & ALC_PAGE_MASK) || w->mode != mode))
		w = w->next;
	return w;
}

bool tr_view_add(struct tr *t, struct tr_region *r)
{
	struct tr_view *w = tr_view_of(t, r->page, r->mode, r->rip), **first;

	if (!r->nplaces)
		return true;
	if (!w) {
		w = tr_view_new(t);
		if (!w)
			return false;
		first = views_of(t, r->page, r->rip & ALC_PAGE_MASK);
		*w = (struct tr_view){.va = r->rip & ALC_PAGE_MASK,
				      .page = r->page,
				      .mode = r->mode,
				      .moved = __builtin_ia32_rdtsc(),
				      .next = *first};
		*first = w;
	}
	r->view_next = w->regions;
	w->regions = r;
	w->lines |= r->lines;
	for (unsigned k = 0; k < r->nplaces; k++)
		tr_clear_uncovered(t, w->va | r->places[k].off);
	return true;
}

static bool covers(const struct tr_region *r)
{
	return !r->dead && r->gen == atomic_load_explicit(&r->page->gen, memory_order_acquire);
}

/* The next one that is still good; others are taken out. */
static struct tr_region *next_of(struct tr_region **link)
{
	while (*link && !covers(*link))
		*link = (*link)->view_next;
	return *link;
}

void tr_covered(struct tr *t, const struct alc_page *page, u64 rip, u64 *covered)
{
	struct tr_view *w = tr_view_of(t, page, tr_mode(t), rip);
	struct tr_region **link = w ? &w->regions : NULL, *r;

	for (; link && (r = next_of(link)); link = &r->view_next)
		for (unsigned k = 0; k < r->nplaces; k++)
			covered[r->places[k].off / 64] |= BIT(r->places[k].off % 64);
}

void tr_places_pack(struct tr_region *r, const struct tr_place *places)
{
	u32 at = r->begin;

	for (unsigned k = 0; k < r->nplaces; k++) {
		u32 distance = places[k].host - at;

		if (distance > UINT16_MAX) {
			r->nplaces = (u16)k;
			return;
		}
		r->places[k] = (struct tr_packed_place){.off = places[k].off & 0xfff,
							.load_flags = places[k].load_flags,
							.live = places[k].live,
							.distance = (u16)distance};
		r->lines |= BIT(places[k].off / 64);
		at = places[k].host;
	}
}

static bool place_at(const struct tr_region *r, unsigned off, struct tr_place *out)
{
	u32 at = r->begin;

	for (unsigned k = 0; k < r->nplaces && r->places[k].off <= off; k++) {
		const struct tr_packed_place *p = &r->places[k];

		at += p->distance;
		*out = (struct tr_place){
			.host = at, .off = p->off, .load_flags = p->load_flags, .live = p->live};
		if (p->off == off)
			return true;
	}
	return false;
}

/* The region, of the page at RIP, that has RIP's instruction. */
static struct tr_region *covering(struct alc_vcpu *v, struct tr *t, struct tr_place *p)
{
	u64 line = BIT(page_offset(v->rip) / 64), lines = 0;
	const struct itlb_entry *it = itlb_lookup(v, &t->c, v->rip);
	struct tr_view *w = it ? tr_view_of(t, it->page, tr_mode(t), v->rip) : NULL;
	struct tr_region **link, *r;

	if (!w || !(w->lines & line))
		return NULL;
	for (link = &w->regions; (r = next_of(link)); link = &r->view_next) {
		if (r->lines & line && place_at(r, (unsigned)page_offset(v->rip), p))
			return r;
		lines |= r->lines;
	}
	w->lines = lines; /* without those that next_of() took out */
	return NULL;
}

static u32 *count_of(struct tr *t, const struct tr_region *j)
{
	return &t->joins[j->join % JOIN_COUNTS];
}

static u32 join_site(struct tr *t, struct tr_region *j, enum tr_site_kind kind)
{
	const struct tr_site s = {.rip = j->rip, .region = j, .kind = kind, .flags = FLAGS_MEM};

	return tr_site_new(t, &s);
}

static void leave(struct tr *t, u32 jump, u32 site)
{
	e_bind_here(&t->emit, jump);
	e_mov_imm(&t->emit, T1, site);
	e_jmp_to(&t->emit, t->rt.leave);
}

static bool emit_join(struct tr *t, struct tr_region *j, const struct tr_place *to)
{
	bool polls = !tr_has(t, TR_KICKS);
	u32 hot = join_site(t, j, SITE_HOT),
	    attention = polls ? join_site(t, j, SITE_ATTENTION) : hot;
	i32 count = T_OFF(joins) + (i32)(j->join % JOIN_COUNTS * sizeof(u32));
	struct code *c = &t->emit;
	u32 if_attention = 0, if_hot, if_fpu = 0, back = 0;

	j->begin = c->at;
	if (polls) {
		e_cmp32_mem8(c, hm_gs(V_OFF(attention)), 0);
		if_attention = e_jcc(c, CC_NE);
	}
	e_rm(c, 0x83, false, 5, hm_gs(count)); /* sub, by an immediate byte */
	e8(c, 1);
	if_hot = e_jcc(c, CC_B);
	if (j->fpu) {
		if_fpu = e_unless_fpu(c, j->fpu);
		back = c->at;
	}
	if (to->load_flags) {
		e_rr(c, OP_MOV_LOAD, true, T0, X86_RAX);
		e_load32(c, X86_RAX, hm_gs(T_OFF(flags_mem)));
		e_flags_from_ax(c);
		e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	}
	e_jmp_to(c, to->host);
	if (polls)
		leave(t, if_attention, attention);
	leave(t, if_hot, hot);
	if (j->fpu) {
		e_bind_here(c, if_fpu);
		e_call_to(c, t->rt.load_fpu[j->fpu]);
		e_jmp_to(c, back);
	}
	j->end = c->at;
	return attention && hot;
}

struct tr_entry *tr_join(struct alc_vcpu *v, struct tr *t)
{
	struct tr_place to;
	struct tr_region *r, *j;
	struct tr_entry *e;

	if (!tr_has(t, TR_JOINS) || tr_is_uncovered(t, v->rip) || tr_cache_full(t))
		return NULL;
	r = covering(v, t, &to);
	if (!r) {
		tr_set_uncovered(t, v->rip);
		return NULL;
	}
	j = tr_alloc(t, sizeof(*j));
	e = tr_alloc(t, sizeof(*e));
	if (!j || !e)
		return NULL;
	*j = (struct tr_region){.page = r->page,
				.gen = r->gen,
				.mode = r->mode,
				.fpu = r->fpu,
				.rip = v->rip,
				.mem_heads = e,
				.nheads = 1,
				.join = ++t->njoins,
				.into = r};
	*count_of(t, j) = t->vm->threshold ? t->vm->threshold * JOIN_HOT : 2;
	if (!emit_join(t, j, &to))
		return NULL;
	*e = (struct tr_entry){
		.rip = v->rip, .host = j->begin, .mem = true, .live = to.live, .region = j};
	tr_join_add(t, r, j);
	return e;
}

static void view_unlist(struct tr *t, const struct tr_view *w)
{
	struct tr_view **in = views_of(t, w->page, w->va);

	while (*in != w)
		in = &(*in)->next;
	*in = w->next;
}

static void view_drop(struct tr *t, struct tr_view *w)
{
	view_unlist(t, w);
	tr_view_free(t, w);
}

void tr_view_leave(struct tr *t, struct tr_region *r)
{
	struct tr_view *w = tr_view_of(t, r->page, r->mode, r->rip);
	struct tr_region **link;

	if (!w)
		return;
	/* It may have been found dead, and be out of it already. */
	for (link = &w->regions; *link && *link != r; link = &(*link)->view_next)
		;
	if (*link)
		*link = r->view_next;
	if (w->regions)
		return;
	view_drop(t, w);
}

/* Dead regions find what they are in by their address, so those of other addresses go first. */
void tr_view_move(struct tr *t, struct tr_view *w, u64 va)
{
	struct tr_view *before = tr_view_of(t, w->page, w->mode, va); /* dead ones alone */
	struct tr_region **link = &w->regions, *r;
	struct tr_view **first = views_of(t, w->page, va);

	if (before)
		view_drop(t, before);
	for (; (r = next_of(link)); link = &r->view_next)
		for (unsigned k = 0; k < r->nplaces; k++)
			tr_clear_uncovered(t, va | r->places[k].off);
	if (!w->regions) {
		view_drop(t, w);
		return;
	}
	view_unlist(t, w);
	w->va = va;
	w->moved = __builtin_ia32_rdtsc();
	w->next = *first;
	*first = w;
}

/* Its counter went below 0: a region that begins here, if there can be one. */
void tr_join_hot(struct alc_vcpu *v, struct tr *t, struct tr_region *j)
{
	const struct tr_entry *e;

	if (j->dead || tr_cache_full(t))
		return;
	j->dead = true; /* so that it is not what is found */
	e = tr_translate(v, t, true);
	if (e)
		tr_join_replace(t, j, e);
	else
		j->dead = false;
}
