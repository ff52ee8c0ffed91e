/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CATS with what it lacks:
 *
 * - A request weighs more the longer it waits, w = 1 + age/tau, so that T doesn't put off what is
 * far for ever; and one that has waited for `expire` is next, the oldest first, though only after
 * each `batch` of others, since under load all wait that long. If at most N requests wait at a time
 * and the drive takes S at most for one, none waits longer than expire + 2(batch + 1)NS.
 * - Writes that somebody waits for are treated as reads are.
 * - What the drive's read-ahead will bring is one with what is read: T sees clusters.
 * - Where the drive can be asked what a request would take, the one with the most age weight for
 * its time goes first, which knows rotation, zones and the drive's own cache, so that no shadow of
 * it is needed. T knows distances only.
 */
#include "base/errno.h"
#include "block/sched/cats_common.h"
#include "block/sched/list.h"

struct params {
	u64 expire_ns, batch, age_ns;
	bool clusters, by_time;
	struct cats_params common;
};

static const struct param params[] = {
	{"expire", "time after which a request is next", PARAM_TIME,
	 offsetof(struct params, expire_ns), "500ms", 0, 1e12},
	{"batch", "requests between two that have waited so long", PARAM_COUNT,
	 offsetof(struct params, batch), "16", 0, 1 << 20},
	{"age", "time in which a waiting request's weight grows by one, tau; 0: it doesn't",
	 PARAM_TIME, offsetof(struct params, age_ns), "200ms", 0, 1e12},
	{"clusters", "see what the read-ahead brings as one", PARAM_FLAG,
	 offsetof(struct params, clusters), "on", 0, 0},
	{"by_time", "ask the drive for times, where that is possible", PARAM_FLAG,
	 offsetof(struct params, by_time), "on", 0, 0},
	CATS_PARAMS(struct params, common),
	{.name = NULL},
};

struct cats2 {
	struct cats_common common;
	struct sched_env env;
	u64 expire_ns, batch;
	u64 overdue_sent; /* common.sent when the last was sent because it had waited */
	bool by_time;
};

static int cats2_create(const struct sched_env *env, const void *values, struct sched **out,
			struct alc_err *err)
{
	const struct params *p = values;
	struct cats2 *c = sched_make(env, &sched_cats2, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	c->env = *env;
	c->expire_ns = p->expire_ns;
	c->batch = p->batch;
	c->overdue_sent = -p->batch; /* as if a batch had passed */
	c->by_time = p->by_time && env->access_ns;
	c->common.plan.age_ns = (double)p->age_ns;
	c->common.plan.ahead = p->clusters ? p->common.segcache.prefetch : 0;
	rc = cats_common_init(&c->common, env, &p->common, p->common.hit_first && !c->by_time, err);
	if (!rc)
		*out = &c->common.made.sched;
	return rc;
}

static void cats2_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cats2 *c = container_of(s, struct cats2, common.made.sched);

	cats_common_add(&c->common, r, r->sync || r->op == BLOCK_READ, now_ns);
}

/* ---- What has waited too long ------------------------------------------------------------- */

static struct disk_req *oldest(const struct cats2 *c)
{
	struct disk_req *a = c->common.shadow.reads.fifo.oldest,
			*b = c->common.shadow.hits.fifo.oldest;

	if (!a || !b)
		return a ? a : b;
	return node_of(b)->expires_ns < node_of(a)->expires_ns ? b : a;
}

/* When the oldest request will be next; in the past: as soon as a batch has passed. */
static u64 overdue_ns(const struct cats2 *c)
{
	const struct disk_req *r = oldest(c);

	return r ? node_of(r)->expires_ns + c->expire_ns : DISK_NEVER;
}

static struct disk_req *send_overdue(struct cats2 *c, u64 now_ns)
{
	struct disk_req *r = oldest(c);

	if (overdue_ns(c) > now_ns || c->common.sent - c->overdue_sent < c->batch)
		return NULL;
	cats_send_read(&c->common, r);
	c->overdue_sent = c->common.sent;
	return r;
}

/* ---- The next read ------------------------------------------------------------------------ */

static struct disk_req *most_for_its_time(const struct cats2 *c, u64 now_ns)
{
	struct disk_req *best = NULL;
	double most = 0;

	for (struct disk_req *r = c->common.shadow.reads.fifo.oldest; r; r = r->next) {
		double ns = (double)c->env.access_ns(c->env.access_ctx, r, now_ns) + 1;
		double worth = plan_age_weight(&c->common.plan, r, now_ns) / ns;

		if (worth > most) {
			most = worth;
			best = r;
		}
	}
	return best;
}

/* NULL: none, or better not now. */
static struct disk_req *next_read(struct cats2 *c, u64 now_ns, u64 *ask_ns)
{
	struct cats_common *k = &c->common;
	struct disk_req *r = k->planned;
	u64 until_ns;

	if (!r)
		r = c->by_time ? most_for_its_time(c, now_ns)
			       : plan_first(&k->plan, &k->shadow.reads.sorted, k->head, now_ns);
	if (!r)
		return NULL;
	until_ns = antic_until(&k->antic, distance_of(k->head, r->span_sector),
			       k->shadow.reads.sorted.count, now_ns);
	if (!until_ns || overdue_ns(c) <= now_ns)
		return cats_send_read(k, r);
	k->planned = r;
	*ask_ns = min_u64(min_u64(*ask_ns, until_ns), overdue_ns(c));
	return NULL;
}

static struct disk_req *cats2_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cats2 *c = container_of(s, struct cats2, common.made.sched);
	struct cats_common *k = &c->common;
	enum burst_kind burst = burst_look(&k->writes, !shadow_empty(&k->shadow), now_ns);
	struct disk_req *r;

	if (burst == BURST_FORCED)
		return cats_send_write(k);
	r = send_overdue(c, now_ns);
	if (r)
		return r;
	r = shadow_take_hit(&k->shadow);
	if (r)
		return cats_send(k, r, true);
	if (burst == BURST_IDLE)
		return cats_send_idle_write(k, now_ns, ask_ns);
	*ask_ns = burst_ask_ns(&k->writes, shadow_empty(&k->shadow) ? BURST_IDLE : BURST_FORCED,
			       now_ns);
	return next_read(c, now_ns, ask_ns);
}

const struct sched_class sched_cats2 = {
	.name = "cats2",
	.summary = "CATS with ages, a bound on waiting, and the drive's own times",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cats2_create,
	.destroy = cats_common_destroy,
	.add = cats2_add,
	.next = cats2_next,
	.done = cats_common_done,
};
