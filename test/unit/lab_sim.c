/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator, its workloads and what it counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "host/test/test_host.h"
#include "lab/list.h"
#include "lab/page_cache.h"
#include "lab/sim.h"
#include "lab/surge.h"
#include "lab/tally.h"

enum { SECTORS = 1 << 24, REQUESTS = 20000, PROCESSES = 16 };

/* ---- A bench ------------------------------------------------------------------------------ */

struct seen {
	u64 arrival_ns, dispatch_ns, done_ns, sector;
	u32 sectors, issuer;
	bool merged;
};

struct bench {
	struct test_host th;
	struct station station;
	struct workload *workload;
	struct tally tally;
	struct seen *seen;
	size_t nseen;
	struct sim_end end;
	struct alc_err err;
};

static void note(void *ctx, const struct disk_req *r, bool merged)
{
	struct bench *b = ctx;

	tally_add(&b->tally, r, merged);
	if (b->nseen < REQUESTS)
		b->seen[b->nseen++] = (struct seen){r->arrival_ns, r->dispatch_ns, r->done_ns,
						    r->sector,     r->sectors,     r->issuer,
						    merged};
}

static void prepare(struct bench *b, const char *sched, const char *drive, const char *workload,
		    const struct trace *trace)
{
	const struct alc_host *host = &b->th.host;
	struct sched *s;
	struct drive *d;

	memset(b, 0, sizeof(*b));
	test_host_init(&b->th, TEST_TIME_MANUAL);
	assert_int_equal(sched_create(&(struct sched_env){.host = host, .sectors = SECTORS}, sched,
				      &s, &b->err),
			 0);
	assert_int_equal(drive_create(&(struct drive_env){host, SECTORS, 1}, drive, &d, &b->err),
			 0);
	assert_int_equal(workload_create(&(struct workload_env){host, SECTORS, 1, trace}, workload,
					 &b->workload, &b->err),
			 0);
	station_init(&b->station, s, d);
	assert_int_equal(tally_init(&b->tally, host, b->workload->issuers, &b->err), 0);
	b->seen = calloc(REQUESTS, sizeof(*b->seen));
}

static int run(struct bench *b, u64 requests, u64 until_ns)
{
	struct sim sim = {
		.host = &b->th.host,
		.station = &b->station,
		.workload = b->workload,
		.requests = requests,
		.until_ns = until_ns,
		.seen = note,
		.ctx = b,
	};

	return sim_run(&sim, &b->end, &b->err);
}

static void put_away(struct bench *b)
{
	tally_fini(&b->tally);
	workload_destroy(b->workload);
	sched_destroy(b->station.sched);
	drive_destroy(b->station.drive);
	assert_int_equal(test_host_leaks(&b->th), 0);
	test_host_fini(&b->th);
	free(b->seen);
}

/* ---- Oracle: noop and the linear model, by hand ------------------------------------------- */

/*
 * Processes that read a page, wait for it, and sleep; one server, first come first served, with
 * X = R/2 + S d/D. No events, no heap: in each step the process whose request arrives first is
 * served, which is right because a server without preemption never looks back.
 */
struct oracle_process {
	struct surge_process program;
	u64 arrival_ns, order;
};

static u64 service_ns(u64 *head, u64 sector)
{
	u64 distance = sector > *head ? sector - *head : *head - sector;

	*head = sector + PAGE_SECTORS;
	return 4000000 / 2 + (u64)((unsigned __int128)7400000 * distance / SECTORS);
}

static void oracle_next(const struct surge *s, struct oracle_process *p, u64 now_ns, u64 *order,
			u64 *sector)
{
	struct surge_act act;

	surge_process_next(s, &p->program, &act);
	if (act.kind == SURGE_SLEEP) {
		p->order = (*order)++; /* who slept first goes first at one instant */
		now_ns += act.sleep_ns;
		surge_process_next(s, &p->program, &act);
	}
	p->arrival_ns = now_ns;
	*sector = surge_page_sector(act.file, act.page);
}

static void surge_equals_the_oracle(void **state)
{
	const char *text = "surge:processes=16:k2=5ms:files=100:zipf=0.5";
	struct oracle_process p[PROCESSES] = {0};
	u64 sectors[PROCESSES], order = 0, head = 0, free_ns = 0;
	struct surge_params params;
	struct surge s;
	struct bench b;

	prepare(&b, "noop:max_sectors=1", "linear", text, NULL);
	assert_int_equal(run(&b, REQUESTS, 0), 0);
	assert_int_equal(b.nseen, REQUESTS);
	assert_int_equal(param_parse(surge_param_table, strchr(text, ':') + 1, &params, &b.err), 0);
	assert_int_equal(surge_init(&s, &params, &b.th.host, SECTORS, 1, &b.err), 0);
	for (u32 i = 0; i < PROCESSES; i++) {
		p[i].order = order++;
		surge_process_init(&p[i].program, 1, i);
		oracle_next(&s, &p[i], 0, &order, &sectors[i]);
	}
	for (size_t n = 0; n < REQUESTS - PROCESSES; n++) {
		u32 first = 0;

		for (u32 i = 1; i < PROCESSES; i++)
			if (p[i].arrival_ns < p[first].arrival_ns ||
			    (p[i].arrival_ns == p[first].arrival_ns && p[i].order < p[first].order))
				first = i;
		assert_int_equal(b.seen[n].issuer, first);
		assert_int_equal(b.seen[n].sector, sectors[first]);
		assert_int_equal(b.seen[n].arrival_ns, p[first].arrival_ns);
		if (free_ns < p[first].arrival_ns)
			free_ns = p[first].arrival_ns;
		assert_int_equal(b.seen[n].dispatch_ns, free_ns);
		free_ns += service_ns(&head, sectors[first]);
		assert_int_equal(b.seen[n].done_ns, free_ns);
		oracle_next(&s, &p[first], free_ns, &order, &sectors[first]);
	}
	surge_fini(&s);
	put_away(&b);
}

/* ---- Loops -------------------------------------------------------------------------------- */

static void closed_loops_keep_their_depth(void **state)
{
	struct bench b;

	/* 8 requests side by side, 1 ms each: 8 a millisecond, and never more. */
	prepare(&b, "noop", "fixed:latency=1ms:depth=64", "random:processes=2:depth=4", NULL);
	assert_int_equal(run(&b, 8000, 0), 0);
	assert_int_equal(b.end.end_ns, 1000000000);
	assert_true(b.tally.response.least == 1000000 && b.tally.response.most == 1000000);
	assert_true(tally_fairness_sectors(&b.tally) == 1);
	put_away(&b);
}

static void think_time_follows_a_completion(void **state)
{
	struct bench b;

	prepare(&b, "noop", "fixed:latency=1ms", "sequential:think=3ms:size=8K", NULL);
	assert_int_equal(run(&b, 100, 0), 0);
	for (size_t i = 0; i < b.nseen; i++) {
		assert_int_equal(b.seen[i].arrival_ns, i * 4000000);
		assert_int_equal(b.seen[i].sector, i * 16);
	}
	put_away(&b);
}

static void open_loops_have_their_rate(void **state)
{
	struct bench b;

	prepare(&b, "noop", "fixed:latency=1us", "random:processes=4:rate=1000:poisson=off", NULL);
	assert_int_equal(run(&b, 1000, 0), 0);
	/* Four processes, a request every 4 ms each: the last of 1000 at 1 s. */
	assert_int_equal(b.seen[999].arrival_ns, 1000000000);
	put_away(&b);
	prepare(&b, "noop", "fixed:latency=1us", "mixed:rate=1000:reads=0.7", NULL);
	assert_int_equal(run(&b, REQUESTS, 0), 0);
	assert_true(b.end.end_ns > 19e9 && b.end.end_ns < 21e9);
	assert_true(b.tally.writes > 0.28 * REQUESTS && b.tally.writes < 0.32 * REQUESTS);
	put_away(&b);
}

static void mixed_jumps_as_often_as_asked(void **state)
{
	unsigned jumps = 0;
	struct bench b;

	prepare(&b, "noop:max_sectors=1", "fixed:latency=1us", "mixed:random=0.25", NULL);
	assert_int_equal(run(&b, REQUESTS, 0), 0);
	for (size_t i = 1; i < b.nseen; i++)
		jumps += b.seen[i].sector != b.seen[i - 1].sector + 8;
	assert_true(jumps > 0.235 * REQUESTS && jumps < 0.265 * REQUESTS);
	put_away(&b);
}

static void popular_parts_are_popular(void **state)
{
	unsigned first_part = 0;
	struct bench b;

	prepare(&b, "noop", "fixed:latency=1us", "random:zipf=1:offset=0.5:span=0.25", NULL);
	assert_int_equal(run(&b, REQUESTS, 0), 0);
	for (size_t i = 0; i < b.nseen; i++) {
		assert_true(b.seen[i].sector >= SECTORS / 2 && b.seen[i].sector < SECTORS / 4 * 3);
		first_part += b.seen[i].sector < SECTORS / 2 + SECTORS / 4096;
	}
	/* 1 / H(1024) is 13.3 %. */
	assert_true(first_part > 0.12 * REQUESTS && first_part < 0.145 * REQUESTS);
	put_away(&b);
}

static void until_ends_an_endless_workload(void **state)
{
	struct bench b;

	prepare(&b, "noop", "fixed:latency=1ms", "random", NULL);
	assert_int_equal(run(&b, 0, 50500000), 0);
	assert_int_equal(b.end.submitted, 51);
	assert_int_equal(b.end.end_ns, 51000000);
	put_away(&b);
}

/* ---- Replay ------------------------------------------------------------------------------- */

static void traces_come_at_their_instants(void **state)
{
	struct trace_req reqs[] = {
		{1000, 0, 0, 10, 8, 0, BLOCK_READ},
		{1000, 0, 0, 90, 8, 1, BLOCK_WRITE},
		{5000, 0, 0, 50, 8, 0, BLOCK_READ},
	};
	struct trace trace = {reqs, 3};
	struct bench b;

	prepare(&b, "noop", "fixed:latency=100ns:depth=1", "replay:speed=2", &trace);
	assert_int_equal(run(&b, 0, 0), 0);
	assert_int_equal(b.nseen, 3);
	assert_int_equal(b.seen[0].arrival_ns, 0);
	assert_int_equal(b.seen[1].arrival_ns, 0);
	assert_int_equal(b.seen[1].done_ns, 200);
	assert_int_equal(b.seen[2].arrival_ns, 2000);
	assert_int_equal(b.tally.writes, 1);
	put_away(&b);
	prepare(&b, "noop", "fixed:latency=100ns:depth=8", "replay:depth=2", &trace);
	assert_int_equal(run(&b, 0, 0), 0);
	assert_int_equal(b.seen[1].done_ns, 100);
	assert_int_equal(b.seen[2].arrival_ns, 100);
	put_away(&b);
}

static void replay_refuses_bad_traces(void **state)
{
	struct trace_req req = {0, 0, 0, SECTORS - 7, 8, 0, BLOCK_READ};
	struct trace trace = {&req, 1};
	struct alc_err err = {0}, second = {0};
	struct test_host th;
	struct workload *w;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(workload_create(&(struct workload_env){&th.host, SECTORS, 1, &trace},
					 "replay", &w, &err),
			 -ERANGE);
	assert_non_null(strstr(err.text, "request 1"));
	assert_int_equal(workload_create(&(struct workload_env){&th.host, SECTORS, 1, NULL},
					 "replay", &w, &second),
			 -EINVAL);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* ---- The page cache ------------------------------------------------------------------------ */

/* One reader of one file: windows of 4, 8, 16, 32, 32 … pages, each asked for when the one before
 * is begun. */
static void windows_double(void **state)
{
	static const u32 windows[] = {4, 8, 16, 32, 32, 32, 8};
	struct page_run runs[PAGE_RUNS_MAX];
	struct read_ahead ra = {0};
	struct page_cache c;
	struct test_host th;
	struct alc_err err;
	u32 nruns, asked = 0, at = 0;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(page_cache_init(&c, &th.host, 1000, 500, 32, &err), 0);
	for (u32 page = 0; page < 132; page++) {
		enum page_state found = page_cache_read(&c, &ra, 100, 132, page, runs, &nruns);

		assert_int_equal(found, page ? PAGE_PRESENT : PAGE_IN_FLIGHT);
		assert_true(nruns <= 1);
		if (nruns) {
			assert_int_equal(runs[0].first, 100 + asked);
			assert_int_equal(runs[0].n, windows[at++]);
			asked += runs[0].n;
			page_cache_arrived(&c, runs[0]);
		}
	}
	assert_int_equal(at, ARRAY_LEN(windows));
	assert_int_equal(c.hits, 131);
	page_cache_fini(&c);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void oldest_pages_go_first(void **state)
{
	struct page_run runs[PAGE_RUNS_MAX];
	struct read_ahead ra;
	struct page_cache c;
	struct test_host th;
	struct alc_err err;
	u32 nruns;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(page_cache_init(&c, &th.host, 100, 3, 1, &err), 0);
	/* Files of one page each; 0 is used again before 3 needs room. */
	for (u32 i = 0; i < 5; i++) {
		static const u32 file[] = {0, 1, 2, 0, 3};

		ra = (struct read_ahead){0};
		page_cache_read(&c, &ra, file[i], 1, 0, runs, &nruns);
		if (nruns)
			page_cache_arrived(&c, runs[0]);
	}
	assert_int_equal(c.hits, 1);
	assert_int_equal(c.pages[0].state, PAGE_PRESENT);
	assert_int_equal(c.pages[1].state, PAGE_ABSENT);
	assert_int_equal(c.pages[2].state, PAGE_PRESENT);
	page_cache_fini(&c);
	test_host_fini(&th);
}

static void random_reads_read_one_page(void **state)
{
	struct page_run runs[PAGE_RUNS_MAX];
	struct read_ahead ra = {0};
	struct page_cache c;
	struct test_host th;
	struct alc_err err;
	u32 nruns;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(page_cache_init(&c, &th.host, 1000, 500, 32, &err), 0);
	for (u32 page = 7; page < 900; page += 100) {
		assert_int_equal(page_cache_read(&c, &ra, 0, 1000, page, runs, &nruns),
				 PAGE_IN_FLIGHT);
		assert_int_equal(nruns, 1);
		assert_int_equal(runs[0].first, page);
		assert_int_equal(runs[0].n, 1);
	}
	page_cache_fini(&c);
	test_host_fini(&th);
}

/* However the window, the cache and the files lie: nobody waits for what is not on its way. */
static void buffered_surge_never_hangs(void **state)
{
	static const char *const texts[] = {
		"surge:buffered=on:k2=1ms:files=50:cache=64K:processes=32:span=0.5",
		"surge:buffered=on:k2=1ms:files=50:cache=1M:read_ahead=4K",
		"surge:buffered=on:k2=1ms:files=500:cache=1M:read_ahead=1M:memory=0",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct bench b;

		prepare(&b, "noop", "linear", texts[i], NULL);
		assert_int_equal(run(&b, 5000, 0), 0);
		assert_int_equal(b.tally.response.n, 5000);
		put_away(&b);
	}
}

static void a_full_cache_is_told(void **state)
{
	struct bench b;

	prepare(&b, "noop", "fixed", "surge:buffered=on:k2=1us:files=2:cache=1G:processes=1", NULL);
	assert_int_equal(run(&b, 5000, 0), -ETIMEDOUT);
	assert_non_null(strstr(b.err.text, "page cache"));
	put_away(&b);
}

static void surge_refuses_what_cannot_be(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{"surge:span=0.001", -EINVAL},
		{"surge:span=0", -EINVAL},
		{"surge:files=10:buffered=on:reads=0.5", -ENOTSUP},
		{"surge:fils=10", -ENOENT},
		{"random:size=1000", -EINVAL},
		{"random:span=0", -EINVAL},
		{"wander", -ENOENT},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct alc_err err = {0};
		struct test_host th;
		struct workload *w;

		test_host_init(&th, TEST_TIME_MANUAL);
		assert_int_equal(workload_create(&(struct workload_env){&th.host, SECTORS, 1, NULL},
						 cases[i].text, &w, &err),
				 cases[i].rc);
		assert_true(err.text[0]);
		assert_int_equal(test_host_leaks(&th), 0);
		test_host_fini(&th);
	}
}

/* Every allocation fails in turn; nothing is left behind. */
static void memory_may_run_out(void **state)
{
	static const char *const texts[] = {"surge:files=20", "surge:files=20:buffered=on",
					    "random:processes=3"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (unsigned nth = 1;; nth++) {
			struct alc_err err = {0};
			struct test_host th;
			struct workload *w;
			int rc;

			test_host_init(&th, TEST_TIME_MANUAL);
			th.fail_nth = nth;
			rc = workload_create(&(struct workload_env){&th.host, SECTORS, 1, NULL},
					     texts[i], &w, &err);
			if (!rc)
				workload_destroy(w);
			assert_int_equal(test_host_leaks(&th), 0);
			assert_int_equal(rc, th.failed ? -ENOMEM : 0);
			test_host_fini(&th);
			if (!rc)
				break;
		}
}

/* ---- Counting ----------------------------------------------------------------------------- */

static void histograms_are_near(void **state)
{
	struct histogram *h = calloc(1, sizeof(*h));

	assert_int_equal(histogram_percentile(h, 0.5), 0);
	for (u64 v = 1; v; v <<= 1)
		for (u64 add = 0; add < 3; add++) {
			unsigned bin = histogram_bin(v + add);

			assert_true(bin < HISTOGRAM_BINS);
			assert_true(histogram_from(bin) <= v + add);
			assert_true(bin + 1 == HISTOGRAM_BINS || histogram_from(bin + 1) > v + add);
		}
	for (u64 i = 1; i <= 100000; i++)
		histogram_add(h, i * 1000);
	for (double share = 0.1; share < 1; share += 0.1) {
		double exact = share * 1e8, got = (double)histogram_percentile(h, share);

		assert_true(got >= exact * 0.999 && got <= exact * 1.017);
	}
	assert_int_equal(histogram_percentile(h, 1), 100000000);
	assert_true(histogram_mean(h) == 50000500.0);
	assert_int_equal((int)(histogram_deviation(h) / 1000), 28867);
	free(h);
}

static void tallies_count(void **state)
{
	struct disk_req head = {.sectors = 8,
				.span_sectors = 16,
				.arrival_ns = 10,
				.dispatch_ns = 30,
				.done_ns = 100,
				.issuer = 1,
				.cached = true};
	struct disk_req merged = {.sectors = 8,
				  .arrival_ns = 20,
				  .dispatch_ns = 30,
				  .done_ns = 100,
				  .op = BLOCK_WRITE};
	struct disk_req slow = {.sectors = 24,
				.span_sectors = 24,
				.arrival_ns = 20,
				.dispatch_ns = 100,
				.done_ns = 1020,
				.issuer = 2};
	struct alc_err err = {0};
	struct test_host th;
	struct tally t;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(tally_init(&t, &th.host, 5, &err), 0);
	tally_add(&t, &head, false);
	tally_add(&t, &merged, true);
	tally_add(&t, &slow, false);
	assert_int_equal(t.dispatched, 2);
	assert_int_equal(t.dispatched_sectors, 40);
	assert_int_equal(t.sectors, 40);
	assert_int_equal(t.merged, 1);
	assert_int_equal(t.cached, 1);
	assert_int_equal(t.writes, 1);
	assert_true(histogram_mean(&t.service) == (70 + 920) / 2.0);
	assert_true(histogram_mean(&t.response) == (90 + 80 + 1000) / 3.0);
	assert_int_equal(t.slowest_issuer, 2);
	assert_int_equal(t.slowest_arrival_ns, 20);
	assert_true(tally_seconds(&t) == 1010e-9);
	/* 8, 8 and 24 sectors: 40^2 / (3 * 704). */
	assert_true(tally_fairness_sectors(&t) == 1600.0 / 2112);
	tally_fini(&t);
	assert_int_equal(tally_init(&t, &th.host, 5, &err), 0);
	t.skip = 2;
	tally_add(&t, &head, false);
	tally_add(&t, &merged, true);
	tally_add(&t, &slow, false);
	assert_int_equal(t.response.n, 1);
	assert_int_equal(t.first_ns, 20);
	tally_fini(&t);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surge_equals_the_oracle),
		cmocka_unit_test(closed_loops_keep_their_depth),
		cmocka_unit_test(think_time_follows_a_completion),
		cmocka_unit_test(open_loops_have_their_rate),
		cmocka_unit_test(mixed_jumps_as_often_as_asked),
		cmocka_unit_test(popular_parts_are_popular),
		cmocka_unit_test(until_ends_an_endless_workload),
		cmocka_unit_test(traces_come_at_their_instants),
		cmocka_unit_test(replay_refuses_bad_traces),
		cmocka_unit_test(windows_double),
		cmocka_unit_test(oldest_pages_go_first),
		cmocka_unit_test(random_reads_read_one_page),
		cmocka_unit_test(buffered_surge_never_hangs),
		cmocka_unit_test(a_full_cache_is_told),
		cmocka_unit_test(surge_refuses_what_cannot_be),
		cmocka_unit_test(memory_may_run_out),
		cmocka_unit_test(histograms_are_near),
		cmocka_unit_test(tallies_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
