/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults: whom they happen to, what becomes of the data, and what is counted. */
#include "block_stage_test.h"

static void open_fault(struct rig *g, const char *text)
{
	rig_open(g, &stage_fault, &text, NULL);
}

/* Which of n reads of one sector, one after the other, have the status of an error. */
static unsigned fail_mask(struct rig *g, unsigned n)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < n; i++) {
		int status = rig_submit(g, i, BLOCK_READ, (u64)i * 512, 512)->r.status;

		assert_true(status == 0 || status == -EIO);
		mask |= (unsigned)(status != 0) << i;
	}
	return mask;
}

static void faults_happen_to_the_ones_that_were_named(void **state)
{
	static const struct {
		const char *text;
		unsigned mask;
	} cases[] = {
		{"error", 0xffff},
		{"error:nth=4", 0x8888},
		{"error:skip=3:nth=4", 0x4440},
		{"error:skip=14", 0xc000},
		{"error:times=2", 0x0003},
		{"error:nth=3:times=2", 0x0024},
		{"error:sector=4:sectors=3", 0x0070},
		{"error:sector=10", 0xfc00},
		{"error:read=off", 0},
		{"error:probability=0", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig g;

		open_fault(&g, cases[i].text);
		assert_int_equal(fail_mask(&g, 16), cases[i].mask);
		assert_true(rig_stat(&g, "fault.error.struck") ==
			    __builtin_popcount(cases[i].mask));
		assert_int_equal(g.back.seen[BLOCK_READ], 16 - __builtin_popcount(cases[i].mask));
		rig_close(&g);
	}
}

static void ranges_overlap(void **state)
{
	struct rig g;

	open_fault(&g, "error:sector=8:sectors=8");
	assert_int_equal(rig_submit(&g, 0, BLOCK_READ, 0, 4096)->r.status, 0);
	assert_int_equal(rig_submit(&g, 1, BLOCK_READ, 512, 4096)->r.status, -EIO);
	assert_int_equal(rig_submit(&g, 2, BLOCK_READ, 8192 - 512, 1024)->r.status, -EIO);
	assert_int_equal(rig_submit(&g, 3, BLOCK_READ, 8192, 512)->r.status, 0);
	rig_close(&g);
}

static void operations_are_told_apart(void **state)
{
	struct rig g;

	open_fault(&g, "error:read=off:write=off:flush=on:discard=on");
	assert_int_equal(rig_write(&g, 0, 0, 512)->r.status, 0);
	assert_int_equal(rig_submit(&g, 1, BLOCK_READ, 0, 512)->r.status, 0);
	assert_int_equal(rig_submit(&g, 2, BLOCK_FLUSH, 0, 0)->r.status, -EIO);
	assert_int_equal(rig_submit(&g, 3, BLOCK_DISCARD, 0, 512)->r.status, -EIO);
	assert_int_equal(rig_submit(&g, 4, BLOCK_ZERO, 0, 512)->r.status, -EIO);
	assert_true(rig_has(&g, 0, 512, 1));
	assert_true(rig_stat(&g, "fault.error.seen") == 3);
	rig_close(&g);
}

static unsigned chance(const char *text)
{
	struct rig g;
	unsigned mask;

	open_fault(&g, text);
	mask = fail_mask(&g, 32);
	rig_close(&g);
	return mask;
}

static void chance_is_seeded(void **state)
{
	unsigned one = chance("error:probability=0.5:seed=1"), struck = 0;
	struct rig g;

	assert_int_equal(chance("error:probability=0.5:seed=1"), one);
	assert_int_not_equal(chance("error:probability=0.5:seed=2"), one);
	assert_int_not_equal(chance("error:probability=0.5:seed=0"), one);
	open_fault(&g, "error:probability=0.1:seed=7");
	for (unsigned i = 0; i < 10000; i++)
		struck += rig_submit(&g, 0, BLOCK_READ, 0, 512)->r.status != 0;
	/* 1000, with a standard deviation of 30. */
	assert_in_range(struck, 850, 1150);
	assert_true(rig_stat(&g, "fault.error.struck") == struck);
	rig_close(&g);
}

static void delays_are_exact(void **state)
{
	struct tested *a, *b, *c;
	struct rig g;

	open_fault(&g, "delay:time=2ms:nth=2");
	rig_until(&g, RIG_MS, RIG_MS);
	a = rig_write(&g, 0, 0, 512);
	assert_int_equal(a->order, 1);
	b = rig_write(&g, 1, 0, 512);
	rig_until(&g, 2 * RIG_MS, RIG_MS / 10);
	rig_write(&g, 2, 512, 512);
	c = rig_write(&g, 3, 1024, 512);
	rig_until(&g, 4 * RIG_MS, RIG_MS / 10);
	assert_int_equal(b->done_ns, 3 * RIG_MS);
	assert_int_equal(c->done_ns, 4 * RIG_MS);
	assert_true(rig_has(&g, 0, 512, 2));
	rig_close(&g);
}

static void dropped_writes_are_lost_and_nobody_is_told(void **state)
{
	struct rig g;

	open_fault(&g, "drop:nth=2");
	assert_int_equal(rig_write(&g, 0, 0, 512)->r.status, 0);
	assert_int_equal(rig_write(&g, 1, 512, 512)->r.status, 0);
	assert_int_equal(rig_submit(&g, 2, BLOCK_READ, 512, 512)->r.status, 0);
	assert_int_equal(g.reqs[2].data[0], 0);
	assert_true(rig_has(&g, 0, 512, 1) && rig_has(&g, 512, 512, 0));
	assert_true(rig_stat(&g, "fault.drop.struck") == 1);
	rig_close(&g);
}

/* The first blocks of it are new, the others are old, and the boundary varies. */
static void torn_writes_are_done_in_part(void **state)
{
	unsigned where[17] = {0}, places = 0;
	struct rig g;

	open_fault(&g, "torn");
	for (unsigned i = 0; i < 200; i++) {
		struct tested *t;
		unsigned n = 0;

		memset(g.bytes, 0, 8192);
		t = rig_write(&g, 0, 0, 8192);
		assert_int_equal(t->r.status, 0);
		assert_true(t->r.len == 8192 && t->r.iov == t->iov && t->r.niov == 2);
		assert_true(t->r.done == rig_done && t->r.ctx == t);
		while (n < 16 && rig_has(&g, n * 512ull, 512, 1))
			n++;
		assert_true(rig_has(&g, n * 512ull, 8192 - n * 512ull, 0));
		where[n]++;
	}
	assert_int_equal(where[16], 0);
	for (unsigned i = 0; i < 16; i++)
		places += where[i] > 0;
	assert_true(places > 12);
	assert_true(rig_stat(&g, "fault.torn.struck") == 200);
	rig_close(&g);
}

static void a_disk_that_hangs_is_given_up_by_a_drain(void **state)
{
	struct rig g;

	open_fault(&g, "hang:skip=1");
	assert_int_equal(rig_submit(&g, 0, BLOCK_READ, 0, 512)->r.status, 0);
	rig_submit(&g, 1, BLOCK_READ, 0, 512);
	rig_submit(&g, 2, BLOCK_READ, 0, 512);
	rig_until(&g, 1000 * RIG_MS, 1000 * RIG_MS);
	assert_int_equal(g.done, 1);
	block_drain(g.top);
	assert_int_equal(g.done, 3);
	assert_int_equal(g.reqs[1].r.status, -EIO);
	rig_close(&g);
}

static void drains_hurry_what_is_delayed(void **state)
{
	struct rig g;

	open_fault(&g, "delay:time=1s");
	for (unsigned i = 0; i < 50; i++)
		rig_write(&g, i, i * 512ull, 512);
	clock_stop(g.clock);
	block_drain(g.top);
	assert_int_equal(g.done, 50);
	for (unsigned i = 0; i < 50; i++) {
		assert_true(rig_has(&g, i * 512ull, 512, (u8)(i + 1)));
		assert_int_equal(g.reqs[i].order, i + 1);
	}
	rig_close(&g);
}

/* Of a list, each request goes its own way. */
static void lists_are_taken_apart(void **state)
{
	struct rig g;

	open_fault(&g, "error:nth=3");
	for (unsigned i = 0; i < 9; i++)
		rig_make(&g, i, BLOCK_READ, i * 512ull, 512)->r.next = i < 8 ? &g.reqs[i + 1].r
									     : NULL;
	block_submit(g.top, &g.reqs[0].r);
	assert_int_equal(g.done, 9);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(g.reqs[i].r.status, i % 3 == 2 ? -EIO : 0);
	rig_close(&g);
}

static void parameters_are_checked(void **state)
{
	const struct stage_class *c = &stage_fault;

	rig_refuses(c, (const char *[]){"eror"}, -ENOENT, "did you mean 'error'");
	rig_refuses(c, (const char *[]){"error:probabilty=1"}, -ENOENT, "probability");
	rig_refuses(c, (const char *[]){"error:probability=2"}, -ERANGE, "share");
	rig_refuses(c, (const char *[]){"error:nth=0"}, -ERANGE, "nth");
	rig_refuses(c, (const char *[]){"error:time=1ms"}, -ENOENT, "time");
	rig_refuses(c, (const char *[]){"torn:write=off"}, -EINVAL, "only happen to writes");
	rig_refuses(c, (const char *[]){"drop:write=off"}, -EINVAL, "writes, flushes and");
	rig_refuses(c, (const char *[]){"error:read=off:write=off"}, -EINVAL, "no operation");
}

static void ignore(struct block_req *r)
{
}

/* A torn write that there is no memory for is lost whole. */
static int make_and_tear(const struct alc_host *host, void *arg, struct alc_err *err)
{
	static const char *const text = "torn:seed=3";
	struct stage_env env = {.host = host, .disk = "test"};
	struct block *below, *b;
	u8 data[8192];
	struct alc_iov iov = {data, sizeof(data)};
	struct tested t = {.rig = NULL};
	int rc = block_ram_create(host, 8192, NULL, &below, err);

	if (rc)
		return rc;
	rc = stage_fault.create(&env, &text, below, &b, err);
	if (rc) {
		block_close(below);
		return rc;
	}
	memset(data, 1, sizeof(data));
	t.r = (struct block_req){.op = BLOCK_WRITE,
				 .len = sizeof(data),
				 .iov = &iov,
				 .niov = 1,
				 .status = -1,
				 .done = ignore};
	block_submit(b, &t.r);
	rc = t.r.status;
	block_close(b);
	return rc;
}

static void failing_calls_leave_nothing(void **state)
{
	assert_true(sweep(&(struct sweep){.run = make_and_tear, .may_cope = true}) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_happen_to_the_ones_that_were_named),
		cmocka_unit_test(ranges_overlap),
		cmocka_unit_test(operations_are_told_apart),
		cmocka_unit_test(chance_is_seeded),
		cmocka_unit_test(delays_are_exact),
		cmocka_unit_test(dropped_writes_are_lost_and_nobody_is_told),
		cmocka_unit_test(torn_writes_are_done_in_part),
		cmocka_unit_test(a_disk_that_hangs_is_given_up_by_a_drain),
		cmocka_unit_test(drains_hurry_what_is_delayed),
		cmocka_unit_test(lists_are_taken_apart),
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(failing_calls_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
