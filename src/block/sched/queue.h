/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_QUEUE_H
#define BLOCK_SCHED_QUEUE_H

#include "block/sched/merge.h"

/* Requests of one kind, by sector and by age: what most schedulers are made of. Zeroed: empty. */
struct queue {
	struct sorted sorted;
	struct fifo fifo;
};

static inline bool queue_empty(const struct queue *q)
{
	return !q->sorted.root;
}

static inline void queue_remove(struct queue *q, struct disk_req *r)
{
	sorted_remove(&q->sorted, r);
	fifo_remove(&q->fifo, r);
}

/* One that was in another queue, and has merged ones perhaps: as it is, at its place by age. */
static inline void queue_put(struct queue *q, struct disk_req *r)
{
	sorted_insert(&q->sorted, r);
	fifo_insert(&q->fifo, r);
}

/*
 * Takes r, alone or merged; returns whichever request it is part of now. expires_ns never goes
 * down from one call to the next. *absorbed: see merge_add.
 */
static inline struct disk_req *queue_add(struct queue *q, const struct merge_rules *rules,
					 struct disk_req *r, u64 expires_ns,
					 struct disk_req **absorbed)
{
	struct disk_req *holder;

	merge_begin(r);
	node_of(r)->expires_ns = expires_ns;
	holder = merge_add(&q->sorted, &q->fifo, rules, r, absorbed);
	if (holder)
		return holder;
	sorted_insert(&q->sorted, r);
	fifo_add(&q->fifo, r);
	return r;
}

/* Its oldest request has waited long enough. */
static inline bool queue_expired(const struct queue *q, u64 now_ns)
{
	return q->fifo.oldest && node_of(q->fifo.oldest)->expires_ns <= now_ns;
}

#endif
