/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shortest access time first: of all that wait the one that the drive would take least time for,
 * the oldest of equals. Where the drive is not known the nearest one (shortest seek first). What
 * is far may starve.
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

struct satf {
	struct made made;
	struct merge_rules rules;
	struct pool pool;
	struct sched_env env;
	u64 head;
};

static int satf_create(const struct sched_env *env, const void *values, struct sched **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct satf *f = sched_make(env, &sched_satf, sizeof(*f), err);

	if (!f)
		return -ENOMEM;
	f->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors, .front = true};
	f->env = *env;
	*out = &f->made.sched;
	return 0;
}

static void satf_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct satf *f = container_of(s, struct satf, made.sched);

	pool_add(&f->pool, &f->rules, r, now_ns);
}

static struct disk_req *quickest(const struct satf *f, u64 now_ns)
{
	struct disk_req *best = NULL;
	u64 least_ns = 0;

	for (struct disk_req *r = f->pool.fifo.oldest; r; r = r->next) {
		u64 ns = f->env.access_ns(f->env.access_ctx, r, now_ns);

		if (!best || ns < least_ns) {
			best = r;
			least_ns = ns;
		}
	}
	return best;
}

static struct disk_req *nearest(const struct satf *f)
{
	struct disk_req *above = pool_from(&f->pool, f->head);
	struct disk_req *below = pool_before(&f->pool, f->head);

	if (!above || !below)
		return above ? above : below;
	return f->head - below->span_sector < above->span_sector - f->head ? below : above;
}

static struct disk_req *satf_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct satf *f = container_of(s, struct satf, made.sched);
	struct disk_req *r = pool_take(&f->pool,
				       f->env.access_ns ? quickest(f, now_ns) : nearest(f));

	*ask_ns = DISK_NEVER;
	if (r)
		f->head = span_end(r);
	return r;
}

const struct sched_class sched_satf = {
	.name = "satf",
	.summary = "shortest access time first",
	.params = params,
	.params_size = sizeof(struct params),
	.create = satf_create,
	.destroy = sched_unmake,
	.add = satf_add,
	.next = satf_next,
};
