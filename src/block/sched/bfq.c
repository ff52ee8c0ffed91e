/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Budget fair queueing (Linux 5, P. Valente, F. Checconi): each process has a queue and a share of
 * the disk's sectors by its weight, not of its time. A queue has the disk for a budget of sectors;
 * which one is next is B-WF2Q+'s choice: each has a virtual start, and a virtual finish that lies
 * later by budget / weight; of those that should have started by the virtual time, the one that
 * should finish first. After its turn the finish is corrected to what it was really served, and the
 * budget adapted to how it used it.
 *
 * One that is too slow for its budget is charged by time, as if it had been served at full rate, so
 * that seeks are at its own cost. With low_latency, a process that was quiet for long has much more
 * weight for a while, unless many begin at once.
 *
 * Not here: groups, merging of the queues of cooperating processes, soft real time.
 */
#include "base/errno.h"
#include "block/sched/issuers.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/queue.h"
#include "block/sched/think.h"

struct params {
	u64 slice_idle_ns, fifo_expire_sync_ns, fifo_expire_async_ns;
	u64 back_seek_max, back_seek_penalty, max_budget, timeout_sync_ns, max_sectors;
	u64 wr_coeff, wr_max_time_ns, wr_min_idle_time_ns;
	bool low_latency, strict_guarantees;
};

static const struct param params[] = {
	{"slice_idle", "longest idle time in a turn; 0: none", PARAM_TIME,
	 offsetof(struct params, slice_idle_ns), "8ms", 0, 1e12},
	{"fifo_expire_sync", "time after which a request is first in its queue", PARAM_TIME,
	 offsetof(struct params, fifo_expire_sync_ns), "125ms", 0, 1e12},
	{"fifo_expire_async", "the same where nobody waits", PARAM_TIME,
	 offsetof(struct params, fifo_expire_async_ns), "250ms", 0, 1e12},
	{"back_seek_max", "longest way back, in KiB", PARAM_COUNT,
	 offsetof(struct params, back_seek_max), "16K", 0, 1e12},
	{"back_seek_penalty", "how many times longer a way back counts", PARAM_COUNT,
	 offsetof(struct params, back_seek_penalty), "2", 1, 1 << 20},
	{"max_budget", "most sectors in a turn; 0: what the disk can do in timeout_sync",
	 PARAM_COUNT, offsetof(struct params, max_budget), "0", 0, 1 << 30},
	{"timeout_sync", "longest turn", PARAM_TIME, offsetof(struct params, timeout_sync_ns),
	 "125ms", 1, 1e12},
	{"low_latency", "more weight for what was quiet for long", PARAM_FLAG,
	 offsetof(struct params, low_latency), "on", 0, 0},
	{"wr_coeff", "how many times more", PARAM_COUNT, offsetof(struct params, wr_coeff), "30", 1,
	 1000},
	{"wr_max_time", "for how long", PARAM_TIME, offsetof(struct params, wr_max_time_ns), "7s",
	 0, 1e12},
	{"wr_min_idle_time", "how long it must have been quiet", PARAM_TIME,
	 offsetof(struct params, wr_min_idle_time_ns), "2s", 0, 1e12},
	{"strict_guarantees", "always idle, and one request in the drive at a time", PARAM_FLAG,
	 offsetof(struct params, strict_guarantees), "off", 0, 0},
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

enum {
	ASYNC = ISSUERS, /* the queue that is nobody's */
	QUEUES,
	DEFAULT_BUDGET = 16 * 1024, /* until the rate of the disk is known */
	BUDGET_STEPS = 32,          /* the least budget is such a part of the most */
	SEEKY_SECTORS = 8 * 1024,
	SEEKY_IDLE_NS = 2000000,
	BACK_SEEK_UNIT = 2, /* sectors in a KiB */
	CROWD = 8,          /* as many beginning one shortly after the other are a crowd */
	CROWD_NS = 180000000,
	SHORT_TURN_NS = 20000000, /* says nothing about whether a process is slow */
	RATE_WINDOW_NS = 1000000000,
};

/* Why a turn ends. */
enum end { END_EMPTY, END_TOO_IDLE, END_TIMEOUT, END_BUDGET };

struct process {
	struct queue queue;
	struct process *before, *after; /* of all that have requests, in no order */
	double start, finish;           /* virtual */
	u64 budget, served;             /* sectors; of this turn */
	unsigned weight, coeff;
	u64 raised_ns;    /* when coeff grew */
	u64 last_done_ns; /* when it fell quiet */
	struct think think;
	unsigned inside;
	bool seen;
};

struct bfq {
	struct made made;
	struct params params;
	struct merge_rules rules;
	u64 head;
	struct process *backlogged;
	double now;  /* virtual time */
	u64 weights; /* of those */
	unsigned queued, inside;
	double rate;                                 /* sectors per ns; 0: not known yet */
	u64 window_ns, window_sectors, last_done_ns; /* what it is learned from */
	unsigned crowd; /* of those that began since, each within CROWD_NS of the last */
	u64 crowd_ns, crowd_began_ns;

	struct process *active;
	u64 turn_ns;       /* when its turn began */
	u64 idle_until_ns; /* 0: isn't idle */
	bool checked;      /* for the one that has waited too long */

	struct issuers issuers;
	struct process processes[QUEUES];
};

static int bfq_create(const struct sched_env *env, const void *values, struct sched **out,
		      struct alc_err *err)
{
	struct bfq *b = sched_make(env, &sched_bfq, sizeof(*b), err);

	if (!b)
		return -ENOMEM;
	b->params = *(const struct params *)values;
	b->rules = (struct merge_rules){.max_sectors = (u32)b->params.max_sectors, .front = true};
	*out = &b->made.sched;
	return 0;
}

static bool is_sync(const struct bfq *b, const struct process *p)
{
	return p != &b->processes[ASYNC];
}

static u64 weight_of(const struct process *p)
{
	return (u64)p->weight * p->coeff;
}

/* ---- Budgets ------------------------------------------------------------------------------ */

static u64 max_budget(const struct bfq *b)
{
	if (b->params.max_budget)
		return b->params.max_budget;
	if (b->rate == 0)
		return DEFAULT_BUDGET;
	return max_u64((u64)(b->rate * (double)b->params.timeout_sync_ns), BUDGET_STEPS);
}

static u64 min_budget(const struct bfq *b)
{
	return max_u64(max_budget(b) / BUDGET_STEPS, 1);
}

/* More for one that could use more, less for one that left the disk idle. */
static u64 next_budget(const struct bfq *b, const struct process *p, enum end why)
{
	u64 least = min_budget(b), budget = p->budget;

	switch (why) {
	case END_TOO_IDLE:
		if (p->inside)
			budget *= 2;
		else
			budget -= min_u64(budget, 4 * least);
		break;
	case END_TIMEOUT:
		budget *= 2;
		break;
	case END_BUDGET:
		budget *= 4;
		break;
	case END_EMPTY:
		budget = p->served;
		break;
	}
	return max_u64(min_u64(budget, max_budget(b)), least);
}

/* What was given when less was known of the disk would be waited for too long. */
static void shrink_budgets(struct bfq *b)
{
	u64 most = max_budget(b);

	for (struct process *p = b->backlogged; p; p = p->after)
		if (p->budget > most) {
			p->budget = most;
			p->finish = p->start + (double)most / (double)weight_of(p);
		}
}

/* Sectors in busy time, over windows long enough to hold all kinds of requests. */
static void learn_rate(struct bfq *b, const struct disk_req *r, u64 now_ns)
{
	double rate;

	b->window_ns += now_ns - max_u64(r->dispatch_ns, b->last_done_ns);
	b->window_sectors += r->span_sectors;
	b->last_done_ns = now_ns;
	if (b->window_ns < RATE_WINDOW_NS)
		return;
	rate = (double)b->window_sectors / (double)b->window_ns;
	b->rate = rate > b->rate ? rate : b->rate + (rate - b->rate) / 8;
	b->window_ns = b->window_sectors = 0;
	shrink_budgets(b);
}

/* What its turn counts: sectors; if it was slow, its time, at the rate of the disk if known. */
static u64 charge(const struct bfq *b, const struct process *p, enum end why, u64 took_ns)
{
	u64 by_time = (u64)(b->rate * (double)min_u64(took_ns, b->params.timeout_sync_ns));
	bool slow = is_sync(b, p) && took_ns > SHORT_TURN_NS && p->served < max_budget(b) / 2;
	bool wasted = why == END_TIMEOUT && p->served < p->budget - p->budget / 3;

	return slow || wasted ? max_u64(p->served, by_time) : p->served;
}

/* ---- Virtual time ------------------------------------------------------------------------- */

static void become_backlogged(struct bfq *b, struct process *p)
{
	p->before = NULL;
	p->after = b->backlogged;
	if (p->after)
		p->after->before = p;
	b->backlogged = p;
	b->weights += weight_of(p);
}

static void leave_backlog(struct bfq *b, struct process *p)
{
	*(p->before ? &p->before->after : &b->backlogged) = p->after;
	if (p->after)
		p->after->before = p->before;
	b->weights -= weight_of(p);
}

/* Its backlog counts with the weight that it has at that time: change it only by this. */
static void set_coeff(struct bfq *b, struct process *p, unsigned coeff)
{
	if (!queue_empty(&p->queue))
		b->weights += (u64)p->weight * coeff - weight_of(p);
	p->coeff = coeff;
}

/* B-WF2Q+: the least finish of those that are eligible; if none is, time goes on to the first. */
static struct process *choose(struct bfq *b)
{
	struct process *best = NULL;
	double first = 0;

	for (struct process *p = b->backlogged; p; p = p->after)
		if (p == b->backlogged || p->start < first)
			first = p->start;
	if (b->backlogged && first > b->now)
		b->now = first;
	for (struct process *p = b->backlogged; p; p = p->after)
		if (p->start <= b->now && (!best || p->finish < best->finish))
			best = p;
	return best;
}

/* Everybody has had a share of as many sectors. */
static void pass(struct bfq *b, u64 sectors)
{
	if (b->weights)
		b->now += (double)sectors / (double)b->weights;
}

/* ---- Turns -------------------------------------------------------------------------------- */

static void turn_begin(struct bfq *b, struct process *p, u64 now_ns)
{
	b->active = p;
	b->turn_ns = now_ns;
	b->idle_until_ns = 0;
	b->checked = false;
	p->served = 0;
	if (p->coeff > 1 && now_ns - p->raised_ns >= b->params.wr_max_time_ns)
		set_coeff(b, p, 1);
}

static void turn_end(struct bfq *b, enum end why, u64 now_ns)
{
	struct process *p = b->active;
	u64 charged = charge(b, p, why, now_ns - b->turn_ns);

	b->active = NULL;
	b->idle_until_ns = 0;
	p->finish = p->start + (double)charged / (double)weight_of(p);
	pass(b, charged - p->served);
	p->budget = next_budget(b, p, why);
	if (queue_empty(&p->queue))
		return;
	p->start = p->finish;
	p->finish = p->start + (double)p->budget / (double)weight_of(p);
}

/* What began with the crowd, before it was known to be one, was raised. */
static void lower_crowd(struct bfq *b)
{
	for (unsigned i = 0; i < ISSUERS; i++)
		if (b->processes[i].coeff > 1 && b->processes[i].raised_ns >= b->crowd_began_ns)
			set_coeff(b, &b->processes[i], 1);
}

/* One after the other within a short time: a crowd, and none of it is special. */
static bool in_crowd(struct bfq *b, u64 now_ns)
{
	if (!b->crowd || now_ns - b->crowd_ns > CROWD_NS) {
		b->crowd = 0;
		b->crowd_began_ns = now_ns;
	}
	b->crowd_ns = now_ns;
	if (++b->crowd == CROWD + 1)
		lower_crowd(b);
	return b->crowd > CROWD;
}

/* A process has something to do again: whether it is one that somebody sits before. */
static void look_at_latency(struct bfq *b, struct process *p, u64 now_ns)
{
	bool quiet = !p->inside &&
		     (!p->seen || now_ns - p->last_done_ns >= b->params.wr_min_idle_time_ns);

	p->seen = true;
	if (!b->params.low_latency || !is_sync(b, p) || !quiet || in_crowd(b, now_ns))
		return;
	p->coeff = (unsigned)b->params.wr_coeff;
	p->raised_ns = now_ns;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void set_weight(struct process *p, enum disk_prio prio)
{
	static const u8 weights[] = {
		[DISK_REAL_TIME] = 80, [DISK_BEST_EFFORT] = 40, [DISK_IDLE] = 10};

	p->weight = weights[prio];
}

/* Not within its turn: then it goes on with what it has. */
static void begin(struct bfq *b, struct process *p, const struct disk_req *r, u64 now_ns)
{
	if (!p->seen) {
		p->coeff = 1;
		p->budget = min_budget(b);
	}
	set_weight(p, r->prio);
	look_at_latency(b, p, now_ns);
	p->budget = max_u64(p->budget, r->sectors);
	p->start = p->finish > b->now ? p->finish : b->now;
	p->finish = p->start + (double)p->budget / (double)weight_of(p);
}

static void bfq_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct bfq *b = container_of(s, struct bfq, made.sched);
	unsigned of = r->sync ? issuer_number(&b->issuers, r->issuer) : ASYNC;
	struct process *p = &b->processes[of];
	bool was_empty = queue_empty(&p->queue);
	struct disk_req *absorbed;

	if (was_empty && p != b->active)
		begin(b, p, r, now_ns);
	node_of(r)->queue = p;
	b->queued += queue_add(&p->queue, &b->rules, r,
			       now_ns + (r->sync ? b->params.fifo_expire_sync_ns
						 : b->params.fifo_expire_async_ns),
			       &absorbed) == r;
	b->queued -= absorbed != NULL;
	if (r->sync)
		think_asked(&p->think, r, now_ns, 2 * b->params.slice_idle_ns);
	if (p == b->active)
		b->idle_until_ns = 0;
	if (!was_empty)
		return;
	become_backlogged(b, p);
	if (b->active && b->active != p && p->coeff > b->active->coeff &&
	    !b->params.strict_guarantees)
		turn_end(b, END_TIMEOUT, now_ns);
}

static bool is_seeky(const struct process *p)
{
	return p->think.distances >= THINK_SURE && p->think.mean_sectors > SEEKY_SECTORS;
}

/* Worth waiting for. */
static bool idles(const struct bfq *b, const struct process *p)
{
	if (!is_sync(b, p) || !b->params.slice_idle_ns)
		return false;
	return b->params.strict_guarantees || p->think.times < THINK_SURE ||
	       p->think.mean_ns <= b->params.slice_idle_ns;
}

static void bfq_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct bfq *b = container_of(s, struct bfq, made.sched);
	struct process *p = node_of(r)->queue;
	u64 idle_ns = b->params.slice_idle_ns;

	learn_rate(b, r, now_ns);
	b->inside--;
	p->inside--;
	p->last_done_ns = now_ns;
	if (is_sync(b, p)) {
		think_done(&p->think, now_ns);
		for (const struct disk_req *m = r->merged; m; m = m->next)
			think_done(&p->think, now_ns);
	}
	if (p != b->active || !queue_empty(&p->queue) || p->inside || !idles(b, p))
		return;
	if (is_seeky(p) && p->coeff == 1 && !b->params.strict_guarantees)
		idle_ns = min_u64(idle_ns, SEEKY_IDLE_NS);
	b->idle_until_ns = now_ns + idle_ns;
}

/* ---- Dispatch ----------------------------------------------------------------------------- */

static struct disk_req *pick(const struct bfq *b, const struct process *p, u64 now_ns)
{
	if (!b->checked && queue_expired(&p->queue, now_ns))
		return p->queue.fifo.oldest;
	return sorted_elevator(&p->queue.sorted, b->head, b->params.back_seek_max * BACK_SEEK_UNIT,
			       b->params.back_seek_penalty);
}

static bool timed_out(const struct bfq *b, u64 now_ns)
{
	return now_ns - b->turn_ns >= b->params.timeout_sync_ns * b->active->coeff;
}

/* Ends the turn if it is over. True: it goes on, with nothing to send at present. */
static bool look_at_turn(struct bfq *b, u64 now_ns, u64 *ask_ns)
{
	struct process *p = b->active;
	const struct disk_req *r;

	if (queue_empty(&p->queue)) {
		if (!timed_out(b, now_ns) &&
		    (b->idle_until_ns > now_ns || (p->inside && idles(b, p)))) {
			*ask_ns = b->idle_until_ns > now_ns ? b->idle_until_ns : DISK_NEVER;
			return true;
		}
		turn_end(b, b->idle_until_ns ? END_TOO_IDLE : END_EMPTY, now_ns);
		return false;
	}
	r = pick(b, p, now_ns);
	if (p->served && p->served + r->span_sectors > p->budget)
		turn_end(b, END_BUDGET, now_ns);
	else if (p->served && timed_out(b, now_ns))
		turn_end(b, END_TIMEOUT, now_ns);
	return false;
}

static void sent(struct bfq *b, struct process *p, struct disk_req *r)
{
	pass(b, r->span_sectors);
	p->served += r->span_sectors;
	p->inside++;
	b->inside++;
	b->queued--;
	b->head = span_end(r);
	b->checked = true;
	queue_remove(&p->queue, r);
	if (!queue_empty(&p->queue))
		return;
	leave_backlog(b, p);
}

static struct disk_req *bfq_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct bfq *b = container_of(s, struct bfq, made.sched);
	struct disk_req *r;

	*ask_ns = DISK_NEVER;
	if (!b->queued || (b->params.strict_guarantees && b->inside))
		return NULL;
	if (b->active && look_at_turn(b, now_ns, ask_ns))
		return NULL;
	if (!b->active)
		turn_begin(b, choose(b), now_ns);
	r = pick(b, b->active, now_ns);
	sent(b, b->active, r);
	return r;
}

const struct sched_class sched_bfq = {
	.name = "bfq",
	.summary = "budget fair queueing: shares of sectors, and weight for what was quiet",
	.params = params,
	.params_size = sizeof(struct params),
	.create = bfq_create,
	.destroy = sched_unmake,
	.add = bfq_add,
	.next = bfq_next,
	.done = bfq_done,
};
