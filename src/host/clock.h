/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include "alcazar/err.h"
#include "host/host.h"

/*
 * Guest time and the timers in it.
 *
 * Guest time starts at 0 when the machine is created and advances only while the clock runs
 * (pause stops it). Timers fire on the clock's own thread, at or after their deadline, in order
 * of deadline, with no lock of the clock held; a callback takes its owner's lock itself and must
 * look whether the timer is still wanted, since clock_timer_cancel does not wait for one that
 * is already being delivered. clock_stop does wait: after it no callback runs. A callback may set
 * and cancel any timer, its own included (so timers that repeat), and reads the time.
 *
 * Threading: start, stop and destroy belong to one thread at a time, and never to a callback nor
 * to one who holds a lock that a callback takes; the rest may be called from any thread. A
 * timer's owner cancels it before its memory goes, and stops the clock before that if a callback
 * may still be on its way.
 */
struct alc_clock;

struct alc_timer {
	void (*fire)(void *arg);
	void *arg;
	u64 deadline_ns; /* guest time; meaningful while armed */
	size_t heap_pos; /* 1-based position in the clock's heap, 0: not armed */
};

int clock_create(const struct alc_host *host, struct alc_clock **out) ALC_MUST_CHECK;
/* Stops if running. NULL is fine. */
void clock_destroy(struct alc_clock *c);
/* Starts the timer thread and lets guest time run; idempotent. */
int clock_start(struct alc_clock *c) ALC_MUST_CHECK;
/* Stops guest time and waits until no callback runs; timers stay armed. */
void clock_stop(struct alc_clock *c);

u64 clock_now_ns(struct alc_clock *c);
/*
 * Calendar time in UTC that belongs to the present guest time: right when the clock is started,
 * and from then on as fast as guest time.
 */
u64 clock_wall_ns(struct alc_clock *c);

void clock_timer_init(struct alc_timer *t, void (*fire)(void *arg), void *arg);
/* (Re)arms t; a deadline in the past fires at once. -ENOMEM if the heap can't grow. */
int clock_timer_set(struct alc_clock *c, struct alc_timer *t, u64 deadline_ns);
void clock_timer_cancel(struct alc_clock *c, struct alc_timer *t);

#endif
