/* SPDX-License-Identifier: BSD-2-Clause */
/* The linear model and the segmented cache against slow oracles, request by request. */
#include "block/model/segcache.h"
#include "drive_rings.h"
#include "host/test/sweep.h"

/* ---- The cache alone ---------------------------------------------------------------------- */

struct shape {
	unsigned segments, sectors, prefetch;
	bool keep_writes;
	u32 sectors_max; /* of a request */
	u64 disk_sectors;
	unsigned requests;
};

static const struct shape shapes[] = {
	{64, 221, 64, false, 64, 100000, 250000}, {64, 221, 64, true, 64, 30000, 150000},
	{4, 16, 8, false, 24, 400, 100000},       {1, 7, 7, true, 9, 50, 50000},
	{3, 1, 0, false, 2, 20, 50000},           {16, 64, 100, true, 300, 3000, 100000},
	{2, 8, 3, false, 12, 13, 50000},
};

static struct segcache *cache_of(const struct alc_host *host, const struct shape *s)
{
	struct alc_err err = {0};
	struct segcache *c = NULL;
	struct segcache_params p = {s->segments, s->sectors, s->prefetch, s->keep_writes};

	assert_int_equal(segcache_create(host, &p, s->disk_sectors, &c, &err), 0);
	return c;
}

/* Returns the hits. */
static unsigned compare_caches(const struct shape *s, enum stream_kind kind)
{
	struct stream stream = {.kind = kind,
				.state = 7 + kind,
				.disk_sectors = s->disk_sectors,
				.sectors_max = s->sectors_max,
				.writes_percent = 10};
	struct test_host th;
	struct segcache *c;
	struct rings rings;
	unsigned hits = 0;

	test_host_init(&th, TEST_TIME_MANUAL);
	c = cache_of(&th.host, s);
	rings_init(&rings, s->segments, s->sectors, s->prefetch, s->keep_writes, s->disk_sectors);
	for (unsigned i = 0; i < requests_of(s->requests); i++) {
		struct disk_req r;
		bool hit;

		stream_next(&stream, &r);
		if (r.op == BLOCK_WRITE) {
			segcache_write(c, r.sector, r.sectors);
			rings_write(&rings, r.sector, r.sectors);
			continue;
		}
		assert_int_equal(segcache_has(c, r.sector, r.sectors),
				 rings_have(&rings, r.sector, r.sectors));
		hit = segcache_read(c, r.sector, r.sectors);
		assert_int_equal(hit, rings_read(&rings, r.sector, r.sectors));
		hits += hit;
	}
	rings_fini(&rings);
	segcache_destroy(c);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
	return hits;
}

static void caches_hit_as_rings_do(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (unsigned kind = 0; kind < STREAM_KINDS; kind++)
			assert_int_not_equal(compare_caches(&shapes[i], kind), 0);
}

static int make_cache(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct segcache_params p = {8, 32, 8, false};
	struct segcache *c;
	int rc = segcache_create(host, &p, 1000, &c, err);

	if (!rc)
		segcache_destroy(c);
	return rc;
}

static void a_cache_copes_without_memory(void **state)
{
	struct sweep s = {.run = make_cache, .has_err = true};

	assert_int_equal(sweep(&s), 3);
}

/* What the description says, by hand. */
static void a_segment_wraps_around(void **state)
{
	struct shape s = {2, 10, 4, false, 0, 100, 0};
	struct test_host th;
	struct segcache *c;

	test_host_init(&th, TEST_TIME_MANUAL);
	c = cache_of(&th.host, &s);
	assert_false(segcache_read(c, 0, 4)); /* has [0, 8) */
	assert_true(segcache_read(c, 4, 4));
	assert_false(segcache_read(c, 8, 2)); /* goes on, has [4, 14) */
	assert_false(segcache_has(c, 3, 1));
	assert_true(segcache_has(c, 4, 10));
	assert_false(segcache_read(c, 50, 1)); /* the second segment */
	assert_false(segcache_read(c, 90, 1)); /* replaces the first */
	assert_false(segcache_has(c, 4, 1));
	assert_true(segcache_has(c, 50, 5));
	segcache_write(c, 54, 1);
	assert_false(segcache_has(c, 50, 1));
	assert_false(segcache_read(c, 97, 3)); /* no read-ahead beyond the end */
	assert_true(segcache_has(c, 97, 3));
	segcache_destroy(c);
	test_host_fini(&th);
}

/* ---- The model ---------------------------------------------------------------------------- */

struct setting {
	const char *text;
	u64 rotation_ns, seek_ns, transfer_ns, hit_ns, span, disk_sectors;
	bool cache;
	u32 sectors_max;
};

static const struct setting settings[] = {
	{"linear", 4000000, 7400000, 0, 0, 143374744, 143374744, false, 256},
	{"linear:rotation=8.333333ms:seek=18ms:transfer=5us", 8333333, 18000000, 5000, 0, 1000003,
	 1000003, false, 64},
	{"linear:cache=on:hit=130us", 4000000, 7400000, 0, 130000, 120000, 120000, true, 64},
	{"linear:cache=on:transfer=7us:span=143374744", 4000000, 7400000, 7000, 200000, 143374744,
	 50000, true, 16},
};

/* X = R/2 + S * d/D, in the arithmetic of long doubles, which these products fit exactly. */
static u64 service_ns(const struct setting *s, u64 head, const struct disk_req *r)
{
	long double d = (long double)(i64)(r->sector - head);
	long double seek = (long double)s->seek_ns * (d < 0 ? -d : d);

	return s->rotation_ns / 2 + (u64)(seek / (long double)s->span) +
	       s->transfer_ns * r->sectors;
}

static void compare_linear(const struct setting *s, enum stream_kind kind, unsigned requests)
{
	struct stream stream = {.kind = kind,
				.state = 99 + kind,
				.disk_sectors = s->disk_sectors,
				.sectors_max = s->sectors_max,
				.writes_percent = 20};
	u64 now_ns = 12345, head = 0;
	unsigned hits = 0, reads = 0;
	struct test_host th;
	struct rings rings;
	struct drive *d;

	test_host_init(&th, TEST_TIME_MANUAL);
	d = drive_of(&th.host, s->disk_sectors, s->text);
	if (s->cache)
		rings_init(&rings, 64, 221, 64, false, s->disk_sectors);
	for (unsigned i = 0; i < requests; i++) {
		struct disk_req r;
		bool hit = false;
		u64 ns;

		stream_next(&stream, &r);
		if (s->cache && r.op == BLOCK_READ)
			hit = rings_read(&rings, r.sector, r.sectors);
		else if (s->cache)
			rings_write(&rings, r.sector, r.sectors);
		ns = hit ? s->hit_ns : service_ns(s, head, &r);
		if (!hit)
			head = r.sector + r.sectors;
		hits += hit;
		reads += r.op == BLOCK_READ;

		d->class->submit(d, &r, now_ns);
		assert_int_equal(d->class->next_ns(d), now_ns + ns);
		assert_null(ns ? d->class->take(d, now_ns + ns - 1) : NULL);
		assert_ptr_equal(d->class->take(d, now_ns + ns), &r);
		assert_int_equal(r.done_ns, now_ns + ns);
		assert_int_equal(r.cached, hit);
		now_ns += ns + random_below(&stream.state, 1000000);
	}
	assert_true(drive_stat(d, "hits") == hits && drive_stat(d, "reads") == reads);
	assert_true(!s->cache || hits > 0);
	if (s->cache)
		rings_fini(&rings);
	drive_destroy(d);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void linear_equals_its_formula(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		for (unsigned kind = 0; kind < STREAM_KINDS; kind++)
			compare_linear(&settings[i], kind, requests_of(100000));
}

/* Head 50 of 100, a full stroke of 100 units of time: what the published example counts with. */
static void linear_does_the_worked_example(void **state)
{
	static const u64 order[] = {60, 41, 10, 95};
	static const u64 ends[] = {10, 29, 60, 145};
	struct disk_req reqs[4] = {0}, first = {.span_sector = 50};
	struct test_host th;
	struct drive *d;
	u64 now_ns;

	test_host_init(&th, TEST_TIME_MANUAL);
	d = drive_of(&th.host, 100, "linear:rotation=0:seek=100ns");
	d->class->submit(d, &first, 0);
	now_ns = d->class->next_ns(d);
	assert_int_equal(now_ns, 50);
	assert_ptr_equal(d->class->take(d, now_ns), &first);
	for (unsigned i = 0; i < 4; i++) {
		reqs[i].span_sector = order[i];
		d->class->submit(d, &reqs[i], now_ns);
		now_ns = d->class->next_ns(d);
		assert_ptr_equal(d->class->take(d, now_ns), &reqs[i]);
		assert_int_equal(now_ns - 50, ends[i]);
	}
	drive_destroy(d);
	test_host_fini(&th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(caches_hit_as_rings_do),
		cmocka_unit_test(a_cache_copes_without_memory),
		cmocka_unit_test(a_segment_wraps_around),
		cmocka_unit_test(linear_equals_its_formula),
		cmocka_unit_test(linear_does_the_worked_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
