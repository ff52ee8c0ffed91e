/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_PLAN_H
#define BLOCK_SCHED_PLAN_H

#include "block/sched/sorted.h"
#include "block/sched/table.h"

/*
 * Algorithm T on a tree of requests. Those that lie within the read-ahead of one are a cluster: one
 * point, since they cost next to nothing once that one is served.
 */
struct plan {
	unsigned side; /* most requests to look at on each side of the head */
	u64 ahead;     /* sectors that the drive reads ahead; 0: no clusters */
	double age_ns; /* a request weighs one more for each such time that it waits; 0: never */
	struct table_point below[TABLE_SIDE_MAX], above[TABLE_SIDE_MAX];
	struct table_room room;
};

/* The request of t to serve first; NULL: t is empty. expires_ns is when each arrived. */
struct disk_req *plan_first(struct plan *p, const struct sorted *t, u64 head, u64 now_ns);

/* What each of the requests that r serves counts. */
double plan_age_weight(const struct plan *p, const struct disk_req *r, u64 now_ns);

#endif
