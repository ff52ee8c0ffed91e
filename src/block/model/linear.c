/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The linear seek model of virtual performance throttles: a request takes half a rotation, and of
 * the time for a full stroke as large a part as its distance is of the disk,
 *
 *	X = R/2 + S * d/D
 *
 * where d is the distance in sectors from the end of the request before it. One at a time; others
 * that it was given wait inside, first come first served. A hit in the drive's cache, if it has
 *one, takes a time of its own and leaves the head where it is.
 */
#include "base/errno.h"
#include "block/model/done.h"
#include "block/model/list.h"
#include "block/model/segcache.h"

struct params {
	u64 rotation_ns, seek_ns, transfer_ns, hit_ns, span, depth;
	bool cache;
	struct segcache_params segcache;
};

static const struct param params[] = {
	{"rotation", "time of one rotation", PARAM_TIME, offsetof(struct params, rotation_ns),
	 "4ms", 0, 1e12},
	{"seek", "time of a full-stroke seek", PARAM_TIME, offsetof(struct params, seek_ns),
	 "7.4ms", 0, 1e12},
	{"transfer", "time that each sector adds", PARAM_TIME, offsetof(struct params, transfer_ns),
	 "0", 0, 1e8},
	{"span", "sectors of the whole drive, if the disk is only its first part", PARAM_COUNT,
	 offsetof(struct params, span), "0", 0, 1e15},
	{"depth", "requests that it takes: one is served, the others wait inside", PARAM_COUNT,
	 offsetof(struct params, depth), "1", 1, 256},
	{"cache", "whether it has a read cache", PARAM_FLAG, offsetof(struct params, cache), "off",
	 0, 0},
	{"hit", "time that a hit in the cache takes", PARAM_TIME, offsetof(struct params, hit_ns),
	 "200us", 0, 1e12},
	SEGCACHE_PARAMS(offsetof(struct params, segcache)),
	{.name = NULL},
};

struct linear {
	struct drive drive;
	const struct alc_host *host;
	struct params params;
	u64 span; /* D */
	u64 head;
	struct segcache *cache;  /* or NULL */
	struct disk_req *inside; /* in order of submission, and so of completion */
	u64 free_ns;             /* when all of them are done */
	u64 reads, hits, writes, moved;
};

static void linear_destroy(struct drive *d)
{
	struct linear *l = container_of(d, struct linear, drive);

	segcache_destroy(l->cache);
	host_free(l->host, l, sizeof(*l));
}

static int linear_create(const struct drive_env *env, const void *values, struct drive **out,
			 struct alc_err *err)
{
	const struct params *p = values;
	struct linear *l = host_alloc(env->host, sizeof(*l));
	int rc = 0;

	if (!l)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*l = (struct linear){.drive = {.class = &drive_linear, .depth = (unsigned)p->depth},
			     .host = env->host,
			     .params = *p,
			     .span = max_u64(max_u64(env->sectors, p->span), 1)};
	if (p->cache)
		rc = segcache_create(env->host, &p->segcache, env->sectors, &l->cache, err);
	if (rc) {
		linear_destroy(&l->drive);
		return rc;
	}
	*out = &l->drive;
	return 0;
}

static u64 medium_ns(struct linear *l, const struct disk_req *r)
{
	const struct params *p = &l->params;
	u64 at = r->span_sector;
	u64 distance = at > l->head ? at - l->head : l->head - at;

	l->head = at + r->span_sectors;
	l->moved += distance;
	return p->rotation_ns / 2 + mul_div(p->seek_ns, distance, l->span) +
	       p->transfer_ns * r->span_sectors;
}

static bool is_hit(struct linear *l, const struct disk_req *r)
{
	if (r->op == BLOCK_READ)
		return segcache_read(l->cache, r->span_sector, r->span_sectors);
	segcache_write(l->cache, r->span_sector, r->span_sectors);
	return false;
}

static void linear_submit(struct drive *d, struct disk_req *r, u64 now_ns)
{
	struct linear *l = container_of(d, struct linear, drive);

	r->cached = l->cache && is_hit(l, r);
	l->free_ns = max_u64(l->free_ns, now_ns) + (r->cached ? l->params.hit_ns : medium_ns(l, r));
	r->done_ns = l->free_ns;
	done_put(&l->inside, r);
	l->hits += r->cached;
	l->reads += r->op == BLOCK_READ;
	l->writes += r->op != BLOCK_READ;
}

static u64 linear_next_ns(const struct drive *d)
{
	const struct linear *l = (const void *)d;

	return done_next_ns(l->inside);
}

static struct disk_req *linear_take(struct drive *d, u64 now_ns)
{
	struct linear *l = container_of(d, struct linear, drive);

	return done_take(&l->inside, now_ns);
}

static void linear_stats(const struct drive *d,
			 void (*fn)(void *ctx, const char *name, double value), void *ctx)
{
	const struct linear *l = (const void *)d;

	fn(ctx, "reads", (double)l->reads);
	fn(ctx, "writes", (double)l->writes);
	fn(ctx, "hits", (double)l->hits);
	fn(ctx, "sectors-moved", (double)l->moved);
}

const struct drive_class drive_linear = {
	.name = "linear",
	.summary = "half a rotation, and a seek in proportion to the distance",
	.params = params,
	.params_size = sizeof(struct params),
	.create = linear_create,
	.destroy = linear_destroy,
	.submit = linear_submit,
	.next_ns = linear_next_ns,
	.take = linear_take,
	.stats = linear_stats,
};
