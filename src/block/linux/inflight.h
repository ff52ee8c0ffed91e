/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_INFLIGHT_H
#define BLOCK_LINUX_INFLIGHT_H

#include <pthread.h>

#include "block/block.h"

/* Counts requests from submit to the return of done, so that drain can wait for none. */
struct inflight {
	pthread_mutex_t lock;
	pthread_cond_t none;
	u64 count;
};

static inline void inflight_init(struct inflight *f)
{
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->none, NULL);
	f->count = 0;
}

static inline void inflight_fini(struct inflight *f)
{
	pthread_cond_destroy(&f->none);
	pthread_mutex_destroy(&f->lock);
}

static inline void inflight_add(struct inflight *f, u64 n)
{
	pthread_mutex_lock(&f->lock);
	f->count += n;
	pthread_mutex_unlock(&f->lock);
}

static inline void inflight_done(struct inflight *f, struct block_req *r, int status)
{
	r->status = status;
	r->done(r);
	pthread_mutex_lock(&f->lock);
	if (--f->count == 0)
		pthread_cond_broadcast(&f->none);
	pthread_mutex_unlock(&f->lock);
}

static inline void inflight_wait_none(struct inflight *f)
{
	pthread_mutex_lock(&f->lock);
	while (f->count)
		pthread_cond_wait(&f->none, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

#endif
