/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/arm.h"

static void remove_job(struct jobs *from, unsigned i)
{
	from->n--;
	__builtin_memmove(&from->all[i], &from->all[i + 1], (from->n - i) * sizeof(*from->all));
}

void arm_add(struct arm *a, struct jobs *to, const struct job *job, u64 now_ns)
{
	if (!a->busy)
		a->free_ns = max_u64(a->free_ns, now_ns);
	to->all[to->n++] = *job;
	if (to == &a->dirty)
		a->dirty_sectors += job->sectors;
}

/* ---- Read-ahead --------------------------------------------------------------------------- */

void arm_read_ahead(struct arm *a, u64 now_ns)
{
	struct ahead *h = &a->ahead;
	u64 n;

	if (!h->on || h->next == h->end)
		return;
	n = geometry_passed(a->geometry, h->next, h->end - h->next, now_ns, &h->at_ns, &a->track);
	if (n && a->cache)
		segcache_fill(a->cache, h->next, n);
	h->next += n;
}

static void begin_read_ahead(struct arm *a, const struct job *read)
{
	u64 end = read->sector + read->sectors;

	a->ahead = (struct ahead){
		.on = true,
		.base = read->sector,
		.next = end,
		.end = max_u64(end, min_u64(end + a->prefetch, a->disk_sectors)),
		.at_ns = a->free_ns,
	};
}

static bool in_sweep(const struct ahead *h, u64 sector, u64 end)
{
	return h->on && h->base <= sector && end <= h->end;
}

bool arm_stream(struct arm *a, u64 sector, u64 sectors, u64 *done_ns)
{
	const struct ahead *h = &a->ahead;
	u64 end = sector + sectors, at_ns;
	struct place next;
	struct track track = a->track;

	if (!in_sweep(h, sector, end) || end <= h->next)
		return false;
	if (sector < h->next && !segcache_has(a->cache, sector, h->next - sector))
		return false;
	next = geometry_place(a->geometry, h->next);
	at_ns = h->at_ns;
	if (next.track.cylinder != track.cylinder || next.track.head != track.head)
		at_ns = geometry_reach_ns(a->geometry, track, at_ns, &next, false);
	*done_ns = geometry_transfer_ns(a->geometry, h->next, end - h->next, at_ns, false, &track);
	a->free_ns = max_u64(a->free_ns, *done_ns);
	return true;
}

void arm_read_on(struct arm *a, u64 sector, u64 sectors, u64 now_ns)
{
	struct ahead *h = &a->ahead;
	u64 end = sector + sectors;
	u64 until = min_u64(end + a->prefetch, a->disk_sectors);

	if (!in_sweep(h, sector, end) || until <= h->end)
		return;
	if (h->next == h->end) { /* the heads rest behind it */
		struct place next = geometry_place(a->geometry, h->next);

		h->at_ns = geometry_reach_ns(a->geometry, a->track, now_ns, &next, false);
		a->track = next.track;
	}
	h->end = until;
}

/* ---- Choice ------------------------------------------------------------------------------- */

struct choice {
	struct jobs *from;
	unsigned index;
	u64 begin_ns;
	u32 hopeless; /* a distance whose seek alone takes as long: so do those beyond it */
};

static u64 begin_ns(const struct arm *a, const struct job *j)
{
	return geometry_reach_ns(a->geometry, a->track, max_u64(a->free_ns, j->ready_ns), &j->place,
				 j->write);
}

static u32 distance(const struct arm *a, const struct job *j)
{
	u32 from = a->track.cylinder, to = j->place.track.cylinder;

	return from > to ? from - to : to - from;
}

static void consider(const struct arm *a, struct jobs *from, unsigned i, struct choice *best)
{
	const struct job *j = &from->all[i];
	u32 d = distance(a, j);
	u64 ns;

	if (d >= best->hopeless)
		return;
	if (best->from && a->free_ns + geometry_seek_ns(a->geometry, d) >= best->begin_ns) {
		best->hopeless = d;
		return;
	}
	ns = begin_ns(a, j);
	if (best->from && ns >= best->begin_ns)
		return;
	best->from = from;
	best->index = i;
	best->begin_ns = ns;
}

static void consider_all(const struct arm *a, struct jobs *from, struct choice *best)
{
	for (unsigned i = 0; i < from->n; i++)
		consider(a, from, i, best);
}

static bool dirty_compete(const struct arm *a)
{
	return !a->requests.n || a->dirty_sectors > a->dirty_max / 2 ||
	       a->dirty.n > a->dirty.max / 2;
}

static struct choice choose(struct arm *a)
{
	struct choice best = {.hopeless = UINT32_MAX};

	if (a->requests.n && a->free_ns - a->requests.all[0].since_ns > a->patience_ns)
		return (struct choice){.from = &a->requests,
				       .begin_ns = begin_ns(a, &a->requests.all[0])};
	consider_all(a, &a->requests, &best);
	if (dirty_compete(a))
		consider_all(a, &a->dirty, &best);
	return best;
}

/* ---- Motion ------------------------------------------------------------------------------- */

static void start(struct arm *a, const struct choice *c)
{
	struct job *j = &c->from->all[c->index];

	a->seeks += distance(a, j) != 0;
	a->seek_cylinders += distance(a, j);
	a->destages += !j->req;
	if (c->from == &a->dirty)
		a->dirty_sectors -= j->sectors;
	a->ahead.on = false;
	a->busy = true;
	a->current = *j;
	a->free_ns = geometry_transfer_ns(a->geometry, j->sector, j->sectors, c->begin_ns, j->write,
					  &a->track);
	remove_job(c->from, c->index);
}

static void complete(struct arm *a)
{
	const struct job *j = &a->current;

	a->busy = false;
	if (j->write)
		return;
	if (a->cache)
		segcache_fill(a->cache, j->sector, j->sectors);
	begin_read_ahead(a, j);
}

bool arm_step(struct arm *a, u64 now_ns, struct job *started)
{
	struct choice c;

	if (a->free_ns > now_ns)
		return false;
	if (a->busy)
		complete(a);
	if (!a->requests.n && !a->dirty.n)
		return false;
	arm_read_ahead(a, a->free_ns);
	c = choose(a);
	start(a, &c);
	*started = a->current;
	return true;
}

struct arm arm_copy(const struct arm *a, struct job *to)
{
	struct arm copy = *a;

	copy.cache = NULL;
	copy.requests.all = to;
	copy.dirty.all = to + a->requests.max;
	__builtin_memcpy(copy.requests.all, a->requests.all, a->requests.n * sizeof(*to));
	__builtin_memcpy(copy.dirty.all, a->dirty.all, a->dirty.n * sizeof(*to));
	return copy;
}
