/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits on rates: exact spacing, no drift, bursts, two limits at once, drains. */
#include "block_stage_test.h"

static void open_rate(struct rig *g, const char *text)
{
	rig_open(g, &stage_rate, &text, NULL);
}

static void requests_are_spaced_evenly(void **state)
{
	struct rig g;

	open_rate(&g, "iops=1000");
	rig_until(&g, 5 * RIG_MS, RIG_MS);
	for (unsigned i = 0; i < 20; i++)
		rig_write(&g, i, i * 512ull, 512);
	rig_until(&g, 30 * RIG_MS, RIG_MS / 2);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(g.reqs[i].done_ns, (5 + i) * RIG_MS);
		assert_true(rig_has(&g, i * 512ull, 512, (u8)(i + 1)));
	}
	/* Unused time is not saved up. */
	for (unsigned i = 0; i < 3; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 512);
	rig_until(&g, 32 * RIG_MS, RIG_MS / 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(g.reqs[i].done_ns, (30 + i) * RIG_MS);
	rig_close(&g);
}

/* The host's timers come up to 7 ms late all the time; over 10 s at most 1 % may be missing. */
static void the_rate_is_kept_over_ten_seconds(void **state)
{
	enum { SECONDS = 10, INFLIGHT = 32 };
	const u64 rate = 1000 * 1000; /* not a divisor of a second in any unit */
	u64 submitted = 0, done_bytes = 0;
	struct rig g;

	open_rate(&g, "bandwidth=1000000");
	for (unsigned i = 0; i < INFLIGHT; i++, submitted++)
		rig_submit(&g, i, BLOCK_READ, 0, 7 * 512);
	while (rig_now(&g) < SECONDS * 1000 * RIG_MS) {
		rig_until(&g, rig_now(&g) + 7 * RIG_MS, 7 * RIG_MS);
		for (unsigned i = 0; i < INFLIGHT; i++)
			if (g.reqs[i].order) {
				done_bytes += g.reqs[i].r.len;
				rig_submit(&g, i, BLOCK_READ, 0, 7 * 512);
			}
	}
	assert_in_range(done_bytes, SECONDS * rate * 99 / 100, SECONDS * rate * 101 / 100);
	block_drain(g.top);
	rig_close(&g);
}

/* 3 requests a second: a third of a nanosecond each time would be 3 ns after ten. */
static void parts_of_nanoseconds_are_carried_over(void **state)
{
	struct rig g;

	open_rate(&g, "iops=3");
	for (unsigned i = 0; i < 10; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 512);
	rig_until(&g, 3000 * RIG_MS - 1, 1000 * RIG_MS - 1);
	assert_int_equal(g.done, 9);
	rig_until(&g, 3000 * RIG_MS, 1);
	assert_int_equal(g.reqs[9].done_ns, 3000 * RIG_MS);
	rig_close(&g);
}

static void bursts_use_what_was_saved(void **state)
{
	struct rig g;

	open_rate(&g, "iops=1000:burst=4ms");
	rig_until(&g, 100 * RIG_MS, RIG_MS);
	for (unsigned i = 0; i < 8; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 512);
	rig_until(&g, 110 * RIG_MS, RIG_MS / 2);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(g.reqs[i].done_ns, (100 + (i > 4 ? i - 4 : 0)) * RIG_MS);
	rig_close(&g);
}

/* Large requests by bytes, small ones by number; neither saves up time of the other. */
static void both_limits_hold(void **state)
{
	struct rig g;

	open_rate(&g, "bandwidth=4096000:iops=2000");
	for (unsigned i = 0; i < 4; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 8192);
	for (unsigned i = 4; i < 8; i++)
		rig_submit(&g, i, BLOCK_READ, 0, 512);
	rig_until(&g, 20 * RIG_MS, RIG_MS / 8);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(g.reqs[i].done_ns, 2 * i * RIG_MS);
	for (unsigned i = 4; i < 8; i++)
		assert_int_equal(g.reqs[i].done_ns, 8 * RIG_MS + (i - 4) * RIG_MS / 2);
	assert_true(rig_stat(&g, "rate.requests") == 8);
	assert_true(rig_stat(&g, "rate.bytes") == 4 * 8192 + 4 * 512);
	assert_true(rig_stat(&g, "rate.delayed") == 7);
	rig_close(&g);
}

static void flushes_are_free(void **state)
{
	struct rig g;

	open_rate(&g, "iops=10");
	rig_submit(&g, 0, BLOCK_READ, 0, 512);
	rig_submit(&g, 1, BLOCK_READ, 0, 512);
	assert_int_equal(rig_submit(&g, 2, BLOCK_FLUSH, 0, 0)->order, 2);
	block_drain(g.top);
	assert_int_equal(g.done, 3);
	rig_close(&g);
}

static void drains_hurry(void **state)
{
	struct rig g;

	open_rate(&g, "iops=1");
	for (unsigned i = 0; i < 100; i++)
		rig_write(&g, i, i * 512ull, 512);
	clock_stop(g.clock);
	assert_int_equal(g.done, 1);
	block_drain(g.top);
	assert_int_equal(g.done, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(g.reqs[i].order, i + 1);
	rig_close(&g);
}

static void parameters_are_checked(void **state)
{
	const struct stage_class *c = &stage_rate;

	rig_refuses(c, (const char *[]){"burst=1ms"}, -EINVAL, "bandwidth=BYTES, iops=N");
	rig_refuses(c, (const char *[]){"iops=x"}, -EINVAL, "iops");
	rig_refuses(c, (const char *[]){"bandwith=1M"}, -ENOENT, "'bandwidth'");
}

static int make_and_close(const struct alc_host *host, void *arg, struct alc_err *err)
{
	static const char *const text = "iops=1";
	struct stage_env env = {.host = host, .disk = "test"};
	struct block *below, *b;
	int rc = block_null_create(host, 4096, &below, err);

	if (rc)
		return rc;
	rc = stage_rate.create(&env, &text, below, &b, err);
	block_close(rc ? below : b);
	return rc;
}

static void failing_calls_leave_nothing(void **state)
{
	assert_int_equal(sweep(&(struct sweep){.run = make_and_close, .has_err = true}), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_spaced_evenly),
		cmocka_unit_test(the_rate_is_kept_over_ten_seconds),
		cmocka_unit_test(parts_of_nanoseconds_are_carried_over),
		cmocka_unit_test(bursts_use_what_was_saved),
		cmocka_unit_test(both_limits_hold),
		cmocka_unit_test(flushes_are_free),
		cmocka_unit_test(drains_hurry),
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(failing_calls_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
