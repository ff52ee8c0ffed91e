/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completely fair queueing (Linux 2.6.30, J. Axboe): each process has a queue for what it waits
 * for, all together have one for the rest, and queues have the disk to themselves for a slice of
 * time, in turns. Within its slice a queue whose process is soon to ask again keeps the disk
 * although it is idle. A process whose next request lies close to the head may go first once.
 *
 * All processes have the same priority, the middle one of best effort.
 */
#include "base/errno.h"
#include "block/sched/issuers.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/queue.h"
#include "block/sched/think.h"

struct params {
	u64 quantum, slice_sync_ns, slice_async_ns, slice_async_rq, slice_idle_ns;
	u64 fifo_expire_sync_ns, fifo_expire_async_ns, back_seek_max, back_seek_penalty;
	u64 max_sectors;
};

static const struct param params[] = {
	{"quantum", "requests of a queue inside the drive at a time", PARAM_COUNT,
	 offsetof(struct params, quantum), "4", 1, 1 << 20},
	{"slice_sync", "slice of a process", PARAM_TIME, offsetof(struct params, slice_sync_ns),
	 "100ms", 1, 1e12},
	{"slice_async", "slice of the requests that nobody waits for", PARAM_TIME,
	 offsetof(struct params, slice_async_ns), "40ms", 1, 1e12},
	{"slice_async_rq", "base of how many such requests a slice may have", PARAM_COUNT,
	 offsetof(struct params, slice_async_rq), "2", 1, 1 << 20},
	{"slice_idle", "longest idle time in a slice; 0: none", PARAM_TIME,
	 offsetof(struct params, slice_idle_ns), "8ms", 0, 1e12},
	{"fifo_expire_sync", "time after which a request is first in its queue", PARAM_TIME,
	 offsetof(struct params, fifo_expire_sync_ns), "125ms", 0, 1e12},
	{"fifo_expire_async", "the same where nobody waits", PARAM_TIME,
	 offsetof(struct params, fifo_expire_async_ns), "250ms", 0, 1e12},
	{"back_seek_max", "longest way back, in KiB", PARAM_COUNT,
	 offsetof(struct params, back_seek_max), "16K", 0, 1e12},
	{"back_seek_penalty", "how many times longer a way back counts", PARAM_COUNT,
	 offsetof(struct params, back_seek_penalty), "2", 1, 1 << 20},
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

enum {
	ASYNC = ISSUERS, /* the queue that is nobody's */
	QUEUES,
	SEEKY_SECTORS = 8 * 1024, /* farther than that on average: a process that seeks */
	SEEKY_IDLE_NS = 2000000,  /* it has this much of slice_idle */
	BACK_SEEK_UNIT = 2,       /* sectors in a KiB */
	PRIORITY = 4,
	PRIORITIES = 8,
	PRIORITY_SHARE = 5,
	DEEP = 5,
	DEEP_SAMPLES = 50, /* a drive with as many inside orders them itself */
	ALONE_QUANTUMS = 4,
};

struct process {
	struct queue queue;
	struct process *before, *after; /* in the order of turns, while it has requests */
	i64 key;                        /* when its turn is due */
	i64 unused_ns;                  /* of the last slice that it had to leave */
	struct think think;
	unsigned inside; /* of its requests, in the drive */
	bool idles;      /* worth waiting for */
	bool helped;     /* has gone before its turn, and not had that since */
};

struct cfq {
	struct made made;
	struct params params;
	struct merge_rules rules;
	u64 head;
	struct process *turns, *last_turn; /* those with requests, by key */
	unsigned busy;                     /* how many they are */
	unsigned queued, inside, inside_sync;

	struct process *active; /* or NULL */
	u64 slice_end_ns;       /* DISK_NEVER: begins with the first request that is done */
	u64 idle_until_ns;      /* 0: isn't idle */
	unsigned slice_sent;
	bool slice_checked; /* for the one that has waited too long */

	bool deep;
	unsigned deep_samples, deep_peak;
	struct issuers issuers;
	struct process processes[QUEUES];
};

static int cfq_create(const struct sched_env *env, const void *values, struct sched **out,
		      struct alc_err *err)
{
	const struct params *p = values;
	struct cfq *c = sched_make(env, &sched_cfq, sizeof(*c), err);

	if (!c)
		return -ENOMEM;
	c->params = *p;
	c->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors, .front = true};
	c->deep = true;
	for (unsigned i = 0; i < ISSUERS; i++)
		c->processes[i].idles = p->slice_idle_ns != 0;
	*out = &c->made.sched;
	return 0;
}

static bool is_sync(const struct cfq *c, const struct process *p)
{
	return p != &c->processes[ASYNC];
}

static bool is_seeky(const struct process *p)
{
	return p->think.mean_sectors > SEEKY_SECTORS;
}

/* ---- Turns -------------------------------------------------------------------------------- */

static i64 slice_ns(const struct cfq *c, bool sync, unsigned priority)
{
	i64 base = (i64)(sync ? c->params.slice_sync_ns : c->params.slice_async_ns);

	return base + base / PRIORITY_SHARE * (4 - (i64)priority);
}

/* The shorter its slice, and the more others there are, the later it comes. */
static i64 due(const struct cfq *c, const struct process *p, u64 now_ns)
{
	i64 later = slice_ns(c, true, 0) - slice_ns(c, is_sync(c, p), PRIORITY);

	return (i64)now_ns + (c->busy ? (i64)c->busy - 1 : 0) * later - p->unused_ns;
}

static void turn_insert(struct cfq *c, struct process *p)
{
	struct process *before = c->last_turn;

	while (before && before->key > p->key)
		before = before->before;
	p->before = before;
	p->after = before ? before->after : c->turns;
	*(before ? &before->after : &c->turns) = p;
	*(p->after ? &p->after->before : &c->last_turn) = p;
}

static void turn_remove(struct cfq *c, struct process *p)
{
	*(p->before ? &p->before->after : &c->turns) = p->after;
	*(p->after ? &p->after->before : &c->last_turn) = p->before;
}

static void become_busy(struct cfq *c, struct process *p, u64 now_ns)
{
	c->busy++;
	p->key = due(c, p, now_ns);
	p->unused_ns = 0;
	turn_insert(c, p);
}

/* ---- Slices ------------------------------------------------------------------------------- */

static bool slice_used(const struct cfq *c, u64 now_ns)
{
	return c->slice_end_ns != DISK_NEVER && now_ns > c->slice_end_ns;
}

/* unfinished: what is left of its slice is credited. */
static void slice_end(struct cfq *c, bool unfinished, u64 now_ns)
{
	struct process *p = c->active;

	if (!p)
		return;
	c->active = NULL;
	c->idle_until_ns = 0;
	if (unfinished && c->slice_end_ns != DISK_NEVER)
		p->unused_ns = (i64)(c->slice_end_ns - now_ns);
	if (queue_empty(&p->queue))
		return;
	turn_remove(c, p);
	p->key = due(c, p, now_ns);
	p->unused_ns = 0;
	turn_insert(c, p);
}

static void slice_begin(struct cfq *c, struct process *p)
{
	c->active = p;
	c->slice_end_ns = DISK_NEVER;
	c->idle_until_ns = 0;
	c->slice_sent = 0;
	c->slice_checked = false;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static struct disk_req *nearest(const struct cfq *c, const struct process *p)
{
	return sorted_elevator(&p->queue.sorted, c->head, c->params.back_seek_max * BACK_SEEK_UNIT,
			       c->params.back_seek_penalty);
}

/* As good as what one would expect of the active process. */
static bool is_close(const struct cfq *c, const struct disk_req *r)
{
	const struct think *t = &c->active->think;
	u64 close = t->distances >= THINK_SURE ? t->mean_sectors : SEEKY_SECTORS;

	return distance_of(c->head, r->span_sector) <= close;
}

/* Another process whose next request is close; of several the closest. */
static struct process *helper(const struct cfq *c)
{
	struct process *best = NULL;
	u64 least = DISK_NEVER;

	if (!is_sync(c, c->active))
		return NULL;
	for (struct process *p = c->turns; p; p = p->after) {
		struct disk_req *r = p == c->active || p->helped ? NULL : nearest(c, p);
		u64 away = r ? distance_of(c->head, r->span_sector) : DISK_NEVER;

		if (away < least && is_close(c, r)) {
			least = away;
			best = p;
		}
	}
	return best;
}

static void think_again(struct cfq *c, struct process *p, const struct disk_req *r, u64 now_ns)
{
	think_asked(&p->think, r, now_ns, 2 * c->params.slice_idle_ns);
	if (!c->params.slice_idle_ns || (c->deep && is_seeky(p)))
		p->idles = false;
	else if (p->think.times >= THINK_SURE)
		p->idles = p->think.mean_ns <= c->params.slice_idle_ns;
}

static bool preempts(const struct cfq *c, const struct process *p, const struct disk_req *r,
		     u64 now_ns)
{
	if (slice_used(c, now_ns))
		return true;
	if (is_sync(c, p) != is_sync(c, c->active))
		return is_sync(c, p);
	return c->idle_until_ns && is_close(c, r);
}

static void preempt(struct cfq *c, struct process *p, u64 now_ns)
{
	slice_end(c, true, now_ns);
	turn_remove(c, p);
	p->key = c->turns ? c->turns->key - 1 : p->key;
	turn_insert(c, p);
}

static void cfq_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cfq *c = container_of(s, struct cfq, made.sched);
	unsigned of = r->sync ? issuer_number(&c->issuers, r->issuer) : ASYNC;
	struct process *p = &c->processes[of];
	bool was_empty = queue_empty(&p->queue);
	struct disk_req *absorbed;

	node_of(r)->queue = p;
	c->queued += queue_add(&p->queue, &c->rules, r,
			       now_ns + (r->sync ? c->params.fifo_expire_sync_ns
						 : c->params.fifo_expire_async_ns),
			       &absorbed) == r;
	c->queued -= absorbed != NULL;
	if (was_empty)
		become_busy(c, p, now_ns);
	if (r->sync)
		think_again(c, p, r, now_ns);
	if (p == c->active)
		c->idle_until_ns = 0;
	else if (c->active && preempts(c, p, r, now_ns))
		preempt(c, p, now_ns);
}

/* Whether the drive holds many requests: it is known from how many there are at most. */
static void look_at_depth(struct cfq *c)
{
	if (c->inside > c->deep_peak)
		c->deep_peak = c->inside;
	if (c->queued <= DEEP && c->inside <= DEEP)
		return;
	if (c->deep_samples++ < DEEP_SAMPLES)
		return;
	c->deep = c->deep_peak >= DEEP;
	c->deep_samples = c->deep_peak = 0;
}

static void be_idle(struct cfq *c, const struct process *p, u64 now_ns)
{
	u64 idle_ns = c->params.slice_idle_ns;

	if (!p->idles || c->inside)
		return;
	if (p->think.distances >= THINK_SURE && is_seeky(p))
		idle_ns = min_u64(idle_ns, SEEKY_IDLE_NS);
	c->idle_until_ns = now_ns + idle_ns;
}

static void think_of_all(struct process *p, const struct disk_req *r, u64 now_ns)
{
	think_done(&p->think, now_ns);
	for (const struct disk_req *m = r->merged; m; m = m->next)
		think_done(&p->think, now_ns);
}

static void cfq_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct cfq *c = container_of(s, struct cfq, made.sched);
	struct process *p = node_of(r)->queue;
	bool sync = is_sync(c, p);

	look_at_depth(c);
	c->inside--;
	p->inside--;
	c->inside_sync -= sync;
	if (sync)
		think_of_all(p, r, now_ns);
	if (p != c->active)
		return;
	if (c->slice_end_ns == DISK_NEVER)
		c->slice_end_ns = now_ns + (u64)slice_ns(c, sync, PRIORITY);
	if (slice_used(c, now_ns))
		slice_end(c, true, now_ns);
	else if (sync && queue_empty(&p->queue) && !helper(c))
		be_idle(c, p, now_ns);
}

/* ---- Dispatch ----------------------------------------------------------------------------- */

static bool stays_idle(const struct cfq *c, u64 now_ns)
{
	return c->idle_until_ns > now_ns || (c->active->inside && c->active->idles);
}

/* Sees to it that the active queue is one with requests; false: not now. */
static bool choose(struct cfq *c, u64 now_ns, u64 *ask_ns)
{
	struct process *next = NULL;

	if (c->active && !slice_used(c, now_ns)) {
		if (!queue_empty(&c->active->queue))
			return true;
		next = helper(c);
		if (!next && stays_idle(c, now_ns)) {
			*ask_ns = c->idle_until_ns > now_ns ? c->idle_until_ns : DISK_NEVER;
			return false;
		}
	}
	slice_end(c, c->idle_until_ns != 0, now_ns);
	if (next)
		next->helped = true;
	else
		next = c->turns;
	if (!next)
		return false;
	if (next == c->turns)
		next->helped = false;
	slice_begin(c, next);
	return true;
}

/* Not too many of one queue; and nobody's only when nobody is waiting for the drive. */
static bool has_room(const struct cfq *c)
{
	u64 most = c->params.quantum * (c->busy > 1 ? 1 : ALONE_QUANTUMS);

	if (c->inside_sync && !is_sync(c, c->active))
		return false;
	return c->active->inside < most;
}

static struct disk_req *pick(struct cfq *c, u64 now_ns)
{
	struct queue *q = &c->active->queue;

	if (!c->slice_checked && queue_expired(q, now_ns)) {
		c->slice_checked = true;
		return q->fifo.oldest;
	}
	c->slice_checked = true;
	return nearest(c, c->active);
}

static void sent(struct cfq *c, struct disk_req *r, u64 now_ns)
{
	struct process *p = c->active;
	u64 most = 2 * c->params.slice_async_rq * (PRIORITIES - PRIORITY);

	queue_remove(&p->queue, r);
	c->queued--;
	if (queue_empty(&p->queue)) {
		turn_remove(c, p);
		c->busy--;
	}
	p->inside++;
	c->inside++;
	c->inside_sync += is_sync(c, p);
	c->slice_sent++;
	c->head = span_end(r);
	if (c->busy > 1 && !is_sync(c, p) && c->slice_sent >= most)
		slice_end(c, false, now_ns);
}

static struct disk_req *cfq_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct cfq *c = container_of(s, struct cfq, made.sched);
	struct disk_req *r;

	*ask_ns = DISK_NEVER;
	if (!c->queued || !choose(c, now_ns, ask_ns) || !has_room(c))
		return NULL;
	r = pick(c, now_ns);
	sent(c, r, now_ns);
	return r;
}

const struct sched_class sched_cfq = {
	.name = "cfq",
	.summary = "completely fair queueing: slices of time for each process",
	.params = params,
	.params_size = sizeof(struct params),
	.create = cfq_create,
	.destroy = sched_unmake,
	.add = cfq_add,
	.next = cfq_next,
	.done = cfq_done,
};
