/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/page_cache.h"

#include "base/errno.h"

enum { NONE = UINT32_MAX };

int page_cache_init(struct page_cache *c, const struct alc_host *host, u32 npages, u32 capacity,
		    u32 window_max, struct alc_err *err)
{
	*c = (struct page_cache){
		.host = host,
		.npages = npages,
		.capacity = capacity,
		.window_max = window_max,
		.newest = NONE,
		.oldest = NONE,
	};
	c->pages = host_alloc(host, npages * sizeof(*c->pages));
	return c->pages ? 0 : alc_fail(err, -ENOMEM, "no memory for a page cache");
}

void page_cache_fini(struct page_cache *c)
{
	host_free(c->host, c->pages, c->npages * sizeof(*c->pages));
	c->pages = NULL;
}

/* ---- Order of use ------------------------------------------------------------------------- */

static void unlink_page(struct page_cache *c, u32 n)
{
	struct cached_page *p = &c->pages[n];

	if (p->newer == NONE)
		c->newest = p->older;
	else
		c->pages[p->newer].older = p->older;
	if (p->older == NONE)
		c->oldest = p->newer;
	else
		c->pages[p->older].newer = p->newer;
}

static void link_newest(struct page_cache *c, u32 n)
{
	struct cached_page *p = &c->pages[n];

	p->newer = NONE;
	p->older = c->newest;
	if (c->newest == NONE)
		c->oldest = n;
	else
		c->pages[c->newest].newer = n;
	c->newest = n;
}

/* If all pages are in flight, the cache is larger than its capacity for a while. */
static void make_room(struct page_cache *c)
{
	u32 n = c->oldest;

	if (c->used < c->capacity || n == NONE)
		return;
	unlink_page(c, n);
	c->pages[n] = (struct cached_page){.state = PAGE_ABSENT};
	c->used--;
}

/* ---- Windows ------------------------------------------------------------------------------ */

static u32 first_window(const struct page_cache *c)
{
	const u32 pages = 4;

	return pages < c->window_max ? pages : c->window_max;
}

/* Four times as long while it is very short, then twice. */
static u32 next_window(const struct page_cache *c, u32 size)
{
	u32 longer = size < c->window_max / 16 ? 4 * size : 2 * size;

	return longer < c->window_max ? longer : c->window_max;
}

struct reading {
	struct page_cache *cache;
	u32 first, pages; /* the file */
	struct page_run *runs;
	u32 nruns;
};

static void add_page(struct reading *rd, u32 n)
{
	struct page_cache *c = rd->cache;
	struct page_run *last = rd->nruns ? &rd->runs[rd->nruns - 1] : NULL;

	make_room(c);
	c->pages[n] = (struct cached_page){.state = PAGE_IN_FLIGHT};
	c->used++;
	if (last && last->first + last->n == n)
		last->n++;
	else if (rd->nruns < PAGE_RUNS_MAX)
		rd->runs[rd->nruns++] = (struct page_run){n, 1};
}

/* Puts what is lacking of [start, start + size) of the file in flight. */
static void read_window(struct reading *rd, u32 start, u32 size, u32 ahead)
{
	for (u32 i = start; i < start + size && i < rd->pages; i++) {
		u32 n = rd->first + i;

		if (rd->cache->pages[n].state != PAGE_ABSENT)
			continue;
		add_page(rd, n);
		if (i == start + size - ahead)
			rd->cache->pages[n].marked = true;
	}
}

static void set_window(const struct page_cache *c, struct read_ahead *ra, u32 start, u32 size,
		       u32 ahead)
{
	*ra = (struct read_ahead){start, size, ahead, ra->previous};
}

/* The first page behind `page` that is not there; NONE: none within a window or the file. */
static u32 hole_behind(const struct reading *rd, u32 page)
{
	for (u32 i = page + 1; i < rd->pages && i <= page + rd->cache->window_max; i++)
		if (rd->cache->pages[rd->first + i].state == PAGE_ABSENT)
			return i;
	return NONE;
}

/* A marked page that is not where this reader's window has its mark: somebody else's reading. */
static bool join_window(struct reading *rd, struct read_ahead *ra, u32 page)
{
	u32 hole = hole_behind(rd, page), size;

	if (hole == NONE)
		return false;
	size = next_window(rd->cache, hole - page + 1);
	set_window(rd->cache, ra, hole, size, size);
	return true;
}

static void look_ahead(struct reading *rd, struct read_ahead *ra, u32 page, bool marked)
{
	const struct page_cache *c = rd->cache;
	u32 first = first_window(c);

	if (ra->size &&
	    (page == ra->start + ra->size - ra->ahead || page == ra->start + ra->size)) {
		u32 size = next_window(c, ra->size);

		set_window(c, ra, ra->start + ra->size, size, size);
	} else if (marked) {
		if (!join_window(rd, ra, page))
			return;
	} else if (page && page != ra->previous) {
		read_window(rd, page, 1, 0); /* here and there: just this page */
		return;
	} else {
		set_window(c, ra, page, first, first - 1);
	}
	/* It would meet its own mark at once: both windows in one go. */
	if (page == ra->start && ra->size == ra->ahead) {
		ra->ahead = next_window(c, ra->size);
		ra->size += ra->ahead;
	}
	read_window(rd, ra->start, ra->size, ra->ahead);
}

enum page_state page_cache_read(struct page_cache *c, struct read_ahead *ra, u32 first, u32 pages,
				u32 page, struct page_run *runs, u32 *nruns)
{
	struct reading rd = {.cache = c, .first = first, .pages = pages, .runs = runs};
	struct cached_page *p = &c->pages[first + page];
	enum page_state found;

	c->lookups++;
	if (p->state == PAGE_ABSENT)
		look_ahead(&rd, ra, page, false);
	found = p->state;
	if (found == PAGE_PRESENT) {
		c->hits++;
		unlink_page(c, first + page);
		link_newest(c, first + page);
	}
	/* In a very small cache what is read ahead may push this page out; it has been read. */
	if (p->marked) {
		p->marked = false;
		look_ahead(&rd, ra, page, true);
	}
	ra->previous = page + 1;
	*nruns = rd.nruns;
	return found;
}

void page_cache_arrived(struct page_cache *c, struct page_run run)
{
	for (u32 n = run.first; n < run.first + run.n; n++) {
		c->pages[n].state = PAGE_PRESENT;
		link_newest(c, n);
	}
}
