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
#include "block/sched/antic.h"
#include "block/sched/burst.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/plan.h"
#include "block/sched/shadow.h"

struct params {
	u64 max_sectors, table_side;
	struct burst_params burst;
	struct antic_params antic;
	bool hit_first;
	struct segcache_params segcache;
};

static const struct param params[] = {
	BURST_PARAMS(offsetof(struct params, burst)),
	{"antic_expire", "longest time to wait for the next read of a process; 0: none", PARAM_TIME,
	 offsetof(struct params, antic.expire_ns), "5ms", 0, 1e12},
	{"antic_always", "wait so long after each read, however unlikely the next one is",
	 PARAM_FLAG, offsetof(struct params, antic.always), "off", 0, 0},
	{"table_side", "most requests that T looks at on each side of the head", PARAM_COUNT,
	 offsetof(struct params, table_side), "64", 1, TABLE_SIDE_MAX},
	{"hit_first", "serve first what the drive has in its cache", PARAM_FLAG,
	 offsetof(struct params, hit_first), "on", 0, 0},
	SEGCACHE_PARAMS(offsetof(struct params, segcache)),
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

struct cats {
	struct made made;
	struct shadow shadow;
	struct burst writes;
	struct antic antic;
	u64 head;
	struct disk_req *planned; /* T's answer, as long as nothing has changed; or NULL */
	struct plan plan;
};

static void cats_destroy(struct sched *s)
{
	struct cats *c = container_of(s, struct cats, made.sched);

	shadow_fini(&c->shadow);
	sched_unmake(s);
}

static int cats_create(const struct sched_env *env, const void *values, struct sched **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct cats *c = sched_make(env, &sched_cats, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	c->plan.side = (unsigned)p->table_side;
	burst_init(&c->writes, &p->burst, p->max_sectors);
	antic_init(&c->antic, &p->antic, env->sectors);
	rc = shadow_init(&c->shadow, env, p->hit_first ? &p->segcache : NULL, p->max_sectors, err);
	if (rc) {
		cats_destroy(&c->made.sched);
		return rc;
	}
	*out = &c->made.sched;
	return 0;
}

static void cats_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cats *c = container_of(s, struct cats, made.sched);

	antic_added(&c->antic, r, now_ns);
	if (r->op == BLOCK_READ) {
		shadow_add(&c->shadow, r, now_ns);
		c->planned = NULL;
	} else {
		burst_add(&c->writes, r, now_ns);
	}
}

static void cats_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cats *c = container_of(s, struct cats, made.sched);

	antic_done(&c->antic, r, now_ns);
}

/* The drive gets r, which has left its queue; a hit leaves the head where it is. */
static struct disk_req *send(struct cats *c, struct disk_req *r, bool hit)
{
	antic_sent(&c->antic, r, hit ? 0 : distance_of(c->head, r->span_sector));
	if (!hit)
		c->head = span_end(r);
	c->planned = NULL;
	return r;
}

static struct disk_req *send_write(struct cats *c)
{
	struct disk_req *r = burst_take(&c->writes);

	shadow_write(&c->shadow, r);
	return send(c, r, false);
}

/* The next read by T; NULL: none, or better not now. */
static struct disk_req *send_read(struct cats *c, u64 now_ns, u64 *ask_ns)
{
	struct disk_req *r = c->planned;
	u64 until_ns;

	if (!r)
		r = plan_first(&c->plan, &c->shadow.reads.sorted, c->head, now_ns);
	if (!r)
		return NULL;
	until_ns = antic_until(&c->antic, distance_of(c->head, r->span_sector),
			       c->shadow.reads.sorted.count, now_ns);
	if (until_ns) {
		c->planned = r;
		*ask_ns = min_u64(until_ns, burst_ask_ns(&c->writes, BURST_FORCED, now_ns));
		return NULL;
	}
	shadow_take(&c->shadow, r);
	burst_passed(&c->writes);
	return send(c, r, false);
}

/* Writes while there are no reads: a read may come, however. */
static struct disk_req *send_idle_write(struct cats *c, u64 now_ns, u64 *ask_ns)
{
	u64 until_ns = antic_until(&c->antic, distance_of(c->head, c->writes.head), 0, now_ns);

	if (!until_ns)
		return send_write(c);
	*ask_ns = min_u64(until_ns, burst_ask_ns(&c->writes, BURST_FORCED, now_ns));
	return NULL;
}

static struct disk_req *cats_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cats *c = container_of(s, struct cats, made.sched);
	struct disk_req *r = shadow_take_hit(&c->shadow);

	if (r)
		return send(c, r, true);
	switch (burst_look(&c->writes, !shadow_empty(&c->shadow), now_ns)) {
	case BURST_FORCED:
		return send_write(c);
	case BURST_IDLE:
		return send_idle_write(c, now_ns, ask_ns);
	case BURST_NONE:
		break;
	}
	*ask_ns = burst_ask_ns(&c->writes, shadow_empty(&c->shadow) ? BURST_IDLE : BURST_FORCED,
			       now_ns);
	return send_read(c, now_ns, ask_ns);
}

const struct sched_class sched_cats = {
	.name = "cats",
	.summary = "cache-aware table scheduler: hits first, then the optimal order",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cats_create,
	.destroy = cats_destroy,
	.add = cats_add,
	.next = cats_next,
	.done = cats_done,
};
