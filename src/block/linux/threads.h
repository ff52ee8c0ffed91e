/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_THREADS_H
#define BLOCK_LINUX_THREADS_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * A pool of threads that take requests in order of arrival and may block on them. Threads are
 * started as there is work for them, up to the limit.
 */
struct pool;

int pool_create(const struct alc_host *host, unsigned max_threads,
		void (*run)(void *ctx, struct block_req *r), void *ctx, struct pool **out,
		struct alc_err *err) ALC_MUST_CHECK;
/* Nothing is queued or running. NULL is fine. */
void pool_destroy(struct pool *p);
/* list: linked by next. -errno: no thread could be started, and nothing was queued. */
int pool_submit(struct pool *p, struct block_req *list) ALC_MUST_CHECK;

#endif
