/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_SHADOW_H
#define BLOCK_SCHED_SHADOW_H

#include "block/model/segcache.h"
#include "block/sched/queue.h"
#include "block/sched/sched.h"

/*
 * Waiting requests, mostly reads, those apart that the drive will have in its cache, by a shadow of
 * that cache: it sees what the drive is sent, in that order. So no dispatch has to look at all that
 * wait: a read is looked up when it comes and when something near it is read; that a prediction has
 * been overtaken is found when its turn comes.
 */
struct shadow {
	struct merge_rules rules;
	struct segcache *cache;   /* NULL: nothing is predicted */
	u64 behind, ahead;        /* how far around a read its segment may reach */
	struct queue reads, hits; /* what has to come from the medium; from the cache */
};

/* params NULL: no shadow. */
int shadow_init(struct shadow *s, const struct sched_env *env, const struct segcache_params *params,
		u64 max_sectors, struct alc_err *err);
void shadow_fini(struct shadow *s);

/* expires_ns in the node becomes the arrival of the oldest that is served with it. */
void shadow_add(struct shadow *s, struct disk_req *r, u64 now_ns);
/* The oldest hit, for the drive now; NULL: none. */
struct disk_req *shadow_take_hit(struct shadow *s);
/* r, of either queue, goes to the drive now. */
void shadow_take(struct shadow *s, struct disk_req *r);
/* The same of a write that is in neither. */
void shadow_write(struct shadow *s, const struct disk_req *r);
static inline bool shadow_empty(const struct shadow *s)
{
	return queue_empty(&s->reads) && queue_empty(&s->hits);
}

#endif
