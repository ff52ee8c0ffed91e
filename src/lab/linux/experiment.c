/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lab/linux/experiment.h"

enum { CELLS_MAX = 100000, THREADS_MAX = 256 };

/* What a plan leaves out. */
static const char disk_default[] = "73407868928"; /* 143374744 sectors: the drive of the source */
static const char requests_default[] = "50000";

/* ---- Values ------------------------------------------------------------------------------- */

struct values {
	u64 disk_bytes, requests, warmup, until_ns, seed;
};

static const struct param value_table[] = {
	{"disk", "bytes of the disk, whole sectors", PARAM_COUNT,
	 offsetof(struct values, disk_bytes), disk_default, 1 << 20, 1e15},
	{"requests", "requests of each cell; 0: as many as the workload has", PARAM_COUNT,
	 offsetof(struct values, requests), requests_default, 0, 1e12},
	{"warmup", "requests that are not counted, at first", PARAM_COUNT,
	 offsetof(struct values, warmup), "0", 0, 1e12},
	{"until", "virtual time after which no requests are made; 0: no limit", PARAM_TIME,
	 offsetof(struct values, until_ns), "0", 0, 1e15},
	{"seed", "a seed", PARAM_COUNT, offsetof(struct values, seed), "1", 0, 1e15},
	{.name = NULL},
};

static int take_values(const struct plan *p, struct values *v, struct alc_err *err)
{
	const struct {
		const char *name, *text;
	} given[] = {
		{"disk", p->disk},
		{"requests", p->requests},
		{"warmup", p->warmup},
		{"until", p->until},
	};
	int rc = param_parse(value_table, NULL, v, err);

	for (size_t i = 0; !rc && i < ARRAY_LEN(given); i++)
		if (given[i].text)
			rc = param_set(value_table, given[i].name, given[i].text, v, err);
	return rc;
}

static int take_seeds(struct alc_experiment *x, struct alc_err *err)
{
	const struct plan_texts *seeds = &x->plan->seeds;
	struct values v = {.seed = 1};
	int rc = 0;

	x->nseeds = seeds->count ? seeds->count : 1;
	x->seeds = calloc(x->nseeds, sizeof(*x->seeds));
	if (!x->seeds)
		return alc_fail(err, -ENOMEM, "no memory for a plan");
	x->seeds[0] = v.seed;
	for (unsigned i = 0; !rc && i < seeds->count; i++) {
		rc = param_set(value_table, "seed", seeds->items[i], &v, err);
		x->seeds[i] = v.seed;
	}
	return rc;
}

/* ---- Traces ------------------------------------------------------------------------------- */

static const char file_param[] = "file=";

/* Takes ":file=PATH" out of a workload's text; NULL: there is none. Freed by the caller. */
static char *take_file(char *text)
{
	for (char *at = strchr(text, ':'); at; at = strchr(at + 1, ':')) {
		size_t len;
		char *path;

		if (strncmp(at + 1, file_param, sizeof(file_param) - 1))
			continue;
		len = strcspn(at + 1, ":");
		path = strndup(at + sizeof(file_param), len + 1 - sizeof(file_param));
		memmove(at, at + 1 + len, strlen(at + 1 + len) + 1);
		return path;
	}
	return NULL;
}

/* *out: NULL if the workload has no trace. Each file is read once. */
static int load_trace(struct alc_experiment *x, char *text, const struct trace **out,
		      struct alc_err *err)
{
	char *path = take_file(text);
	struct loaded_trace *more, *t;
	int rc;

	*out = NULL;
	if (!path)
		return 0;
	for (size_t i = 0; i < x->ntraces; i++)
		if (!strcmp(x->traces[i].path, path)) {
			free(path);
			*out = &x->traces[i].trace;
			return 0;
		}
	/* Cells point into the table, so it has room for all from the start. */
	more = x->traces ? x->traces : calloc(x->workloads.n, sizeof(*more));
	if (!more) {
		free(path);
		return alc_fail(err, -ENOMEM, "no memory for a plan");
	}
	x->traces = more;
	t = &x->traces[x->ntraces];
	rc = trace_read(path, &t->trace, err);
	if (rc) {
		free(path);
		return rc;
	}
	t->path = path;
	x->ntraces++;
	*out = &t->trace;
	return 0;
}

/* ---- Cells -------------------------------------------------------------------------------- */

static u64 cell_requests(const struct cell *c, u64 requests)
{
	if (!c->trace)
		return requests;
	return requests ? min_u64(requests, c->trace->n) : c->trace->n;
}

static void fill_cells(struct alc_experiment *x, const struct values *v, size_t workload,
		       const struct trace *trace)
{
	size_t models = x->models.n, scheds = x->schedulers.n, seeds = x->nseeds;
	struct cell *c = x->cells + workload * models * scheds * seeds;

	for (size_t m = 0; m < models; m++)
		for (size_t s = 0; s < scheds; s++)
			for (size_t i = 0; i < seeds; i++, c++) {
				*c = (struct cell){
					.scheduler = &x->schedulers.items[s],
					.model = &x->models.items[m],
					.workload = &x->workloads.items[workload],
					.trace = trace,
					.seed = x->seeds[i],
					.sectors = v->disk_bytes / SECTOR_BYTES,
					.warmup = v->warmup,
					.until_ns = v->until_ns,
				};
				c->requests = cell_requests(c, v->requests);
			}
}

static int make_cells(struct alc_experiment *x, const struct values *v, struct alc_err *err)
{
	size_t n = x->models.n * x->schedulers.n * x->workloads.n * x->nseeds;
	const struct trace *trace;
	int rc = 0;

	if (n > CELLS_MAX)
		return alc_fail(err, -E2BIG, "the plan has %zu cells; %u are allowed", n,
				CELLS_MAX);
	x->cells = calloc(n, sizeof(*x->cells));
	if (!x->cells)
		return alc_fail(err, -ENOMEM, "no memory for %zu cells", n);
	for (size_t w = 0; !rc && w < x->workloads.n; w++) {
		rc = load_trace(x, x->workloads.items[w].text, &trace, err);
		if (!rc)
			fill_cells(x, v, w, trace);
	}
	x->ncells = rc ? 0 : n;
	return rc;
}

/* Each part once: by the cells of the first seed that have the first of all the others. */
static int check_cells(const struct alc_experiment *x, struct alc_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < x->ncells; i++) {
		const struct cell *c = &x->cells[i];
		unsigned first = (c->scheduler == x->schedulers.items) +
				 (c->model == x->models.items) +
				 (c->workload == x->workloads.items);

		if (c->seed == x->seeds[0] && first >= 2)
			rc = cell_check(c, err);
		if (!rc && !c->requests && !c->until_ns && !c->trace)
			rc = alc_fail(err, -EINVAL,
				      "'%s' has no end: say how many 'requests', or 'until' when",
				      c->workload->label);
	}
	return rc;
}

int alc_experiment_open(const char *plan, struct alc_experiment **out, struct alc_err *err)
{
	struct alc_experiment *x = calloc(1, sizeof(*x));
	struct values v;
	int rc;

	if (!x)
		return alc_fail(err, -ENOMEM, "no memory for a plan");
	rc = plan_read(plan, &x->plan, err);
	if (!rc)
		rc = take_values(x->plan, &v, err);
	if (!rc)
		rc = take_seeds(x, err);
	if (!rc)
		rc = parts_expand(&x->plan->schedulers, &x->schedulers, err);
	if (!rc)
		rc = parts_expand(&x->plan->models, &x->models, err);
	if (!rc)
		rc = parts_expand(&x->plan->workloads, &x->workloads, err);
	if (!rc)
		rc = make_cells(x, &v, err);
	if (!rc)
		rc = check_cells(x, err);
	if (rc)
		alc_experiment_close(x);
	else
		*out = x;
	return rc;
}

void alc_experiment_close(struct alc_experiment *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->ncells; i++)
		tally_fini(&x->cells[i].tally);
	free(x->cells);
	for (size_t i = 0; i < x->ntraces; i++) {
		trace_free(&x->traces[i].trace);
		free(x->traces[i].path);
	}
	free(x->traces);
	free(x->seeds);
	parts_free(&x->workloads);
	parts_free(&x->models);
	parts_free(&x->schedulers);
	plan_free(x->plan);
	free(x);
}

size_t alc_experiment_cells(const struct alc_experiment *x)
{
	return x->ncells;
}

/* ---- Running ------------------------------------------------------------------------------ */

struct crew {
	struct alc_experiment *x;
	_Atomic(size_t) next;
	_Atomic(u64) done; /* requests */
	_Atomic(bool) ended;
	_Atomic(unsigned) working;
};

struct worker {
	struct crew *crew;
	u64 told; /* of the present cell */
	pthread_t thread;
};

static bool told(void *ctx, u64 done)
{
	struct worker *w = ctx;

	atomic_fetch_add(&w->crew->done, done - w->told);
	w->told = done;
	return !atomic_load(&w->crew->ended);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct crew *crew = w->crew;
	size_t i;

	while (!atomic_load(&crew->ended) &&
	       (i = atomic_fetch_add(&crew->next, 1)) < crew->x->ncells) {
		struct cell *c = &crew->x->cells[i];

		w->told = 0;
		cell_run(c, told, w);
		if (c->rc)
			atomic_store(&crew->ended, true);
		else if (c->requests > w->told)
			atomic_fetch_add(&crew->done, c->requests - w->told);
	}
	atomic_fetch_sub(&crew->working, 1);
	return NULL;
}

static unsigned thread_count(const struct alc_experiment *x, unsigned wanted)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = wanted ? wanted : cpus > 0 ? (size_t)cpus : 1;

	n = n < x->ncells ? n : x->ncells;
	return n < THREADS_MAX ? (unsigned)n : THREADS_MAX;
}

static u64 all_requests(const struct alc_experiment *x)
{
	u64 n = 0;

	for (size_t i = 0; i < x->ncells; i++)
		n += x->cells[i].requests;
	return n;
}

/* Looks after the workers until all are through; false: the caller ended it. */
static bool watch(struct crew *crew, bool (*progress)(void *, u64, u64), void *ctx)
{
	static const struct timespec pause = {.tv_nsec = 50000000};
	u64 total = all_requests(crew->x);
	bool go_on = true;

	while (progress && go_on && atomic_load(&crew->working)) {
		go_on = progress(ctx, atomic_load(&crew->done), total);
		nanosleep(&pause, NULL);
	}
	if (!go_on)
		atomic_store(&crew->ended, true);
	return go_on;
}

/* The first failure in the plan's order. Cells that were ended because of another's don't count. */
static int outcome(const struct alc_experiment *x, bool ended, struct alc_err *err)
{
	if (ended)
		return alc_fail(err, -ECANCELED, "the experiment was ended");
	for (size_t i = 0; i < x->ncells; i++)
		if (x->cells[i].rc && x->cells[i].rc != -ECANCELED)
			return alc_fail(err, x->cells[i].rc, "%s, %s, %s: %s",
					x->cells[i].workload->label, x->cells[i].model->label,
					x->cells[i].scheduler->label, x->cells[i].err.text);
	return 0;
}

/* Results of an earlier run make room. */
static void clear(struct alc_experiment *x)
{
	for (size_t i = 0; i < x->ncells; i++) {
		tally_fini(&x->cells[i].tally);
		x->cells[i].nstats = 0;
		x->cells[i].err = (struct alc_err){0};
		x->cells[i].rc = 0;
	}
	x->ran = false;
}

int alc_experiment_run(struct alc_experiment *x, unsigned threads,
		       bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		       struct alc_err *err)
{
	unsigned n = thread_count(x, threads), started = 0;
	struct worker *workers = calloc(n, sizeof(*workers));
	struct crew crew = {.x = x};
	bool go_on;
	int rc = 0;

	if (!workers)
		return alc_fail(err, -ENOMEM, "no memory for threads");
	clear(x);
	atomic_store(&crew.working, n);
	for (; started < n; started++) {
		workers[started].crew = &crew;
		rc = pthread_create(&workers[started].thread, NULL, work, &workers[started]);
		if (rc)
			break;
	}
	if (rc && !started) {
		free(workers);
		return alc_fail(err, -rc, "can't start a thread: %s", strerror(rc));
	}
	atomic_fetch_sub(&crew.working, n - started);
	go_on = watch(&crew, progress, ctx);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	rc = outcome(x, !go_on, err);
	x->ran = !rc;
	if (!rc && progress)
		progress(ctx, all_requests(x), all_requests(x));
	return rc;
}
