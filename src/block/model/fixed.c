/* SPDX-License-Identifier: BSD-2-Clause */
/* A drive that takes the same time for everything, several requests side by side. */
#include "base/errno.h"
#include "block/model/list.h"

struct params {
	u64 latency_ns, depth;
};

static const struct param params[] = {
	{"latency", "time that each request takes", PARAM_TIME, offsetof(struct params, latency_ns),
	 "100us", 0, 1e12},
	{"depth", "requests at a time", PARAM_COUNT, offsetof(struct params, depth), "64", 1, 4096},
	{.name = NULL},
};

struct fixed {
	struct drive drive;
	const struct alc_host *host;
	u64 latency_ns;
	struct disk_req *first, **end; /* in order of submission, and so of completion */
};

static int fixed_create(const struct drive_env *env, const void *values, struct drive **out,
			struct alc_err *err)
{
	const struct params *p = values;
	struct fixed *f = host_alloc(env->host, sizeof(*f));

	if (!f)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*f = (struct fixed){.drive = {.class = &drive_fixed, .depth = (unsigned)p->depth},
			    .host = env->host,
			    .latency_ns = p->latency_ns,
			    .end = &f->first};
	*out = &f->drive;
	return 0;
}

static void fixed_destroy(struct drive *d)
{
	struct fixed *f = container_of(d, struct fixed, drive);

	host_free(f->host, f, sizeof(*f));
}

static void fixed_submit(struct drive *d, struct disk_req *r, u64 now_ns)
{
	struct fixed *f = container_of(d, struct fixed, drive);

	r->done_ns = now_ns + f->latency_ns;
	r->next = NULL;
	*f->end = r;
	f->end = &r->next;
}

static u64 fixed_next_ns(const struct drive *d)
{
	const struct fixed *f = (const void *)d;

	return f->first ? f->first->done_ns : DISK_NEVER;
}

static struct disk_req *fixed_take(struct drive *d, u64 now_ns)
{
	struct fixed *f = container_of(d, struct fixed, drive);
	struct disk_req *r = f->first;

	if (!r || r->done_ns > now_ns)
		return NULL;
	f->first = r->next;
	if (!f->first)
		f->end = &f->first;
	return r;
}

const struct drive_class drive_fixed = {
	.name = "fixed",
	.summary = "the same time for every request",
	.params = params,
	.params_size = sizeof(struct params),
	.create = fixed_create,
	.destroy = fixed_destroy,
	.submit = fixed_submit,
	.next_ns = fixed_next_ns,
	.take = fixed_take,
};
