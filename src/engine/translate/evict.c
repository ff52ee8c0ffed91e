/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the cache is full, its coldest segment is dropped, and translations are added there.
 *
 * A segment is warm if translated code is left there often, for C or for good: hot loops are left
 * for interrupts and fills of the TLB at least. Counts are halved at each eviction, so that what
 * was hot long ago cools down, and what is hot comes back elsewhere, among what is hot now.
 *
 * A vCPU's translations are entered by its own thread alone, which is outside of them here: what
 * is dropped is not being run, and needs no period of grace. What may lead into it later is undone:
 * links and jumps from other segments, which are noted when they are made (tr_way), joins of its
 * regions, the cache of targets, pairs, and what C knows.
 */
#include "engine/translate/translate.h"

enum { WAYS_FIRST = 256 };

/* ---- Ways ---- */

static bool has_room(struct tr *t, struct tr_segment *g)
{
	const struct alc_host *h = t->c.v->plat->host;
	u32 max = g->ways_max ? g->ways_max * 2 : WAYS_FIRST;
	struct tr_way *ways;

	if (g->nways < g->ways_max)
		return true;
	ways = host_alloc(h, max * sizeof(*ways));
	if (!ways)
		return false;
	if (g->nways)
		__builtin_memcpy(ways, g->ways, g->nways * sizeof(*ways));
	host_free(h, g->ways, g->ways_max * sizeof(*ways));
	g->ways = ways;
	g->ways_max = max;
	return true;
}

static bool add(struct tr *t, const struct tr_segment *from, struct tr_segment *to,
		struct tr_way way)
{
	if (from == to)
		return true;
	if (!has_room(t, to))
		return false;
	way.serial = from->serial;
	to->ways[to->nways++] = way;
	return true;
}

bool tr_way_of_link(struct tr *t, u32 site, u32 to)
{
	return add(t, &t->segments[site >> SITE_SHIFT], tr_segment_of(t, to),
		   (struct tr_way){.from = site});
}

bool tr_way_of_jump(struct tr *t, u32 from, u32 to)
{
	return add(t, tr_segment_of(t, from), tr_segment_of(t, to),
		   (struct tr_way){.from = from, .is_jump = true});
}

/* It leads to where it did at first, or to the runtime; a link may have gone elsewhere since. */
static void undo(struct tr *t, const struct tr_way *way)
{
	struct code c = tr_patch_at(t, way->from);

	if (way->is_jump && tr_segment_of(t, way->from)->serial == way->serial)
		e_call_to(&c, t->rt.gone);
	else if (!way->is_jump && tr_site_serial(t, way->from) == way->serial)
		tr_link_reset(t, tr_link_of(t, way->from));
}

/* ---- Dropping ---- */

/* The join itself is of this segment, what it leads to is not. */
static void leave_region(const struct tr_segment *g, struct tr_region *j)
{
	struct tr_region **link;

	if (tr_segment_has(g, j->into))
		return;
	for (link = &j->into->joins; *link != j; link = &(*link)->page_next)
		;
	*link = j->page_next;
}

static void kill_joins(struct tr *t, struct tr_region *r)
{
	for (struct tr_region *j = r->joins; j; j = j->page_next) {
		if (!j->dead)
			tr_region_kill(t, j);
		j->into = NULL;
	}
}

static void leave_entries(struct tr *t, const struct tr_segment *g)
{
	u32 first = (u32)(g - t->segments) << SITE_SHIFT;

	for (u32 k = 0; k < g->nsites; k++) {
		const struct tr_link *l;

		if (g->sites[k].kind != SITE_LINK)
			continue;
		l = tr_link_of(t, first | k);
		if (l->dead_entry && tr_segment_of(t, l->dead_entry) != g)
			tr_link_leave_dead(t, l);
	}
}

static void drop(struct tr *t, struct tr_segment *g)
{
	leave_entries(t, g);
	for (u32 k = 0; k < g->norder; k++) {
		struct tr_region *r = g->order[k];

		if (r->join && r->into)
			leave_region(g, r);
	}
	for (u32 k = 0; k < g->norder; k++) {
		struct tr_region *r = g->order[k];

		if (!r->join && !r->whole)
			kill_joins(t, r);
		for (unsigned i = 0; i < r->nheads; i++)
			tr_unlink_dead(t, &r->mem_heads[i]);
		r->dead = true;
	}
	for (u32 k = 0; k < g->nways; k++)
		undo(t, &g->ways[k]);
	tr_forget_targets(t, g);
	tr_reach_drop(t, g);
	tr_unlist(t, g);
	t->n_evictions++;
	t->n_evicted_regions += g->norder;
	t->drops++;
	tr_segment_reset(t, g);
}

/* ---- Which ---- */

static bool is_empty(const struct tr *t, const struct tr_segment *g)
{
	return !g->norder && g != t->segment;
}

static struct tr_segment *coldest(struct tr *t)
{
	struct tr_segment *best = NULL;

	for (unsigned k = 0; k < SEGMENTS; k++) {
		struct tr_segment *g = &t->segments[k];

		if (is_empty(t, g))
			return g;
		if (g != t->segment && (!best || g->uses < best->uses))
			best = g;
	}
	return best;
}

void tr_make_room(struct tr *t)
{
	struct tr_segment *g = coldest(t);

	if (!is_empty(t, g) && !tr_has(t, TR_EVICTION))
		g = NULL;
	if (!g || !tr_segment_full(t)) {
		tr_cache_flush(t);
		return;
	}
	if (!is_empty(t, g)) {
		drop(t, g);
		for (unsigned k = 0; k < SEGMENTS; k++)
			t->segments[k].uses /= 2;
	}
	tr_segment_open(t, g);
}

void tr_evict_some(struct tr *t)
{
	struct tr_segment *g = &t->segments[(t->rng >> 40) % SEGMENTS];

	drop(t, g);
	tr_segment_open(t, g);
}
