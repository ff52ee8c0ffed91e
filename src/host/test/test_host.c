/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alcazar/vm.h"
#include "base/fmt.h"
#include "host/test/test_host.h"

struct alc_thread {
	struct test_host *th;
	struct alc_thread *real;
	void (*fn)(void *arg);
	void *arg;
};

struct alc_event {
	struct alc_event *next;
	bool signalled, waiting;
	u64 deadline_ns;
	int fd; /* 0: none */
};

static void lock(struct test_host *th)
{
	pthread_mutex_lock(&th->lock);
}

static void unlock(struct test_host *th)
{
	pthread_mutex_unlock(&th->lock);
}

/* Counts a call that may fail: false if this one shall. */
static bool permit(struct test_host *th)
{
	bool fail;

	lock(th);
	fail = ++th->calls == th->fail_nth;
	th->failed |= fail;
	unlock(th);
	return !fail;
}

static void count(struct test_host *th, enum test_resource what, bool born)
{
	lock(th);
	th->live[what] += born ? 1 : (size_t)-1;
	unlock(th);
}

static void count_bytes(struct test_host *th, size_t n)
{
	lock(th);
	th->live_bytes += n;
	unlock(th);
}

static void *test_alloc(void *ctx, size_t size)
{
	struct test_host *th = ctx;
	void *p = permit(th) ? host_alloc(th->real, size) : NULL;

	if (p) {
		count(th, TEST_ALLOC, true);
		count_bytes(th, size);
	}
	return p;
}

static void test_free(void *ctx, void *p, size_t size)
{
	struct test_host *th = ctx;

	if (!p)
		return;
	count(th, TEST_ALLOC, false);
	count_bytes(th, 0 - size);
	host_free(th->real, p, size);
}

static int test_ram_map(void *ctx, u64 size, struct alc_host_ram *out)
{
	struct test_host *th = ctx;
	int rc = permit(th) ? th->real->ram_map(th->real->ctx, size, out) : -ENOMEM;

	if (!rc)
		count(th, TEST_RAM, true);
	return rc;
}

static void test_ram_unmap(void *ctx, struct alc_host_ram *ram)
{
	struct test_host *th = ctx;

	if (ram && ram->base)
		count(th, TEST_RAM, false);
	th->real->ram_unmap(th->real->ctx, ram);
}

static int test_ram_discard(void *ctx, const struct alc_host_ram *ram, u64 off, u64 len)
{
	struct test_host *th = ctx;

	return permit(th) ? th->real->ram_discard(th->real->ctx, ram, off, len) : -ENOMEM;
}

static int test_code_map(void *ctx, u64 size, struct alc_host_code *out)
{
	struct test_host *th = ctx;
	int rc = permit(th) ? th->real->code_map(th->real->ctx, size, out) : -EPERM;

	if (!rc)
		count(th, TEST_CODE, true);
	return rc;
}

static void test_code_unmap(void *ctx, struct alc_host_code *code)
{
	struct test_host *th = ctx;

	if (code && code->rw)
		count(th, TEST_CODE, false);
	th->real->code_unmap(th->real->ctx, code);
}

static u64 test_now_ns(void *ctx)
{
	struct test_host *th = ctx;
	u64 now;

	if (th->time == TEST_TIME_REAL)
		return host_now_ns(th->real);
	lock(th);
	now = th->manual_ns;
	unlock(th);
	return now;
}

static u64 test_wall_ns(void *ctx)
{
	struct test_host *th = ctx;

	if (th->time == TEST_TIME_REAL)
		return th->real->wall_ns(th->real->ctx);
	return th->wall_base_ns + test_now_ns(th);
}

static u64 test_thread_cpu_ns(void *ctx)
{
	struct test_host *th = ctx;

	return th->time == TEST_TIME_REAL ? th->real->thread_cpu_ns(th->real->ctx)
					  : test_now_ns(th);
}

static void thread_main(void *arg)
{
	struct alc_thread *t = arg;
	struct test_host *th = t->th;

	t->fn(t->arg);
	lock(th);
	th->running--;
	pthread_cond_broadcast(&th->changed);
	unlock(th);
}

static void thread_forget(struct test_host *th)
{
	lock(th);
	th->running--;
	unlock(th);
}

static int test_thread_start(void *ctx, const char *name, void (*fn)(void *arg), void *arg,
			     struct alc_thread **out)
{
	struct test_host *th = ctx;
	struct alc_thread *t;
	int rc;

	if (!permit(th))
		return -EAGAIN;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct alc_thread){.th = th, .fn = fn, .arg = arg};
	lock(th);
	th->running++;
	unlock(th);
	rc = th->real->thread_start(th->real->ctx, name, thread_main, t, &t->real);
	if (rc) {
		thread_forget(th);
		free(t);
		return rc;
	}
	count(th, TEST_THREAD, true);
	*out = t;
	return 0;
}

static void test_thread_join(void *ctx, struct alc_thread *t)
{
	struct test_host *th = ctx;

	if (!t)
		return;
	th->real->thread_join(th->real->ctx, t->real);
	count(th, TEST_THREAD, false);
	free(t);
}

static struct alc_mutex *test_mutex_create(void *ctx)
{
	struct test_host *th = ctx;
	struct alc_mutex *m = permit(th) ? th->real->mutex_create(th->real->ctx) : NULL;

	if (m)
		count(th, TEST_MUTEX, true);
	return m;
}

static void test_mutex_destroy(void *ctx, struct alc_mutex *m)
{
	struct test_host *th = ctx;

	if (m)
		count(th, TEST_MUTEX, false);
	th->real->mutex_destroy(th->real->ctx, m);
}

static void test_mutex_lock(void *ctx, struct alc_mutex *m)
{
	struct test_host *th = ctx;

	host_lock(th->real, m);
}

static void test_mutex_unlock(void *ctx, struct alc_mutex *m)
{
	struct test_host *th = ctx;

	host_unlock(th->real, m);
}

static struct alc_event *test_event_create(void *ctx)
{
	struct test_host *th = ctx;
	struct alc_event *e = permit(th) ? calloc(1, sizeof(*e)) : NULL;

	if (!e)
		return NULL;
	lock(th);
	e->next = th->events;
	th->events = e;
	th->live[TEST_EVENT]++;
	unlock(th);
	return e;
}

static void test_event_destroy(void *ctx, struct alc_event *e)
{
	struct test_host *th = ctx;
	struct alc_event **link = &th->events;

	if (!e)
		return;
	lock(th);
	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	th->live[TEST_EVENT]--;
	unlock(th);
	free(e);
}

/* With the lock held. */
static u64 now_locked(struct test_host *th)
{
	return th->time == TEST_TIME_REAL ? host_now_ns(th->real) : th->manual_ns;
}

static bool past(struct test_host *th, u64 deadline_ns)
{
	return deadline_ns != ALC_WAIT_FOREVER && now_locked(th) >= deadline_ns;
}

static void sleep_locked(struct test_host *th, u64 deadline_ns)
{
	struct timespec at = {
		.tv_sec = (time_t)(deadline_ns / 1000000000),
		.tv_nsec = (long)(deadline_ns % 1000000000),
	};
	bool timed = th->time == TEST_TIME_REAL && deadline_ns != ALC_WAIT_FOREVER &&
		     deadline_ns <= INT64_MAX;

	if (timed)
		pthread_cond_timedwait(&th->changed, &th->lock, &at);
	else
		pthread_cond_wait(&th->changed, &th->lock);
}

static int test_event_wait(void *ctx, struct alc_event *e, u64 deadline_ns)
{
	struct test_host *th = ctx;
	int rc;

	lock(th);
	e->waiting = true;
	e->deadline_ns = deadline_ns;
	pthread_cond_broadcast(&th->changed); /* for test_host_settle */
	while (!e->signalled && !past(th, deadline_ns))
		sleep_locked(th, deadline_ns);
	rc = e->signalled ? 0 : -ETIMEDOUT;
	e->signalled = e->waiting = false;
	unlock(th);
	return rc;
}

static void test_event_signal(void *ctx, struct alc_event *e)
{
	struct test_host *th = ctx;

	lock(th);
	e->signalled = true;
	pthread_cond_broadcast(&th->changed);
	unlock(th);
}

/* Numbers that name events, and are no open files. */
static int test_event_fd(void *ctx, struct alc_event *e, int *fd)
{
	struct test_host *th = ctx;

	lock(th);
	if (!e->fd)
		e->fd = TEST_FD_FIRST + th->fds++;
	*fd = e->fd;
	unlock(th);
	return 0;
}

bool test_host_raise(struct test_host *th, int fd)
{
	struct alc_event *e;

	lock(th);
	for (e = th->events; e && e->fd != fd; e = e->next)
		;
	if (e)
		e->signalled = true;
	pthread_cond_broadcast(&th->changed);
	unlock(th);
	return e;
}

static void test_barrier_all(void *ctx)
{
	struct test_host *th = ctx;

	th->real->barrier_all(th->real->ctx);
}

static void test_yield(void *ctx)
{
	struct test_host *th = ctx;

	th->real->yield(th->real->ctx);
}

/* Good enough to tell bytes apart, and the same in every run (splitmix64). */
static u64 next_random(struct test_host *th)
{
	u64 z = th->random_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void test_random(void *ctx, void *buf, size_t len)
{
	struct test_host *th = ctx;

	lock(th);
	for (size_t i = 0; i < len; i++)
		((u8 *)buf)[i] = (u8)next_random(th);
	unlock(th);
}

static void test_log(void *ctx, enum alc_log level, const char *text)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	struct test_host *th = ctx;
	size_t used;

	lock(th);
	used = strlen(th->log);
	fmt_text(th->log + used, sizeof(th->log) - used, "%s: %s\n", names[level], text);
	unlock(th);
}

static const struct alc_host test_table = {
	.alloc = test_alloc,
	.free = test_free,
	.ram_map = test_ram_map,
	.ram_unmap = test_ram_unmap,
	.ram_discard = test_ram_discard,
	.code_map = test_code_map,
	.code_unmap = test_code_unmap,
	.now_ns = test_now_ns,
	.wall_ns = test_wall_ns,
	.thread_start = test_thread_start,
	.thread_join = test_thread_join,
	.thread_cpu_ns = test_thread_cpu_ns,
	.mutex_create = test_mutex_create,
	.mutex_destroy = test_mutex_destroy,
	.mutex_lock = test_mutex_lock,
	.mutex_unlock = test_mutex_unlock,
	.event_create = test_event_create,
	.event_destroy = test_event_destroy,
	.event_wait = test_event_wait,
	.event_signal = test_event_signal,
	.event_fd = test_event_fd,
	.barrier_all = test_barrier_all,
	.yield = test_yield,
	.random = test_random,
	.log = test_log,
};

void test_host_init(struct test_host *th, enum test_time time)
{
	pthread_condattr_t attr;

	memset(th, 0, sizeof(*th));
	if (alc_host_open(&th->real, NULL))
		abort();
	th->host = test_table;
	th->host.ctx = th;
	th->time = time;
	th->wall_base_ns = 1700000000ull * 1000000000;
	pthread_mutex_init(&th->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&th->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void test_host_fini(struct test_host *th)
{
	pthread_cond_destroy(&th->changed);
	pthread_mutex_destroy(&th->lock);
	alc_host_close(th->real);
}

size_t test_host_leaks(struct test_host *th)
{
	size_t sum = 0;

	lock(th);
	for (size_t i = 0; i < TEST_RESOURCES; i++)
		sum += th->live[i];
	/* Bytes differ if something was freed with another size than it had. */
	sum += th->live_bytes && !th->live[TEST_ALLOC];
	unlock(th);
	return sum;
}

bool test_host_logged(struct test_host *th, const char *text)
{
	bool found;

	lock(th);
	found = strstr(th->log, text) != NULL;
	unlock(th);
	return found;
}

void test_host_advance(struct test_host *th, u64 ns)
{
	lock(th);
	th->manual_ns += ns;
	pthread_cond_broadcast(&th->changed);
	unlock(th);
}

/* Waits that nothing will end by itself. With the lock held. */
static size_t asleep(struct test_host *th)
{
	size_t n = 0;

	for (struct alc_event *e = th->events; e; e = e->next)
		n += e->waiting && !e->signalled && !past(th, e->deadline_ns);
	return n;
}

void test_host_settle(struct test_host *th)
{
	lock(th);
	while (asleep(th) < th->running)
		pthread_cond_wait(&th->changed, &th->lock);
	unlock(th);
}
