/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_HOLD_H
#define BLOCK_HOLD_H

#include "block/block.h"
#include "host/clock.h"

/*
 * What a stage holds back until an instant of guest time, in the order in which it came: instants
 * never decrease. Then it goes to the stage below. hold_drain lets all of it go at once.
 */
struct hold {
	const struct alc_host *host;
	struct block *below;
	struct alc_clock *clock; /* NULL: nobody has attached it, and nothing is held back */
	struct alc_timer timer;

	struct alc_mutex *lock; /* of the rest, and of whatever the stage likes */
	struct alc_event *idle;
	struct block_req *first, **end; /* provider_use[0]: until when */
	unsigned passing;               /* threads between the list and the stage below */
	bool armed, draining;
};

/* -ENOMEM. hold_fini copes with what is half made. */
int hold_init(struct hold *h, const struct alc_host *host, struct block *below) ALC_MUST_CHECK;
void hold_fini(struct hold *h);
void hold_attach(struct hold *h, struct alc_clock *clock);

static inline void hold_lock(const struct hold *h)
{
	host_lock(h->host, h->lock);
}

static inline void hold_unlock(const struct hold *h)
{
	host_unlock(h->host, h->lock);
}

/* With the lock held: is there a reason to hold anything back? */
static inline bool hold_works(const struct hold *h)
{
	return h->clock && !h->draining;
}

/* With the lock held. Follow by hold_go without it. */
void hold_add(struct hold *h, struct block_req *r, u64 until_ns);
/* Lets go what is due, and sees to the rest. */
void hold_go(struct hold *h);
/* As block_drain, with what is below. */
void hold_drain(struct hold *h);

#endif
