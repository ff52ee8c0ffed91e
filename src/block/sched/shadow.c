/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/shadow.h"

enum { MISS, HIT }; /* marks */

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
	return r->op == BLOCK_READ && s->cache &&
	       segcache_has(s->cache, r->span_sector, r->span_sectors);
}

static struct queue *queue_of(struct shadow *s, const struct disk_req *r)
{
	return node_of(r)->mark == HIT ? &s->hits : &s->reads;
}

void shadow_add(struct shadow *s, struct disk_req *r, u64 now_ns)
{
	struct disk_req *absorbed;

	node_of(r)->mark = is_hit(s, r) ? HIT : MISS;
	queue_add(queue_of(s, r), &s->rules, r, now_ns, &absorbed);
}

static void move(struct shadow *s, struct disk_req *r, u8 mark)
{
	queue_remove(queue_of(s, r), r);
	node_of(r)->mark = mark;
	queue_put(queue_of(s, r), r);
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
			move(s, at, HIT);
	}
}

/* It has left its queue. */
static void see(struct shadow *s, const struct disk_req *r)
{
	if (r->op == BLOCK_WRITE)
		shadow_write(s, r);
	else if (s->cache && !segcache_read(s->cache, r->span_sector, r->span_sectors))
		find_hits(s, r);
}

void shadow_take(struct shadow *s, struct disk_req *r)
{
	queue_remove(queue_of(s, r), r);
	see(s, r);
}

struct disk_req *shadow_take_hit(struct shadow *s)
{
	struct disk_req *r;

	while ((r = s->hits.fifo.oldest) != NULL) {
		if (is_hit(s, r)) {
			shadow_take(s, r);
			return r;
		}
		move(s, r, MISS);
	}
	return NULL;
}

void shadow_write(struct shadow *s, const struct disk_req *r)
{
	if (s->cache)
		segcache_write(s->cache, r->span_sector, r->span_sectors);
}
