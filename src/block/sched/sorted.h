/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_SORTED_H
#define BLOCK_SCHED_SORTED_H

#include "block/sched/node.h"

/*
 * Requests in order of span_sector, equal ones in order of insertion: a treap, so everything takes
 * expected O(log n). A span_sector may change only while its request is not in.
 */
struct sorted {
	struct disk_req *root;
	unsigned count;
	u32 random; /* the ranks, which shape the tree and nothing else */
};

void sorted_insert(struct sorted *t, struct disk_req *r);
void sorted_remove(struct sorted *t, struct disk_req *r);

/* NULL where there is none. */
struct disk_req *sorted_first(const struct sorted *t);
struct disk_req *sorted_last(const struct sorted *t);
struct disk_req *sorted_next(const struct disk_req *r);
struct disk_req *sorted_prev(const struct disk_req *r);
/* The first one at or after the sector; the last one before it. */
struct disk_req *sorted_from(const struct sorted *t, u64 sector);
struct disk_req *sorted_before(const struct sorted *t, u64 sector);
/*
 * The nearest to the head where a way back counts penalty times, and is at most back_max; else the
 * lowest: as Linux's elevators choose.
 */
struct disk_req *sorted_elevator(const struct sorted *t, u64 head, u64 back_max, u64 penalty);

#endif
