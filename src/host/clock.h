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
 *
 * A virtual clock knows nothing of the host's time. Whoever runs the CPUs, on one thread, says how
 * far it has come (clock_advance), and timers fire on that thread within that call: all with the
 * same deadline in the order in which they were armed. While a CPU runs, its time is that of a
 * counter of executed instructions (clock_slice_begin), and a timer that is armed for earlier than
 * the slice's end makes it end there.
 *
 * CPUs run one after the other, so how far they have come differs by up to the length of a slice.
 * Guests rely on clocks that agree: what one CPU has read, no other may undercut afterwards. So
 * nobody sees a time before the latest that anybody has seen (clock_now_ns), and the clock stands
 * for a CPU that has not come there yet.
 */
struct alc_clock;

struct alc_timer {
	void (*fire)(void *arg);
	void *arg;
	u64 deadline_ns; /* guest time; meaningful while armed */
	size_t heap_pos; /* 1-based position in the clock's heap, 0: not armed */
	u64 seq;         /* among those with one deadline the first armed fires first */
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

/* How far the CPU that runs has come, or where time is between slices. Not for guests' eyes. */
u64 clock_cpu_ns(struct alc_clock *c);

void clock_timer_init(struct alc_timer *t, void (*fire)(void *arg), void *arg);
/* (Re)arms t; a deadline in the past fires at once. -ENOMEM if the heap can't grow. */
int clock_timer_set(struct alc_clock *c, struct alc_timer *t, u64 deadline_ns);
void clock_timer_cancel(struct alc_clock *c, struct alc_timer *t);

/* ---- Virtual clocks. Start and stop only say whether it is in use; nothing waits. */

enum { CLOCK_HZ_MIN = 1000 };
#define CLOCK_HZ_MAX       1000000000000ull
#define CLOCK_SLICE_MAX_NS 1000000000ull
#define CLOCK_NEVER        UINT64_MAX

/* hz: instructions a second. wall_ns: calendar time, UTC since 1970, at guest time 0. */
int clock_create_virtual(const struct alc_host *host, u64 hz, u64 wall_ns,
			 struct alc_clock **out) ALC_MUST_CHECK;
bool clock_is_virtual(const struct alc_clock *c); /* NULL is not */
/*
 * From now on time is from_ns and what *count, which only this thread changes, has grown since.
 * *stop_at: the count at which it is until_ns, or an earlier deadline, at the latest
 * CLOCK_SLICE_MAX_NS away; timers that are armed meanwhile, by any thread, lower it.
 */
void clock_slice_begin(struct alc_clock *c, u64 from_ns, u64 until_ns, const u64 *count,
		       _Atomic(u64) *stop_at);
/* Where time has come to; *until_ns: where the slice was to end at last. */
u64 clock_slice_end(struct alc_clock *c, u64 *until_ns);
/* The earliest deadline, or CLOCK_NEVER. */
u64 clock_next_ns(struct alc_clock *c);
/* Outside slices: it is to_ns, and what is due fires. */
void clock_advance(struct alc_clock *c, u64 to_ns);
/* Waits until somebody arms a timer, or calls clock_wake (both from any thread). */
void clock_wait(struct alc_clock *c);
void clock_wake(struct alc_clock *c);
/* Every armed timer's deadline, in no order; fn calls nothing of the clock's. */
void clock_each_deadline(struct alc_clock *c, void (*fn)(void *ctx, u64 deadline_ns), void *ctx);

#endif
