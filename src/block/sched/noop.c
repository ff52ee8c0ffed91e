/* SPDX-License-Identifier: BSD-2-Clause */
/* First come, first served. */
#include "base/errno.h"
#include "block/sched/list.h"

struct noop {
	struct sched sched;
	const struct alc_host *host;
	struct disk_req *first, **end;
};

static int noop_create(const struct sched_env *env, const void *params, struct sched **out,
		       struct alc_err *err)
{
	struct noop *n = host_alloc(env->host, sizeof(*n));

	if (!n)
		return alc_fail(err, -ENOMEM, "no memory for a disk scheduler");
	*n = (struct noop){.sched.class = &sched_noop, .host = env->host, .end = &n->first};
	*out = &n->sched;
	return 0;
}

static void noop_destroy(struct sched *s)
{
	struct noop *n = container_of(s, struct noop, sched);

	host_free(n->host, n, sizeof(*n));
}

static void noop_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct noop *n = container_of(s, struct noop, sched);

	*n->end = r;
	n->end = &r->next;
}

static struct disk_req *noop_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct noop *n = container_of(s, struct noop, sched);
	struct disk_req *r = n->first;

	*ask_ns = DISK_NEVER;
	if (!r)
		return NULL;
	n->first = r->next;
	if (!n->first)
		n->end = &n->first;
	r->next = NULL;
	return r;
}

const struct sched_class sched_noop = {
	.name = "noop",
	.summary = "first come, first served",
	.create = noop_create,
	.destroy = noop_destroy,
	.add = noop_add,
	.next = noop_next,
};
