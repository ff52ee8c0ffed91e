/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/segcache.h"

#include "base/errno.h"

/*
 * To find the segments around a sector, the disk is cut into granules larger than a segment, and a
 * hash table has for each granule the segments that touch it. A segment touches two at most, the
 * sector after its last one included, since a read that begins there continues it.
 */
enum { NONE = -1 };

struct segment {
	u64 start, end;   /* empty if equal; then in no chain */
	i32 next[2];      /* links: 2 * segment + which, or NONE */
	u32 bucket_of[2]; /* of each link */
	unsigned links;
};

struct segcache {
	const struct alc_host *host;
	struct segcache_params params;
	u64 disk_sectors;
	unsigned granule_shift;
	u32 bucket_mask;
	u32 oldest;
	i32 *buckets;
	struct segment *segments;
};

/* ---- Chains ------------------------------------------------------------------------------- */

static i32 *link_at(struct segcache *c, i32 id)
{
	return &c->segments[id >> 1].next[id & 1];
}

static u32 bucket(const struct segcache *c, u64 granule)
{
	return (u32)(granule * 0x9e3779b97f4a7c15ull >> 32) & c->bucket_mask;
}

static void put_link(struct segcache *c, u32 index, u64 granule)
{
	struct segment *s = &c->segments[index];
	unsigned which = s->links++;

	s->bucket_of[which] = bucket(c, granule);
	s->next[which] = c->buckets[s->bucket_of[which]];
	c->buckets[s->bucket_of[which]] = (i32)(2 * index + which);
}

static void drop_link(struct segcache *c, u32 index, unsigned which)
{
	i32 id = (i32)(2 * index + which);
	i32 *at = &c->buckets[c->segments[index].bucket_of[which]];

	while (*at != id)
		at = link_at(c, *at);
	*at = *link_at(c, id);
}

static void set_range(struct segcache *c, u32 index, u64 start, u64 end)
{
	struct segment *s = &c->segments[index];

	while (s->links)
		drop_link(c, index, --s->links);
	s->start = start;
	s->end = end;
	if (start == end)
		return;
	put_link(c, index, start >> c->granule_shift);
	if (start >> c->granule_shift != end >> c->granule_shift)
		put_link(c, index, end >> c->granule_shift);
}

/* ---- What is in it ------------------------------------------------------------------------ */

bool segcache_has(const struct segcache *c, u64 sector, u64 sectors)
{
	i32 id = c->buckets[bucket(c, sector >> c->granule_shift)];

	while (id != NONE) {
		const struct segment *s = &c->segments[id >> 1];

		if (s->start <= sector && sector + sectors <= s->end)
			return true;
		id = s->next[id & 1];
	}
	return false;
}

/* The segment that a read from there continues, or NONE. */
static i32 continued(const struct segcache *c, u64 sector)
{
	i32 id = c->buckets[bucket(c, sector >> c->granule_shift)];
	i32 best = NONE;

	while (id != NONE) {
		const struct segment *s = &c->segments[id >> 1];
		i32 index = id >> 1;

		if (s->start <= sector && sector <= s->end &&
		    (best == NONE || s->end > c->segments[best].end ||
		     (s->end == c->segments[best].end && index < best)))
			best = index;
		id = s->next[id & 1];
	}
	return best;
}

static u32 take_oldest(struct segcache *c)
{
	u32 index = c->oldest;

	c->oldest = index + 1 == c->params.segments ? 0 : index + 1;
	return index;
}

/* The last sectors of a range, as many as a segment has room for. */
static u64 kept_from(const struct segcache *c, u64 start, u64 end)
{
	return end - start > c->params.sectors ? end - c->params.sectors : start;
}

void segcache_fill(struct segcache *c, u64 sector, u64 sectors)
{
	u64 start = sector, end = sector + sectors;
	i32 to = continued(c, sector);

	if (to == NONE) {
		to = (i32)take_oldest(c);
	} else {
		start = c->segments[to].start;
		end = max_u64(end, c->segments[to].end);
	}
	set_range(c, (u32)to, kept_from(c, start, end), end);
}

bool segcache_read(struct segcache *c, u64 sector, u64 sectors)
{
	u64 end = sector + sectors;

	if (segcache_has(c, sector, sectors))
		return true;
	end = max_u64(end, min_u64(end + c->params.prefetch, c->disk_sectors));
	segcache_fill(c, sector, end - sector);
	return false;
}

void segcache_write(struct segcache *c, u64 sector, u64 sectors)
{
	u64 end = sector + sectors;

	for (u32 i = 0; i < c->params.segments; i++)
		if (c->segments[i].start < end && sector < c->segments[i].end)
			set_range(c, i, 0, 0);
	if (c->params.keep_writes)
		set_range(c, take_oldest(c), kept_from(c, sector, end), end);
}

/* ---- Life --------------------------------------------------------------------------------- */

static u32 bucket_count(const struct segcache_params *p)
{
	u32 n = 16;

	while (n < 4 * p->segments)
		n *= 2;
	return n;
}

void segcache_destroy(struct segcache *c)
{
	if (!c)
		return;
	host_free(c->host, c->segments, c->params.segments * sizeof(*c->segments));
	host_free(c->host, c->buckets, ((size_t)c->bucket_mask + 1) * sizeof(*c->buckets));
	host_free(c->host, c, sizeof(*c));
}

int segcache_create(const struct alc_host *host, const struct segcache_params *params,
		    u64 disk_sectors, struct segcache **out, struct alc_err *err)
{
	struct segcache *c = host_alloc(host, sizeof(*c));

	if (!c)
		return alc_fail(err, -ENOMEM, "no memory for a disk's cache");
	*c = (struct segcache){.host = host, .params = *params, .disk_sectors = disk_sectors};
	c->params.prefetch = min_u64(params->prefetch, params->sectors);
	c->bucket_mask = bucket_count(params) - 1;
	while (BIT(c->granule_shift) <= params->sectors)
		c->granule_shift++;
	c->buckets = host_alloc(host, ((size_t)c->bucket_mask + 1) * sizeof(*c->buckets));
	c->segments = host_alloc(host, params->segments * sizeof(*c->segments));
	if (!c->buckets || !c->segments) {
		segcache_destroy(c);
		return alc_fail(err, -ENOMEM, "no memory for a disk's cache");
	}
	for (u32 i = 0; i <= c->bucket_mask; i++)
		c->buckets[i] = NONE;
	*out = c;
	return 0;
}
