/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk scheduler of one's own: the nearest request first, but none that has waited too long.
 *
 *	make -C examples/scheduler
 *	alcazar run --disk
 *disk.img,model=linear,sched=./examples/scheduler/nearest.so:patience=50ms
 *
 * doc/disk-lab.md goes through it.
 */
#include <errno.h>

#include "block/sched/plugin.h"

struct params {
	u64 patience_ns;
};

static const struct param params[] = {
	{"patience", "how long a request may be passed over", PARAM_TIME,
	 offsetof(struct params, patience_ns), "100ms", 0, 1e12},
	{.name = NULL},
};

struct nearest {
	struct sched sched; /* first: what the stage knows of it */
	const struct alc_host *host;
	u64 patience_ns;
	u64 head;               /* where the last request ended */
	struct disk_req *first; /* those that wait, the oldest first, linked by next */
};

static struct nearest *of(struct sched *s)
{
	return container_of(s, struct nearest, sched);
}

static int nearest_create(const struct sched_env *env, const void *values, struct sched **out,
			  struct alc_err *err)
{
	const struct params *p = values;
	struct nearest *n = host_alloc(env->host, sizeof(*n)); /* zeroed */

	if (!n)
		return -ENOMEM;
	n->host = env->host;
	n->patience_ns = p->patience_ns;
	*out = &n->sched;
	return 0;
}

static void nearest_destroy(struct sched *s)
{
	host_free(of(s)->host, of(s), sizeof(struct nearest));
}

static void nearest_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct disk_req **end = &of(s)->first;

	while (*end)
		end = &(*end)->next;
	*end = r;
	r->next = NULL;
}

static u64 distance(const struct nearest *n, const struct disk_req *r)
{
	return r->sector > n->head ? r->sector - n->head : n->head - r->sector;
}

/* Where in the list the one is that the drive shall get; the list is not empty. */
static struct disk_req **choose(struct nearest *n, u64 now_ns)
{
	struct disk_req **best = &n->first;

	if (now_ns - n->first->arrival_ns > n->patience_ns)
		return best;
	for (struct disk_req **at = best; *at; at = &(*at)->next)
		if (distance(n, *at) < distance(n, *best))
			best = at;
	return best;
}

/* The drive has room. */
static struct disk_req *nearest_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct nearest *n = of(s);
	struct disk_req **at, *r;

	*ask_ns = DISK_NEVER; /* ask when something has changed */
	if (!n->first)
		return NULL;
	at = choose(n, now_ns);
	r = *at;
	*at = r->next;
	n->head = disk_req_end(r);
	return r;
}

static const struct sched_class nearest = {
	.name = "nearest",
	.summary = "nearest first, with patience",
	.params = params,
	.params_size = sizeof(struct params),
	.create = nearest_create,
	.destroy = nearest_destroy,
	.add = nearest_add,
	.next = nearest_next,
};

SCHED_PLUGIN(nearest);
