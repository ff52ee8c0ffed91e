/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A limit on a disk's bandwidth and operations.
 *
 * Two clocks of arrivals (the generic cell rate algorithm, ITU-T I.371): each request moves the one
 * by its bytes, the other by itself, and starts when both have come to where they were before, or
 * up to `burst` earlier. So requests are spaced evenly rather than let go in lots. All instants
 * follow from when requests come, so a late timer of the host's shifts one request and no other;
 * and parts of nanoseconds are carried over, so that nothing adds up.
 *
 * A flush is free: what it covers was paid for.
 */
#include "base/errno.h"
#include "block/hold.h"
#include "block/stage_list.h"

#define SECOND_NS 1000000000ull

typedef unsigned __int128 u128;

struct rate_params {
	u64 bandwidth, iops, burst_ns;
};

static const struct param params[] = {
	{"bandwidth", "bytes a second; 0: no limit", PARAM_COUNT,
	 offsetof(struct rate_params, bandwidth), "0", 0, 1e15},
	{"iops", "requests a second; 0: no limit", PARAM_COUNT, offsetof(struct rate_params, iops),
	 "0", 0, 1e9},
	{"burst", "unused time that is saved up, as 100ms", PARAM_TIME,
	 offsetof(struct rate_params, burst_ns), "0", 0, 1e12},
	{.name = NULL},
};

/* Units of one kind at a rate. */
struct meter {
	u64 per_second; /* 0: no limit */
	u64 next_ns;    /* when the next one is due */
	u64 rest;       /* of a nanosecond, in units of 1 / per_second */
};

struct rate {
	struct block block;
	const struct alc_host *host;
	struct hold hold; /* its lock is that of the rest */
	struct meter bytes, ops;
	u64 burst_ns;
	u64 requests, transferred, delayed, delay_ns;
};

static u64 meter_start(const struct meter *m, u64 burst_ns)
{
	return m->per_second && m->next_ns > burst_ns ? m->next_ns - burst_ns : 0;
}

static void meter_move(struct meter *m, u64 start_ns, u64 units)
{
	u128 cost;

	if (!m->per_second)
		return;
	if (start_ns > m->next_ns) {
		m->next_ns = start_ns;
		m->rest = 0;
	}
	cost = (u128)units * SECOND_NS + m->rest;
	m->next_ns += (u64)(cost / m->per_second);
	m->rest = (u64)(cost % m->per_second);
}

static bool has_data(const struct block_req *r)
{
	return r->op == BLOCK_READ || r->op == BLOCK_WRITE;
}

/* With the lock held: when r may start. */
static u64 start_of(struct rate *s, const struct block_req *r, u64 now_ns)
{
	u64 len = has_data(r) ? r->len : 0;
	u64 start = max_u64(meter_start(&s->bytes, s->burst_ns), meter_start(&s->ops, s->burst_ns));

	start = max_u64(start, now_ns);
	meter_move(&s->bytes, start, len);
	meter_move(&s->ops, start, 1);
	s->requests++;
	s->transferred += len;
	s->delayed += start > now_ns;
	s->delay_ns += start - now_ns;
	return start;
}

static void rate_submit(struct block *b, struct block_req *list)
{
	struct rate *s = container_of(b, struct rate, block);
	struct block_req *free = NULL, **end = &free;

	hold_lock(&s->hold);
	while (list) {
		struct block_req *r = list;

		list = r->next;
		if (r->op == BLOCK_FLUSH) {
			r->next = NULL;
			*end = r;
			end = &r->next;
			continue;
		}
		hold_add(&s->hold, r,
			 hold_works(&s->hold) ? start_of(s, r, clock_cpu_ns(s->hold.clock)) : 0);
	}
	hold_unlock(&s->hold);
	if (free)
		block_submit(s->hold.below, free);
	hold_go(&s->hold);
}

static void rate_drain(struct block *b)
{
	hold_drain(&container_of(b, struct rate, block)->hold);
}

static void rate_close(struct block *b)
{
	struct rate *s = container_of(b, struct rate, block);
	struct block *below = s->hold.below;

	hold_fini(&s->hold);
	host_free(s->host, s, sizeof(*s));
	block_close(below);
}

static void rate_attach(struct block *b, struct alc_clock *clock)
{
	struct rate *s = container_of(b, struct rate, block);

	hold_attach(&s->hold, clock);
	block_attach(s->hold.below, clock);
}

static void rate_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	struct rate *s = container_of(b, struct rate, block);

	hold_lock(&s->hold);
	fn(ctx, "rate.requests", (double)s->requests);
	fn(ctx, "rate.bytes", (double)s->transferred);
	fn(ctx, "rate.delayed", (double)s->delayed);
	fn(ctx, "rate.delay_ns", (double)s->delay_ns);
	hold_unlock(&s->hold);
	block_stats(s->hold.below, fn, ctx);
}

static const struct block_ops rate_ops = {
	.name = "rate",
	.submit = rate_submit,
	.drain = rate_drain,
	.close = rate_close,
	.attach = rate_attach,
	.stats = rate_stats,
};

static int rate_create(const struct stage_env *env, const char *const *texts, struct block *below,
		       struct block **out, struct alc_err *err)
{
	struct rate_params p;
	struct rate *s;
	int rc = param_parse(params, texts[0], &p, err);

	if (rc)
		return rc;
	if (!p.bandwidth && !p.iops)
		return alc_fail(err, -EINVAL, "a rate is bandwidth=BYTES, iops=N, or both");
	s = host_alloc(env->host, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a limit on a disk");
	s->host = env->host;
	s->block = (struct block){.ops = &rate_ops, .info = below->info};
	s->bytes.per_second = p.bandwidth;
	s->ops.per_second = p.iops;
	s->burst_ns = p.burst_ns;
	if (hold_init(&s->hold, env->host, below)) {
		hold_fini(&s->hold);
		host_free(env->host, s, sizeof(*s));
		return alc_fail(err, -ENOMEM, "no memory for a limit on a disk");
	}
	*out = &s->block;
	return 0;
}

const struct stage_class stage_rate = {
	.name = "rate",
	.summary = "a limit on bandwidth and operations",
	.keys = {"rate"},
	.helps = {"bandwidth=BYTES:iops=N:burst=TIME, a second"},
	.create = rate_create,
};
