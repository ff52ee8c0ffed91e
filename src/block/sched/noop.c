/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No order but that of arrival, with merging (Linux 2.6, noop).
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

struct noop {
	struct made made;
	struct merge_rules rules;
	struct pool pool;
};

static int noop_create(const struct sched_env *env, const void *values, struct sched **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct noop *n = sched_make(env, &sched_noop, sizeof(*n), err);

	if (!n)
		return -ENOMEM;
	n->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors, .front = true};
	*out = &n->made.sched;
	return 0;
}

static void noop_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct noop *n = container_of(s, struct noop, made.sched);

	pool_add(&n->pool, &n->rules, r, now_ns);
}

static struct disk_req *noop_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct noop *n = container_of(s, struct noop, made.sched);

	*ask_ns = DISK_NEVER;
	return pool_take(&n->pool, n->pool.fifo.oldest);
}

const struct sched_class sched_noop = {
	.name = "noop",
	.summary = "first come, first served, with merging",
	.params = params,
	.params_size = sizeof(struct params),
	.create = noop_create,
	.destroy = sched_unmake,
	.add = noop_add,
	.next = noop_next,
};
