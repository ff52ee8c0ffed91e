/* SPDX-License-Identifier: BSD-2-Clause */
/* What holds for every drive model and preset, whatever it models. */
#include "base/errno.h"
#include "drive_test.h"
#include "host/test/sweep.h"

/* Models with parameters at and beyond what their defaults show; classes and presets come first. */
static const char *const extremes[] = {
	"fixed:latency=0:depth=1",
	"fixed:latency=1ns:depth=4096",
	"linear:rotation=0:seek=0",
	"linear:rotation=1000s:seek=1000s:transfer=100ms:cache=on:hit=0",
	"linear:cache=on:segments=1:sectors=1:prefetch=1024M:keep-writes=on",
	"linear:cache=on:segments=64K:sectors=1024M:span=1000000000000000",
	"disk:heads=1:zones=1:outer=1:inner=1:depth=1:cache=off:write-cache=off",
	"disk:rotation=1us:seek-single=0:seek-average=0:seek-full=0:head-switch=0:write-settle=0:"
	"overhead=0:bus=0",
	"disk:rotation=1s:seek-single=1s:seek-average=1s:seek-full=1s:head-switch=1s:"
	"write-settle=1s:overhead=1s:bus=100ms",
	"disk:heads=1024:zones=64:outer=1M:inner=1:depth=256:patience=0:buffer=1",
	"disk:patience=0:depth=256:segments=1:sectors=8:prefetch=8:buffer=1024M",
	"disk:span=1000000000000:overhead=0:bus=0:write-settle=0",
	"ssd:channels=1:dies=1:unit=4K:page=1:block=1:buffer=1:reserve=1:spare=0:depth=1",
	"ssd:channels=64:dies=64:unit=64K:page=256:block=16:depth=4096:plp=on",
	"ssd:read=0:program=0:erase=0:channel=0:link=0:overhead=0",
	"ssd:read=1s:program=1s:erase=1s:channel=1s:link=100ms:overhead=1s:retry=1:age=1M",
	"ssd:endurance=1:spread=1:spare=0:filled=0.5:block=32:buffer=4:reserve=1",
	"ssd:endurance=2:spread=0.5:spare=0:filled=0:block=64:page=1:buffer=1M:unit=3",
};

static const u64 sizes[] = {1, 7, 4096, 300007, 143374744};

static const char *name_of(unsigned i)
{
	unsigned classes = 0, presets = 0;

	while (drive_classes[classes])
		classes++;
	while (drive_presets[presets].name)
		presets++;
	if (i < classes)
		return drive_classes[i]->name;
	i -= classes;
	if (i < presets)
		return drive_presets[i].name;
	i -= presets;
	return i < ARRAY_LEN(extremes) ? extremes[i] : NULL;
}

#define for_each_name(name) for (unsigned i_ = 0; ((name) = name_of(i_)) != NULL; i_++)

/* ---- A run -------------------------------------------------------------------------------- */

enum { INSIDE_MAX = 4096 };

struct run {
	struct test_host th;
	struct drive *drive;
	struct stream stream;
	struct disk_req *reqs; /* one for each that may be inside */
	bool *is_inside;
	unsigned inside, taken, submitted;
	u64 now_ns, last_done_ns, digest;
};

static u32 largest_request(u64 sectors, unsigned i)
{
	/* Now and then one of a huge length. */
	return (u32)min_u64(sectors, i % 512 == 511 ? 1 << 17 : 64);
}

static void run_begin(struct run *r, const char *text, u64 sectors, enum stream_kind kind)
{
	*r = (struct run){.stream = {.kind = kind,
				     .state = sectors + kind,
				     .disk_sectors = sectors,
				     .writes_percent = 40}};
	test_host_init(&r->th, TEST_TIME_MANUAL);
	r->drive = drive_of(&r->th.host, sectors, text);
	assert_true(r->drive->depth >= 1 && r->drive->depth <= INSIDE_MAX);
	r->reqs = calloc(r->drive->depth, sizeof(*r->reqs));
	r->is_inside = calloc(r->drive->depth, sizeof(*r->is_inside));
}

static void run_end(struct run *r)
{
	drive_destroy(r->drive);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
	free(r->reqs);
	free(r->is_inside);
}

static void submit_one(struct run *r)
{
	unsigned slot = 0;

	while (r->is_inside[slot])
		slot++;
	r->stream.sectors_max = largest_request(r->stream.disk_sectors, r->submitted);
	stream_next(&r->stream, &r->reqs[slot]);
	r->is_inside[slot] = true;
	r->inside++;
	r->submitted++;
	r->drive->class->submit(r->drive, &r->reqs[slot], r->now_ns);
}

/* Takes one at now_ns; what it says must be true. */
static bool take_one(struct run *r)
{
	u64 next_ns = r->drive->class->next_ns(r->drive);
	struct disk_req *q = r->drive->class->take(r->drive, r->now_ns);

	assert_int_equal(next_ns <= r->now_ns, q != NULL);
	if (!q)
		return false;
	assert_true(q >= r->reqs && q < r->reqs + r->drive->depth);
	assert_true(r->is_inside[q - r->reqs]); /* neither lost nor twice */
	assert_int_equal(q->done_ns, next_ns);
	assert_true(q->done_ns >= r->last_done_ns);
	r->is_inside[q - r->reqs] = false;
	r->inside--;
	r->taken++;
	r->last_done_ns = q->done_ns;
	r->digest = (r->digest ^ q->done_ns ^ q->sector << 20 ^ q->cached) * 0x100000001b3ull;
	return true;
}

/* To the next completion, or not so far. */
static void pass_time(struct run *r)
{
	u64 next_ns = r->drive->class->next_ns(r->drive);

	assert_true((next_ns == DISK_NEVER) == (r->inside == 0));
	if (!r->inside || random_below(&r->stream.state, 8) == 0)
		r->now_ns = min_u64(next_ns, r->now_ns + random_below(&r->stream.state, 3000000));
	else
		r->now_ns = max_u64(r->now_ns, next_ns);
	while (take_one(r))
		continue;
}

static u64 play(const char *text, u64 sectors, enum stream_kind kind, unsigned n)
{
	struct run r;
	u64 digest;

	run_begin(&r, text, sectors, kind);
	while (r.taken < n) {
		unsigned room = r.drive->depth - r.inside;
		u64 batch = r.submitted < n ? random_below(&r.stream.state, room + 1) : 0;

		while (batch-- && r.submitted < n)
			submit_one(&r);
		pass_time(&r);
	}
	assert_int_equal(r.submitted, n);
	assert_int_equal(r.inside, 0);
	assert_true(r.drive->class->next_ns(r.drive) == DISK_NEVER);
	assert_null(r.drive->class->take(r.drive, r.now_ns + 1000000));
	digest = r.digest;
	run_end(&r);
	return digest;
}

/* ---- Tests -------------------------------------------------------------------------------- */

static bool is_too_large(const char *text, u64 sectors)
{
	struct alc_err err = {0};
	struct test_host th;
	struct drive *d;
	int rc;

	test_host_init(&th, TEST_TIME_MANUAL);
	rc = drive_create(&(struct drive_env){&th.host, sectors, 1}, text, &d, &err);
	assert_true(rc == 0 || (rc == -ERANGE && err.text[0]));
	if (!rc)
		drive_destroy(d);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
	return rc != 0;
}

static void requests_come_out_once_and_in_order(void **state)
{
	const char *text;

	for_each_name(text) for (size_t i = 0; i < ARRAY_LEN(sizes);
				 i++) for (unsigned kind = 0; kind < STREAM_KINDS;
					   kind++) if (!is_too_large(text, sizes[i]))
		play(text, sizes[i], kind, requests_of(2000));
}

static void the_same_calls_give_the_same_answers(void **state)
{
	const char *text;

	for_each_name(text)
	{
		u64 first = play(text, 300007, STREAM_MIXED, 2000);

		assert_true(play(text, 300007, STREAM_MIXED, 2000) == first);
	}
}

/* A request is done no sooner than it was submitted, also the longest at the end of the disk. */
static void the_ends_of_the_disk_are_served(void **state)
{
	const char *text;

	for_each_name(text) for (unsigned op = 0; op < 4; op++)
	{
		u64 sectors = 500009, now_ns = 1000000000;
		u32 n = op < 2 ? 1 : 500009;
		struct disk_req q = {.op = op % 2 ? BLOCK_WRITE : BLOCK_READ,
				     .sector = sectors - n,
				     .sectors = n,
				     .span_sector = sectors - n,
				     .span_sectors = n};
		struct test_host th;
		struct drive *d;

		test_host_init(&th, TEST_TIME_MANUAL);
		d = drive_of(&th.host, sectors, text);
		assert_null(d->class->take(d, now_ns));
		d->class->submit(d, &q, now_ns);
		assert_true(d->class->next_ns(d) >= now_ns);
		assert_true(d->class->next_ns(d) < DISK_NEVER);
		assert_ptr_equal(d->class->take(d, d->class->next_ns(d)), &q);
		drive_destroy(d);
		test_host_fini(&th);
	}
}

/* What a flush promises is kept if nothing comes between. */
static void a_flush_is_not_before_the_requests(void **state)
{
	const char *text;

	for_each_name(text)
	{
		struct run r;
		u64 flush_ns;

		run_begin(&r, text, 300007, STREAM_RANDOM);
		for (unsigned i = 0; i < 300; i++) {
			if (r.inside < r.drive->depth)
				submit_one(&r);
			pass_time(&r);
		}
		if (r.drive->class->flush_ns) {
			flush_ns = r.drive->class->flush_ns(r.drive, r.now_ns);
			assert_true(flush_ns >= r.now_ns);
			assert_true(r.drive->class->flush_ns(r.drive, r.now_ns) == flush_ns);
			while (r.inside)
				pass_time(&r);
			assert_true(r.last_done_ns <= flush_ns);
			assert_true(r.drive->class->flush_ns(r.drive, flush_ns) == flush_ns);
		}
		run_end(&r);
	}
}

static int make_and_destroy(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct drive *d;
	int rc = drive_create(&(struct drive_env){host, 100000, 3}, arg, &d, err);

	if (!rc)
		drive_destroy(d);
	return rc;
}

static void drives_cope_without_memory(void **state)
{
	const char *text;

	for_each_name(text)
	{
		struct sweep s = {.run = make_and_destroy, .has_err = true};

		s.arg = (void *)(uintptr_t)text;
		assert_true(sweep(&s) >= 2);
	}
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"disk:outer=100:inner=200", "inner tracks"},
		{"disk:seek-single=9ms", "longer seeks"},
		{"disk:seek-full=1ms", "longer seeks"},
		{"disk:heads=0", "heads"},
		{"disk:rotation=0", "rotation"},
		{"disk:span=1000000000000:outer=1:inner=1:heads=1", "larger tracks"},
		{"ssd:channels=0", "channels"},
		{"ssd:filled=2", "part of the disk"},
		{"linear:cache=on:segments=0", "segments"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct alc_err err = {0};
		struct test_host th;
		struct drive *d;

		test_host_init(&th, TEST_TIME_MANUAL);
		assert_true(drive_create(&(struct drive_env){&th.host, 1 << 20, 1}, cases[i].text,
					 &d, &err) < 0);
		if (!strstr(err.text, cases[i].says))
			print_error("%s: %s\n", cases[i].text, err.text);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(test_host_leaks(&th), 0);
		test_host_fini(&th);
	}
}

static void presets_name_their_sources(void **state)
{
	for (const struct drive_preset *p = drive_presets; p->name; p++) {
		assert_true(strlen(p->summary) > 8);
		assert_true(strlen(p->source) > 16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_out_once_and_in_order),
		cmocka_unit_test(the_same_calls_give_the_same_answers),
		cmocka_unit_test(the_ends_of_the_disk_are_served),
		cmocka_unit_test(a_flush_is_not_before_the_requests),
		cmocka_unit_test(drives_cope_without_memory),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(presets_name_their_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
