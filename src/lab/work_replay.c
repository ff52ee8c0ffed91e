/* SPDX-License-Identifier: BSD-2-Clause */
/* The requests of a trace: at its own instants, or each as soon as there is room. */
#include "base/errno.h"
#include "lab/list.h"

struct params {
	u64 depth;
	double speed;
};

static const struct param params[] = {
	{"depth", "requests in flight, in the trace's order; 0: at the trace's instants",
	 PARAM_COUNT, offsetof(struct params, depth), "0", 0, 65536},
	{"speed", "how much faster than the trace its instants come", PARAM_REAL,
	 offsetof(struct params, speed), "1", 1e-6, 1e6},
	{.name = NULL},
};

struct replay {
	struct workload workload;
	const struct alc_host *host;
	struct params p;
	const struct trace *trace;
	size_t at;
	bool *busy; /* by actor: its request is on its way */
};

static struct replay *state_of(struct workload *w)
{
	return container_of(w, struct replay, workload);
}

static void replay_destroy(struct workload *w)
{
	struct replay *s = state_of(w);

	host_free(s->host, s->busy, w->actors * sizeof(*s->busy));
	host_free(s->host, s, sizeof(*s));
}

/* What the simulator relies on, since traces are written by strangers. */
static int check(const struct trace *t, u64 sectors, u32 *issuers, struct alc_err *err)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct trace_req *r = &t->reqs[i];

		if (!r->sectors || r->sector >= sectors || r->sectors > sectors - r->sector)
			return alc_fail(
				err, -ERANGE,
				"request %zu of the trace is at sector %llu, of %u sectors; "
				"the disk has %llu",
				i + 1, (unsigned long long)r->sector, r->sectors,
				(unsigned long long)sectors);
		if (r->issuer >= 1u << 20)
			return alc_fail(err, -ERANGE,
					"request %zu of the trace: issuers are "
					"numbers below 1048576",
					i + 1);
		if (r->issuer >= *issuers)
			*issuers = r->issuer + 1;
	}
	return 0;
}

static int replay_create(const struct workload_env *env, const void *values, struct workload **out,
			 struct alc_err *err)
{
	const struct params *p = values;
	u32 actors = p->depth ? (u32)p->depth : 1, issuers = 1;
	int rc = check(env->trace, env->sectors, &issuers, err);
	struct replay *s;

	if (rc)
		return rc;
	s = host_alloc(env->host, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	*s = (struct replay){
		.workload = {&work_replay, actors, issuers},
		.host = env->host,
		.p = *p,
		.trace = env->trace,
		.busy = host_alloc(env->host, actors * sizeof(*s->busy)),
	};
	if (!s->busy) {
		replay_destroy(&s->workload);
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	}
	*out = &s->workload;
	return 0;
}

/* Instants count from the trace's first request. */
static u64 due_ns(const struct replay *s, const struct trace_req *r)
{
	return (u64)((double)(r->arrival_ns - s->trace->reqs[0].arrival_ns) / s->p.speed);
}

static void submit(struct replay *s, u32 actor, struct work_step *step)
{
	const struct trace_req *r = &s->trace->reqs[s->at++];

	*step = (struct work_step){
		.kind = WORK_SUBMIT,
		.op = r->op,
		.sync = true,
		.sector = r->sector,
		.sectors = r->sectors,
		.issuer = r->issuer,
		.tag = actor,
	};
}

static void replay_next(struct workload *w, u32 actor, u64 now_ns, struct work_step *step)
{
	struct replay *s = state_of(w);

	if (s->busy[actor]) {
		*step = (struct work_step){.kind = WORK_BLOCK};
	} else if (s->at == s->trace->n) {
		*step = (struct work_step){.kind = WORK_END};
	} else if (s->p.depth) {
		s->busy[actor] = true;
		submit(s, actor, step);
	} else if (due_ns(s, &s->trace->reqs[s->at]) > now_ns) {
		*step = (struct work_step){.kind = WORK_SLEEP,
					   .until_ns = due_ns(s, &s->trace->reqs[s->at])};
	} else {
		submit(s, actor, step);
	}
}

static void replay_done(struct workload *w, const struct disk_req *r, u64 tag, u64 now_ns,
			struct work_wake *wake)
{
	struct replay *s = state_of(w);

	if (!s->p.depth)
		return;
	s->busy[tag] = false;
	wake->actors[wake->n++] = (u32)tag;
}

const struct workload_class work_replay = {
	.name = "replay",
	.summary = "the requests of a trace, file=PATH: blkparse, fio log, CSV",
	.params = params,
	.params_size = sizeof(struct params),
	.needs_trace = true,
	.create = replay_create,
	.destroy = replay_destroy,
	.next = replay_next,
	.done = replay_done,
};
