/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_POOL_H
#define BLOCK_SCHED_POOL_H

#include "block/sched/merge.h"

/*
 * Requests of both operations, of which schedulers choose that treat them alike. Two trees, since
 * a read is not merged with a write. Zeroed: empty.
 */
struct pool {
	struct sorted sorted[2];
	struct fifo fifo;
};

static inline void pool_add(struct pool *p, const struct merge_rules *rules, struct disk_req *r,
			    u64 now_ns)
{
	struct sorted *t = &p->sorted[r->op == BLOCK_WRITE];
	struct disk_req *absorbed;

	merge_begin(r);
	node_of(r)->expires_ns = now_ns;
	if (merge_add(t, &p->fifo, rules, r, &absorbed))
		return;
	sorted_insert(t, r);
	fifo_add(&p->fifo, r);
}

/* r, which is in there, leaves it. May be NULL. Returns r. */
static inline struct disk_req *pool_take(struct pool *p, struct disk_req *r)
{
	if (r) {
		sorted_remove(&p->sorted[r->op == BLOCK_WRITE], r);
		fifo_remove(&p->fifo, r);
	}
	return r;
}

/* The first at or after the sector, the last before it, reads before writes; or NULL. */
static inline struct disk_req *pool_from(const struct pool *p, u64 sector)
{
	struct disk_req *a = sorted_from(&p->sorted[0], sector);
	struct disk_req *b = sorted_from(&p->sorted[1], sector);

	if (!a || !b)
		return a ? a : b;
	return b->span_sector < a->span_sector ? b : a;
}

static inline struct disk_req *pool_before(const struct pool *p, u64 sector)
{
	struct disk_req *a = sorted_before(&p->sorted[0], sector);
	struct disk_req *b = sorted_before(&p->sorted[1], sector);

	if (!a || !b)
		return a ? a : b;
	return b->span_sector > a->span_sector ? b : a;
}

#endif
