/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "alcazar/vm.h"
#include "base/errno.h"
#include "host/clock.h"
#include "host/test/sweep.h"

struct probe {
	struct alc_clock *clock;
	struct alc_timer timer;
	int id;
	u64 period_ns;
	atomic_uint fired;
	_Atomic(u64) at_ns;
};

/* The order of firing. All callbacks run on one thread and are read when it rests. */
static int order[64];
static atomic_uint norder;

static void note(void *arg)
{
	struct probe *p = arg;

	order[atomic_fetch_add(&norder, 1) % ARRAY_LEN(order)] = p->id;
	p->at_ns = clock_now_ns(p->clock);
	p->fired++;
	if (p->period_ns)
		assert_int_equal(
			clock_timer_set(p->clock, &p->timer, p->timer.deadline_ns + p->period_ns),
			0);
}

struct rig {
	struct test_host th;
	struct alc_clock *clock;
	struct probe probes[40];
};

static int setup(void **state)
{
	static struct rig rig;

	memset(&rig, 0, sizeof(rig));
	norder = 0;
	test_host_init(&rig.th, TEST_TIME_MANUAL);
	rig.th.manual_ns = 1000000;
	assert_int_equal(clock_create(&rig.th.host, &rig.clock), 0);
	for (size_t i = 0; i < ARRAY_LEN(rig.probes); i++) {
		rig.probes[i].clock = rig.clock;
		rig.probes[i].id = (int)i;
		clock_timer_init(&rig.probes[i].timer, note, &rig.probes[i]);
	}
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	clock_destroy(r->clock);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
	return 0;
}

static void pass(struct rig *r, u64 ns)
{
	test_host_advance(&r->th, ns);
	test_host_settle(&r->th);
}

static void time_runs_only_while_started(void **state)
{
	struct rig *r = *state;
	u64 wall = r->th.wall_base_ns + r->th.manual_ns;

	test_host_advance(&r->th, 100);
	assert_int_equal(clock_now_ns(r->clock), 0);
	assert_int_equal(clock_start(r->clock), 0);
	assert_int_equal(clock_start(r->clock), 0);
	assert_int_equal(clock_wall_ns(r->clock), wall + 100);
	test_host_advance(&r->th, 50);
	assert_int_equal(clock_now_ns(r->clock), 50);
	assert_int_equal(clock_wall_ns(r->clock), wall + 150);
	clock_stop(r->clock);
	clock_stop(r->clock);
	test_host_advance(&r->th, 1000);
	assert_int_equal(clock_now_ns(r->clock), 50);
	assert_int_equal(clock_wall_ns(r->clock), wall + 150);
	assert_int_equal(clock_start(r->clock), 0);
	test_host_advance(&r->th, 7);
	assert_int_equal(clock_now_ns(r->clock), 57);
	assert_int_equal(clock_wall_ns(r->clock), wall + 1157);
}

static void timers_fire_in_order_of_deadline(void **state)
{
	static const u64 step = 7; /* coprime to 40: every deadline once, shuffled */
	struct rig *r = *state;

	for (size_t i = 0; i < 40; i++)
		assert_int_equal(clock_timer_set(r->clock, &r->probes[i].timer, 1 + i * step % 40),
				 0);
	for (size_t i = 0; i < 40; i += 3)
		clock_timer_cancel(r->clock, &r->probes[i].timer);
	clock_timer_cancel(r->clock, &r->probes[0].timer); /* again: nothing happens */
	assert_int_equal(clock_start(r->clock), 0);
	pass(r, 100);
	assert_int_equal(norder, 26);
	for (unsigned i = 1; i < 26; i++)
		assert_true((u64)order[i - 1] * step % 40 < (u64)order[i] * step % 40);
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(r->probes[i].fired, i % 3 != 0);
}

static void timer_fires_at_its_deadline_not_before(void **state)
{
	struct rig *r = *state;
	struct probe *p = &r->probes[0];

	assert_int_equal(clock_start(r->clock), 0);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 100), 0);
	pass(r, 99);
	assert_int_equal(p->fired, 0);
	pass(r, 1);
	assert_int_equal(p->fired, 1);
	assert_int_equal(p->at_ns, 100);
	pass(r, 1000);
	assert_int_equal(p->fired, 1);
	/* In the past: at once. */
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 5), 0);
	test_host_settle(&r->th);
	assert_int_equal(p->fired, 2);
}

static void rearming_moves_the_deadline(void **state)
{
	struct rig *r = *state;
	struct probe *p = &r->probes[0];

	assert_int_equal(clock_start(r->clock), 0);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 100), 0);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 300), 0);
	pass(r, 200);
	assert_int_equal(p->fired, 0);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 250), 0);
	pass(r, 50);
	assert_int_equal(p->fired, 1);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, UINT64_MAX), 0);
	pass(r, 1ull << 60);
	assert_int_equal(p->fired, 1);
}

static void timer_set_from_its_callback_repeats(void **state)
{
	struct rig *r = *state;
	struct probe *p = &r->probes[0];

	p->period_ns = 10;
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 10), 0);
	assert_int_equal(clock_start(r->clock), 0);
	for (unsigned i = 1; i <= 5; i++) {
		pass(r, 10);
		assert_int_equal(p->fired, i);
	}
	pass(r, 50);
	assert_int_equal(p->fired, 10);
}

static void timers_stay_armed_while_stopped(void **state)
{
	struct rig *r = *state;
	struct probe *p = &r->probes[0];

	assert_int_equal(clock_start(r->clock), 0);
	assert_int_equal(clock_timer_set(r->clock, &p->timer, 100), 0);
	pass(r, 60);
	clock_stop(r->clock);
	test_host_advance(&r->th, 1000);
	assert_int_equal(clock_start(r->clock), 0);
	pass(r, 39);
	assert_int_equal(p->fired, 0);
	pass(r, 1);
	assert_int_equal(p->fired, 1);
}

static void heap_that_cannot_grow(void **state)
{
	struct rig *r = *state;

	r->th.fail_nth = r->th.calls + 1;
	assert_int_equal(clock_timer_set(r->clock, &r->probes[0].timer, 5), -ENOMEM);
	assert_int_equal(r->probes[0].timer.heap_pos, 0);
	assert_int_equal(clock_timer_set(r->clock, &r->probes[0].timer, 5), 0);
	assert_int_equal(clock_start(r->clock), 0);
	pass(r, 5);
	assert_int_equal(r->probes[0].fired, 1);
}

/* Creates, starts and uses a clock with enough timers to grow its heap twice. */
static int use_clock(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct alc_timer timers[40];
	struct alc_clock *c;
	int rc = clock_create(host, &c);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < ARRAY_LEN(timers); i++) {
		clock_timer_init(&timers[i], note, NULL);
		rc = clock_timer_set(c, &timers[i], 1000 - i);
	}
	if (!rc)
		rc = clock_start(c);
	clock_destroy(c);
	return rc;
}

static void clock_sweep(void **state)
{
	const struct sweep s = {.run = use_clock};

	assert_true(sweep(&s) >= 6);
}

static void signal_event(void *arg)
{
	struct probe *p = arg;

	p->fired++;
}

static void real_host_fires_and_stops(void **state)
{
	struct probe p = {0};
	struct alc_host *h;

	assert_int_equal(alc_host_open(&h, NULL), 0);
	assert_int_equal(clock_create(h, &p.clock), 0);
	clock_timer_init(&p.timer, signal_event, &p);
	assert_int_equal(clock_timer_set(p.clock, &p.timer, 1000000), 0);
	assert_int_equal(clock_start(p.clock), 0);
	while (!p.fired)
		h->yield(h->ctx);
	assert_true(clock_now_ns(p.clock) >= 1000000);
	clock_stop(p.clock);
	assert_int_equal(p.fired, 1);
	assert_int_equal(clock_now_ns(p.clock), clock_now_ns(p.clock));
	clock_destroy(p.clock);
	clock_destroy(NULL);
	alc_host_close(h);
}

/* ---- Virtual clocks ----------------------------------------------------------------------- */

static struct alc_clock *virtual_clock(struct rig *r, u64 hz)
{
	clock_destroy(r->clock);
	assert_int_equal(clock_create_virtual(&r->th.host, hz, 5000, &r->clock), 0);
	for (size_t i = 0; i < ARRAY_LEN(r->probes); i++)
		r->probes[i].clock = r->clock;
	assert_int_equal(clock_start(r->clock), 0);
	return r->clock;
}

static void virtual_time_is_what_it_is_told(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);

	assert_true(clock_is_virtual(c));
	assert_false(clock_is_virtual(NULL));
	test_host_advance(&r->th, 12345);
	assert_int_equal(clock_now_ns(c), 0);
	assert_int_equal(clock_wall_ns(c), 5000);
	assert_int_equal(clock_next_ns(c), CLOCK_NEVER);
	clock_advance(c, 70);
	assert_int_equal(clock_now_ns(c), 70);
	assert_int_equal(clock_wall_ns(c), 5070);
}

static void virtual_timers_fire_at_their_instant_in_order_of_arming(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);

	/* Of three with the same deadline the second is armed again, and so last. */
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(clock_timer_set(c, &r->probes[i].timer, 100), 0);
	assert_int_equal(clock_timer_set(c, &r->probes[1].timer, 100), 0);
	assert_int_equal(clock_timer_set(c, &r->probes[3].timer, 50), 0);
	assert_int_equal(clock_next_ns(c), 50);
	clock_advance(c, 99);
	assert_int_equal(norder, 1);
	clock_advance(c, 100);
	assert_int_equal(norder, 4);
	assert_int_equal(order[0], 3);
	assert_int_equal(order[1], 0);
	assert_int_equal(order[2], 2);
	assert_int_equal(order[3], 1);
	assert_int_equal(r->probes[1].at_ns, 100);
}

static void what_a_callback_makes_due_fires_in_the_same_advance(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);

	r->probes[0].period_ns = 30;
	assert_int_equal(clock_timer_set(c, &r->probes[0].timer, 30), 0);
	clock_advance(c, 100);
	assert_int_equal(r->probes[0].fired, 3);
	assert_int_equal(clock_next_ns(c), 120);
}

static void slices_follow_a_count(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);
	_Atomic(u64) stop_at = 0;
	u64 count = 1000, until;

	clock_slice_begin(c, 200, 500, &count, &stop_at);
	assert_int_equal(stop_at, 1300);
	assert_int_equal(clock_now_ns(c), 200);
	count += 70;
	assert_int_equal(clock_now_ns(c), 270);
	/* A timer before the end cuts the slice, one behind it does not. */
	assert_int_equal(clock_timer_set(c, &r->probes[0].timer, 501), 0);
	assert_int_equal(stop_at, 1300);
	assert_int_equal(clock_timer_set(c, &r->probes[1].timer, 400), 0);
	assert_int_equal(stop_at, 1200);
	/* One that is due at once ends it after the next instruction. */
	assert_int_equal(clock_timer_set(c, &r->probes[2].timer, 0), 0);
	assert_int_equal(stop_at, 1071);
	count++;
	assert_int_equal(clock_slice_end(c, &until), 271);
	assert_int_equal(until, 271);
	assert_int_equal(stop_at, UINT64_MAX);
	assert_int_equal(norder, 0);
	clock_advance(c, until);
	assert_int_equal(norder, 1);
	assert_int_equal(r->probes[2].at_ns, 271);
}

static void no_cpu_undercuts_what_another_has_read(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);
	_Atomic(u64) stop_at;
	u64 first = 0, second = 0, until;

	clock_slice_begin(c, 0, 100, &first, &stop_at);
	first = 80;
	assert_int_equal(clock_now_ns(c), 80);
	first = 100;
	assert_int_equal(clock_slice_end(c, &until), 100);
	clock_slice_begin(c, 0, 100, &second, &stop_at);
	second = 30;
	assert_int_equal(clock_cpu_ns(c), 30);
	assert_int_equal(clock_now_ns(c), 80);
	second = 90;
	assert_int_equal(clock_now_ns(c), 90);
	clock_slice_end(c, &until);
}

/* 3 instructions are 10 ns: never early, and as soon as can be. */
static void rates_round_up_to_instructions(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 300000000);
	_Atomic(u64) stop_at;
	u64 count = 0, until;

	for (u64 ns = 1; ns < 50; ns++) {
		count = 0;
		clock_slice_begin(c, 1000, 1000 + ns, &count, &stop_at);
		assert_in_range(stop_at, 1, 15);
		count = stop_at - 1;
		assert_true(clock_cpu_ns(c) < 1000 + ns);
		count = stop_at;
		assert_true(clock_cpu_ns(c) >= 1000 + ns);
		clock_slice_end(c, &until);
	}
}

static void add_up(void *ctx, u64 deadline_ns)
{
	*(u64 *)ctx += deadline_ns;
}

static void deadlines_are_told(void **state)
{
	struct rig *r = *state;
	struct alc_clock *c = virtual_clock(r, 1000000000);
	u64 sum = 0;

	for (size_t i = 0; i < 20; i++)
		assert_int_equal(clock_timer_set(c, &r->probes[i].timer, 1ull << i), 0);
	clock_timer_cancel(c, &r->probes[7].timer);
	clock_each_deadline(c, add_up, &sum);
	assert_int_equal(sum, (1 << 20) - 1 - (1 << 7));
}

#define WITH_RIG(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(time_runs_only_while_started),
		WITH_RIG(timers_fire_in_order_of_deadline),
		WITH_RIG(timer_fires_at_its_deadline_not_before),
		WITH_RIG(rearming_moves_the_deadline),
		WITH_RIG(timer_set_from_its_callback_repeats),
		WITH_RIG(timers_stay_armed_while_stopped),
		WITH_RIG(heap_that_cannot_grow),
		WITH_RIG(virtual_time_is_what_it_is_told),
		WITH_RIG(virtual_timers_fire_at_their_instant_in_order_of_arming),
		WITH_RIG(what_a_callback_makes_due_fires_in_the_same_advance),
		WITH_RIG(slices_follow_a_count),
		WITH_RIG(no_cpu_undercuts_what_another_has_read),
		WITH_RIG(rates_round_up_to_instructions),
		WITH_RIG(deadlines_are_told),
		cmocka_unit_test(clock_sweep),
		cmocka_unit_test(real_host_fires_and_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
