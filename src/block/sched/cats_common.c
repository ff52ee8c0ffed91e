/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/cats_common.h"

static struct cats_common *common_of(struct sched *s)
{
	return container_of(s, struct cats_common, made.sched);
}

int cats_common_init(struct cats_common *c, const struct sched_env *env,
		     const struct cats_params *p, bool shadowed, struct alc_err *err)
{
	int rc;

	c->plan.side = (unsigned)p->table_side;
	burst_init(&c->writes, &p->burst, p->max_sectors);
	antic_init(&c->antic, &p->antic, env->sectors);
	rc = shadow_init(&c->shadow, env, shadowed ? &p->segcache : NULL, p->max_sectors, err);
	if (rc)
		cats_common_destroy(&c->made.sched);
	return rc;
}

void cats_common_destroy(struct sched *s)
{
	shadow_fini(&common_of(s)->shadow);
	sched_unmake(s);
}

void cats_common_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	antic_done(&common_of(s)->antic, r, now_ns);
}

void cats_common_add(struct cats_common *c, struct disk_req *r, bool as_read, u64 now_ns)
{
	antic_added(&c->antic, r, now_ns);
	if (as_read) {
		shadow_add(&c->shadow, r, now_ns);
		c->planned = NULL;
	} else {
		burst_add(&c->writes, r, now_ns);
	}
}

struct disk_req *cats_send(struct cats_common *c, struct disk_req *r, bool hit)
{
	antic_sent(&c->antic, r, hit ? 0 : distance_of(c->head, r->span_sector));
	if (!hit)
		c->head = span_end(r);
	c->planned = NULL;
	c->sent++;
	return r;
}

struct disk_req *cats_send_read(struct cats_common *c, struct disk_req *r)
{
	shadow_take(&c->shadow, r);
	burst_passed(&c->writes);
	return cats_send(c, r, false);
}

struct disk_req *cats_send_write(struct cats_common *c)
{
	struct disk_req *r = burst_take(&c->writes);

	shadow_write(&c->shadow, r);
	return cats_send(c, r, false);
}

struct disk_req *cats_send_idle_write(struct cats_common *c, u64 now_ns, u64 *ask_ns)
{
	u64 until_ns = antic_until(&c->antic, distance_of(c->head, c->writes.head), 0, now_ns);

	if (!until_ns)
		return cats_send_write(c);
	*ask_ns = min_u64(until_ns, burst_ask_ns(&c->writes, BURST_FORCED, now_ns));
	return NULL;
}
