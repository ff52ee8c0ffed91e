/* SPDX-License-Identifier: BSD-2-Clause */
/* What makes each scheduler what it is. */
#include "block/sched/antic.h"
#include "sched_rig.h"

enum { FAR = 90 * MEGA, BUSY = 50 * MEGA };

static struct rig rig;

/* A scheduler before an idle drive. */
static struct rig *open_rig(const char *sched)
{
	rig_open(&rig, sched, RIG_DRIVE);
	return &rig;
}

/* The same with the drive busy for a while, by a request of issuer 99: the head will be at BUSY. */
static struct rig *open_busy(const char *sched)
{
	struct rig *g = open_rig(sched);

	rig_read(g, 99, BUSY - 8);
	return g;
}

/* In this order all were dispatched, by the numbers in which they were added; -1 ends. */
static void expect_order(struct rig *g, const int *order)
{
	unsigned n = 0;

	rig_run(g);
	for (; order[n] >= 0; n++)
		assert_int_equal(g->order[n], order[n]);
	assert_int_equal(g->done, n);
}

static void served_in_order(const char *sched, const u64 *sectors, const int *order)
{
	struct rig *g = open_busy(sched);

	for (unsigned i = 0; sectors[i] != DISK_NEVER; i++)
		rig_read(g, i, sectors[i]);
	expect_order(g, order);
	rig_close(g);
}

/* ---- Orders of the head alone ---- */

static void orders_of_the_head(void **state)
{
	static const u64 at[] = {95 * MEGA, 10 * MEGA, 60 * MEGA, 41 * MEGA, DISK_NEVER};

	served_in_order("noop", at, (int[]){0, 1, 2, 3, 4, -1});
	served_in_order("look", at, (int[]){0, 3, 1, 4, 2, -1});
	served_in_order("cscan", at, (int[]){0, 3, 1, 2, 4, -1});
	served_in_order("satf", at, (int[]){0, 4, 3, 1, 2, -1});
	/* The optimum: 60, 41, 10, 95. */
	served_in_order("cats", at, (int[]){0, 3, 4, 2, 1, -1});
	served_in_order("cats2:age=0", at, (int[]){0, 3, 4, 2, 1, -1});
}

static u64 farther_is_quicker(const void *ctx, const struct disk_req *r, u64 now_ns)
{
	return 2 * RIG_SECTORS - r->span_sector;
}

static void by_time_where_the_drive_is_known(const char *name)
{
	struct rig *g = &rig;
	struct alc_err err = {0};

	rig_open(g, "noop", RIG_DRIVE);
	sched_destroy(g->sched);
	g->env.access_ns = farther_is_quicker;
	assert_int_equal(sched_create(&g->env, name, &g->sched, &err), 0);
	station_init(&g->station, g->sched, g->drive);
	rig_read(g, 99, BUSY - 8);
	for (unsigned i = 0; i < 4; i++)
		rig_read(g, i, (BUSY - 2 * MEGA) + i * MEGA);
	expect_order(g, (int[]){0, 4, 3, 2, 1, -1});
	rig_close(g);
}

static void asks_the_drive(void **state)
{
	by_time_where_the_drive_is_known("satf");
	by_time_where_the_drive_is_known("cats2:age=0:hit_first=off");
}

/* ---- Merging ---- */

static void fills_a_gap(void **state)
{
	struct rig *g = open_busy("noop");
	struct disk_req *low = rig_read(g, 1, 1000), *high = rig_read(g, 2, 1016);
	struct disk_req *other = rig_read(g, 3, 3000), *gap = rig_read(g, 4, 1008);
	struct disk_req *front = rig_read(g, 5, 992);

	rig_run(g);
	assert_int_equal(low->span_sector, 992);
	assert_int_equal(low->span_sectors, 32);
	assert_true(high->done_ns == low->done_ns && gap->done_ns == low->done_ns);
	assert_true(front->done_ns == low->done_ns);
	assert_true(other->done_ns > low->done_ns);
	rig_close(g);
}

static void merges_no_more_than_told(void **state)
{
	struct rig *g = open_busy("deadline:max_sectors=16:front_merges=off");
	struct disk_req *a = rig_read(g, 1, 1008), *front = rig_read(g, 1, 1000);
	struct disk_req *b = rig_read(g, 1, 1016), *c = rig_read(g, 1, 1024);

	rig_run(g);
	/* 1000 doesn't go before 1008; 1008 and 1016 fill 16; 1024 stands alone. */
	assert_true(front->done_ns != a->done_ns);
	assert_true(a->done_ns == b->done_ns);
	assert_true(c->done_ns != b->done_ns);
	rig_close(g);
}

/* ---- deadline ---- */

static void deadline_lets_writes_in(void **state)
{
	struct rig *g = open_busy("deadline:fifo_batch=1:writes_starved=2");

	for (unsigned i = 0; i < 2; i++)
		rig_write(g, 7, 20 * MEGA + i * MEGA);
	for (unsigned i = 0; i < 5; i++)
		rig_read(g, i, 60 * MEGA + i * MEGA);
	/* Two batches of reads pass, then one of writes. */
	expect_order(g, (int[]){0, 3, 4, 1, 5, 6, 2, 7, -1});
	rig_close(g);
}

static void deadline_goes_up_in_batches(void **state)
{
	struct rig *g = open_busy("deadline:fifo_batch=3");

	rig_read(g, 1, 10 * MEGA);
	for (unsigned i = 0; i < 4; i++)
		rig_read(g, 2, 30 * MEGA + i * MEGA);
	rig_read(g, 3, 20 * MEGA);
	/* The oldest begins, then upwards; the next batch goes on where the first ended. */
	expect_order(g, (int[]){0, 1, 6, 2, 3, 4, 5, -1});
	rig_close(g);
}

/* The next of a batch is swallowed by one that came in between. */
static void deadline_follows_a_merge(void **state)
{
	struct rig *g = open_busy("deadline");

	rig_read(g, 1, 900);
	rig_read(g, 1, 1016);
	rig_until_done(g, 1);
	rig_read(g, 1, 1000);
	rig_read(g, 1, 1008);
	rig_run(g);
	assert_int_equal(g->done, 5);
	assert_true(g->requests[2].done_ns == g->requests[3].done_ns);
	rig_close(g);
}

static void deadline_expires(void **state)
{
	struct rig *g = open_busy("deadline:read_expire=20ms:fifo_batch=4");
	struct disk_req *old, *r = rig_read(g, 2, 60 * MEGA);

	/* Behind the head, while there is work before it. */
	old = rig_read(g, 1, 10 * MEGA);
	for (u64 i = 1; i < 60; i++) {
		r = rig_read(g, 2, 60 * MEGA + i * 1000);
		rig_until_done(g, g->added - 3);
	}
	rig_run(g);
	assert_true(old->dispatch_ns < r->dispatch_ns);
	assert_in_range(response_ns(old), 20 * MS, 40 * MS);
	rig_close(g);
}

/* ---- mq-deadline ---- */

static void classes_have_their_rank(void **state)
{
	struct rig *g = open_busy("mq-deadline:prio_aging_expire=10s");
	struct disk_req idle = {
		.op = BLOCK_READ, .sync = true, .prio = DISK_IDLE, .sector = BUSY, .sectors = 8};
	struct disk_req urgent = idle, *last = rig_add(g, idle);

	urgent.prio = DISK_REAL_TIME;
	urgent.sector = 1000;
	rig_read(g, 1, 2000);
	rig_add(g, urgent);
	rig_read(g, 1, 2008);
	/* Whoever has a higher class around it waits. */
	for (unsigned i = 0; i < 30; i++) {
		rig_until_done(g, i + 2);
		assert_int_equal(last->done_ns, 0);
		rig_read(g, 2, 3000 + i * 1000);
	}
	rig_run(g);
	assert_int_equal(g->done, g->added);
	assert_true(g->now_ns < 1000ull * MS);
	assert_int_equal(g->order[1], 3);
	assert_int_equal(g->order[g->done - 1], 1);
	rig_close(g);
}

static void low_classes_age(void **state)
{
	struct rig *g = open_busy("mq-deadline:prio_aging_expire=50ms");
	struct disk_req idle = {
		.op = BLOCK_READ, .sync = true, .prio = DISK_IDLE, .sector = BUSY, .sectors = 8};
	struct disk_req *old = rig_add(g, idle);

	rig_read(g, 2, 2500);
	for (unsigned i = 0; i < 200 && !old->done_ns; i++) {
		rig_read(g, 2, 3000 + i * 1000);
		rig_until_done(g, i + 1);
	}
	rig_run(g);
	assert_true(response_ns(old) >= 50ull * MS && response_ns(old) < 80ull * MS);
	rig_close(g);
}

/* ---- anticipation ---- */

/*
 * Process 1 reads on and on, 1 ms after each read; process 2 wants something far away. Returns
 * that, as it waits.
 */
static struct disk_req *with_a_thinker(struct rig *g)
{
	struct disk_req *far;

	for (unsigned i = 0; i < 12; i++) {
		rig_read(g, 1, 1000 + i * 8);
		rig_run(g);
		rig_until(g, g->now_ns + MS);
	}
	rig_read(g, 1, 1000 + 12 * 8);
	far = rig_read(g, 2, FAR);
	rig_until_done(g, g->added - 1);
	return far;
}

static void waits_for_a_thinker(const char *sched)
{
	struct rig *g = open_rig(sched);
	struct disk_req *far = with_a_thinker(g), *next;

	for (unsigned i = 13; i < 20; i++) {
		rig_until(g, g->now_ns + MS);
		assert_int_equal(far->dispatch_ns, 0);
		next = rig_read(g, 1, 1000 + i * 8);
		assert_true(next->dispatch_ns == g->now_ns);
		rig_until_done(g, g->added - 1);
	}
	rig_run(g);
	assert_true(far->done_ns != 0);
	rig_close(g);
}

/* It doesn't come: the wait is over at that very instant. */
static void gives_up_waiting(const char *sched, u64 after_ns)
{
	struct rig *g = open_rig(sched);
	struct disk_req *far = with_a_thinker(g);
	u64 since_ns = g->now_ns;

	rig_run(g);
	if (far->dispatch_ns != since_ns + after_ns)
		print_error("%s: waits %.1f ms\n", sched,
			    (double)(far->dispatch_ns - since_ns) / MS);
	assert_true(far->dispatch_ns == since_ns + after_ns);
	rig_close(g);
}

static void anticipation_waits_and_gives_up(void **state)
{
	waits_for_a_thinker("anticipatory");
	gives_up_waiting("anticipatory", 6700000);
	gives_up_waiting("anticipatory:antic_expire=3ms", 3 * MS);
	gives_up_waiting("anticipatory:antic_expire=0", 0);
	waits_for_a_thinker("cats");
	gives_up_waiting("cats", 5 * MS);
	gives_up_waiting("cats:antic_expire=0", 0);
	waits_for_a_thinker("cats2");
	gives_up_waiting("cats2", 5 * MS);
	waits_for_a_thinker("cfq");
	gives_up_waiting("cfq", 8 * MS);
	gives_up_waiting("cfq:slice_idle=0", 0);
	waits_for_a_thinker("bfq:low_latency=off");
	gives_up_waiting("bfq:low_latency=off", 8 * MS);
	gives_up_waiting("noop", 0);
	gives_up_waiting("deadline", 0);
}

/* A process that thinks long, or whose next request is anywhere, isn't waited for. */
static void wait_after(const char *sched, u64 think_ns, u64 stride, u64 other, u64 wait_ns)
{
	struct rig *g = open_rig(sched);
	struct disk_req *far;
	u64 since_ns;

	for (unsigned i = 0; i < 12; i++) {
		rig_read(g, 1, 1000 + i * stride);
		rig_run(g);
		rig_until(g, g->now_ns + think_ns);
	}
	rig_read(g, 1, 1000 + 12 * stride);
	far = rig_read(g, 2, other);
	rig_until_done(g, g->added - 1);
	since_ns = g->now_ns;
	rig_run(g);
	if (far->dispatch_ns != since_ns + wait_ns)
		print_error("%s: waits %.1f ms\n", sched,
			    (double)(far->dispatch_ns - since_ns) / MS);
	assert_true(far->dispatch_ns == since_ns + wait_ns);
	rig_close(g);
}

static void anticipation_is_conditional(void **state)
{
	/* Process 1 thinks longer than anybody waits. */
	wait_after("anticipatory", 20 * MS, 8, FAR, 0);
	wait_after("cats", 8 * MS, 1000, FAR, 0);
	wait_after("cfq", 20 * MS, 1000, FAR, 0);
	wait_after("bfq:low_latency=off", 20 * MS, 1000, FAR, 0);
	/* The other one is nearer than its next. */
	wait_after("anticipatory", MS, 5 * MEGA, 62 * MEGA, 0);
	wait_after("cats", MS, 7 * MEGA, 87 * MEGA, 0);
	wait_after("cats:antic_always=on", 20 * MS, 1000, FAR, 5 * MS);
	wait_after("cats:antic_always=on:antic_expire=2ms", MS, 7 * MEGA, 87 * MEGA, 2 * MS);
}

/* The line through what the drive took is the drive's. */
static void services_are_learned(void **state)
{
	static struct antic a;
	struct antic_params params = {.expire_ns = 5 * MS};
	u64 x = 5;

	antic_init(&a, &params, RIG_SECTORS);
	for (unsigned i = 0; i < 200; i++) {
		struct disk_req r = {.op = BLOCK_READ, .sectors = 8};
		u64 distance = rig_random(&x) % RIG_SECTORS;

		antic_added(&a, &r, i * 100ull * MS);
		antic_sent(&a, &r, distance);
		r.dispatch_ns = i * 100ull * MS;
		antic_done(&a, &r, r.dispatch_ns + 2 * MS + distance / 10);
	}
	for (u64 d = 0; d < RIG_SECTORS; d += 20 * MEGA) {
		double error = antic_service_ns(&a, d) - (2.0 * MS + (double)d / 10);

		assert_true(error < 1000 && error > -1000);
	}
}

/* ---- CFQ and BFQ ---- */

/* Three processes with more than enough to do; how often the disk goes from one to another. */
static unsigned changes_among_three(const char *sched, unsigned each)
{
	struct rig *g = open_rig(sched);
	unsigned changes = 0;

	for (unsigned i = 0; i < each; i++)
		for (u32 p = 0; p < 3; p++)
			rig_read(g, p, p * 30 * MEGA + i * 100);
	rig_run(g);
	assert_int_equal(g->done, 3 * each);
	for (unsigned i = 1; i < g->done; i++)
		changes += g->requests[g->order[i]].issuer != g->requests[g->order[i - 1]].issuer;
	rig_close(g);
	return changes;
}

static void cfq_gives_slices(void **state)
{
	/* 300 requests of 1 ms each are three slices of 100 ms, or fifteen of 20 ms. */
	unsigned slices = changes_among_three("cfq", 300);
	unsigned short_slices = changes_among_three("cfq:slice_sync=20ms", 300);

	assert_in_range(slices, 7, 10);
	assert_in_range(short_slices, 35, 48);
}

static void cfq_has_writes_wait(void **state)
{
	struct disk_req *read, *write;
	struct rig *g = &rig;

	rig_open(g, "cfq:slice_idle=0", "fixed:latency=1ms:depth=4");
	read = rig_read(g, 1, 1000);
	write = rig_write(g, 9, FAR);
	assert_true(read->dispatch_ns == 0 && read->arrival_ns == 0);
	rig_run(g);
	/* There was room in the drive; but somebody was waiting for it. */
	assert_true(write->dispatch_ns == read->done_ns);
	rig_close(g);
}

/* One process reads small, one large pieces: until the small one is through they have as much. */
static void bfq_shares_sectors(void **state)
{
	struct rig *g = open_rig("bfq:low_latency=off:max_budget=1024");
	u64 small = 0, large = 0;

	for (unsigned i = 0; i < 1600; i++)
		rig_read(g, 1, i * 100);
	for (unsigned i = 0; i < 400; i++)
		rig_add(g, (struct disk_req){.op = BLOCK_READ,
					     .sync = true,
					     .issuer = 2,
					     .sector = 60 * MEGA + i * 1000,
					     .sectors = 64});
	rig_until_done(g, 900);
	for (unsigned i = 0; i < g->done; i++) {
		const struct disk_req *r = &g->requests[g->order[i]];

		*(r->issuer == 1 ? &small : &large) += r->sectors;
	}
	assert_true(small * 2 > large && large * 2 > small);
	rig_run(g);
	rig_close(g);
}

static u64 newcomer_response_ns(const char *sched)
{
	struct rig *g = open_rig(sched);
	struct disk_req *r;
	u64 ns;

	for (unsigned i = 0; i < 200; i++)
		for (u32 p = 0; p < 15; p++)
			rig_read(g, p, p * 6 * MEGA + i * 100);
	rig_until(g, 1000ull * MS);
	r = rig_read(g, 100, 95 * MEGA);
	rig_run(g);
	ns = response_ns(r);
	rig_close(g);
	return ns;
}

static void bfq_favours_newcomers(void **state)
{
	u64 with = newcomer_response_ns("bfq"),
	    without = newcomer_response_ns("bfq:low_latency=off");

	assert_true(with < 30ull * MS);
	assert_true(without > 4 * with);
}

/* ---- CATS ---- */

#define CACHED RIG_DRIVE ":cache=on:hit=100us"

/* What is in the drive's cache goes before what is near. */
static unsigned turn_of_the_hit(const char *sched)
{
	unsigned turn = 0;

	rig_open(&rig, sched, CACHED);
	rig_read(&rig, 1, 1000);
	rig_run(&rig);
	rig_read(&rig, 99, BUSY - 8);
	for (u32 i = 0; i < 6; i++)
		rig_read(&rig, i, BUSY + 500 + i * 1000);
	rig_read(&rig, 50, 1016);
	rig_run(&rig);
	while (rig.order[turn] != 8)
		turn++;
	assert_true(rig.requests[8].cached);
	rig_close(&rig);
	return turn;
}

static void cats_serves_hits_first(void **state)
{
	assert_int_equal(turn_of_the_hit("cats"), 2);
	assert_int_equal(turn_of_the_hit("cats2"), 2);
	assert_int_equal(turn_of_the_hit("cats:hit_first=off"), 8);
}

/* A read makes a hit of one that waits already; of one that is nearer, but too long, it doesn't. */
static void cats_follows_the_cache(void **state)
{
	struct rig *g = &rig;

	rig_open(g, "cats:max_sectors=1", CACHED);
	rig_read(g, 99, BUSY - 8);
	rig_read(g, 1, BUSY + 1164);
	rig_add(g, (struct disk_req){.op = BLOCK_READ,
				     .sync = true,
				     .issuer = 2,
				     .sector = BUSY + 1150,
				     .sectors = 100});
	rig_read(g, 3, BUSY + 1100);
	expect_order(g, (int[]){0, 3, 1, 2, -1});
	assert_true(g->requests[1].cached && !g->requests[2].cached);
	rig_close(g);
}

/* A hit when it came; but before its turn a write took it from the cache. */
static void predictions_are_taken_back(void **state)
{
	struct rig *g = &rig;

	rig_open(g, "cats2:max_writedelay=0", CACHED);
	rig_read(g, 1, 1000);
	rig_run(g);
	rig_read(g, 99, BUSY - 8);
	rig_read(g, 2, 1008);
	rig_write(g, 3, 1040);
	rig_read(g, 4, 1080);
	expect_order(g, (int[]){0, 1, 3, 4, 2, -1});
	rig_close(g);
}

static void cats_writes_in_bursts(void **state)
{
	struct rig *g = open_rig("cats:max_writedelay=100ms:min_writedelay=20ms");
	unsigned writes = 0, bursts = 0;
	u64 began_ns = 0;

	for (unsigned i = 0; i < 6; i++)
		rig_write(g, 9, (i * 7 % 6) * MEGA);
	/* Reads that never end keep them waiting as long as they may. */
	for (unsigned i = 0; i < 150; i++) {
		rig_read(g, 1, BUSY + i * 1000);
		rig_read(g, 2, BUSY + i * 1000 + 500);
		rig_until_done(g, g->added - 8 < i ? i : g->done + 1);
	}
	rig_run(g);
	for (unsigned i = 0; i < g->done; i++) {
		const struct disk_req *r = &g->requests[g->order[i]];

		if (r->op != BLOCK_WRITE)
			continue;
		if (!writes++)
			began_ns = r->dispatch_ns;
		bursts += !i || g->requests[g->order[i - 1]].op == BLOCK_READ;
		assert_int_equal(r->sector, (u64)(writes - 1) * MEGA);
	}
	assert_int_equal(writes, 6);
	assert_int_equal(bursts, 1);
	assert_in_range(began_ns, 100 * MS, 115 * MS);
	rig_close(g);
}

/* As many writes as the drive can do, and all of them overdue. */
static u64 response_among_writes_ns(const char *sched)
{
	struct rig *g = open_rig(sched);
	struct disk_req *r = NULL;
	u64 ns;

	for (unsigned i = 0; i < 600; i++) {
		rig_write(g, 9, i * 7919 % 1000 * 1000);
		if (i == 100)
			r = rig_read(g, 1, BUSY);
		if (i > 30)
			rig_until_done(g, i - 30);
	}
	rig_run(g);
	ns = response_ns(r);
	rig_close(g);
	return ns;
}

static void writes_do_not_starve_reads(void **state)
{
	assert_true(response_among_writes_ns("cats:max_writedelay=10ms") < 150ull * MS);
	assert_true(response_among_writes_ns("cats2:max_writedelay=10ms") < 150ull * MS);
}

static void cats_writes_when_idle(void **state)
{
	struct rig *g = open_rig("cats:min_writedelay=20ms");
	struct disk_req *w = rig_write(g, 9, MEGA), *r, *second = rig_write(g, 9, 3 * MEGA);

	rig_until(g, 20 * MS);
	assert_true(w->dispatch_ns == 20 * MS);
	/* A read ends the burst. */
	r = rig_read(g, 1, 2 * MEGA);
	rig_run(g);
	assert_true(r->dispatch_ns == w->done_ns && second->dispatch_ns >= r->done_ns);
	rig_close(g);
}

static void cats2_reads_and_sync_writes_alike(void **state)
{
	struct rig *g = open_busy("cats2");
	struct disk_req *w = rig_add(g, (struct disk_req){.op = BLOCK_WRITE,
							  .sync = true,
							  .issuer = 3,
							  .sector = BUSY,
							  .sectors = 8});

	rig_read(g, 1, BUSY + 10 * MEGA);
	rig_run(g);
	assert_int_equal(g->order[1], 1);
	assert_true(response_ns(w) < 20ull * MS);
	rig_close(g);
}

/* Of a cluster the lowest goes first, since its read-ahead brings the others. */
static unsigned hits_of_a_cluster(const char *sched)
{
	unsigned hits = 0;

	rig_open(&rig, sched, CACHED);
	rig_read(&rig, 99, BUSY - 8);
	for (u32 i = 0; i < 4; i++)
		rig_read(&rig, i, BUSY - 1000 + i * 16);
	rig_run(&rig);
	for (unsigned i = 0; i < rig.done; i++)
		hits += rig.requests[i].cached;
	rig_close(&rig);
	return hits;
}

static void cats2_sees_clusters(void **state)
{
	assert_int_equal(hits_of_a_cluster("cats2"), 3);
	assert_int_equal(hits_of_a_cluster("cats2:clusters=off"), 0);
}

/* ---- The aim: on one model and workload, CATS well before deadline, CATS 2 before CATS ---- */

struct process {
	u64 sector, wake_ns;
	unsigned left;
	bool writes;
};

struct aim {
	const char *drive;
	unsigned writes; /* of a hundred files, by processes that wait for each page */
};

struct result {
	double mean_ms, worst_ms;
};

enum { PROCESSES = 48, FILES = 600, REQUESTS = 4000, SEEDS = 4 };

static void next_file(struct process *p, const struct aim *aim, u64 *x)
{
	u64 a = rig_random(x) % FILES, b = rig_random(x) % (a + 1);

	p->sector = b * 7919 % FILES * (RIG_SECTORS / FILES);
	p->left = 1 + (unsigned)(rig_random(x) % 12);
	p->writes = rig_random(x) % 100 < aim->writes;
}

static void next_page(struct process *p, struct rig *g, u32 issuer)
{
	p->left--;
	p->wake_ns = DISK_NEVER;
	rig_add(g, (struct disk_req){.op = p->writes ? BLOCK_WRITE : BLOCK_READ,
				     .sync = true,
				     .issuer = issuer,
				     .sector = p->sector,
				     .sectors = 8});
	p->sector += 8;
}

static u32 next_to_wake(const struct process *p)
{
	u32 first = 0;

	for (u32 i = 1; i < PROCESSES; i++)
		if (p[i].wake_ns < p[first].wake_ns)
			first = i;
	return first;
}

static void think_after(struct process *processes, struct rig *g, unsigned *seen, u64 *x)
{
	for (; *seen < g->done; ++*seen) {
		const struct disk_req *r = &g->requests[g->order[*seen]];

		processes[r->issuer].wake_ns = r->done_ns + 4 * MS + rig_random(x) % (20 * MS);
	}
}

/* Every process goes through a file page by page, thinks after each, and takes another. */
static void run_processes(struct rig *g, const struct aim *aim, u64 x)
{
	static struct process processes[PROCESSES];
	unsigned seen = 0;

	memset(processes, 0, sizeof(processes));
	while (g->added < REQUESTS) {
		u32 i = next_to_wake(processes);

		if (processes[i].wake_ns <= g->next_ns) {
			g->now_ns = processes[i].wake_ns;
			if (!processes[i].left)
				next_file(&processes[i], aim, &x);
			next_page(&processes[i], g, i);
		} else {
			g->now_ns = g->next_ns;
			rig_advance(g);
		}
		think_after(processes, g, &seen, &x);
	}
	rig_run(g);
}

static struct result result_of(const char *sched, const struct aim *aim)
{
	struct result result = {0, 0};
	struct rig *g = &rig;

	for (u64 seed = 1; seed <= SEEDS; seed++) {
		rig_open(g, sched, aim->drive);
		run_processes(g, aim, seed * 77 + 1);
		for (unsigned i = 0; i < REQUESTS; i++) {
			double ms = (double)response_ns(&g->requests[i]) / MS;

			result.mean_ms += ms / REQUESTS / SEEDS;
			if (ms > result.worst_ms)
				result.worst_ms = ms;
		}
		rig_close(g);
	}
	print_message("%s %s, %u%% writes: mean %.2f ms, worst %.0f ms\n", aim->drive, sched,
		      aim->writes, result.mean_ms, result.worst_ms);
	return result;
}

#define LINE "linear:cache=on"
#define DISK "disk:depth=1:rotation=4ms:seek-average=3.5ms:seek-full=7.4ms:seek-single=0.3ms"

static void cats_beats_deadline(void **state)
{
	static const struct aim line = {LINE, 0}, disk = {DISK, 0};

	assert_true(result_of("deadline", &line).mean_ms > 1.6 * result_of("cats", &line).mean_ms);
	assert_true(result_of("deadline", &disk).mean_ms > 1.6 * result_of("cats", &disk).mean_ms);
}

/* Not worse where T is at its best, better where writes are waited for or the drive is known. */
static void cats2_beats_cats(void **state)
{
	static const struct aim line = {LINE, 0}, mixed = {LINE, 20}, disk = {DISK, 0};

	assert_true(result_of("cats2", &line).mean_ms < 1.03 * result_of("cats", &line).mean_ms);
	assert_true(1.2 * result_of("cats2", &mixed).mean_ms < result_of("cats", &mixed).mean_ms);
	assert_true(result_of("cats2", &mixed).worst_ms < result_of("cats", &mixed).worst_ms);
	assert_true(1.2 * result_of("cats2", &disk).mean_ms < result_of("cats", &disk).mean_ms);
	assert_true(result_of("cats2", &disk).worst_ms < result_of("cats", &disk).worst_ms);
}

/* When everything has waited too long, the order is still not that of arrival. */
static void cats2_keeps_its_order_under_load(void **state)
{
	static const struct aim disk = {DISK, 0};

	assert_true(1.4 * result_of("cats2:expire=1ms", &disk).mean_ms <
		    result_of("noop", &disk).mean_ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders_of_the_head),
		cmocka_unit_test(asks_the_drive),
		cmocka_unit_test(fills_a_gap),
		cmocka_unit_test(merges_no_more_than_told),
		cmocka_unit_test(deadline_lets_writes_in),
		cmocka_unit_test(deadline_goes_up_in_batches),
		cmocka_unit_test(deadline_follows_a_merge),
		cmocka_unit_test(deadline_expires),
		cmocka_unit_test(classes_have_their_rank),
		cmocka_unit_test(low_classes_age),
		cmocka_unit_test(anticipation_waits_and_gives_up),
		cmocka_unit_test(anticipation_is_conditional),
		cmocka_unit_test(services_are_learned),
		cmocka_unit_test(cfq_gives_slices),
		cmocka_unit_test(cfq_has_writes_wait),
		cmocka_unit_test(bfq_shares_sectors),
		cmocka_unit_test(bfq_favours_newcomers),
		cmocka_unit_test(cats_serves_hits_first),
		cmocka_unit_test(cats_follows_the_cache),
		cmocka_unit_test(predictions_are_taken_back),
		cmocka_unit_test(cats_writes_in_bursts),
		cmocka_unit_test(writes_do_not_starve_reads),
		cmocka_unit_test(cats_writes_when_idle),
		cmocka_unit_test(cats2_reads_and_sync_writes_alike),
		cmocka_unit_test(cats2_sees_clusters),
		cmocka_unit_test(cats_beats_deadline),
		cmocka_unit_test(cats2_beats_cats),
		cmocka_unit_test(cats2_keeps_its_order_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
