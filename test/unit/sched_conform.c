/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every scheduler owes, whatever its order: each request done once, spans that are the ranges
 * they serve, the same answers to the same calls, an end to every wait.
 */
#include "base/errno.h"
#include "host/test/sweep.h"
#include "sched_rig.h"

enum { TEXT_MAX = 400, STEPS_PER_REQUEST = 64, CLASSES_MAX = 32 };

struct setting {
	const char *drive;
	u64 seed;
	unsigned n;
	u64 gap_ns; /* mean time between arrivals */
	u64 places; /* sectors among which requests lie: fewer make more of them merge */
	unsigned issuers;
	bool access; /* the drive can be asked */
};

static const struct setting settings[] = {
	{RIG_DRIVE, 1, 1500, 4 * MS, RIG_SECTORS - 4096, 12, false},
	{RIG_DRIVE, 2, 3000, 300000, 40000, 7, false},
	{RIG_DRIVE ":cache=on:hit=100us", 3, 3000, 1 * MS, 100000, 30, true},
	{"fixed:latency=2ms:depth=4", 4, 2000, 400000, 20000, 3, false},
	{"fixed:latency=1ms:depth=64", 5, 3000, 20000, 3000, 2000, true},
};

/* ---- A random run ---- */

static u64 some_access_ns(const void *ctx, const struct disk_req *r, u64 now_ns)
{
	return MS + (r->span_sector * 2654435761u + now_ns / MS) % MS;
}

static struct disk_req random_request(const struct setting *s, u64 *x)
{
	bool write = rig_random(x) % 3 == 0;
	u64 place = rig_random(x) % s->places;

	/* Mostly whole pages; now and then anything at all. */
	if (rig_random(x) % 8)
		place &= ~7ull;
	return (struct disk_req){
		.op = write ? BLOCK_WRITE : BLOCK_READ,
		.sync = !write || rig_random(x) % 2,
		.issuer = (u32)(rig_random(x) % s->issuers),
		.prio = rig_random(x) % 20 ? DISK_BEST_EFFORT : (enum disk_prio)(rig_random(x) % 3),
		.sector = place,
		.sectors = rig_random(x) % 8 ? 8 : 1 + (u32)(rig_random(x) % 3000),
	};
}

static void steps_are_few(struct rig *g, u64 *steps)
{
	assert_true(++*steps < (u64)STEPS_PER_REQUEST * RIG_REQUESTS);
}

static void run_random(struct rig *g, const struct setting *s)
{
	u64 x = s->seed * 0x9e3779b97f4a7c15ull, steps = 0;

	while (g->added < s->n) {
		u64 at_ns = g->now_ns + rig_random(&x) % (2 * s->gap_ns);

		while (g->next_ns <= at_ns) {
			g->now_ns = g->next_ns;
			rig_advance(g);
			steps_are_few(g, &steps);
		}
		g->now_ns = at_ns;
		rig_add(g, random_request(s, &x));
	}
	while (g->done < g->added && g->next_ns != DISK_NEVER) {
		g->now_ns = g->next_ns;
		rig_advance(g);
		steps_are_few(g, &steps);
	}
}

/* ---- What must be true of it ---- */

static int by_sector(const void *a, const void *b)
{
	const struct disk_req *const *x = a, *const *y = b;

	return ((*x)->sector > (*y)->sector) - ((*x)->sector < (*y)->sector);
}

/* The members cover the span without a gap, and writes without an overlap. */
static void check_cover(const struct disk_req *r, const struct disk_req **members, unsigned n)
{
	u64 covered = r->span_sector;

	qsort(members, n, sizeof(*members), by_sector);
	assert_int_equal(members[0]->sector, r->span_sector);
	for (unsigned i = 0; i < n; i++) {
		assert_true(members[i]->sector <= covered);
		if (r->op == BLOCK_WRITE)
			assert_int_equal(members[i]->sector, covered);
		if (disk_req_end(members[i]) > covered)
			covered = disk_req_end(members[i]);
	}
	assert_int_equal(covered, r->span_sector + r->span_sectors);
}

/* Returns how many it served; marks them. */
static unsigned check_dispatched(const struct rig *g, const struct disk_req *r, u64 max_sectors,
				 u8 *seen)
{
	static const struct disk_req *members[RIG_REQUESTS];
	unsigned n = 0;

	members[n++] = r;
	for (const struct disk_req *m = r->merged; m; m = m->next) {
		assert_true(n < RIG_REQUESTS);
		assert_true(m->op == r->op && m->sync == r->sync);
		assert_null(m->merged);
		assert_true(m->done_ns == r->done_ns && m->dispatch_ns == r->dispatch_ns);
		assert_true(m->arrival_ns <= r->dispatch_ns);
		members[n++] = m;
	}
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(seen[members[i] - g->requests], 0);
		seen[members[i] - g->requests] = 1;
	}
	assert_true(n == 1 || r->span_sectors <= max_sectors);
	check_cover(r, members, n);
	return n;
}

/* Drives are asked to take this one's place, so that a dispatched request is seen whole. */
struct watcher {
	struct drive drive;
	struct drive *real;
	struct rig *g;
	u64 max_sectors;
	u8 seen[RIG_REQUESTS];
	unsigned served, merged;
};

static void watch_submit(struct drive *d, struct disk_req *r, u64 now_ns)
{
	struct watcher *w = container_of(d, struct watcher, drive);

	w->real->class->submit(w->real, r, now_ns);
}

static u64 watch_next_ns(const struct drive *d)
{
	const struct watcher *w = (const void *)d;

	return w->real->class->next_ns(w->real);
}

static struct disk_req *watch_take(struct drive *d, u64 now_ns)
{
	struct watcher *w = container_of(d, struct watcher, drive);
	struct disk_req *r = w->real->class->take(w->real, now_ns);
	unsigned n;

	if (!r)
		return NULL;
	for (struct disk_req *m = r->merged; m; m = m->next) {
		m->done_ns = r->done_ns;
		m->dispatch_ns = r->dispatch_ns;
	}
	n = check_dispatched(w->g, r, w->max_sectors, w->seen);
	w->served += n;
	w->merged += n - 1;
	return r;
}

static const struct drive_class watch_class = {
	.name = "watcher",
	.submit = watch_submit,
	.next_ns = watch_next_ns,
	.take = watch_take,
};

struct outcome {
	unsigned merged;
	u64 digest;
};

static u64 digest_of(const struct rig *g)
{
	u64 h = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < g->done; i++) {
		const struct disk_req *r = &g->requests[g->order[i]];
		u64 facts[] = {g->order[i], r->dispatch_ns, r->done_ns, r->span_sector};

		for (unsigned k = 0; k < 4; k++)
			h = (h ^ facts[k]) * 0x100000001b3ull;
	}
	return h;
}

static void open_watched(struct rig *g, struct watcher *w, const char *sched,
			 const struct setting *s, u64 max_sectors)
{
	struct alc_err err = {0};

	rig_open(g, "noop", s->drive);
	sched_destroy(g->sched);
	if (s->access)
		g->env.access_ns = some_access_ns;
	if (sched_create(&g->env, sched, &g->sched, &err))
		print_error("%s: %s\n", sched, err.text);
	assert_int_equal(err.code, 0);
	*w = (struct watcher){.drive = {.class = &watch_class, .depth = g->drive->depth},
			      .real = g->drive,
			      .g = g,
			      .max_sectors = max_sectors};
	station_init(&g->station, g->sched, &w->drive);
}

static struct outcome run_one(const char *sched, const struct setting *s, u64 max_sectors)
{
	static struct rig g;
	static struct watcher w;
	struct outcome o;

	open_watched(&g, &w, sched, s, max_sectors);
	run_random(&g, s);
	if (g.done != g.added)
		print_error("%s: %u of %u done, and nothing happens\n", sched, g.done, g.added);
	assert_int_equal(g.done, g.added);
	assert_int_equal(w.served, g.added);
	assert_int_equal(g.station.waiting + g.station.inside, 0);
	o = (struct outcome){w.merged, digest_of(&g)};
	rig_close(&g);
	return o;
}

/* ---- Tests, for each class ---- */

static void serves_each_once(void **state)
{
	const struct sched_class *class = *state;
	unsigned merged = 0;

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		struct outcome first = run_one(class->name, &settings[i], 1024);
		struct outcome second = run_one(class->name, &settings[i], 1024);

		merged += first.merged;
		assert_true(first.digest == second.digest);
	}
	assert_true(merged > 100);
}

static void merges_none_if_told(void **state)
{
	const struct sched_class *class = *state;
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%s:max_sectors=1", class->name);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		assert_int_equal(run_one(text, &settings[i], 1).merged, 0);
}

static void write_value(const struct param *p, double v, char *text, size_t size)
{
	if (p->kind == PARAM_REAL)
		snprintf(text, size, "%.9g", v);
	else
		snprintf(text, size, "%.0f%s", v, p->kind == PARAM_TIME ? "ns" : "");
}

static void run_with(const struct sched_class *class, const struct param *p, const char *value)
{
	static const struct setting s = {RIG_DRIVE ":cache=on", 9, 400, MS, 60000, 9, true};
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%s:%s=%s", class->name, p->name, value);
	run_one(text, &s, strcmp(p->name, "max_sectors") ? 1024 : (u64)p->max);
}

/* Each parameter at each end of its range. */
static void takes_extremes(void **state)
{
	const struct sched_class *class = *state;
	char value[64];

	for (const struct param *p = class->params; p && p->name; p++) {
		if (p->kind == PARAM_FLAG) {
			run_with(class, p, "on");
			run_with(class, p, "off");
			continue;
		}
		write_value(p, p->min, value, sizeof(value));
		run_with(class, p, value);
		write_value(p, p->max, value, sizeof(value));
		run_with(class, p, value);
	}
}

static int make_and_destroy(const struct alc_host *host, void *arg, struct alc_err *err)
{
	const struct sched_class *class = arg;
	struct sched_env env = {.host = host, .sectors = RIG_SECTORS};
	struct sched *s;
	int rc = sched_create(&env, class->name, &s, err);

	if (!rc)
		sched_destroy(s);
	return rc;
}

static void survives_want_of_memory(void **state)
{
	struct sweep s = {.run = make_and_destroy, .arg = *state, .has_err = true};

	assert_true(sweep(&s) >= 2);
}

/* ---- Starvation ---- */

/*
 * A hundred processes that read all the time near the beginning keep the drive busy; one read lies
 * at the far end. Schedulers that bound waiting by themselves, and by how much in this case.
 */
enum { CROWD = 100, FAR = RIG_SECTORS - 8, NEAR = 3 * MEGA, CROWD_RUN = 3500 };

static const struct {
	const char *name;
	u64 bound_ns; /* of a read that starts with the crowd around it */
} promises[] = {
	/* A service takes 1 ms, 11 ms at the full stroke: twice. */
	{"noop", (u64)(CROWD + 20) * 2 * MS}, {"cscan", (u64)(CROWD + 20) * 2 * MS},
	{"look", (u64)(CROWD + 20) * 2 * MS}, {"deadline", 500ull * MS + 20 * 2 * MS},
	{"cats2", 500ull * MS + 20 * MS},
};

static void crowd_reads(struct rig *g, u64 *x, u32 issuer)
{
	rig_read(g, issuer, rig_random(x) % NEAR);
}

static u64 far_response_ns(const char *sched)
{
	static struct rig g;
	struct disk_req *far = NULL;
	u64 x = 4711, waited_ns;
	unsigned seen = 0;

	rig_open(&g, sched, RIG_DRIVE);
	for (u32 i = 0; i < CROWD; i++)
		crowd_reads(&g, &x, i);
	far = rig_read(&g, CROWD, FAR);
	while (g.added < CROWD_RUN && !far->done_ns) {
		rig_until_done(&g, seen + 1);
		for (; seen < g.done; seen++)
			if (&g.requests[g.order[seen]] != far)
				crowd_reads(&g, &x, g.requests[g.order[seen]].issuer);
	}
	waited_ns = far->done_ns ? response_ns(far) : DISK_NEVER;
	rig_run(&g);
	rig_close(&g);
	return waited_ns;
}

static void bounds_waiting(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(promises); i++) {
		u64 ns = far_response_ns(promises[i].name);

		if (ns > promises[i].bound_ns)
			print_error("%s: the far read waits %.1f ms\n", promises[i].name,
				    (double)ns / MS);
		assert_true(ns <= promises[i].bound_ns);
	}
	/* The others don't promise it, and indeed: */
	assert_true(far_response_ns("satf") == DISK_NEVER);
	assert_true(far_response_ns("cats") > 2 * far_response_ns("cats2"));
}

/* ---- The list ---- */

static void names_are_unique_and_told(void **state)
{
	for (const struct sched_class *const *a = sched_classes; *a; a++) {
		assert_true((*a)->summary && (*a)->summary[0]);
		for (const struct sched_class *const *b = a + 1; *b; b++)
			assert_string_not_equal((*a)->name, (*b)->name);
		for (const struct param *p = (*a)->params; p && p->name; p++)
			assert_true(p->help[0] && p->offset < (*a)->params_size);
	}
}

static const struct {
	const char *name;
	CMUnitTestFunction run;
} each[] = {
	{"each request is served once", serves_each_once},
	{"nothing is merged that mustn't be", merges_none_if_told},
	{"extreme parameters", takes_extremes},
	{"allocation sweep", survives_want_of_memory},
};

int main(void)
{
	static struct CMUnitTest tests[CLASSES_MAX * ARRAY_LEN(each) + 2];
	static char names[CLASSES_MAX * ARRAY_LEN(each)][80];
	size_t n = 0;

	for (const struct sched_class *const *c = sched_classes; *c; c++)
		for (size_t i = 0; i < ARRAY_LEN(each); i++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", (*c)->name, each[i].name);
			tests[n] = (struct CMUnitTest){
				.name = names[n],
				.test_func = each[i].run,
				.initial_state = (void *)(uintptr_t)*c,
			};
		}
	tests[n++] = (struct CMUnitTest){.name = "waiting is bounded where it is promised",
					 .test_func = bounds_waiting};
	tests[n++] = (struct CMUnitTest){.name = "the list",
					 .test_func = names_are_unique_and_told};
	return _cmocka_run_group_tests("sched_conform", tests, n, NULL, NULL);
}
