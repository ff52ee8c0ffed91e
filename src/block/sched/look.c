/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LOOK, the elevator: up the disk as long as there is a request above, then down.
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

struct look {
	struct made made;
	struct merge_rules rules;
	struct pool pool;
	u64 head;
	bool down;
};

static int look_create(const struct sched_env *env, const void *values, struct sched **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct look *l = sched_make(env, &sched_look, sizeof(*l), err);

	if (!l)
		return -ENOMEM;
	l->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors, .front = true};
	*out = &l->made.sched;
	return 0;
}

static void look_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct look *l = container_of(s, struct look, made.sched);

	pool_add(&l->pool, &l->rules, r, now_ns);
}

static struct disk_req *ahead(const struct look *l)
{
	return l->down ? pool_before(&l->pool, l->head) : pool_from(&l->pool, l->head);
}

static struct disk_req *choose(struct look *l)
{
	struct disk_req *r = ahead(l);

	if (r)
		return r;
	l->down = !l->down;
	return ahead(l);
}

static struct disk_req *look_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct look *l = container_of(s, struct look, made.sched);
	struct disk_req *r = pool_take(&l->pool, choose(l));

	*ask_ns = DISK_NEVER;
	if (r)
		l->head = span_end(r);
	return r;
}

const struct sched_class sched_look = {
	.name = "look",
	.summary = "up and down the disk, turning at the last request",
	.params = params,
	.params_size = sizeof(struct params),
	.create = look_create,
	.destroy = sched_unmake,
	.add = look_add,
	.next = look_next,
};
