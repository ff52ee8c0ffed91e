/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways from one translation to another, without C between them: links, which are direct jumps,
 * and the jump cache for indirect ones.
 *
 * A link into another user page checks by tr.page_ids that this page is still mapped there. Links
 * between kernel pages are not checked: when a kernel mapping changes under translated code, what
 * was translated of that page dies.
 */
#include "engine/translate/translate.h"

static unsigned page_hash(u64 va)
{
	return (unsigned)((va >> 12 ^ va >> 22) & (PAGE_CACHE - 1));
}

/* When there are too many, all are forgotten: links are made anew then, with other numbers. */
static struct tr_page_id *new_page_id(struct tr *t)
{
	struct tr_page_id *p = tr_page_id_new(t);

	if (p)
		return p;
	__builtin_memset(t->pages, 0, sizeof(t->pages));
	__builtin_memset(t->page_ids, 0, sizeof(t->page_ids));
	t->npage_ids = 0;
	return tr_page_id_new(t);
}

u32 tr_page_id(struct tr *t, u64 va, const struct alc_page *page)
{
	unsigned h = page_hash(va);
	struct tr_page_id *p;

	va &= ALC_PAGE_MASK;
	tr_user_code_add(t, va);
	for (p = t->pages[h]; p; p = p->next)
		if (p->va == va && p->page == page)
			break;
	if (!p) {
		p = new_page_id(t);
		*p = (struct tr_page_id){
			.va = va, .page = page, .id = ++t->page_id_next, .next = t->pages[h]};
		t->pages[h] = p;
	}
	if (!t->page_ids[h]) { /* else the log has it */
		if (t->npage_log < PAGE_LOG)
			t->page_log[t->npage_log] = (u16)h;
		if (t->npage_log <= PAGE_LOG)
			t->npage_log++;
	}
	t->page_ids[h] = p->id;
	return p->id;
}

void tr_forget_mapping(struct tr *t, u64 va)
{
	t->page_ids[page_hash(va)] = 0;
	tr_forget_jumps_in(t, va);
}

void tr_forget_page(struct tr *t, u64 va, const struct alc_page *page)
{
	for (struct tr_page_id *p = t->pages[page_hash(va)]; p; p = p->next)
		if (p->va == va && p->page == page)
			p->id = ++t->page_id_next;
	tr_forget_spaces_with(t, va);
	if (!tr_user_code(t, va))
		return;
	tr_forget_mapping(t, va);
	t->drops++;
}

static struct hmem id_at(u64 va)
{
	return hm_gs(T_OFF(page_ids) + (i32)(page_hash(va) * sizeof(u32)));
}

u32 e_unless_page(struct code *c, u64 va, u32 id)
{
	e_cmp32_mem(c, id_at(va), id);
	return e_jcc(c, CC_NE);
}

enum { GUARD_BYTES = 64 };

/* Code that goes to e only while its page is where it was. */
static u32 guard(struct tr *t, const struct tr_link *l, const struct tr_entry *e, u32 id)
{
	struct code *c = &t->emit;
	u32 at = c->at;

	e_bind(c, e_unless_page(c, e->rip, id), l->stub);
	e_jmp_to(c, e->host);
	return at;
}

/* The same for what comes with flags and must keep them, unless e is reached. */
static u32 soft_guard(struct tr *t, const struct tr_link *l, const struct tr_entry *e, u32 id)
{
	struct code *c = &t->emit;
	u32 at = c->at;

	e_rr(c, OP_MOV_LOAD, true, T0, X86_RCX);
	e_load32(c, X86_RCX, id_at(e->rip));
	e_lea32(c, X86_RCX, hm(X86_RCX, -(i32)id));
	E_CODE(c, 0xe3, 8); /* jrcxz: over the two that follow */
	e_rr(c, OP_MOV_LOAD, true, X86_RCX, T0);
	e_jmp_to(c, l->dead_stub);
	e_rr(c, OP_MOV_LOAD, true, X86_RCX, T0);
	e_jmp_to(c, e->host);
	return at;
}

struct code tr_patch_at(const struct tr *t, u32 at)
{
	return (struct code){.base = t->emit.base, .size = (u32)t->code.size, .at = at};
}

static void bind_anywhere(struct tr *t, u32 rel, u32 target)
{
	struct code c = tr_patch_at(t, 0);

	e_bind(&c, rel, target);
}

static bool is_bound(const struct tr *t, u32 rel, u32 target)
{
	u32 distance;

	__builtin_memcpy(&distance, t->emit.base + rel, sizeof(distance));
	return rel + (u32)sizeof(distance) + distance == target;
}

/*
 * `to` leads to an entry for which no flags live: past what would put them into memory, for as long
 * as the entry is what it is.
 */
static void link_dead(struct tr *t, struct tr_link *l, u32 site, struct tr_entry *e, u32 to)
{
	l->dead_entry = e->host;
	l->dead_next = e->dead_links;
	e->dead_links = site & mask_low(28);
	bind_anywhere(t, l->dead, to);
}

static void unbind_dead(struct tr *t, struct tr_link *l)
{
	bind_anywhere(t, l->dead, l->dead_stub);
	l->dead_entry = 0;
	l->known = 0;
}

void tr_unlink_dead(struct tr *t, struct tr_entry *e)
{
	for (u32 site = e->dead_links; site;) {
		struct tr_link *l = tr_link_of(t, site);

		unbind_dead(t, l);
		site = l->dead_next;
	}
	e->dead_links = 0;
}

void tr_link_leave_dead(struct tr *t, const struct tr_link *l)
{
	struct tr_entry *e = tr_gone_entry(t, l->dead_entry);
	struct tr_link *before = tr_link_of(t, e->dead_links);

	if (before == l) {
		e->dead_links = l->dead_next & mask_low(28);
		return;
	}
	while (tr_link_of(t, before->dead_next) != l)
		before = tr_link_of(t, before->dead_next);
	before->dead_next = l->dead_next;
}

static void no_dead(struct tr *t, struct tr_link *l)
{
	if (!l->dead_entry)
		return;
	tr_link_leave_dead(t, l);
	unbind_dead(t, l);
}

void tr_link_reset(struct tr *t, struct tr_link *l)
{
	no_dead(t, l);
	if (l->patch)
		bind_anywhere(t, l->patch, l->stub);
	l->known = 0;
}

/* To another user page: by code that sees whether that is still there. */
static bool link_guarded(struct tr *t, struct tr_link *l, u32 site, struct tr_entry *e)
{
	u32 id = tr_page_id(t, e->rip, e->region->page);

	/* The link may be there already, and only its page has been in doubt. */
	if (id == l->known || t->emit.at + GUARD_BYTES > t->emit.size ||
	    !tr_way_of_link(t, site, e->host) || !tr_way_of_link(t, site, t->emit.at))
		return false;
	no_dead(t, l);
	if (l->dead && !e->live)
		link_dead(t, l, site, e, soft_guard(t, l, e, id));
	else
		bind_anywhere(t, l->patch, guard(t, l, e, id));
	l->known = id;
	return true;
}

static bool is_guarded(const struct tr_site *s, const struct tr_entry *e)
{
	return !(e->rip >> 63) && (e->rip ^ s->region->rip) & ALC_PAGE_MASK;
}

static bool link_directly(struct tr *t, struct tr_link *l, u32 site, struct tr_entry *e)
{
	if (is_bound(t, l->patch, e->host) || !tr_way_of_link(t, site, e->host))
		return false;
	if (l->dead && !l->dead_entry && !e->live)
		link_dead(t, l, site, e, e->host);
	bind_anywhere(t, l->patch, e->host);
	return true;
}

void tr_link(struct tr *t, u32 site, struct tr_entry *e)
{
	struct tr_link *l;
	struct tr_site s;

	if (!tr_has(t, TR_LINK) || !e->mem)
		return;
	tr_site_read(t, site, &s);
	l = tr_link_of(t, site);
	if (s.region->dead || !l->patch || e->region->mode != s.region->mode)
		return;
	t->n_links += is_guarded(&s, e) ? link_guarded(t, l, site, e)
					: link_directly(t, l, site, e);
}

/* As they were at first. */
void tr_unlink_region(struct tr *t, struct tr_region *r)
{
	struct tr_segment *g = tr_segment_of(t, r->begin);

	for (unsigned k = 0; k < r->nheads; k++)
		tr_unlink_dead(t, &r->mem_heads[k]);
	for (unsigned k = 0; k < r->nlinks; k++)
		tr_link_reset(t, &g->links[r->first_link + k]);
}

/* What stands at an offset jumps to e's code from now on. */
static void replace_by(struct tr *t, u32 at, const struct tr_entry *e)
{
	struct code c = tr_patch_at(t, at);

	if (tr_way_of_jump(t, at, e->host))
		e_jmp_to(&c, e->host);
}

void tr_join_replace(struct tr *t, struct tr_region *j, const struct tr_entry *e)
{
	j->mem_heads[0].dead = true;
	tr_unlink_dead(t, &j->mem_heads[0]);
	replace_by(t, j->begin, e);
}

void tr_replace(struct tr *t, const struct tr_entry *gone, const struct tr_entry *e)
{
	struct code at = tr_patch_at(t, gone->host);

	if (!tr_has(t, TR_LINK) || !e->mem || e->region->page != gone->region->page ||
	    e->region->mode != gone->region->mode)
		return;
	if (gone->pops)
		E_CODE(&at, 0x48, 0x8d, 0x64, 0x24, 8); /* as it was; what follows is an entry */
	else
		replace_by(t, gone->host, e);
}

void tr_jump_add(struct tr *t, u64 rip, const struct tr_entry *e)
{
	unsigned slot = tr_jump_index(rip);
	struct tr_jump *j = &t->jumps[(e->region->mode & MODE_USER) != 0][slot];

	if (!tr_has(t, TR_JUMPS) || !e->mem)
		return;
	/* The supervisor's part is not emptied when address spaces change. */
	if (!(e->region->mode & MODE_USER) && !(rip >> 63))
		return;
	tr_user_code_add(t, rip);
	if (e->region->mode & MODE_USER && tr_jump_is_clear(j)) { /* else the log has it */
		if (t->njump_log < JUMP_LOG)
			t->jump_log[t->njump_log] = (u16)slot;
		if (t->njump_log <= JUMP_LOG)
			t->njump_log++;
	}
	*j = (struct tr_jump){.rip = rip, .host = tr_host(t, e->host)};
}
