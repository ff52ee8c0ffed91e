/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for translations.
 *
 * It comes in segments. A segment has code, sites, links, fault points and an arena for the rest,
 * of regions that were translated one after the other, and is dropped as a whole (evict.c). All of
 * it together is what the size of the cache bounds: each of the parts has address space for more
 * than it will need, and what was dropped goes back to the host.
 *
 * Code alone lies close together and stays, in huge pages, of which the CPU knows where each is: a
 * program that runs much code a few times spends its time on that. It takes 0.40 to 0.49 of all
 * that is kept, and has less than half of a segment's share, since what it has is not given back.
 *
 * A site's number tells its segment, as a code offset does.
 */
#include <sys/mman.h>

#include "base/errno.h"
#include "engine/translate/translate.h"

enum {
	SLACK = 32 << 10,          /* what a region can be expected to need */
	RELEASE_BYTES = 256 << 10, /* less than that stays */
	FIRST_SITE = 2,
	VIEWS = 1 << 16,
	PAGE_IDS = 1 << 16,
	PARTS = 64, /* of a segment's share */
	CODE_PARTS = 27,
	CACHE_BYTES_MIN = 8 << 20,
};

/* ---- Segments ---- */

static u32 code_bytes(const struct tr *t)
{
	return (u32)(t->code.size / SEGMENTS);
}

static size_t share_bytes(const struct tr *t)
{
	return (size_t)code_bytes(t) * PARTS / CODE_PARTS;
}

size_t tr_code_bytes(u64 cache_bytes)
{
	cache_bytes = max_u64(cache_bytes, CACHE_BYTES_MIN);
	return align_up(cache_bytes, SEGMENTS * PARTS * ALC_PAGE_SIZE) / PARTS * CODE_PARTS;
}

struct tr_segment *tr_segment_of(struct tr *t, u32 off)
{
	return &t->segments[off / code_bytes(t)];
}

bool tr_segment_has(const struct tr_segment *g, const void *p)
{
	return (size_t)((const u8 *)p - g->arena) < g->arena_size;
}

static size_t used(const struct tr *t, const struct tr_segment *g)
{
	u32 at = g == t->segment ? t->emit.at : g->at;

	return at - g->begin + g->nsites * sizeof(*g->sites) + g->nlinks * sizeof(*g->links) +
	       g->nfaults * sizeof(*g->faults) + g->norder * sizeof(struct tr_region *) + g->nbytes;
}

size_t tr_used_bytes(const struct tr *t)
{
	size_t sum = 0;

	for (unsigned k = 0; k < SEGMENTS; k++)
		sum += used(t, &t->segments[k]);
	return sum;
}

bool tr_segment_full(const struct tr *t)
{
	const struct tr_segment *g = t->segment;

	return used(t, g) + SLACK > share_bytes(t) || t->emit.at + SLACK > g->end ||
	       g->nsites + 512 > g->sites_max || g->nlinks + 256 > g->links_max ||
	       g->nfaults + 512 > g->faults_max || g->norder + 4 > g->order_max ||
	       g->nbytes + SLACK > g->arena_size;
}

bool tr_pools_full(const struct tr *t)
{
	return t->nviews == VIEWS && !t->free_views;
}

void tr_segment_open(struct tr *t, struct tr_segment *g)
{
	if (t->segment)
		t->segment->at = t->emit.at;
	t->segment = g;
	t->emit.at = g->at;
	t->emit.size = g->end;
}

static void release(void *p, size_t size)
{
	if (size > RELEASE_BYTES)
		madvise(p, align_up(size, ALC_PAGE_SIZE), MADV_DONTNEED);
}

/* Nothing in it is used or found any more. */
void tr_segment_reset(struct tr *t, struct tr_segment *g)
{
	release(g->sites, g->nsites * sizeof(*g->sites));
	release(g->links, g->nlinks * sizeof(*g->links));
	release(g->faults, g->nfaults * sizeof(*g->faults));
	release(g->arena, g->nbytes);
	g->nsites = FIRST_SITE;
	g->nlinks = g->nfaults = g->norder = 0;
	g->nbytes = 0;
	g->nways = 0;
	g->uses = 0;
	g->serial++;
	g->at = g->begin;
	if (g == t->segment)
		t->emit.at = g->begin;
}

/* ---- Creation ---- */

static u8 *reserve(struct tr *t, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	t->reserved = p;
	t->reserved_size = bytes;
	return p;
}

static void *carve(u8 **from, size_t bytes)
{
	u8 *p = *from;

	*from += align_up(bytes, ALC_PAGE_SIZE);
	return p;
}

/* Parts of a segment's share: not all of them can be used up together. */
static void carve_segment(struct tr *t, struct tr_segment *g, u8 **from)
{
	size_t share = share_bytes(t), order = share / 16 / sizeof(struct tr_region *);
	unsigned k = (unsigned)(g - t->segments);

	g->begin = k ? k * code_bytes(t) : t->code_start;
	g->end = (k + 1) * code_bytes(t);
	g->sites_max = (u32)min_u64(share / 4 / sizeof(*g->sites), BIT(SITE_SHIFT));
	g->links_max = (u32)(share / 4 / sizeof(*g->links));
	g->faults_max = (u32)(share / 8 / sizeof(*g->faults));
	g->order_max = (u32)min_u64(order, REGIONS_MAX);
	g->arena_size = share / 2;
	g->sites = carve(from, share / 4);
	g->links = carve(from, share / 4);
	g->faults = carve(from, share / 8);
	g->order = carve(from, share / 16);
	g->arena = carve(from, share / 2);
}

int tr_store_create(struct tr *t)
{
	size_t share = share_bytes(t) + 8 * ALC_PAGE_SIZE, views = VIEWS * sizeof(struct tr_view);
	size_t ids = PAGE_IDS * sizeof(struct tr_page_id);
	u8 *at = reserve(t, SEGMENTS * (share + share / 4) + views + ids + 2 * ALC_PAGE_SIZE);

	if (!at)
		return -ENOMEM;
	t->view_pool = carve(&at, views);
	t->id_pool = carve(&at, ids);
	for (unsigned k = 0; k < SEGMENTS; k++)
		carve_segment(t, &t->segments[k], &at);
	return 0;
}

void tr_store_destroy(struct tr *t)
{
	const struct alc_host *h = t->c.v->plat->host;

	for (unsigned k = 0; k < SEGMENTS; k++)
		host_free(h, t->segments[k].ways,
			  t->segments[k].ways_max * sizeof(*t->segments[k].ways));
	if (t->reserved)
		munmap(t->reserved, t->reserved_size);
}

void tr_store_reset(struct tr *t)
{
	u32 second = t->segments[1].begin; /* the first goes on at once */

	madvise(t->code.rw + second, t->code.size - second, MADV_REMOVE);
	for (unsigned k = 0; k < SEGMENTS; k++)
		tr_segment_reset(t, &t->segments[k]);
	tr_segment_open(t, &t->segments[0]);
	t->nviews = t->npage_ids = 0;
	t->free_views = NULL;
}

/* ---- What is in a segment ---- */

void *tr_alloc(struct tr *t, size_t size)
{
	struct tr_segment *g = t->segment;
	void *p = g->arena + g->nbytes;

	size = align_up(size, 8);
	if (size > g->arena_size - g->nbytes)
		return NULL;
	g->nbytes += size;
	return p;
}

static u32 link_new(struct tr_segment *g, i32 target)
{
	if (g->nlinks == g->links_max)
		return 0;
	g->links[g->nlinks] = (struct tr_link){.target = target};
	return g->nlinks++;
}

/* The page is the region's, but for links: its distance fits, or is cut to 32 bits again. */
u32 tr_site_new(struct tr *t, const struct tr_site *s)
{
	struct tr_segment *g = t->segment;
	u64 page = s->region->rip & ALC_PAGE_MASK;
	struct tr_slot *slot = &g->sites[g->nsites];

	if (g->nsites == g->sites_max || g->norder == g->order_max)
		return 0;
	if (s->kind == SITE_LINK && g->nlinks == g->links_max)
		return 0;
	g->order[g->norder] = s->region; /* which is being made */
	*slot = (struct tr_slot){
		.region = g->norder,
		.off = (s->rip - page) & mask_low(13),
		.kind = s->kind,
		.flags = s->flags,
		.next = s->next,
		.answer = s->answer,
		.locked = s->locked,
		.stack = s->stack,
		.access = s->access,
		.size = s->size,
		.raises = s->raises,
		.uncount = s->uncount,
		.swapped = s->swapped,
		.value = s->kind == SITE_LINK ? link_new(g, (i32)(s->rip - page)) : s->resume,
	};
	return (u32)(g - t->segments) << SITE_SHIFT | g->nsites++;
}

static struct tr_segment *segment_of_site(struct tr *t, u32 site)
{
	return &t->segments[site >> SITE_SHIFT];
}

struct tr_slot *tr_slot(struct tr *t, u32 site)
{
	return &segment_of_site(t, site)->sites[site & (BIT(SITE_SHIFT) - 1)];
}

u32 tr_site_serial(struct tr *t, u32 site)
{
	return segment_of_site(t, site)->serial;
}

struct tr_link *tr_link_of(struct tr *t, u32 site)
{
	return &segment_of_site(t, site)->links[tr_slot(t, site)->value];
}

static u64 rip_of(struct tr *t, u32 site, const struct tr_region *r)
{
	const struct tr_slot *slot = tr_slot(t, site);
	u64 page = r->rip & ALC_PAGE_MASK, rip;

	if (slot->kind != SITE_LINK)
		return page + slot->off;
	rip = page + (u64)(i64)tr_link_of(t, site)->target;
	return tr_compat(r->mode) ? (u32)rip : rip;
}

void tr_site_read(struct tr *t, u32 site, struct tr_site *s)
{
	const struct tr_slot *slot = tr_slot(t, site);
	struct tr_region *r;

	if (site < FIRST_SITE) { /* no region's */
		*s = (struct tr_site){.kind = SITE_GONE, .flags = FLAGS_MEM};
		return;
	}
	r = segment_of_site(t, site)->order[slot->region];
	*s = (struct tr_site){
		.rip = rip_of(t, site, r),
		.region = r,
		.resume = slot->value,
		.kind = slot->kind,
		.flags = slot->flags,
		.next = slot->next,
		.answer = slot->answer,
		.locked = slot->locked,
		.stack = slot->stack,
		.access = slot->access,
		.size = slot->size,
		.raises = slot->raises,
		.swapped = slot->swapped,
		.uncount = slot->uncount,
	};
}

u32 tr_leaves_at(struct tr *t, u32 site)
{
	const struct tr_slot *slot = tr_slot(t, site);

	return slot->swapped ? slot->value : t->rt.leave;
}

void tr_site_read_exit(struct tr *t, u32 site, struct tr_site *s)
{
	const struct tr_slot *slot = tr_slot(t, site);

	if (slot->kind != SITE_INDIRECT)
		tr_site_read(t, site, s);
	else
		*s = (struct tr_site){.kind = SITE_INDIRECT,
				      .undo = (i32)slot->value,
				      .flags = slot->flags,
				      .uncount = slot->uncount};
}

bool tr_site_like(struct tr *t, u32 site, const struct tr_site *s)
{
	struct tr_site o;

	tr_site_read(t, site, &o);
	return o.rip == s->rip && o.kind == s->kind && o.flags == s->flags && o.size == s->size &&
	       o.access == s->access && o.locked == s->locked && o.stack == s->stack &&
	       o.raises == s->raises;
}

bool tr_fault_point(struct tr *t, u32 off, u32 site)
{
	struct tr_segment *g = t->segment;

	if (g->nfaults == g->faults_max)
		return false;
	g->faults[g->nfaults++] = (struct tr_fault_point){.off = off, .site = site};
	return true;
}

u32 tr_fault_site(struct tr *t, u32 off)
{
	const struct tr_segment *g = tr_segment_of(t, off);
	u32 low = 0, high = g->nfaults;

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (g->faults[mid].off < off)
			low = mid + 1;
		else
			high = mid;
	}
	return low < g->nfaults && g->faults[low].off == off ? g->faults[low].site : 0;
}

/* ---- What is in none ---- */

struct tr_view *tr_view_new(struct tr *t)
{
	struct tr_view *w = t->free_views;

	if (w) {
		t->free_views = w->next;
		return w;
	}
	return t->nviews < VIEWS ? &t->view_pool[t->nviews++] : NULL;
}

void tr_view_free(struct tr *t, struct tr_view *w)
{
	w->next = t->free_views;
	t->free_views = w;
}

struct tr_page_id *tr_page_id_new(struct tr *t)
{
	return t->npage_ids < PAGE_IDS ? &t->id_pool[t->npage_ids++] : NULL;
}
