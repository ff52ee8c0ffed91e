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
#include "block/sched/antic.h"
#include "block/sched/burst.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/plan.h"
#include "block/sched/shadow.h"

struct params {
	u64 expire_ns, batch, age_ns, max_sectors, table_side;
	struct burst_params burst;
	struct antic_params antic;
	bool hit_first, clusters, by_time;
	struct segcache_params segcache;
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
	BURST_PARAMS(offsetof(struct params, burst)),
	{"antic_expire", "longest time to wait for the next read of a process; 0: none", PARAM_TIME,
	 offsetof(struct params, antic.expire_ns), "5ms", 0, 1e12},
	{"table_side", "most requests that T looks at on each side of the head", PARAM_COUNT,
	 offsetof(struct params, table_side), "64", 1, TABLE_SIDE_MAX},
	{"hit_first", "serve first what the drive has in its cache", PARAM_FLAG,
	 offsetof(struct params, hit_first), "on", 0, 0},
	SEGCACHE_PARAMS(offsetof(struct params, segcache)),
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

struct cats2 {
	struct made made;
	struct sched_env env;
	u64 expire_ns, batch;
	u64 since_overdue; /* requests since the last that was sent because it had waited */
	bool by_time;
	struct shadow shadow;
	struct burst writes;
	struct antic antic;
	u64 head;
	struct disk_req *planned; /* the last answer, while nothing has changed; or NULL */
	struct plan plan;
};

static void cats2_destroy(struct sched *s)
{
	struct cats2 *c = container_of(s, struct cats2, made.sched);

	shadow_fini(&c->shadow);
	sched_unmake(s);
}

static void set_params(struct cats2 *c, const struct sched_env *env, const struct params *p)
{
	c->env = *env;
	c->expire_ns = p->expire_ns;
	c->batch = c->since_overdue = p->batch;
	c->by_time = p->by_time && env->access_ns;
	c->plan.side = (unsigned)p->table_side;
	c->plan.age_ns = (double)p->age_ns;
	c->plan.ahead = p->clusters ? p->segcache.prefetch : 0;
	burst_init(&c->writes, &p->burst, p->max_sectors);
	antic_init(&c->antic, &p->antic, env->sectors);
}

static int cats2_create(const struct sched_env *env, const void *values, struct sched **out,
			struct alc_err *err)
{
	const struct params *p = values;
	struct cats2 *c = sched_make(env, &sched_cats2, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	set_params(c, env, p);
	rc = shadow_init(&c->shadow, env, p->hit_first && !c->by_time ? &p->segcache : NULL,
			 p->max_sectors, err);
	if (rc) {
		cats2_destroy(&c->made.sched);
		return rc;
	}
	*out = &c->made.sched;
	return 0;
}

static void cats2_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cats2 *c = container_of(s, struct cats2, made.sched);

	antic_added(&c->antic, r, now_ns);
	if (r->sync || r->op == BLOCK_READ) {
		shadow_add(&c->shadow, r, now_ns);
		c->planned = NULL;
	} else {
		burst_add(&c->writes, r, now_ns);
	}
}

static void cats2_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cats2 *c = container_of(s, struct cats2, made.sched);

	antic_done(&c->antic, r, now_ns);
}

/* The drive gets r, which has left its queue; a hit leaves the head where it is. */
static struct disk_req *send(struct cats2 *c, struct disk_req *r, bool hit)
{
	antic_sent(&c->antic, r, hit ? 0 : distance_of(c->head, r->span_sector));
	if (!hit)
		c->head = span_end(r);
	c->planned = NULL;
	c->since_overdue++;
	return r;
}

static struct disk_req *send_write(struct cats2 *c)
{
	struct disk_req *r = burst_take(&c->writes);

	shadow_write(&c->shadow, r);
	return send(c, r, false);
}

/* ---- What has waited too long ------------------------------------------------------------- */

static struct disk_req *oldest(const struct cats2 *c)
{
	struct disk_req *a = c->shadow.reads.fifo.oldest, *b = c->shadow.hits.fifo.oldest;

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

	if (overdue_ns(c) > now_ns || c->since_overdue < c->batch)
		return NULL;
	shadow_take(&c->shadow, r);
	burst_passed(&c->writes);
	send(c, r, false);
	c->since_overdue = 0;
	return r;
}

/* ---- The next read ------------------------------------------------------------------------ */

static struct disk_req *most_for_its_time(const struct cats2 *c, u64 now_ns)
{
	struct disk_req *best = NULL;
	double most = 0;

	for (struct disk_req *r = c->shadow.reads.fifo.oldest; r; r = r->next) {
		double ns = (double)c->env.access_ns(c->env.access_ctx, r, now_ns) + 1;
		double worth = plan_age_weight(&c->plan, r, now_ns) / ns;

		if (worth > most) {
			most = worth;
			best = r;
		}
	}
	return best;
}

/* NULL: none, or better not now. */
static struct disk_req *send_read(struct cats2 *c, u64 now_ns, u64 *ask_ns)
{
	struct disk_req *r = c->planned;
	u64 until_ns;

	if (!r)
		r = c->by_time ? most_for_its_time(c, now_ns)
			       : plan_first(&c->plan, &c->shadow.reads.sorted, c->head, now_ns);
	if (!r)
		return NULL;
	until_ns = antic_until(&c->antic, distance_of(c->head, r->span_sector),
			       c->shadow.reads.sorted.count, now_ns);
	if (!until_ns || overdue_ns(c) <= now_ns) {
		shadow_take(&c->shadow, r);
		burst_passed(&c->writes);
		return send(c, r, false);
	}
	c->planned = r;
	*ask_ns = min_u64(min_u64(*ask_ns, until_ns), overdue_ns(c));
	return NULL;
}

/* Writes while there are no reads: a read may come, however. */
static struct disk_req *send_idle_write(struct cats2 *c, u64 now_ns, u64 *ask_ns)
{
	u64 until_ns = antic_until(&c->antic, distance_of(c->head, c->writes.head), 0, now_ns);

	if (!until_ns)
		return send_write(c);
	*ask_ns = min_u64(until_ns, burst_ask_ns(&c->writes, BURST_FORCED, now_ns));
	return NULL;
}

static struct disk_req *cats2_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cats2 *c = container_of(s, struct cats2, made.sched);
	enum burst_kind burst = burst_look(&c->writes, !shadow_empty(&c->shadow), now_ns);
	struct disk_req *r;

	if (burst == BURST_FORCED)
		return send_write(c);
	r = send_overdue(c, now_ns);
	if (r)
		return r;
	r = shadow_take_hit(&c->shadow);
	if (r)
		return send(c, r, true);
	if (burst == BURST_IDLE)
		return send_idle_write(c, now_ns, ask_ns);
	*ask_ns = burst_ask_ns(&c->writes, shadow_empty(&c->shadow) ? BURST_IDLE : BURST_FORCED,
			       now_ns);
	return send_read(c, now_ns, ask_ns);
}

const struct sched_class sched_cats2 = {
	.name = "cats2",
	.summary = "CATS with ages, a bound on waiting, and the drive's own times",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cats2_create,
	.destroy = cats2_destroy,
	.add = cats2_add,
	.next = cats2_next,
	.done = cats2_done,
};
