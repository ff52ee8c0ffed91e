/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SCHED_RIG_H
#define SCHED_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/station.h"
#include "host/test/test_host.h"

/*
 * A scheduler before a drive, and requests for it by hand: read(rig, issuer, sector), then run. The
 * drive is a line of 100 * MEGA sectors that takes 1 ms and 10 ms for the full stroke, one request
 * at a time, unless a test names another.
 */
enum { RIG_REQUESTS = 4096, MEGA = 1000000, RIG_SECTORS = 100 * MEGA, MS = 1000000 };
#define RIG_DRIVE "linear:rotation=2ms:seek=10ms:transfer=0"

struct rig {
	struct test_host th;
	struct sched_env env;
	struct sched *sched;
	struct drive *drive;
	struct station station;
	u64 now_ns, next_ns;
	struct disk_req requests[RIG_REQUESTS];
	unsigned added, done;
	unsigned order[RIG_REQUESTS]; /* of those done: which */
};

static inline u64 rig_access_ns(const void *ctx, const struct disk_req *r, u64 now_ns)
{
	const struct drive *d = ctx;

	return d->class->access_ns(d, r, now_ns);
}

static inline void rig_open(struct rig *g, const char *sched, const char *drive)
{
	struct drive_env env = {.sectors = RIG_SECTORS};
	struct alc_err err = {0};

	memset(g, 0, sizeof(*g));
	test_host_init(&g->th, TEST_TIME_MANUAL);
	env.host = g->env.host = &g->th.host;
	g->env.sectors = RIG_SECTORS;
	g->next_ns = DISK_NEVER;
	if (drive_create(&env, drive, &g->drive, &err))
		print_error("%s\n", err.text);
	assert_non_null(g->drive);
	if (g->drive->class->access_ns) {
		g->env.access_ns = rig_access_ns;
		g->env.access_ctx = g->drive;
	}
	if (sched_create(&g->env, sched, &g->sched, &err))
		print_error("%s\n", err.text);
	assert_non_null(g->sched);
	station_init(&g->station, g->sched, g->drive);
}

static inline void rig_close(struct rig *g)
{
	sched_destroy(g->sched);
	drive_destroy(g->drive);
	assert_int_equal(test_host_leaks(&g->th), 0);
	test_host_fini(&g->th);
}

/* Lets the station do what is due; what comes out is noted. */
static inline void rig_advance(struct rig *g)
{
	struct disk_req *r = station_advance(&g->station, g->now_ns, &g->next_ns);

	for (; r; r = r->next)
		g->order[g->done++] = (unsigned)(r - g->requests);
	assert_true(g->next_ns > g->now_ns);
}

/* Up to that instant, at each instant at which something happens. */
static inline void rig_until(struct rig *g, u64 ns)
{
	while (g->next_ns <= ns) {
		g->now_ns = g->next_ns;
		rig_advance(g);
	}
	g->now_ns = ns;
}

/* Until all is done, or nothing happens any more. */
static inline void rig_run(struct rig *g)
{
	while (g->done < g->added && g->next_ns != DISK_NEVER) {
		g->now_ns = g->next_ns;
		rig_advance(g);
	}
}

/* Until that many are done. */
static inline void rig_until_done(struct rig *g, unsigned done)
{
	while (g->done < done && g->next_ns != DISK_NEVER) {
		g->now_ns = g->next_ns;
		rig_advance(g);
	}
	assert_true(g->done >= done);
}

static inline struct disk_req *rig_add(struct rig *g, struct disk_req r)
{
	struct disk_req *to = &g->requests[g->added++];

	assert_true(g->added <= RIG_REQUESTS);
	*to = r;
	station_add(&g->station, to, g->now_ns);
	rig_advance(g);
	return to;
}

static inline struct disk_req *rig_read(struct rig *g, u32 issuer, u64 sector)
{
	return rig_add(g, (struct disk_req){.op = BLOCK_READ,
					    .sync = true,
					    .issuer = issuer,
					    .sector = sector,
					    .sectors = 8});
}

/* One that nobody waits for. */
static inline struct disk_req *rig_write(struct rig *g, u32 issuer, u64 sector)
{
	return rig_add(
		g, (struct disk_req){
			   .op = BLOCK_WRITE, .issuer = issuer, .sector = sector, .sectors = 8});
}

static inline u64 response_ns(const struct disk_req *r)
{
	return r->done_ns - r->arrival_ns;
}

static inline u64 rig_random(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

#endif
