/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadline (Linux 2.6, J. Axboe): each direction goes up the disk in batches, and a request that
 * has waited too long begins the next batch. Reads go before writes, but not for ever.
 */
#include "base/errno.h"
#include "block/sched/list.h"
#include "block/sched/made.h"
#include "block/sched/queue.h"

struct params {
	u64 read_expire_ns, write_expire_ns, writes_starved, fifo_batch, max_sectors;
	bool front_merges;
};

static const struct param params[] = {
	{"read_expire", "time after which a read begins a batch", PARAM_TIME,
	 offsetof(struct params, read_expire_ns), "500ms", 0, 1e12},
	{"write_expire", "the same of a write", PARAM_TIME,
	 offsetof(struct params, write_expire_ns), "5s", 0, 1e12},
	{"writes_starved", "batches of reads that may go before waiting writes", PARAM_COUNT,
	 offsetof(struct params, writes_starved), "2", 0, 1 << 20},
	{"fifo_batch", "most requests in a batch", PARAM_COUNT, offsetof(struct params, fifo_batch),
	 "16", 1, 1 << 20},
	{"front_merges", "also merge what ends where another begins", PARAM_FLAG,
	 offsetof(struct params, front_merges), "on", 0, 0},
	MERGE_PARAM(struct params, max_sectors),
	{.name = NULL},
};

enum { READ, WRITE };

struct deadline {
	struct made made;
	struct merge_rules rules;
	struct queue queues[2];
	u64 expire_ns[2], fifo_batch, writes_starved;
	u64 batched, passed_over; /* requests of this batch; batches since the last of writes */
	int direction;            /* of the batch */
	struct disk_req
		*follows; /* next of the batch, in its queue; NULL: it has reached the end */
};

static int deadline_create(const struct sched_env *env, const void *values, struct sched **out,
			   struct alc_err *err)
{
	const struct params *p = values;
	struct deadline *d = sched_make(env, &sched_deadline, sizeof(*d), err);

	if (!d)
		return -ENOMEM;
	d->rules = (struct merge_rules){.max_sectors = (u32)p->max_sectors,
					.front = p->front_merges};
	d->expire_ns[READ] = p->read_expire_ns;
	d->expire_ns[WRITE] = p->write_expire_ns;
	d->fifo_batch = p->fifo_batch;
	d->writes_starved = p->writes_starved;
	*out = &d->made.sched;
	return 0;
}

static void deadline_add(struct sched *s, struct disk_req *r, u64 now_ns)
{
	struct deadline *d = container_of(s, struct deadline, made.sched);
	int direction = r->op == BLOCK_WRITE;
	struct disk_req *absorbed, *holder;

	holder = queue_add(&d->queues[direction], &d->rules, r, now_ns + d->expire_ns[direction],
			   &absorbed);
	if (absorbed && absorbed == d->follows)
		d->follows = holder;
}

/* Reads, unless there are none or the writes' turn has come. */
static int choose_direction(struct deadline *d)
{
	bool writes = !queue_empty(&d->queues[WRITE]);

	if (!queue_empty(&d->queues[READ]) && !(writes && d->passed_over++ >= d->writes_starved))
		return READ;
	d->passed_over = 0;
	return WRITE;
}

/* The batch goes on where the last of this direction was, unless that would be unjust. */
static struct disk_req *begin_batch(struct deadline *d, u64 now_ns)
{
	int direction = choose_direction(d);
	struct queue *q = &d->queues[direction];
	bool goes_on = d->follows && direction == d->direction;

	d->batched = 0;
	d->direction = direction;
	if (!goes_on || queue_expired(q, now_ns))
		return q->fifo.oldest;
	return d->follows;
}

static struct disk_req *deadline_next(struct sched *s, u64 now_ns, u64 *ask_ns)
{
	struct deadline *d = container_of(s, struct deadline, made.sched);
	struct disk_req *r = d->follows;

	*ask_ns = DISK_NEVER;
	if (queue_empty(&d->queues[READ]) && queue_empty(&d->queues[WRITE]))
		return NULL;
	if (!r || d->batched >= d->fifo_batch)
		r = begin_batch(d, now_ns);
	d->batched++;
	d->follows = sorted_next(r);
	queue_remove(&d->queues[d->direction], r);
	return r;
}

const struct sched_class sched_deadline = {
	.name = "deadline",
	.summary = "batches up the disk, begun by what has waited too long",
	.params = params,
	.params_size = sizeof(struct params),
	.create = deadline_create,
	.destroy = sched_unmake,
	.add = deadline_add,
	.next = deadline_next,
};
