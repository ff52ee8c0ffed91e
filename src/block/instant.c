/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/instant.h"

#include "base/errno.h"
#include "host/clock.h"

enum { USE_DUE }; /* in provider_use: when a request is done */

struct instant {
	struct block block;
	const struct alc_host *host;
	struct block *below;
	struct alc_clock *clock; /* NULL before attach */
	bool passes;             /* in host time */
	u64 latency_ns;
	struct alc_timer timer;
	struct alc_mutex *lock; /* the queue */
	struct block_req *first, **end;
};

static struct instant *instant_of(struct block *b)
{
	return container_of(b, struct instant, block);
}

/* ---- One request -------------------------------------------------------------------------- */

static void below_done(struct block_req *r)
{
	(void)r;
}

static void carry_out(struct instant *d, struct block_req *r)
{
	struct block_req sub = {
		.op = r->op,
		.unmap = r->unmap,
		.offset = r->offset,
		.len = r->len,
		.iov = r->iov,
		.niov = r->niov,
		.issuer = r->issuer,
		.done = below_done,
	};

	block_submit(d->below, &sub);
	block_drain(d->below);
	r->status = sub.status;
	r->done(r);
}

/* ---- The queue: as all take the same time, in the order in which they are done -------------- */

static void put(struct instant *d, struct block_req *r, u64 due_ns)
{
	r->provider_use[USE_DUE] = due_ns;
	r->next = NULL;
	host_lock(d->host, d->lock);
	*d->end = r;
	d->end = &r->next;
	host_unlock(d->host, d->lock);
}

/* The next one that is due by then, or NULL. */
static struct block_req *take(struct instant *d, u64 by_ns)
{
	struct block_req *r;

	host_lock(d->host, d->lock);
	r = d->first;
	if (r && r->provider_use[USE_DUE] > by_ns)
		r = NULL;
	if (r)
		d->first = r->next;
	if (!d->first)
		d->end = &d->first;
	host_unlock(d->host, d->lock);
	return r;
}

/* Without memory for the timer there is no other way than to be early. */
static void arm(struct instant *d)
{
	bool any;
	u64 due_ns;

	host_lock(d->host, d->lock);
	any = d->first;
	due_ns = any ? d->first->provider_use[USE_DUE] : 0;
	host_unlock(d->host, d->lock);
	if (any && clock_timer_set(d->clock, &d->timer, due_ns))
		block_drain(&d->block);
}

static void fire(void *arg)
{
	struct instant *d = arg;
	u64 now_ns = clock_cpu_ns(d->clock);
	struct block_req *r;

	while ((r = take(d, now_ns)))
		carry_out(d, r);
	arm(d);
}

/* ---- The stage ---------------------------------------------------------------------------- */

static void instant_submit(struct block *b, struct block_req *list)
{
	struct instant *d = instant_of(b);
	bool later = d->clock && d->latency_ns;
	u64 due_ns = d->clock ? clock_now_ns(d->clock) + d->latency_ns : 0;

	if (d->passes) {
		block_submit(d->below, list);
		return;
	}
	while (list) {
		struct block_req *r = list;

		list = r->next;
		if (later)
			put(d, r, due_ns);
		else
			carry_out(d, r);
	}
	if (later)
		arm(d);
}

static void instant_drain(struct block *b)
{
	struct instant *d = instant_of(b);
	struct block_req *r;

	while ((r = take(d, UINT64_MAX)))
		carry_out(d, r);
	block_drain(d->below);
}

static void instant_close(struct block *b)
{
	struct instant *d = instant_of(b);

	block_close(d->below);
	d->host->mutex_destroy(d->host->ctx, d->lock);
	host_free(d->host, d, sizeof(*d));
}

static void instant_attach(struct block *b, struct alc_clock *clock)
{
	struct instant *d = instant_of(b);

	clock_timer_init(&d->timer, fire, d);
	d->clock = clock;
	d->passes = !clock_is_virtual(clock);
	block_attach(d->below, clock);
}

static void instant_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	block_stats(instant_of(b)->below, fn, ctx);
}

static const struct block_ops ops = {
	.name = "instant",
	.submit = instant_submit,
	.drain = instant_drain,
	.close = instant_close,
	.attach = instant_attach,
	.stats = instant_stats,
};

int instant_create(const struct alc_host *host, u64 latency_ns, struct block *below,
		   struct block **out, struct alc_err *err)
{
	struct instant *d = host_alloc(host, sizeof(*d));
	struct alc_mutex *lock = d ? host->mutex_create(host->ctx) : NULL;

	if (!lock) {
		host_free(host, d, sizeof(*d));
		return alc_fail(err, -ENOMEM, "no memory for the disk's clock");
	}
	*d = (struct instant){
		.block = {.ops = &ops, .info = below->info},
		.host = host,
		.below = below,
		.latency_ns = latency_ns,
		.lock = lock,
	};
	d->end = &d->first;
	*out = &d->block;
	return 0;
}
