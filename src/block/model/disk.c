/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rotating disk in detail. geometry.h says where sectors are and when they pass, arm.h what the
 * arm does next, segcache.h what the read cache has. Here is the controller: it works on each
 * request for a while (overhead) beside what the arm does, and has one bus to the host, on which
 * what does not come from the medium as it passes goes in the order of arrival.
 *
 * A read hits if one segment of the cache or one range of the write cache has all of it, or if the
 * heads are reading its last sectors ahead and the cache has those before; then the arm goes on
 * with that first. A hit in a sweep of read-ahead makes it go on behind it.
 *
 * A write is done when the write cache has it, if that is on and has room, else when it is on the
 * medium. A range that lies in one that is waiting there takes no room; there can be 256 of them.
 */
#include "base/errno.h"
#include "block/model/arm.h"
#include "block/model/done.h"
#include "block/model/list.h"

enum { DIRTY_MAX = 256 };

struct params {
	struct geometry_params geometry;
	u64 span, depth, overhead_ns, bus_ns, patience_ns, buffer;
	bool cache, write_cache;
	struct segcache_params segcache;
};

static const struct param params[] = {
	{"rotation", "time of one rotation", PARAM_TIME,
	 offsetof(struct params, geometry.rotation_ns), "8.333333ms", 1e3, 1e9},
	{"heads", "surfaces, and heads", PARAM_COUNT, offsetof(struct params, geometry.heads), "4",
	 1, 1024},
	{"zones", "zones, of as many cylinders each", PARAM_COUNT,
	 offsetof(struct params, geometry.zones), "16", 1, GEOMETRY_ZONES_MAX},
	{"outer", "sectors per track in the first zone", PARAM_COUNT,
	 offsetof(struct params, geometry.outer), "2400", 1, 1 << 20},
	{"inner", "sectors per track in the last zone", PARAM_COUNT,
	 offsetof(struct params, geometry.inner), "1200", 1, 1 << 20},
	{"seek-single", "time of a seek to the next cylinder", PARAM_TIME,
	 offsetof(struct params, geometry.single_ns), "1ms", 0, 1e9},
	{"seek-average", "time of a seek over a third of the disk", PARAM_TIME,
	 offsetof(struct params, geometry.average_ns), "8.5ms", 0, 1e9},
	{"seek-full", "time of a full-stroke seek", PARAM_TIME,
	 offsetof(struct params, geometry.full_ns), "18ms", 0, 1e9},
	{"head-switch", "time to go over to another head", PARAM_TIME,
	 offsetof(struct params, geometry.head_switch_ns), "0.8ms", 0, 1e9},
	{"write-settle", "time that a write waits longer after a move", PARAM_TIME,
	 offsetof(struct params, geometry.write_settle_ns), "0.5ms", 0, 1e9},
	{"span", "sectors of the whole drive, if the disk is only its first part", PARAM_COUNT,
	 offsetof(struct params, span), "0", 0, 1e15},
	{"depth", "requests that it queues and picks from", PARAM_COUNT,
	 offsetof(struct params, depth), "32", 1, 256},
	{"overhead", "time that the controller works on a request", PARAM_TIME,
	 offsetof(struct params, overhead_ns), "100us", 0, 1e9},
	{"bus", "time that each sector takes on the bus", PARAM_TIME,
	 offsetof(struct params, bus_ns), "1.707us", 0, 1e8},
	{"patience", "wait after which a request is picked whatever its place", PARAM_TIME,
	 offsetof(struct params, patience_ns), "2s", 0, 1e15},
	{"cache", "whether it has a read cache", PARAM_FLAG, offsetof(struct params, cache), "on",
	 0, 0},
	SEGCACHE_PARAMS(offsetof(struct params, segcache)),
	{"write-cache", "whether writes are done when its memory has them", PARAM_FLAG,
	 offsetof(struct params, write_cache), "on", 0, 0},
	{"buffer", "sectors of the write cache", PARAM_COUNT, offsetof(struct params, buffer), "8K",
	 1, 1 << 30},
	{.name = NULL},
};

struct disk {
	struct drive drive;
	const struct alc_host *host;
	struct params params;
	struct geometry geometry;
	struct segcache *cache;
	struct arm arm;
	u64 bus_free_ns;
	struct disk_req *done;
	u64 reads, writes, hits, buffered;
	unsigned jobs_max;  /* in each of the next two */
	struct job *jobs;   /* the arm's lists */
	struct job *future; /* room for those of a copy of it */
};

/* ---- Life --------------------------------------------------------------------------------- */

static void disk_destroy(struct drive *drive)
{
	struct disk *d = container_of(drive, struct disk, drive);

	segcache_destroy(d->cache);
	host_free(d->host, d->jobs, d->jobs_max * sizeof(*d->jobs));
	host_free(d->host, d->future, d->jobs_max * sizeof(*d->future));
	host_free(d->host, d, sizeof(*d));
}

static void make_arm(struct disk *d, u64 sectors)
{
	const struct params *p = &d->params;
	unsigned depth = (unsigned)p->depth;

	d->arm = (struct arm){
		.geometry = &d->geometry,
		.cache = d->cache,
		.disk_sectors = sectors,
		.prefetch = p->cache ? min_u64(p->segcache.prefetch, p->segcache.sectors) : 0,
		.patience_ns = p->patience_ns,
		.requests = {.all = d->jobs, .max = depth},
		.dirty = {.all = d->jobs + depth, .max = DIRTY_MAX},
		.dirty_max = p->buffer,
	};
}

static int make_parts(struct disk *d, u64 sectors, struct alc_err *err)
{
	int rc = geometry_init(&d->geometry, &d->params.geometry, max_u64(sectors, d->params.span),
			       err);

	if (!rc && d->params.cache)
		rc = segcache_create(d->host, &d->params.segcache, sectors, &d->cache, err);
	if (rc)
		return rc;
	d->jobs = host_alloc(d->host, d->jobs_max * sizeof(*d->jobs));
	d->future = host_alloc(d->host, d->jobs_max * sizeof(*d->future));
	if (!d->jobs || !d->future)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	make_arm(d, sectors);
	return 0;
}

static int disk_create(const struct drive_env *env, const void *values, struct drive **out,
		       struct alc_err *err)
{
	const struct params *p = values;
	struct disk *d = host_alloc(env->host, sizeof(*d));
	int rc;

	if (!d)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*d = (struct disk){.drive = {.class = &drive_disk, .depth = (unsigned)p->depth},
			   .host = env->host,
			   .params = *p,
			   .jobs_max = (unsigned)p->depth + DIRTY_MAX};
	rc = make_parts(d, env->sectors, err);
	if (rc) {
		disk_destroy(&d->drive);
		return rc;
	}
	*out = &d->drive;
	return 0;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void advance(struct disk *d, u64 now_ns)
{
	struct job started;

	while (arm_step(&d->arm, now_ns, &started))
		if (started.req) {
			started.req->done_ns = d->arm.free_ns;
			done_put(&d->done, started.req);
		}
}

static struct job job_of(const struct disk *d, struct disk_req *r, u64 now_ns)
{
	return (struct job){
		.req = r,
		.sector = r->span_sector,
		.sectors = r->span_sectors,
		.write = r->op != BLOCK_READ,
		.since_ns = now_ns,
		.ready_ns = now_ns + d->params.overhead_ns,
		.place = geometry_place(&d->geometry, r->span_sector),
	};
}

/* Between the controller's memory and the host: when it is across. */
static u64 cross_bus(struct disk *d, u32 sectors, u64 now_ns)
{
	u64 begin_ns = max_u64(d->bus_free_ns, now_ns + d->params.overhead_ns);

	d->bus_free_ns = begin_ns + sectors * d->params.bus_ns;
	return d->bus_free_ns;
}

static bool dirty_has(const struct disk *d, u64 sector, u64 sectors)
{
	const struct jobs *l = &d->arm.dirty;

	for (unsigned i = 0; i < l->n; i++)
		if (l->all[i].sector <= sector &&
		    sector + sectors <= l->all[i].sector + l->all[i].sectors)
			return true;
	return false;
}

static bool read_hits(struct disk *d, const struct disk_req *r, u64 *done_ns)
{
	u64 sector = r->span_sector, sectors = r->span_sectors;

	*done_ns = 0;
	return (d->cache && segcache_has(d->cache, sector, sectors)) ||
	       dirty_has(d, sector, sectors) ||
	       (d->cache && arm_stream(&d->arm, sector, sectors, done_ns));
}

static void submit_read(struct disk *d, struct disk_req *r, u64 now_ns)
{
	struct job job;
	u64 stream_ns;

	d->reads++;
	arm_read_ahead(&d->arm, now_ns);
	r->cached = read_hits(d, r, &stream_ns);
	if (!r->cached) {
		job = job_of(d, r, now_ns);
		arm_add(&d->arm, &d->arm.requests, &job, now_ns);
		return;
	}
	d->hits++;
	r->done_ns = max_u64(cross_bus(d, r->span_sectors, now_ns), stream_ns);
	done_put(&d->done, r);
	arm_read_on(&d->arm, r->span_sector, r->span_sectors, now_ns);
}

static bool has_room(const struct disk *d, u32 sectors)
{
	return d->arm.dirty.n < d->arm.dirty.max &&
	       d->arm.dirty_sectors + sectors <= d->params.buffer;
}

static void submit_write(struct disk *d, struct disk_req *r, u64 now_ns)
{
	struct job job = job_of(d, r, now_ns);
	bool absorbed = d->params.write_cache && dirty_has(d, r->span_sector, r->span_sectors);

	d->writes++;
	r->cached = absorbed || (d->params.write_cache && has_room(d, r->span_sectors));
	if (d->cache)
		segcache_write(d->cache, r->span_sector, r->span_sectors);
	if (!r->cached) {
		arm_add(&d->arm, &d->arm.requests, &job, now_ns);
		return;
	}
	d->buffered++;
	r->done_ns = cross_bus(d, r->span_sectors, now_ns);
	done_put(&d->done, r);
	if (absorbed)
		return;
	job.req = NULL;
	job.ready_ns = r->done_ns;
	arm_add(&d->arm, &d->arm.dirty, &job, now_ns);
}

static void disk_submit(struct drive *drive, struct disk_req *r, u64 now_ns)
{
	struct disk *d = container_of(drive, struct disk, drive);

	advance(d, now_ns);
	if (r->op == BLOCK_READ)
		submit_read(d, r, now_ns);
	else
		submit_write(d, r, now_ns);
	advance(d, now_ns);
}

static struct disk_req *disk_take(struct drive *drive, u64 now_ns)
{
	struct disk *d = container_of(drive, struct disk, drive);

	advance(d, now_ns);
	return done_take(&d->done, now_ns);
}

/* ---- Looking ahead ------------------------------------------------------------------------ */

/* When the arm will have served the first of the requests that wait. */
static u64 next_of_arm(const struct disk *d)
{
	struct arm future = arm_copy(&d->arm, d->future);
	struct job started;

	while (arm_step(&future, DISK_NEVER, &started))
		if (started.req)
			return future.free_ns;
	return DISK_NEVER;
}

static u64 disk_next_ns(const struct drive *drive)
{
	const struct disk *d = (const void *)drive;
	u64 next_ns = done_next_ns(d->done);

	if (!d->arm.requests.n || next_ns <= d->arm.free_ns)
		return next_ns;
	return min_u64(next_ns, next_of_arm(d));
}

static u64 disk_flush_ns(struct drive *drive, u64 now_ns)
{
	struct disk *d = container_of(drive, struct disk, drive);
	struct arm future;
	struct job started;
	u64 last_ns = now_ns;

	advance(d, now_ns);
	future = arm_copy(&d->arm, d->future);
	while (arm_step(&future, DISK_NEVER, &started))
		last_ns = max_u64(last_ns, future.free_ns);
	if (d->arm.busy)
		last_ns = max_u64(last_ns, d->arm.free_ns);
	for (const struct disk_req *r = d->done; r; r = r->next)
		last_ns = max_u64(last_ns, r->done_ns);
	return last_ns;
}

/* From where the heads were last, and without the read-ahead that is under way. */
static u64 disk_access_ns(const struct drive *drive, const struct disk_req *r, u64 now_ns)
{
	const struct disk *d = (const void *)drive;
	u64 sector = r->span_sector, sectors = r->span_sectors, begin_ns;
	bool write = r->op != BLOCK_READ;
	struct place place = geometry_place(&d->geometry, sector);
	struct track track = d->arm.track;

	if (write ? d->params.write_cache && has_room(d, r->span_sectors)
		  : (d->cache && segcache_has(d->cache, sector, sectors)) ||
			    dirty_has(d, sector, sectors))
		return d->params.overhead_ns + sectors * d->params.bus_ns;
	begin_ns = max_u64(d->arm.free_ns, now_ns + d->params.overhead_ns);
	begin_ns = geometry_reach_ns(&d->geometry, track, begin_ns, &place, write);
	return geometry_transfer_ns(&d->geometry, sector, sectors, begin_ns, write, &track) -
	       now_ns;
}

static void disk_stats(const struct drive *drive,
		       void (*fn)(void *ctx, const char *name, double value), void *ctx)
{
	const struct disk *d = (const void *)drive;

	fn(ctx, "reads", (double)d->reads);
	fn(ctx, "writes", (double)d->writes);
	fn(ctx, "hits", (double)d->hits);
	fn(ctx, "writes-buffered", (double)d->buffered);
	fn(ctx, "writes-destaged", (double)d->arm.destages);
	fn(ctx, "seeks", (double)d->arm.seeks);
	fn(ctx, "cylinders-moved", (double)d->arm.seek_cylinders);
	fn(ctx, "cylinders", d->geometry.cylinders);
}

const struct drive_class drive_disk = {
	.name = "disk",
	.summary = "a rotating disk: arm, heads, zones, caches, a queue of its own",
	.params = params,
	.params_size = sizeof(struct params),
	.create = disk_create,
	.destroy = disk_destroy,
	.submit = disk_submit,
	.next_ns = disk_next_ns,
	.take = disk_take,
	.access_ns = disk_access_ns,
	.flush_ns = disk_flush_ns,
	.stats = disk_stats,
};
