/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/sim.h"

#include "base/errno.h"

enum {
	CHUNK = 512,              /* requests that are allocated at a time */
	IDLE_STEPS_MAX = 5000000, /* without a request: there will be none */
	PROGRESS_EVERY = 1 << 13, /* requests */
};

struct sim_req {
	struct disk_req r;
	u64 tag;
};

struct chunk {
	struct chunk *next;
	struct sim_req reqs[CHUNK];
};

/* A sleeping actor. seq keeps the order of those that wake at one instant. */
struct sleeper {
	u64 ns, seq;
	u32 actor;
};

struct run {
	const struct sim *sim;
	struct chunk *chunks;
	struct disk_req *free;
	struct sleeper *heap;
	u32 sleepers;
	u64 seq;
	struct work_wake wake;
	u64 now_ns, station_ns;
	u64 done, idle_steps;
	struct sim_end end;
	bool stopped, added, no_memory;
};

/* ---- Requests ----------------------------------------------------------------------------- */

static bool more_requests(struct run *run)
{
	struct chunk *c = host_alloc(run->sim->host, sizeof(*c));

	if (!c)
		return false;
	c->next = run->chunks;
	run->chunks = c;
	for (unsigned i = CHUNK; i > 0; i--) {
		c->reqs[i - 1].r.next = run->free;
		run->free = &c->reqs[i - 1].r;
	}
	return true;
}

static void free_chunks(struct run *run)
{
	struct chunk *next;

	for (; run->chunks; run->chunks = next) {
		next = run->chunks->next;
		host_free(run->sim->host, run->chunks, sizeof(*run->chunks));
	}
}

static void submit(struct run *run, const struct work_step *step)
{
	struct disk_req *r;

	if (!run->free && !more_requests(run)) {
		run->no_memory = run->stopped = true;
		return;
	}
	r = run->free;
	run->free = r->next;
	r->sector = step->sector;
	r->sectors = step->sectors;
	r->op = step->op;
	r->sync = step->sync;
	r->issuer = step->issuer;
	container_of(r, struct sim_req, r)->tag = step->tag;
	station_add(run->sim->station, r, run->now_ns);
	run->added = true;
	run->idle_steps = 0;
	run->end.submitted++;
	run->stopped = run->end.submitted == run->sim->requests;
}

/* ---- Sleep -------------------------------------------------------------------------------- */

static bool before(const struct sleeper *a, const struct sleeper *b)
{
	return a->ns < b->ns || (a->ns == b->ns && a->seq < b->seq);
}

static void push(struct run *run, u64 ns, u32 actor)
{
	struct sleeper s = {ns, run->seq++, actor};
	u32 i = run->sleepers++;

	for (; i && before(&s, &run->heap[(i - 1) / 2]); i = (i - 1) / 2)
		run->heap[i] = run->heap[(i - 1) / 2];
	run->heap[i] = s;
}

static u32 pop(struct run *run)
{
	u32 actor = run->heap[0].actor, n = --run->sleepers, i = 0, child;
	struct sleeper last = run->heap[n];

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && before(&run->heap[child + 1], &run->heap[child]))
			child++;
		if (!before(&run->heap[child], &last))
			break;
		run->heap[i] = run->heap[child];
		i = child;
	}
	run->heap[i] = last;
	return actor;
}

/* ---- Events ------------------------------------------------------------------------------- */

static void act(struct run *run, u32 actor)
{
	struct workload *w = run->sim->workload;
	struct work_step step;

	while (!run->stopped) {
		w->class->next(w, actor, run->now_ns, &step);
		if (run->idle_steps++ == IDLE_STEPS_MAX)
			run->stopped = true;
		if (step.kind == WORK_SUBMIT) {
			submit(run, &step);
			continue;
		}
		if (step.kind == WORK_SLEEP)
			push(run, step.until_ns, actor);
		return;
	}
}

static void finish(struct run *run, struct disk_req *r)
{
	const struct sim *sim = run->sim;
	struct workload *w = sim->workload;
	bool merged = !r->span_sectors;

	run->done++;
	run->end.dispatched += !merged;
	run->end.end_ns = r->done_ns;
	if (sim->seen)
		sim->seen(sim->ctx, r, merged);
	w->class->done(w, r, container_of(r, struct sim_req, r)->tag, run->now_ns, &run->wake);
	r->next = run->free;
	run->free = r;
}

static void finish_all(struct run *run, struct disk_req *list)
{
	struct disk_req *next;

	run->wake.n = 0;
	for (; list; list = next) {
		next = list->next;
		finish(run, list);
	}
	for (u32 i = 0; i < run->wake.n; i++)
		act(run, run->wake.actors[i]);
}

static void wake_sleepers(struct run *run)
{
	if (run->sim->until_ns && run->now_ns > run->sim->until_ns)
		run->stopped = true;
	while (!run->stopped && run->sleepers && run->heap[0].ns <= run->now_ns)
		act(run, pop(run));
}

/* The next instant; DISK_NEVER: there is none. */
static u64 next_instant(const struct run *run)
{
	u64 actors_ns = run->stopped || !run->sleepers ? DISK_NEVER : run->heap[0].ns;

	return min_u64(actors_ns, run->station_ns);
}

/* What arrives because of a completion may be served at the same instant, and so on. */
static void settle(struct run *run)
{
	do {
		run->added = false;
		finish_all(run, station_advance(run->sim->station, run->now_ns, &run->station_ns));
	} while (run->added);
}

static int loop(struct run *run, struct alc_err *err)
{
	const struct sim *sim = run->sim;
	u64 told = PROGRESS_EVERY;

	while ((run->now_ns = next_instant(run)) != DISK_NEVER) {
		wake_sleepers(run);
		if (run->added || run->station_ns <= run->now_ns)
			settle(run);
		if (sim->progress && run->done >= told) {
			told = run->done + PROGRESS_EVERY;
			if (!sim->progress(sim->ctx, run->done))
				return alc_fail(err, -ECANCELED, "the simulation was ended");
		}
	}
	return 0;
}

static int verdict(const struct run *run, struct alc_err *err)
{
	if (run->no_memory)
		return alc_fail(err, -ENOMEM, "no memory for so many requests");
	if (run->done < run->end.submitted)
		return alc_fail(err, -ETIMEDOUT, "the scheduler '%s' keeps %llu requests for ever",
				run->sim->station->sched->class->name,
				(unsigned long long)(run->end.submitted - run->done));
	if (run->idle_steps > IDLE_STEPS_MAX)
		return alc_fail(err, -ETIMEDOUT,
				"the workload '%s' makes no requests any more: all that it reads "
				"is in the page cache",
				run->sim->workload->class->name);
	return 0;
}

int sim_run(const struct sim *sim, struct sim_end *end, struct alc_err *err)
{
	u32 actors = sim->workload->actors;
	struct run run = {.sim = sim, .station_ns = DISK_NEVER};
	int rc;

	run.heap = host_alloc(sim->host, actors * sizeof(*run.heap));
	run.wake.actors = host_alloc(sim->host, actors * sizeof(*run.wake.actors));
	if (!run.heap || !run.wake.actors) {
		rc = alc_fail(err, -ENOMEM, "no memory for a simulation");
	} else {
		for (u32 i = 0; i < actors; i++)
			push(&run, 0, i);
		rc = loop(&run, err);
	}
	if (!rc)
		rc = verdict(&run, err);
	if (!rc)
		*end = run.end;
	free_chunks(&run);
	host_free(sim->host, run.wake.actors, actors * sizeof(*run.wake.actors));
	host_free(sim->host, run.heap, actors * sizeof(*run.heap));
	return rc;
}
