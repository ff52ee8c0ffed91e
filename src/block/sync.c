/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sync.h"

#include "base/errno.h"

struct wait {
	const struct alc_host *host;
	struct alc_event *done;
};

static void sync_done(struct block_req *r)
{
	struct wait *w = r->ctx;

	w->host->event_signal(w->host->ctx, w->done);
}

int block_sync(const struct alc_host *host, struct block *b, enum block_op op, u64 offset,
	       void *buf, size_t len)
{
	struct wait w = {.host = host, .done = host->event_create(host->ctx)};
	struct alc_iov iov = {.base = buf, .len = len};
	struct block_req r = {
		.op = op,
		.offset = offset,
		.len = len,
		.iov = &iov,
		.niov = buf ? 1 : 0,
		.done = sync_done,
		.ctx = &w,
	};

	if (!w.done)
		return -ENOMEM;
	block_submit(b, &r);
	host->event_wait(host->ctx, w.done, ALC_WAIT_FOREVER);
	/* The provider may still be on its way out of done. */
	block_drain(b);
	host->event_destroy(host->ctx, w.done);
	return r.status;
}
