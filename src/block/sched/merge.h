/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_MERGE_H
#define BLOCK_SCHED_MERGE_H

#include "base/param.h"
#include "block/sched/fifo.h"
#include "block/sched/sorted.h"

/*
 * Requests that continue each other on the disk become one for the drive. The one that waited
 * first keeps its place; the others hang on its `merged`.
 */
struct merge_rules {
	u32 max_sectors; /* of what the drive is asked for; a longer request goes alone */
	bool front;      /* also what ends where another begins */
	bool overlap;    /* also reads that have sectors in common */
};

/* For the tables of schedulers: all have this one. Linux: max_sectors_kb 512. */
enum { MERGE_SECTORS_MAX = 1 << 24 };
#define MERGE_PARAM(type, member)                                                              \
	{                                                                                      \
		"max_sectors", "most sectors of requests merged into one; 1: none are merged", \
			PARAM_COUNT, offsetof(type, member), "1024", 1, MERGE_SECTORS_MAX      \
	}

/* A request that came alone: before anything else here. */
static inline void merge_begin(struct disk_req *r)
{
	node_of(r)->last_merged = NULL;
	node_of(r)->members = 1;
}

/*
 * r, which is in neither t nor f, joins one that is in both. Returns that, or NULL: it has to stand
 * alone. f is in order of expires_ns. If r filled the gap between two, the second of them is in
 * *absorbed, has left t and f, and hangs on the first too, which has the earlier expires_ns of both
 * and the place in f that belongs to it; else *absorbed is NULL.
 */
struct disk_req *merge_add(struct sorted *t, struct fifo *f, const struct merge_rules *rules,
			   struct disk_req *r, struct disk_req **absorbed);

#endif
