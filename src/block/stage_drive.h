/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_STAGE_DRIVE_H
#define BLOCK_STAGE_DRIVE_H

#include <stdatomic.h>

#include "block/stage_list.h"
#include "block/station.h"
#include "block/throttle.h"
#include "host/clock.h"

/*
 * Private to stage_drive*.c.
 *
 * A disk with a scheduler and the times of a drive: a station (station.h) in guest time, on a back
 * end that has the data.
 *
 * Reads and writes go into the station when they are submitted. When its scheduler dispatches one,
 * the back end is asked for it; it is done when both the model and the back end are done with it.
 * In virtual time the back end is done at once, and so nothing is late; in host time the throttle
 * (throttle.h) sees to it that few are. Events of the station happen at their own instants, in
 * order, whenever the host's timers come: the model is exact, and what the guest sees is as late as
 * a timer is.
 *
 * A flush goes to the back end at once, and is done when the model has everything durable. What is
 * neither read nor write nor flush passes by.
 *
 * Without a model the back end is the drive: it is given `depth` requests at a time, and each is
 * done when it is.
 *
 * All decisions are made under the lock by one thread at a time, the runner: whoever brings work
 * becomes it unless there is one. The back end is asked and `done` is called by the runner without
 * the lock, in the order of decisions.
 */
enum { DRIVE_NODES = 512 };

struct node {
	struct disk_req d;
	struct node *next; /* of a list: free, back, finished */
	struct node *next_flush;
	struct block_req *req;
	void (*done)(struct block_req *r); /* whose the request is */
	void *ctx;
	struct drive_stage *s;
	bool asked;          /* of the back end */
	bool back, modelled; /* done by the back end; by the model */
	u64 back_ns;         /* guest time */
	u64 target_ns;       /* guest time: when the model was done */
	u64 dispatch_ns;     /* guest time */
	u64 epoch;           /* flushes before its dispatch; a flush: before itself */
	u64 due_ns;          /* of a flush, for the disk; DISK_NEVER: when `wait` others are done */
	unsigned wait;
	struct node *leader; /* back end as drive: of those that are done together */
	unsigned outstanding;
};

struct nodes {
	struct node *first, **end;
};

struct reqs {
	struct block_req *first, **end;
};

/* What the station has for a drive: the model, and the back end that is to be asked. */
struct shim {
	struct drive drive;
	struct drive *model;   /* NULL: the back end is the drive */
	struct disk_req *done; /* by the back end, as the drive, in order */
	struct disk_req **done_end;
};

struct drive_stage {
	struct block block;
	const struct alc_host *host;
	const char *disk;
	struct block *below;
	struct alc_clock *clock; /* NULL: nobody has attached it */
	struct alc_timer timer;
	struct node *nodes;

	struct alc_mutex *lock; /* of the rest */
	struct alc_event *idle; /* for drain */
	struct throttle throttle;
	struct station station;
	struct sched *sched;
	struct shim shim;
	struct node *free;
	struct reqs incoming; /* provider_use[0]: when, for the disk */
	struct reqs asked;    /* of the back end, as soon as the lock is free */
	struct nodes back, finished;
	struct node *flushes; /* that the model is not done with */
	u64 disk_ns;          /* the last instant that the station was told */
	u64 next_ns;          /* of the station's, for the disk */
	u64 armed_ns;         /* of the timer; DISK_NEVER: it is not armed */
	u64 active;           /* requests that are not done */
	u64 epoch;            /* flushes so far */
	unsigned at_work;     /* dispatched, and not done by the model */
	bool runs, again, draining, hurry;
	_Atomic(bool) broken; /* the scheduler is: requests pass by */

	u64 reads, writes, flushes_done, cached;
	u64 lag_ns, lag_max_ns; /* from the instants of the model to those of the guest */
};

static inline void drive_lock(const struct drive_stage *s)
{
	host_lock(s->host, s->lock);
}

static inline void drive_unlock(const struct drive_stage *s)
{
	host_unlock(s->host, s->lock);
}

static inline void nodes_init(struct nodes *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static inline void nodes_add(struct nodes *l, struct node *n)
{
	n->next = NULL;
	*l->end = n;
	l->end = &n->next;
}

static inline struct node *nodes_take(struct nodes *l)
{
	struct node *n = l->first;

	if (n) {
		l->first = n->next;
		if (!l->first)
			l->end = &l->first;
	}
	return n;
}

static inline void reqs_init(struct reqs *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static inline void reqs_add(struct reqs *l, struct block_req *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static inline struct block_req *reqs_take(struct reqs *l)
{
	struct block_req *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->end = &l->first;
	}
	return r;
}

/* stage_drive_run.c */
extern const struct drive_class drive_shim;
/* Does what there is to do, unless somebody does already. Without the lock. */
void drive_run(struct drive_stage *s);
void drive_timer_fired(void *arg);

#endif
