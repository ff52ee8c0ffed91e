/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/hold.h"

#include "base/errno.h"

static u64 due_ns(const struct block_req *r)
{
	return r->provider_use[0];
}

static void timer_fired(void *arg)
{
	struct hold *h = arg;

	hold_lock(h);
	h->armed = false;
	hold_unlock(h);
	hold_go(h);
}

int hold_init(struct hold *h, const struct alc_host *host, struct block *below)
{
	*h = (struct hold){.host = host, .below = below};
	h->end = &h->first;
	clock_timer_init(&h->timer, timer_fired, h);
	h->lock = host->mutex_create(host->ctx);
	h->idle = host->event_create(host->ctx);
	return h->lock && h->idle ? 0 : -ENOMEM;
}

void hold_fini(struct hold *h)
{
	h->host->event_destroy(h->host->ctx, h->idle);
	h->host->mutex_destroy(h->host->ctx, h->lock);
}

void hold_attach(struct hold *h, struct alc_clock *clock)
{
	h->clock = clock;
}

void hold_add(struct hold *h, struct block_req *r, u64 until_ns)
{
	r->provider_use[0] = until_ns;
	r->next = NULL;
	*h->end = r;
	h->end = &r->next;
}

/* With the lock held: the part of the list that may go. */
static struct block_req *take_due(struct hold *h)
{
	u64 now_ns = hold_works(h) ? clock_cpu_ns(h->clock) : UINT64_MAX;
	struct block_req *list = h->first, **at = &h->first;

	while (*at && due_ns(*at) <= now_ns)
		at = &(*at)->next;
	if (at == &h->first)
		return NULL;
	h->first = *at;
	*at = NULL;
	if (!h->first)
		h->end = &h->first;
	return list;
}

/* With the lock held. False: there is no memory for a timer. */
static bool arm(struct hold *h)
{
	if (!h->first && h->armed)
		clock_timer_cancel(h->clock, &h->timer);
	h->armed = h->armed && h->first;
	if (!h->first || h->armed)
		return true;
	if (clock_timer_set(h->clock, &h->timer, due_ns(h->first)))
		return false;
	h->armed = true;
	return true;
}

static void pass(struct hold *h, struct block_req *list)
{
	h->passing++;
	hold_unlock(h);
	block_submit(h->below, list);
	hold_lock(h);
	if (!--h->passing && h->draining)
		h->host->event_signal(h->host->ctx, h->idle);
}

void hold_go(struct hold *h)
{
	struct block_req *list;

	hold_lock(h);
	while ((list = take_due(h)))
		pass(h, list);
	/* Rather early than never. */
	while (!arm(h)) {
		list = h->first;
		h->first = NULL;
		h->end = &h->first;
		pass(h, list);
	}
	hold_unlock(h);
}

/* What is done meanwhile may have others submitted. */
static bool is_busy(struct hold *h)
{
	bool busy;

	hold_lock(h);
	busy = h->first || h->passing;
	h->draining = busy;
	hold_unlock(h);
	return busy;
}

void hold_drain(struct hold *h)
{
	do {
		hold_lock(h);
		h->draining = true;
		hold_unlock(h);
		hold_go(h);
		while (is_busy(h))
			h->host->event_wait(h->host->ctx, h->idle, ALC_WAIT_FOREVER);
		block_drain(h->below);
	} while (is_busy(h));
}
