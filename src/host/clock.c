/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdatomic.h>

#include "base/errno.h"
#include "host/clock.h"

/*
 * The timer thread lives exactly as long as the clock runs: stopping is joining it, and that is
 * also how clock_stop knows that no callback is under way.
 *
 * Whether guest time runs, and since when, changes only in start and stop, but is read by every
 * vCPU that looks at a counter. `seq` guards it: odd while it changes, so readers need no lock.
 * A reader takes the host's time before it looks at seq again, and stop takes it after making
 * seq odd; so no reader has seen a guest time later than the one at which stop freezes it.
 *
 * A virtual clock has no thread. `seq` guards which counter it follows in the same way, so that
 * threads of the outside world may ask for the time, too.
 */
struct slice {
	_Atomic(u64) from_ns;
	_Atomic(u64) base;          /* of *count, at from_ns */
	_Atomic(const u64 *) count; /* NULL: time stands at from_ns */
	_Atomic(u64) *stop_at;      /* under the lock, as is: */
	u64 until_ns;
};

struct alc_clock {
	const struct alc_host *host;
	struct alc_mutex *lock; /* the heap */
	struct alc_event *wake; /* the thread's; something changed before its deadline */
	struct alc_thread *thread;

	struct alc_timer **heap; /* [1..count], the earliest deadline first */
	size_t count, cap;
	u64 armed; /* timers, ever: their order */

	_Atomic(u32) seq;
	_Atomic(bool) running;
	_Atomic(u64) origin_ns; /* running: host time at which guest time was 0 */
	_Atomic(u64) frozen_ns; /* stopped: guest time */
	_Atomic(u64) wall_ns;   /* calendar time at guest time 0 */

	u64 hz;               /* of a virtual clock; else 0 */
	_Atomic(u64) seen_ns; /* the latest that clock_now_ns has returned */
	struct slice slice;
};

enum { HEAP_CAP_MIN = 16 };

static u64 load(const _Atomic(u64) *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static void store(_Atomic(u64) *p, u64 v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

struct instant {
	u64 guest_ns, wall_ns;
};

static struct instant read_instant(struct alc_clock *c)
{
	struct instant t;
	u32 seq;

	do {
		seq = atomic_load_explicit(&c->seq, memory_order_acquire);
		t.guest_ns = atomic_load_explicit(&c->running, memory_order_relaxed)
				     ? host_now_ns(c->host) - load(&c->origin_ns)
				     : load(&c->frozen_ns);
		t.wall_ns = load(&c->wall_ns) + t.guest_ns;
		atomic_thread_fence(memory_order_acquire);
	} while ((seq & 1) || seq != atomic_load_explicit(&c->seq, memory_order_relaxed));
	return t;
}

static void set_running(struct alc_clock *c, bool running)
{
	u64 host_ns;

	atomic_fetch_add(&c->seq, 1);
	host_ns = host_now_ns(c->host);
	if (running) {
		u64 guest_ns = load(&c->frozen_ns);

		store(&c->origin_ns, host_ns - guest_ns);
		store(&c->wall_ns, c->host->wall_ns(c->host->ctx) - guest_ns);
	} else {
		store(&c->frozen_ns, host_ns - load(&c->origin_ns));
	}
	atomic_store_explicit(&c->running, running, memory_order_relaxed);
	atomic_fetch_add(&c->seq, 1);
}

/* ---- Virtual time ------------------------------------------------------------------------- */

#define NS_PER_S 1000000000ull

static u64 ns_of(const struct alc_clock *c, u64 instructions)
{
	return c->hz == NS_PER_S ? instructions : mul_div(instructions, NS_PER_S, c->hz);
}

/* The fewest that take as long as that. */
static u64 instructions_of(const struct alc_clock *c, u64 ns)
{
	u64 n = c->hz == NS_PER_S ? ns : mul_div(ns, c->hz, NS_PER_S);

	return n + (ns_of(c, n) < ns);
}

static u64 virtual_cpu_ns(struct alc_clock *c)
{
	const struct slice *s = &c->slice;
	const u64 *count;
	u64 from_ns, n;
	u32 seq;

	do {
		seq = atomic_load_explicit(&c->seq, memory_order_acquire);
		count = atomic_load_explicit(&s->count, memory_order_relaxed);
		from_ns = load(&s->from_ns);
		n = count ? __atomic_load_n(count, __ATOMIC_RELAXED) - load(&s->base) : 0;
		atomic_thread_fence(memory_order_acquire);
	} while ((seq & 1) || seq != atomic_load_explicit(&c->seq, memory_order_relaxed));
	return from_ns + ns_of(c, n);
}

static u64 virtual_now_ns(struct alc_clock *c)
{
	u64 now_ns = virtual_cpu_ns(c), seen_ns = load(&c->seen_ns);

	if (now_ns <= seen_ns)
		return seen_ns;
	store(&c->seen_ns, now_ns);
	return now_ns;
}

static void set_slice(struct alc_clock *c, u64 from_ns, const u64 *count)
{
	atomic_fetch_add(&c->seq, 1);
	store(&c->slice.from_ns, from_ns);
	store(&c->slice.base, count ? *count : 0);
	atomic_store_explicit(&c->slice.count, count, memory_order_relaxed);
	atomic_fetch_add(&c->seq, 1);
}

/* Called with the lock held, within a slice. */
static void slice_until(struct alc_clock *c, u64 until_ns)
{
	struct slice *s = &c->slice;
	u64 from_ns = load(&s->from_ns);

	s->until_ns = max_u64(min_u64(until_ns, from_ns + CLOCK_SLICE_MAX_NS), from_ns);
	atomic_store(s->stop_at, load(&s->base) + instructions_of(c, s->until_ns - from_ns));
}

u64 clock_now_ns(struct alc_clock *c)
{
	return c->hz ? virtual_now_ns(c) : read_instant(c).guest_ns;
}

u64 clock_cpu_ns(struct alc_clock *c)
{
	return c->hz ? virtual_cpu_ns(c) : read_instant(c).guest_ns;
}

u64 clock_wall_ns(struct alc_clock *c)
{
	return c->hz ? load(&c->wall_ns) + virtual_now_ns(c) : read_instant(c).wall_ns;
}

/* ---- Timers ------------------------------------------------------------------------------- */

static void heap_put(struct alc_clock *c, size_t pos, struct alc_timer *t)
{
	c->heap[pos] = t;
	t->heap_pos = pos;
}

static bool earlier(const struct alc_timer *a, const struct alc_timer *b)
{
	return a->deadline_ns < b->deadline_ns ||
	       (a->deadline_ns == b->deadline_ns && a->seq < b->seq);
}

/* Lets t, whose place is pos, find the place that its deadline asks for. */
static void heap_settle(struct alc_clock *c, size_t pos, struct alc_timer *t)
{
	size_t child;

	for (; pos > 1 && earlier(t, c->heap[pos / 2]); pos /= 2)
		heap_put(c, pos, c->heap[pos / 2]);
	for (; (child = 2 * pos) <= c->count; pos = child) {
		if (child < c->count && earlier(c->heap[child + 1], c->heap[child]))
			child++;
		if (!earlier(c->heap[child], t))
			break;
		heap_put(c, pos, c->heap[child]);
	}
	heap_put(c, pos, t);
}

static void heap_remove(struct alc_clock *c, struct alc_timer *t)
{
	size_t pos = t->heap_pos;
	struct alc_timer *last = c->heap[c->count--];

	t->heap_pos = 0;
	if (last != t)
		heap_settle(c, pos, last);
}

static int heap_grow(struct alc_clock *c)
{
	size_t cap = c->cap ? 2 * c->cap : HEAP_CAP_MIN;
	struct alc_timer **heap;

	if (c->count + 1 < c->cap)
		return 0;
	heap = host_alloc(c->host, cap * sizeof(struct alc_timer *));
	if (!heap)
		return -ENOMEM;
	if (c->heap)
		__builtin_memcpy(heap, c->heap, c->cap * sizeof(struct alc_timer *));
	host_free(c->host, c->heap, c->cap * sizeof(struct alc_timer *));
	c->heap = heap;
	c->cap = cap;
	return 0;
}

/* Takes the earliest timer whose time has come. Called with the lock held. */
static struct alc_timer *take_due(struct alc_clock *c)
{
	struct alc_timer *t = c->count ? c->heap[1] : NULL;

	if (!t || t->deadline_ns > clock_now_ns(c))
		return NULL;
	heap_remove(c, t);
	return t;
}

/* Host time of the earliest deadline. Called with the lock held, while the clock runs. */
static u64 next_deadline(struct alc_clock *c)
{
	u64 at;

	if (!c->count || __builtin_add_overflow(c->heap[1]->deadline_ns, load(&c->origin_ns), &at))
		return ALC_WAIT_FOREVER;
	return at;
}

static void timer_thread(void *arg)
{
	struct alc_clock *c = arg;
	const struct alc_host *h = c->host;

	host_lock(h, c->lock);
	while (atomic_load(&c->running)) {
		struct alc_timer *t = take_due(c);

		if (t) {
			/* Copied: once the lock is gone the timer may be armed again or be gone. */
			struct alc_timer due = *t;

			host_unlock(h, c->lock);
			due.fire(due.arg);
		} else {
			u64 deadline_ns = next_deadline(c);

			host_unlock(h, c->lock);
			h->event_wait(h->ctx, c->wake, deadline_ns);
		}
		host_lock(h, c->lock);
	}
	host_unlock(h, c->lock);
}

static int create(const struct alc_host *host, u64 hz, u64 wall_ns, struct alc_clock **out)
{
	struct alc_clock *c = host_alloc(host, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->host = host;
	c->hz = hz;
	store(&c->wall_ns, wall_ns);
	c->lock = host->mutex_create(host->ctx);
	c->wake = host->event_create(host->ctx);
	if (!c->lock || !c->wake) {
		clock_destroy(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

int clock_create(const struct alc_host *host, struct alc_clock **out)
{
	return create(host, 0, host->wall_ns(host->ctx), out);
}

int clock_create_virtual(const struct alc_host *host, u64 hz, u64 wall_ns, struct alc_clock **out)
{
	return create(host, hz, wall_ns, out);
}

bool clock_is_virtual(const struct alc_clock *c)
{
	return c && c->hz;
}

void clock_destroy(struct alc_clock *c)
{
	const struct alc_host *h;

	if (!c)
		return;
	h = c->host;
	clock_stop(c);
	/* Timers that are still armed belong to owners that may be gone: they aren't touched. */
	host_free(h, c->heap, c->cap * sizeof(struct alc_timer *));
	h->event_destroy(h->ctx, c->wake);
	h->mutex_destroy(h->ctx, c->lock);
	host_free(h, c, sizeof(*c));
}

int clock_start(struct alc_clock *c)
{
	const struct alc_host *h = c->host;
	int rc;

	if (c->thread || c->hz)
		return 0;
	set_running(c, true);
	rc = h->thread_start(h->ctx, "alc-clock", timer_thread, c, &c->thread);
	if (rc)
		set_running(c, false);
	return rc;
}

void clock_stop(struct alc_clock *c)
{
	const struct alc_host *h = c->host;

	if (!c->thread)
		return;
	set_running(c, false);
	h->event_signal(h->ctx, c->wake);
	h->thread_join(h->ctx, c->thread);
	c->thread = NULL;
}

void clock_timer_init(struct alc_timer *t, void (*fire)(void *arg), void *arg)
{
	*t = (struct alc_timer){.fire = fire, .arg = arg};
}

/* Called with the lock held. */
static int arm(struct alc_clock *c, struct alc_timer *t, u64 deadline_ns)
{
	if (!t->heap_pos) {
		int rc = heap_grow(c);

		if (rc)
			return rc;
		t->heap_pos = ++c->count;
	}
	t->deadline_ns = deadline_ns;
	t->seq = c->armed++;
	heap_settle(c, t->heap_pos, t);
	return 0;
}

/* Called with the lock held. What is due is due at the end of the instruction that armed it. */
static void shorten_slice(struct alc_clock *c, u64 deadline_ns)
{
	u64 now_ns;

	if (!c->slice.count || deadline_ns >= c->slice.until_ns)
		return;
	now_ns = virtual_cpu_ns(c);
	slice_until(c, max_u64(deadline_ns, now_ns + (deadline_ns <= now_ns)));
}

int clock_timer_set(struct alc_clock *c, struct alc_timer *t, u64 deadline_ns)
{
	const struct alc_host *h = c->host;
	bool sooner;
	int rc;

	host_lock(h, c->lock);
	rc = arm(c, t, deadline_ns);
	sooner = !rc && t->heap_pos == 1;
	if (sooner)
		shorten_slice(c, deadline_ns);
	host_unlock(h, c->lock);
	if (sooner)
		h->event_signal(h->ctx, c->wake);
	return rc;
}

void clock_timer_cancel(struct alc_clock *c, struct alc_timer *t)
{
	host_lock(c->host, c->lock);
	if (t->heap_pos)
		heap_remove(c, t);
	host_unlock(c->host, c->lock);
}

/* ---- Virtual clocks ----------------------------------------------------------------------- */

void clock_slice_begin(struct alc_clock *c, u64 from_ns, u64 until_ns, const u64 *count,
		       _Atomic(u64) *stop_at)
{
	host_lock(c->host, c->lock);
	set_slice(c, from_ns, count);
	c->slice.stop_at = stop_at;
	slice_until(c, c->count ? min_u64(until_ns, c->heap[1]->deadline_ns) : until_ns);
	host_unlock(c->host, c->lock);
}

u64 clock_slice_end(struct alc_clock *c, u64 *until_ns)
{
	u64 now_ns;

	host_lock(c->host, c->lock);
	now_ns = virtual_cpu_ns(c);
	set_slice(c, now_ns, NULL);
	*until_ns = c->slice.until_ns;
	atomic_store(c->slice.stop_at, UINT64_MAX);
	host_unlock(c->host, c->lock);
	return now_ns;
}

u64 clock_next_ns(struct alc_clock *c)
{
	u64 next_ns;

	host_lock(c->host, c->lock);
	next_ns = c->count ? c->heap[1]->deadline_ns : CLOCK_NEVER;
	host_unlock(c->host, c->lock);
	return next_ns;
}

void clock_advance(struct alc_clock *c, u64 to_ns)
{
	const struct alc_host *h = c->host;

	host_lock(h, c->lock);
	set_slice(c, to_ns, NULL);
	while (c->count && c->heap[1]->deadline_ns <= to_ns) {
		struct alc_timer due = *c->heap[1];

		heap_remove(c, c->heap[1]);
		host_unlock(h, c->lock);
		due.fire(due.arg);
		host_lock(h, c->lock);
	}
	host_unlock(h, c->lock);
}

void clock_wait(struct alc_clock *c)
{
	c->host->event_wait(c->host->ctx, c->wake, ALC_WAIT_FOREVER);
}

void clock_wake(struct alc_clock *c)
{
	c->host->event_signal(c->host->ctx, c->wake);
}

void clock_each_deadline(struct alc_clock *c, void (*fn)(void *ctx, u64 deadline_ns), void *ctx)
{
	host_lock(c->host, c->lock);
	for (size_t i = 1; i <= c->count; i++)
		fn(ctx, c->heap[i]->deadline_ns);
	host_unlock(c->host, c->lock);
}
