/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_DONE_H
#define BLOCK_MODEL_DONE_H

#include "block/disk_req.h"

/* Requests in a drive whose done_ns is known, linked by next: the earliest first, then as put. */
static inline void done_put(struct disk_req **list, struct disk_req *r)
{
	while (*list && (*list)->done_ns <= r->done_ns)
		list = &(*list)->next;
	r->next = *list;
	*list = r;
}

static inline u64 done_next_ns(const struct disk_req *list)
{
	return list ? list->done_ns : DISK_NEVER;
}

static inline struct disk_req *done_take(struct disk_req **list, u64 now_ns)
{
	struct disk_req *r = *list;

	if (!r || r->done_ns > now_ns)
		return NULL;
	*list = r->next;
	return r;
}

#endif
