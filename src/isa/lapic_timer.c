/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's timer (SDM vol. 3A 11.5.4): a count-down of the bus clock, one tick of which
 * is one nanosecond, or a comparison with the TSC.
 *
 * The count itself is not kept: it follows from the guest time of the next expiry.
 */
#include "isa/lapic_internal.h"

#include "isa/cpuid.h"

_Static_assert(X86_APIC_BUS_HZ == 1000000000ull, "counts are converted by shifts alone");

#define NS_PER_SEC 1000000000ull
/*
 * Guests see their periodic ticks counted right, but not delivered more often than this: an
 * interrupt every few nanoseconds would only keep the host busy.
 */
#define PERIOD_FLOOR_NS 20000ull

static u32 timer_mode(const struct x86_lapic *a)
{
	return a->s.lvt[LAPIC_LVT_TIMER] & LAPIC_TIMER_MODE;
}

/* The divide register's bits 0, 1 and 3 count from 2 up, and around to 1. */
static unsigned divide_shift(const struct x86_lapic *a)
{
	u32 d = a->s.timer_divide;

	return (((d & 3) | (d >> 1 & 4)) + 1) & 7;
}

static u64 period_ns(const struct x86_lapic *a)
{
	return (u64)a->s.timer_initial << divide_shift(a);
}

/* The first multiple of the period past the expiry that lies at `at` or later. */
static u64 next_expiry(const struct x86_lapic *a, u64 at)
{
	u64 period = period_ns(a), expiry = a->s.timer_expiry_ns;

	if (expiry >= at)
		return expiry;
	return expiry + (at - expiry + period - 1) / period * period;
}

u32 lapic_timer_current(struct x86_lapic *a)
{
	u64 now = clock_now_ns(a->plat->clock), expiry = a->s.timer_expiry_ns;
	unsigned shift = divide_shift(a);

	if (!expiry || !a->s.timer_initial || timer_mode(a) == LAPIC_TIMER_DEADLINE)
		return 0;
	if (expiry <= now && timer_mode(a) == LAPIC_TIMER_PERIODIC)
		expiry = next_expiry(a, now + 1);
	if (expiry <= now)
		return 0;
	return (u32)((expiry - now + BIT(shift) - 1) >> shift);
}

static void arm(struct x86_lapic *a, u64 expiry_ns)
{
	/* Guest time 0 is the mark of an unarmed timer. */
	a->s.timer_expiry_ns = max_u64(expiry_ns, 1);
	if (clock_timer_set(a->plat->clock, &a->timer, a->s.timer_expiry_ns))
		a->plat->host->log(a->plat->host->ctx, ALC_LOG_ERROR,
				   "out of memory: a local APIC timer will not fire");
}

void lapic_timer_stop(struct x86_lapic *a)
{
	a->s.timer_expiry_ns = 0;
	a->s.tsc_deadline = 0;
	clock_timer_cancel(a->plat->clock, &a->timer);
}

void lapic_timer_set_initial(struct x86_lapic *a, u32 count)
{
	if (timer_mode(a) == LAPIC_TIMER_DEADLINE)
		return;
	a->s.timer_initial = count;
	if (!count)
		lapic_timer_stop(a);
	else
		arm(a, clock_now_ns(a->plat->clock) + period_ns(a));
}

/* As if it had counted down to this by now; 0: it stands. */
void lapic_timer_set_current(struct x86_lapic *a, u32 count)
{
	u64 left_ns = (u64)count << divide_shift(a);

	a->s.timer_expiry_ns = count ? clock_now_ns(a->plat->clock) + left_ns : 0;
}

/* The count goes on from where it stands, at the new pace. */
void lapic_timer_set_divide(struct x86_lapic *a, u32 divide)
{
	u32 left = lapic_timer_current(a);

	a->s.timer_divide = divide;
	if (left)
		arm(a, clock_now_ns(a->plat->clock) + ((u64)left << divide_shift(a)));
}

/* Changing to or from TSC-deadline mode disarms the timer (SDM vol. 3A 11.5.4.1). */
void lapic_timer_set_lvt(struct x86_lapic *a, u32 lvt)
{
	bool was_deadline = timer_mode(a) == LAPIC_TIMER_DEADLINE;

	a->s.lvt[LAPIC_LVT_TIMER] = lvt;
	if (was_deadline != (timer_mode(a) == LAPIC_TIMER_DEADLINE))
		lapic_timer_stop(a);
}

static void expire(struct x86_lapic *a, u64 now)
{
	if (timer_mode(a) == LAPIC_TIMER_PERIODIC && a->s.timer_initial) {
		bool too_fast = period_ns(a) < PERIOD_FLOOR_NS;

		arm(a, next_expiry(a, now + (too_fast ? PERIOD_FLOOR_NS : 1)));
	} else {
		lapic_timer_stop(a);
	}
	lapic_local(a, LAPIC_LVT_TIMER);
}

/* On the clock's thread; what it was armed for may be gone or moved by now. */
void lapic_timer_fire(void *arg)
{
	struct x86_lapic *a = arg;
	u64 now;

	lapic_lock(a);
	now = clock_now_ns(a->plat->clock);
	if (a->s.timer_expiry_ns && now >= a->s.timer_expiry_ns)
		expire(a, now);
	lapic_settle(a);
}

/*
 * The TSC is read before the clock and the rest of the way is rounded up, so that the TSC has
 * reached the deadline whenever the timer fires: guests take an early interrupt for an error.
 */
static void arm_deadline(struct x86_lapic *a)
{
	u64 tsc = x86_tsc(a->vcpu), now = clock_now_ns(a->plat->clock);
	u64 hz = a->plat->tsc_hz, left = a->s.tsc_deadline - tsc, ns;

	if (a->s.tsc_deadline <= tsc) {
		expire(a, now);
		return;
	}
	/* Centuries: the clock can't count so far, and the guest won't wait. */
	if (left / hz >= UINT32_MAX) {
		a->s.timer_expiry_ns = 0;
		clock_timer_cancel(a->plat->clock, &a->timer);
		return;
	}
	ns = left / hz * NS_PER_SEC + mul_div(left % hz, NS_PER_SEC, hz) + 1;
	arm(a, now + ns);
}

void lapic_timer_rearm(struct x86_lapic *a)
{
	if (timer_mode(a) == LAPIC_TIMER_DEADLINE) {
		if (a->s.tsc_deadline)
			arm_deadline(a);
		else
			lapic_timer_stop(a);
	} else if (a->s.timer_expiry_ns) {
		arm(a, a->s.timer_expiry_ns);
	} else {
		clock_timer_cancel(a->plat->clock, &a->timer);
	}
}

u64 lapic_tsc_deadline(struct x86_lapic *a)
{
	u64 val;

	lapic_lock(a);
	val = a->s.tsc_deadline;
	lapic_settle(a);
	return val;
}

void lapic_set_tsc_deadline(struct x86_lapic *a, u64 tsc)
{
	lapic_lock(a);
	if (timer_mode(a) == LAPIC_TIMER_DEADLINE) {
		a->s.tsc_deadline = tsc;
		lapic_timer_rearm(a);
	}
	lapic_settle(a);
}
