/* SPDX-License-Identifier: BSD-2-Clause */
/* A modelled disk: instants, order, data, flushes, drains, a slow back end, bad schedulers. */
#include "block/throttle.h"
#include "block_stage_test.h"

#define FIFO "noop:max_sectors=1" /* nothing is merged */

static void open_drive(struct rig *g, const char *sched, const char *model, const char *throttle)
{
	rig_open(g, &stage_drive, (const char *[]){sched, model, NULL, throttle}, NULL);
}

/* ---- instants ---- */

static void requests_are_done_at_their_instants(void **state)
{
	struct tested *t[3];
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us:depth=1", NULL);
	rig_until(&g, 50 * RIG_US, 50 * RIG_US);
	t[0] = rig_write(&g, 0, 0, 4096);
	t[1] = rig_submit(&g, 1, BLOCK_READ, 0, 4096);
	rig_until(&g, 149 * RIG_US, RIG_US);
	assert_int_equal(g.done, 0);
	t[2] = rig_submit(&g, 2, BLOCK_READ, 512, 512);
	rig_until(&g, 350 * RIG_US, RIG_US);
	assert_int_equal(g.done, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(t[i]->done_ns, (150 + 100 * i) * RIG_US);
		assert_int_equal(t[i]->r.dispatch_ns, (50 + 100 * i) * RIG_US);
		assert_int_equal(t[i]->order, i + 1);
		assert_int_equal(t[i]->r.status, 0);
		assert_true(t[i]->r.done == rig_done && t[i]->r.ctx == t[i]);
	}
	assert_true(rig_has(&g, 0, 4096, 1));
	assert_int_equal(memcmp(t[1]->data, t[0]->data, 4096), 0);
	assert_int_equal(memcmp(t[2]->data, t[0]->data, 512), 0);
	assert_true(rig_stat(&g, "drive.reads") == 2 && rig_stat(&g, "drive.writes") == 1);
	assert_true(rig_stat(&g, "drive.late") == 0);
	rig_close(&g);
}

/* A late timer of the host makes the guest wait, but not the model. */
static void late_timers_do_not_add_up(void **state)
{
	struct tested *t[3];
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us:depth=1", NULL);
	for (unsigned i = 0; i < 3; i++)
		t[i] = rig_submit(&g, i, BLOCK_READ, 0, 512);
	rig_until(&g, 270 * RIG_US, 270 * RIG_US);
	assert_int_equal(g.done, 2);
	assert_int_equal(t[1]->done_ns, 270 * RIG_US);
	assert_int_equal(t[1]->r.dispatch_ns, 100 * RIG_US);
	rig_until(&g, 300 * RIG_US, RIG_US);
	assert_int_equal(t[2]->done_ns, 300 * RIG_US);
	rig_close(&g);
}

static void a_list_is_seen_whole_by_the_scheduler(void **state)
{
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=1ms:depth=64", NULL);
	for (unsigned i = 0; i < 16; i++)
		rig_make(&g, i, BLOCK_READ, i * 512, 512)->r.next = i < 15 ? &g.reqs[i + 1].r
									   : NULL;
	block_submit(g.top, &g.reqs[0].r);
	rig_until(&g, RIG_MS, RIG_MS);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(g.reqs[i].order, i + 1);
		assert_int_equal(g.reqs[i].done_ns, RIG_MS);
	}
	rig_close(&g);
}

static void more_requests_than_it_has_room_for_wait(void **state)
{
	/* With gaps, so that they are not merged. */
	enum { MANY = 1000, DEPTH = 10 };
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=1us:depth=10", NULL);
	for (unsigned i = 0; i < MANY; i++)
		rig_write(&g, i, (u64)i * 1024, 512);
	rig_until(&g, MANY / DEPTH * RIG_US, RIG_US);
	assert_int_equal(g.done, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(rig_has(&g, (u64)i * 1024, 512, (u8)(i % 251 + 1)));
		assert_int_equal(g.reqs[i].done_ns, (i / DEPTH + 1) * RIG_US);
	}
	rig_close(&g);
}

static void before_it_is_attached_it_adds_no_time(void **state)
{
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=1s", NULL);
	rig_until(&g, 5, 5);
	/* Another one, which nobody attaches. */
	block_close(g.top);
	{
		struct alc_err err = {0};

		assert_int_equal(
			block_ram_create(&g.th.host, RIG_BYTES, g.bytes, &g.back.ram, &err), 0);
		assert_int_equal(rig_try(&g, &stage_drive,
					 (const char *[]){NULL, "fixed", NULL, NULL}, NULL, &err),
				 0);
	}
	assert_int_equal(rig_write(&g, 0, 512, 512)->order, 1);
	assert_true(rig_has(&g, 512, 512, 1));
	block_drain(g.top);
	rig_close(&g);
}

/* ---- a back end that takes its time ---- */

static void late_back_ends_are_waited_for(void **state)
{
	struct tested *early, *late, *just;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us", NULL);
	g.back.slow = true;
	early = rig_submit(&g, 0, BLOCK_READ, 0, 512);
	late = rig_submit(&g, 1, BLOCK_READ, 0, 512);
	rig_until(&g, 60 * RIG_US, RIG_US);
	back_do(&g.back, 1);
	assert_int_equal(g.done, 0);
	rig_until(&g, 130 * RIG_US, RIG_US);
	assert_int_equal(early->done_ns, 100 * RIG_US);
	assert_int_equal(g.done, 1);
	back_do(&g.back, 1);
	assert_int_equal(late->done_ns, 130 * RIG_US);
	just = rig_submit(&g, 2, BLOCK_READ, 0, 512);
	rig_until(&g, 230 * RIG_US, RIG_US);
	back_do(&g.back, 1);
	assert_int_equal(just->done_ns, 230 * RIG_US);
	assert_true(rig_stat(&g, "drive.late") == 1 && rig_stat(&g, "drive.throttled") == 3);
	assert_true(rig_stat(&g, "drive.lag_max_ns") == 30 * RIG_US);
	rig_close(&g);
}

static void k_scales_the_times_of_the_model(void **state)
{
	struct tested *first, *second;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us:depth=1", "k=2.5:lock=on");
	rig_until(&g, 10 * RIG_US, RIG_US);
	first = rig_submit(&g, 0, BLOCK_READ, 0, 512);
	second = rig_submit(&g, 1, BLOCK_READ, 0, 512);
	rig_until(&g, 510 * RIG_US, RIG_US);
	assert_int_equal(first->done_ns, 260 * RIG_US);
	assert_int_equal(second->done_ns, 510 * RIG_US);
	assert_int_equal(second->r.dispatch_ns, 260 * RIG_US);
	rig_close(&g);
}

/* Every fiftieth request finds the back end slow: 2 % late, until k is raised. */
static void k_is_raised_when_many_are_late(void **state)
{
	struct rig g;
	u64 ns = 0;

	open_drive(&g, FIFO, "fixed:latency=10us", "window=2000");
	g.back.slow = true;
	for (unsigned i = 0; i < 2000; i++) {
		rig_submit(&g, 0, BLOCK_READ, 0, 512);
		if (i % 50)
			back_do(&g.back, 1);
		ns += 10 * RIG_US;
		rig_until(&g, ns, 10 * RIG_US);
		if (i % 50 == 0) {
			ns++;
			rig_until(&g, ns, 1);
			back_do(&g.back, 1);
		}
	}
	assert_true(rig_stat(&g, "drive.late") == 40);
	assert_true(rig_stat(&g, "drive.k") == 1.1);
	assert_true(test_host_logged(&g.th, "k is 1.100 now"));
	rig_submit(&g, 0, BLOCK_READ, 0, 512);
	back_do(&g.back, 1);
	ns += 11 * RIG_US;
	rig_until(&g, ns, RIG_US);
	assert_int_equal(g.reqs[0].done_ns, ns);
	rig_close(&g);
}

/*
 * A host whose back end takes 1 ms, times a factor whose tail is a power of 2: k must come to where
 * between 0.1 and 1 % of requests are later than k times what the model says, 2 ms, and stay.
 */
static void settles_from(const char *params)
{
	struct throttle_params p;
	struct throttle t;
	struct alc_err err = {0};
	u64 random = 88172645463325252ull, guest_ns = 0, good = 0;
	enum { WINDOWS = 200, LAST = 100, WINDOW = 2000 };

	assert_int_equal(param_parse(throttle_params, params, &p, &err), 0);
	throttle_init(&t, &p);
	for (unsigned w = 0; w < WINDOWS; w++) {
		unsigned late = 0;

		for (unsigned i = 0; i < WINDOW; i++) {
			double unit, k = throttle_k(&t);
			bool is_late;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			unit = (double)((random >> 11) + 1) / (double)BIT(53);
			is_late = unit * (2 * k) * (2 * k) < 1; /* P(X > x) = x^-2 */
			late += is_late;
			guest_ns += (u64)(2 * k * 1e6);
			throttle_count(&t, guest_ns, is_late);
		}
		if (w >= WINDOWS - LAST)
			good += late >= WINDOW / 1000 && late <= WINDOW / 100;
	}
	/* 1 % is where 2k is 10. */
	assert_true(throttle_k(&t) > 4.5 && throttle_k(&t) < 16);
	assert_true(good >= LAST * 9 / 10);
	assert_int_equal(t.windows, WINDOWS);
}

static void k_settles(void **state)
{
	settles_from("k=1");
	settles_from("k=200");
}

static void times_of_disk_and_guest_agree(void **state)
{
	struct throttle_params p;
	struct throttle t;
	struct alc_err err = {0};

	assert_int_equal(param_parse(throttle_params, "k=1.234567", &p, &err), 0);
	throttle_init(&t, &p);
	throttle_jump(&t, 1000, 777);
	for (u64 disk = 777; disk < 3000; disk++) {
		u64 guest = throttle_guest_ns(&t, disk);

		assert_true(throttle_disk_ns(&t, guest) >= disk);
		if (guest > 1000)
			assert_true(throttle_disk_ns(&t, guest - 1) < disk);
	}
	assert_true(throttle_guest_ns(&t, DISK_NEVER) == DISK_NEVER);
}

static void without_a_model_the_back_end_is_the_drive(void **state)
{
	struct rig g;

	open_drive(&g, FIFO, "host:depth=4", NULL);
	g.back.slow = true;
	for (unsigned i = 0; i < 40; i++)
		rig_write(&g, i, (u64)i * 4096, 4096);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(g.done, i);
		assert_int_equal(g.back.inside, min_u64(4, 40 - i));
		back_do(&g.back, 1);
	}
	assert_int_equal(g.back.most, 4);
	for (unsigned i = 0; i < 40; i++)
		assert_true(rig_has(&g, (u64)i * 4096, 4096, (u8)(i + 1)));
	rig_close(&g);
}

static void a_model_gets_its_cache(void **state)
{
	struct tested *first, *second;
	struct rig g;

	rig_open(&g, &stage_drive, (const char *[]){FIFO, "linear", "segments=4", NULL}, NULL);
	first = rig_submit(&g, 0, BLOCK_READ, 0, 4096);
	rig_until(&g, 10 * RIG_MS, 10 * RIG_MS);
	second = rig_submit(&g, 1, BLOCK_READ, 0, 4096);
	rig_until(&g, 20 * RIG_MS, 10 * RIG_MS);
	assert_true(first->order && !first->r.cached);
	assert_true(second->order && second->r.cached);
	assert_true(rig_stat(&g, "drive.cached") == 1 && rig_stat(&g, "model.hits") == 1);
	rig_close(&g);
}

/* ---- flushes and others ---- */

static void a_flush_waits_for_what_is_at_work(void **state)
{
	struct tested *first, *flush, *second;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us:depth=2", NULL);
	first = rig_write(&g, 0, 0, 512);
	rig_until(&g, 30 * RIG_US, RIG_US);
	flush = rig_submit(&g, 1, BLOCK_FLUSH, 0, 0);
	second = rig_write(&g, 2, 512, 512);
	rig_until(&g, 200 * RIG_US, RIG_US);
	assert_int_equal(first->done_ns, 100 * RIG_US);
	assert_int_equal(flush->done_ns, 100 * RIG_US);
	assert_int_equal(second->done_ns, 130 * RIG_US);
	assert_int_equal(g.back.seen[BLOCK_FLUSH], 1);
	/* With nothing at work, at once. */
	assert_int_equal(rig_submit(&g, 3, BLOCK_FLUSH, 0, 0)->done_ns, 200 * RIG_US);
	assert_true(rig_stat(&g, "drive.flushes") == 2);
	rig_close(&g);
}

/* Others that came later may be done earlier. */
static void a_flush_waits_for_none_that_came_later(void **state)
{
	struct tested *first, *flush, *second;
	struct rig g;

	open_drive(&g, FIFO, "host:depth=2", NULL);
	g.back.slow = true;
	first = rig_write(&g, 0, 0, 512);
	flush = rig_submit(&g, 1, BLOCK_FLUSH, 0, 0);
	second = rig_write(&g, 2, 512, 512);
	back_rotate(&g.back);
	back_do(&g.back, 2);
	assert_int_equal(second->order, 1);
	assert_int_equal(flush->order, 0);
	back_do(&g.back, 1);
	assert_int_equal(first->order, 2);
	assert_int_equal(flush->order, 3);
	rig_close(&g);
}

/* What the guest was told is written must be below before the flush is. */
static void a_flush_covers_writes_that_were_done(void **state)
{
	struct tested *write, *flush;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us", NULL);
	g.back.slow = true;
	write = rig_write(&g, 0, 0, 512);
	rig_until(&g, 100 * RIG_US, RIG_US);
	assert_int_equal(write->order, 0);
	back_do(&g.back, 1);
	assert_int_equal(write->order, 1);
	flush = rig_submit(&g, 1, BLOCK_FLUSH, 0, 0);
	rig_until(&g, 300 * RIG_US, RIG_US);
	assert_int_equal(flush->order, 0);
	assert_ptr_equal(g.back.kept, &flush->r);
	back_do(&g.back, 1);
	assert_int_equal(flush->order, 2);
	assert_int_equal(flush->r.status, 0);
	rig_close(&g);
}

static void others_pass_by_and_nonsense_is_refused(void **state)
{
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us", NULL);
	memset(g.bytes, 7, 8192);
	assert_int_equal(rig_submit(&g, 0, BLOCK_DISCARD, 0, 4096)->r.status, 0);
	assert_int_equal(rig_submit(&g, 1, BLOCK_ZERO, 4096, 4096)->r.status, 0);
	assert_true(rig_has(&g, 0, 8192, 0));
	assert_int_equal(rig_submit(&g, 2, BLOCK_READ, RIG_BYTES, 512)->r.status, -EINVAL);
	assert_int_equal(rig_submit(&g, 3, BLOCK_READ, 100, 512)->r.status, -EINVAL);
	assert_int_equal(g.done, 4);
	rig_close(&g);
}

static void errors_of_the_back_end_are_passed_on(void **state)
{
	struct tested *t;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us", NULL);
	g.back.ram->info.read_only = true;
	t = rig_write(&g, 0, 0, 512);
	rig_until(&g, 100 * RIG_US, RIG_US);
	assert_int_equal(t->r.status, -EROFS);
	assert_int_equal(t->done_ns, 100 * RIG_US);
	rig_close(&g);
}

/* ---- drains ---- */

static void a_drain_does_all_at_once(void **state)
{
	struct tested *after;
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=100us:depth=2", NULL);
	g.back.slow = true;
	rig_until(&g, 10 * RIG_US, RIG_US);
	for (unsigned i = 0; i < 600; i++)
		rig_write(&g, i, (u64)i * 512, 512);
	rig_submit(&g, 600, BLOCK_FLUSH, 0, 0);
	rig_until(&g, 60 * RIG_US, RIG_US);
	/* The back end's drain does what it keeps, on a thread that also brings the rest. */
	while (g.done < 601) {
		g.back.slow = false;
		back_do(&g.back, 2);
		block_drain(g.top);
	}
	assert_int_equal(rig_now(&g), 60 * RIG_US);
	for (unsigned i = 0; i < 600; i++)
		assert_true(rig_has(&g, (u64)i * 512, 512, (u8)(i % 251 + 1)));
	/* What comes afterwards is on time again. */
	after = rig_submit(&g, 0, BLOCK_READ, 0, 512);
	rig_until(&g, 160 * RIG_US, RIG_US);
	assert_int_equal(after->done_ns, 160 * RIG_US);
	rig_close(&g);
}

/* The clock stands, as when a machine is paused. */
static void a_drain_needs_no_time(void **state)
{
	struct rig g;

	open_drive(&g, FIFO, "fixed:latency=1s", NULL);
	for (unsigned i = 0; i < 20; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 512);
	clock_stop(g.clock);
	block_drain(g.top);
	assert_int_equal(g.done, 20);
	block_drain(g.top);
	rig_close(&g);
}

/* ---- schedulers that merge, wait, or are wrong ---- */

struct odd {
	struct sched sched;
	const struct alc_host *host;
	struct disk_req *first;
	unsigned waiting, want;
};

static int odd_create(const struct sched_env *env, const char *text, struct sched **out,
		      struct alc_err *err);

static void odd_destroy(struct sched *s)
{
	struct odd *o = container_of(s, struct odd, sched);

	host_free(o->host, o, sizeof(*o));
}

static void odd_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct odd *o = container_of(s, struct odd, sched);

	r->next = o->first;
	o->first = r;
	o->waiting++;
}

/* Waits for so many, then gives all of them as one. */
static struct disk_req *odd_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct odd *o = container_of(s, struct odd, sched);
	struct disk_req *r = o->first;

	*ask_ns = DISK_NEVER;
	if (o->waiting < o->want)
		return NULL;
	o->first = NULL;
	o->waiting = 0;
	r->merged = r->next;
	for (struct disk_req *m = r->merged; m; m = m->next) {
		r->span_sector = min_u64(r->span_sector, m->sector);
		r->span_sectors += m->sectors;
	}
	return r;
}

static const struct sched_class odd_class = {
	.name = "odd", .destroy = odd_destroy, .add = odd_add, .next = odd_next};

static int odd_create(const struct sched_env *env, const char *text, struct sched **out,
		      struct alc_err *err)
{
	struct odd *o = host_alloc(env->host, sizeof(*o));

	if (!o)
		return alc_fail(err, -ENOMEM, "no memory");
	*o = (struct odd){
		.sched.class = &odd_class, .host = env->host, .want = (unsigned)atoi(text)};
	*out = &o->sched;
	return 0;
}

static void open_odd(struct rig *g, const char *want, const char *model)
{
	rig_open(g, &stage_drive, (const char *[]){want, model, NULL, NULL},
		 &(struct stage_env){.sched_open = odd_create});
}

static void merged_requests_are_done_together(void **state)
{
	static const char *const models[] = {"fixed:latency=100us", "host:depth=1"};

	for (unsigned m = 0; m < 2; m++) {
		struct rig g;

		open_odd(&g, "4", models[m]);
		for (unsigned i = 0; i < 4; i++)
			rig_write(&g, i, (u64)i * 4096, 4096);
		rig_until(&g, 100 * RIG_US, RIG_US);
		assert_int_equal(g.done, 4);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(g.reqs[i].done_ns, m ? 0 : 100 * RIG_US);
			assert_true(rig_has(&g, (u64)i * 4096, 4096, (u8)(i + 1)));
		}
		assert_int_equal(g.back.seen[BLOCK_WRITE], 4);
		rig_close(&g);
	}
}

static void a_scheduler_that_keeps_requests_is_given_up(void **state)
{
	struct rig g;

	open_odd(&g, "3", "fixed:latency=100us");
	rig_submit(&g, 0, BLOCK_READ, 0, 512);
	rig_submit(&g, 1, BLOCK_READ, 0, 512);
	rig_until(&g, 1000 * RIG_US, 1000 * RIG_US);
	assert_int_equal(g.done, 0);
	block_drain(g.top);
	assert_int_equal(g.done, 2);
	assert_int_equal(g.reqs[0].r.status, -EIO);
	assert_true(test_host_logged(&g.th, "lost requests"));
	/* The disk still works. */
	assert_int_equal(rig_write(&g, 2, 0, 512)->r.status, 0);
	assert_true(rig_has(&g, 0, 512, 3));
	rig_close(&g);
}

/* ---- creation ---- */

static void parameters_are_checked(void **state)
{
	const struct stage_class *c = &stage_drive;

	rig_refuses(c, (const char *[]){"nop", NULL, NULL, NULL}, -ENOENT, "'noop'");
	rig_refuses(c, (const char *[]){NULL, "fixd", NULL, NULL}, -ENOENT, "'fixed'");
	rig_refuses(c, (const char *[]){NULL, "fixed:latency=x", NULL, NULL}, -EINVAL, "latency");
	rig_refuses(c, (const char *[]){NULL, "host:depth=0", NULL, NULL}, -ERANGE, "depth");
	rig_refuses(c, (const char *[]){NULL, "fixed", NULL, "window=10"}, -ERANGE, "window");
	rig_refuses(c, (const char *[]){"noop", NULL, NULL, "k=2"}, -EINVAL, "needs a model");
	rig_refuses(c, (const char *[]){"noop", NULL, "segments=2", NULL}, -EINVAL,
		    "needs a model");
	rig_refuses(c, (const char *[]){NULL, "fixed", "segments=2", NULL}, -ENOENT, "cache");
}

static int make_and_close(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct stage_env env = {.host = host, .disk = "test"};
	struct block *below, *b;
	int rc = block_ram_create(host, 4096, NULL, &below, err);

	if (rc)
		return rc;
	rc = stage_drive.create(&env, (const char *[]){"noop", "linear", "segments=8", "k=2"},
				below, &b, err);
	block_close(rc ? below : b);
	return rc;
}

static void failing_calls_leave_nothing(void **state)
{
	assert_true(sweep(&(struct sweep){.run = make_and_close, .has_err = true}) > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_done_at_their_instants),
		cmocka_unit_test(late_timers_do_not_add_up),
		cmocka_unit_test(a_list_is_seen_whole_by_the_scheduler),
		cmocka_unit_test(more_requests_than_it_has_room_for_wait),
		cmocka_unit_test(before_it_is_attached_it_adds_no_time),
		cmocka_unit_test(late_back_ends_are_waited_for),
		cmocka_unit_test(k_scales_the_times_of_the_model),
		cmocka_unit_test(k_is_raised_when_many_are_late),
		cmocka_unit_test(k_settles),
		cmocka_unit_test(times_of_disk_and_guest_agree),
		cmocka_unit_test(without_a_model_the_back_end_is_the_drive),
		cmocka_unit_test(a_model_gets_its_cache),
		cmocka_unit_test(a_flush_waits_for_what_is_at_work),
		cmocka_unit_test(a_flush_waits_for_none_that_came_later),
		cmocka_unit_test(a_flush_covers_writes_that_were_done),
		cmocka_unit_test(others_pass_by_and_nonsense_is_refused),
		cmocka_unit_test(errors_of_the_back_end_are_passed_on),
		cmocka_unit_test(a_drain_does_all_at_once),
		cmocka_unit_test(a_drain_needs_no_time),
		cmocka_unit_test(merged_requests_are_done_together),
		cmocka_unit_test(a_scheduler_that_keeps_requests_is_given_up),
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(failing_calls_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
