/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_NODE_H
#define BLOCK_SCHED_NODE_H

#include "block/disk_req.h"

/*
 * What schedulers keep in disk_req.sched_use: links for a tree by sector (sorted.h), for a list by
 * age (fifo.h, with disk_req.next), and what merging needs (merge.h). So a scheduler allocates
 * nothing for a request.
 */
struct sched_node {
	struct disk_req *parent, *left, *right;
	struct disk_req *older;
	struct disk_req *last_merged; /* the end of disk_req.merged; NULL: none */
	u64 expires_ns;
	void *queue; /* the scheduler's own: whichever queue it is in */
	u32 rank;
	u16 members; /* requests that this one serves, itself too; stays at its maximum */
	u8 mark;     /* the scheduler's own */
};
_Static_assert(sizeof(struct sched_node) == sizeof(((struct disk_req *)0)->sched_use),
	       "as large as what a request has for it");

static inline struct sched_node *node_of(const struct disk_req *r)
{
	return (struct sched_node *)(uintptr_t)r->sched_use;
}

static inline u64 span_end(const struct disk_req *r)
{
	return r->span_sector + r->span_sectors;
}

static inline u64 distance_of(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

#endif
