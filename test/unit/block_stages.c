/* SPDX-License-Identifier: BSD-2-Clause */
/* From the options of a disk to stages on it; records; schedulers in shared objects. */
#include "block/linux/open.h"
#include "block/linux/sched_open.h"
#include "block/linux/stages.h"
#include "block_stage_test.h"
#include "block_test.h"

#define PLUGIN "nearest.so" /* in the directory that the test is told */

static int open_disk(struct bench *b, const char *file, const struct alc_device_opt *opts, size_t n,
		     struct block **out, struct alc_err *err)
{
	return block_open(&b->th.host, file, opts, n, out, err);
}

static size_t count_opts(const struct alc_device_opt *opts)
{
	size_t n = 0;

	while (opts[n].key)
		n++;
	return n;
}

static struct block *must_open(struct bench *b, const struct alc_device_opt *opts)
{
	struct alc_err err = {0};
	struct block *d = NULL;

	if (open_disk(b, "ram:1M", opts, count_opts(opts), &d, &err)) {
		print_error("%s\n", err.text);
		fail();
	}
	return d;
}

static void must_fail(struct bench *b, const struct alc_device_opt *opts, int rc, const char *says)
{
	struct alc_err err = {0};
	struct block *d = NULL;

	assert_int_equal(open_disk(b, "ram:1M", opts, count_opts(opts), &d, &err), rc);
	assert_null(d);
	if (!strstr(err.text, says) || !strstr(err.text, "disk 'ram:1M': ")) {
		print_error("'%s' does not say '%s'\n", err.text, says);
		fail();
	}
}

/* ---- options ---- */

static void note_name(void *ctx, const char *name, double value)
{
	char *names = ctx;
	size_t len = strcspn(name, ".");

	/* Each stage once, by what comes before the dot. */
	if (!strstr(names, "model") && strncmp(names + strlen(names) - len, name, len) != 0)
		snprintf(names + strlen(names), 100 - strlen(names), " %.*s", (int)len, name);
}

/* The last one is nearest to the guest, and so first in the counters. */
static void stages_are_in_the_order_of_options(void **state)
{
	char names[200] = "      ", path[200];
	struct bench b;
	struct block *d;

	bench_open(&b);
	snprintf(path, sizeof(path), "%s/record", b.dir);
	d = must_open(&b, (struct alc_device_opt[]){{"rate", "iops=10"},
						    {"model", "fixed"},
						    {"record", path},
						    {"cache", "writeback"},
						    {"fault", "error:times=1"},
						    {"sched", "noop"},
						    {NULL, NULL}});
	block_stats(d, note_name, names);
	assert_string_equal(names + 6, " fault record drive rate");
	block_close(d);
	bench_close(&b);
}

static void options_are_checked(void **state)
{
	struct bench b;

	bench_open(&b);
	must_fail(&b,
		  (struct alc_device_opt[]){{"model", "fixed"}, {"model", "fixed"}, {NULL, NULL}},
		  -EINVAL, "'model' is given twice");
	must_fail(&b, (struct alc_device_opt[]){{"sched", NULL}, {NULL, NULL}}, -EINVAL,
		  "'sched' needs a value");
	must_fail(&b, (struct alc_device_opt[]){{"fault", "error"}, {"rate", "x=1"}, {NULL, NULL}},
		  -ENOENT, "no parameter 'x'");
	must_fail(&b, (struct alc_device_opt[]){{"cache", "segments=4"}, {NULL, NULL}}, -EINVAL,
		  "needs a model");
	must_fail(&b, (struct alc_device_opt[]){{"record", "/nowhere/at/all"}, {NULL, NULL}},
		  -ENOENT, "can't make the record");
	must_fail(&b, (struct alc_device_opt[]){{"modl", "fixed"}, {NULL, NULL}}, -EINVAL,
		  "did you mean 'model'");
	must_fail(&b, (struct alc_device_opt[]){{"latency", "3"}, {NULL, NULL}}, -EINVAL,
		  "a time such as 100us");
	assert_true(block_option_known("record") && block_option_known("throttle"));
	bench_close(&b);
}

static int open_all(const struct alc_host *host, void *arg, struct alc_err *err)
{
	const struct alc_device_opt opts[] = {
		{"sched", "noop"},
		{"model", "fixed"},
		{"fault", "error:nth=2"},
		{"fault", "torn:probability=0.5"},
		{"rate", "iops=10:burst=1s"},
		{"record", arg},
	};
	struct block *b;
	int rc = block_open(host, "ram:4K", opts, ARRAY_LEN(opts), &b, err);

	if (!rc)
		block_close(b);
	return rc;
}

static void failing_calls_leave_nothing(void **state)
{
	char path[200];
	struct bench b;

	bench_open(&b);
	snprintf(path, sizeof(path), "%s/record", b.dir);
	assert_true(sweep(&(struct sweep){.run = open_all, .arg = path, .has_err = true}) > 10);
	bench_close(&b);
}

/* ---- virtual time ---- */

struct timed {
	struct block_req r;
	struct alc_clock *clock;
	u8 data[512];
	struct alc_iov iov;
	u64 done_ns;
	bool done;
};

static void timed_done(struct block_req *r)
{
	struct timed *t = r->ctx;

	t->done_ns = clock_cpu_ns(t->clock);
	t->done = true;
}

/* When a write is done that is submitted at 1 ms. */
static u64 time_of_write(struct alc_clock *clock, struct block *d)
{
	struct timed t = {.clock = clock};

	t.iov = (struct alc_iov){t.data, sizeof(t.data)};
	t.r = (struct block_req){.op = BLOCK_WRITE,
				 .len = sizeof(t.data),
				 .iov = &t.iov,
				 .niov = 1,
				 .done = timed_done,
				 .ctx = &t};
	clock_advance(clock, RIG_MS);
	block_submit(d, &t.r);
	while (!t.done && clock_next_ns(clock) != ALC_WAIT_FOREVER)
		clock_advance(clock, clock_next_ns(clock));
	assert_true(t.done);
	assert_int_equal(t.r.status, 0);
	return t.done_ns;
}

static void in_virtual_time_all_time_is_of_stages(void **state)
{
	static const struct {
		struct alc_device_opt opts[4];
		u64 ns;
	} cases[] = {
		{{{"latency", "100us"}}, 100 * RIG_US},
		{{{"latency", "100us"}, {"model", "fixed:latency=2ms"}}, 2 * RIG_MS},
		{{{"model", "fixed:latency=2ms"}, {"throttle", "k=9"}}, 2 * RIG_MS},
		{{{"latency", "100us"}, {"sched", "noop"}}, 100 * RIG_US},
		{{{"latency", "100us"}, {"model", "host:depth=1"}}, 100 * RIG_US},
		{{{"fault", "error:nth=2"}}, 0},
		{{{"latency", "100us"}, {"fault", "delay:time=1ms"}, {"rate", "iops=1"}},
		 1100 * RIG_US},
		{{{"model", "fixed:latency=2ms"}, {"fault", "delay:time=1ms"}}, 3 * RIG_MS},
		/* What is below a model passes while the model's time does. */
		{{{"fault", "delay:time=1ms"}, {"model", "fixed:latency=2ms"}}, 2 * RIG_MS},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct alc_clock *clock;
		struct bench b;
		struct block *d;

		bench_open(&b);
		assert_int_equal(clock_create_virtual(&b.th.host, 1000000000, 0, &clock), 0);
		assert_int_equal(clock_start(clock), 0);
		d = must_open(&b, cases[i].opts);
		block_attach(d, clock);
		assert_int_equal(time_of_write(clock, d), RIG_MS + cases[i].ns);
		block_drain(d);
		clock_destroy(clock);
		block_close(d);
		bench_close(&b);
	}
}

/* A CPU whose turn comes later in a round is behind those that had theirs. */
static void cpus_that_are_behind_are_served(void **state)
{
	struct alc_clock *clock;
	struct timed t[2];
	struct bench b;
	struct block *d;
	_Atomic(u64) stop_at;
	u64 count = 0, until;

	bench_open(&b);
	assert_int_equal(clock_create_virtual(&b.th.host, 1000000000, 0, &clock), 0);
	assert_int_equal(clock_start(clock), 0);
	d = must_open(&b, (struct alc_device_opt[]){{"model", "fixed:latency=1ms:depth=1"},
						    {NULL, NULL}});
	block_attach(d, clock);
	clock_advance(clock, RIG_MS);
	for (unsigned i = 0; i < 2; i++) {
		t[i] = (struct timed){.clock = clock};
		t[i].iov = (struct alc_iov){t[i].data, sizeof(t[i].data)};
		t[i].r = (struct block_req){.op = BLOCK_READ,
					    .offset = i * 8192ull,
					    .len = sizeof(t[i].data),
					    .iov = &t[i].iov,
					    .niov = 1,
					    .done = timed_done,
					    .ctx = &t[i]};
		/* The first one submits at 1.3 ms, the second one at 1.1 ms. */
		clock_slice_begin(clock, RIG_MS, 2 * RIG_MS, &count, &stop_at);
		count += i ? 100 * RIG_US : 300 * RIG_US;
		block_submit(d, &t[i].r);
		clock_slice_end(clock, &until);
	}
	while (!t[1].done && clock_next_ns(clock) != ALC_WAIT_FOREVER)
		clock_advance(clock, clock_next_ns(clock));
	assert_int_equal(t[0].done_ns, 2300 * RIG_US);
	assert_int_equal(t[1].done_ns, 3300 * RIG_US);
	block_drain(d);
	clock_destroy(clock);
	block_close(d);
	bench_close(&b);
}

/* ---- records ---- */

static void records_have_a_line_for_each_request(void **state)
{
	/* The flush has to wait for the write that is at work. */
	static const char expected[] =
		"arrival_ns,dispatch_ns,done_ns,op,sector,sectors,issuer,cached\n"
		"0,0,1000000,write,8,16,0,0\n"
		"100000,100000,1000000,flush,0,0,0,0\n"
		"100000,1000000,2000000,read,9,1,65537,0\n";
	static char text[1000];
	const char *texts[4] = {"noop", "fixed:latency=1ms:depth=1", NULL, NULL}, *path;
	struct stage_env env = {.disk = "test"};
	struct alc_err err = {0};
	struct bench b;
	struct rig g;
	FILE *f;

	bench_open(&b);
	path = bench_path(&b, "record");
	rig_open(&g, &stage_drive, texts, NULL);
	env.host = &g.th.host;
	assert_int_equal(stage_record.create(&env, &path, g.top, &g.top, &err), 0);
	/* Not yet attached: nobody knows what time it is. */
	rig_submit(&g, 9, BLOCK_DISCARD, 0, 512);
	block_attach(g.top, g.clock);
	rig_write(&g, 0, 8 * 512, 16 * 512);
	rig_until(&g, 100 * RIG_US, 100 * RIG_US);
	rig_make(&g, 1, BLOCK_READ, 9 * 512, 512)->r.issuer = 65537;
	block_submit(g.top, &g.reqs[1].r);
	rig_submit(&g, 2, BLOCK_FLUSH, 0, 0);
	rig_until(&g, 3 * RIG_MS, 100 * RIG_US);
	assert_int_equal(g.done, 4);
	assert_true(g.reqs[0].r.ctx == &g.reqs[0] && g.reqs[0].r.done == rig_done);
	assert_true(rig_stat(&g, "record.lines") == 3);
	rig_close(&g);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, expected);
	bench_close(&b);
}

/* More in flight than one chunk has entries; all come back. */
static void records_grow(void **state)
{
	const char *texts[4] = {"noop", "fixed:latency=1ms:depth=500", NULL, NULL}, *path;
	struct stage_env env = {.disk = "test"};
	struct alc_err err = {0};
	struct bench b;
	struct rig g;

	bench_open(&b);
	path = bench_path(&b, "record");
	rig_open(&g, &stage_drive, texts, NULL);
	env.host = &g.th.host;
	assert_int_equal(stage_record.create(&env, &path, g.top, &g.top, &err), 0);
	block_attach(g.top, g.clock);
	for (unsigned i = 0; i < 500; i++)
		rig_write(&g, i, i * 512ull, 512);
	block_drain(g.top);
	assert_int_equal(g.done, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_true(rig_has(&g, i * 512ull, 512, (u8)(i % 251 + 1)));
	assert_true(rig_stat(&g, "record.lines") == 500);
	rig_close(&g);
	bench_close(&b);
}

static void a_record_that_is_incomplete_is_told(void **state)
{
	const char *path = "/dev/full";
	struct block *below, *b;
	struct alc_err err = {0};
	struct stage_env env = {.disk = "test"};
	struct test_host th;

	test_host_init(&th, TEST_TIME_MANUAL);
	env.host = &th.host;
	assert_int_equal(block_null_create(&th.host, 4096, &below, &err), 0);
	assert_int_equal(stage_record.create(&env, &path, below, &b, &err), 0);
	block_close(b);
	assert_true(test_host_logged(&th, "incomplete"));
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* ---- schedulers in shared objects ---- */

static const char *plugin(const char *name)
{
	static char path[2][400];
	static unsigned next;
	const char *dir = getenv("ALCAZAR_PLUGINS");

	assert_non_null(dir);
	next = !next;
	snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
	return path[next];
}

static void schedulers_are_loaded(void **state)
{
	u64 sectors[] = {100, 1000, 110, 900, 120}, want[] = {100, 110, 120, 900, 1000}, ask;
	struct disk_req reqs[5] = {0};
	struct alc_err err = {0};
	struct test_host th;
	struct sched *s;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(sched_open(&(struct sched_env){.host = &th.host, .sectors = 2000},
				    plugin(PLUGIN ":patience=1s"), &s, &err),
			 0);
	assert_string_equal(s->class->name, "nearest");
	for (unsigned i = 0; i < 5; i++) {
		reqs[i].sector = sectors[i];
		reqs[i].sectors = 1;
		s->class->add(s, &reqs[i], 0);
	}
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(s->class->next(s, 0, &ask)->sector, want[i]);
	assert_null(s->class->next(s, 0, &ask));
	sched_destroy(s);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void plugin_refused(const char *text, int rc, const char *says)
{
	struct alc_err err = {0};
	struct test_host th;
	struct sched *s;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(sched_open(&(struct sched_env){.host = &th.host}, text, &s, &err), rc);
	if (!strstr(err.text, says)) {
		print_error("'%s' does not say '%s'\n", err.text, says);
		fail();
	}
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void objects_that_are_none_are_refused(void **state)
{
	plugin_refused("nop", -ENOENT, "'noop'");
	plugin_refused("/nowhere/it.so", -ENOEXEC, "can't load");
	plugin_refused(plugin(PLUGIN ":patince=1s"), -ENOENT, "'patience'");
	plugin_refused(plugin("old.so"), -ENOEXEC, "is for interface 0");
	plugin_refused(plugin("other.so"), -ENOEXEC, "other headers");
	plugin_refused(plugin("nothing.so"), -ENOEXEC, "no scheduler in it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages_are_in_the_order_of_options),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(failing_calls_leave_nothing),
		cmocka_unit_test(in_virtual_time_all_time_is_of_stages),
		cmocka_unit_test(cpus_that_are_behind_are_served),
		cmocka_unit_test(records_have_a_line_for_each_request),
		cmocka_unit_test(records_grow),
		cmocka_unit_test(a_record_that_is_incomplete_is_told),
		cmocka_unit_test(schedulers_are_loaded),
		cmocka_unit_test(objects_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
