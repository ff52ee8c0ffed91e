/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/synthetic.h"

#include "base/errno.h"

/* Zipf's law over so many equal parts of the region; within one, places are equally likely. */
enum { PARTS = 1024 };

struct actor {
	bool thinks; /* a request of its own is done, and its think time isn't over */
	/* Open loop: the next arrival. Closed loop: DISK_NEVER while its request is on its way. */
	u64 arrival_ns;
};

/* A process: its slots share a generator and a place. */
struct process {
	struct rng rng;
	u64 at; /* in requests from the start of the region */
};

struct synthetic {
	struct workload workload;
	const struct alc_host *host;
	struct synthetic_params p;
	u64 begin, places; /* first sector; whole requests that fit */
	u32 sectors;
	double gap_ns; /* open loop: mean of one process */
	struct zipf parts;
	struct process *processes;
	struct actor *actors;
};

static struct synthetic *state_of(struct workload *w)
{
	return container_of(w, struct synthetic, workload);
}

void synthetic_destroy(struct workload *w)
{
	struct synthetic *s = state_of(w);

	host_free(s->host, s->parts.cumulative, PARTS * sizeof(*s->parts.cumulative));
	host_free(s->host, s->actors, w->actors * sizeof(*s->actors));
	host_free(s->host, s->processes, w->issuers * sizeof(*s->processes));
	host_free(s->host, s, sizeof(*s));
}

static u32 slots(const struct synthetic_params *p)
{
	return p->rate > 0 ? 1 : (u32)p->depth;
}

/* Each begins at a place of its own, so that sequential processes don't follow each other. */
static void start_processes(struct synthetic *s, u64 seed)
{
	for (u32 i = 0; i < s->workload.issuers; i++) {
		rng_init(&s->processes[i].rng, seed, i);
		s->processes[i].at = mul_div(s->places, i, s->workload.issuers);
	}
}

static int make(struct synthetic *s, u64 seed, struct alc_err *err)
{
	double *cumulative;

	s->processes = host_alloc(s->host, s->workload.issuers * sizeof(*s->processes));
	s->actors = host_alloc(s->host, s->workload.actors * sizeof(*s->actors));
	cumulative = host_alloc(s->host, PARTS * sizeof(*cumulative));
	if (cumulative)
		zipf_init(&s->parts, cumulative, PARTS, s->p.zipf);
	if (!s->processes || !s->actors || !cumulative)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	start_processes(s, seed);
	return 0;
}

int synthetic_create(const struct workload_class *class, const struct workload_env *env,
		     const struct synthetic_params *p, struct workload **out, struct alc_err *err)
{
	u64 begin = (u64)(p->offset * (double)env->sectors), left = env->sectors - begin;
	u64 region = min_u64((u64)(p->span * (double)env->sectors), left);
	struct synthetic *s;
	int rc;

	if (p->size_bytes % SECTOR_BYTES || region < p->size_bytes / SECTOR_BYTES)
		return alc_fail(err, -EINVAL,
				"'size' must be whole sectors of 512 bytes that fit the region");
	s = host_alloc(env->host, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	*s = (struct synthetic){
		.workload = {class, (u32)p->processes * slots(p), (u32)p->processes},
		.host = env->host,
		.p = *p,
		.begin = begin,
		.sectors = (u32)(p->size_bytes / SECTOR_BYTES),
		.gap_ns = p->rate > 0 ? 1e9 * (double)p->processes / p->rate : 0,
	};
	s->places = region / s->sectors;
	rc = make(s, env->seed, err);
	if (rc)
		synthetic_destroy(&s->workload);
	else
		*out = &s->workload;
	return rc;
}

static u64 random_place(struct synthetic *s, struct rng *r)
{
	u64 part;

	if (s->p.zipf <= 0 || s->places < PARTS)
		return rng_below(r, s->places);
	part = zipf_draw(&s->parts, r);
	return mul_div(s->places, part, PARTS) + rng_below(r, s->places / PARTS);
}

static u64 next_place(struct synthetic *s, struct process *p)
{
	u64 at;

	if (s->p.random >= 1 || (s->p.random > 0 && rng_unit(&p->rng) <= s->p.random))
		p->at = random_place(s, &p->rng);
	at = p->at;
	p->at = at + 1 < s->places ? at + 1 : 0;
	return at;
}

static void submit(struct synthetic *s, u32 actor, struct work_step *step)
{
	u32 issuer = actor / slots(&s->p);
	struct process *p = &s->processes[issuer];
	bool write = s->p.reads < 1 && rng_unit(&p->rng) > s->p.reads;

	*step = (struct work_step){
		.kind = WORK_SUBMIT,
		.op = write ? BLOCK_WRITE : BLOCK_READ,
		.sync = true,
		.sector = s->begin + next_place(s, p) * s->sectors,
		.sectors = s->sectors,
		.issuer = issuer,
		.tag = actor,
	};
}

static u64 gap(struct synthetic *s, u32 actor)
{
	return num_ns(s->p.poisson ? rng_exponential(&s->processes[actor].rng, s->gap_ns)
				   : s->gap_ns);
}

/* Open loop: an arrival, then a sleep until the next. */
static void next_arrival(struct synthetic *s, u32 actor, u64 now_ns, struct work_step *step)
{
	struct actor *a = &s->actors[actor];

	if (a->arrival_ns && a->arrival_ns <= now_ns) {
		a->arrival_ns += gap(s, actor);
		submit(s, actor, step);
		return;
	}
	if (!a->arrival_ns)
		a->arrival_ns = now_ns + gap(s, actor);
	*step = (struct work_step){.kind = WORK_SLEEP, .until_ns = a->arrival_ns};
}

/* Closed loop: a request, a wait for it, a sleep. */
void synthetic_next(struct workload *w, u32 actor, u64 now_ns, struct work_step *step)
{
	struct synthetic *s = state_of(w);
	struct actor *a = &s->actors[actor];

	if (s->p.rate > 0) {
		next_arrival(s, actor, now_ns, step);
	} else if (a->arrival_ns == DISK_NEVER) {
		*step = (struct work_step){.kind = WORK_BLOCK};
	} else if (a->thinks && s->p.think_ns) {
		a->thinks = false;
		*step = (struct work_step){.kind = WORK_SLEEP, .until_ns = now_ns + s->p.think_ns};
	} else {
		a->arrival_ns = DISK_NEVER;
		submit(s, actor, step);
	}
}

void synthetic_done(struct workload *w, const struct disk_req *r, u64 tag, u64 now_ns,
		    struct work_wake *wake)
{
	struct synthetic *s = state_of(w);
	struct actor *a = &s->actors[tag];

	if (s->p.rate > 0)
		return;
	a->arrival_ns = 0;
	a->thinks = true;
	wake->actors[wake->n++] = (u32)tag;
}
