/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_FIFO_H
#define BLOCK_SCHED_FIFO_H

#include "block/sched/node.h"

/* Requests in order of arrival, linked by disk_req.next and sched_node.older. Zeroed: empty. */
struct fifo {
	struct disk_req *oldest, *newest;
};

static inline void fifo_add(struct fifo *f, struct disk_req *r)
{
	r->next = NULL;
	node_of(r)->older = f->newest;
	if (f->newest)
		f->newest->next = r;
	else
		f->oldest = r;
	f->newest = r;
}

static inline void fifo_remove(struct fifo *f, struct disk_req *r)
{
	struct disk_req *older = node_of(r)->older;

	if (older)
		older->next = r->next;
	else
		f->oldest = r->next;
	if (r->next)
		node_of(r->next)->older = older;
	else
		f->newest = older;
	r->next = NULL;
}

/* By expires_ns, behind equal ones. */
static inline void fifo_insert(struct fifo *f, struct disk_req *r)
{
	struct disk_req *older = f->newest, **forward;

	while (older && node_of(older)->expires_ns > node_of(r)->expires_ns)
		older = node_of(older)->older;
	forward = older ? &older->next : &f->oldest;
	r->next = *forward;
	node_of(r)->older = older;
	if (r->next)
		node_of(r->next)->older = r;
	else
		f->newest = r;
	*forward = r;
}

/* r, which is in no list, stands where `instead` stood, which is in none then. */
static inline void fifo_replace(struct fifo *f, struct disk_req *instead, struct disk_req *r)
{
	struct disk_req *older = node_of(instead)->older, *newer = instead->next;

	node_of(r)->older = older;
	r->next = newer;
	if (older)
		older->next = r;
	else
		f->oldest = r;
	if (newer)
		node_of(newer)->older = r;
	else
		f->newest = r;
	instead->next = NULL;
}

#endif
