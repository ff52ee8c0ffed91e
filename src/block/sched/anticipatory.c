/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anticipatory scheduler (Linux 2.6, N. Piggin, after Iyer and Druschel): batches of what
 * somebody waits for and of what nobody waits for by turns, each for a time, within a batch up the
 * disk with short ways back. After a request of a process that is known to ask again soon, and
 * near, the disk stays idle for it, at most antic_expire.
 */
#include "base/errno.h"
#include "block/sched/issuers.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/queue.h"
#include "block/sched/think.h"

struct params {
	u64 expire_ns[2], batch_expire_ns[2], antic_expire_ns, max_sectors;
};

enum { SYNC, ASYNC };

static const struct param params[] = {
	{"read_expire", "time after which a request that is waited for is next", PARAM_TIME,
	 offsetof(struct params, expire_ns[SYNC]), "125ms", 0, 1e12},
	{"write_expire", "the same of others", PARAM_TIME,
	 offsetof(struct params, expire_ns[ASYNC]), "250ms", 0, 1e12},
	{"read_batch_expire", "time for a batch of what is waited for", PARAM_TIME,
	 offsetof(struct params, batch_expire_ns[SYNC]), "500ms", 0, 1e12},
	{"write_batch_expire", "time for a batch of others", PARAM_TIME,
	 offsetof(struct params, batch_expire_ns[ASYNC]), "125ms", 0, 1e12},
	{"antic_expire", "longest wait for a process's next request; 0: none", PARAM_TIME,
	 offsetof(struct params, antic_expire_ns), "6.7ms", 0, 1e12},
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

enum {
	BACK_MAX = 1 << 20, /* sectors */
	BACK_PENALTY = 2,
	CLOSE = 8192, /* sectors; doubles with each millisecond of waiting */
	CLOSE_DOUBLINGS = 20,
	FIRST_WRITES = 12,
	MS = 1000000,
};

struct anticipatory {
	struct made made;
	struct params params;
	struct merge_rules rules;
	struct queue queues[2];
	u64 head;

	int kind;                /* of the batch */
	u64 batch_end_ns;        /* 0: begins when what is inside is done */
	u64 checked_ns[2];       /* when was looked for what has waited too long */
	u64 writes, writes_left; /* of a batch: at most, and of this one */
	unsigned inside;         /* requests in the drive */

	unsigned of;  /* whose request was sent last */
	bool of_sync; /* it was one that somebody waits for */
	bool done;    /* it is done, since: */
	u64 done_ns;
	bool gave_up; /* has waited for it enough */
	struct issuers issuers;
	struct think think[ISSUERS];
};

static int antic_create(const struct sched_env *env, const void *values, struct sched **out,
			struct alc_err *err)
{
	struct anticipatory *a = sched_make(env, &sched_anticipatory, sizeof(*a), err);

	if (!a)
		return -ENOMEM;
	a->params = *(const struct params *)values;
	a->rules = (struct merge_rules){.max_sectors = (u32)a->params.max_sectors, .front = true};
	a->writes = a->writes_left = FIRST_WRITES;
	*out = &a->made.sched;
	return 0;
}

/* ---- Anticipation ------------------------------------------------------------------------- */

/* As near as one would expect of the process: the longer we wait, the less we are choosy. */
static bool is_close(const struct anticipatory *a, const struct disk_req *r, u64 now_ns)
{
	u64 waited_ms = a->done ? (now_ns - a->done_ns) / MS : 0;
	u64 away = distance_of(a->head, r->span_sector), close;

	if (waited_ms > CLOSE_DOUBLINGS)
		return true;
	close = (u64)CLOSE << waited_ms;
	if (away <= (r->span_sector < a->head ? close / 2 : close))
		return true;
	return a->think[a->of].distances && away < a->think[a->of].mean_sectors;
}

/* Whether nothing speaks for waiting any longer, with r at hand (NULL: nothing). */
static bool should_go(const struct anticipatory *a, const struct disk_req *r, u64 now_ns)
{
	const struct think *t = &a->think[a->of];

	if (!a->of_sync || a->gave_up || t->waiting > !a->done)
		return true;
	if (a->done && now_ns >= a->done_ns + a->params.antic_expire_ns)
		return true;
	if (r && r->sync && is_close(a, r, now_ns))
		return true;
	return t->times && t->mean_ns > a->params.antic_expire_ns;
}

static void antic_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct anticipatory *a = container_of(s, struct anticipatory, made.sched);
	int kind = r->sync ? SYNC : ASYNC;
	unsigned of = issuer_number(&a->issuers, r->issuer);
	struct disk_req *absorbed;

	if (r->sync)
		think_asked(&a->think[of], r, now_ns, 2 * a->params.antic_expire_ns);
	queue_add(&a->queues[kind], &a->rules, r, now_ns + a->params.expire_ns[kind], &absorbed);
}

/* ---- Batches ------------------------------------------------------------------------------ */

/* As many writes as fit their time. */
static void learn_writes(struct anticipatory *a, u64 now_ns)
{
	u64 most_ns = a->params.batch_expire_ns[ASYNC];
	u64 begin_ns = a->batch_end_ns - min_u64(a->batch_end_ns, most_ns);
	u64 took_ns = now_ns - min_u64(begin_ns, now_ns);

	if (took_ns > most_ns)
		a->writes = took_ns > 3 * most_ns ? a->writes / 2 : a->writes - 1;
	else if (took_ns < most_ns && !a->writes_left)
		a->writes = most_ns > 3 * took_ns ? a->writes * 2 : a->writes + 1;
	a->writes = min_u64(max_u64(a->writes, 1), 1 << 20);
}

static void begin_batch(struct anticipatory *a, int kind, u64 now_ns)
{
	if (a->kind == ASYNC && kind == SYNC && a->batch_end_ns)
		learn_writes(a, now_ns);
	a->kind = kind;
	a->batch_end_ns = 0;
	a->writes_left = a->writes;
}

static void start_clock(struct anticipatory *a, u64 now_ns)
{
	if (!a->batch_end_ns)
		a->batch_end_ns = now_ns + a->params.batch_expire_ns[a->kind] + 1;
}

static bool batch_over(const struct anticipatory *a, u64 now_ns)
{
	return a->batch_end_ns &&
	       (now_ns >= a->batch_end_ns || (a->kind == ASYNC && !a->writes_left));
}

/* Looks once in the time of expiry, so that old requests don't undo the order altogether. */
static bool has_expired(struct anticipatory *a, u64 now_ns)
{
	if (now_ns - a->checked_ns[a->kind] < a->params.expire_ns[a->kind])
		return false;
	a->checked_ns[a->kind] = now_ns;
	return queue_expired(&a->queues[a->kind], now_ns);
}

static struct disk_req *take(struct anticipatory *a, struct disk_req *r)
{
	queue_remove(&a->queues[a->kind], r);
	a->head = span_end(r);
	a->of = issuer_number(&a->issuers, r->issuer);
	a->of_sync = r->sync && a->params.antic_expire_ns;
	a->done = a->gave_up = false;
	a->inside++;
	if (a->kind == ASYNC && a->writes_left)
		a->writes_left--;
	return r;
}

/* Goes over to the other kind if it must; false: there is nothing at all. */
static bool look_at_batch(struct anticipatory *a, u64 now_ns)
{
	bool mine = !queue_empty(&a->queues[a->kind]), others = !queue_empty(&a->queues[!a->kind]);

	if (!mine && !others)
		return false;
	if (others && (!mine || batch_over(a, now_ns)))
		begin_batch(a, !a->kind, now_ns);
	else if (mine && batch_over(a, now_ns))
		begin_batch(a, a->kind, now_ns);
	return true;
}

/* The batch isn't over for want of requests as long as one is expected. */
static bool expects(struct anticipatory *a, u64 now_ns, u64 *ask_ns)
{
	struct disk_req *r = sorted_elevator(&a->queues[SYNC].sorted, a->head, BACK_MAX,
					     BACK_PENALTY);

	if (a->kind != SYNC || (batch_over(a, now_ns) && !queue_empty(&a->queues[ASYNC])))
		return false;
	if (queue_expired(&a->queues[SYNC], now_ns) || should_go(a, r, now_ns)) {
		a->gave_up = true;
		return false;
	}
	*ask_ns = a->done ? a->done_ns + a->params.antic_expire_ns : DISK_NEVER;
	return true;
}

static struct disk_req *antic_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct anticipatory *a = container_of(s, struct anticipatory, made.sched);
	struct queue *q;

	*ask_ns = DISK_NEVER;
	if (expects(a, now_ns, ask_ns) || !look_at_batch(a, now_ns))
		return NULL;
	/* A batch begins with an idle drive, so that it is charged for its own requests alone. */
	if (!a->batch_end_ns && a->inside)
		return NULL;
	q = &a->queues[a->kind];
	if (!a->batch_end_ns) {
		start_clock(a, now_ns);
		return take(a, q->fifo.oldest);
	}
	if (has_expired(a, now_ns))
		return take(a, q->fifo.oldest);
	return take(a, sorted_elevator(&q->sorted, a->head, BACK_MAX, BACK_PENALTY));
}

static void antic_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct anticipatory *a = container_of(s, struct anticipatory, made.sched);
	unsigned of = issuer_number(&a->issuers, r->issuer);

	a->inside--;
	if (r->sync)
		think_done(&a->think[of], now_ns);
	for (const struct disk_req *m = r->merged; m; m = m->next)
		if (m->sync)
			think_done(&a->think[issuer_number(&a->issuers, m->issuer)], now_ns);
	if (of == a->of && r->sync && !a->done) {
		a->done = true;
		a->done_ns = now_ns;
	}
}

const struct sched_class sched_anticipatory = {
	.name = "anticipatory",
	.summary = "idles a moment for the next request of the same process",
	.params = params,
	.params_size = sizeof(struct params),
	.create = antic_create,
	.destroy = sched_unmake,
	.add = antic_add,
	.next = antic_next,
	.done = antic_done,
};
