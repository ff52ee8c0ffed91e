/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "block/linux/sched_open.h"
#include "lab/linux/experiment.h"
#include "lab/sim.h"

static void *allocate(void *ctx, size_t size)
{
	void *p = aligned_alloc(64, align_up(size ? size : 1, 64));

	return p ? memset(p, 0, size) : NULL;
}

static void release(void *ctx, void *p, size_t size)
{
	free(p);
}

/* Models map what is large and mostly untouched. */
static int map(void *ctx, u64 size, struct alc_host_ram *out)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	*out = (struct alc_host_ram){.base = base, .size = size, .fd = -1};
	return 0;
}

static void unmap(void *ctx, struct alc_host_ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
}

const struct alc_host lab_host = {
	.alloc = allocate, .free = release, .ram_map = map, .ram_unmap = unmap};

struct bench {
	struct sched *sched;
	struct drive *drive;
	struct workload *workload;
};

static void bench_fini(struct bench *b)
{
	workload_destroy(b->workload);
	sched_destroy(b->sched);
	drive_destroy(b->drive);
}

/* Schedulers that can, go by the drive's own times. */
static u64 access_ns(const void *ctx, const struct disk_req *r, u64 now_ns)
{
	const struct drive *d = ctx;

	return d->class->access_ns(d, r, now_ns);
}

static int bench_init(struct bench *b, const struct cell *c, struct alc_err *err)
{
	struct workload_env we = {&lab_host, c->sectors, c->seed, c->trace};
	struct drive_env de = {&lab_host, c->sectors, c->seed};
	struct sched_env se = {.host = &lab_host, .sectors = c->sectors};
	int rc;

	*b = (struct bench){0};
	rc = drive_create(&de, c->model->text, &b->drive, err);
	if (!rc && b->drive->class->access_ns) {
		se.access_ns = access_ns;
		se.access_ctx = b->drive;
	}
	if (!rc)
		rc = sched_open(&se, c->scheduler->text, &b->sched, err);
	if (!rc)
		rc = workload_create(&we, c->workload->text, &b->workload, err);
	if (rc)
		bench_fini(b);
	return rc;
}

int cell_check(const struct cell *c, struct alc_err *err)
{
	struct bench b;
	int rc = bench_init(&b, c, err);

	if (!rc)
		bench_fini(&b);
	return rc;
}

static void add_stat(void *ctx, const char *name, double value)
{
	struct cell *c = ctx;
	struct cell_stat *s = &c->stats[c->nstats];

	if (c->nstats == CELL_STATS_MAX)
		return;
	c->nstats++;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->value = value;
}

struct watch {
	struct cell *cell;
	bool (*progress)(void *ctx, u64 done);
	void *ctx;
};

static void seen(void *ctx, const struct disk_req *r, bool merged)
{
	tally_add(&((struct watch *)ctx)->cell->tally, r, merged);
}

static bool progress(void *ctx, u64 done)
{
	struct watch *w = ctx;

	return !w->progress || w->progress(w->ctx, done);
}

static int simulate(struct cell *c, struct bench *b, struct watch *w)
{
	struct station station;
	struct sim_end end;
	struct sim sim = {
		.host = &lab_host,
		.station = &station,
		.workload = b->workload,
		.requests = c->requests,
		.until_ns = c->until_ns,
		.seen = seen,
		.progress = progress,
		.ctx = w,
	};
	int rc = tally_init(&c->tally, &lab_host, b->workload->issuers, &c->err);

	if (rc)
		return rc;
	c->tally.skip = c->warmup;
	station_init(&station, b->sched, b->drive);
	return sim_run(&sim, &end, &c->err);
}

void cell_run(struct cell *c, bool (*fn)(void *ctx, u64 done), void *ctx)
{
	struct watch w = {c, fn, ctx};
	struct bench b;

	c->rc = bench_init(&b, c, &c->err);
	if (c->rc)
		return;
	c->rc = simulate(c, &b, &w);
	if (!c->rc && b.drive->class->stats)
		b.drive->class->stats(b.drive, add_stat, c);
	if (!c->rc && b.workload->class->stats)
		b.workload->class->stats(b.workload, add_stat, c);
	bench_fini(&b);
}
