/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache-aware table scheduler. Reads go before writes, in the order that algorithm T finds best
 * for those that wait now, of which it serves the first and computes again; what the drive has in
 * its cache goes before all. Writes go up the disk in bursts. After a read the disk may be left
 * idle for a moment, for the next read of the same process.
 *
 * A burst begins when a write has waited for max_writedelay, or for min_writedelay while there are
 * no reads; it ends when no write has waited for min_writedelay, or all that waited at its
 * beginning are served, and one of the second kind ends when a read comes.
 *
 * As T is computed anew with each arrival, a read far from where the others are may starve.
 */
#include "base/errno.h"
#include "block/sched/cats_common.h"
#include "block/sched/list.h"

struct params {
	struct cats_params common;
};

static const struct param params[] = {
	CATS_PARAMS(struct params, common),
	{"antic_always", "wait so long after each read, however unlikely the next one is",
	 PARAM_FLAG, offsetof(struct params, common.antic.always), "off", 0, 0},
	{.name = NULL},
};

static struct cats_common *cats_of(struct sched *s)
{
	return container_of(s, struct cats_common, made.sched);
}

static int cats_create(const struct sched_env *env, const void *values, struct sched **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct cats_common *c = sched_make(env, &sched_cats, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	rc = cats_common_init(c, env, &p->common, p->common.hit_first, err);
	if (!rc)
		*out = &c->made.sched;
	return rc;
}

static void cats_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	cats_common_add(cats_of(s), r, r->op == BLOCK_READ, now_ns);
}

/* The next read by T; NULL: none, or better not now. */
static struct disk_req *next_read(struct cats_common *c, u64 now_ns, u64 *ask_ns)
{
	struct disk_req *r = c->planned;
	u64 until_ns;

	if (!r)
		r = plan_first(&c->plan, &c->shadow.reads.sorted, c->head, now_ns);
	if (!r)
		return NULL;
	until_ns = antic_until(&c->antic, distance_of(c->head, r->span_sector),
			       c->shadow.reads.sorted.count, now_ns);
	if (!until_ns)
		return cats_send_read(c, r);
	c->planned = r;
	*ask_ns = min_u64(until_ns, burst_ask_ns(&c->writes, BURST_FORCED, now_ns));
	return NULL;
}

static struct disk_req *cats_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cats_common *c = cats_of(s);
	struct disk_req *r = shadow_take_hit(&c->shadow);

	if (r)
		return cats_send(c, r, true);
	switch (burst_look(&c->writes, !shadow_empty(&c->shadow), now_ns)) {
	case BURST_FORCED:
		return cats_send_write(c);
	case BURST_IDLE:
		return cats_send_idle_write(c, now_ns, ask_ns);
	case BURST_NONE:
		break;
	}
	*ask_ns = burst_ask_ns(&c->writes, shadow_empty(&c->shadow) ? BURST_IDLE : BURST_FORCED,
			       now_ns);
	return next_read(c, now_ns, ask_ns);
}

const struct sched_class sched_cats = {
	.name = "cats",
	.summary = "cache-aware table scheduler: hits first, then the optimal order",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cats_create,
	.destroy = cats_common_destroy,
	.add = cats_add,
	.next = cats_next,
	.done = cats_common_done,
};
