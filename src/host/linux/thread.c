/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fmt.h"
#include "host/linux/linux.h"

enum { THREAD_NAME_MAX = 16 }; /* with its end, prctl(2) PR_SET_NAME */

struct alc_thread {
	pthread_t id;
	void (*fn)(void *arg);
	void *arg;
	char name[THREAD_NAME_MAX];
};

static void *thread_main(void *arg)
{
	struct alc_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

/*
 * Signals are for the threads of whoever links us. The ones that a thread raises by what it does
 * stay open: blocked, they would kill the process without a word from its handlers.
 */
static void fill_blocked(sigset_t *set)
{
	static const int own_doing[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(own_doing); i++)
		sigdelset(set, own_doing[i]);
}

int linux_thread_start(void *ctx, const char *name, void (*fn)(void *arg), void *arg,
		       struct alc_thread **out)
{
	struct alc_thread *t = calloc(1, sizeof(*t));
	sigset_t blocked, before;
	int rc;

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	fmt_text(t->name, sizeof(t->name), "%s", name);
	/* A new thread inherits the mask; set inside it, there would be a moment without. */
	fill_blocked(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	rc = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		free(t);
		return -rc;
	}
	*out = t;
	return 0;
}

void linux_thread_join(void *ctx, struct alc_thread *t)
{
	if (!t)
		return;
	pthread_join(t->id, NULL);
	free(t);
}

struct alc_mutex {
	pthread_mutex_t m;
};

struct alc_mutex *linux_mutex_create(void *ctx)
{
	struct alc_mutex *m = calloc(1, sizeof(*m));

	if (m)
		pthread_mutex_init(&m->m, NULL);
	return m;
}

void linux_mutex_destroy(void *ctx, struct alc_mutex *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->m);
	free(m);
}

void linux_mutex_lock(void *ctx, struct alc_mutex *m)
{
	int rc = pthread_mutex_lock(&m->m);

	assert(!rc);
	(void)rc;
}

void linux_mutex_unlock(void *ctx, struct alc_mutex *m)
{
	int rc = pthread_mutex_unlock(&m->m);

	assert(!rc);
	(void)rc;
}

/*
 * An event is one word. Its only waiter sleeps while the word says WAITING; signal makes it
 * SIGNALLED and wakes only one that said so. Signal is an exchange and at most one system call
 * without locks, so a signal handler may use it too.
 *
 * One with a descriptor sleeps on that instead. The word then says whether we have raised the count
 * since the waiter last took it, and so need not do it again.
 */
enum { EVENT_IDLE, EVENT_SIGNALLED, EVENT_WAITING };

struct alc_event {
	_Atomic(u32) state;
	int fd; /* -1: none */
};

struct alc_event *linux_event_create(void *ctx)
{
	struct alc_event *e = calloc(1, sizeof(*e));

	if (e)
		e->fd = -1;
	return e;
}

void linux_event_destroy(void *ctx, struct alc_event *e)
{
	if (e && e->fd >= 0)
		close(e->fd);
	free(e);
}

int linux_event_fd(void *ctx, struct alc_event *e, int *fd)
{
	if (e->fd < 0)
		e->fd = eventfd(0, EFD_CLOEXEC);
	if (e->fd < 0)
		return -errno;
	*fd = e->fd;
	return 0;
}

static bool is_forever(u64 deadline_ns)
{
	return deadline_ns == ALC_WAIT_FOREVER || deadline_ns > INT64_MAX;
}

/* Sleeps until woken, or to no purpose; -ETIMEDOUT at the deadline (CLOCK_MONOTONIC). */
static int sleep_waiting(struct alc_event *e, u64 deadline_ns)
{
	struct timespec at = {
		.tv_sec = (time_t)(deadline_ns / 1000000000),
		.tv_nsec = (long)(deadline_ns % 1000000000),
	};
	long rc = syscall(SYS_futex, &e->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
			  EVENT_WAITING, is_forever(deadline_ns) ? NULL : &at, NULL,
			  FUTEX_BITSET_MATCH_ANY);

	return rc && errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

/* Milliseconds from now to a deadline, as poll takes them: no less. */
static int poll_timeout(u64 deadline_ns)
{
	struct timespec t;
	u64 now_ns, ms;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now_ns = (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
	ms = deadline_ns > now_ns ? (deadline_ns - now_ns + 999999) / 1000000 : 0;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* With a deadline, whether the count is above zero; without, read sleeps by itself. */
static bool poll_fd(const struct alc_event *e, u64 deadline_ns)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};
	int rc;

	while (!is_forever(deadline_ns)) {
		int ms = poll_timeout(deadline_ns);

		rc = poll(&p, 1, ms);
		if (rc > 0)
			break;
		if (!rc && !ms)
			return false;
	}
	return true;
}

/* The only waiter is the only reader: what poll saw is still there. */
static int wait_fd(struct alc_event *e, u64 deadline_ns)
{
	eventfd_t count;

	if (!poll_fd(e, deadline_ns))
		return -ETIMEDOUT;
	while (eventfd_read(e->fd, &count) && errno == EINTR)
		;
	atomic_exchange(&e->state, EVENT_IDLE);
	return 0;
}

int linux_event_wait(void *ctx, struct alc_event *e, u64 deadline_ns)
{
	u32 idle = EVENT_IDLE;

	if (e->fd >= 0)
		return wait_fd(e, deadline_ns);
	if (!atomic_compare_exchange_strong(&e->state, &idle, EVENT_WAITING)) {
		atomic_store(&e->state, EVENT_IDLE);
		return 0;
	}
	while (atomic_load(&e->state) == EVENT_WAITING)
		if (sleep_waiting(e, deadline_ns))
			break;
	return atomic_exchange(&e->state, EVENT_IDLE) == EVENT_SIGNALLED ? 0 : -ETIMEDOUT;
}

void linux_event_signal(void *ctx, struct alc_event *e)
{
	int saved = errno, fd = e->fd;
	/* A waiter that has this may destroy the event: from now on only its address is used. */
	u32 was = atomic_exchange(&e->state, EVENT_SIGNALLED);

	if (fd >= 0 && was != EVENT_SIGNALLED)
		eventfd_write(fd, 1);
	else if (fd < 0 && was == EVENT_WAITING)
		syscall(SYS_futex, &e->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	errno = saved;
}
