/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C-SCAN: up the disk from request to request, then at once back to the lowest. Nobody at either
 * end waits longer than others. A request waits for at most one round of those that were there.
 */
#include "base/errno.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/pool.h"

struct params {
	u64 max_sectors;
};

static const struct param params[] = {
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

struct cscan {
	struct made made;
	struct merge_rules rules;
	struct pool pool;
	u64 head;
};

static int cscan_create(const struct sched_env *env, const void *values, struct sched **out,
			struct alc_err *err)
{
	const struct params *p = values;
	struct cscan *c = sched_make(env, &sched_cscan, sizeof(*c), err);

	if (!c)
		return -ENOMEM;
	c->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors, .front = true};
	*out = &c->made.sched;
	return 0;
}

static void cscan_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cscan *c = container_of(s, struct cscan, made.sched);

	pool_add(&c->pool, &c->rules, r, now_ns);
}

static struct disk_req *choose(const struct cscan *c)
{
	struct disk_req *r = pool_from(&c->pool, c->head);

	return r ? r : pool_from(&c->pool, 0);
}

static struct disk_req *cscan_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cscan *c = container_of(s, struct cscan, made.sched);
	struct disk_req *r = pool_take(&c->pool, choose(c));

	*ask_ns = DISK_NEVER;
	if (r)
		c->head = span_end(r);
	return r;
}

const struct sched_class sched_cscan = {
	.name = "cscan",
	.summary = "up the disk, and from the end back to the first",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cscan_create,
	.destroy = sched_unmake,
	.add = cscan_add,
	.next = cscan_next,
};
