/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/shadow.h"

int shadow_init(struct shadow *s, const struct sched_env *env, const struct segcache_params *params,
		u64 max_sectors, struct alc_err *err)
{
	s->rules = (struct merge_rules){
		.max_sectors = (u32)max_sectors, .front = true, .overlap = true};
	if (!params)
		return 0;
	s->behind = params->sectors;
	s->ahead = params->prefetch;
	return segcache_create(env->host, params, env->sectors, &s->cache, err);
}

void shadow_fini(struct shadow *s)
{
	segcache_destroy(s->cache);
}

static bool is_hit(const struct shadow *s, const struct disk_req *r)
{
	return s->cache && segcache_has(s->cache, r->span_sector, r->span_sectors);
}

void shadow_add(struct shadow *s, struct disk_req *r, u64 now_ns)
{
	struct disk_req *absorbed;

	queue_add(is_hit(s, r) ? &s->hits : &s->reads, &s->rules, r, now_ns, &absorbed);
}

static void move(struct queue *from, struct queue *to, struct disk_req *r)
{
	queue_remove(from, r);
	queue_put(to, r);
}

/* What r and its read-ahead have brought into the cache. */
static void find_hits(struct shadow *s, const struct disk_req *r)
{
	u64 from = r->span_sector - min_u64(r->span_sector, s->behind);
	u64 to = span_end(r) + s->ahead;
	struct disk_req *at = sorted_from(&s->reads.sorted, from), *next;

	for (; at && at->span_sector < to; at = next) {
		next = sorted_next(at);
		if (is_hit(s, at))
			move(&s->reads, &s->hits, at);
	}
}

void shadow_take(struct shadow *s, struct disk_req *r)
{
	queue_remove(&s->reads, r);
	if (!s->cache)
		return;
	segcache_read(s->cache, r->span_sector, r->span_sectors);
	find_hits(s, r);
}

struct disk_req *shadow_take_hit(struct shadow *s)
{
	struct disk_req *r;

	while ((r = s->hits.fifo.oldest) != NULL) {
		if (is_hit(s, r)) {
			queue_remove(&s->hits, r);
			segcache_read(s->cache, r->span_sector, r->span_sectors);
			return r;
		}
		move(&s->hits, &s->reads, r);
	}
	return NULL;
}

void shadow_write(struct shadow *s, const struct disk_req *r)
{
	if (s->cache)
		segcache_write(s->cache, r->span_sector, r->span_sectors);
}
