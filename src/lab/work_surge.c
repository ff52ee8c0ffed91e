/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's side of surge.h: a request a page (O_DIRECT), or a page cache between. */
#include "base/errno.h"
#include "lab/list.h"
#include "lab/page_cache.h"
#include "lab/surge.h"

enum { NONE = UINT32_MAX, RUN_BITS = 32 };

struct process {
	struct surge_process program;
	struct read_ahead read_ahead; /* of the file that it reads */
	bool waits;                   /* for its request, or for a page of the cache */
	u32 next_waiter;              /* for the same page */
	u32 run, nruns;               /* runs still to be submitted */
	u64 ready_ns; /* when the page that it has read is copied; 0: it needs no time */
	struct page_run *runs;
};

struct work_surge_state {
	struct workload workload;
	const struct alc_host *host;
	struct surge surge;
	struct process *processes;
	struct page_run *runs;
	u32 runs_each;
	struct page_cache cache;
	u32 *waiters;      /* by page: the first process, NONE: none */
	u32 *file_of_page; /* rank, to find a run's sectors */
};

static struct work_surge_state *state_of(struct workload *w)
{
	return container_of(w, struct work_surge_state, workload);
}

/* ---- Creation ----------------------------------------------------------------------------- */

static size_t count(const struct work_surge_state *s)
{
	return s->surge.p.processes;
}

static void surge_destroy(struct workload *w)
{
	struct work_surge_state *s = state_of(w);
	u32 pages = s->surge.pages;

	host_free(s->host, s->file_of_page, pages * sizeof(*s->file_of_page));
	host_free(s->host, s->waiters, pages * sizeof(*s->waiters));
	if (s->cache.host)
		page_cache_fini(&s->cache);
	host_free(s->host, s->runs, count(s) * s->runs_each * sizeof(*s->runs));
	host_free(s->host, s->processes, count(s) * sizeof(*s->processes));
	surge_fini(&s->surge);
	host_free(s->host, s, sizeof(*s));
}

static int make_processes(struct work_surge_state *s, u64 seed, struct alc_err *err)
{
	s->processes = host_alloc(s->host, count(s) * sizeof(*s->processes));
	if (!s->processes)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	for (u32 i = 0; i < count(s); i++)
		surge_process_init(&s->processes[i].program, seed, i);
	return 0;
}

static void number_pages(struct work_surge_state *s)
{
	for (u32 f = 0; f < s->surge.p.files; f++)
		for (u32 i = 0; i < s->surge.files[f].pages; i++)
			s->file_of_page[s->surge.files[f].first_page + i] = f;
	for (u32 i = 0; i < s->surge.pages; i++)
		s->waiters[i] = NONE;
}

static int make_cache(struct work_surge_state *s, struct alc_err *err)
{
	const struct surge_params *p = &s->surge.p;
	u32 pages = s->surge.pages, window = (u32)(p->read_ahead_bytes / 4096);
	u64 capacity = min_u64(p->cache_bytes / 4096, NONE);
	int rc;

	if (p->reads < 1)
		return alc_fail(err, -ENOTSUP,
				"the workload 'surge' only reads when it is "
				"buffered: 'reads' must be 1");
	if (window > PAGE_RUNS_MAX / 2)
		return alc_fail(err, -ERANGE, "'read_ahead' is 8M at most");
	rc = page_cache_init(&s->cache, s->host, pages, (u32)capacity, window, err);
	if (rc)
		return rc;
	s->runs_each = 2 * window + 2;
	s->runs = host_alloc(s->host, count(s) * s->runs_each * sizeof(*s->runs));
	s->waiters = host_alloc(s->host, pages * sizeof(*s->waiters));
	s->file_of_page = host_alloc(s->host, pages * sizeof(*s->file_of_page));
	if (!s->runs || !s->waiters || !s->file_of_page)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	for (u32 i = 0; i < count(s); i++)
		s->processes[i].runs = s->runs + (size_t)i * s->runs_each;
	number_pages(s);
	return 0;
}

static int surge_create(const struct workload_env *env, const void *params, struct workload **out,
			struct alc_err *err)
{
	const struct surge_params *p = params;
	struct work_surge_state *s = host_alloc(env->host, sizeof(*s));
	int rc;

	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	*s = (struct work_surge_state){
		.workload = {&work_surge, (u32)p->processes, (u32)p->processes},
		.host = env->host,
	};
	rc = surge_init(&s->surge, p, env->host, env->sectors, env->seed, err);
	if (rc) {
		host_free(env->host, s, sizeof(*s));
		return rc;
	}
	rc = make_processes(s, env->seed, err);
	if (!rc && p->buffered)
		rc = make_cache(s, err);
	if (rc)
		surge_destroy(&s->workload);
	else
		*out = &s->workload;
	return rc;
}

/* ---- Steps -------------------------------------------------------------------------------- */

static void submit_page(u32 actor, const struct surge_act *act, struct work_step *step)
{
	*step = (struct work_step){
		.kind = WORK_SUBMIT,
		.op = act->write ? BLOCK_WRITE : BLOCK_READ,
		.sync = true,
		.sector = surge_page_sector(act->file, act->page),
		.sectors = PAGE_SECTORS,
		.issuer = actor,
		.tag = actor,
	};
}

static void submit_run(const struct work_surge_state *s, u32 actor, struct page_run run,
		       struct work_step *step)
{
	const struct surge_file *f = &s->surge.files[s->file_of_page[run.first]];

	*step = (struct work_step){
		.kind = WORK_SUBMIT,
		.op = BLOCK_READ,
		.sync = true,
		.sector = surge_page_sector(f, run.first - f->first_page),
		.sectors = run.n * PAGE_SECTORS,
		.issuer = actor,
		.tag = (u64)run.n << RUN_BITS | run.first,
	};
}

static void wait_for_page(struct work_surge_state *s, u32 actor, u32 page)
{
	struct process *p = &s->processes[actor];

	p->next_waiter = s->waiters[page];
	s->waiters[page] = actor;
	p->waits = true;
}

static void read_page(struct work_surge_state *s, u32 actor, const struct surge_act *act,
		      u64 now_ns)
{
	struct process *p = &s->processes[actor];
	enum page_state found;

	/* A page 0 is the first read after an open. */
	if (!act->page)
		p->read_ahead = (struct read_ahead){0};
	p->run = 0;
	found = page_cache_read(&s->cache, &p->read_ahead, act->file->first_page, act->file->pages,
				act->page, p->runs, &p->nruns);
	if (found == PAGE_IN_FLIGHT)
		wait_for_page(s, actor, act->file->first_page + act->page);
	else
		p->ready_ns = now_ns + s->surge.p.memory_ns;
}

/* What is left of the last act: requests to submit, a wait. False: nothing. */
static bool go_on(struct work_surge_state *s, u32 actor, u64 now_ns, struct work_step *step)
{
	struct process *p = &s->processes[actor];

	if (p->run < p->nruns) {
		submit_run(s, actor, p->runs[p->run++], step);
		return true;
	}
	if (p->waits) {
		*step = (struct work_step){.kind = WORK_BLOCK};
		return true;
	}
	if (p->ready_ns > now_ns) {
		*step = (struct work_step){.kind = WORK_SLEEP, .until_ns = p->ready_ns};
		return true;
	}
	return false;
}

static void surge_next(struct workload *w, u32 actor, u64 now_ns, struct work_step *step)
{
	struct work_surge_state *s = state_of(w);
	struct process *p = &s->processes[actor];
	struct surge_act act;

	while (!go_on(s, actor, now_ns, step)) {
		surge_process_next(&s->surge, &p->program, &act);
		if (act.kind == SURGE_SLEEP) {
			*step = (struct work_step){.kind = WORK_SLEEP,
						   .until_ns = now_ns + act.sleep_ns};
			return;
		}
		if (!s->surge.p.buffered) {
			p->waits = true;
			submit_page(actor, &act, step);
			return;
		}
		read_page(s, actor, &act, now_ns);
	}
}

/* ---- Completions -------------------------------------------------------------------------- */

static void wake_process(struct work_surge_state *s, u32 actor, struct work_wake *wake)
{
	s->processes[actor].waits = false;
	wake->actors[wake->n++] = actor;
}

static void run_arrived(struct work_surge_state *s, struct page_run run, struct work_wake *wake)
{
	page_cache_arrived(&s->cache, run);
	for (u32 page = run.first; page < run.first + run.n; page++) {
		u32 next, actor = s->waiters[page];

		for (; actor != NONE; actor = next) {
			next = s->processes[actor].next_waiter;
			wake_process(s, actor, wake);
		}
		s->waiters[page] = NONE;
	}
}

static void surge_done(struct workload *w, const struct disk_req *r, u64 tag, u64 now_ns,
		       struct work_wake *wake)
{
	struct work_surge_state *s = state_of(w);

	if (s->surge.p.buffered)
		run_arrived(s, (struct page_run){(u32)tag, (u32)(tag >> RUN_BITS)}, wake);
	else
		wake_process(s, (u32)tag, wake);
}

static void surge_stats(const struct workload *w, void (*fn)(void *, const char *, double),
			void *ctx)
{
	const struct work_surge_state *s = (const void *)w;

	fn(ctx, "files_mib", s->surge.pages / 256.0);
	if (s->surge.p.buffered)
		fn(ctx, "page_hits",
		   s->cache.lookups ? (double)s->cache.hits / (double)s->cache.lookups : 0);
}

const struct workload_class work_surge = {
	.name = "surge",
	.summary = "processes that read files page by page: Zipf popularity, Pareto sleeps",
	.params = surge_param_table,
	.params_size = sizeof(struct surge_params),
	.create = surge_create,
	.destroy = surge_destroy,
	.next = surge_next,
	.done = surge_done,
	.stats = surge_stats,
};
