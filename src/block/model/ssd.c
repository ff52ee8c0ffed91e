/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A solid-state drive. flash.h says what the flash does and when, buffer.h what the write buffer
 * has. Here is the controller: it works on each request for a while (overhead), all of them side
 * by side, and has one link to the host, on which each piece of data takes the first gap.
 *
 * A request goes unit by unit. A read takes a unit from the buffer, or from the flash unless it was
 * never written, then over the link. A write takes a unit over the link as soon as the buffer has
 * room for it, which it makes by waiting for what leaves first; a unit of which only a part is
 * written, and which the buffer has not, is read from the flash before it is programmed. A write is
 * done when the buffer has all of it. With power-loss protection that is durable, else only what
 * the flash has.
 */
#include "base/errno.h"
#include "block/model/buffer.h"
#include "block/model/done.h"
#include "block/model/flash.h"
#include "block/model/list.h"

struct params {
	struct flash_params flash;
	u64 channel_dies, unit, link_ns, overhead_ns, buffer, depth;
	double filled;
	bool plp;
};

static const struct param params[] = {
	{"channels", "channels of the controller", PARAM_COUNT,
	 offsetof(struct params, flash.channels), "8", 1, 64},
	{"dies", "dies on each channel; with planes that work at once, those", PARAM_COUNT,
	 offsetof(struct params, channel_dies), "4", 1, 64},
	{"unit", "sectors in a unit of the map", PARAM_COUNT, offsetof(struct params, unit), "8", 1,
	 1 << 16},
	{"page", "units in a page of the flash", PARAM_COUNT,
	 offsetof(struct params, flash.page_units), "4", 1, 256},
	{"block", "pages in a block of the flash", PARAM_COUNT,
	 offsetof(struct params, flash.block_pages), "256", 1, 1 << 16},
	{"read", "time to sense a page", PARAM_TIME, offsetof(struct params, flash.sense_ns),
	 "60us", 0, 1e9},
	{"program", "time to program a page", PARAM_TIME, offsetof(struct params, flash.program_ns),
	 "700us", 0, 1e9},
	{"erase", "time to erase a block", PARAM_TIME, offsetof(struct params, flash.erase_ns),
	 "5ms", 0, 1e9},
	{"channel", "time that a unit takes on a channel", PARAM_TIME,
	 offsetof(struct params, flash.carry_ns), "8us", 0, 1e9},
	{"link", "time that each sector takes on the link to the host", PARAM_TIME,
	 offsetof(struct params, link_ns), "930ns", 0, 1e8},
	{"overhead", "time that the controller works on a request", PARAM_TIME,
	 offsetof(struct params, overhead_ns), "20us", 0, 1e9},
	{"buffer", "units in the write buffer", PARAM_COUNT, offsetof(struct params, buffer),
	 "1024", 1, 1 << 20},
	{"plp", "whether the buffer outlives a power failure", PARAM_FLAG,
	 offsetof(struct params, plp), "off", 0, 0},
	{"depth", "requests at a time", PARAM_COUNT, offsetof(struct params, depth), "32", 1, 4096},
	{"filled", "part of the disk that was written before, in order", PARAM_REAL,
	 offsetof(struct params, filled), "1", 0, 1},
	{"spare", "flash beyond the size of the disk, as a part of it", PARAM_REAL,
	 offsetof(struct params, flash.spare), "0.07", 0, 8},
	{"reserve", "free blocks of a die that start garbage collection", PARAM_COUNT,
	 offsetof(struct params, flash.reserve), "4", 1, 1 << 16},
	{"endurance", "erasures that a block bears", PARAM_COUNT,
	 offsetof(struct params, flash.endurance), "3000", 1, 1 << 20},
	{"spread", "part by which that differs from block to block", PARAM_REAL,
	 offsetof(struct params, flash.spread), "0.1", 0, 1},
	{"age", "erasures that each block has had before", PARAM_COUNT,
	 offsetof(struct params, flash.age), "0", 0, 1 << 20},
	{"retry", "chance that a read is tried again, of a block that had its erasures", PARAM_REAL,
	 offsetof(struct params, flash.retry), "0.5", 0, 1},
	{"slower", "part by which an erasure takes longer then", PARAM_REAL,
	 offsetof(struct params, flash.slower), "1", 0, 100},
	{.name = NULL},
};

struct ssd {
	struct drive drive;
	const struct alc_host *host;
	struct params params;
	struct flash *flash;
	struct buffer *buffer;
	struct timeline *link;
	struct disk_req *done;
	u64 last_done_ns, last_program_ns;
	u64 reads, writes, hits, units_written, waits, failed;
};

/* ---- Life --------------------------------------------------------------------------------- */

static void ssd_destroy(struct drive *drive)
{
	struct ssd *s = container_of(drive, struct ssd, drive);

	host_free(s->host, s->link, sizeof(*s->link));
	buffer_destroy(s->buffer);
	flash_destroy(s->flash);
	host_free(s->host, s, sizeof(*s));
}

static int make_parts(struct ssd *s, const struct drive_env *env, struct alc_err *err)
{
	const struct params *p = &s->params;
	u64 units = max_u64((env->sectors + p->unit - 1) / p->unit, 1);
	int rc = flash_create(env->host, &p->flash, units, (u64)((double)units * p->filled),
			      env->seed, &s->flash, err);

	if (!rc)
		rc = buffer_create(env->host, (u32)p->buffer, &s->buffer, err);
	if (rc)
		return rc;
	s->link = host_alloc(env->host, sizeof(*s->link));
	return s->link ? 0 : alc_fail(err, -ENOMEM, "no memory for a drive model");
}

static int ssd_create(const struct drive_env *env, const void *values, struct drive **out,
		      struct alc_err *err)
{
	const struct params *p = values;
	struct ssd *s = host_alloc(env->host, sizeof(*s));
	int rc;

	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*s = (struct ssd){.drive = {.class = &drive_ssd, .depth = (unsigned)p->depth},
			  .host = env->host,
			  .params = *p};
	s->params.flash.dies = p->flash.channels * p->channel_dies;
	rc = make_parts(s, env, err);
	if (rc) {
		ssd_destroy(&s->drive);
		return rc;
	}
	*out = &s->drive;
	return 0;
}

/* ---- Requests ----------------------------------------------------------------------------- */

/* The part of a request that lies in one unit. */
struct piece {
	u64 unit;
	u64 sectors;
};

static struct piece piece_at(const struct ssd *s, u64 sector, u64 end)
{
	u64 size = s->params.unit;

	return (struct piece){sector / size, min_u64(size - sector % size, end - sector)};
}

static u64 cross_link(struct ssd *s, u64 sectors, u64 ready_ns)
{
	return timeline_reserve(s->link, ready_ns, sectors * s->params.link_ns);
}

static void read_units(struct ssd *s, struct disk_req *r, u64 ready_ns)
{
	u64 sector = r->span_sector, end = sector + r->span_sectors;
	struct flash_run run = {0};

	r->cached = true;
	while (sector < end) {
		struct piece p = piece_at(s, sector, end);
		bool hit = buffer_has(s->buffer, p.unit);
		u64 there_ns = hit ? ready_ns : flash_read(s->flash, p.unit, ready_ns, &run);

		r->done_ns = max_u64(r->done_ns, cross_link(s, p.sectors, there_ns));
		r->cached = r->cached && hit;
		sector += p.sectors;
	}
	s->hits += r->cached;
}

static u64 await_room(struct ssd *s, struct disk_req *r, u64 ready_ns)
{
	if (!buffer_is_full(s->buffer))
		return ready_ns;
	s->waits++;
	r->cached = false;
	return max_u64(ready_ns, buffer_drop(s->buffer));
}

static bool write_unit(struct ssd *s, struct disk_req *r, const struct piece *p, u64 ready_ns)
{
	bool merges = p->sectors < s->params.unit && !buffer_has(s->buffer, p->unit);
	u64 room_ns = await_room(s, r, ready_ns);
	u64 there_ns = cross_link(s, p->sectors, room_ns), leaves_ns;
	struct flash_run run = {0};

	r->done_ns = max_u64(r->done_ns, there_ns);
	if (merges) /* from the die that will program it, so after that */
		flash_read(s->flash, p->unit, room_ns, &run);
	if (!flash_write(s->flash, p->unit, there_ns, &leaves_ns))
		return false;
	buffer_put(s->buffer, p->unit, leaves_ns);
	s->last_program_ns = max_u64(s->last_program_ns, leaves_ns);
	s->units_written++;
	return true;
}

static void write_units(struct ssd *s, struct disk_req *r, u64 ready_ns)
{
	u64 sector = r->span_sector, end = sector + r->span_sectors;

	r->cached = true;
	while (sector < end) {
		struct piece p = piece_at(s, sector, end);

		if (!write_unit(s, r, &p, ready_ns)) {
			s->failed++;
			return;
		}
		sector += p.sectors;
	}
}

static void ssd_submit(struct drive *drive, struct disk_req *r, u64 now_ns)
{
	struct ssd *s = container_of(drive, struct ssd, drive);
	u64 ready_ns = now_ns + s->params.overhead_ns;

	timeline_forget(s->link, now_ns);
	flash_forget(s->flash, now_ns);
	buffer_forget(s->buffer, now_ns);
	r->done_ns = ready_ns;
	if (r->op == BLOCK_READ) {
		s->reads++;
		read_units(s, r, ready_ns);
	} else {
		s->writes++;
		write_units(s, r, ready_ns);
	}
	s->last_done_ns = max_u64(s->last_done_ns, r->done_ns);
	done_put(&s->done, r);
}

static u64 ssd_next_ns(const struct drive *drive)
{
	const struct ssd *s = (const void *)drive;

	return done_next_ns(s->done);
}

static struct disk_req *ssd_take(struct drive *drive, u64 now_ns)
{
	struct ssd *s = container_of(drive, struct ssd, drive);

	return done_take(&s->done, now_ns);
}

static u64 ssd_flush_ns(struct drive *drive, u64 now_ns)
{
	const struct ssd *s = container_of(drive, struct ssd, drive);
	u64 last_ns = max_u64(now_ns, s->last_done_ns);

	return s->params.plp ? last_ns : max_u64(last_ns, s->last_program_ns);
}

static void ssd_stats(const struct drive *drive,
		      void (*fn)(void *ctx, const char *name, double value), void *ctx)
{
	const struct ssd *s = (const void *)drive;
	const struct flash_stats *f = flash_stats(s->flash);

	fn(ctx, "reads", (double)s->reads);
	fn(ctx, "writes", (double)s->writes);
	fn(ctx, "hits", (double)s->hits);
	fn(ctx, "buffer-waits", (double)s->waits);
	fn(ctx, "units-written", (double)s->units_written);
	fn(ctx, "units-programmed", (double)f->programs);
	fn(ctx, "units-moved", (double)f->moves);
	fn(ctx, "write-amplification",
	   s->units_written ? (double)f->programs / (double)s->units_written : 1);
	fn(ctx, "pages-sensed", (double)f->senses);
	fn(ctx, "read-retries", (double)f->retries);
	fn(ctx, "erasures", (double)f->erases);
	fn(ctx, "worst-block-erasures", (double)f->worst_erases);
	fn(ctx, "blocks-retired", (double)f->retired);
	fn(ctx, "read-only", f->read_only);
	fn(ctx, "writes-failed", (double)s->failed);
}

const struct drive_class drive_ssd = {
	.name = "ssd",
	.summary = "a solid-state drive: dies on channels, a map, garbage collection, wear",
	.params = params,
	.params_size = sizeof(struct params),
	.create = ssd_create,
	.destroy = ssd_destroy,
	.submit = ssd_submit,
	.next_ns = ssd_next_ns,
	.take = ssd_take,
	.flush_ns = ssd_flush_ns,
	.stats = ssd_stats,
};
