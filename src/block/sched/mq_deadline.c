/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of deadline in Linux 5 and 6: the same batches, for each class of priority apart. A
 * class has its turn when those above it have nothing, neither waiting nor in the drive; but what
 * has waited for prio_aging_expire while others are served goes first.
 */
#include "base/errno.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/queue.h"

struct params {
	u64 read_expire_ns, write_expire_ns, prio_aging_expire_ns, writes_starved, fifo_batch;
	u64 max_sectors;
	bool front_merges;
};

static const struct param params[] = {
	{"read_expire", "time after which a read begins a batch", PARAM_TIME,
	 offsetof(struct params, read_expire_ns), "500ms", 0, 1e12},
	{"write_expire", "the same of a write", PARAM_TIME,
	 offsetof(struct params, write_expire_ns), "5s", 0, 1e12},
	{"prio_aging_expire", "time after which a lower class goes first", PARAM_TIME,
	 offsetof(struct params, prio_aging_expire_ns), "10s", 0, 1e12},
	{"writes_starved", "batches of reads that may go before waiting writes", PARAM_COUNT,
	 offsetof(struct params, writes_starved), "2", 0, 1 << 20},
	{"fifo_batch", "most requests in a batch", PARAM_COUNT, offsetof(struct params, fifo_batch),
	 "16", 1, 1 << 20},
	{"front_merges", "also merge what ends where another begins", PARAM_FLAG,
	 offsetof(struct params, front_merges), "on", 0, 0},
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

enum { READ, WRITE, CLASSES = 3 };

struct level {
	struct queue queues[2];
	u64 position[2];  /* behind the last request, where a batch goes on */
	unsigned present; /* requests waiting or in the drive, merged ones apart */
};

struct mq_deadline {
	struct made made;
	struct params params;
	struct merge_rules rules;
	struct level levels[CLASSES]; /* the highest first */
	int direction;                /* of the batch */
	u64 batched, passed_over; /* requests in it; batches of reads since the last of writes */
};

static int mq_create(const struct sched_env *env, const void *values, struct sched **out,
		     struct alc_err *err)
{
	struct mq_deadline *d = sched_make(env, &sched_mq_deadline, sizeof(*d), err);

	if (!d)
		return -ENOMEM;
	d->params = *(const struct params *)values;
	d->rules = (struct merge_rules){.max_sectors = (u32)d->params.max_sectors,
					.front = d->params.front_merges};
	*out = &d->made.sched;
	return 0;
}

static struct level *level_of(struct mq_deadline *d, const struct disk_req *r)
{
	static const u8 rank[] = {[DISK_REAL_TIME] = 0, [DISK_BEST_EFFORT] = 1, [DISK_IDLE] = 2};

	return &d->levels[rank[r->prio]];
}

/* The node's expires_ns is the arrival: the two kinds of waiting too long are counted from it. */
static void mq_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct mq_deadline *d = container_of(s, struct mq_deadline, made.sched);
	struct level *l = level_of(d, r);
	struct disk_req *absorbed;

	queue_add(&l->queues[r->op == BLOCK_WRITE], &d->rules, r, now_ns, &absorbed);
	l->present++;
}

static void mq_done(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct mq_deadline *d = container_of(s, struct mq_deadline, made.sched);
	struct level *l = level_of(d, r);

	l->present--;
	for (const struct disk_req *m = r->merged; m; m = m->next)
		l->present--;
}

static struct disk_req *follows(const struct level *l, int direction)
{
	return sorted_from(&l->queues[direction].sorted, l->position[direction]);
}

static bool waited(const struct disk_req *r, u64 for_ns, u64 now_ns)
{
	return r && node_of(r)->expires_ns + for_ns <= now_ns;
}

static int choose_direction(struct mq_deadline *d, const struct level *l)
{
	bool writes = !queue_empty(&l->queues[WRITE]);

	if (!queue_empty(&l->queues[READ]) &&
	    !(writes && d->passed_over++ >= d->params.writes_starved))
		return READ;
	d->passed_over = 0;
	return WRITE;
}

static struct disk_req *begin_batch(struct mq_deadline *d, const struct level *l, u64 now_ns)
{
	int direction = choose_direction(d, l);
	u64 expire_ns = direction == WRITE ? d->params.write_expire_ns : d->params.read_expire_ns;
	struct disk_req *oldest = l->queues[direction].fifo.oldest;
	struct disk_req *next = follows(l, direction);

	d->direction = direction;
	d->batched = 0;
	return !next || waited(oldest, expire_ns, now_ns) ? oldest : next;
}

static struct disk_req *take(struct mq_deadline *d, struct level *l, struct disk_req *r)
{
	int direction = r->op == BLOCK_WRITE;

	d->batched++;
	l->position[direction] = span_end(r);
	queue_remove(&l->queues[direction], r);
	return r;
}

static bool level_empty(const struct level *l)
{
	return queue_empty(&l->queues[READ]) && queue_empty(&l->queues[WRITE]);
}

/* The first level below the highest where something has waited too long, or NULL. */
static struct disk_req *take_aged(struct mq_deadline *d, u64 now_ns)
{
	for (struct level *l = &d->levels[1]; l < &d->levels[CLASSES]; l++)
		for (int direction = READ; direction <= WRITE; direction++) {
			struct disk_req *r = l->queues[direction].fifo.oldest;

			if (waited(r, d->params.prio_aging_expire_ns, now_ns))
				return take(d, l, r);
		}
	return NULL;
}

/* Only among several classes there is somebody to be put off by. */
static bool contested(const struct mq_deadline *d)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CLASSES; i++)
		n += d->levels[i].present != 0;
	return n > 1;
}

/* When a class that waits for another will have waited long enough. */
static u64 aged_ns(const struct mq_deadline *d)
{
	u64 first_ns = DISK_NEVER;

	for (const struct level *l = &d->levels[1]; l < &d->levels[CLASSES]; l++)
		for (int direction = READ; direction <= WRITE; direction++) {
			const struct disk_req *r = l->queues[direction].fifo.oldest;

			if (r)
				first_ns = min_u64(first_ns, node_of(r)->expires_ns);
		}
	return first_ns == DISK_NEVER ? DISK_NEVER : first_ns + d->params.prio_aging_expire_ns;
}

static struct disk_req *mq_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct mq_deadline *d = container_of(s, struct mq_deadline, made.sched);
	struct level *l = d->levels;
	struct disk_req *r = contested(d) ? take_aged(d, now_ns) : NULL;

	*ask_ns = DISK_NEVER;
	if (r)
		return r;
	while (l < &d->levels[CLASSES] && !l->present)
		l++;
	if (l == &d->levels[CLASSES])
		return NULL;
	if (level_empty(l)) {
		*ask_ns = aged_ns(d);
		return NULL;
	}
	r = follows(l, d->direction);
	if (!r || d->batched >= d->params.fifo_batch)
		r = begin_batch(d, l, now_ns);
	return take(d, l, r);
}

const struct sched_class sched_mq_deadline = {
	.name = "mq-deadline",
	.summary = "deadline by classes of priority, with ageing",
	.params = params,
	.params_size = sizeof(struct params),
	.create = mq_create,
	.destroy = sched_unmake,
	.add = mq_add,
	.next = mq_next,
	.done = mq_done,
};
